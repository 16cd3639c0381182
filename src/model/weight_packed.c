/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weight_packed.h"

#include <inttypes.h>
#include <stdio.h>

#include "tensor/quant.h"

enum { NAME_BYTES_MAX = 1024, TILE_ROWS = 64, AWQ_NIBBLES = 8 };

/* ---- the parts of a weight ---- */

static tn_file_tensor *find_part(const tn_weight_files *files, tn_str module, const char *part) {
  char name[NAME_BYTES_MAX];
  int length = snprintf(name, sizeof name, "%.*s.%s", TN_STR_ARG(module), part);
  if (length < 0 || (size_t)length >= sizeof name) return NULL;
  return tn_weight_files_find(files, (tn_str){name, (size_t)length});
}

static const tn_tensor *use_part(const tn_weight_files *files, tn_str module, const char *part) {
  tn_file_tensor *t = find_part(files, module, part);
  if (!t) return NULL;
  t->used = true;
  return &t->tensor;
}

/* "a.b.weight" -> "a.b"; false: no weight's name. */
static bool module_of(const char *name, tn_str *out) {
  tn_str s = tn_str_of(name);
  if (!tn_str_ends(s, TN_STR(".weight"))) return false;
  *out = (tn_str){s.data, s.length - strlen(".weight")};
  return true;
}

static const char *scale_name(const tn_weight_files *files, tn_str module) {
  return find_part(files, module, "weight_scale_inv") ? "weight_scale_inv" : "weight_scale";
}

/* The name of the part with the codes; NULL: this module is not packed. */
static const char *codes_name(const tn_weight_files *files, const tn_quant_config *config,
                              tn_str module) {
  bool by_columns = config->method == TN_QUANT_AWQ || config->method == TN_QUANT_GPTQ;
  if (by_columns) return find_part(files, module, "qweight") ? "qweight" : NULL;
  if (config->method == TN_QUANT_NONE) return NULL;
  if (find_part(files, module, "weight_packed")) return "weight_packed";
  const tn_file_tensor *weight = find_part(files, module, "weight");
  bool has_scale = find_part(files, module, scale_name(files, module)) != NULL;
  return weight && has_scale ? "weight" : NULL;
}

bool tn_packed_weight_is_there(const tn_weight_files *files, const tn_quant_config *config,
                               const char *name) {
  tn_str module;
  return module_of(name, &module) && codes_name(files, config, module) != NULL;
}

bool tn_packed_weight_is_aside(const tn_quant_config *config, tn_str name) {
  static const char *const ends[] = {".input_scale",       ".input_zero_point", ".output_scale",
                                     ".output_zero_point", ".k_scale",          ".v_scale",
                                     ".q_scale",           ".k_zero_point",     ".v_zero_point"};
  if (config->method == TN_QUANT_NONE) return false;
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (tn_str_ends(name, tn_str_of(ends[i]))) return true;
  return false;
}

/* ---- do the shapes go together ---- */

static tn_status fail_part(const tn_packed_weight *p, const char *part, const tn_tensor *is,
                           const char *must, tn_error *err) {
  tn_strbuf text = {0};
  if (is) tn_tensor_describe(is, &text);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK)
    status = tn_fail(err, TN_ERR_DATA, "%s: tensor \"%s\": its %s is %s, must be %s", p->path,
                     p->name, part, is ? text.data : "missing", must);
  tn_strbuf_clear(&text);
  return status;
}

static bool is_matrix(const tn_tensor *t, tn_dtype dtype, int64_t rows, int64_t columns) {
  return t && t->rank == 2 && t->dtype == dtype && t->shape[0] == rows && t->shape[1] == columns;
}

static tn_status check_matrix(const tn_packed_weight *p, const char *part, const tn_tensor *t,
                              tn_dtype dtype, int64_t rows, int64_t columns, tn_error *err) {
  if (is_matrix(t, dtype, rows, columns)) return TN_OK;
  char must[96];
  snprintf(must, sizeof must, "%s[%" PRId64 ", %" PRId64 "]", tn_dtype_name(dtype), rows, columns);
  return fail_part(p, part, t, must, err);
}

static bool is_real(const tn_tensor *t) {
  return t->dtype == TN_F32 || t->dtype == TN_F16 || t->dtype == TN_BF16;
}

static int64_t divide_up(int64_t a, int64_t b) {
  return a / b + (a % b != 0);
}

