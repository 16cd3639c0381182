/* SPDX-License-Identifier: Apache-2.0 */
/* 64 bytes a step: one bit a byte for separators, line ends and quotes; a carry-less product with
 * all ones turns the quotes into "inside" (Langdale and Lemire, "Parsing Gigabytes of JSON per
 * Second", section 3.1). */
#include "columns/csv_index.h"

#if defined(__x86_64__)
#include <immintrin.h>

typedef struct carries {
  uint64_t inside;    /* all ones: the block begins inside quotes */
  uint64_t opens;     /* bit 0: a quote may open at the block's first byte */
  uint64_t closed;    /* bit 0: the byte before was a closing quote */
  uint64_t closed_cr; /* bit 0: the two bytes before were a closing quote and '\r' */
} carries;

static inline uint64_t equal(__m256i low, __m256i high, __m256i byte) {
  uint64_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, byte));
  uint64_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, byte));
  return a | b << 32;
}

__attribute__((target("pclmul"))) static inline uint64_t prefix_xor(uint64_t bits) {
  __m128i product =
      _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)bits), _mm_set1_epi8((char)0xff), 0);
  return (uint64_t)_mm_cvtsi128_si64(product);
}

/* Writes the positions of all set bits; may write up to 8 entries too many. */
static inline uint32_t *flatten(uint32_t *out, uint64_t bits, uint32_t base) {
  uint32_t *end = out + __builtin_popcountll(bits);
  do {
    for (int i = 0; i < 4; i++) {
      out[i] = base + (uint32_t)_tzcnt_u64(bits);
      bits = _blsr_u64(bits);
    }
    out += 4;
  } while (bits);
  return end;
}

__attribute__((target("pclmul"))) void tn_csv_index_avx2(const tn_csv_marks *m, const uint8_t *text,
                                                         uint32_t from, uint32_t to, uint32_t *ends,
                                                         tn_csv_index_result *result) {
  const __m256i separators = _mm256_set1_epi8((char)m->separator);
  const __m256i newlines = _mm256_set1_epi8((char)m->newline);
  const __m256i quotes = _mm256_set1_epi8((char)m->quote);
  const __m256i returns = _mm256_set1_epi8('\r');
  const uint64_t quote_mask = m->has_quote ? ~(uint64_t)0 : 0;
  const uint64_t return_mask = m->newline == '\r' ? 0 : ~(uint64_t)0;
  carries c = {.opens = 1};
  uint32_t *out = ends, line_ends = 0, at = from;
  __m256i all = _mm256_setzero_si256();
  while (at < to) {
    const uint64_t valid = to - at < 64 ? ((uint64_t)1 << (to - at)) - 1 : ~(uint64_t)0;
    const __m256i low = _mm256_loadu_si256((const __m256i *)(text + at));
    const __m256i high = _mm256_loadu_si256((const __m256i *)(text + at + 32));
    const uint64_t quote = equal(low, high, quotes) & quote_mask & valid;
    const uint64_t newline = equal(low, high, newlines) & valid;
    const uint64_t stop = (equal(low, high, separators) & valid) | newline;
    uint64_t ends_field = stop, inside = 0;
    if (quote | c.inside | c.closed | c.closed_cr) {
      const uint64_t cr = equal(low, high, returns) & return_mask & valid;
      inside = prefix_xor(quote) ^ c.inside;
      const uint64_t closing = quote & ~inside, opening = quote & inside;
      ends_field = stop & ~inside;
      const uint64_t opens = (ends_field | closing) << 1 | c.opens;
      const uint64_t closed = closing << 1 | c.closed;
      const uint64_t closed_cr = (closed & cr) << 1 | c.closed_cr;
      const uint64_t bad = (opening & ~opens) | (closed & ~(stop | quote | cr) & valid) |
                           (closed_cr & ~newline & valid);
      if (bad) break;
      c.opens = (ends_field | closing) >> 63;
      c.closed = closing >> 63;
      c.closed_cr = (closed & cr) >> 63;
      c.inside = (uint64_t)((int64_t)inside >> 63);
    } else {
      c.opens = ends_field >> 63;
    }
    if (ends_field) out = flatten(out, ends_field, at);
    line_ends += (uint32_t)__builtin_popcountll(newline & ~inside);
    if (valid != ~(uint64_t)0) { /* the last block */
      uint64_t high_bits = (uint32_t)_mm256_movemask_epi8(low) |
                           (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
      if (high_bits & valid) all = _mm256_set1_epi8((char)0x80);
      c.inside = inside >> (to - at - 1) & 1;
      at = to;
      break;
    }
    all = _mm256_or_si256(all, _mm256_or_si256(low, high));
    at += 64;
  }
  *result = (tn_csv_index_result){.count = (uint32_t)(out - ends),
                                  .line_ends = line_ends,
                                  .stopped = at,
                                  .in_quotes = c.inside != 0,
                                  .ascii = _mm256_movemask_epi8(all) == 0};
}

int64_t tn_csv_count_byte_avx2(const uint8_t *p, size_t bytes, uint8_t byte) {
  const __m256i want = _mm256_set1_epi8((char)byte);
  int64_t count = 0;
  size_t i = 0;
  for (; i + 32 <= bytes; i += 32) {
    __m256i hit = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(p + i)), want);
    count += __builtin_popcount((uint32_t)_mm256_movemask_epi8(hit));
  }
  for (; i < bytes; i++) count += p[i] == byte;
  return count;
}
#endif
