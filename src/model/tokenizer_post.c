/* tokenizer_post.c - see tokenizer_post.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_post.h"

#include "model/tokenizer_json.h"

#define ITEMS_MAX   4096
#define NESTING_MAX 8
#define FIRST       -1
#define SECOND      -2
#define LENGTH_MAX  ((int64_t)1 << 31)

/* ---- reading
 * -------------------------------------------------------------------------------------- */
typedef struct reader {
  tn_post *post;
  const tn_str *tokens;
  int32_t id_count;
  tn_arena *arena;
} reader;

static tn_status check_id(const reader *r, int64_t id, tn_error *err) {
  if (id < r->id_count && r->tokens[id].data) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "id %lld is not in the vocabulary of %d", (long long)id,
                 r->id_count);
}

static tn_status add_item(reader *r, tn_post_template *to, int64_t id, int64_t type_id,
                          tn_error *err) {
  if (to->count == ITEMS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "a template of more than %d items", ITEMS_MAX);
  if (id >= 0) TN_TRY(check_id(r, id, err));
  if (!to->items) to->items = tn_arena_alloc(r->arena, ITEMS_MAX, sizeof *to->items);
  if (!to->items) return tn_fail_memory(err, "a template", ITEMS_MAX * sizeof *to->items);
  to->items[to->count++] = (tn_post_item){(int32_t)id, (int32_t)type_id};
  to->added += id >= 0;
  return TN_OK;
}

/* ["[CLS]", 101] */
static tn_status read_pair(const tn_json *json, const char *key, int64_t *id, tn_error *err) {
  const tn_json *pair = tn_json_get(json, key), *token = pair ? pair->first : NULL;
  const tn_json *number = token ? token->next : NULL;
  bool good = number && pair->kind == TN_JSON_ARRAY && number->is_integer && number->integer >= 0;
  if (!good) return tn_fail(err, TN_ERR_DATA, "\"%s\" is not a token and its id", key);
  *id = number->integer;
  return TN_OK;
}

/* [CLS] A [SEP] and, for pairs, B [SEP]; RoBERTa has a second [SEP] before B and no types. */
static tn_status read_bert(reader *r, const tn_json *json, bool roberta, tn_error *err) {
  int64_t cls = 0, sep = 0;
  TN_TRY(read_pair(json, "cls", &cls, err));
  TN_TRY(read_pair(json, "sep", &sep, err));
  tn_post_template *const templates[] = {&r->post->single, &r->post->pair};
  for (int i = 0; i < 2; i++) {
    TN_TRY(add_item(r, templates[i], cls, 0, err));
    TN_TRY(add_item(r, templates[i], FIRST, 0, err));
    TN_TRY(add_item(r, templates[i], sep, 0, err));
  }
  if (roberta) TN_TRY(add_item(r, &r->post->pair, sep, 0, err));
  TN_TRY(add_item(r, &r->post->pair, SECOND, !roberta, err));
  return add_item(r, &r->post->pair, sep, !roberta, err);
}

/* A special token of a template is one or more ids. */
static tn_status add_token(reader *r, tn_post_template *to, const tn_json *tokens, tn_str name,
                           int64_t type_id, tn_error *err) {
  const tn_json *found = NULL;
  for (const tn_json *t = tokens ? tokens->first : NULL; t; t = t->next)
    if (tn_str_equal(t->key, name)) found = t;
  const tn_json *ids = tn_json_get(found, "ids");
  if (!ids || ids->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "special token \"%.*s\" has no ids", TN_SHOWN(name));
  for (const tn_json *id = ids->first; id; id = id->next) {
    if (!id->is_integer || id->integer < 0)
      return tn_fail(err, TN_ERR_DATA, "special token \"%.*s\": an id that is none",
                     TN_SHOWN(name));
    TN_TRY(add_item(r, to, id->integer, type_id, err));
  }
  return TN_OK;
}

