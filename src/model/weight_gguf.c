/* SPDX-License-Identifier: Apache-2.0 */
#include "model/weight_gguf.h"

#include <inttypes.h>
#include <stdio.h>

tn_status tn_gguf_weights_init(tn_gguf_weights *out, const tn_weight_files *files, tn_error *err) {
  *out = (tn_gguf_weights){0};
  TN_TRY(tn_gguf_arch_of(&out->arch, files->gguf, err));
  TN_TRY(tn_gguf_arch_i64(out->arch, files->gguf, "attention.head_count", &out->heads, err));
  out->kv_heads = out->heads;
  return tn_gguf_arch_i64(out->arch, files->gguf, "attention.head_count_kv", &out->kv_heads, err);
}

/* ---- finding ---- */

/* "blk.0.ffn_up_exps.weight", 3 -> "blk.0.ffn_up.3.weight", as files of before 2024 have it */
static tn_file_tensor *find_alone(const tn_weight_files *files, const char *name, int64_t expert) {
  char alone[TN_GGUF_NAME_BYTES + 24];
  const char *end = strstr(name, "_exps.");
  if (!end) return NULL;
  snprintf(alone, sizeof alone, "%.*s.%" PRId64 "%s", (int)(end - name), name, expert,
           end + strlen("_exps"));
  return tn_weight_files_find(files, tn_str_of(alone));
}

/* *expert: -1 when the tensor is the weight, else which part of it is. */
static tn_file_tensor *find(const tn_gguf_weights *w, const tn_weight_files *files,
                            const char *name, int64_t *expert) {
  char own[TN_GGUF_NAME_BYTES];
  if (!tn_gguf_arch_name(w->arch, tn_str_of(name), own, expert)) return NULL;
  tn_file_tensor *t = tn_weight_files_find(files, tn_str_of(own));
  if (t || *expert < 0) return t;
  t = find_alone(files, own, *expert);
  *expert = -1;
  return t;
}

bool tn_gguf_weights_has(const tn_gguf_weights *w, const tn_weight_files *files, const char *name) {
  int64_t expert;
  tn_file_tensor *t = find(w, files, name, &expert);
  return t && (expert < 0 || (t->tensor.rank == 3 && expert < t->tensor.shape[0]));
}

/* ---- undoing ---- */

static tn_status take_expert(const tn_file_tensor *t, int64_t expert, const char *name,
                             tn_tensor *out, tn_error *err) {
  const tn_tensor *all = &t->tensor;
  if (all->rank != 3 || expert >= all->shape[0])
    return tn_fail(err, TN_ERR_NOT_FOUND,
                   "%s: tensor \"%.*s\" has no expert %" PRId64 ", which \"%s\" is", t->path,
                   TN_STR_ARG(t->name), expert, name);
  int64_t bytes = tn_dtype_bytes_of(all->dtype, all->shape[1] * all->shape[2]);
  return tn_tensor_view(out, all->buffer, all->offset_bytes + expert * bytes, all->dtype, 2,
                        all->shape + 1, err);
}

/* Row h D + half D/2 + i of Hugging Face is row h D + 2 i + half of the file. */
static void copy_rows(const tn_tensor *t, int64_t heads, char *out) {
  int64_t rows = t->shape[0], D = rows / heads;
  int64_t row_bytes = tn_tensor_bytes(t) / rows;
  const char *in = tn_tensor_data(t);
  for (int64_t r = 0; r < rows; r++) {
    int64_t head = r / D, half = r % D / (D / 2), i = r % D % (D / 2);
    memcpy(out + r * row_bytes, in + (head * D + 2 * i + half) * row_bytes, (size_t)row_bytes);
  }
}

static tn_status undo_rows(const tn_file_tensor *t, int64_t heads, tn_weight *out, tn_error *err) {
  tn_tensor in = out->tensor;
  int64_t rows = in.rank > 0 ? in.shape[0] : 0;
  if (heads < 1 || rows == 0 || rows % heads != 0 || rows / heads % 2 != 0)
    return tn_fail(err, TN_ERR_DATA,
                   "%s: tensor \"%.*s\" has %" PRId64
                   " rows, must be an even number for each of "
                   "%" PRId64 " heads",
                   t->path, TN_STR_ARG(t->name), rows, heads);
  tn_buffer *buffer;
  TN_TRY(tn_buffer_new(&buffer, (size_t)tn_tensor_bytes(&in), err));
  copy_rows(&in, heads, buffer->data);
  tn_buffer_drop(out->tensor.buffer);
  return tn_tensor_view(&out->tensor, buffer, 0, in.dtype, in.rank, in.shape, err);
}

static tn_status undo_plus_one(tn_weight *out, tn_error *err) {
  tn_tensor in = out->tensor;
  int64_t count = tn_tensor_count(&in);
  tn_buffer *buffer;
  TN_TRY(tn_buffer_new(&buffer, (size_t)count * sizeof(float), err));
  float *values = buffer->data;
  tn_weight_to_f32(out, values);
  for (int64_t i = 0; i < count; i++) values[i] -= 1;
  tn_buffer_drop(out->tensor.buffer);
  return tn_tensor_view(&out->tensor, buffer, 0, TN_F32, in.rank, in.shape, err);
}

static tn_status undo(const tn_gguf_weights *w, const tn_file_tensor *t, tn_weight *out,
                      tn_error *err) {
  const tn_gguf_arch *a = w->arch;
  bool is_norm = tn_str_ends(t->name, TN_STR("norm.weight"));
  bool is_q = tn_str_find(t->name, TN_STR(".attn_q.")) >= 0;
  bool is_k = tn_str_find(t->name, TN_STR(".attn_k.")) >= 0;
  if (a->norms_plus_one && is_norm) return undo_plus_one(out, err);
  if (!a->rows_interleaved || !(is_q || is_k)) return TN_OK;
  return undo_rows(t, is_q ? w->heads : w->kv_heads, out, err);
}

tn_status tn_gguf_weights_find(const tn_gguf_weights *w, const tn_weight_files *files,
                               const char *name, tn_weight *out, tn_error *err) {
  int64_t expert;
  tn_file_tensor *t = find(w, files, name, &expert);
  if (!t)
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: has no tensor for \"%s\"", files->list_path, name);
  tn_tensor view = t->tensor;
  if (expert >= 0) TN_TRY(take_expert(t, expert, name, &view, err));
  t->used = true;
  *out = (tn_weight){.tensor = view, .path = t->path, .out_in = true, .parts_apart = true};
  tn_buffer_share(view.buffer);
  tn_status status = undo(w, t, out, err);
  if (status != TN_OK) tn_weight_clear(out);
  return status;
}
