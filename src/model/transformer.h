/* transformer.h - a transformer with the variations of config.h: weights, a forward pass over paged
 * KV for serving, and a forward and backward pass over whole sequences for training.
 *
 *     ids -> embed -> [ norm -> q k v -> rope -> attention -> o -> + -> norm -> gate up ->
 *                       glu -> down -> + ] x layers -> norm -> head -> logits
 *
 * Everything runs through tn_ops, so a device is another table.  Trainable parameters (and their
 * gradients) lie in ONE flat buffer each, in the order of tn_model_parameters: the optimizer walks
 * plain arrays, and a checkpoint is a list of views.
 *
 * Thread: one owner (the engine thread, the training loop). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TRANSFORMER_H
#define TN_MODEL_TRANSFORMER_H
#include "base/progress.h"
#include "kernels/ops.h"
#include "model/config.h"
#include "model/kv_cache.h"

typedef struct tn_model tn_model;

/* All-zero float32 parameters on `device`. */
TN_NODISCARD tn_status tn_model_new(tn_model **out, const tn_model_config *config,
                                    tn_device *device, tn_error *err);
/* For a model of tn_model_new on the CPU.  Normal with deviation 0.02, output projections of the
 * residual stream scaled by 1 / sqrt(2 layers) (GPT-2 paper, section 2.3), norms 1.  A pure
 * function of the seed. */
void tn_model_init(tn_model *model, uint64_t seed);
/* Opens a Hugging Face folder (config.json and model.safetensors, or the sharded
 * model.safetensors.index.json) or a GGUF file.  Weights are mapped, not copied, where kernels can
 * take them as they lie; what weight_source.h unpacks becomes blocks.  Recorded checksums are
 * verified; a missing tensor, a wrong shape, or a tensor that this architecture has no use for
 * (TN_ERR_UNSUPPORTED) is named with its file.  Such a model is read-only: its tn_model_flat has no
 * buffer. */
TN_NODISCARD tn_status tn_model_open(tn_model **out, const char *path, tn_device *device,
                                     tn_error *err);
typedef struct tn_model_options { /* all zero: as tn_model_open */
  tn_pool *pool;                  /* loads in parallel, and at once; NULL: the caller alone */
  tn_progress *progress;          /* in parameters; may stop it; NULL: nobody watches */
  bool packed; /* matrices lie as kernels like them best (kernels/pack.h): to run, not to look at */
  bool cached; /* packed copies are kept in files (packed_cache.h) */
  const char *cache_folder; /* for models in a folder that cannot be written to; NULL: not kept */
  int64_t cache_bytes_min;  /* what is worth keeping; 0: 32 MiB */
} tn_model_options;
TN_NODISCARD tn_status tn_model_open_with(tn_model **out, const char *path, tn_device *device,
                                          const tn_model_options *options, tn_error *err);
/* The same weights, widened into the flat float32 array of a tn_model_new: for training on. */
TN_NODISCARD tn_status tn_model_open_trainable(tn_model **out, const char *path, tn_device *device,
                                               tn_error *err);
void tn_model_free(tn_model *model);
const tn_model_config *tn_model_config_of(const tn_model *model);

typedef struct tn_parameter {
  /* As Hugging Face names it: "model.layers.0.self_attn.q_proj.weight"; a part of a tensor that
   * files hold fused: "transformer.h.0.attn.c_attn.weight[2]". */
  const char *name;
  tn_tensor tensor;
  /* int32 [in features] of a model opened to run: column k of the tensor belongs to input order[k]
   * (GPTQ's desc_act).  buffer NULL: they are in order, as always where weights are looked at. */
  tn_tensor order;
  bool decays; /* weight decay applies (matrices yes, norms no) */
} tn_parameter;
const tn_parameter *tn_model_parameters(const tn_model *model, int64_t *count);
/* The flat float32 array that all parameters of tn_model_new lie in ([n]), one behind the other in
 * the order of tn_model_parameters and without gaps: n is tn_model_config_parameters. */
tn_tensor tn_model_flat(const tn_model *model);
int64_t tn_model_weight_bytes(const tn_model *model); /* of all parameters, as they are held */

/* Writes model.safetensors, then config.json, into an existing folder; dtype F32 or BF16.  Each
 * file appears whole or not at all. */
TN_NODISCARD tn_status tn_model_save(const tn_model *model, const char *folder, tn_dtype dtype,
                                     tn_error *err);

/* ---- serving: rows of many sequences over paged KV --------------------------------------------
 */
typedef struct tn_forward_batch { /* host arrays; borrowed for the call */
  int64_t rows;                   /* tokens in this step, of all sequences */
  const int32_t *ids;             /* [rows] */
  const int32_t *positions;       /* [rows] place in the row's sequence */
  const int32_t *sequences;       /* [rows] row of block_table */
  const int32_t *slots; /* [rows] where this token's K and V go: block * block_tokens + place */
  int64_t sequence_count, blocks_per_sequence;
  const int32_t *block_table; /* [sequence_count, blocks_per_sequence] */
  int64_t logit_rows;
  const int32_t *logit_indices; /* [logit_rows] rows whose logits are wanted */
  const int32_t *types;         /* [rows] token types of an encoder; NULL: 0 */
} tn_forward_batch;