static tn_status read_items(reader *r, const tn_json *json, const char *key, tn_post_template *to,
                            tn_error *err) {
  const tn_json *items = tn_json_get(json, key), *tokens = tn_json_get(json, "special_tokens");
  TN_TRY(tn_json_want(items, TN_JSON_ARRAY, key, err));
  for (const tn_json *i = items->first; i; i = i->next) {
    const tn_json *sequence = tn_json_get(i, "Sequence"), *token = tn_json_get(i, "SpecialToken");
    const tn_json *item = sequence ? sequence : token;
    int64_t type_id = 0;
    tn_str id;
    TN_TRY(tn_json_want(item, TN_JSON_OBJECT, "Sequence or SpecialToken", err));
    TN_TRY(tn_json_want_text(item, "id", &id, err));
    TN_TRY(tn_json_get_i64(item, "type_id", 0, INT32_MAX, &type_id, err));
    if (token) {
      TN_TRY(add_token(r, to, tokens, id, type_id, err));
      continue;
    }
    if (!tn_str_is(id, "A") && !tn_str_is(id, "B"))
      return tn_json_unsupported(err, "template sequence", id);
    TN_TRY(add_item(r, to, tn_str_is(id, "A") ? FIRST : SECOND, type_id, err));
  }
  return TN_OK;
}

static bool has_second(const tn_post_template *t) {
  for (int32_t i = 0; i < t->count; i++)
    if (t->items[i].id == SECOND) return true;
  return false;
}

static tn_status read_template(reader *r, const tn_json *json, tn_error *err) {
  TN_TRY(read_items(r, json, "single", &r->post->single, err));
  TN_TRY(read_items(r, json, "pair", &r->post->pair, err));
  if (has_second(&r->post->single))
    return tn_fail(err, TN_ERR_DATA, "the template for one sequence holds two");
  return TN_OK;
}

static tn_status read_processor(reader *r, const tn_json *json, int32_t depth, tn_error *err) {
  TN_TRY(tn_json_want(json, TN_JSON_OBJECT, "post_processor", err));
  tn_str type = tn_json_text(json, "type");
  if (tn_str_is(type, "ByteLevel")) return TN_OK;
  if (tn_str_is(type, "Sequence")) {
    const tn_json *members = tn_json_get(json, "processors");
    TN_TRY(tn_json_want(members, TN_JSON_ARRAY, "processors", err));
    if (depth == NESTING_MAX)
      return tn_fail(err, TN_ERR_LIMIT, "processors nest deeper than %d", NESTING_MAX);
    for (const tn_json *m = members->first; m; m = m->next)
      TN_TRY(read_processor(r, m, depth + 1, err));
    return TN_OK;
  }
  if (r->post->single.count || r->post->pair.count)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "two processors that add tokens");
  if (tn_str_is(type, "TemplateProcessing")) return read_template(r, json, err);
  if (tn_str_is(type, "BertProcessing")) return read_bert(r, json, false, err);
  if (tn_str_is(type, "RobertaProcessing")) return read_bert(r, json, true, err);
  return tn_json_unsupported(err, "post-processor", type);
}

static tn_status read_direction(const tn_json *json, bool *left, tn_error *err) {
  tn_str direction = TN_STR("Right");
  TN_TRY(tn_json_get_str(json, "direction", &direction, err));
  *left = tn_str_is(direction, "Left");
  return *left || tn_str_is(direction, "Right") ? TN_OK
                                                : tn_json_unsupported(err, "direction", direction);
}

