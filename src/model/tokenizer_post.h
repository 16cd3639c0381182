/* tokenizer_post.h - the post-processor of a tokenizer.json: which tokens stand around and between
 * the sequences, and their type ids; truncation before it, padding behind it.
 *
 * BertProcessing, RobertaProcessing and TemplateProcessing all become two templates, lists of items
 * that are a sequence or a token:
 *
 *     single:  [CLS] A [SEP]              pair:  [CLS] A [SEP] B:1 [SEP]:1
 *
 * ByteLevel changes no ids.  A Sequence may hold one of them that adds tokens.
 *
 * Thread: immutable. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_POST_H
#define TN_MODEL_TOKENIZER_POST_H
#include "base/json.h"
#include "model/tokenizer.h"

typedef struct tn_post_item {
  int32_t id; /* of a token; -1: the first sequence, -2: the second */
  int32_t type_id;
} tn_post_item;

typedef struct tn_post_template {
  tn_post_item *items;
  int32_t count, added; /* added: items that are tokens */
} tn_post_template;

typedef struct tn_post {
  tn_post_template single, pair; /* none: the sequences as they are */
  bool truncates, truncate_left;
  int64_t length_max;
  enum { TN_TRUNCATE_LONGEST, TN_TRUNCATE_FIRST, TN_TRUNCATE_SECOND } strategy;
  bool pads, pad_left;
  int64_t pad_length, pad_multiple; /* 0: the longest of the batch; any */
  int32_t pad_id, pad_type_id;
} tn_post;

/* Reads post_processor, truncation and padding of the file's root; their ids must be those of
 * `tokens` ([count], data NULL where there is no such id). */
TN_NODISCARD tn_status tn_post_read(tn_post *post, const tn_json *root, const tn_str *tokens,
                                    int32_t count, tn_arena *arena, tn_error *err);
/* Shortens the sequences (pair NULL: there is one) as the file says. */
TN_NODISCARD tn_status tn_post_truncate(const tn_post *post, bool add_special, tn_ids *first,
                                        tn_ids *pair, tn_error *err);
/* Joins the sequences; appends to `out`. */
TN_NODISCARD tn_status tn_post_join(const tn_post *post, bool add_special, const tn_ids *first,
                                    const tn_ids *pair, tn_encoding *out, tn_error *err);
TN_NODISCARD tn_status tn_post_pad(const tn_post *post, tn_encoding *items, size_t count,
                                   tn_error *err);

#endif
