/* encoder.h - whole sequences to vectors or scores: sentence encoders and rerankers.
 *
 *     ids -> serving pass -> hidden states -> pooled -> (normalised) embedding
 *                                          -> first token's -> classifier -> scores
 *
 * A folder of sentence-transformers says in modules.json and 1_Pooling/config.json how its model
 * pools; a folder without them pools by the mean and normalises.  Sequences are packed behind each
 * other without padding, and what one becomes does not depend on the others.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_ENCODER_H
#define TN_MODEL_ENCODER_H
#include "base/thread.h"
#include "model/transformer.h"

typedef enum tn_pooling { /* over the tokens of a sequence */
                          TN_POOL_MEAN,
                          TN_POOL_FIRST, /* BERT's [CLS] */
                          TN_POOL_LAST,
                          TN_POOL_MAX,
                          TN_POOL_MEAN_SQRT,     /* the sum by the root of their number */
                          TN_POOL_WEIGHTED_MEAN, /* the i-th counts i times, from 1 */
                          TN_POOLING_COUNT
} tn_pooling;
const char *tn_pooling_name(tn_pooling pooling); /* "mean", "cls", ... as sentence-transformers */
bool tn_pooling_of_name(tn_str name, tn_pooling *out);

/* How a folder's model makes embeddings. */
typedef struct tn_encoder_form {
  tn_pooling pooling;
  bool normalised;      /* embeddings have length 1 */
  int64_t tokens_max;   /* 0: what the model takes */
  bool raw_scores;      /* reranking: no sigmoid over a single score */
  bool untyped;         /* the tokenizer gives the model no token types */
  char model[256];      /* the sub-folder of the transformer, "" or "0_Transformer" */
  char prompt[512];     /* put before every text */
  bool prompt_excluded; /* from the pooling, which is not supported */
} tn_encoder_form;
/* Reads modules.json and the files it names; TN_ERR_UNSUPPORTED names a module that is not here
 * (Dense, ...).  A folder without modules.json: mean and normalised. */
TN_NODISCARD tn_status tn_encoder_form_read(tn_encoder_form *out, const char *folder,
                                            tn_error *err);
/* Another prompt of config_sentence_transformers.json than its default: "query". */
TN_NODISCARD tn_status tn_encoder_form_prompt(tn_encoder_form *form, const char *folder,
                                              const char *name, tn_error *err);

typedef struct tn_encoder tn_encoder;
/* Opens the model of a folder.  form NULL: as the folder says.  pool: for kernels, may be NULL. */
TN_NODISCARD tn_status tn_encoder_open(tn_encoder **out, const char *folder,
                                       const tn_encoder_form *form, tn_pool *pool, tn_error *err);
void tn_encoder_free(tn_encoder *e);
const tn_encoder_form *tn_encoder_form_of(const tn_encoder *e); /* tokens_max filled in */
const tn_model *tn_encoder_model(const tn_encoder *e);

typedef struct tn_encoder_input { /* borrowed for the call */
  const int32_t *ids;
  const int32_t *types; /* token types; NULL: 0 */
  int64_t count;        /* 1 to tokens_max */
} tn_encoder_input;
/* out: float32 [count, hidden_size] */
TN_NODISCARD tn_status tn_encoder_embed(tn_encoder *e, const tn_encoder_input *inputs,
                                        int64_t count, float *out, tn_error *err);
/* One sequence's hidden states, unpooled: float32 [tokens, hidden_size]. */
TN_NODISCARD tn_status tn_encoder_states(tn_encoder *e, const tn_encoder_input *input, float *out,
                                         tn_error *err);
/* out: float32 [count, labels], a classifier's logits.  TN_ERR_UNSUPPORTED: the model is none. */
TN_NODISCARD tn_status tn_encoder_classify(tn_encoder *e, const tn_encoder_input *inputs,
                                           int64_t count, float *out, tn_error *err);

#endif
