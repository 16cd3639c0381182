/* fuzz_json.c - whatever parses is written, parsed again, and must be the same tree and text.
 *
 * A hash of the input chooses the options, so that plain JSON files serve as seeds. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static bool same_node(const tn_json *a, const tn_json *b) {
  return a->kind == b->kind && a->is_integer == b->is_integer && a->boolean == b->boolean &&
         a->integer == b->integer && a->count == b->count && tn_str_equal(a->key, b->key) &&
         tn_str_equal(a->text, b->text) && memcmp(&a->number, &b->number, sizeof a->number) == 0;
}

/* Depth is limited by depth_max, so recursion is fine here. */
static void check_same_tree(const tn_json *a, const tn_json *b) {
  check(same_node(a, b));
  const tn_json *x = a->first, *y = b->first;
  int64_t count = 0;
  for (; x && y; x = x->next, y = y->next, count++) check_same_tree(x, y);
  check(!x && !y && count == a->count);
}

static void write_tree(const tn_json *root, int32_t indent, tn_strbuf *out) {
  tn_json_writer w = {.out = out, .indent = indent};
  tn_json_copy(&w, root);
  check(!out->failed && w.depth == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t live = tn_alloc_live();
  uint64_t choice = tn_hash_bytes(data, size, 0);
  tn_json_options options = {.depth_max = choice % 8 ? 200 : 3, .unique_keys = choice & 8};
  int32_t indent = choice & 16 ? 2 : 0;
  tn_arena arena = {0};
  tn_error err = {0};
  tn_json *root, *back;
  tn_strbuf once = {0}, twice = {0};
  tn_str text = {(const char *)data, size};
  tn_status status = tn_json_parse(&root, &arena, text, &options, &err);
  if (status == TN_OK) {
    write_tree(root, indent, &once);
    check(tn_json_parse(&back, &arena, tn_strbuf_view(&once), &options, &err) == TN_OK);
    check_same_tree(root, back);
    write_tree(back, indent, &twice);
    check(tn_str_equal(tn_strbuf_view(&once), tn_strbuf_view(&twice)));
  } else {
    check(err.status == status && err.text[0] && tn_utf8_valid(tn_str_of(err.text)));
  }
  tn_strbuf_clear(&once);
  tn_strbuf_clear(&twice);
  tn_arena_clear(&arena);
  check(tn_alloc_live() == live);
  return 0;
}
