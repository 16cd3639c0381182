/* packed_cache.h - packed copies of weights in a file, so that a model is unpacked and packed once.
 *
 *     models/llama            -> models/llama/.tenon/packed-KEY.safetensors
 *     models/llama.gguf       -> models/.tenon/llama.gguf-KEY.safetensors
 *     a folder that cannot be written to  -> CACHE_FOLDER/HASH-KEY.safetensors
 *
 * KEY is tn_pack_key, which names the layout of this CPU's kernels.  Inside, metadata says of which
 * files the copies were made (tn_weight_source_identity; where that is another, the files are read
 * and tn_weight_source_content decides) and which type each has; every byte is under a checksum.  A
 * cache that is absent, old or damaged is as good as none: it is made anew. One that cannot be
 * written is a line in the log.
 *
 * Private to model/.  Thread: one opens and writes; find from any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_PACKED_CACHE_H
#define TN_MODEL_PACKED_CACHE_H
#include "model/weight_source.h"
#include "model/weights.h"

typedef struct tn_packed_cache tn_packed_cache;
/* *out NULL: there is none for these files. */
TN_NODISCARD tn_status tn_packed_cache_open(tn_packed_cache **out, const char *model_path,
                                            const tn_weight_source *source,
                                            const tn_model_options *options, tn_error *err);
void tn_packed_cache_close(tn_packed_cache *cache); /* NULL is fine */
/* The bytes that tn_pack made of a parameter: uint8, at any address. */
bool tn_packed_cache_find(const tn_packed_cache *cache, const char *name, tn_dtype *dtype,
                          tn_tensor *bytes);
/* Keeps the packed parameters of `model` that are quantized, unless they have less than
 * options->cache_bytes_min. */
TN_NODISCARD tn_status tn_packed_cache_write(const tn_model *model, const char *model_path,
                                             const tn_weight_source *source,
                                             const tn_model_options *options, tn_error *err);

#endif
