/* Attention, rotary embedding and the KV cache. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "kernels/ref/ref.h"

static void rotate(double *y, const double *x, const double *table, const double *positions,
                   const int64_t *shape, int64_t turned, double sign) {
  int64_t T = shape[0], H = shape[1], D = shape[2], half = turned / 2;
  for (int64_t t = 0; t < T; t++) {
    const double *cosine = table + (int64_t)positions[t] * turned, *sine = cosine + half;
    for (int64_t h = 0; h < H; h++) {
      const double *from = x + (t * H + h) * D;
      double *to = y + (t * H + h) * D;
      for (int64_t i = 0; i < half; i++) {
        double a = from[i], b = from[i + half];
        to[i] = a * cosine[i] - sign * b * sine[i];
        to[i + half] = b * cosine[i] + sign * a * sine[i];
      }
      for (int64_t i = 2 * half; i < D; i++) to[i] = from[i];
    }
  }
}

void tn_ref_run_rope(const tn_rope_args *args, const tn_ref_rope *d) {
  rotate(d->y, d->x, d->table, d->positions, args->x.shape, args->table.shape[1], 1.0);
}

void tn_ref_run_rope_backward(const tn_rope_backward_args *args, const tn_ref_rope_backward *d) {
  rotate(d->dx, d->dy, d->table, d->positions, args->dy.shape, args->table.shape[1], -1.0);
}

static double dot(const double *a, const double *b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

/* The keys and values of one head.  Of a paged cache: block by block, keys as columns, times a
 * token's scale where they are codes. */
typedef struct keys {
  const double *k, *v;
  int64_t stride;            /* from one token to the next */
  const double *block_table; /* NULL: tokens follow each other */
  int64_t P, Hkv, D, head;
  const double *k_scale, *v_scale; /* NULL: not codes */
} keys;

/* Element i of key or value j. */
static double key_of(const keys *s, int64_t j, int64_t i) {
  if (!s->block_table) return s->k[j * s->stride + i];
  int64_t block = (int64_t)s->block_table[j / s->P] * s->Hkv + s->head, place = j % s->P;
  double code = s->k[(block * s->D + i) * s->P + place];
  return s->k_scale ? code * s->k_scale[block * s->P + place] : code;
}

static double value_of(const keys *s, int64_t j, int64_t i) {
  if (!s->block_table) return s->v[j * s->stride + i];
  int64_t token = ((int64_t)s->block_table[j / s->P] * s->Hkv + s->head) * s->P + j % s->P;
  double code = s->v[token * s->D + i];
  return s->v_scale ? code * s->v_scale[token] : code;
}

/* How scores are made and which keys count: [first, count) */
typedef struct attend_how {
  double scale, softcap;
  int64_t first, count;
} attend_how;

static double score(const double *q, const keys *k, int64_t j, int64_t D, const attend_how *how) {
  double s = 0;
  for (int64_t i = 0; i < D; i++) s += q[i] * key_of(k, j, i);
  s *= how->scale;
  return how->softcap > 0 ? how->softcap * tanh(s / how->softcap) : s;
}

/* One query against its keys.  Returns log-sum-exp. */
static double attend(double *out, const double *q, const keys *s, int64_t D,
                     const attend_how *how) {
  double max = -INFINITY, sum = 0;
  for (int64_t j = how->first; j < how->count; j++) max = fmax(max, score(q, s, j, D, how));
  for (int64_t i = 0; i < D; i++) out[i] = 0;
  for (int64_t j = how->first; j < how->count; j++) {
    double p = exp(score(q, s, j, D, how) - max);
    sum += p;
    for (int64_t i = 0; i < D; i++) out[i] += p * value_of(s, j, i);
  }
  for (int64_t i = 0; i < D; i++) out[i] /= sum;
  return max + log(sum);
}

void tn_ref_run_attention(const tn_attention_args *args, const tn_ref_attention *d) {
  int64_t B = args->q.shape[0], T = args->q.shape[1], H = args->q.shape[2], D = args->q.shape[3];
  int64_t Hkv = args->k.shape[2];
  for (int64_t b = 0; b < B; b++)
    for (int64_t h = 0; h < H; h++) {
      int64_t kv = (b * T * Hkv + h / (H / Hkv)) * D;
      keys s = {.k = d->k + kv, .v = d->v + kv, .stride = Hkv * D};
      for (int64_t t = 0; t < T; t++) {
        int64_t at = ((b * T + t) * H + h) * D;
        attend_how how = {.scale = args->scale, .count = t + 1};
        d->lse[(b * H + h) * T + t] = attend(d->out + at, d->q + at, &s, D, &how);
      }
    }
}

/* The gradient of one query: p = softmax, ds = p (dp - sum(p dp)), with sum(p dp) = dout . out. */
static void attend_backward(const tn_ref_attention_backward *d, int64_t q_at, int64_t kv_at,
                            int64_t kv_stride, int64_t count, int64_t D, double lse, double scale) {
  const double *q = d->q + q_at, *dout = d->dout + q_at;
  double delta = dot(dout, d->out + q_at, D);
  for (int64_t j = 0; j < count; j++) {
    int64_t at = kv_at + j * kv_stride;
    double p = exp(scale * dot(q, d->k + at, D) - lse);
    double ds = scale * p * (dot(dout, d->v + at, D) - delta);
    for (int64_t i = 0; i < D; i++) {
      d->dv[at + i] += p * dout[i];
      d->dk[at + i] += ds * q[i];
      d->dq[q_at + i] += ds * d->k[at + i];
    }
  }
}

