/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/panel.h"

#include "tensor/quant.h"

const tn_panel_format *tn_panel_format_of(tn_dtype dtype) {
  switch (dtype) {
#define X(type, kind, elements, header, planes, words, zero, group, minimum) \
  case type: {                                                               \
    static const tn_panel_format f = {                                       \
        kind, elements, header, planes, words, zero, group, minimum};        \
    return &f;                                                               \
  }
    TN_PANEL_LIST(X)
#undef X
    default:
      return NULL;
  }
}

/* ---- scales ---- */

/* The f-th 16-bit (32-bit) field of a block goes to place `row` of the f-th list of 16. */
static void put_halves(uint8_t *header, const uint8_t *block, int32_t count, int64_t row) {
  for (int32_t f = 0; f < count; f++)
    memcpy(header + (f * TN_PANEL_ROWS + row) * 2, block + f * 2, 2);
}

static void put_floats(uint8_t *header, const uint8_t *block, int64_t row) {
  for (int32_t f = 0; f < 2; f++) memcpy(header + (f * TN_PANEL_ROWS + row) * 4, block + f * 4, 4);
}

static void put_k_scales(uint8_t *header, const uint8_t *block, int64_t row) {
  uint8_t *scales = header + 4 * TN_PANEL_ROWS, *minima = scales + 8 * TN_PANEL_ROWS;
  put_halves(header, block, 2, row);
  for (int32_t j = 0; j < 8; j++) {
    int32_t scale, minimum;
    tn_quant_k_scale(block + 4, j, &scale, &minimum);
    scales[j * TN_PANEL_ROWS + row] = (uint8_t)scale;
    minima[j * TN_PANEL_ROWS + row] = (uint8_t)minimum;
  }
}

static void put_header(uint8_t *header, tn_dtype dtype, const uint8_t *block, int64_t row) {
  switch (dtype) {
    case TN_Q4_0:
    case TN_Q5_0:
    case TN_Q8_0:
      put_halves(header, block, 1, row);
      break;
    case TN_Q4_1:
    case TN_Q5_1:
      put_halves(header, block, 2, row);
      break;
    case TN_Q4_K:
    case TN_Q5_K:
      put_k_scales(header, block, row);
      break;
    case TN_Q6_K:
      put_halves(header, block + 208, 1, row);
      for (int32_t j = 0; j < 16; j++) header[(2 + j) * TN_PANEL_ROWS + row] = block[192 + j];
      break;
    default:
      put_floats(header, block, row);
  }
}

/* ---- words: planes first, then the words of a group, as one row has them ---- */

static uint32_t word(const uint8_t *bytes, int32_t i) {
  uint32_t w;
  memcpy(&w, bytes + 4 * i, 4);
  return w;
}

static void copy_words(uint32_t *out, const uint8_t *bytes, int32_t count) {
  memcpy(out, bytes, 4 * (size_t)count);
}

/* Bit 4 j + i of `bits` is the fifth bit of element 4 j + i. */
static uint32_t plane_of_bits(uint32_t bits) {
  uint32_t plane = 0;
  for (int32_t j = 0; j < 8; j++)
    for (int32_t i = 0; i < 4; i++) plane |= (bits >> (4 * j + i) & 1) << (8 * i + j);
  return plane;
}

/* 32 nibbles, the low or the high halves of 32 bytes. */
static void k_nibbles(uint32_t out[4], const uint8_t *bytes, int32_t shift) {
  for (int32_t j = 0; j < 4; j++)
    out[j] = (word(bytes, j) >> shift & 0x0f0f0f0f) | (word(bytes, j + 4) >> shift & 0x0f0f0f0f)
                                                          << 4;
}

static void q5_k_words(uint32_t out[5], const uint8_t *block, int32_t g) {
  out[0] = 0;
  for (int32_t j = 0; j < 8; j++) out[0] |= (word(block + 16, j) >> g & 0x01010101) << j;
  k_nibbles(out + 1, block + 48 + g / 2 * 32, g % 2 * 4);
}

static void q6_k_words(uint32_t out[6], const uint8_t *block, int32_t g) {
  int32_t part = g / 4, quarter = g % 4;
  const uint8_t *high = block + 128 + part * 32;
  out[0] = out[1] = 0;
  for (int32_t j = 0; j < 8; j++)
    out[j / 4] |= (word(high, j) >> 2 * quarter & 0x03030303) << j % 4 * 2;
  k_nibbles(out + 2, block + part * 64 + quarter % 2 * 32, quarter / 2 * 4);
}

static void group_words(uint32_t out[8], tn_dtype dtype, const uint8_t *block, int32_t g) {
  switch (dtype) {
    case TN_Q4_0:
      copy_words(out, block + 2, 4);
      break;
    case TN_Q4_1:
      copy_words(out, block + 4, 4);
      break;
    case TN_Q5_0:
      out[0] = plane_of_bits(word(block + 2, 0));
      copy_words(out + 1, block + 6, 4);
      break;
    case TN_Q5_1:
      out[0] = plane_of_bits(word(block + 4, 0));
      copy_words(out + 1, block + 8, 4);
      break;
    case TN_Q8_0:
      copy_words(out, block + 2, 8);
      break;
    case TN_Q4_K:
      k_nibbles(out, block + 16 + g / 2 * 32, g % 2 * 4);
      break;
    case TN_Q5_K:
      q5_k_words(out, block, g);
      break;
    case TN_Q6_K:
      q6_k_words(out, block, g);
      break;
    case TN_I8_G32:
    case TN_I8_G128:
      copy_words(out, block + 8 + g * 32, 8);
      break;
    default:
      copy_words(out, block + 8 + g * 16, 4);
  }
}

void tn_panel_pack_block(uint8_t *out, const tn_panel_format *f, tn_dtype dtype,
                         const uint8_t *blocks, int64_t row_bytes, int64_t rows) {
  if (rows < TN_PANEL_ROWS) memset(out, 0, (size_t)tn_panel_block_bytes(f));
  int32_t count = f->planes + f->words;
  for (int64_t row = 0; row < rows; row++, blocks += row_bytes) {
    put_header(out, dtype, blocks, row);
    for (int32_t g = 0; g < f->elements / TN_GROUP; g++) {
      uint32_t words[8];
      uint8_t *to = out + f->header_bytes + g * count * TN_WORD_BYTES + row * 4;
      group_words(words, dtype, blocks, g);
      for (int32_t j = 0; j < count; j++) memcpy(to + j * TN_WORD_BYTES, &words[j], 4);
    }
  }
}
