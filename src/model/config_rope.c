/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of config.json about rotary embedding: rope_parameters as transformers 5 writes it, and
 * rope_theta, rope_scaling, partial_rotary_factor and others as those before do. */
#include <math.h>

#include "model/config_keys.h"

static const char *const KIND_NAMES[TN_ROPE_KIND_COUNT] = {
    [TN_ROPE_PLAIN] = "default", [TN_ROPE_LINEAR] = "linear", [TN_ROPE_DYNAMIC] = "dynamic",
    [TN_ROPE_YARN] = "yarn",     [TN_ROPE_LLAMA3] = "llama3", [TN_ROPE_LONGROPE] = "longrope"};

const char *tn_rope_kind_name(tn_rope_kind kind) {
  return KIND_NAMES[kind];
}

/* What the keys say before it is known which kind they are for. */
typedef struct rope_words {
  double theta, partial;
  bool has_factor;
} rope_words;

static tn_status read_kind(const tn_json *rope, const char *key, tn_model_config *c,
                           tn_error *err) {
  tn_str name = TN_STR("default");
  TN_TRY(tn_json_get_str(rope, "type", &name, err));
  TN_TRY(tn_json_get_str(rope, "rope_type", &name, err));
  bool su = tn_str_is(name, "su") || tn_str_is(name, "yarn"); /* what Phi-3 first called it */
  if (c->arch == TN_ARCH_PHI3 && su) name = TN_STR("longrope");
  for (int kind = 0; kind < TN_ROPE_KIND_COUNT; kind++)
    if (tn_str_is(name, KIND_NAMES[kind])) {
      c->rope.kind = (tn_rope_kind)kind;
      return TN_OK;
    }
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "%s: rope_type %.*s is not supported, only default, linear, dynamic, yarn, llama3 "
                 "and longrope",
                 key, TN_STR_ARG(name));
}

static tn_status read_factors(const tn_json *rope, const char *key, float *out, int64_t *count,
                              tn_error *err) {
  const tn_json *list = tn_json_get(rope, key);
  if (!list || list->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "rope: longrope wants an array %s", key);
  if (list->count > TN_ROPE_FACTORS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "rope: %s has %lld entries, limit %d", key,
                   (long long)list->count, TN_ROPE_FACTORS_MAX);
  *count = 0;
  for (const tn_json *item = list->first; item; item = item->next) {
    if (item->kind != TN_JSON_NUMBER)
      return tn_fail(err, TN_ERR_DATA, "rope: %s: entry %lld is not a number", key,
                     (long long)*count);
    double value = item->is_integer ? (double)item->integer : item->number;
    if (!((float)value > 0 && isfinite((float)value)))
      return tn_fail(err, TN_ERR_DATA, "rope: %s: entry %lld is %g, must be above 0 and a float32",
                     key, (long long)*count, value);
    out[(*count)++] = (float)value;
  }
  return TN_OK;
}

static tn_status read_longrope(const tn_json *rope, tn_rope_scaling *r, tn_error *err) {
  int64_t count;
  TN_TRY(read_factors(rope, "short_factor", r->short_factors, &r->factor_count, err));
  TN_TRY(read_factors(rope, "long_factor", r->long_factors, &count, err));
  if (count == r->factor_count) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "rope: short_factor has %lld entries, long_factor %lld",
                 (long long)r->factor_count, (long long)count);
}

static tn_status read_yarn(const tn_json *rope, tn_rope_scaling *r, tn_error *err) {
  bool truncate = true;
  TN_TRY(tn_json_get_f64(rope, "beta_fast", &r->beta_fast, err));
  TN_TRY(tn_json_get_f64(rope, "beta_slow", &r->beta_slow, err));
  TN_TRY(tn_json_get_f64(rope, "mscale", &r->mscale, err));
  TN_TRY(tn_json_get_f64(rope, "mscale_all_dim", &r->mscale_all_dim, err));
  TN_TRY(tn_json_get_bool(rope, "truncate", &truncate, err));
  r->untruncated = !truncate;
  return TN_OK;
}

