/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/jsonl_shape.h"

#include "columns/csv_value.h"
#include "columns/jsonl.h"
#include "columns/schema.h"

enum { KEYS_FEW = 8 };

/* ---- keys ---- */
static uint32_t hash_of(tn_str text) { /* FNV-1a */
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < text.length; i++) hash = (hash ^ (uint8_t)text.data[i]) * 16777619u;
  return hash;
}

int32_t tn_jsonl_keys_find(const tn_jsonl_keys *keys, tn_str text) {
  if (!keys->table) {
    for (int32_t i = 0; i < keys->count; i++)
      if (tn_str_equal(keys->items[i].text, text)) return i;
    return -1;
  }
  uint32_t hash = hash_of(text), mask = (uint32_t)keys->table_size - 1;
  for (uint32_t at = hash & mask; keys->table[at]; at = (at + 1) & mask) {
    int32_t i = keys->table[at] - 1;
    if (keys->items[i].hash == hash && tn_str_equal(keys->items[i].text, text)) return i;
  }
  return -1;
}

static void table_put(tn_jsonl_keys *keys, int32_t index) {
  uint32_t mask = (uint32_t)keys->table_size - 1, at = keys->items[index].hash & mask;
  while (keys->table[at]) at = (at + 1) & mask;
  keys->table[at] = index + 1;
}

static tn_status grow_keys(tn_jsonl_keys *keys, tn_arena *arena, tn_error *err) {
  int32_t capacity = keys->capacity ? 2 * keys->capacity : KEYS_FEW;
  tn_jsonl_key *items = tn_arena_alloc(arena, (size_t)capacity, sizeof *items);
  int32_t *table =
      capacity > KEYS_FEW ? tn_arena_alloc(arena, 2 * (size_t)capacity, sizeof *table) : NULL;
  if (!items || (capacity > KEYS_FEW && !table))
    return tn_fail_memory(err, "JSON keys", (size_t)capacity * sizeof *items);
  if (keys->count) memcpy(items, keys->items, (size_t)keys->count * sizeof *items);
  keys->items = items;
  keys->capacity = capacity;
  keys->table = table;
  keys->table_size = table ? 2 * capacity : 0;
  for (int32_t i = 0; table && i < keys->count; i++) table_put(keys, i);
  return TN_OK;
}

static bool needs_escape(tn_str text) {
  for (size_t i = 0; i < text.length; i++)
    if ((uint8_t)text.data[i] < 0x20 || text.data[i] == '"' || text.data[i] == '\\') return true;
  return false;
}

static void set_words(tn_jsonl_key *key) {
  uint8_t bytes[16] = {0}, mask[16] = {0};
  size_t n = key->literal.length < 16 ? key->literal.length : 16;
  memcpy(bytes, key->literal.data, n);
  memset(mask, 0xff, n);
  memcpy(key->word, bytes, 16);
  memcpy(key->mask, mask, 16);
}

tn_status tn_jsonl_keys_add(tn_jsonl_keys *keys, tn_arena *arena, tn_str text, tn_error *err) {
  if (keys->count == keys->capacity) TN_TRY(grow_keys(keys, arena, err));
  char *literal = tn_arena_alloc(arena, text.length + 4, 1);
  if (!literal) return tn_fail_memory(err, "a JSON key", text.length + 4);
  literal[0] = '"';
  if (text.length) memcpy(literal + 1, text.data, text.length);
  literal[text.length + 1] = '"';
  literal[text.length + 2] = ':';
  tn_jsonl_key *key = &keys->items[keys->count];
  *key = (tn_jsonl_key){.text = {literal + 1, text.length}, .hash = hash_of(text)};
  if (!needs_escape(text)) {
    key->literal = (tn_str){literal, text.length + 3};
    set_words(key);
  }
  if (keys->table) table_put(keys, keys->count);
  keys->count++;
  return TN_OK;
}

/* ---- shapes ---- */
tn_jsonl_shape *tn_jsonl_shape_new(tn_arena *arena, bool dates) {
  tn_jsonl_shape *shape = tn_arena_alloc(arena, 1, sizeof *shape);
  if (shape)
    shape->text_kinds =
        dates ? TN_CSV_DATE | TN_CSV_TIME | TN_CSV_TIME_UTC | TN_CSV_TEXT : TN_CSV_TEXT;
  return shape;
}

static tn_status add_member(tn_jsonl_shape *shape, tn_arena *arena, tn_str key, bool dates,
                            tn_error *err) {
  int32_t count = shape->keys.count;
  if (count == shape->member_capacity) {
    int32_t capacity = count ? 2 * count : KEYS_FEW;
    tn_jsonl_shape **members = tn_arena_alloc(arena, (size_t)capacity, sizeof *members);
    if (!members) return tn_fail_memory(err, "JSON keys", (size_t)capacity * sizeof *members);
    if (count) memcpy(members, shape->members, (size_t)count * sizeof *members);
    shape->members = members;
    shape->member_capacity = capacity;
  }
  shape->members[count] = tn_jsonl_shape_new(arena, dates);
  if (!shape->members[count]) return tn_fail_memory(err, "a JSON shape", sizeof *shape);
  return tn_jsonl_keys_add(&shape->keys, arena, key, err);
}

tn_status tn_jsonl_shape_member(tn_jsonl_shape *shape, tn_arena *arena, tn_str key, bool dates,
                                int32_t *index, tn_error *err) {
  *index = tn_jsonl_keys_find(&shape->keys, key);
  if (*index >= 0) return TN_OK;
  if (shape->keys.count >= TN_JSONL_COLUMNS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "more than %d different keys", TN_JSONL_COLUMNS_MAX);
  TN_TRY(add_member(shape, arena, key, dates, err));
  *index = shape->keys.count - 1;
  return TN_OK;
}