/* Groups of columns that the configuration wants. */
static int64_t group_count(const tn_packed_weight *p, const tn_quant_config *config) {
  return config->group_size <= 0 ? 1 : divide_up(p->columns, config->group_size);
}

static tn_status check_group_of(tn_packed_weight *p, int64_t groups, tn_error *err) {
  const tn_tensor *t = p->group_of;
  if (!t) return TN_OK;
  if (t->dtype != TN_I32 || t->rank != 1 || t->shape[0] != p->columns)
    return fail_part(p, "g_idx", t, "an int32 for each column", err);
  for (int64_t k = 0; k < p->columns; k++) {
    int64_t group = (int64_t)tn_element_get(tn_tensor_data(t), TN_I32, k);
    if (group < 0 || group >= groups)
      return tn_fail(err, TN_ERR_DATA,
                     "%s: tensor \"%s\": its g_idx[%" PRId64 "] is %" PRId64 ", there are %" PRId64
                     " groups",
                     p->path, p->name, k, group, groups);
  }
  return TN_OK;
}

/* AWQ and GPTQ. */
static tn_status find_by_columns(tn_packed_weight *p, const tn_weight_files *files,
                                 const tn_quant_config *config, tn_str module, tn_error *err) {
  const tn_tensor *q = p->codes;
  bool awq = config->method == TN_QUANT_AWQ;
  p->layout = awq ? TN_PACK_AWQ : TN_PACK_GPTQ;
  p->bits = config->bits;
  p->scales_transposed = true;
  p->zeros_minus_one = config->zeros_minus_one;
  p->scales = use_part(files, module, "scales");
  p->zeros = use_part(files, module, "qzeros");
  p->group_of = awq ? NULL : use_part(files, module, "g_idx");
  if (q->rank != 2 || q->dtype != TN_I32 || q->shape[0] > INT32_MAX || q->shape[1] > INT32_MAX)
    return fail_part(p, "qweight", q, "an int32 matrix", err);
  p->rows = awq ? q->shape[1] * AWQ_NIBBLES : q->shape[1];
  p->columns = awq ? q->shape[0] : q->shape[0] * 32 / p->bits;
  if (p->columns == 0 || p->rows == 0 || p->columns * p->bits % 32 != 0)
    return fail_part(p, "qweight", q, "of whole words and not empty", err);
  p->row_step = 1;
  p->column_step = config->group_size > 0 ? config->group_size : p->columns;
  int64_t groups = group_count(p, config);
  if (!p->scales || p->scales->rank != 2 || !is_real(p->scales) || p->scales->shape[0] != groups ||
      p->scales->shape[1] != p->rows)
    return fail_part(p, "scales", p->scales, "of [columns / group_size, rows]", err);
  TN_TRY(
      check_matrix(p, "qzeros", p->zeros, TN_I32, groups, divide_up(p->rows * p->bits, 32), err));
  return check_group_of(p, groups, err);
}

/* Rows and columns that share a scale, from its shape. */
static tn_status find_steps(tn_packed_weight *p, const tn_quant_config *config, const char *part,
                            tn_error *err) {
  const tn_tensor *s = p->scales;
  if (!s || !is_real(s) || s->rank > 2) return fail_part(p, part, s, "of a real type", err);
  int64_t down = s->rank > 0 ? s->shape[0] : 1, across = s->rank > 1 ? s->shape[1] : 1;
  bool blocks = config->block_rows > 0 && down == divide_up(p->rows, config->block_rows) &&
                across == divide_up(p->columns, config->block_columns);
  if (blocks) {
    p->row_step = config->block_rows;
    p->column_step = config->block_columns;
    return TN_OK;
  }
  p->row_step = down == 1 ? p->rows : 1;
  p->column_step = across == 1 ? p->columns : p->columns / (across > 0 ? across : 1);
  if (across > 1 && config->group_size > 0 && divide_up(p->columns, config->group_size) == across)
    p->column_step = config->group_size;
  bool fits = (down == 1 || down == p->rows) && across > 0 && p->column_step > 0 &&
              divide_up(p->columns, p->column_step) == across;
  return fits ? TN_OK
              : fail_part(p, part, s, "one a tensor, a row, a group of columns or a block", err);
}

