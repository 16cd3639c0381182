/* Products with weights of integers in plain C: for CPUs without a faster set, and the two numerics
 * (linear.h) that the faster sets are compared with, bit by bit. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/linear.h"

#define ZERO_OF_BYTES  0
#define ROUNDS_NIBBLES 0
#define VECTOR_BYTES   16

static void halves_to_floats(float *out, const uint8_t *in) {
  for (int32_t i = 0; i < TN_PANEL_ROWS; i++) {
    uint16_t bits;
    memcpy(&bits, in + 2 * i, 2);
    out[i] = tn_f16_to_f32(bits);
  }
}

static void bytes_to_pairs(tn_int_pairs out, const uint8_t *in, bool is_signed) {
  for (int32_t i = 0; i < 2 * TN_PANEL_ROWS; i++)
    out[i / 2][i % 2] = is_signed ? (int8_t)in[i] : in[i];
}

#include "kernels/cpu/expand.inc"

/* Magnitudes of floats order like their bits; not finite ones come last. */
static uint32_t largest_magnitude(const float *x, int64_t K) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < K; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    if (bits > largest) largest = bits;
  }
  return largest;
}

static float quantize(int8_t *q, int16_t *sums, const float *x, int64_t K) {
  uint32_t bits = largest_magnitude(x, K);
  float largest, inverse = 0;
  memcpy(&largest, &bits, 4);
  bool finite = bits < 0x7f800000;
  if (finite && largest > TN_TINY) inverse = 127 / largest;
  for (int64_t k = 0; k < K; k++) {
    q[k] = inverse == 0 ? 0 : (int8_t)rintf(x[k] * inverse);
    sums[k / 16] = (int16_t)(sums[k / 16] + q[k]);
  }
  return finite ? largest / 127 : NAN;
}

/* w[k] = factor (q - zero) of row n of a chunk, or the byte next to it. */
static void take_column(int32_t *w, const tn_int_panel *p, const tn_panel_format *f, int32_t n,
                        bool to_bytes) {
  const int32_t times = to_bytes ? tn_nibble_times(f->zero, f->elements == TN_CHUNK) : 1;
  for (int32_t first = 0; first < p->groups * TN_GROUP; first += f->span) {
    const uint8_t *q = p->q[first / TN_GROUP] + first % TN_GROUP / 4 * TN_WORD_BYTES + 4 * n;
    int32_t span = first / f->span;
    int32_t factor = f->kind == TN_PANEL_S8 ? 1 : p->factor[span / 2][n][span % 2] * times;
    for (int32_t k = 0; k < f->span; k++) {
      uint8_t byte = q[k / 4 * TN_WORD_BYTES + k % 4];
      int32_t product = f->kind == TN_PANEL_S8 ? (int8_t)byte : (byte - f->zero) * factor;
      w[first + k] = to_bytes ? (product + 8 - k % 2) >> 4 : product;
    }
  }
}

static int32_t dot_pairs(const int16_t *sums, const tn_int_pairs *pairs, int32_t n, int32_t spans) {
  int32_t sum = 0;
  for (int32_t i = 0; i < spans; i++) sum += sums[i] * pairs[i / 2][n][i % 2];
  return sum;
}

/* Column n of a tile: its weights are taken once, for all rows. */
static void tile_column(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                        const tn_int_panel *p, const tn_panel_format *f, int32_t n, bool to_bytes) {
  int32_t w[TN_CHUNK], count = p->groups * TN_GROUP;
  float unit = p->unit[n];
  if (to_bytes) unit *= (float)(16 / tn_nibble_times(f->zero, f->elements == TN_CHUNK));
  take_column(w, p, f, n, to_bytes);
  for (int64_t r = at; r < at + m; r++, c += ldc) {
    int32_t sum = 0;
    for (int32_t k = 0; k < count; k++) sum += x->q[r * TN_CHUNK + k] * w[k];
    c[n] = fmaf((float)sum, unit * x->scale[r], c[n]);
    if (!f->has_minimum) continue;
    sum = dot_pairs(x->sums + r * x->spans, p->minimum, n, x->spans);
    c[n] = fmaf((float)sum, p->minimum_unit[n] * x->scale[r], c[n]);
  }
}

static void tile(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                 const tn_int_panel *p, const tn_panel_format *f) {
  for (int32_t n = 0; n < TN_PANEL_ROWS; n++) tile_column(c, ldc, m, x, at, p, f, n, false);
}

static void tile_of_bytes(float *c, int64_t ldc, int64_t m, const tn_int_rows *x, int64_t at,
                          const tn_int_panel *p, const tn_panel_format *f) {
  bool to_bytes = f->kind == TN_PANEL_U4;
  for (int32_t n = 0; n < TN_PANEL_ROWS; n++) tile_column(c, ldc, m, x, at, p, f, n, to_bytes);
}

const tn_linear_isa tn_linear_plain = {
    .tile_rows = 32, .block_rows = 256, .quantize = quantize, .expand = expand, .tile = tile};
const tn_linear_isa tn_linear_plain_bytes = {.tile_rows = 32,
                                             .block_rows = 256,
                                             .quantize = quantize,
                                             .expand = expand,
                                             .tile = tile_of_bytes};

/* ---- packed floats ---- */

typedef struct float_job {
  const tn_linear_args *args;
  float *room; /* a row of w a worker */
} float_job;

static void float_column(void *context, int64_t n, int32_t worker) {
  const float_job *job = context;
  const tn_tensor *x = &job->args->x, *y = &job->args->y;
  int64_t M = x->shape[0], K = x->shape[1], N = y->shape[1];
  float *w = job->room + worker * K;
  tn_pack_row_to_f32(w, &job->args->w, n);
  for (int64_t m = 0; m < M; m++) {
    int64_t at = m * N + n;
    double sum = job->args->accumulate ? tn_element_get(tn_tensor_data(y), y->dtype, at) : 0;
    for (int64_t k = 0; k < K; k++)
      sum += tn_element_get(tn_tensor_data(x), x->dtype, m * K + k) * (double)w[k];
    tn_element_set(tn_tensor_data(y), y->dtype, at, sum);
  }
}

static tn_status linear_float(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  float_job job = {.args = args};
  void *room;
  size_t bytes = (size_t)(args->x.shape[1] * tn_pool_threads(stream->pool)) * sizeof(float);
  TN_TRY(tn_stream_scratch(stream, bytes, &room, err));
  job.room = room;
  tn_pool_run(stream->pool, args->w.shape[0], float_column, &job);
  return TN_OK;
}

static tn_status no_integers(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  if (args->w.layout && !tn_panel_format_of(args->w.dtype)) return linear_float(stream, args, err);
  return tn_ops_ref()->linear(stream, args, err);
}

static tn_status many(tn_stream *stream, const tn_linear_args *args, int32_t count, tn_error *err) {
  return tn_linear_each(&tn_linear_plain, no_integers, stream, args, count, err);
}
TN_LINEAR_FUNCTIONS(many)

static tn_status embed(tn_stream *stream, const tn_embed_args *args, tn_error *err) {
  if (args->out.dtype == TN_F64 && !args->table.layout)
    return tn_ops_ref()->embed(stream, args, err);
  return tn_embed_weight(stream, args, err);
}

const tn_ops tn_cpu_rows_plain = {TN_LINEAR_ROWS, .embed = embed};

static tn_status linear_bytes(tn_stream *stream, const tn_linear_args *args, tn_error *err) {
  return tn_linear_each(&tn_linear_plain_bytes, no_integers, stream, args, 1, err);
}
const tn_ops tn_cpu_rows_plain_bytes = {.linear = linear_bytes};
