/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/layer_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { NAME_BYTES = 256, LAYER_DIGITS = 24 };

_Static_assert(sizeof(tn_grid_scale) == 8, "a scale is a float32 and an int32");

/* ---- writing ---- */

typedef struct list { /* room for two tensors of each of the layer */
  tn_named_tensor *tensors;
  tn_buffer *buffers;
  int64_t count;
  tn_arena names;
} list;

static tn_status add(list *l, const char *name, const char *ending, void *data, tn_dtype dtype,
                     int32_t rank, const int64_t *shape, tn_error *err) {
  char text[NAME_BYTES];
  snprintf(text, sizeof text, "%s%s", name, ending);
  char *copy = tn_arena_strndup(&l->names, text, strlen(text));
  if (!copy) return tn_fail_memory(err, "a tensor's name", strlen(text));
  size_t bytes = (size_t)tn_dtype_bytes(dtype);
  for (int32_t d = 0; d < rank; d++) bytes *= (size_t)shape[d];
  tn_buffer *buffer = &l->buffers[l->count];
  *buffer = (tn_buffer){.data = data, .bytes = bytes};
  tn_named_tensor *t = &l->tensors[l->count];
  t->name = copy;
  TN_TRY(tn_tensor_view(&t->tensor, buffer, 0, dtype, rank, shape, err));
  l->count++;
  return TN_OK;
}

static tn_status add_tensor(list *l, const char *name, const tn_quantized_tensor *q,
                            tn_error *err) {
  const tn_grid_matrix *m = &q->matrix;
  if (q->is_quantized) {
    const int64_t codes[2] = {m->rows, m->columns}, scales[3] = {m->rows, m->groups, 2};
    TN_TRY(add(l, name, ".codes", m->codes, TN_I8, 2, codes, err));
    return add(l, name, ".scales", m->scales, TN_I32, 3, scales, err);
  }
  if (!q->is_changed) return TN_OK;
  const int64_t count = (int64_t)(q->values->bytes / sizeof(float));
  return add(l, name, ".values", q->values->data, TN_F32, 1, &count, err);
}

static tn_status add_all(list *l, const tn_layer_weights *layer, const tn_quantized *q,
                         tn_error *err) {
  size_t most = 2 * (size_t)layer->count;
  l->tensors = tn_alloc(most, sizeof *l->tensors);
  l->buffers = tn_alloc(most, sizeof *l->buffers);
  if (!l->tensors || !l->buffers)
    return tn_fail_memory(err, "the list of a layer", most * sizeof *l->tensors);
  for (int32_t i = 0; i < layer->count; i++) {
    const tn_layer_tensor_copy *t = &layer->tensors[i];
    TN_TRY(add_tensor(l, t->file_name, &q->tensors[t->place], err));
  }
  return TN_OK;
}

tn_status tn_layer_file_write(const char *path, const char *run, const tn_layer_weights *layer,
                              const tn_quantized *q, tn_error *err) {
  char number[LAYER_DIGITS];
  const char *const metadata[] = {"layer", number, "run", run};
  list l = {0};
  snprintf(number, sizeof number, "%" PRId64, layer->layer);
  tn_status status = add_all(&l, layer, q, err);
  if (status == TN_OK) status = tn_safetensors_write(path, l.tensors, l.count, metadata, 2, err);
  tn_free(l.tensors);
  tn_free(l.buffers);
  tn_arena_clear(&l.names);
  return status;
}

/* ---- reading ---- */

static tn_status check_metadata(const tn_layer_file *f, const char *key, const char *want,
                                tn_error *err) {
  tn_str is = tn_safetensors_metadata(f->file, key);
  if (!is.data) is = TN_STR("none");
  if (tn_str_is(is, want)) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: is of %s \"%.*s\", not \"%s\"", f->path, key,
                 TN_STR_ARG(is), want);
}