static tn_status read_llama3(const tn_json *rope, const char *key, tn_rope_scaling *r,
                             tn_error *err) {
  static const char *const wanted[] = {"factor", "low_freq_factor", "high_freq_factor"};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    if (tn_config_absent(tn_json_get(rope, wanted[i])))
      return tn_fail(err, TN_ERR_DATA, "%s: llama3 wants %s, which is missing", key, wanted[i]);
  TN_TRY(tn_json_get_f64(rope, "low_freq_factor", &r->low_frequency, err));
  return tn_json_get_f64(rope, "high_freq_factor", &r->high_frequency, err);
}

/* `key` is rope_parameters, rope_scaling, or a member of the first. */
static tn_status read_object(const tn_json *rope, const char *key, tn_model_config *c,
                             rope_words *words, tn_error *err) {
  tn_rope_scaling *r = &c->rope;
  if (rope->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "%s is a JSON %s, must be an object", key,
                   tn_json_kind_name(rope->kind));
  TN_TRY(read_kind(rope, key, c, err));
  TN_TRY(tn_json_get_f64(rope, "rope_theta", &words->theta, err));
  TN_TRY(tn_json_get_f64(rope, "partial_rotary_factor", &words->partial, err));
  TN_TRY(tn_json_get_f64(rope, "attention_factor", &r->attention_factor, err));
  TN_TRY(tn_json_get_i64(rope, "original_max_position_embeddings", INT64_MIN, INT64_MAX,
                         &r->original_positions, err));
  words->has_factor = !tn_config_absent(tn_json_get(rope, "factor"));
  TN_TRY(tn_json_get_f64(rope, "factor", &r->factor, err));
  if (r->kind == TN_ROPE_YARN) return read_yarn(rope, r, err);
  if (r->kind == TN_ROPE_LLAMA3) return read_llama3(rope, key, r, err);
  return r->kind == TN_ROPE_LONGROPE ? read_longrope(rope, r, err) : TN_OK;
}

/* rope_parameters, flat or with an object each for full_attention and sliding_attention. */
static tn_status read_parameters(const tn_json *root, tn_model_config *c, rope_words *words,
                                 tn_error *err) {
  const tn_json *rope = tn_json_get(root, "rope_parameters");
  if (tn_config_absent(rope)) return TN_OK;
  const tn_json *full = tn_json_get(rope, "full_attention");
  const tn_json *sliding = tn_json_get(rope, "sliding_attention");
  if (tn_config_absent(full) && tn_config_absent(sliding))
    return read_object(rope, "rope_parameters", c, words, err);
  if (!(tn_architecture_of(c->arch)->keys & TN_KEYS_ROTARY_BY_LAYER))
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "rope_parameters by layer type are not supported for %s",
                   tn_architecture_of(c->arch)->model_type);
  if (!tn_config_absent(full))
    TN_TRY(read_object(full, "rope_parameters.full_attention", c, words, err));
  if (tn_config_absent(sliding)) return TN_OK;
  tn_model_config local = *c;
  rope_words there = {.theta = c->rope_theta_local, .partial = words->partial};
  local.rope = (tn_rope_scaling){0};
  TN_TRY(read_object(sliding, "rope_parameters.sliding_attention", &local, &there, err));
  if (local.rope.kind != TN_ROPE_PLAIN || there.partial != words->partial)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "rope_parameters.sliding_attention: only rope_type default is supported there, "
                   "with the others' partial_rotary_factor");
  c->rope_theta_local = there.theta;
  return TN_OK;
}