static tn_status read_truncation(tn_post *post, const tn_json *json, tn_error *err) {
  if (tn_json_is_null(json)) return TN_OK;
  tn_str strategy = TN_STR("LongestFirst");
  TN_TRY(tn_json_want(json, TN_JSON_OBJECT, "truncation", err));
  TN_TRY(tn_json_want(tn_json_get(json, "max_length"), TN_JSON_NUMBER, "max_length", err));
  TN_TRY(tn_json_get_i64(json, "max_length", 0, INT64_MAX, &post->length_max, err));
  TN_TRY(tn_json_get_str(json, "strategy", &strategy, err));
  TN_TRY(read_direction(json, &post->truncate_left, err));
  post->truncates = true;
  post->strategy = TN_TRUNCATE_LONGEST;
  if (tn_str_is(strategy, "OnlyFirst")) post->strategy = TN_TRUNCATE_FIRST;
  if (tn_str_is(strategy, "OnlySecond")) post->strategy = TN_TRUNCATE_SECOND;
  if (!post->strategy && !tn_str_is(strategy, "LongestFirst"))
    return tn_json_unsupported(err, "truncation strategy", strategy);
  return TN_OK;
}

static tn_status read_padding(reader *r, const tn_json *json, tn_error *err) {
  tn_post *post = r->post;
  if (tn_json_is_null(json)) return TN_OK;
  TN_TRY(tn_json_want(json, TN_JSON_OBJECT, "padding", err));
  const tn_json *strategy = tn_json_get(json, "strategy");
  int64_t id = 0, type_id = 0;
  if (strategy && strategy->kind == TN_JSON_OBJECT)
    TN_TRY(tn_json_get_i64(strategy, "Fixed", 0, LENGTH_MAX, &post->pad_length, err));
  TN_TRY(read_direction(json, &post->pad_left, err));
  TN_TRY(tn_json_get_i64(json, "pad_to_multiple_of", 0, LENGTH_MAX, &post->pad_multiple, err));
  TN_TRY(tn_json_get_i64(json, "pad_id", 0, INT32_MAX, &id, err));
  TN_TRY(tn_json_get_i64(json, "pad_type_id", 0, INT32_MAX, &type_id, err));
  if (id) TN_TRY(check_id(r, id, err)); /* 0 stands for nothing in particular */
  post->pads = true;
  post->pad_id = (int32_t)id;
  post->pad_type_id = (int32_t)type_id;
  return TN_OK;
}

tn_status tn_post_read(tn_post *post, const tn_json *root, const tn_str *tokens, int32_t count,
                       tn_arena *arena, tn_error *err) {
  reader r = {post, tokens, count, arena};
  const tn_json *processor = tn_json_get(root, "post_processor");
  if (!tn_json_is_null(processor)) {
    tn_status status = read_processor(&r, processor, 0, err);
    if (status != TN_OK) return tn_error_context(err, status, "post_processor");
  }
  TN_TRY(read_truncation(post, tn_json_get(root, "truncation"), err));
  return read_padding(&r, tn_json_get(root, "padding"), err);
}

/* ---- truncating
 * ----------------------------------------------------------------------------------- */
static void cut(const tn_post *post, tn_ids *ids, int64_t length) {
  if ((int64_t)ids->count <= length) return;
  if (post->truncate_left)
    memmove(ids->items, ids->items + (ids->count - (size_t)length),
            (size_t)length * sizeof *ids->items);
  ids->count = (size_t)length;
}

/* How much is left of both when the longer one is cut first. */
static void share_length(int64_t limit, int64_t *a, int64_t *b) {
  bool swapped = *a > *b;
  int64_t shorter = swapped ? *b : *a, longer;
  longer = shorter > limit ? shorter : shorter > limit - shorter ? shorter : limit - shorter;
  if (shorter + longer > limit) {
    shorter = limit / 2;
    longer = shorter + limit % 2;
  }
  *a = swapped ? longer : shorter;
  *b = swapped ? shorter : longer;
}

