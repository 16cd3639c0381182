/* gguf_write.h - a GGUF file of version 3: metadata, then tensors, each at a multiple of 32 bytes.
 *
 *     "GGUF" | 3 | tensors | values | values: key, kind, value ... |
 *     tensors: name, dimensions (innermost first), type, offset ... | padding | data
 *
 * Values are put in the order in which they will stand; what goes wrong on the way is reported by
 * finish.  Source: ggml's docs/gguf.md.  model/gguf.h reads it back.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_GGUF_WRITE_H
#define TN_QUANT_GGUF_WRITE_H
#include "base/mem.h"
#include "tensor/tensor.h"

typedef struct tn_gguf_writer { /* all zero is a valid empty writer; clear frees */
  tn_strbuf values;             /* as they will stand in the file */
  int64_t value_count;
  struct tn_gguf_entry *tensors;
  size_t tensor_count, tensor_capacity;
  tn_arena names;
  int64_t data_bytes;
  int64_t items_left; /* of the array that is being put */
} tn_gguf_writer;
void tn_gguf_writer_clear(tn_gguf_writer *w);

void tn_gguf_put_u32(tn_gguf_writer *w, const char *key, uint32_t value);
void tn_gguf_put_f32(tn_gguf_writer *w, const char *key, float value);
void tn_gguf_put_bool(tn_gguf_writer *w, const char *key, bool value);
void tn_gguf_put_str(tn_gguf_writer *w, const char *key, tn_str value);
/* Then exactly `count` items of the one kind. */
void tn_gguf_put_strs(tn_gguf_writer *w, const char *key, int64_t count);
void tn_gguf_put_f32s(tn_gguf_writer *w, const char *key, int64_t count);
void tn_gguf_put_i32s(tn_gguf_writer *w, const char *key, int64_t count);
void tn_gguf_item_str(tn_gguf_writer *w, tn_str value);
void tn_gguf_item_f32(tn_gguf_writer *w, float value);
void tn_gguf_item_i32(tn_gguf_writer *w, int32_t value);

/* The tensor's memory is borrowed until finish.  TN_ERR_UNSUPPORTED: a type that GGUF has not. */
TN_NODISCARD tn_status tn_gguf_add_tensor(tn_gguf_writer *w, const char *name, const tn_tensor *t,
                                          tn_error *err);
/* The file appears whole or not at all. */
TN_NODISCARD tn_status tn_gguf_finish(tn_gguf_writer *w, const char *path, tn_error *err);
#endif
