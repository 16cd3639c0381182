/* csv_split.h - one record of a CSV file, of any dialect, to its fields.
 *
 * This is the careful way: separators of several bytes, escape characters, comment lines, quotes
 * out of place.  csv_index is the fast way for records that need none of that; both agree wherever
 * the fast one does not step aside.
 *
 *     a;"b ""c"""\n   ->   {a} {b ""c"", QUOTED | ESCAPED}
 *
 * Nothing is copied: a field points at its text inside the quotes, escapes still in it.
 *
 * The bytes from `end` on must be readable for TN_CSV_PADDING bytes.  Thread: any; a format is
 * immutable, a tn_csv_record has one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_SPLIT_H
#define TN_COLUMNS_CSV_SPLIT_H
#include "base/mem.h"
#include "base/str.h"

enum { TN_CSV_PADDING = 64, TN_CSV_SEPARATOR_MAX = 8 };
enum {
  TN_CSV_QUOTED = 1,
  TN_CSV_ESCAPED = 2, /* holds escapes: doubled quotes, or a quote behind the escape character */
};

typedef struct tn_csv_field {
  const uint8_t *data;
  uint32_t length;
  uint32_t flags;
} tn_csv_field;

typedef struct tn_csv_format {
  uint8_t separator[TN_CSV_SEPARATOR_MAX];
  uint8_t separator_bytes;
  uint8_t quote;   /* 0: none */
  uint8_t escape;  /* inside quotes; equal to quote: quotes are doubled; 0: none */
  uint8_t comment; /* of lines, 0: none */
  uint8_t newline; /* '\n' (with or without '\r' before it) or '\r' */
  int32_t columns; /* expected of each record; 0: not known yet */
  uint32_t field_bytes_max;
} tn_csv_format;

typedef enum tn_csv_fault {
  TN_CSV_FINE,
  TN_CSV_FEW_FIELDS,
  TN_CSV_MANY_FIELDS,
  TN_CSV_OPEN_QUOTE,       /* the file ends inside quotes */
  TN_CSV_TEXT_AFTER_QUOTE, /* "abc"d */
  TN_CSV_FIELD_SIZE,
  TN_CSV_BAD_VALUE, /* of a typed column: found later, by csv_column */
  TN_CSV_BAD_TEXT,  /* not UTF-8 */
  TN_CSV_NO_MEMORY,
} tn_csv_fault;
const char *tn_csv_fault_name(tn_csv_fault fault); /* "few fields" */

typedef enum tn_csv_outcome {
  TN_CSV_RECORD,
  TN_CSV_NOTHING, /* a blank line or a comment; in a file of one column a blank line is a record */
  TN_CSV_INCOMPLETE, /* goes on behind `end` */
  TN_CSV_BROKEN,     /* see fault */
} tn_csv_outcome;

typedef struct tn_csv_record {
  tn_csv_field *fields; /* grows; tn_csv_record_clear */
  size_t capacity;
  int32_t count;
  const uint8_t *next; /* behind the record and its line end; RECORD and NOTHING */
  tn_csv_fault fault;  /* few or many fields are for the caller to see in count */
  const uint8_t *fault_at;
  int32_t fault_column; /* from 0 */
} tn_csv_record;

/* The record that starts at `at` (at < end).  `last`: nothing follows `end` in the file. */
tn_csv_outcome tn_csv_split(const tn_csv_format *format, const uint8_t *at, const uint8_t *end,
                            bool last, tn_csv_record *record);
void tn_csv_record_clear(tn_csv_record *record);

/* Behind the line (whatever its quotes) in which `at` lies; NULL: it goes on behind `end`. */
const uint8_t *tn_csv_line_end(const tn_csv_format *format, const uint8_t *at, const uint8_t *end,
                               bool last);

/* What a line with quotes out of place most likely says: fields that split [at, line end) into
 * exactly format->columns, when that takes at most two quotes for plain text that would otherwise
 * open a field; a quote closes a field only before a separator or at the line's end.  false: there
 * is no such reading, and record holds the one that takes no quote for plain text. */
bool tn_csv_repair(const tn_csv_format *format, const uint8_t *at, const uint8_t *end,
                   tn_csv_record *record);

/* The text without its escapes; `to` has room for field->length bytes. */
uint32_t tn_csv_unescape(const tn_csv_format *format, const tn_csv_field *field, uint8_t *to);

#endif