/* pack-quantized: the shape of what is packed is in a tensor of its own. */
static tn_status find_packed_rows(tn_packed_weight *p, const tn_weight_files *files, tn_str module,
                                  tn_error *err) {
  const tn_tensor *shape = use_part(files, module, "weight_shape"), *q = p->codes;
  p->layout = TN_PACK_ROWS;
  bool good =
      shape && tn_tensor_count(shape) == 2 && (shape->dtype == TN_I64 || shape->dtype == TN_I32);
  if (!good) return fail_part(p, "weight_shape", shape, "two integers", err);
  double sizes[2];
  for (int i = 0; i < 2; i++) sizes[i] = tn_element_get(tn_tensor_data(shape), shape->dtype, i);
  if (!(sizes[0] >= 1 && sizes[0] <= INT32_MAX && sizes[1] >= 1 && sizes[1] <= INT32_MAX))
    return fail_part(p, "weight_shape", shape, "two sizes of 1 or more", err);
  p->rows = (int64_t)sizes[0];
  p->columns = (int64_t)sizes[1];
  for (p->bits = 4; p->bits <= 8; p->bits += 4)
    if (is_matrix(q, TN_I32, p->rows, divide_up(p->columns * p->bits, 32))) return TN_OK;
  return fail_part(p, "weight_packed", q, "int32 of weight_shape with 4 or 8 bits", err);
}

static tn_status find_bytes(tn_packed_weight *p, tn_error *err) {
  const tn_tensor *q = p->codes;
  p->layout = TN_PACK_BYTES;
  p->bits = 8;
  bool known = q->dtype == TN_I8 || q->dtype == TN_F8_E4M3 || q->dtype == TN_F8_E5M2;
  if (!known || q->rank != 2 || q->shape[0] == 0 || q->shape[1] == 0)
    return fail_part(p, "weight", q, "an int8 or float8 matrix, as it has scales", err);
  p->rows = q->shape[0];
  p->columns = q->shape[1];
  return TN_OK;
}

static tn_status check_zeros(const tn_packed_weight *p, tn_error *err) {
  const char *part = "weight_zero_point";
  int64_t down = divide_up(p->rows, p->row_step), across = divide_up(p->columns, p->column_step);
  if (!p->zeros) return TN_OK;
  if (p->layout == TN_PACK_ROWS && p->zeros->dtype == TN_I32)
    return check_matrix(p, part, p->zeros, TN_I32, divide_up(down * p->bits, 32), across, err);
  bool fits = p->zeros->dtype == TN_I8 && tn_tensor_count(p->zeros) == down * across;
  return fits ? TN_OK : fail_part(p, part, p->zeros, "an int8 for each scale", err);
}

/* compressed-tensors and float8. */
static tn_status find_by_rows(tn_packed_weight *p, const tn_weight_files *files,
                              const tn_quant_config *config, tn_str module, bool packed,
                              tn_error *err) {
  const char *part = scale_name(files, module);
  p->scales = use_part(files, module, part);
  p->zeros = use_part(files, module, "weight_zero_point");
  p->group_of = use_part(files, module, "weight_g_idx");
  TN_TRY(packed ? find_packed_rows(p, files, module, err) : find_bytes(p, err));
  TN_TRY(find_steps(p, config, part, err));
  if (p->codes->dtype == TN_F8_E4M3 || p->codes->dtype == TN_F8_E5M2) p->zeros = NULL;
  TN_TRY(check_zeros(p, err));
  int64_t groups = divide_up(p->columns, p->column_step);
  /* -1 everywhere: the columns are in order. */
  if (p->group_of && tn_tensor_count(p->group_of) > 0 && p->group_of->dtype == TN_I32 &&
      tn_element_get(tn_tensor_data(p->group_of), TN_I32, 0) < 0)
    p->group_of = NULL;
  return check_group_of(p, groups, err);
}

tn_status tn_packed_weight_find(tn_packed_weight *out, const tn_weight_files *files,
                                const tn_quant_config *config, const char *name, bool *found,
                                tn_error *err) {
  tn_str module;
  const char *codes = module_of(name, &module) ? codes_name(files, config, module) : NULL;
  *found = codes != NULL;
  if (!codes) return TN_OK;
  tn_file_tensor *t = find_part(files, module, codes);
  t->used = true;
  *out = (tn_packed_weight){.name = name, .path = t->path, .codes = &t->tensor};
  if (strcmp(codes, "qweight") == 0) return find_by_columns(out, files, config, module, err);
  return find_by_rows(out, files, config, module, strcmp(codes, "weight_packed") == 0, err);
}

/* ---- codes, scales and zero points one by one ---- */

