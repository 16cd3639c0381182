/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/pack.h"

#include <inttypes.h>

#include "kernels/panel.h"
#include "tensor/device.h"
#include "tensor/quant.h"

const char *tn_pack_key(void) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return "panels16.4-le";
#else
  return "panels16.4-be";
#endif
}

static bool is_float(tn_dtype dtype) {
  return dtype == TN_F32 || dtype == TN_F16 || dtype == TN_BF16;
}

static bool is_float8(tn_dtype dtype) {
  return dtype == TN_F8_G32 || dtype == TN_F8_G128;
}

/* Of a panel; 0: no packed layout; -1: too many. */
static int64_t panel_bytes(tn_dtype dtype, int64_t cols) {
  const tn_panel_format *f = tn_panel_format_of(dtype);
  int64_t bytes;
  if (is_float(dtype)) {
    if (cols > INT64_MAX - 1) return -1;
    int64_t padded = dtype == TN_BF16 ? cols + cols % 2 : cols;
    return __builtin_mul_overflow(padded, TN_PANEL_ROWS * tn_dtype_bytes(dtype), &bytes) ? -1
                                                                                         : bytes;
  }
  if ((!f && !is_float8(dtype)) || cols % tn_dtype_block(dtype)) return 0;
  int64_t blocks = f ? cols / TN_CHUNK : cols / tn_dtype_block(dtype), rest = 0;
  int32_t block_bytes = f ? tn_panel_chunk_bytes(f) : tn_panel_float8_bytes(dtype);
  if (f && cols % TN_CHUNK)
    rest = f->header_bytes + cols % TN_CHUNK / TN_GROUP * tn_panel_group_bytes(f);
  return __builtin_mul_overflow(blocks, block_bytes, &bytes) ||
                 __builtin_add_overflow(bytes, rest, &bytes)
             ? -1
             : bytes;
}

int64_t tn_pack_bytes(tn_dtype dtype, int64_t rows, int64_t cols) {
  if (rows < 0 || cols < 0) return -1;
  int64_t one = panel_bytes(dtype, cols), bytes;
  int64_t panels = rows / TN_PANEL_ROWS + (rows % TN_PANEL_ROWS != 0);
  if (one <= 0) return one;
  return __builtin_mul_overflow(one, panels, &bytes) ? -1 : bytes;
}

/* ---- packing ---- */

typedef struct packing {
  uint8_t *to;
  const uint8_t *from;
  tn_dtype dtype;
  int64_t rows, cols, row_bytes, panel_bytes;
} packing;

static int32_t groups_from(int64_t k, int64_t cols) {
  return (int32_t)((cols - k < TN_CHUNK ? cols - k : TN_CHUNK) / TN_GROUP);
}

static void pack_chunks(const packing *p, uint8_t *to, const uint8_t *from, int64_t rows) {
  const tn_panel_format *f = tn_panel_format_of(p->dtype);
  int64_t from_bytes = tn_dtype_bytes_of(p->dtype, TN_CHUNK);
  for (int64_t k = 0; k < p->cols; k += TN_CHUNK) {
    tn_panel_pack_chunk(to, f, p->dtype, from, p->row_bytes, rows, groups_from(k, p->cols));
    to += tn_panel_chunk_bytes(f);
    from += from_bytes;
  }
}

static void pack_float8(const packing *p, uint8_t *to, const uint8_t *from, int64_t rows) {
  int32_t elements = tn_dtype_block(p->dtype), bytes = tn_dtype_bytes(p->dtype);
  for (int64_t b = 0; b < p->cols / elements; b++, from += bytes) {
    for (int64_t row = 0; row < rows; row++) {
      const uint8_t *block = from + row * p->row_bytes;
      memcpy(to + 4 * row, block, 4);
      for (int32_t e = 0; e < elements; e++) to[(4 + e) * TN_PANEL_ROWS + row] = block[4 + e];
    }
    to += tn_panel_float8_bytes(p->dtype);
  }
}

static void pack_floats(const packing *p, float *to, const uint8_t *from, int64_t rows) {
  for (int64_t row = 0; row < rows; row++) {
    const float *values = (const void *)(from + row * p->row_bytes);
    for (int64_t k = 0; k < p->cols; k++) to[k * TN_PANEL_ROWS + row] = values[k];
  }
}

/* `together` elements of a row lie side by side: 2 of bfloat16. */
static void pack_halves(const packing *p, uint16_t *to, const uint8_t *from, int64_t rows,
                        const int64_t together) {
  for (int64_t row = 0; row < rows; row++) {
    const uint16_t *values = (const void *)(from + row * p->row_bytes);
    for (int64_t k = 0; k < p->cols; k++)
      to[(k / together * TN_PANEL_ROWS + row) * together + k % together] = values[k];
  }
}