tn_status tn_jsonl_shape_join(tn_jsonl_shape *into, tn_arena *arena, const tn_jsonl_shape *from,
                              bool dates, tn_error *err) {
  into->seen |= from->seen;
  into->text_kinds &= from->text_kinds;
  into->root |= from->root;
  if (!into->root && into->keys.count > TN_JSONL_KEYS_MAX) into->seen |= TN_JSONL_SEEN_OPAQUE;
  if (into->seen & TN_JSONL_SEEN_OPAQUE) return TN_OK; /* nobody will ask for its members */
  for (int32_t i = 0; i < from->keys.count; i++) {
    int32_t index;
    TN_TRY(tn_jsonl_shape_member(into, arena, from->keys.items[i].text, dates, &index, err));
    TN_TRY(tn_jsonl_shape_join(into->members[index], arena, from->members[i], dates, err));
  }
  if (!from->item) return TN_OK;
  if (!into->item && !(into->item = tn_jsonl_shape_new(arena, dates)))
    return tn_fail_memory(err, "a JSON shape", sizeof *into);
  return tn_jsonl_shape_join(into->item, arena, from->item, dates, err);
}

/* ---- the schema ---- */
static const char *text_format(const tn_jsonl_shape *shape) {
  if (shape->text_kinds & TN_CSV_DATE) return "tdD";
  if (shape->text_kinds & TN_CSV_TIME) return "tsu:";
  return shape->text_kinds & TN_CSV_TIME_UTC ? "tsu:UTC" : "u";
}

static const char *number_format(uint32_t seen) {
  if (seen & TN_JSONL_SEEN_BEYOND) return "u";
  if (seen & TN_JSONL_SEEN_REAL) return "g";
  if (seen & TN_JSONL_SEEN_HUGE) return "u";
  if (!(seen & TN_JSONL_SEEN_BIG)) return "l";
  return seen & TN_JSONL_SEEN_NEGATIVE ? "u" : "L";
}

/* NULL: JSON text. */
static const char *format_of(const tn_jsonl_shape *shape) {
  const uint32_t numbers = TN_JSONL_SEEN_INT | TN_JSONL_SEEN_NEGATIVE | TN_JSONL_SEEN_BIG |
                           TN_JSONL_SEEN_HUGE | TN_JSONL_SEEN_REAL | TN_JSONL_SEEN_BEYOND;
  uint32_t seen = shape->seen & ~(uint32_t)TN_JSONL_SEEN_NULL;
  if (shape->root) return "+s";
  if (seen == 0) return "n";
  if (seen & TN_JSONL_SEEN_OPAQUE) return NULL;
  if (seen == TN_JSONL_SEEN_OBJECT) return shape->keys.count > TN_JSONL_KEYS_MAX ? NULL : "+s";
  if (seen == TN_JSONL_SEEN_ARRAY) return "+l";
  if (seen & (TN_JSONL_SEEN_OBJECT | TN_JSONL_SEEN_ARRAY)) return NULL;
  if (seen == TN_JSONL_SEEN_BOOL) return "b";
  if (seen == TN_JSONL_SEEN_TEXT) return text_format(shape);
  return (seen & ~numbers) == 0 ? number_format(seen) : "u";
}

typedef struct schema_maker {
  int64_t columns;
  tn_error *err;
} schema_maker;

static tn_status make_field(schema_maker *m, const tn_jsonl_shape *shape, const char *name,
                            ArrowSchema *out) {
  if (m->columns++ > TN_JSONL_COLUMNS_MAX)
    return tn_fail(m->err, TN_ERR_LIMIT, "more than %d columns, nested ones counted",
                   TN_JSONL_COLUMNS_MAX);
  const char *format = format_of(shape);
  TN_TRY(tn_schema_init(out, format ? format : "u", name, shape->root ? 0 : ARROW_FLAG_NULLABLE,
                        m->err));
  if (!format) {
    TN_TRY(tn_schema_add_metadata(out, TN_STR("ARROW:extension:metadata"), TN_STR(""), m->err));
    return tn_schema_add_metadata(out, TN_STR("ARROW:extension:name"), TN_STR("arrow.json"),
                                  m->err);
  }
  if (strcmp(format, "+l") == 0) {
    static const tn_jsonl_shape empty;
    TN_TRY(tn_schema_add_children(out, 1, m->err));
    return make_field(m, shape->item ? shape->item : &empty, "item", out->children[0]);
  }
  if (strcmp(format, "+s") != 0) return TN_OK;
  TN_TRY(tn_schema_add_children(out, shape->keys.count, m->err));
  for (int32_t i = 0; i < shape->keys.count; i++) {
    tn_str key = shape->keys.items[i].text;
    if (memchr(key.data, 0, key.length))
      return tn_fail(m->err, TN_ERR_UNSUPPORTED, "a key with a NUL character: \"%.40s\\u0000...\"",
                     key.data);
    char *copy = tn_strndup(key.data, key.length);
    if (!copy) return tn_fail_memory(m->err, "a column name", key.length + 1);
    tn_status status = make_field(m, shape->members[i], copy, out->children[i]);
    tn_free(copy);
    TN_TRY(status);
  }
  return TN_OK;
}

tn_status tn_jsonl_shape_schema(const tn_jsonl_shape *root, ArrowSchema *out, tn_error *err) {
  schema_maker m = {.err = err};
  memset(out, 0, sizeof *out);
  tn_status status = make_field(&m, root, "", out);
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}