/* Phi-3 has it outside, and that one counts. */
static tn_status finish_scaling(const tn_json *root, tn_model_config *c, const rope_words *words,
                                tn_error *err) {
  tn_rope_scaling *r = &c->rope;
  if (r->kind == TN_ROPE_PLAIN || r->kind == TN_ROPE_LINEAR) {
    bool linear = r->kind == TN_ROPE_LINEAR;
    *r = (tn_rope_scaling){.kind = r->kind, .factor = linear ? r->factor : 0};
    return TN_OK;
  }
  if (r->kind == TN_ROPE_DYNAMIC) {
    double reach = r->factor * (double)c->positions_max;
    r->original_positions = c->positions_max;
    if (r->factor >= 1 && reach < (double)(1 << 27)) c->positions_max = (int64_t)reach;
    return TN_OK;
  }
  if (r->original_positions == 0) r->original_positions = c->positions_max;
  TN_TRY(tn_json_get_i64(root, "original_max_position_embeddings", INT64_MIN, INT64_MAX,
                         &r->original_positions, err));
  if (!words->has_factor && r->kind != TN_ROPE_LLAMA3 && r->original_positions > 0)
    r->factor = (double)c->positions_max / (double)r->original_positions;
  double reach = r->factor * (double)r->original_positions;
  if (r->kind == TN_ROPE_YARN && reach > (double)c->positions_max && reach < (double)(1 << 27))
    c->positions_max = (int64_t)reach;
  return TN_OK;
}

/* transformers takes int(head_dim * factor) dimensions. */
static tn_status set_rotary_dim(tn_model_config *c, double partial, tn_error *err) {
  if (partial == 1) return TN_OK;
  if (!(partial > 0 && partial < 1))
    return tn_fail(err, TN_ERR_DATA, "partial_rotary_factor is %g, must be above 0 and at most 1",
                   partial);
  int64_t head = c->head_dim;
  if (head == 0 && c->heads > 0) head = c->hidden_size / c->heads;
  c->rotary_dim = (int64_t)((double)head * partial);
  if (c->rotary_dim >= 2 && c->rotary_dim % 2 == 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA,
                 "partial_rotary_factor %g of head_dim %lld is %lld dimensions, must be even and "
                 "at least 2",
                 partial, (long long)head, (long long)c->rotary_dim);
}

tn_status tn_config_read_rotary(const tn_json *root, tn_model_config *c, tn_error *err) {
  const tn_architecture *a = tn_architecture_of(c->arch);
  bool neox = a->keys & TN_KEYS_ROTARY_NEOX;
  rope_words words = {.theta = c->rope_theta != 0 ? c->rope_theta : 10000.0,
                      .partial = neox ? 0.25 : 1};
  TN_TRY(tn_json_get_f64(root, "partial_rotary_factor", &words.partial, err));
  TN_TRY(tn_json_get_f64(root, "rope_theta", &words.theta, err));
  if (neox) {
    TN_TRY(tn_json_get_f64(root, "rotary_pct", &words.partial, err));
    TN_TRY(tn_json_get_f64(root, "rotary_emb_base", &words.theta, err));
  }
  if (a->keys & TN_KEYS_ROTARY_BY_LAYER)
    TN_TRY(tn_json_get_f64(root, "rope_local_base_freq", &c->rope_theta_local, err));
  const tn_json *scaling = tn_json_get(root, "rope_scaling");
  if (!tn_config_absent(scaling)) TN_TRY(read_object(scaling, "rope_scaling", c, &words, err));
  TN_TRY(read_parameters(root, c, &words, err));
  if (c->rope_theta_local == 0 && (a->keys & TN_KEYS_ROTARY_BY_LAYER))
    return tn_fail(err, TN_ERR_DATA, "rope_theta of sliding layers is 0, must be positive");
  if (words.theta == 0)
    return tn_fail(err, TN_ERR_DATA, "rope_theta is 0, must be a positive number");
  c->rope_theta = words.theta;
  TN_TRY(finish_scaling(root, c, &words, err));
  return set_rotary_dim(c, words.partial, err);
}

/* ---- writing ---- */

static void write_optional(tn_json_writer *w, const char *key, double value) {
  if (value != 0) tn_config_write_f64(w, key, value);
}

