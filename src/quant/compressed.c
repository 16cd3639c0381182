/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/compressed.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/io.h"
#include "base/json.h"
#include "model/safetensors.h"
#include "model/side_files.h"

enum { WORD_BITS = 32 };

static const float int8_max = 127.5f, float8_max = 448;

const char *tn_compressed_unread(const tn_model_config *config,
                                 const tn_compressed_options *options) {
  const tn_grid *g = &options->quantize->grid;
  if (config->experts == 0) return NULL;
  if (g->is_float) return g->group > 0 ? "experts in float8 with groups" : NULL;
  if (options->activations) return "experts with quantized int8 inputs";
  return g->symmetric ? NULL : "experts with zero points";
}

/* ---- the list of tensors ---- */

typedef struct writer {
  const tn_quantized *q;
  tn_weight_source *source;
  const tn_compressed_options *o;
  tn_arena names;
  tn_named_tensor *list;
  size_t count, capacity;
  tn_weight *held; /* views into the source */
  size_t held_count, held_capacity;
  tn_buffer **made; /* packed for the file */
  size_t made_count, made_capacity;
} writer;

static tn_status add_tensor(writer *w, const char *name, const tn_tensor *t, tn_error *err) {
  TN_TRY(tn_grow((void **)&w->list, &w->capacity, w->count + 1, sizeof *w->list, err));
  char *copy = tn_arena_strndup(&w->names, name, strlen(name));
  if (!copy) return tn_fail_memory(err, "a tensor's name", strlen(name));
  w->list[w->count++] = (tn_named_tensor){copy, *t};
  return TN_OK;
}

/* A zeroed tensor of its own, in the list under `name`, whose data the caller fills. */
static tn_status add_made(writer *w, const char *name, tn_dtype dtype, int32_t rank,
                          const int64_t *shape, void **data, tn_error *err) {
  int64_t count = 1;
  for (int32_t d = 0; d < rank; d++) count *= shape[d];
  tn_tensor t;
  tn_buffer *buffer;
  TN_TRY(tn_grow((void **)&w->made, &w->made_capacity, w->made_count + 1, sizeof *w->made, err));
  TN_TRY(tn_buffer_new(&buffer, (size_t)(count * tn_dtype_bytes(dtype)), err));
  w->made[w->made_count++] = buffer;
  TN_TRY(tn_tensor_view(&t, buffer, 0, dtype, rank, shape, err));
  *data = buffer->data;
  return add_tensor(w, name, &t, err);
}

static void clear_writer(writer *w) {
  for (size_t i = 0; i < w->held_count; i++) tn_weight_clear(&w->held[i]);
  for (size_t i = 0; i < w->made_count; i++) tn_buffer_drop(w->made[i]);
  tn_free(w->held);
  tn_free(w->made);
  tn_free(w->list);
  tn_arena_clear(&w->names);
}

/* ---- what a linear becomes ---- */

static bool is_packed(const writer *w) {
  return !w->o->quantize->grid.is_float && !w->o->activations;
}

/* "a.b.weight" and "_scale" give "a.b.weight_scale". */
static const char *with_ending(char out[256], const char *name, const char *ending) {
  snprintf(out, 256, "%s%s", name, ending);
  return out;
}

static void store_scale(void *out, tn_dtype dtype, int64_t at, float scale) {
  tn_element_set(out, dtype, at, (double)scale);
}

static tn_status add_scales(writer *w, const char *name, const tn_grid_matrix *m, tn_error *err) {
  char text[256];
  void *out = NULL;
  const int64_t shape[2] = {m->rows, m->groups};
  TN_TRY(add_made(w, with_ending(text, name, "_scale"), m->grid.scale_dtype, 2, shape, &out, err));
  for (int64_t i = 0; i < m->rows * m->groups; i++)
    store_scale(out, m->grid.scale_dtype, i, m->scales[i].scale);
  return TN_OK;
}

