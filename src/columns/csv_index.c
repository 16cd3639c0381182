/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_index.h"

/* Byte by byte, but with the same blocks as the vector versions: so all stop at the same place. */
typedef struct state {
  bool in_quotes;
  bool opens;     /* a quote here may open a field, or double the one before it */
  bool closed;    /* the byte before was a closing quote */
  bool closed_cr; /* the two bytes before were a closing quote and '\r' */
} state;

/* Classes of one byte: whether it ends a field, and whether a quote was out of place. */
static bool step(const tn_csv_marks *m, state *s, uint8_t byte, bool *ends_field) {
  bool quote = m->has_quote && byte == m->quote;
  bool stop = byte == m->separator || byte == m->newline;
  bool cr = byte == '\r' && m->newline != '\r';
  bool fine = !(s->closed && !(stop || quote || cr)) && !(s->closed_cr && byte != m->newline);
  bool was_closed = s->closed;
  *ends_field = stop && !s->in_quotes;
  s->closed = false;
  if (quote && !s->in_quotes && !s->opens) fine = false;
  s->opens = *ends_field;
  if (quote) {
    s->in_quotes = !s->in_quotes;
    s->closed = s->opens = !s->in_quotes;
  }
  s->closed_cr = was_closed && cr;
  return fine;
}

void tn_csv_index_plain(const tn_csv_marks *m, const uint8_t *text, uint32_t from, uint32_t to,
                        uint32_t *ends, tn_csv_index_result *result) {
  state s = {.opens = true};
  *result = (tn_csv_index_result){.stopped = from, .ascii = true};
  for (uint32_t block = from; block < to; block += 64) {
    uint32_t stop = to - block < 64 ? to : block + 64, count = result->count, lines = 0;
    uint8_t all = 0;
    bool fine = true;
    for (uint32_t i = block; i < stop; i++) {
      bool ends_field;
      fine &= step(m, &s, text[i], &ends_field);
      if (ends_field) ends[count++] = i;
      lines += ends_field && text[i] == m->newline;
      all |= text[i];
    }
    if (!fine) return;
    result->count = count;
    result->line_ends += lines;
    result->stopped = stop;
    result->in_quotes = s.in_quotes;
    result->ascii &= all < 0x80;
  }
}

static int64_t count_byte_plain(const uint8_t *p, size_t bytes, uint8_t byte) {
  int64_t count = 0;
  for (size_t i = 0; i < bytes; i++) count += p[i] == byte;
  return count;
}

#if defined(__x86_64__)
bool tn_csv_index_has_avx2(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("pclmul");
}

void tn_csv_index(const tn_csv_marks *m, const uint8_t *text, uint32_t from, uint32_t to,
                  uint32_t *ends, tn_csv_index_result *result) {
  if (tn_csv_index_has_avx2())
    tn_csv_index_avx2(m, text, from, to, ends, result);
  else
    tn_csv_index_plain(m, text, from, to, ends, result);
}

int64_t tn_csv_count_byte(const uint8_t *p, size_t bytes, uint8_t byte) {
  return tn_csv_index_has_avx2() ? tn_csv_count_byte_avx2(p, bytes, byte)
                                 : count_byte_plain(p, bytes, byte);
}
#else
bool tn_csv_index_has_avx2(void) {
  return false;
}

void tn_csv_index(const tn_csv_marks *m, const uint8_t *text, uint32_t from, uint32_t to,
                  uint32_t *ends, tn_csv_index_result *result) {
  tn_csv_index_plain(m, text, from, to, ends, result);
}

int64_t tn_csv_count_byte(const uint8_t *p, size_t bytes, uint8_t byte) {
  return count_byte_plain(p, bytes, byte);
}
#endif
