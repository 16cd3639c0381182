/* csv_column.h - one column of cut rows to an Arrow array, or to what its values may be.
 *
 * Each type has a loop of its own over the segments of a block: integers, reals, dates and
 * timestamps in their usual spelling are read eight bytes at a time; whatever looks otherwise
 * (quotes, signs, exponents, zones) takes the careful way of csv_value, with the same result.
 *
 * An empty field without quotes is null, and so is one that says a null text.  Thread: any; a
 * column is immutable. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_COLUMN_H
#define TN_COLUMNS_CSV_COLUMN_H
#include "columns/csv_rows.h"
#include "columns/type.h"

typedef struct tn_csv_column {
  int32_t column;   /* in the file, from 0; -1: the file has no such column, all null */
  tn_type type;     /* of the values, for a dictionary too */
  tn_type_id index; /* of a dictionary's indices; TN_TYPE_NULL: no dictionary */
  bool declared;    /* numbers may have leading zeros and "+" */
  bool required;    /* no nulls */
  bool strip_cr;    /* the last column, and lines end with '\n' */
  uint8_t quote;
  const tn_str *null_texts;
  int32_t null_text_count;
} tn_csv_column;

/* Whether there is a way from text to this type; TN_ERR_UNSUPPORTED names it. */
TN_NODISCARD tn_status tn_csv_column_check(const tn_type *type, tn_error *err);

/* What to do with values that do not fit.  FAIL: the first one becomes *first, and the array is
 * released again.  SKIP: its row's bit is set in `drop` and a flaw is added (once a row).  NULL: it
 * becomes null, with a flaw. */
typedef struct tn_csv_misfits {
  tn_on_error on_error;
  int32_t output;     /* number of the column in the result, for the flaws */
  uint8_t *drop;      /* SKIP: bitmap of all rows */
  tn_csv_flaw *first; /* FAIL */
} tn_csv_misfits;

/* FAIL with a misfit: TN_OK, but out->release is NULL. */
TN_NODISCARD tn_status tn_csv_column_convert(const tn_csv_column *column, tn_csv_rows *rows,
                                             const tn_csv_misfits *misfits, ArrowArray *out,
                                             tn_error *err);

typedef struct tn_csv_kinds_seen { /* of a column; all zero: no value yet */
  uint32_t kinds;                  /* what every value so far may be */
  bool fraction, huge, value;
} tn_csv_kinds_seen;
/* Narrows *seen by the values of at most rows_max rows; allocates for escapes only. */
TN_NODISCARD tn_status tn_csv_column_look(const tn_csv_column *column, const tn_csv_rows *rows,
                                          int64_t rows_max, tn_csv_kinds_seen *seen, tn_error *err);
void tn_csv_kinds_merge(tn_csv_kinds_seen *into, const tn_csv_kinds_seen *from);
/* The format of the narrowest type that holds all of them: "b", "l", "g", "tdD", "ttu", "tsu:",
 * "tsu:UTC" or "u". */
const char *tn_csv_kinds_format(const tn_csv_kinds_seen *seen);

#endif
