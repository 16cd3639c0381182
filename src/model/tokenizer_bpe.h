/* tokenizer_bpe.h - byte-pair encoding of one piece (Sennrich, Haddow, Birch 2016).
 *
 * A piece becomes first symbols (its bytes, or its characters); then, while some neighbours have a
 * merge, the one of lowest rank (leftmost among equals) is applied.  Short pieces are searched anew
 * for each merge, long ones keep candidates in a heap, so that a megabyte without a space costs
 * n log n.
 *
 * Thread: immutable; each concurrent encode needs its own scratch. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_BPE_H
#define TN_MODEL_TOKENIZER_BPE_H
#include "base/json.h"
#include "base/map.h"
#include "model/tokenizer.h"

/* pair (left, right) -> the merged id; rank is the place in the list of merges, lower first. */
typedef struct tn_merge {
  uint64_t pair; /* left << 32 | right; TN_MERGE_NONE: empty slot */
  uint32_t rank;
  int32_t id;
} tn_merge;
#define TN_MERGE_NONE UINT64_MAX

typedef struct tn_merge_table { /* open addressing, at most half full */
  tn_merge *slots;
  uint64_t mask;
} tn_merge_table;

typedef struct tn_bpe {
  tn_merge_table merges;
  const tn_map *ids;     /* the model's vocabulary; borrowed */
  tn_map whole;          /* raw with ignore_merges: bytes -> id */
  int32_t *char_ids;     /* [0x10000] of the tokens that are one character; not raw */
  int32_t byte_ids[256]; /* raw: of the bytes; else of <0x00> to <0xFF>; -1: none */
  int32_t unk_id;        /* -1: what is unknown is dropped */
  tn_str unk_missing;    /* an unk_token that is not in the vocabulary */
  bool raw;              /* pieces are bytes that a ByteLevel has not spelled */
  bool fuse_unk, ignore_merges, byte_fallback;
  tn_str prefix, suffix; /* continuing_subword_prefix, end_of_word_suffix */
  /* Whether a piece may be cut before U+2581, and the characters (a bit each, above U+FFFF all)
   * behind which that would part what a merge joins. */
  bool cuts;
  uint8_t *joins;
} tn_bpe;

typedef struct tn_bpe_symbol tn_bpe_symbol;
typedef struct tn_bpe_candidate tn_bpe_candidate;
typedef struct tn_bpe_scratch { /* all zero is valid; clear frees */
  tn_bpe_symbol *symbols;
  size_t symbol_capacity;
  tn_bpe_candidate *heap;
  size_t heap_count, heap_capacity;
} tn_bpe_scratch;
void tn_bpe_scratch_clear(tn_bpe_scratch *s);

/* `tokens`: [count] as the file spells them, data NULL where an id is free; `ids` finds them.  Both
 * must outlive the model. */
TN_NODISCARD tn_status tn_bpe_load(tn_bpe *bpe, const tn_json *model, const tn_map *ids,
                                   const tn_str *tokens, int32_t count, bool raw, tn_arena *arena,
                                   tn_error *err);
void tn_bpe_clear(tn_bpe *bpe);
/* Appends the ids of one piece. */
TN_NODISCARD tn_status tn_bpe_encode(const tn_bpe *bpe, tn_bpe_scratch *scratch, tn_str piece,
                                     tn_ids *ids, tn_error *err);
/* Where the first part of `piece` ends that encodes alone as it does in the piece; its length when
 * there is no cut. */
size_t tn_bpe_cut(const tn_bpe *bpe, tn_str piece);
/* With ignore_merges: the id of the whole piece, or -1. */
int32_t tn_bpe_whole(const tn_bpe *bpe, tn_str piece);

#endif