tn_status tn_layer_file_open(tn_layer_file *out, const char *path, const char *run, int64_t layer,
                             tn_error *err) {
  char number[LAYER_DIGITS];
  snprintf(number, sizeof number, "%" PRId64, layer);
  *out = (tn_layer_file){.path = path};
  tn_status status = tn_safetensors_open(&out->file, path, err);
  if (status != TN_OK) return status;
  status = tn_safetensors_verify(out->file, err);
  if (status == TN_OK) status = check_metadata(out, "layer", number, err);
  if (status == TN_OK) status = check_metadata(out, "run", run, err);
  if (status != TN_OK) tn_layer_file_close(out);
  return status;
}

void tn_layer_file_close(tn_layer_file *f) {
  tn_safetensors_close(f->file);
  *f = (tn_layer_file){0};
}

static tn_status find(const tn_layer_file *f, const char *name, const char *ending, tn_dtype dtype,
                      int64_t count, tn_tensor *out, tn_error *err) {
  char text[NAME_BYTES];
  snprintf(text, sizeof text, "%s%s", name, ending);
  TN_TRY(tn_safetensors_get(f->file, text, out, err));
  if (out->dtype == dtype && tn_tensor_count(out) == count) return TN_OK;
  return tn_fail(
      err, TN_ERR_DATA, "%s: \"%s\" has %" PRId64 " elements of %s, wants %" PRId64 " of %s",
      f->path, text, tn_tensor_count(out), tn_dtype_name(out->dtype), count, tn_dtype_name(dtype));
}

/* Float8 has two codes that are no numbers. */
static bool is_code(const tn_grid *g, int8_t code) {
  if (g->is_float) return ((uint8_t)code & 0x7f) != 0x7f;
  return code >= tn_grid_low(g) && code <= tn_grid_high(g);
}

static bool is_scale(const tn_grid *g, tn_grid_scale s) {
  if (!(s.scale > 0) || !isfinite(s.scale)) return false;
  if (g->is_float || g->symmetric) return s.zero == 0;
  return s.zero >= tn_grid_low(g) && s.zero <= tn_grid_high(g);
}

static tn_status check_matrix(const tn_layer_file *f, const char *name, const tn_grid_matrix *m,
                              tn_error *err) {
  for (int64_t i = 0; i < m->rows * m->groups; i++)
    if (!is_scale(&m->grid, m->scales[i]))
      return tn_fail(err, TN_ERR_DATA, "%s: \"%s\": scale %" PRId64 " is %g, its zero %" PRId32,
                     f->path, name, i, (double)m->scales[i].scale, m->scales[i].zero);
  for (int64_t i = 0; i < m->rows * m->columns; i++)
    if (!is_code(&m->grid, m->codes[i]))
      return tn_fail(err, TN_ERR_DATA, "%s: \"%s\": code %" PRId64 " is %d, not one of %d bits",
                     f->path, name, i, m->codes[i], m->grid.bits);
  return TN_OK;
}

tn_status tn_layer_file_matrix(const tn_layer_file *f, const char *name, tn_grid_matrix *m,
                               tn_error *err) {
  int64_t codes = m->rows * m->columns, scales = m->rows * m->groups;
  tn_tensor t;
  TN_TRY(find(f, name, ".codes", TN_I8, codes, &t, err));
  memcpy(m->codes, tn_tensor_data(&t), (size_t)codes);
  TN_TRY(find(f, name, ".scales", TN_I32, 2 * scales, &t, err));
  memcpy(m->scales, tn_tensor_data(&t), (size_t)scales * sizeof *m->scales);
  return check_matrix(f, name, m, err);
}

tn_status tn_layer_file_values(const tn_layer_file *f, const char *name, float *out, int64_t count,
                               bool *found, tn_error *err) {
  tn_error none;
  tn_tensor t;
  char text[NAME_BYTES];
  snprintf(text, sizeof text, "%s.values", name);
  *found = tn_safetensors_get(f->file, text, &t, &none) == TN_OK;
  if (!*found) return TN_OK;
  TN_TRY(find(f, name, ".values", TN_F32, count, &t, err));
  memcpy(out, tn_tensor_data(&t), (size_t)count * sizeof *out);
  for (int64_t i = 0; i < count; i++)
    if (!isfinite(out[i]))
      return tn_fail(err, TN_ERR_DATA, "%s: \"%s\": element %" PRId64 " is no finite number",
                     f->path, text, i);
  return TN_OK;
}