/* `value` from the least code on, at place `at` of a row of words. */
static void put_bits(uint32_t *words, int32_t bits, int64_t at, int32_t value) {
  int64_t bit = at * bits;
  words[bit / WORD_BITS] |= (uint32_t)(value + (1 << (bits - 1))) << (bit % WORD_BITS);
}

static int64_t words_for(int64_t count, int32_t bits) {
  return (count * bits + WORD_BITS - 1) / WORD_BITS;
}

static tn_status add_zeros(writer *w, const char *name, const tn_grid_matrix *m, tn_error *err) {
  char text[256];
  void *out = NULL;
  int32_t bits = m->grid.bits;
  const int64_t shape[2] = {words_for(m->rows, bits), m->groups};
  TN_TRY(add_made(w, with_ending(text, name, "_zero_point"), TN_I32, 2, shape, &out, err));
  uint32_t *words = out;
  for (int64_t g = 0; g < m->groups; g++)
    for (int64_t r = 0; r < m->rows; r++) {
      uint32_t word = 0;
      put_bits(&word, bits, r % (WORD_BITS / bits), m->scales[r * m->groups + g].zero);
      words[r / (WORD_BITS / bits) * m->groups + g] |= word;
    }
  return TN_OK;
}

static tn_status add_packed(writer *w, const char *name, const tn_grid_matrix *m, tn_error *err) {
  char text[256];
  void *out = NULL, *shape_out = NULL;
  int32_t bits = m->grid.bits;
  const int64_t two = 2, shape[2] = {m->rows, words_for(m->columns, bits)};
  TN_TRY(add_made(w, with_ending(text, name, "_packed"), TN_I32, 2, shape, &out, err));
  for (int64_t r = 0; r < m->rows; r++)
    for (int64_t k = 0; k < m->columns; k++)
      put_bits((uint32_t *)out + r * shape[1], bits, k, m->codes[r * m->columns + k]);
  TN_TRY(add_made(w, with_ending(text, name, "_shape"), TN_I64, 1, &two, &shape_out, err));
  ((int64_t *)shape_out)[0] = m->rows;
  ((int64_t *)shape_out)[1] = m->columns;
  return m->grid.symmetric ? TN_OK : add_zeros(w, name, m, err);
}

static tn_status add_linear(writer *w, const char *name, const tn_grid_matrix *m, tn_error *err) {
  if (is_packed(w)) {
    TN_TRY(add_packed(w, name, m, err));
  } else {
    void *out = NULL;
    const int64_t shape[2] = {m->rows, m->columns};
    TN_TRY(add_made(w, name, m->grid.is_float ? TN_F8_E4M3 : TN_I8, 2, shape, &out, err));
    memcpy(out, m->codes, (size_t)(m->rows * m->columns));
  }
  return add_scales(w, name, m, err);
}

/* ---- parts of one tensor ---- */

/* Parameters from `place` on that are parts of the same tensor; 1 for a whole one. */
static int64_t parts_at(const writer *w, int64_t place) {
  const tn_parameter *p = tn_model_parameters(w->q->model, NULL);
  const char *open = strchr(p[place].name, '[');
  int64_t parts = 1;
  if (!open) return 1;
  while (place + parts < w->q->count &&
         strncmp(p[place].name, p[place + parts].name, (size_t)(open - p[place].name) + 1) == 0)
    parts++;
  return parts;
}

/* The name without "[0]". */
static const char *whole_name(char out[256], const char *name) {
  snprintf(out, 256, "%.*s", (int)strcspn(name, "["), name);
  return out;
}

/* Where row `row` of part `part` of a fused tensor goes: GPT-NeoX has q, k and v of head 0, then
 * those of head 1; else one part lies behind the other, from row `first` on. */
static int64_t joined_row(const writer *w, int64_t parts, int64_t part, int64_t first,
                          int64_t row) {
  const tn_model_config *c = tn_model_config_of(w->q->model);
  if (c->arch != TN_ARCH_GPT_NEOX) return first + row;
  return (row / c->head_dim * parts + part) * c->head_dim + row % c->head_dim;
}

