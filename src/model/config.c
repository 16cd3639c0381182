/* SPDX-License-Identifier: Apache-2.0 */
/* What a config must fulfil, and its size. */
#include "model/config.h"

#include <math.h>

#include "model/architecture.h"

/* Generous beyond any published model, and small enough that no product of a weight's sizes leaves
 * int64. */
#define VOCAB_MAX        ((int64_t)1 << 24)
#define HIDDEN_MAX       ((int64_t)1 << 20)
#define INTERMEDIATE_MAX ((int64_t)1 << 22)
#define LAYERS_MAX       ((int64_t)TN_MODEL_LAYERS_MAX)
#define HEADS_MAX        ((int64_t)1 << 16)
#define HEAD_DIM_MAX     ((int64_t)1 << 12)
#define POSITIONS_MAX    ((int64_t)1 << 27)
#define MSCALE_MAX       1e6 /* of a rotary table: its square scales scores */
#define EXPERTS_MAX      ((int64_t)1 << 12)
#define LABELS_MAX       ((int64_t)1 << 16)
#define TYPES_MAX        ((int64_t)1 << 16)
#define PARAMETERS_MAX   ((int64_t)1 << 46)

/* ---- sizes ---- */

static tn_status check_range(const char *field, int64_t value, int64_t max, tn_error *err) {
  if (value >= 1 && value <= max) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s is %lld, must be 1 to %lld", field, (long long)value,
                 (long long)max);
}

static tn_status check_from_zero(const char *field, int64_t value, int64_t max, tn_error *err) {
  return value == 0 ? TN_OK : check_range(field, value, max, err);
}

static tn_status check_ranges(const tn_model_config *c, tn_error *err) {
  const tn_size_keys *keys = tn_architecture_of(c->arch)->sizes;
  TN_TRY(check_range("vocab_size", c->vocab_size, VOCAB_MAX, err));
  TN_TRY(check_range(keys->hidden, c->hidden_size, HIDDEN_MAX, err));
  TN_TRY(check_range(keys->intermediate, c->intermediate_size, INTERMEDIATE_MAX, err));
  TN_TRY(check_range(keys->layers, c->layers, LAYERS_MAX, err));
  TN_TRY(check_range(keys->heads, c->heads, HEADS_MAX, err));
  TN_TRY(check_range("num_key_value_heads", c->kv_heads, HEADS_MAX, err));
  TN_TRY(check_range(keys->positions, c->positions_max, POSITIONS_MAX, err));
  TN_TRY(check_from_zero("position_offset", c->position_offset, POSITIONS_MAX, err));
  TN_TRY(check_from_zero("type_vocab_size", c->token_types, TYPES_MAX, err));
  TN_TRY(check_from_zero("sliding_window", c->window, INT32_MAX, err));
  if (c->task == TN_TASK_CLASSIFY) TN_TRY(check_range("num_labels", c->labels, LABELS_MAX, err));
  return TN_OK;
}

static tn_status check_heads(tn_model_config *c, tn_error *err) {
  if (c->heads % c->kv_heads != 0)
    return tn_fail(err, TN_ERR_DATA,
                   "num_attention_heads is %lld, must be a multiple of num_key_value_heads %lld",
                   (long long)c->heads, (long long)c->kv_heads);
  if (c->head_dim == 0) {
    if (c->hidden_size % c->heads != 0)
      return tn_fail(err, TN_ERR_DATA,
                     "hidden_size is %lld, must be a multiple of num_attention_heads %lld (or give "
                     "head_dim)",
                     (long long)c->hidden_size, (long long)c->heads);
    c->head_dim = c->hidden_size / c->heads;
  }
  return check_range("head_dim", c->head_dim, HEAD_DIM_MAX, err);
}

static tn_status check_experts(const tn_model_config *c, tn_error *err) {
  if (c->experts == 0) return TN_OK;
  TN_TRY(check_range("num_local_experts", c->experts, EXPERTS_MAX, err));
  TN_TRY(check_range("moe_intermediate_size", c->expert_size, INTERMEDIATE_MAX, err));
  if (!tn_architecture_of(c->arch)->experts)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "a %s model has no experts",
                   tn_architecture_of(c->arch)->model_type);
  return check_range("num_experts_per_tok", c->experts_per_token, c->experts, err);
}

