/* csv_split.h - bytes of a CSV file to a table of field positions.
 *
 * The text between `at` and `end` is cut into whole records; a record that runs over `end` is left
 * for the next call, unless `last` says that nothing follows.  Nothing is copied: a field points at
 * its text inside the quotes, doubled quotes still doubled.
 *
 *     rows x width fields, row after row; columns with slot -1 are only stepped over
 *
 * The bytes from `end` on must be readable for TN_CSV_PADDING bytes, and end[0] must be '\n': so a
 * scan needs no bounds check.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_SPLIT_H
#define TN_COLUMNS_CSV_SPLIT_H
#include <stdbool.h>
#include <stdint.h>

enum { TN_CSV_PADDING = 64 };
enum { TN_CSV_QUOTED = 1, TN_CSV_ESCAPED = 2 /* holds doubled quotes */ };

typedef struct tn_csv_field {
  const uint8_t *data;
  uint32_t length;
  uint32_t flags;
} tn_csv_field;

typedef enum tn_csv_fault {
  TN_CSV_FINE,
  TN_CSV_FEW_FIELDS,
  TN_CSV_MANY_FIELDS,
  TN_CSV_OPEN_QUOTE,       /* the file ends inside quotes */
  TN_CSV_TEXT_AFTER_QUOTE, /* "abc"d */
  TN_CSV_FIELD_SIZE,
} tn_csv_fault;

typedef struct tn_csv_splitter {
  uint8_t separator, quote;
  uint32_t field_bytes_max;
  int32_t columns;      /* fields of every record */
  int32_t width;        /* fields kept of a record */
  const int32_t *slots; /* column -> place in the kept row, -1: not kept */

  const uint8_t *at, *end;
  bool last; /* no bytes follow `end` in the file */

  /* what went wrong */
  tn_csv_fault fault;
  const uint8_t *fault_at; /* start of the field, or the offending byte */
  int32_t fault_column;    /* from 0; for FEW and MANY: the number of fields found */
} tn_csv_splitter;

/* Cuts up to rows_max records into fields and moves `at` behind them; returns their number.  Fewer
 * than rows_max: `at` stands at an incomplete record, at the end, or at a fault. */
int64_t tn_csv_split(tn_csv_splitter *s, tn_csv_field *fields, int64_t rows_max);

/* The fields of one record of unknown width (the header): at most `room` are stored, all are
 * counted. -1: incomplete, or a fault; 0: there is no record.  Moves `at` only when at most `room`.
 */
int64_t tn_csv_split_header(tn_csv_splitter *s, tn_csv_field *fields, int64_t room);

/* The text without the doubling of quotes; `to` has room for field->length bytes. */
uint32_t tn_csv_unescape(const tn_csv_field *field, uint8_t quote, uint8_t *to);

#endif
