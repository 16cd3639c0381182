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

/* One query against `count` keys, found by a function of the key's number.  Returns log-sum-exp. */
typedef struct keys {
  const double *k, *v;
  int64_t stride;            /* from one token to the next */
  const double *block_table; /* NULL: tokens follow each other */
  int64_t block_tokens, block_stride;
} keys;

static int64_t key_offset(const keys *s, int64_t j) {
  if (!s->block_table) return j * s->stride;
  return (int64_t)s->block_table[j / s->block_tokens] * s->block_stride +
         j % s->block_tokens * s->stride;
}

/* How scores are made and which keys count: [first, count) */
typedef struct attend_how {
  double scale, softcap;
  int64_t first, count;
} attend_how;

static double score(const double *q, const double *k, int64_t D, const attend_how *how) {
  double s = how->scale * dot(q, k, D);
  return how->softcap > 0 ? how->softcap * tanh(s / how->softcap) : s;
}

static double attend(double *out, const double *q, const keys *s, int64_t D,
                     const attend_how *how) {
  double max = -INFINITY, sum = 0;
  for (int64_t j = how->first; j < how->count; j++)
    max = fmax(max, score(q, s->k + key_offset(s, j), D, how));
  for (int64_t i = 0; i < D; i++) out[i] = 0;
  for (int64_t j = how->first; j < how->count; j++) {
    int64_t at = key_offset(s, j);
    double p = exp(score(q, s->k + at, D, how) - max);
    sum += p;
    for (int64_t i = 0; i < D; i++) out[i] += p * s->v[at + i];
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

void tn_ref_run_kv_write(const tn_kv_write_args *args, const tn_ref_kv_write *d) {
  int64_t H = args->k_cache.shape[1], P = args->k_cache.shape[2], D = args->k_cache.shape[3];
  for (int64_t r = 0; r < args->slots.shape[0]; r++) {
    int64_t slot = (int64_t)d->slots[r];
    if (slot < 0) continue;
    for (int64_t h = 0; h < H; h++)
      for (int64_t i = 0; i < D; i++) {
        int64_t at = ((slot / P * H + h) * P + slot % P) * D + i;
        d->k_cache[at] = d->k[(r * H + h) * D + i];
        d->v_cache[at] = d->v[(r * H + h) * D + i];
      }
  }
}

void tn_ref_run_attention_paged(const tn_attention_paged_args *args,
                                const tn_ref_attention_paged *d) {
  int64_t R = args->q.shape[0], H = args->q.shape[1], D = args->q.shape[2];
  int64_t Hkv = args->k_cache.shape[1], P = args->k_cache.shape[2], L = args->block_table.shape[1];
  for (int64_t r = 0; r < R; r++)
    for (int64_t h = 0; h < H; h++) {
      int64_t head = h / (H / Hkv) * P * D;
      keys s = {.k = d->k_cache + head,
                .v = d->v_cache + head,
                .stride = D,
                .block_table = d->block_table + (int64_t)d->row_sequence[r] * L,
                .block_tokens = P,
                .block_stride = Hkv * P * D};
      attend_how how = {
          .scale = args->scale, .softcap = args->softcap, .count = (int64_t)d->row_position[r] + 1};
      if (args->window > 0 && how.count > args->window) how.first = how.count - args->window;
      attend(d->out + (r * H + h) * D, d->q + (r * H + h) * D, &s, D, &how);
    }
}