static void put_rows(const writer *w, int64_t parts, int64_t part, int64_t first,
                     const tn_grid_matrix *m, tn_grid_matrix *out) {
  for (int64_t r = 0; r < m->rows; r++) {
    int64_t to = joined_row(w, parts, part, first, r);
    memcpy(out->codes + to * m->columns, m->codes + r * m->columns, (size_t)m->columns);
    memcpy(out->scales + to * m->groups, m->scales + r * m->groups,
           (size_t)m->groups * sizeof *m->scales);
  }
}

static tn_status join_parts(const writer *w, int64_t place, int64_t parts, tn_grid_matrix *out,
                            tn_error *err) {
  const tn_grid_matrix *first = &w->q->tensors[place].matrix;
  int64_t rows = 0, row = 0;
  for (int64_t i = 0; i < parts; i++) rows += w->q->tensors[place + i].matrix.rows;
  TN_TRY(tn_grid_matrix_init(out, &first->grid, rows, first->columns, err));
  for (int64_t i = 0; i < parts; i++) {
    const tn_grid_matrix *m = &w->q->tensors[place + i].matrix;
    put_rows(w, parts, i, row, m, out);
    row += m->rows;
  }
  return TN_OK;
}

static tn_status add_joined(writer *w, int64_t place, int64_t parts, tn_error *err) {
  char name[256];
  tn_grid_matrix whole = {0};
  whole_name(name, tn_model_parameters(w->q->model, NULL)[place].name);
  tn_status status = join_parts(w, place, parts, &whole, err);
  if (status == TN_OK) status = add_linear(w, name, &whole, err);
  tn_grid_matrix_clear(&whole);
  return status;
}

/* ---- everything else ---- */

static tn_status add_changed(writer *w, const tn_parameter *p, const tn_quantized_tensor *t,
                             tn_error *err) {
  void *out = NULL;
  const float *x = t->values->data;
  TN_TRY(add_made(w, p->name, t->file_dtype, p->tensor.rank, p->tensor.shape, &out, err));
  for (int64_t i = 0; i < tn_tensor_count(&p->tensor); i++)
    tn_element_set(out, t->file_dtype, i, (double)x[i]);
  return TN_OK;
}

static tn_status add_as_it_is(writer *w, const char *name, tn_error *err) {
  TN_TRY(tn_grow((void **)&w->held, &w->held_capacity, w->held_count + 1, sizeof *w->held, err));
  tn_weight *weight = &w->held[w->held_count];
  TN_TRY(tn_weight_source_find(w->source, name, weight, err));
  w->held_count++;
  return add_tensor(w, name, &weight->tensor, err);
}

static tn_status add_kv_scale(writer *w, tn_str module, const char *name, float largest,
                              tn_error *err) {
  char text[256];
  void *out = NULL;
  const int64_t one = 1;
  float most = w->o->kv_is_float ? float8_max : int8_max;
  snprintf(text, sizeof text, "%.*s%s", TN_STR_ARG(module), name);
  TN_TRY(add_made(w, text, TN_F32, 1, &one, &out, err));
  *(float *)out = largest > 0 ? largest / most : 1;
  return TN_OK;
}

/* What stands before "k_proj.weight", or what that is part of; false: p is no k_proj. */
static bool find_k_proj(const char *p, tn_str *module) {
  static const char *const endings[] = {"k_proj.weight", "qkv_proj.weight[1]"};
  tn_str name = tn_str_of(p);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    tn_str ending = tn_str_of(endings[i]);
    if (!tn_str_ends(name, ending)) continue;
    *module = (tn_str){name.data, name.length - ending.length};
    return true;
  }
  return false;
}

/* Beside every k_proj, in the order of the layers. */
static tn_status add_kv_scales(writer *w, tn_error *err) {
  const tn_parameter *p = tn_model_parameters(w->q->model, NULL);
  int64_t layer = 0;
  for (int64_t i = 0; w->q->k_max && i < w->q->count; i++) {
    tn_str module;
    if (!find_k_proj(p[i].name, &module)) continue;
    TN_TRY(add_kv_scale(w, module, "k_scale", w->q->k_max[layer], err));
    TN_TRY(add_kv_scale(w, module, "v_scale", w->q->v_max[layer], err));
    layer++;
  }
  return TN_OK;
}