static uint32_t word(const tn_tensor *t, int64_t index) {
  uint32_t value;
  memcpy(&value, (const char *)tn_tensor_data(t) + index * 4, 4);
  return value;
}

/* Code i of a run of codes that lie one behind the other, lowest bits first; `stride` words from
 * one word of the run to the next. */
static int32_t code_in_words(const tn_tensor *t, int64_t first, int64_t stride, int64_t i,
                             int32_t bits) {
  int64_t bit = i * bits;
  int32_t shift = (int32_t)(bit % 32);
  uint64_t window = word(t, first + bit / 32 * stride);
  if (shift + bits > 32) window |= (uint64_t)word(t, first + (bit / 32 + 1) * stride) << 32;
  return (int32_t)(window >> shift & ((1u << bits) - 1));
}

/* Nibble of a word that holds column i of 8. */
static int32_t awq_shift(int64_t i) {
  static const uint8_t place[AWQ_NIBBLES] = {0, 4, 1, 5, 2, 6, 3, 7};
  return 4 * place[i % AWQ_NIBBLES];
}

static int32_t awq_code(const tn_tensor *t, int64_t row, int64_t column) {
  return (int32_t)(word(t, row * t->shape[1] + column / AWQ_NIBBLES) >> awq_shift(column) & 15);
}

static float scale_at(const tn_packed_weight *p, int64_t row, int64_t group) {
  int64_t r = row / p->row_step, across = divide_up(p->columns, p->column_step);
  int64_t at = p->scales_transposed ? group * p->rows + r : r * across + group;
  return (float)tn_element_get(tn_tensor_data(p->scales), p->scales->dtype, at);
}

/* In the range of the codes as read_tile has them. */
static int32_t zero_at(const tn_packed_weight *p, int64_t row, int64_t group) {
  int64_t r = row / p->row_step, across = divide_up(p->columns, p->column_step);
  int32_t half = 1 << (p->bits - 1);
  switch (p->layout) {
    case TN_PACK_AWQ:
      return awq_code(p->zeros, group, row);
    case TN_PACK_GPTQ: {
      int32_t stored = code_in_words(p->zeros, group * p->zeros->shape[1], 1, row, p->bits);
      return p->zeros_minus_one ? (stored + 1) & (2 * half - 1) : stored;
    }
    case TN_PACK_ROWS:
      if (!p->zeros) return half;
      if (p->zeros->dtype == TN_I32) return code_in_words(p->zeros, group, across, r, p->bits);
      return half + (int32_t)tn_element_get(tn_tensor_data(p->zeros), TN_I8, r * across + group);
    case TN_PACK_BYTES:
      break;
  }
  return p->zeros ? (int32_t)tn_element_get(tn_tensor_data(p->zeros), TN_I8, r * across + group)
                  : 0;
}

/* Codes of `count` rows from `first` on into tile [count, columns]: 0 to 2^bits - 1, or for bytes
 * what they are.  Words are read in the order in which they lie. */
static void read_tile(const tn_packed_weight *p, int64_t first, int64_t count, int16_t *tile) {
  const tn_tensor *q = p->codes;
  const uint8_t *bytes = tn_tensor_data(q);
  int64_t K = p->columns;
  for (int64_t k = 0; p->layout == TN_PACK_AWQ && k < K; k++)
    for (int64_t r = 0; r < count; r++) tile[r * K + k] = (int16_t)awq_code(q, k, first + r);
  for (int64_t k = 0; p->layout == TN_PACK_GPTQ && k < K; k++)
    for (int64_t r = 0; r < count; r++)
      tile[r * K + k] = (int16_t)code_in_words(q, first + r, p->rows, k, p->bits);
  for (int64_t r = 0; p->layout == TN_PACK_ROWS && r < count; r++)
    for (int64_t k = 0; k < K; k++)
      tile[r * K + k] = (int16_t)code_in_words(q, (first + r) * q->shape[1], 1, k, p->bits);
  for (int64_t r = 0; p->layout == TN_PACK_BYTES && r < count; r++)
    for (int64_t k = 0; k < K; k++) {
      uint8_t byte = bytes[(first + r) * K + k];
      tile[r * K + k] = q->dtype == TN_I8 ? (int8_t)byte : byte;
    }
}

/* ---- the order of columns, and what block fits ---- */

typedef struct column_plan {
  tn_dtype dtype;
  int32_t *order;    /* stored column -> input; NULL: in order */
  int32_t *group_of; /* stored column -> group */
} column_plan;

