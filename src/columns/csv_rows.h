/* csv_rows.h - a block of CSV text cut into rows of fields, the form that typed columns read.
 *
 * Rows lie in segments.  Field c of row r of a segment is what lies between two entries of `ends`:
 *
 *     base[ends[r * columns + c - 1] + 1 .. ends[r * columns + c])          ends[-1] counts too
 *
 * Most segments show the text itself, indexed by csv_index.  A record that the index cannot take
 * (another dialect, quotes out of place, too few fields ...) is split with care and written anew,
 * in the plain form, into a side segment: so whatever a file does, columns see one form: a field
 * that begins with the quote is quoted, with quotes inside doubled; an empty one is null.
 *
 * Thread: one owner; memory is kept from block to block. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_ROWS_H
#define TN_COLUMNS_CSV_ROWS_H
#include "columns/bad_rows.h"
#include "columns/csv_split.h"

typedef struct tn_csv_segment {
  const uint8_t *base;
  const uint32_t *ends; /* rows * columns entries; ends[-1] is one before the first field */
  int64_t rows;
  const uint32_t *places; /* side segments: where each row begins in the text; else NULL */
} tn_csv_segment;

/* A row or value that is not as it should be; in the order of the text for rows. */
typedef struct tn_csv_flaw {
  tn_csv_fault fault;
  uint32_t record; /* where the row begins in the text */
  uint32_t place;  /* of the offending byte or field */
  int32_t column;  /* from 0; FEW and MANY: the number of fields found */
  int32_t output;  /* BAD_VALUE, BAD_TEXT: which typed column */
  bool skipped;    /* the row is left out; else values were made null */
  int64_t row;     /* BAD_VALUE, BAD_TEXT: of this block */
} tn_csv_flaw;

typedef struct tn_csv_cut { /* what is to be cut, and how */
  const tn_csv_format *format;
  tn_on_error on_error;
  bool fast;                  /* the dialect is one that csv_index takes */
  const uint8_t *text;        /* positions are relative to this */
  uint32_t start, limit, end; /* records that begin in [start, limit), known up to `end` */
  bool last;                  /* nothing follows `end` in the file */
} tn_csv_cut;

typedef struct tn_csv_rows {
  tn_csv_segment *segments;
  size_t segment_count, segment_capacity;
  int64_t rows;
  int32_t columns;
  const uint8_t *text;
  uint32_t start, end; /* of the text that is cut */
  bool incomplete;     /* the record at `end` goes on behind what is known */
  bool plain_text;     /* all bytes are UTF-8; else each text must be looked at */
  tn_csv_flaw fault;   /* what stopped the cut; FINE: nothing */
  tn_csv_flaw *flaws;  /* what was mended or left out */
  size_t flaw_count, flaw_capacity;
  /* private */
  uint32_t *ends, *side_ends, *side_places;
  size_t ends_capacity, side_ends_count, side_ends_capacity, side_places_count,
      side_places_capacity;
  tn_strbuf side;
  tn_csv_record record;
} tn_csv_rows;

/* TN_ERR_MEMORY only; what is wrong with the text is in rows->fault. */
TN_NODISCARD tn_status tn_csv_rows_cut(tn_csv_rows *rows, const tn_csv_cut *cut, tn_error *err);
/* Leaves out the rows whose bit is set in `drop` (bitmap of rows->rows). */
TN_NODISCARD tn_status tn_csv_rows_drop(tn_csv_rows *rows, const uint8_t *drop, tn_error *err);
TN_NODISCARD tn_status tn_csv_rows_add_flaw(tn_csv_rows *rows, const tn_csv_flaw *flaw,
                                            tn_error *err);
/* Where row `row` of segment `s` begins in the text. */
uint32_t tn_csv_rows_place(const tn_csv_rows *rows, const tn_csv_segment *s, int64_t row);
void tn_csv_rows_clear(tn_csv_rows *rows);

#endif