/* All parts are on the grid, or all as the file has them. */
static tn_status add_parts(writer *w, int64_t place, int64_t parts, tn_error *err) {
  const tn_parameter *p = tn_model_parameters(w->q->model, NULL);
  int64_t quantized = 0, changed = 0;
  char name[256];
  for (int64_t i = 0; i < parts; i++) {
    quantized += w->q->tensors[place + i].is_quantized;
    changed += w->q->tensors[place + i].is_changed;
  }
  whole_name(name, p[place].name);
  if (quantized == parts) return add_joined(w, place, parts, err);
  if (quantized + changed == 0) return add_as_it_is(w, name, err);
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "\"%s\" is one tensor: its %" PRId64
                 " parts are quantized together or not at all (--ignore names them all)",
                 name, parts);
}

static tn_status add_all(writer *w, tn_error *err) {
  const tn_parameter *p = tn_model_parameters(w->q->model, NULL);
  for (int64_t i = 0, parts; i < w->q->count; i += parts) {
    const tn_quantized_tensor *t = &w->q->tensors[i];
    parts = parts_at(w, i);
    if (parts > 1)
      TN_TRY(add_parts(w, i, parts, err));
    else if (t->is_quantized)
      TN_TRY(add_linear(w, p[i].name, &t->matrix, err));
    else if (t->is_changed)
      TN_TRY(add_changed(w, &p[i], t, err));
    else
      TN_TRY(add_as_it_is(w, p[i].name, err));
  }
  return add_kv_scales(w, err);
}

/* ---- config.json ---- */

static void write_bool(tn_json_writer *j, const char *key, bool value) {
  tn_json_key(j, key);
  tn_json_bool(j, value);
}

static void write_text(tn_json_writer *j, const char *key, const char *value) {
  tn_json_key(j, key);
  tn_json_cstr(j, value);
}

static void write_null(tn_json_writer *j, const char *key) {
  tn_json_key(j, key);
  tn_json_null(j);
}

/* One of the format's QuantizationArgs. */
static void write_args(tn_json_writer *j, const char *key, int32_t bits, bool is_float,
                       bool symmetric, const char *strategy, int64_t group, bool dynamic) {
  tn_json_key(j, key);
  tn_json_begin_object(j);
  tn_json_key(j, "num_bits");
  tn_json_i64(j, bits);
  write_text(j, "type", is_float ? "float" : "int");
  write_bool(j, "symmetric", symmetric);
  write_text(j, "strategy", strategy);
  if (group > 0) {
    tn_json_key(j, "group_size");
    tn_json_i64(j, group);
  } else {
    write_null(j, "group_size");
  }
  write_bool(j, "dynamic", dynamic);
  write_null(j, "actorder");
  tn_json_end_object(j);
}

/* Linears that stay as they are: by module, the head too when it is tied to the embedding.
 * GPT-NeoX's is embed_out in files, and lm_head in transformers 5. */
static void write_ignore(const writer *w, tn_json_writer *j) {
  const tn_parameter *p = tn_model_parameters(w->q->model, NULL);
  tn_json_key(j, "ignore");
  tn_json_begin_array(j);
  tn_json_cstr(j, "lm_head");
  if (tn_model_config_of(w->q->model)->arch == TN_ARCH_GPT_NEOX) tn_json_cstr(j, "embed_out");
  for (int64_t i = 0; i < w->q->count; i++) {
    char whole[256];
    tn_str name = tn_str_of(whole_name(whole, p[i].name));
    if (strchr(p[i].name, '[') && !strstr(p[i].name, "[0]")) continue;
    if (w->q->tensors[i].is_quantized || p[i].tensor.rank != 2 ||
        tn_str_find(name, TN_STR(".layers.")) < 0 || !tn_str_ends(name, TN_STR(".weight")))
      continue;
    tn_json_str(j, (tn_str){name.data, name.length - (sizeof ".weight" - 1)});
  }
  tn_json_end_array(j);
}

