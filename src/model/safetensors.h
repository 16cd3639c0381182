/* safetensors.h - named tensors in one file (https://github.com/huggingface/safetensors#format).
 *
 *     uint64 header bytes | JSON header | data
 *
 * The reader maps the file and checks everything before it hands out a view: header size, every
 * offset against the file, shape times dtype against the range, no overlap and no hole.  The writer
 * goes through a tn_sink, so a crash leaves the old file whole; it records XXH64 sums as metadata,
 * one a tensor ("xxh64:<name>") and one of the header itself ("xxh64.header", made with its own 16
 * digits as zeros), so that tn_safetensors_verify notices any flipped byte of the file.
 *
 * Thread: an open file is constant; read it from any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_SAFETENSORS_H
#define TN_MODEL_SAFETENSORS_H
#include "base/io.h"
#include "tensor/tensor.h"

typedef struct tn_safetensors tn_safetensors;
/* TN_ERR_DATA names file, tensor and what does not fit; an element type that Tenon lacks (U32,
 * F8_E8M0 ...): TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_safetensors_open(tn_safetensors **out, const char *path, tn_error *err);
void tn_safetensors_close(tn_safetensors *file); /* tensors handed out become invalid */
int64_t tn_safetensors_count(const tn_safetensors *file);
/* Name and view of the i-th tensor, in file order.  The format promises no alignment: a file of
 * others may hold float32 at an odd address. */
void tn_safetensors_at(const tn_safetensors *file, int64_t index, tn_str *name, tn_tensor *out);
/* TN_ERR_NOT_FOUND names file and tensor. */
TN_NODISCARD tn_status tn_safetensors_get(const tn_safetensors *file, const char *name,
                                          tn_tensor *out, tn_error *err);
tn_str tn_safetensors_metadata(const tn_safetensors *file, const char *key); /* data NULL: none */
/* Recomputes every recorded checksum (reads the whole file); TN_OK when the file has none.
 * TN_ERR_CHECKSUM names file and tensor. */
TN_NODISCARD tn_status tn_safetensors_verify(const tn_safetensors *file, tn_error *err);

typedef struct tn_named_tensor {
  const char *name;
  tn_tensor tensor; /* host memory, contiguous */
} tn_named_tensor;
/* metadata: key, value, ...: metadata_count pairs; checksums are added by this call.  Wider element
 * types come first in the file, so that every tensor is aligned to its own. */
TN_NODISCARD tn_status tn_safetensors_write(const char *path, const tn_named_tensor *tensors,
                                            int64_t count, const char *const *metadata,
                                            int32_t metadata_count, tn_error *err);
/* The same, every real tensor rounded to `dtype` (a real type) on its way into the file. */
TN_NODISCARD tn_status tn_safetensors_write_as(const char *path, const tn_named_tensor *tensors,
                                               int64_t count, tn_dtype dtype,
                                               const char *const *metadata, int32_t metadata_count,
                                               tn_error *err);

#endif