/* ---- positions ---- */

static tn_status check_positive(const char *field, double value, tn_error *err) {
  if (value > 0 && isfinite(value)) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s is %g, must be a positive number", field, value);
}

static tn_status check_longrope(const tn_model_config *c, tn_error *err) {
  const tn_rope_scaling *r = &c->rope;
  if (r->factor_count != c->rotary_dim / 2)
    return tn_fail(err, TN_ERR_DATA,
                   "rope: short_factor and long_factor have %lld entries, must have %lld (half of "
                   "the %lld dimensions that turn)",
                   (long long)r->factor_count, (long long)c->rotary_dim / 2,
                   (long long)c->rotary_dim);
  return TN_OK;
}

static tn_status check_scaling(const tn_model_config *c, tn_error *err) {
  const tn_rope_scaling *r = &c->rope;
  if (r->kind == TN_ROPE_PLAIN) return TN_OK;
  TN_TRY(check_positive("rope: factor", r->factor, err));
  if (r->kind == TN_ROPE_LINEAR) return TN_OK;
  TN_TRY(check_range("rope: original_max_position_embeddings", r->original_positions, POSITIONS_MAX,
                     err));
  if (r->attention_factor != 0 && !(r->attention_factor > 0 && r->attention_factor <= MSCALE_MAX))
    return tn_fail(err, TN_ERR_DATA, "rope: attention_factor is %g, must be above 0 and at most %g",
                   r->attention_factor, MSCALE_MAX);
  if (r->kind == TN_ROPE_LONGROPE) return check_longrope(c, err);
  if (r->kind == TN_ROPE_DYNAMIC) {
    if (r->factor < 1)
      return tn_fail(err, TN_ERR_DATA, "rope: factor is %g, must be 1 or more", r->factor);
    if (c->rotary_dim > 2) return TN_OK;
    return tn_fail(err, TN_ERR_DATA, "rope: dynamic scaling of heads that turn 2 dimensions");
  }
  if (r->kind == TN_ROPE_YARN) {
    if (c->rope_theta == 1)
      return tn_fail(err, TN_ERR_DATA, "rope: rope_theta is 1, yarn divides by its logarithm");
    if (r->beta_fast < 0 || r->beta_slow < 0 || !isfinite(r->beta_fast + r->beta_slow) ||
        !(fabs(r->mscale) <= MSCALE_MAX && fabs(r->mscale_all_dim) <= MSCALE_MAX))
      return tn_fail(err, TN_ERR_DATA,
                     "rope: a beta or mscale is not a positive number, or a mscale above %g",
                     MSCALE_MAX);
    return TN_OK;
  }
  TN_TRY(check_positive("rope: low_freq_factor", r->low_frequency, err));
  if (r->high_frequency > r->low_frequency && isfinite(r->high_frequency)) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "rope: high_freq_factor is %g, must be above low_freq_factor %g",
                 r->high_frequency, r->low_frequency);
}

static tn_status check_rotation(tn_model_config *c, tn_error *err) {
  if (c->learned_positions) return TN_OK;
  if (c->rotary_dim == 0) {
    c->rotary_dim = c->head_dim;
    if (c->head_dim % 2 != 0)
      return tn_fail(err, TN_ERR_DATA,
                     "head_dim is %lld, must be even: rotary embedding turns pairs",
                     (long long)c->head_dim);
  }
  if (c->rotary_dim < 2 || c->rotary_dim > c->head_dim || c->rotary_dim % 2 != 0)
    return tn_fail(err, TN_ERR_DATA,
                   "%lld dimensions of a head turn, must be even and 2 to head_dim %lld",
                   (long long)c->rotary_dim, (long long)c->head_dim);
  if (!(c->rope_theta > 0) || !isfinite(c->rope_theta))
    return tn_fail(err, TN_ERR_DATA, "rope_theta is %g, must be a positive number", c->rope_theta);
  if (c->rope_theta_local != 0)
    TN_TRY(check_positive("rope_local_base_freq", c->rope_theta_local, err));
  return check_scaling(c, err);
}

