/* model_load.h - the weights of files become the parameters of a model.
 *
 * Weights that share a tensor of the file (q, k and v of Phi-3) are one item of work; items run on
 * the pool.  A weight stays where its file is mapped when kernels can take it from there; else it
 * is copied, and what has a packed layout is packed (kernels/pack.h) when the model is for
 * inference.
 *
 * Private to model/.  Thread: one caller, which may have a pool. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_MODEL_LOAD_H
#define TN_MODEL_MODEL_LOAD_H
#include "model/weight_source.h"
#include "model/weights.h"

/* `path` is what the user named, for the cache beside it. */
TN_NODISCARD tn_status tn_model_load(tn_model *model, tn_weight_source *source, const char *path,
                                     const tn_model_options *options, tn_error *err);
/* The prefix that the names of this file's tensors have, of those that its architecture may have;
 * `name` is one with the prefix that Tenon writes.  False: the file has no such tensor. */
bool tn_model_file_has(const tn_model_config *config, const tn_weight_source *source,
                       const char *name);
/* *out: the file has a head whose bits are not those of the table of embeddings. */
TN_NODISCARD tn_status tn_model_file_unties(const tn_model_config *config, tn_weight_source *source,
                                            bool *out, tn_error *err);

/* What the file should have under the name of a parameter's origin. */
tn_weight_shape tn_origin_shape(const tn_parameter *p, const tn_origin *o);
/* The row of the file's tensor (its column when transposed) that row r of a part is. */
int64_t tn_origin_row(const tn_origin *o, int64_t head_dim, int64_t r);

#endif
