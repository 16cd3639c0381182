/* schema_text.h - a schema that people write: "id: int64 not null, price: decimal(10, 2)".
 *
 *     schema  name: type [not null], ...     a name of other than letters, digits and _ . - in
 *                                            double quotes, "" for a quote inside
 *     type    as tn_field_text prints it: int64, timestamp[us, tz=UTC], decimal128(10, 2),
 *             list<item: string>, struct<a: int32, b: date32[day]>, map<string, int64>,
 *             dictionary<values=string, indices=int32>
 *     short   bool text date time timestamp decimal(p, s) float32 float64 list<string>
 *
 * Unions and run-end encoded types cannot be written so.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_SCHEMA_TEXT_H
#define TN_COLUMNS_SCHEMA_TEXT_H
#include "columns/schema.h"

/* A record-batch schema.  TN_ERR_ARGUMENT names the byte and what was expected there. */
TN_NODISCARD tn_status tn_schema_of_text(ArrowSchema *out, tn_str text, tn_error *err);
/* The other way, in a form that tn_schema_of_text reads. */
void tn_schema_text(const tn_field *root, tn_strbuf *out);

#endif
