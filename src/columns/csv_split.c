/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_split.h"

const char *tn_csv_fault_name(tn_csv_fault fault) {
  static const char *const names[] = {"fine",
                                      "too few fields",
                                      "too many fields",
                                      "open quote",
                                      "text after quote",
                                      "field too long",
                                      "value of another type",
                                      "not UTF-8",
                                      "out of memory"};
  return names[fault];
}

void tn_csv_record_clear(tn_csv_record *record) {
  tn_free(record->fields);
  *record = (tn_csv_record){0};
}

static tn_csv_outcome broken(tn_csv_record *r, tn_csv_fault fault, const uint8_t *at) {
  r->fault = fault;
  r->fault_at = at;
  r->fault_column = r->count;
  return TN_CSV_BROKEN;
}

static bool add_field(tn_csv_record *r, const uint8_t *data, size_t length, uint32_t flags) {
  if ((size_t)r->count == r->capacity) {
    size_t capacity = r->capacity ? 2 * r->capacity : 32;
    tn_csv_field *grown = tn_realloc(r->fields, capacity, sizeof *grown);
    if (!grown) return false;
    r->fields = grown;
    r->capacity = capacity;
  }
  r->fields[r->count++] = (tn_csv_field){data, (uint32_t)length, flags};
  return true;
}

static inline bool is_separator(const tn_csv_format *f, const uint8_t *p, const uint8_t *end) {
  if (p >= end || *p != f->separator[0]) return false;
  if (f->separator_bytes == 1) return true;
  return end - p >= f->separator_bytes && memcmp(p, f->separator, f->separator_bytes) == 0;
}

/* A separator of several bytes may be cut by `end`. */
static inline bool may_be_cut(const tn_csv_format *f, const uint8_t *p, const uint8_t *end) {
  size_t left = (size_t)(end - p);
  return left < f->separator_bytes && memcmp(p, f->separator, left) == 0;
}

/* First separator or line end at or behind p; `end` when there is none. */
static const uint8_t *find_stop(const tn_csv_format *f, const uint8_t *p, const uint8_t *end) {
  for (; p < end; p++)
    if (*p == f->newline || (*p == f->separator[0] && is_separator(f, p, end))) return p;
  return end;
}

static tn_csv_outcome out_of_bytes(const tn_csv_format *f, tn_csv_record *r, const uint8_t *start,
                                   const uint8_t *end) {
  if (end - start > f->field_bytes_max) return broken(r, TN_CSV_FIELD_SIZE, start);
  return TN_CSV_INCOMPLETE;
}

/* The closing quote of a field that opens at start; NULL: not before `end`. */
static const uint8_t *closing_quote(const tn_csv_format *f, const uint8_t *start,
                                    const uint8_t *end, bool last, uint32_t *flags) {
  for (const uint8_t *p = start + 1; p < end; p++) {
    if (f->escape != f->quote) {
      if (f->escape && *p == f->escape) {
        if (p + 1 == end) return NULL;
        if (p[1] == f->quote || p[1] == f->escape) *flags |= TN_CSV_ESCAPED, p++;
      } else if (*p == f->quote) {
        return p + 1 < end || last ? p : NULL;
      }
      continue;
    }
    p = memchr(p, f->quote, (size_t)(end - p));
    if (!p || (p + 1 == end && !last)) return NULL; /* its twin may follow */
    if (p + 1 == end || p[1] != f->quote) return p;
    *flags |= TN_CSV_ESCAPED;
    p++;
  }
  return NULL;
}

/* *next is behind the separator (then *more) or the line end. */
static tn_csv_outcome quoted_field(const tn_csv_format *f, tn_csv_record *r, const uint8_t *start,
                                   const uint8_t *end, bool last, const uint8_t **next,
                                   bool *more) {
  uint32_t flags = TN_CSV_QUOTED;
  const uint8_t *close = closing_quote(f, start, end, last, &flags);
  if (!close) {
    tn_csv_outcome why = out_of_bytes(f, r, start, end);
    return why == TN_CSV_INCOMPLETE && last ? broken(r, TN_CSV_OPEN_QUOTE, start) : why;
  }
  if (close - start > f->field_bytes_max) return broken(r, TN_CSV_FIELD_SIZE, start);
  const uint8_t *p = close + 1;
  *more = is_separator(f, p, end);
  if (!*more) {
    if (!last && may_be_cut(f, p, end)) return TN_CSV_INCOMPLETE;
    if (f->newline == '\n' && p < end && *p == '\r') p++;
    if (p == end && !last) return TN_CSV_INCOMPLETE;
    if (p < end && *p != f->newline) return broken(r, TN_CSV_TEXT_AFTER_QUOTE, p);
    *next = p < end ? p + 1 : p;
  } else {
    *next = p + f->separator_bytes;
  }
  if (!add_field(r, start + 1, (size_t)(close - start - 1), flags))
    return broken(r, TN_CSV_NO_MEMORY, start);
  return TN_CSV_RECORD;
}

static tn_csv_outcome plain_field(const tn_csv_format *f, tn_csv_record *r, const uint8_t *start,
                                  const uint8_t *end, bool last, const uint8_t **next, bool *more) {
  const uint8_t *p = find_stop(f, start, end);
  if (p == end && !last) return out_of_bytes(f, r, start, end);
  if (p - start > f->field_bytes_max) return broken(r, TN_CSV_FIELD_SIZE, start);
  *more = p < end && *p != f->newline;
  size_t length = (size_t)(p - start);
  if (!*more && f->newline == '\n' && length > 0 && p[-1] == '\r') length--;
  *next = p == end ? p : *more ? p + f->separator_bytes : p + 1;
  return add_field(r, start, length, 0) ? TN_CSV_RECORD : broken(r, TN_CSV_NO_MEMORY, start);
}

