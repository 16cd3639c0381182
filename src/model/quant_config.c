/* SPDX-License-Identifier: Apache-2.0 */
#include "model/quant_config.h"

#include <inttypes.h>

static bool is_null(const tn_json *value) {
  return !value || value->kind == TN_JSON_NULL;
}

static bool is_one_of(tn_str word, const char *const *list, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (tn_str_is(word, list[i])) return true;
  return false;
}

static tn_status check_bits(int64_t bits, const char *method, const int32_t *known, size_t count,
                            tn_error *err) {
  for (size_t i = 0; i < count; i++)
    if (known[i] == bits) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "%s with %" PRId64
                 " bits is not supported; 4 and 8 bits are, as far as %s has "
                 "them",
                 method, bits, method);
}

/* ---- AWQ and GPTQ ---- */

static tn_status read_sizes(tn_quant_config *q, const tn_json *root, tn_error *err) {
  int64_t bits = 4;
  TN_TRY(tn_json_get_i64(root, "bits", 1, 32, &bits, err));
  TN_TRY(tn_json_get_i64(root, "group_size", -1, INT32_MAX, &q->group_size, err));
  q->bits = (int32_t)bits;
  if (q->group_size != 0 || is_null(tn_json_get(root, "group_size"))) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "group_size is 0, must be -1 (a row) or the columns of a group");
}

static tn_status read_awq(tn_quant_config *q, const tn_json *root, tn_error *err) {
  tn_str version = TN_STR("gemm");
  bool zero_point = true;
  TN_TRY(read_sizes(q, root, err));
  TN_TRY(tn_json_get_str(root, "version", &version, err));
  TN_TRY(tn_json_get_bool(root, "zero_point", &zero_point, err));
  if (!tn_str_is(version, "gemm") && !tn_str_is(version, "GEMM"))
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "AWQ in the layout \"%.*s\" is not supported, only \"gemm\" is",
                   TN_STR_ARG(version));
  if (!zero_point)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "AWQ without zero points is not supported");
  return check_bits(q->bits, "AWQ", (const int32_t[]){4}, 1, err);
}

static tn_status read_gptq(tn_quant_config *q, const tn_json *root, tn_error *err) {
  tn_str format = TN_STR("gptq");
  TN_TRY(read_sizes(q, root, err));
  TN_TRY(tn_json_get_str(root, "format", &format, err));
  TN_TRY(tn_json_get_str(root, "checkpoint_format", &format, err));
  q->zeros_minus_one = tn_str_is(format, "gptq");
  if (!q->zeros_minus_one && !tn_str_is(format, "gptq_v2"))
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "GPTQ in the format \"%.*s\" is not supported; \"gptq\" and \"gptq_v2\" are",
                   TN_STR_ARG(format));
  return check_bits(q->bits, "GPTQ", (const int32_t[]){2, 3, 4, 8}, 4, err);
}

/* ---- compressed-tensors ---- */

static tn_status read_block(tn_quant_config *q, const tn_json *shape, tn_error *err) {
  if (is_null(shape)) return TN_OK;
  const tn_json *rows = tn_json_at(shape, 0), *columns = tn_json_at(shape, 1);
  bool good = shape->kind == TN_JSON_ARRAY && shape->count == 2 && rows->is_integer &&
              columns->is_integer && rows->integer > 0 && columns->integer > 0;
  if (!good) return tn_fail(err, TN_ERR_DATA, "the shape of a block must be two sizes above 0");
  q->block_rows = rows->integer;
  q->block_columns = columns->integer;
  return TN_OK;
}

static tn_status read_weights(tn_quant_config *q, const tn_json *weights, tn_error *err) {
  int64_t bits = 8, group_size = 0;
  tn_str type = TN_STR("int");
  TN_TRY(tn_json_get_i64(weights, "num_bits", 1, 32, &bits, err));
  TN_TRY(tn_json_get_str(weights, "type", &type, err));
  TN_TRY(tn_json_get_i64(weights, "group_size", -1, INT32_MAX, &group_size, err));
  TN_TRY(read_block(q, tn_json_get(weights, "block_structure"), err));
  if (tn_str_is(type, "float"))
    TN_TRY(check_bits(bits, "compressed-tensors of type float", (const int32_t[]){8}, 1, err));
  else
    TN_TRY(check_bits(bits, "compressed-tensors of type int", (const int32_t[]){4, 8}, 2, err));
  if (q->group_count == 0) q->group_size = group_size;
  if (q->group_count == 0) q->bits = (int32_t)bits;
  q->bits_of[q->group_count++] = (int32_t)bits;
  return TN_OK;
}

static tn_status read_group(tn_quant_config *q, const tn_json *group, tn_error *err) {
  const tn_json *weights = tn_json_get(group, "weights");
  if (!is_null(tn_json_get(group, "input_activations"))) q->activations = true;
  if (is_null(weights)) return TN_OK;
  if (q->group_count == TN_QUANT_GROUPS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "config_groups has more than %d entries",
                   TN_QUANT_GROUPS_MAX);
  tn_status status = read_weights(q, weights, err);
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "config_groups: \"%.*s\"", TN_STR_ARG(group->key));
}

static tn_status check_format(tn_str format, tn_error *err) {
  static const char *const known[] = {"pack-quantized",  "int-quantized",   "float-quantized",
                                      "naive-quantized", "mixed-precision", "dense"};
  if (is_one_of(format, known, sizeof known / sizeof *known)) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "compressed-tensors in the format \"%.*s\" is not supported; \"pack-quantized\" "
                 "(int4, int8), \"int-quantized\" and \"float-quantized\" (float8) are",
                 TN_STR_ARG(format));
}

