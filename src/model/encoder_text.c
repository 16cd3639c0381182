/* SPDX-License-Identifier: Apache-2.0 */
#include "model/encoder_text.h"

#include <string.h>

/* Where a text's own tokens lie between the special ones, and how many of them stay. */
typedef struct text_run {
  size_t first, count, kept;
} text_run;

static bool find_run(const tn_ids *whole, size_t from, const tn_ids *part, text_run *out) {
  for (size_t at = from; at + part->count <= whole->count; at++) {
    if (part->count && memcmp(whole->items + at, part->items, part->count * sizeof *part->items))
      continue;
    *out = (text_run){at, part->count, part->count};
    return true;
  }
  return false;
}

/* The lengths that are left of a (and b) when both together may have `room`. */
static void share_room(text_run *a, text_run *b, size_t room) {
  text_run *small = a->count <= b->count ? a : b, *large = small == a ? b : a;
  if (a->count + b->count <= room) return;
  if (small->count <= room / 2) {
    large->kept = room - small->count;
    return;
  }
  small->kept = room / 2;
  large->kept = room - small->kept;
}

static void cut_list(tn_ids *ids, const text_run *run) {
  size_t from = run->first + run->kept, to = run->first + run->count;
  if (!ids->items || ids->count < to) return;
  memmove(ids->items + from, ids->items + to, (ids->count - to) * sizeof *ids->items);
  ids->count -= to - from;
}

static void cut_run(tn_encoding *e, const text_run *run) {
  cut_list(&e->ids, run);
  cut_list(&e->type_ids, run);
  cut_list(&e->mask, run);
}

static tn_status shorten(tn_encoding *e, const tn_ids *text, const tn_ids *pair, size_t tokens_max,
                         tn_error *err) {
  text_run a = {0}, b = {0};
  bool found = find_run(&e->ids, 0, text, &a);
  if (found && pair->count > 0) found = find_run(&e->ids, a.first + a.count, pair, &b);
  if (!found)
    return tn_fail(
        err, TN_ERR_UNSUPPORTED,
        "a text of %zu tokens cannot be cut to %zu: the post-processor changes its tokens",
        e->ids.count, tokens_max);
  size_t special = e->ids.count - a.count - b.count;
  if (special > tokens_max)
    return tn_fail(err, TN_ERR_ARGUMENT, "%zu special tokens do not fit %zu", special, tokens_max);
  share_room(&a, &b, tokens_max - special);
  cut_run(e, &b); /* the later one first: the earlier stays where it is */
  cut_run(e, &a);
  return TN_OK;
}

tn_status tn_encoder_tokenize(const tn_tokenizer *t, tn_str text, const tn_str *pair,
                              int64_t tokens_max, tn_encoding *out, tn_error *err) {
  const tn_encode_options options = {.parse_special = true, .add_special = true};
  tn_ids alone = {0}, other = {0};
  TN_TRY(tn_tokenizer_encode_input(t, text, pair, &options, out, err));
  if (out->ids.count <= (size_t)tokens_max) return TN_OK;
  tn_status status = tn_tokenizer_encode(t, text, true, &alone, err);
  if (status == TN_OK && pair) status = tn_tokenizer_encode(t, *pair, true, &other, err);
  if (status == TN_OK) status = shorten(out, &alone, &other, (size_t)tokens_max, err);
  tn_ids_clear(&alone);
  tn_ids_clear(&other);
  return status;
}