static void write_factors(tn_json_writer *w, const char *key, const float *values, int64_t count) {
  tn_json_key(w, key);
  tn_json_begin_array(w);
  for (int64_t i = 0; i < count; i++) tn_json_f64(w, (double)values[i]);
  tn_json_end_array(w);
}

static void write_scaling(tn_json_writer *w, const tn_rope_scaling *r) {
  if (r->kind == TN_ROPE_PLAIN) return;
  tn_config_write_f64(w, "factor", r->factor);
  if (r->kind == TN_ROPE_LINEAR || r->kind == TN_ROPE_DYNAMIC) return;
  tn_json_key(w, "original_max_position_embeddings");
  tn_json_i64(w, r->original_positions);
  if (r->kind == TN_ROPE_LLAMA3) {
    tn_config_write_f64(w, "low_freq_factor", r->low_frequency);
    tn_config_write_f64(w, "high_freq_factor", r->high_frequency);
    return;
  }
  write_optional(w, "attention_factor", r->attention_factor);
  write_optional(w, "beta_fast", r->beta_fast);
  write_optional(w, "beta_slow", r->beta_slow);
  write_optional(w, "mscale", r->mscale);
  write_optional(w, "mscale_all_dim", r->mscale_all_dim);
  if (r->untruncated) {
    tn_json_key(w, "truncate");
    tn_json_bool(w, false);
  }
  if (r->kind != TN_ROPE_LONGROPE) return;
  write_factors(w, "short_factor", r->short_factors, r->factor_count);
  write_factors(w, "long_factor", r->long_factors, r->factor_count);
}

/* A fraction that truncates to rotary_dim when it is multiplied with head_dim. */
static double partial_of(const tn_model_config *c) {
  double partial = (double)c->rotary_dim / (double)c->head_dim;
  bool short_of = (int64_t)((double)c->head_dim * partial) < c->rotary_dim;
  return short_of ? nextafter(partial, 1) : partial;
}

static void write_object(tn_json_writer *w, const tn_model_config *c, const tn_rope_scaling *r,
                         double theta) {
  tn_json_begin_object(w);
  tn_config_write_f64(w, "rope_theta", theta);
  tn_json_key(w, "rope_type");
  tn_json_cstr(w, KIND_NAMES[r->kind]);
  if (c->rotary_dim != c->head_dim) tn_config_write_f64(w, "partial_rotary_factor", partial_of(c));
  write_scaling(w, r);
  tn_json_end_object(w);
}

/* For transformers before 5, which does not know rope_parameters. */
static void write_older(tn_json_writer *w, const tn_model_config *c) {
  bool neox = tn_architecture_of(c->arch)->keys & TN_KEYS_ROTARY_NEOX;
  tn_config_write_f64(w, neox ? "rotary_emb_base" : "rope_theta", c->rope_theta);
  if (neox)
    tn_config_write_f64(w, "rotary_pct", partial_of(c));
  else if (c->rotary_dim != c->head_dim)
    tn_config_write_f64(w, "partial_rotary_factor", partial_of(c));
  if (c->arch == TN_ARCH_PHI3 && c->rope.original_positions != 0) {
    tn_json_key(w, "original_max_position_embeddings");
    tn_json_i64(w, c->rope.original_positions);
  }
}

void tn_config_write_rotary(tn_json_writer *w, const tn_model_config *c) {
  static const tn_rope_scaling none = {0};
  tn_json_key(w, "rope_parameters");
  if (c->rope_theta_local != 0) {
    tn_json_begin_object(w);
    tn_json_key(w, "full_attention");
    write_object(w, c, &c->rope, c->rope_theta);
    tn_json_key(w, "sliding_attention");
    write_object(w, c, &none, c->rope_theta_local);
    tn_json_end_object(w);
    return;
  }
  write_object(w, c, &c->rope, c->rope_theta);
  write_older(w, c);
}