/* ---- the rest ---- */

static tn_status check_token(const char *field, int64_t id, tn_error *err) {
  if (id >= -1 && id <= INT32_MAX) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s is %lld, must be -1 (none) to %d", field, (long long)id,
                 INT32_MAX);
}

static tn_status check_tokens(const tn_model_config *c, tn_error *err) {
  TN_TRY(check_token("bos_token_id", c->bos_id, err));
  TN_TRY(check_token("eos_token_id", c->eos_id, err));
  if (c->eos_more_count < 0 || c->eos_more_count > TN_EOS_MORE_MAX)
    return tn_fail(err, TN_ERR_DATA, "eos_token_id has %lld entries, at most %d are taken",
                   (long long)c->eos_more_count + 1, TN_EOS_MORE_MAX + 1);
  for (int64_t i = 0; i < c->eos_more_count; i++)
    TN_TRY(check_token("eos_token_id", c->eos_more[i], err));
  return TN_OK;
}

static tn_status check_scalars(const tn_model_config *c, tn_error *err) {
  const char *eps = tn_architecture_of(c->arch)->sizes->eps;
  if (!(c->norm_eps > 0 && c->norm_eps < 1))
    return tn_fail(err, TN_ERR_DATA, "%s is %g, must be between 0 and 1", eps, c->norm_eps);
  if (c->attention_scale != 0) TN_TRY(check_positive("attention scale", c->attention_scale, err));
  if (c->attention_softcap != 0)
    TN_TRY(check_positive("attn_logit_softcapping", c->attention_softcap, err));
  if (c->logit_softcap != 0)
    TN_TRY(check_positive("final_logit_softcapping", c->logit_softcap, err));
  return TN_OK;
}

static tn_status check_count(const tn_model_config *c, tn_error *err) {
  int64_t parameters = tn_model_config_parameters(c);
  if (parameters > PARAMETERS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "these sizes make %lld parameters, limit %lld",
                   (long long)parameters, (long long)PARAMETERS_MAX);
  return TN_OK;
}

tn_status tn_model_config_check(tn_model_config *config, tn_error *err) {
  if ((uint32_t)config->arch >= TN_ARCH_COUNT)
    return tn_fail(err, TN_ERR_ARGUMENT, "architecture %d is none", (int)config->arch);
  if (config->rope_theta == 0) config->rope_theta = 10000.0;
  if (config->norm_eps == 0) config->norm_eps = 1e-5;
  if (config->kv_heads == 0) config->kv_heads = config->heads;
  TN_TRY(check_ranges(config, err));
  TN_TRY(check_heads(config, err));
  TN_TRY(check_experts(config, err));
  TN_TRY(check_rotation(config, err));
  TN_TRY(check_tokens(config, err));
  TN_TRY(check_scalars(config, err));
  return check_count(config, err);
}

/* ---- counting, INT64_MAX for what is more ---- */

static void add_weights(int64_t *sum, tn_weight_shape shape, int64_t times) {
  int64_t rows = shape.rank == 2 ? shape.rows : 1, count;
  if (shape.rank == 0) return;
  if (__builtin_mul_overflow(rows * shape.columns, times, &count) ||
      __builtin_add_overflow(*sum, count, sum))
    *sum = INT64_MAX;
}

int64_t tn_model_config_parameters(const tn_model_config *c) {
  int64_t sum = 0;
  for (int id = 0; id < TN_GLOBAL_WEIGHTS; id++)
    add_weights(&sum, tn_global_weight_shape(c, (tn_global_weight_id)id), 1);
  for (int64_t layer = 0; layer < c->layers; layer++) {
    for (int id = 0; id < TN_LAYER_WEIGHTS; id++)
      add_weights(&sum, tn_layer_weight_shape(c, layer, (tn_layer_weight_id)id), 1);
    for (int id = 0; id < TN_EXPERT_WEIGHTS && tn_model_config_routes(c, layer); id++)
      add_weights(&sum, tn_expert_weight_shape(c, (tn_expert_weight_id)id), c->experts);
  }
  return sum;
}