static void pack_panel(void *context, int64_t item, int32_t worker) {
  const packing *p = context;
  int64_t first = item * TN_PANEL_ROWS;
  int64_t rows = p->rows - first < TN_PANEL_ROWS ? p->rows - first : TN_PANEL_ROWS;
  const uint8_t *from = p->from + first * p->row_bytes;
  uint8_t *to = p->to + item * p->panel_bytes;
  if (tn_panel_format_of(p->dtype)) {
    pack_chunks(p, to, from, rows);
    return;
  }
  memset(to, 0, (size_t)p->panel_bytes);
  if (is_float8(p->dtype))
    pack_float8(p, to, from, rows);
  else if (p->dtype == TN_F32)
    pack_floats(p, (float *)(void *)to, from, rows);
  else
    pack_halves(p, (uint16_t *)(void *)to, from, rows, p->dtype == TN_BF16 ? 2 : 1);
}

tn_status tn_pack_view(tn_tensor *out, tn_buffer *buffer, int64_t offset_bytes, tn_dtype dtype,
                       int64_t rows, int64_t cols, tn_error *err) {
  int64_t bytes = tn_pack_bytes(dtype, rows, cols);
  if (bytes < 0 || (bytes == 0 && rows > 0 && cols > 0))
    return tn_fail(err, TN_ERR_ARGUMENT, "a %s weight [%" PRId64 ", %" PRId64 "] cannot be packed",
                   tn_dtype_name(dtype), rows, cols);
  if (offset_bytes < 0 || offset_bytes % 64)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "packed weights at byte %" PRId64 ", wants a multiple of 64", offset_bytes);
  if ((uint64_t)offset_bytes > buffer->bytes ||
      (uint64_t)bytes > buffer->bytes - (uint64_t)offset_bytes)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "packed weights, %" PRId64 " bytes at byte %" PRId64
                   ", reach past their buffer of %zu",
                   bytes, offset_bytes, buffer->bytes);
  *out = (tn_tensor){.buffer = buffer,
                     .offset_bytes = offset_bytes,
                     .dtype = dtype,
                     .layout = TN_LAYOUT_PANELS,
                     .rank = 2,
                     .shape = {rows, cols},
                     .strides = {cols, 1}};
  return TN_OK;
}

tn_status tn_pack(tn_tensor *out, const tn_tensor *w, tn_buffer *into, int64_t offset_bytes,
                  tn_pool *pool, tn_error *err) {
  if (w->rank != 2 || w->layout != 0 || !tn_tensor_is_contiguous(w))
    return tn_fail(err, TN_ERR_ARGUMENT, "only a contiguous matrix in rows can be packed");
  int64_t rows = w->shape[0], cols = w->shape[1];
  TN_TRY(tn_pack_view(out, into, offset_bytes, w->dtype, rows, cols, err));
  packing p = {.to = tn_tensor_data(out),
               .from = tn_tensor_data(w),
               .dtype = w->dtype,
               .rows = rows,
               .cols = cols,
               .row_bytes = tn_dtype_bytes_of(w->dtype, cols),
               .panel_bytes = panel_bytes(w->dtype, cols)};
  tn_pool_run(pool, (rows + TN_PANEL_ROWS - 1) / TN_PANEL_ROWS, pack_panel, &p);
  return TN_OK;
}

tn_status tn_pack_buffer_new(tn_buffer **out, size_t bytes, tn_error *err) {
  return tn_device_buffer_new(tn_device_cpu(), out, bytes, err);
}

/* ---- one row back ---- */

static float float_at(const uint8_t *header, int32_t list, int64_t lane) {
  float f;
  memcpy(&f, header + (list * TN_PANEL_ROWS + lane) * 4, 4);
  return f;
}

static void float8_to_f32(float *out, tn_dtype dtype, const uint8_t *panel, int64_t cols,
                          int64_t lane) {
  int32_t elements = tn_dtype_block(dtype);
  for (int64_t k = 0; k < cols; k += elements, panel += tn_panel_float8_bytes(dtype))
    for (int32_t e = 0; e < elements; e++)
      out[k + e] =
          float_at(panel, 0, lane) * tn_f8_e4m3_to_f32(panel[(4 + e) * TN_PANEL_ROWS + lane]);
}

void tn_pack_row_to_f32(float *out, const tn_tensor *packed, int64_t row) {
  tn_dtype dtype = packed->dtype;
  int64_t cols = packed->shape[1], lane = row % TN_PANEL_ROWS;
  const uint8_t *panel =
      (const uint8_t *)tn_tensor_data(packed) + row / TN_PANEL_ROWS * panel_bytes(dtype, cols);
  const tn_panel_format *f = tn_panel_format_of(dtype);
  if (f) {
    for (int64_t k = 0; k < cols; k += TN_CHUNK, panel += tn_panel_chunk_bytes(f))
      tn_panel_chunk_to_f32(out + k, f, panel, lane, groups_from(k, cols));
    return;
  }
  if (is_float8(dtype)) {
    float8_to_f32(out, dtype, panel, cols, lane);
    return;
  }
  const uint16_t *halves = (const void *)panel;
  for (int64_t k = 0; k < cols; k++)
    out[k] = dtype == TN_F32   ? ((const float *)(const void *)panel)[k * TN_PANEL_ROWS + lane]
             : dtype == TN_F16 ? tn_f16_to_f32(halves[k * TN_PANEL_ROWS + lane])
                               : tn_bf16_to_f32(halves[(k / 2 * TN_PANEL_ROWS + lane) * 2 + k % 2]);
}