typedef struct tn_forward tn_forward; /* the workspace of one engine */
TN_NODISCARD tn_status tn_forward_new(tn_forward **out, tn_model *model, tn_stream *stream,
                                      int64_t rows_max, int64_t logit_rows_max,
                                      int64_t sequences_max, int64_t blocks_per_sequence_max,
                                      tn_error *err);
void tn_forward_free(tn_forward *f);
/* logits: float32 [logit_rows, vocab_size] in host memory, valid until the next run; of a
 * classifier [logit_rows, labels], where the wanted rows are the first of their sequences.  Every
 * index is checked before anything runs (TN_ERR_ARGUMENT names it).  A slot below 0 stores nothing.
 * The logits of a row are bit-equal whatever other rows share its call.  The sequences of an
 * encoder must be whole in one call.  TN_ERR_UNSUPPORTED: the model has no head. */
TN_NODISCARD tn_status tn_forward_run(tn_forward *f, tn_kv_cache *kv, const tn_forward_batch *batch,
                                      const float **logits, tn_error *err);

/* Logits of other rows of the last run, as many at a time as logit_rows_max: likewise, and they
 * take the place of those. */
TN_NODISCARD tn_status tn_forward_logits(tn_forward *f, const int32_t *rows, int64_t count,
                                         const float **logits, tn_error *err);

/* hidden: float32 [logit_rows, hidden_size] of the wanted rows behind the final norm, likewise. */
TN_NODISCARD tn_status tn_forward_run_hidden(tn_forward *f, tn_kv_cache *kv,
                                             const tn_forward_batch *batch, const float **hidden,
                                             tn_error *err);

/* ---- the same pass a layer at a time, for calibration ------------------------------------------
 */
/* Called before a linear of a layer runs.  `weight`: its place in tn_model_parameters; *x: the
 * inputs [rows, in features], which may be exchanged for another tensor of that shape. */
typedef tn_status (*tn_forward_watch)(void *context, int64_t weight, tn_tensor *x, tn_error *err);
void tn_forward_set_watch(tn_forward *f, tn_forward_watch watch, void *context); /* NULL: none */
/* Inside a watch of a model whose norms stand before the branches: the residual stream
 * [rows, hidden_size], to which o_proj and down_proj will add. */
const float *tn_forward_residual(const tn_forward *f);
/* hidden: float32 [rows, hidden_size] in host memory, what comes out of the embedding, and what
 * goes into and comes out of one layer.  A run is these steps, bit for bit, then final norm and
 * head. */
TN_NODISCARD tn_status tn_forward_embed(tn_forward *f, tn_kv_cache *kv,
                                        const tn_forward_batch *batch, float *hidden,
                                        tn_error *err);
TN_NODISCARD tn_status tn_forward_layer(tn_forward *f, tn_kv_cache *kv,
                                        const tn_forward_batch *batch, int64_t layer, float *hidden,
                                        tn_error *err);
/* Another tensor of the same shape takes a parameter's place; the caller keeps its buffer alive. */
void tn_model_set_parameter(tn_model *model, int64_t place, const tn_tensor *tensor);

/* ---- training: B whole sequences of T tokens ----------------------------------------------------
 */
typedef struct tn_train_pass tn_train_pass; /* activations for one micro-batch */
TN_NODISCARD tn_status tn_train_pass_new(tn_train_pass **out, tn_model *model, tn_stream *stream,
                                         int64_t batch, int64_t tokens, tn_error *err);
void tn_train_pass_free(tn_train_pass *pass);
int64_t tn_train_pass_bytes(const tn_train_pass *pass); /* all that it ever uses */
/* ids and targets: [batch, tokens] int32 on the host; target -1 is not counted.  *loss: the mean
 * over counted targets; *counted may be NULL. */
TN_NODISCARD tn_status tn_train_pass_forward(tn_train_pass *pass, const int32_t *ids,
                                             const int32_t *targets, double *loss, int64_t *counted,
                                             tn_error *err);
/* Once after a forward (it uses the saved activations up): adds grad_scale * d(mean
 * loss)/d(parameter) to `grads`, a flat array shaped like tn_model_flat.  fresh: what grads holds
 * does not count, as if it were zeros (and costs less). */
TN_NODISCARD tn_status tn_train_pass_backward(tn_train_pass *pass, const tn_tensor *grads,
                                              double grad_scale, bool fresh, tn_error *err);
/* float32 [batch * tokens, vocab_size] of the last forward, host memory; overwritten by backward.
 * NULL where they would be more than 256 MiB: then they are never held. */
const float *tn_train_pass_logits(const tn_train_pass *pass);

#endif