const uint8_t *tn_csv_line_end(const tn_csv_format *f, const uint8_t *at, const uint8_t *end,
                               bool last) {
  const uint8_t *p = memchr(at, f->newline, (size_t)(end - at));
  if (p) return p + 1;
  return last ? end : NULL;
}

static tn_csv_outcome skip_line(const tn_csv_format *f, tn_csv_record *r, const uint8_t *at,
                                const uint8_t *end, bool last) {
  r->next = tn_csv_line_end(f, at, end, last);
  return r->next ? TN_CSV_NOTHING : TN_CSV_INCOMPLETE;
}

tn_csv_outcome tn_csv_split(const tn_csv_format *f, const uint8_t *at, const uint8_t *end,
                            bool last, tn_csv_record *r) {
  r->count = 0;
  r->fault = TN_CSV_FINE;
  if (f->comment && *at == f->comment) return skip_line(f, r, at, end, last);
  const uint8_t *p = at;
  for (bool more = true; more;) {
    bool quoted = f->quote && p < end && *p == f->quote;
    tn_csv_outcome why = quoted ? quoted_field(f, r, p, end, last, &p, &more)
                                : plain_field(f, r, p, end, last, &p, &more);
    if (why != TN_CSV_RECORD) return why;
  }
  r->next = p;
  bool blank = r->count == 1 && r->fields[0].length == 0 && r->fields[0].flags == 0;
  return blank && f->columns != 1 ? TN_CSV_NOTHING : TN_CSV_RECORD;
}

/* ---- repair ---- */
enum { LITERALS_MAX = 2, CANDIDATES_MAX = 256 };

typedef struct reading { /* of one line: which quotes are plain text, and which could be */
  const uint8_t *literal[LITERALS_MAX];
  int32_t literals;
  const uint8_t *candidate[CANDIDATES_MAX];
  int32_t candidates;
} reading;

static bool is_literal(const reading *how, const uint8_t *p) {
  for (int32_t i = 0; i < how->literals; i++)
    if (how->literal[i] == p) return true;
  return false;
}

/* The last quote of a field that opens at start: the first one before a separator or the end. */
static const uint8_t *loose_close(const tn_csv_format *f, const uint8_t *start,
                                  const uint8_t *end) {
  for (const uint8_t *p = start + 1; p < end; p++) {
    if (f->escape && f->escape != f->quote && *p == f->escape && p + 1 < end) {
      p++;
      continue;
    }
    if (*p == f->quote && (p + 1 == end || is_separator(f, p + 1, end))) return p;
  }
  return NULL;
}

static bool read_line(const tn_csv_format *f, const uint8_t *at, const uint8_t *end, reading *how,
                      tn_csv_record *r) {
  r->count = 0;
  how->candidates = 0;
  for (const uint8_t *p = at;;) {
    bool opens = f->quote && p < end && *p == f->quote && !is_literal(how, p);
    const uint8_t *close = opens ? loose_close(f, p, end) : NULL;
    if (opens && how->candidates < CANDIDATES_MAX) how->candidate[how->candidates++] = p;
    const uint8_t *stop = close ? close + 1 : find_stop(f, p, end);
    bool added = close
                     ? add_field(r, p + 1, (size_t)(close - p - 1), TN_CSV_QUOTED | TN_CSV_ESCAPED)
                     : add_field(r, p, (size_t)(stop - p), 0);
    if (!added) {
      r->fault = TN_CSV_NO_MEMORY;
      return false;
    }
    if (stop >= end) return true;
    p = stop + f->separator_bytes;
  }
}

/* Tries each candidate behind `from` as plain text, and then each pair. */
static bool try_literals(const tn_csv_format *f, const uint8_t *at, const uint8_t *end,
                         const reading *base, tn_csv_record *r) {
  reading one = *base, two;
  for (int32_t i = 0; i < base->candidates; i++) {
    one = (reading){.literal = {base->candidate[i]}, .literals = 1};
    if (read_line(f, at, end, &one, r) && r->count == f->columns) return true;
  }
  for (int32_t i = 0; i < base->candidates && base->candidates <= 64; i++) {
    one = (reading){.literal = {base->candidate[i]}, .literals = 1};
    if (!read_line(f, at, end, &one, r)) return false;
    for (int32_t k = 0; k < one.candidates; k++) {
      if (one.candidate[k] <= base->candidate[i]) continue;
      two = (reading){.literal = {base->candidate[i], one.candidate[k]}, .literals = 2};
      if (read_line(f, at, end, &two, r) && r->count == f->columns) return true;
    }
  }
  return false;
}

bool tn_csv_repair(const tn_csv_format *f, const uint8_t *at, const uint8_t *end,
                   tn_csv_record *r) {
  if (end > at && end[-1] == f->newline) end--;
  if (f->newline == '\n' && end > at && end[-1] == '\r') end--;
  reading plain = {.literals = 0};
  r->fault = TN_CSV_FINE;
  if (!read_line(f, at, end, &plain, r)) return false;
  if (r->count == f->columns) return true;
  if (try_literals(f, at, end, &plain, r)) return true;
  plain.literals = 0;
  if (r->fault != TN_CSV_NO_MEMORY) read_line(f, at, end, &plain, r);
  return false;
}

uint32_t tn_csv_unescape(const tn_csv_format *f, const tn_csv_field *field, uint8_t *to) {
  const uint8_t *p = field->data, *end = p + field->length;
  uint8_t *start = to;
  while (p < end) {
    bool escaped =
        f->escape && *p == f->escape && p + 1 < end && (p[1] == f->quote || p[1] == f->escape);
    if (escaped) p++;
    *to++ = *p++;
  }
  return (uint32_t)(to - start);
}