static const char *format_name(const writer *w) {
  if (w->o->quantize->grid.is_float) return "float-quantized";
  return w->o->activations ? "int-quantized" : "pack-quantized";
}

static void write_group(const writer *w, tn_json_writer *j) {
  const tn_grid *g = &w->o->quantize->grid;
  tn_json_key(j, "config_groups");
  tn_json_begin_object(j);
  tn_json_key(j, "group_0");
  tn_json_begin_object(j);
  tn_json_key(j, "targets");
  tn_json_raw(j, TN_STR("[\"Linear\"]"));
  write_args(j, "weights", g->bits, g->is_float, g->symmetric, g->group ? "group" : "channel",
             g->group, false);
  if (w->o->activations)
    write_args(j, "input_activations", 8, g->is_float, true, "token", 0, true);
  else
    write_null(j, "input_activations");
  write_null(j, "output_activations");
  tn_json_end_object(j);
  tn_json_end_object(j);
}

static void write_quantization(const writer *w, tn_json_writer *j) {
  tn_json_key(j, "quantization_config");
  tn_json_begin_object(j);
  write_group(w, j);
  write_text(j, "format", format_name(w));
  write_null(j, "global_compression_ratio");
  write_ignore(w, j);
  if (w->q->k_max)
    write_args(j, "kv_cache_scheme", 8, w->o->kv_is_float, true, "tensor", 0, false);
  else
    write_null(j, "kv_cache_scheme");
  write_text(j, "quant_method", "compressed-tensors");
  write_text(j, "quantization_status", "compressed");
  write_text(j, "version", w->o->version);
  tn_json_end_object(j);
}

/* The model's own members, in their order, then quantization_config. */
static tn_status make_config(const writer *w, tn_strbuf *out, tn_error *err) {
  const char *path;
  tn_str text = tn_weight_source_config(w->source, &path);
  tn_arena arena = {0};
  tn_json *root = NULL;
  tn_status status = tn_json_parse(&root, &arena, text, NULL, err);
  if (status == TN_OK && root->kind != TN_JSON_OBJECT)
    status = tn_fail(err, TN_ERR_DATA, "not a JSON object");
  if (status == TN_OK) {
    tn_json_writer j = {.out = out, .indent = 2};
    tn_json_begin_object(&j);
    for (const tn_json *item = root->first; item; item = item->next) {
      tn_json_key_str(&j, item->key);
      tn_json_copy(&j, item);
    }
    write_quantization(w, &j);
    tn_json_end_object(&j);
    tn_strbuf_add_char(out, '\n');
    status = tn_strbuf_check(out, err);
  }
  tn_arena_clear(&arena);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", path);
}

static tn_status write_config(const writer *w, const char *folder, tn_error *err) {
  tn_strbuf text = {0}, path = {0};
  tn_strbuf_addf(&path, "%s/config.json", folder);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = make_config(w, &text, err);
  if (status == TN_OK) status = tn_file_write_atomic(path.data, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&path);
  tn_strbuf_clear(&text);
  return status;
}

/* ---- files ---- */

static tn_status write_weights(writer *w, const char *folder, tn_error *err) {
  static const char *const metadata[] = {"format", "pt"};
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/model.safetensors", folder);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = add_all(w, err);
  if (status == TN_OK)
    status = tn_safetensors_write(path.data, w->list, (int64_t)w->count, metadata, 1, err);
  tn_strbuf_clear(&path);
  return status;
}

tn_status tn_compressed_write(const char *folder, const tn_quantized *q, tn_weight_source *source,
                              const char *source_folder, const tn_compressed_options *options,
                              tn_error *err) {
  writer w = {.q = q, .source = source, .o = options};
  tn_status status = write_weights(&w, folder, err);
  if (status == TN_OK) status = write_config(&w, folder, err);
  clear_writer(&w);
  return status == TN_OK ? tn_side_files_copy(source_folder, folder, NULL, err) : status;
}