/* The type alone: its scales, one a tensor, are not needed where each token has its own. */
static tn_status read_kv_scheme(tn_quant_config *q, const tn_json *scheme, tn_error *err) {
  int64_t bits = 8;
  tn_str type = TN_STR("int");
  if (is_null(scheme)) return TN_OK;
  TN_TRY(tn_json_get_i64(scheme, "num_bits", 1, 32, &bits, err));
  TN_TRY(tn_json_get_str(scheme, "type", &type, err));
  bool is_float = tn_str_is(type, "float");
  if (bits != 8 || (!is_float && !tn_str_is(type, "int")))
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "kv_cache_scheme: %" PRId64
                   " bits of type \"%.*s\" are not supported; 8 bits of \"int\" or \"float\" are",
                   bits, TN_STR_ARG(type));
  q->kv_dtype = is_float ? TN_F8_E4M3 : TN_I8;
  return TN_OK;
}

static tn_status read_compressed(tn_quant_config *q, const tn_json *root, tn_error *err) {
  tn_str format = TN_STR("dense"), sparse = TN_STR("dense");
  TN_TRY(tn_json_get_str(root, "format", &format, err));
  TN_TRY(check_format(format, err));
  const tn_json *sparsity = tn_json_get(root, "sparsity_config");
  if (!is_null(sparsity)) TN_TRY(tn_json_get_str(sparsity, "format", &sparse, err));
  if (!tn_str_is(sparse, "dense"))
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "compressed-tensors with the sparse format \"%.*s\" is not supported, only "
                   "dense weights are",
                   TN_STR_ARG(sparse));
  TN_TRY(read_kv_scheme(q, tn_json_get(root, "kv_cache_scheme"), err));
  const tn_json *groups = tn_json_get(root, "config_groups");
  if (!groups || groups->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "has no object config_groups");
  for (const tn_json *group = groups->first; group; group = group->next) {
    tn_str own = format;
    TN_TRY(tn_json_get_str(group, "format", &own, err));
    TN_TRY(check_format(own, err));
    TN_TRY(read_group(q, group, err));
  }
  return TN_OK;
}

/* ---- float8 ---- */

static tn_status read_fp8(tn_quant_config *q, const tn_json *root, tn_error *err) {
  q->bits = 8;
  q->activations = true;
  return read_block(q, tn_json_get(root, "weight_block_size"), err);
}

/* ---- the whole ---- */

static tn_status read_method(tn_quant_config *q, const tn_json *root, tn_error *err) {
  static const struct {
    const char *name;
    tn_quant_method method;
    tn_status (*read)(tn_quant_config *q, const tn_json *root, tn_error *err);
  } methods[] = {
      {"awq", TN_QUANT_AWQ, read_awq},
      {"gptq", TN_QUANT_GPTQ, read_gptq},
      {"compressed-tensors", TN_QUANT_COMPRESSED, read_compressed},
      {"fp8", TN_QUANT_FP8, read_fp8},
  };
  tn_str name = {0};
  if (root->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "a JSON %s, must be an object", tn_json_kind_name(root->kind));
  TN_TRY(tn_json_get_str(root, "quant_method", &name, err));
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (!tn_str_is(name, methods[i].name)) continue;
    q->method = methods[i].method;
    return methods[i].read(q, root, err);
  }
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "quant_method \"%.*s\" is not supported; awq, gptq, compressed-tensors and fp8 "
                 "are, and GGUF files",
                 TN_STR_ARG(name));
}

tn_status tn_quant_config_parse(tn_quant_config *out, tn_str config, const char *name,
                                tn_error *err) {
  tn_arena arena = {0};
  tn_json *root = NULL;
  *out = (tn_quant_config){0};
  tn_status status = tn_json_parse(&root, &arena, config, NULL, err);
  if (status == TN_OK) {
    const tn_json *quant = tn_json_get(root, "quantization_config");
    if (is_null(quant)) quant = tn_json_get(root, "compression_config"); /* its older name */
    if (!is_null(quant)) {
      status = read_method(out, quant, err);
      if (status != TN_OK) status = tn_error_context(err, status, "quantization_config");
    }
  }
  tn_arena_clear(&arena);
  if (status != TN_OK) return tn_error_context(err, status, "%s", name);
  return TN_OK;
}

static void add_bits(const tn_quant_config *q, tn_strbuf *out) {
  tn_strbuf_addf(out, ", %" PRId32, q->bits);
  for (int32_t i = 1; i < q->group_count; i++)
    if (q->bits_of[i] != q->bits_of[i - 1]) tn_strbuf_addf(out, " and %" PRId32, q->bits_of[i]);
  tn_strbuf_add(out, " bits");
}

void tn_quant_config_describe(const tn_quant_config *config, tn_strbuf *out) {
  static const char *const names[] = {[TN_QUANT_AWQ] = "AWQ",
                                      [TN_QUANT_GPTQ] = "GPTQ",
                                      [TN_QUANT_COMPRESSED] = "compressed-tensors",
                                      [TN_QUANT_FP8] = "float8"};
  if (config->method == TN_QUANT_NONE) return;
  tn_strbuf_add(out, names[config->method]);
  add_bits(config, out);
  if (config->group_size > 0) tn_strbuf_addf(out, ", groups of %" PRId64, config->group_size);
  if (config->group_size == -1) tn_strbuf_add(out, ", a scale a row");
  if (config->block_rows > 0)
    tn_strbuf_addf(out, ", blocks of %" PRId64 " x %" PRId64, config->block_rows,
                   config->block_columns);
  if (config->kv_dtype != TN_F32)
    tn_strbuf_addf(out, ", KV cache %s", config->kv_dtype == TN_I8 ? "int8" : "fp8");
}