static int64_t group_of_column(const tn_packed_weight *p, int64_t k) {
  if (!p->group_of) return k / p->column_step;
  return (int64_t)tn_element_get(tn_tensor_data(p->group_of), TN_I32, k);
}

/* Columns sorted by group, those of one group in their old order (a counting sort). */
static tn_status sort_columns(const tn_packed_weight *p, column_plan *plan, tn_error *err) {
  int64_t groups = divide_up(p->columns, p->column_step), K = p->columns;
  int64_t *next = tn_alloc((size_t)groups + 1, sizeof *next);
  if (!next) return tn_fail_memory(err, "an order of columns", (size_t)groups * sizeof *next);
  for (int64_t k = 0; k < K; k++) next[group_of_column(p, k) + 1]++;
  for (int64_t g = 0; g < groups; g++) next[g + 1] += next[g];
  bool moved = false;
  for (int64_t k = 0; k < K; k++) {
    int64_t group = group_of_column(p, k), at = next[group]++;
    plan->order[at] = (int32_t)k;
    plan->group_of[at] = (int32_t)group;
    moved |= at != k;
  }
  tn_free(next);
  if (!moved) {
    tn_free(plan->order);
    plan->order = NULL;
  }
  return TN_OK;
}

/* No block holds columns of two groups. */
static bool block_fits(const column_plan *plan, int64_t columns, int64_t block) {
  if (columns % block != 0) return false;
  for (int64_t k = 0; k < columns; k += block)
    for (int64_t i = 1; i < block; i++)
      if (plan->group_of[k + i] != plan->group_of[k]) return false;
  return true;
}

/* The widest block that fits; none: float32. */
static tn_dtype choose_dtype(const tn_packed_weight *p, const column_plan *plan) {
  static const tn_dtype int4[] = {TN_I4_G128, TN_I4_G64, TN_I4_G32},
                        int8[] = {TN_I8_G128, TN_I8_G32}, float8[] = {TN_F8_G128, TN_F8_G32};
  const tn_dtype *list = p->bits <= 4 ? int4 : int8;
  size_t count = p->bits <= 4 ? 3 : 2;
  if (p->codes->dtype == TN_F8_E4M3) list = float8;
  if (p->codes->dtype == TN_F8_E5M2) count = 0;
  for (size_t i = 0; i < count; i++)
    if (block_fits(plan, p->columns, tn_dtype_block(list[i]))) return list[i];
  return TN_F32;
}

static void clear_plan(column_plan *plan) {
  tn_free(plan->order);
  tn_free(plan->group_of);
}

static tn_status make_plan(const tn_packed_weight *p, column_plan *plan, tn_error *err) {
  plan->order = tn_alloc((size_t)p->columns, sizeof *plan->order);
  plan->group_of = tn_alloc((size_t)p->columns, sizeof *plan->group_of);
  if (!plan->order || !plan->group_of)
    return tn_fail_memory(err, "an order of columns", (size_t)p->columns * sizeof *plan->order);
  TN_TRY(sort_columns(p, plan, err));
  plan->dtype = choose_dtype(p, plan);
  return TN_OK;
}

/* ---- rows into blocks ---- */

static void put_float(uint8_t *at, float value) {
  memcpy(at, &value, sizeof value);
}

static void put_int4(uint8_t *block, const int16_t *codes, const int32_t *order, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint8_t code = (uint8_t)codes[order ? order[i] : i];
    uint8_t *byte = &block[8 + i / 32 * 16 + i % 16];
    *byte = i % 32 < 16 ? code : (uint8_t)(*byte | code << 4);
  }
}

static void put_bytes(uint8_t *to, const int16_t *codes, const int32_t *order, int64_t count,
                      int32_t shift) {
  for (int64_t i = 0; i < count; i++) to[i] = (uint8_t)(codes[order ? order[i] : i] - shift);
}

