/* csv_dialect.h - the inside of dialect detection: options to a dialect, a dialect to a format.
 *
 * tn_csv_detect itself is in csv.h.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_DIALECT_H
#define TN_COLUMNS_CSV_DIALECT_H
#include "columns/csv.h"
#include "columns/csv_split.h"

/* What the options say, with the defaults for the rest; TN_ERR_ARGUMENT. */
TN_NODISCARD tn_status tn_csv_dialect_of_options(tn_csv_dialect *out, const tn_csv_options *options,
                                                 tn_error *err);
tn_csv_format tn_csv_format_of(const tn_csv_dialect *dialect);

#endif