void tn_ref_run_attention_backward(const tn_attention_backward_args *args,
                                   const tn_ref_attention_backward *d) {
  int64_t B = args->q.shape[0], T = args->q.shape[1], H = args->q.shape[2], D = args->q.shape[3];
  int64_t Hkv = args->k.shape[2];
  for (int64_t b = 0; b < B; b++)
    for (int64_t h = 0; h < H; h++)
      for (int64_t t = 0; t < T; t++)
        attend_backward(d, ((b * T + t) * H + h) * D, (b * T * Hkv + h / (H / Hkv)) * D, Hkv * D,
                        t + 1, D, d->lse[(b * H + h) * T + t], args->scale);
}

/* One key or value into a cache of codes, in float, as every device does it; returns its scale. */
static double write_codes(double *to, int64_t step, const double *x, int64_t D, float largest) {
  float max = 0;
  for (int64_t i = 0; i < D && max < INFINITY; i++) {
    float size = fabsf((float)x[i]);
    if (!(size <= max)) max = size; /* NaN too */
  }
  float scale = max < INFINITY ? max / largest : max;
  float factor = scale > 0 && scale < INFINITY ? 1.0f / scale : 0;
  for (int64_t i = 0; i < D; i++) to[i * step] = factor == 0 ? 0 : (double)((float)x[i] * factor);
  return scale;
}

void tn_ref_run_kv_write(const tn_kv_write_args *args, const tn_ref_kv_write *d) {
  int64_t H = args->v_cache.shape[1], P = args->v_cache.shape[2], D = args->v_cache.shape[3];
  bool k_coded = !tn_dtype_is_real(args->k_cache.dtype);
  bool v_coded = !tn_dtype_is_real(args->v_cache.dtype);
  float k_largest = args->k_cache.dtype == TN_I8 ? 127.0f : 448.0f;
  float v_largest = args->v_cache.dtype == TN_I8 ? 127.0f : 448.0f;
  for (int64_t r = 0; r < args->slots.shape[0]; r++) {
    int64_t slot = (int64_t)d->slots[r];
    for (int64_t h = 0; slot >= 0 && h < H; h++) {
      int64_t block = slot / P * H + h, token = block * P + slot % P;
      const double *k = d->k + (r * H + h) * D, *v = d->v + (r * H + h) * D;
      double *k_to = d->k_cache + block * D * P + slot % P, *v_to = d->v_cache + token * D;
      for (int64_t i = 0; !k_coded && i < D; i++) k_to[i * P] = k[i];
      for (int64_t i = 0; !v_coded && i < D; i++) v_to[i] = v[i];
      if (k_coded) d->k_scale[token] = write_codes(k_to, P, k, D, k_largest);
      if (v_coded) d->v_scale[token] = write_codes(v_to, 1, v, D, v_largest);
    }
  }
}

/* y = x / sqrt(mean(x^2) + eps) * (offset + weight) for heads of D; as it is without weight */
static void norm_heads(double *y, const double *x, const double *weight, int64_t heads, int64_t D,
                       const tn_rope_kv_write_args *args) {
  for (int64_t h = 0; h < heads; h++, x += D, y += D) {
    double rstd = 1.0 / sqrt(dot(x, x, D) / (double)D + (double)args->eps);
    for (int64_t i = 0; i < D; i++)
      y[i] = weight ? x[i] * rstd * ((double)args->weight_offset + weight[i]) : x[i];
  }
}

void tn_ref_run_rope_kv_write(const tn_rope_kv_write_args *args, const tn_ref_rope_kv_write *d) {
  const int64_t *q = args->q.shape, *k = args->k.shape;
  int64_t turned = args->table.shape[1];
  norm_heads(d->y, d->q, d->q_norm, q[0] * q[1], q[2], args);
  rotate(d->y, d->y, d->table, d->positions, q, turned, 1.0);
  norm_heads(d->k, d->k, d->k_norm, k[0] * k[1], k[2], args); /* a copy of what the caller has */
  rotate(d->k, d->k, d->table, d->positions, k, turned, 1.0);
  const tn_kv_write_args write = {
      .k_cache = args->k_cache, .v_cache = args->v_cache, .slots = args->slots};
  tn_ref_run_kv_write(&write, &(tn_ref_kv_write){.k_cache = d->k_cache,
                                                 .v_cache = d->v_cache,
                                                 .k_scale = d->k_scale,
                                                 .v_scale = d->v_scale,
                                                 .k = d->k,
                                                 .v = d->v,
                                                 .slots = d->slots});
}

void tn_ref_run_attention_paged(const tn_attention_paged_args *args,
                                const tn_ref_attention_paged *d) {
  int64_t R = args->q.shape[0], H = args->q.shape[1], D = args->q.shape[2];
  int64_t Hkv = args->v_cache.shape[1], P = args->v_cache.shape[2], L = args->block_table.shape[1];
  for (int64_t r = 0; r < R; r++)
    for (int64_t h = 0; h < H; h++) {
      keys s = {.k = d->k_cache,
                .v = d->v_cache,
                .block_table = d->block_table + (int64_t)d->row_sequence[r] * L,
                .P = P,
                .Hkv = Hkv,
                .D = D,
                .head = h / (H / Hkv),
                .k_scale = tn_dtype_is_real(args->k_cache.dtype) ? NULL : d->k_scale,
                .v_scale = tn_dtype_is_real(args->v_cache.dtype) ? NULL : d->v_scale};
      attend_how how = {
          .scale = args->scale, .softcap = args->softcap, .count = (int64_t)d->row_position[r] + 1};
      if (args->window > 0 && how.count > args->window) how.first = how.count - args->window;
      attend(d->out + (r * H + h) * D, d->q + (r * H + h) * D, &s, D, &how);
    }
}