tn_status tn_post_truncate(const tn_post *post, bool add_special, tn_ids *first, tn_ids *pair,
                           tn_error *err) {
  if (!post->truncates) return TN_OK;
  int64_t limit = post->length_max;
  if (add_special) limit -= pair ? post->pair.added : post->single.added;
  if (limit < 0)
    return tn_fail(err, TN_ERR_DATA, "truncation to %lld tokens, fewer than the processor adds",
                   (long long)post->length_max);
  int64_t a = (int64_t)first->count, b = pair ? (int64_t)pair->count : 0, surplus = a + b - limit;
  if (surplus <= 0) return TN_OK;
  if (limit == 0) {
    a = b = 0;
  } else if (post->strategy == TN_TRUNCATE_LONGEST) {
    if (pair)
      share_length(limit, &a, &b);
    else
      a = limit;
  } else {
    int64_t *target = post->strategy == TN_TRUNCATE_FIRST ? &a : &b;
    if (*target <= surplus)
      return tn_fail(err, TN_ERR_LIMIT,
                     "the sequence to truncate has %lld tokens, %lld too many in all",
                     (long long)*target, (long long)surplus);
    *target -= surplus;
  }
  cut(post, first, a);
  if (pair) cut(post, pair, b);
  return TN_OK;
}

/* ---- joining and padding
 * -------------------------------------------------------------------------- */
static tn_status append(tn_encoding *out, const int32_t *ids, size_t count, int32_t type_id,
                        tn_error *err) {
  TN_TRY(tn_ids_reserve(&out->ids, count, err));
  TN_TRY(tn_ids_reserve(&out->type_ids, count, err));
  TN_TRY(tn_ids_reserve(&out->mask, count, err));
  for (size_t i = 0; i < count; i++) {
    out->ids.items[out->ids.count++] = ids[i];
    out->type_ids.items[out->type_ids.count++] = type_id;
    out->mask.items[out->mask.count++] = 1;
  }
  return TN_OK;
}

tn_status tn_post_join(const tn_post *post, bool add_special, const tn_ids *first,
                       const tn_ids *pair, tn_encoding *out, tn_error *err) {
  const tn_post_template *t = pair ? &post->pair : &post->single;
  if (!t->count) {
    TN_TRY(append(out, first->items, first->count, 0, err));
    return pair ? append(out, pair->items, pair->count, 1, err) : TN_OK;
  }
  for (int32_t i = 0; i < t->count; i++) {
    const tn_post_item *item = &t->items[i];
    const tn_ids *sequence = item->id == FIRST ? first : item->id == SECOND ? pair : NULL;
    if (sequence)
      TN_TRY(append(out, sequence->items, sequence->count, item->type_id, err));
    else if (add_special && item->id >= 0)
      TN_TRY(append(out, &item->id, 1, item->type_id, err));
  }
  return TN_OK;
}

static tn_status pad_list(tn_ids *ids, size_t length, int32_t value, bool left, tn_error *err) {
  if (ids->count >= length) return TN_OK;
  size_t missing = length - ids->count;
  TN_TRY(tn_ids_reserve(ids, missing, err));
  if (left) memmove(ids->items + missing, ids->items, ids->count * sizeof *ids->items);
  for (size_t i = 0; i < missing; i++) ids->items[left ? i : ids->count + i] = value;
  ids->count = length;
  return TN_OK;
}

tn_status tn_post_pad(const tn_post *post, tn_encoding *items, size_t count, tn_error *err) {
  if (!post->pads) return TN_OK;
  size_t length = (size_t)post->pad_length, multiple = (size_t)post->pad_multiple;
  for (size_t i = 0; !post->pad_length && i < count; i++)
    if (items[i].ids.count > length) length = items[i].ids.count;
  if (multiple && length % multiple) length += multiple - length % multiple;
  for (size_t i = 0; i < count; i++) {
    TN_TRY(pad_list(&items[i].ids, length, post->pad_id, post->pad_left, err));
    TN_TRY(pad_list(&items[i].type_ids, length, post->pad_type_id, post->pad_left, err));
    TN_TRY(pad_list(&items[i].mask, length, 0, post->pad_left, err));
  }
  return TN_OK;
}