static void put_row(const tn_packed_weight *p, const column_plan *plan, int64_t row,
                    const int16_t *codes, uint8_t *out) {
  int64_t elements = tn_dtype_block(plan->dtype), bytes = tn_dtype_bytes(plan->dtype);
  bool is_float = p->codes->dtype == TN_F8_E4M3;
  int32_t shift = p->layout == TN_PACK_BYTES ? 0 : 128; /* codes 0..255 as int8 */
  for (int64_t k = 0; k < p->columns; k += elements, out += bytes) {
    int64_t group = plan->group_of[k];
    const int32_t *order = plan->order ? plan->order + k : NULL;
    const int16_t *from = order ? codes : codes + k;
    put_float(out, scale_at(p, row, group));
    if (is_float) {
      put_bytes(out + 4, from, order, elements, 0);
    } else if (p->bits <= 4) {
      put_float(out + 4, (float)zero_at(p, row, group));
      put_int4(out, from, order, elements);
    } else {
      put_float(out + 4, (float)(zero_at(p, row, group) - shift));
      put_bytes(out + 8, from, order, elements, shift);
    }
  }
}

static float code_value(const tn_packed_weight *p, int16_t code) {
  if (p->codes->dtype == TN_F8_E4M3) return tn_f8_e4m3_to_f32((uint8_t)code);
  if (p->codes->dtype == TN_F8_E5M2) return tn_f8_e5m2_to_f32((uint8_t)code);
  return code;
}

/* Columns in their natural order. */
static void put_floats(const tn_packed_weight *p, int64_t row, const int16_t *codes, float *out) {
  bool is_float = p->codes->dtype == TN_F8_E4M3 || p->codes->dtype == TN_F8_E5M2;
  for (int64_t k = 0; k < p->columns; k++) {
    int64_t group = group_of_column(p, k);
    float zero = is_float ? 0 : (float)zero_at(p, row, group);
    out[k] = scale_at(p, row, group) * (code_value(p, codes[k]) - zero);
  }
}

static void put_tiles(const tn_packed_weight *p, const column_plan *plan, int16_t *tile,
                      uint8_t *out) {
  int64_t row_bytes = tn_dtype_bytes_of(plan->dtype, p->columns);
  for (int64_t first = 0; first < p->rows; first += TILE_ROWS) {
    int64_t count = p->rows - first < TILE_ROWS ? p->rows - first : TILE_ROWS;
    read_tile(p, first, count, tile);
    for (int64_t r = 0; r < count; r++) {
      uint8_t *to = out + (first + r) * row_bytes;
      if (plan->dtype == TN_F32)
        put_floats(p, first + r, tile + r * p->columns, (float *)(void *)to);
      else
        put_row(p, plan, first + r, tile + r * p->columns, to);
    }
  }
}

/* ---- the whole ---- */

static tn_status make_order(const tn_packed_weight *p, const column_plan *plan, tn_weight *out,
                            tn_error *err) {
  if (!plan->order || plan->dtype == TN_F32) return TN_OK;
  tn_buffer *buffer;
  TN_TRY(tn_buffer_new(&buffer, (size_t)p->columns * sizeof *plan->order, err));
  memcpy(buffer->data, plan->order, (size_t)p->columns * sizeof *plan->order);
  return tn_tensor_view(&out->order, buffer, 0, TN_I32, 1, &p->columns, err);
}

static tn_status unpack(const tn_packed_weight *p, const column_plan *plan, tn_weight *out,
                        tn_error *err) {
  size_t tile_count, bytes;
  if (!tn_mul_size((size_t)p->columns, TILE_ROWS, &tile_count) ||
      !tn_mul_size((size_t)tn_dtype_bytes_of(plan->dtype, p->columns), (size_t)p->rows, &bytes))
    return tn_fail(err, TN_ERR_DATA, "%s: tensor \"%s\": its size overflows 64 bits", p->path,
                   p->name);
  tn_buffer *buffer;
  TN_TRY(tn_buffer_new(&buffer, bytes, err));
  TN_TRY(tn_tensor_view(&out->tensor, buffer, 0, plan->dtype, 2,
                        (const int64_t[]){p->rows, p->columns}, err));
  int16_t *tile = tn_alloc(tile_count, sizeof *tile);
  if (!tile) return tn_fail_memory(err, "a tile of codes", tile_count * sizeof *tile);
  put_tiles(p, plan, tile, buffer->data);
  tn_free(tile);
  return make_order(p, plan, out, err);
}

tn_status tn_packed_weight_unpack(const tn_packed_weight *packed, tn_weight *out, tn_error *err) {
  column_plan plan = {0};
  *out = (tn_weight){.path = packed->path, .out_in = true};
  tn_status status = make_plan(packed, &plan, err);
  if (status == TN_OK) status = unpack(packed, &plan, out, err);
  clear_plan(&plan);
  if (status != TN_OK) tn_weight_clear(out);
  return status;
}
