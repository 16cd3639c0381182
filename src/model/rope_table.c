/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rope_table.h"

#include <math.h>

#include "model/workspace.h"

#define PI 3.14159265358979323846

/* ---- the frequency of dimension pair i ---- */

static double plain_frequency(double theta, int64_t i, int64_t dim) {
  return pow(theta, -2.0 * (double)i / (double)dim);
}

/* The dimension (a real number) that turns `rotations` times over the original positions. */
static double yarn_dimension(const tn_rope_scaling *r, double rotations, double theta,
                             int64_t dim) {
  return (double)dim * log((double)r->original_positions / (rotations * 2 * PI)) / (2 * log(theta));
}

static double yarn_frequency(const tn_rope_scaling *r, double theta, int64_t i, int64_t dim) {
  double plain = plain_frequency(theta, i, dim);
  double low = yarn_dimension(r, r->beta_fast != 0 ? r->beta_fast : 32, theta, dim);
  double high = yarn_dimension(r, r->beta_slow != 0 ? r->beta_slow : 1, theta, dim);
  if (!r->untruncated) low = floor(low), high = ceil(high);
  low = fmax(low, 0);
  high = fmin(high, (double)dim - 1);
  if (low == high) high += 0.001;
  double slow = fmin(fmax(((double)i - low) / (high - low), 0), 1);
  return plain / r->factor * slow + plain * (1 - slow);
}

static double llama3_frequency(const tn_rope_scaling *r, double theta, int64_t i, int64_t dim) {
  double plain = plain_frequency(theta, i, dim), wave = 2 * PI / plain;
  double original = (double)r->original_positions;
  if (wave < original / r->high_frequency) return plain;
  if (wave > original / r->low_frequency) return plain / r->factor;
  double smooth = (original / wave - r->low_frequency) / (r->high_frequency - r->low_frequency);
  return (1 - smooth) * plain / r->factor + smooth * plain;
}

static double frequency_of(const tn_model_config *c, tn_rope_options o, int64_t i) {
  const tn_rope_scaling *r = &c->rope;
  double plain = plain_frequency(o.local ? c->rope_theta_local : c->rope_theta, i, c->rotary_dim);
  if (o.local) return plain;
  switch (r->kind) {
    case TN_ROPE_LINEAR:
      return plain / r->factor;
    case TN_ROPE_YARN:
      return yarn_frequency(r, c->rope_theta, i, c->rotary_dim);
    case TN_ROPE_LLAMA3:
      return llama3_frequency(r, c->rope_theta, i, c->rotary_dim);
    case TN_ROPE_LONGROPE:
      return plain / (double)(o.extended ? r->long_factors[i] : r->short_factors[i]);
    default:
      return plain;
  }
}

/* Dynamic: of position p, as if the sequence ended there. */
static double grown_frequency(const tn_model_config *c, int64_t i, int64_t p) {
  double dim = (double)c->rotary_dim, factor = c->rope.factor;
  double reach = (double)(p + 1) / (double)c->rope.original_positions;
  double theta = c->rope_theta * pow(factor * reach - (factor - 1), dim / (dim - 2));
  return plain_frequency(theta, i, c->rotary_dim);
}

/* ---- the factor of all cosines and sines ---- */

static double yarn_scale(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1;
}

static double amplitude_of(const tn_model_config *c, tn_rope_options o) {
  const tn_rope_scaling *r = &c->rope;
  bool scales = r->kind == TN_ROPE_YARN || r->kind == TN_ROPE_LONGROPE;
  if (o.local || !scales) return 1;
  if (r->attention_factor != 0) return r->attention_factor;
  if (r->kind == TN_ROPE_LONGROPE)
    return r->factor <= 1 ? 1 : sqrt(1 + log(r->factor) / log((double)r->original_positions));
  if (r->mscale != 0 && r->mscale_all_dim != 0)
    return yarn_scale(r->factor, r->mscale) / yarn_scale(r->factor, r->mscale_all_dim);
  return yarn_scale(r->factor, 1);
}

/* ---- the table ---- */

static void fill_column(float *table, const tn_model_config *c, tn_rope_options o,
                        int64_t positions, int64_t i) {
  int64_t dim = c->rotary_dim, half = dim / 2;
  double frequency = frequency_of(c, o, i), amplitude = amplitude_of(c, o);
  bool grows = c->rope.kind == TN_ROPE_DYNAMIC && !o.local;
  for (int64_t p = 0; p < positions; p++) {
    bool beyond = grows && p >= c->rope.original_positions;
    double angle = (double)p * (beyond ? grown_frequency(c, i, p) : frequency);
    table[p * dim + i] = (float)(amplitude * cos(angle));
    table[p * dim + half + i] = (float)(amplitude * sin(angle));
  }
}

tn_status tn_rope_table_new(tn_tensor *out, const tn_model_config *config, tn_rope_options options,
                            int64_t positions, tn_stream *stream, tn_error *err) {
  const int64_t shape[2] = {positions, config->rotary_dim};
  size_t bytes = (size_t)(positions * config->rotary_dim) * sizeof(float);
  tn_buffer *host = NULL, *buffer = NULL;
  TN_TRY(tn_buffer_new(&host, bytes, err));
  for (int64_t i = 0; i < config->rotary_dim / 2; i++)
    fill_column(host->data, config, options, positions, i);
  if (stream->device->kind == TN_CPU) return tn_tensor_view(out, host, 0, TN_F32, 2, shape, err);
  tn_status status = tn_device_buffer_new(stream->device, &buffer, bytes, err);
  if (status == TN_OK) status = tn_tensor_view(out, buffer, 0, TN_F32, 2, shape, err);
  if (status == TN_OK) status = tn_to_device(stream, out, host->data, tn_tensor_count(out), err);
  if (status == TN_OK) status = tn_stream_synchronize(stream, err);
  tn_buffer_drop(host);
  if (status == TN_OK) return TN_OK;
  tn_buffer_drop(buffer);
  *out = (tn_tensor){0};
  return status;
}
