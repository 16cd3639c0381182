/* csv_index.h - where the fields of a run of CSV bytes end: the first pass over everything.
 *
 * For the plain dialect (a separator of one byte, doubled quotes, no comments) the positions of all
 * separators and line ends outside quotes are put into one array:
 *
 *     id,name\n1,"a,b"\n      ->      2 7 9 15            relative to `text`
 *
 * "Outside quotes" is the parity of the quotes before, which is right only where every quote
 * stands at a field's border or is doubled.  At the first block of 64 bytes with any other quote
 * the index stops, and csv_split goes on from the record's start.
 *
 * The plain version, and one for AVX2, chosen at run time; both give the same.  Bytes behind `to`
 * must be readable for TN_CSV_PADDING bytes.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_INDEX_H
#define TN_COLUMNS_CSV_INDEX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TN_CSV_INDEX_SLACK = 64 }; /* entries of room that `ends` needs beyond to - from */

typedef struct tn_csv_marks {
  uint8_t separator, quote, newline;
  bool has_quote;
} tn_csv_marks;

typedef struct tn_csv_index_result {
  uint32_t count;     /* entries of `ends` */
  uint32_t line_ends; /* how many of them are line ends */
  uint32_t stopped;   /* all before this position is in; `to` unless a quote was out of place */
  bool in_quotes;     /* at `stopped` */
  bool ascii;         /* no byte before `stopped` has its high bit set */
} tn_csv_index_result;

/* From `from`, where a record begins. */
void tn_csv_index(const tn_csv_marks *marks, const uint8_t *text, uint32_t from, uint32_t to,
                  uint32_t *ends, tn_csv_index_result *result);
/* How often `byte` occurs. */
int64_t tn_csv_count_byte(const uint8_t *p, size_t bytes, uint8_t byte);

/* The two versions, for the tests.  AVX2 also needs PCLMUL. */
void tn_csv_index_plain(const tn_csv_marks *marks, const uint8_t *text, uint32_t from, uint32_t to,
                        uint32_t *ends, tn_csv_index_result *result);
bool tn_csv_index_has_avx2(void);
void tn_csv_index_avx2(const tn_csv_marks *marks, const uint8_t *text, uint32_t from, uint32_t to,
                       uint32_t *ends, tn_csv_index_result *result);
int64_t tn_csv_count_byte_avx2(const uint8_t *p, size_t bytes, uint8_t byte);

#endif
