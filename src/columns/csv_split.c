/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_split.h"

#include <string.h>

typedef enum stop {
  AT_SEPARATOR,
  AT_LINE_END, /* or at the end of the file */
  OUT_OF_BYTES,
  AT_FAULT,
} stop;

/* First byte equal to a or b at or behind p.  There is one: the caller's '\n' behind the text. */
#ifdef __SSE2__
#include <emmintrin.h>
static inline const uint8_t *find_either(const uint8_t *p, uint8_t a, uint8_t b) {
  const __m128i as = _mm_set1_epi8((char)a), bs = _mm_set1_epi8((char)b);
  for (;; p += 16) {
    __m128i text = _mm_loadu_si128((const __m128i *)p);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(text, as), _mm_cmpeq_epi8(text, bs));
    unsigned mask = (unsigned)_mm_movemask_epi8(hit);
    if (mask) return p + __builtin_ctz(mask);
  }
}
#else
static inline const uint8_t *find_either(const uint8_t *p, uint8_t a, uint8_t b) {
  while (*p != a && *p != b) p++;
  return p;
}
#endif

static stop fault(tn_csv_splitter *s, tn_csv_fault kind, const uint8_t *at) {
  s->fault = kind;
  s->fault_at = at;
  return AT_FAULT;
}

/* `known_end`: up to there the bytes surely belong to the field. */
static stop out_of_bytes(tn_csv_splitter *s, const uint8_t *start, const uint8_t *known_end) {
  if (known_end - start > s->field_bytes_max) return fault(s, TN_CSV_FIELD_SIZE, start);
  return OUT_OF_BYTES;
}

/* p stands behind a closing quote. */
static inline stop after_quote(tn_csv_splitter *s, const uint8_t *p, const uint8_t **next) {
  if (p < s->end && *p == s->separator) {
    *next = p + 1;
    return AT_SEPARATOR;
  }
  if (p < s->end && *p == '\r') p++;
  if (p == s->end) {
    *next = p;
    return s->last ? AT_LINE_END : OUT_OF_BYTES;
  }
  if (*p != '\n') return fault(s, TN_CSV_TEXT_AFTER_QUOTE, p);
  *next = p + 1;
  return AT_LINE_END;
}

static stop scan_quoted(tn_csv_splitter *s, const uint8_t *start, tn_csv_field *field,
                        const uint8_t **next) {
  const uint8_t *p = start + 1;
  uint32_t flags = TN_CSV_QUOTED;
  for (;;) {
    p = memchr(p, s->quote, (size_t)(s->end - p));
    if (!p || (p + 1 == s->end && !s->last)) { /* its twin may follow */
      stop why = out_of_bytes(s, start, p ? p : s->end);
      return why == OUT_OF_BYTES && s->last ? fault(s, TN_CSV_OPEN_QUOTE, start) : why;
    }
    if (p + 1 == s->end || p[1] != s->quote) break;
    flags |= TN_CSV_ESCAPED;
    p += 2;
  }
  if (p - start > s->field_bytes_max) return fault(s, TN_CSV_FIELD_SIZE, start);
  *field = (tn_csv_field){start + 1, (uint32_t)(p - start - 1), flags};
  return after_quote(s, p + 1, next);
}

static inline stop scan_field(tn_csv_splitter *s, const uint8_t *start, tn_csv_field *field,
                              const uint8_t **next) {
  if (start < s->end && *start == s->quote) return scan_quoted(s, start, field, next);
  const uint8_t *p = find_either(start, s->separator, '\n');
  if (p >= s->end) { /* the '\n' behind the text */
    if (!s->last) return out_of_bytes(s, start, s->end);
    p = s->end;
  }
  if (p - start > s->field_bytes_max) return fault(s, TN_CSV_FIELD_SIZE, start);
  *field = (tn_csv_field){start, (uint32_t)(p - start), 0};
  if (p < s->end && *p == s->separator) {
    *next = p + 1;
    return AT_SEPARATOR;
  }
  *next = p < s->end ? p + 1 : p;
  if (p > start && p[-1] == '\r') field->length--;
  return AT_LINE_END;
}

/* How many fields the record really has, for the message. */
static int32_t count_from(tn_csv_splitter *s, const uint8_t *p, int32_t count) {
  tn_csv_field field;
  for (stop why = AT_SEPARATOR; why == AT_SEPARATOR; count++) why = scan_field(s, p, &field, &p);
  return count;
}

static stop few_fields(tn_csv_splitter *s, const uint8_t *record, int32_t count) {
  s->fault_column = count;
  return fault(s, TN_CSV_FEW_FIELDS, record);
}

/* A line without a single character.  In a file of one column it is a null, else nothing. */
static inline bool is_blank(const tn_csv_splitter *s, const tn_csv_field *first, int32_t column) {
  return column == 0 && first->length == 0 && !first->flags && s->columns > 1;
}

/* One record into row[0..width).  AT_SEPARATOR: it was a blank line, no row. */
static inline stop scan_record(tn_csv_splitter *s, tn_csv_field *row) {
  const uint8_t *p = s->at;
  tn_csv_field field;
  for (int32_t c = 0; c < s->columns; c++) {
    const uint8_t *start = p;
    stop why = scan_field(s, p, &field, &p);
    if (why == AT_FAULT) s->fault_column = c;
    if (why == AT_FAULT || why == OUT_OF_BYTES) return why;
    if (s->slots[c] >= 0) row[s->slots[c]] = field;
    if (why == AT_LINE_END && c + 1 < s->columns) {
      if (!is_blank(s, &field, c)) return few_fields(s, s->at, c + 1);
      s->at = p;
      return AT_SEPARATOR;
    }
    if (why == AT_SEPARATOR && c + 1 == s->columns) {
      int32_t found = count_from(s, p, s->columns);
      s->fault_column = found;
      return fault(s, TN_CSV_MANY_FIELDS, start);
    }
  }
  s->at = p;
  return AT_LINE_END;
}

int64_t tn_csv_split(tn_csv_splitter *s, tn_csv_field *fields, int64_t rows_max) {
  int64_t rows = 0;
  s->fault = TN_CSV_FINE;
  while (rows < rows_max && s->at < s->end) {
    stop why = scan_record(s, fields + rows * s->width);
    if (why == OUT_OF_BYTES || why == AT_FAULT) break;
    rows += why == AT_LINE_END;
  }
  return rows;
}

int64_t tn_csv_split_header(tn_csv_splitter *s, tn_csv_field *fields, int64_t room) {
  int64_t count = 0;
  s->fault = TN_CSV_FINE;
  if (s->at == s->end) return s->last ? 0 : -1;
  const uint8_t *p = s->at;
  for (stop why = AT_SEPARATOR; why == AT_SEPARATOR; count++) {
    tn_csv_field field;
    why = scan_field(s, p, &field, &p);
    if (why == AT_FAULT) s->fault_column = (int32_t)count;
    if (why == OUT_OF_BYTES || why == AT_FAULT) return -1;
    if (count < room) fields[count] = field;
  }
  if (count <= room) s->at = p;
  return count;
}

uint32_t tn_csv_unescape(const tn_csv_field *field, uint8_t quote, uint8_t *to) {
  const uint8_t *p = field->data, *end = p + field->length;
  uint8_t *start = to;
  while (p < end) {
    const uint8_t *q = memchr(p, quote, (size_t)(end - p));
    size_t run = (size_t)((q ? q + 1 : end) - p); /* with the first of two quotes */
    memcpy(to, p, run);
    to += run;
    p += run + (q != NULL);
  }
  return (uint32_t)(to - start);
}
