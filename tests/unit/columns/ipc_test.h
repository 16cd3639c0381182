/* ipc_test.h - random schemas and batches of every type, written and read again. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_IPC_TEST_H
#define TN_TESTS_IPC_TEST_H
#include "columns_test.h"

#include "columns/array.h"
#include "columns/builder.h"
#include "columns/equal.h"
#include "columns/ipc.h"
#include "columns/schema.h"
#include "columns/validate.h"

typedef struct dice {
  uint64_t state;
  bool growing;   /* dictionaries only get longer from batch to batch */
  bool unordered; /* no dictionary has an order */
} dice;

static inline uint64_t roll(dice *d, uint64_t sides) { /* splitmix64 */
  uint64_t z = (d->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % sides;
}

/* ---- schemas ---- */
static inline tn_type random_parameters(tn_type_id id, dice *d) {
  static const int32_t digits[] = {9, 18, 38, 76};
  static const char *const zones[] = {"", "UTC", "Europe/Berlin", "+02:30"};
  tn_type t = {.id = id, .unit = (tn_time_unit)roll(d, 4)};
  if (id == TN_TYPE_TIME32) t.unit = (tn_time_unit)roll(d, 2);
  if (id == TN_TYPE_TIME64) t.unit = (tn_time_unit)(2 + roll(d, 2));
  if (id == TN_TYPE_TIMESTAMP) t.timezone = tn_str_of(zones[roll(d, 4)]);
  if (id == TN_TYPE_FIXED_BINARY) t.size = (int32_t)roll(d, 20);
  if (id == TN_TYPE_FIXED_LIST) t.size = (int32_t)roll(d, 4);
  if (tn_type_is_decimal(id)) {
    t.bits = 32 << (id - TN_TYPE_DECIMAL32);
    t.precision = 1 + (int32_t)roll(d, (uint64_t)digits[id - TN_TYPE_DECIMAL32]);
    t.scale = (int32_t)roll(d, 12) - 4;
  }
  if (id == TN_TYPE_DENSE_UNION || id == TN_TYPE_SPARSE_UNION) {
    t.code_count = 1 + (int32_t)roll(d, 4);
    for (int32_t i = 0; i < t.code_count; i++) t.codes[i] = (int8_t)(i * 31 + (int32_t)roll(d, 30));
  }
  return t;
}

static inline tn_status random_field(ArrowSchema *out, const char *name, bool nullable,
                                     tn_type_id id, int depth, dice *d, tn_error *err);

static inline tn_type_id any_type(int depth, dice *d) {
  return (tn_type_id)roll(d, depth > 0 ? TN_TYPE_COUNT : TN_TYPE_LIST);
}

static inline tn_status random_map(ArrowSchema *out, int depth, dice *d, tn_error *err) {
  ArrowSchema *entries = out->children[0];
  tn_type pair = {.id = TN_TYPE_STRUCT};
  if (roll(d, 2)) out->flags |= ARROW_FLAG_MAP_KEYS_SORTED;
  TN_TRY(tn_schema_init_type(entries, &pair, roll(d, 2) ? "entries" : "pairs", 0, err));
  TN_TRY(tn_schema_add_children(entries, 2, err));
  TN_TRY(tn_schema_init(entries->children[0], roll(d, 2) ? "u" : "i", "key", 0, err));
  return random_field(entries->children[1], "value", true, any_type(depth - 1, d), depth - 1, d,
                      err);
}

static inline tn_status random_run_end(ArrowSchema *out, int depth, dice *d, tn_error *err) {
  static const char *const ends[] = {"s", "i", "l"};
  TN_TRY(tn_schema_init(out->children[0], ends[roll(d, 3)], "run_ends", 0, err));
  return random_field(out->children[1], "values", true, any_type(depth - 1, d), depth - 1, d, err);
}

static inline tn_status random_children(ArrowSchema *out, const tn_type *t, int depth, dice *d,
                                        tn_error *err) {
  static const char *const names[] = {"a", "b", "c", "d"};
  int64_t count = t->id == TN_TYPE_STRUCT ? (int64_t)roll(d, 4) : t->code_count;
  if (t->id == TN_TYPE_RUN_END) count = 2;
  if (t->id == TN_TYPE_MAP || (t->id >= TN_TYPE_LIST && t->id <= TN_TYPE_FIXED_LIST)) count = 1;
  TN_TRY(tn_schema_add_children(out, count, err));
  if (t->id == TN_TYPE_MAP) return random_map(out, depth, d, err);
  if (t->id == TN_TYPE_RUN_END) return random_run_end(out, depth, d, err);
  for (int64_t i = 0; i < count; i++)
    TN_TRY(random_field(out->children[i], names[i], roll(d, 4) != 0, any_type(depth - 1, d),
                        depth - 1, d, err));
  return TN_OK;
}

/* One in six fields is a dictionary of the type. */
static inline tn_status random_field(ArrowSchema *out, const char *name, bool nullable,
                                     tn_type_id id, int depth, dice *d, tn_error *err) {
  static const char index_formats[] = "cCsSiIlL";
  tn_type t = random_parameters(id, d);
  int64_t flags = nullable ? ARROW_FLAG_NULLABLE : 0;
  if (roll(d, 6) == 0 && id != TN_TYPE_NULL) {
    char format[2] = {index_formats[roll(d, 8)], 0};
    flags |= ARROW_FLAG_NULLABLE; /* a placeholder then needs no value of the dictionary */
    if (roll(d, 3) == 0 && !d->unordered) flags |= ARROW_FLAG_DICTIONARY_ORDERED;
    TN_TRY(tn_schema_init(out, format, name, flags, err));
    TN_TRY(tn_schema_add_dictionary(out, err));
    out = out->dictionary;
    name = "";
    flags = ARROW_FLAG_NULLABLE;
  }
  TN_TRY(tn_schema_init_type(out, &t, name, flags, err));
  if (roll(d, 4) == 0 && *name)
    TN_TRY(tn_schema_add_metadata(out, TN_STR("ARROW:extension:name"), TN_STR("x.\xc3\xa9"), err));
  return tn_type_is_nested(id) ? random_children(out, &t, depth, d, err) : TN_OK;
}

/* One column of every type. */
static inline tn_status random_schema(ArrowSchema *out, dice *d, tn_error *err) {
  TN_TRY(tn_schema_init(out, "+s", "", 0, err));
  TN_TRY(tn_schema_add_metadata(out, TN_STR("k"), TN_STR("v"), err));
  TN_TRY(tn_schema_add_children(out, TN_TYPE_COUNT, err));
  for (int t = 0; t < TN_TYPE_COUNT; t++)
    TN_TRY(random_field(out->children[t], tn_type_name((tn_type_id)t), roll(d, 4) != 0,
                        (tn_type_id)t, 3, d, err));
  return TN_OK;
}

/* ---- values ---- */
static inline tn_status append_random(tn_builder *b, const tn_field *f, dice *d, tn_error *err);

static inline tn_status append_bytes(tn_builder *b, const tn_type *t, dice *d, tn_error *err) {
  char bytes[64];
  size_t count = t->bits ? (size_t)t->bits / 8 : t->id == TN_TYPE_FIXED_BINARY ? 0 : roll(d, 40);
  for (size_t i = 0; i < count; i++)
    bytes[i] = (char)(tn_type_is_text(t->id) ? 'a' + roll(d, 26) : roll(d, 256));
  if (t->id == TN_TYPE_BOOL) return tn_builder_append_i64(b, (int64_t)roll(d, 2), err);
  return tn_builder_append_str(b, (tn_str){bytes, count}, err);
}

static inline tn_status append_run(tn_builder *b, const tn_field *f, int64_t count, dice *d,
                                   tn_error *err) {
  TN_TRY(append_random(tn_builder_child(b, 1), &f->children[1], d, err));
  return tn_builder_append_run(b, count, err);
}

/* One value, or a run of some where the field has such. */
static inline tn_status append_some(tn_builder *b, const tn_field *f, dice *d, tn_error *err) {
  if (f->type.id == TN_TYPE_RUN_END && !f->dictionary)
    return append_run(b, f, 1 + (int64_t)roll(d, 5), d, err);
  return append_random(b, f, d, err);
}

static inline tn_status append_items(tn_builder *b, const tn_field *f, dice *d, tn_error *err) {
  bool fixed = f->type.id == TN_TYPE_FIXED_LIST;
  uint64_t count = fixed ? (uint64_t)f->type.size : roll(d, 4);
  for (uint64_t i = 0; i < count; i++) {
    tn_builder *items = tn_builder_child(b, 0);
    TN_TRY(fixed ? append_random(items, &f->children[0], d, err)
                 : append_some(items, &f->children[0], d, err));
  }
  return tn_builder_end_list(b, err);
}

static inline tn_status append_nested(tn_builder *b, const tn_field *f, dice *d, tn_error *err) {
  int64_t i;
  switch (f->type.layout) {
    case TN_LAYOUT_STRUCT:
      for (i = 0; i < f->child_count; i++)
        TN_TRY(append_random(tn_builder_child(b, i), &f->children[i], d, err));
      return tn_builder_end_struct(b, err);
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_SPARSE_UNION:
      i = (int64_t)roll(d, (uint64_t)f->child_count);
      TN_TRY(append_random(tn_builder_child(b, i), &f->children[i], d, err));
      return tn_builder_append_union(b, i, err);
    case TN_LAYOUT_RUN_END:
      return append_run(b, f, 1, d, err);
    default:
      return append_items(b, f, d, err);
  }
}

/* The values of a growing dictionary follow from their number alone. */
static inline tn_status append_index(tn_builder *b, const tn_field *f, dice *d, tn_error *err) {
  tn_builder *values = tn_builder_dictionary(b);
  if (tn_builder_length(values) == 0) {
    dice fixed = {.state = 42, .growing = d->growing};
    int64_t count = 3 + (int64_t)roll(d, 9);
    for (int64_t i = 0; i < count; i++)
      TN_TRY(append_random(values, f->dictionary, d->growing ? &fixed : d, err));
  }
  return tn_builder_append_i64(b, (int64_t)roll(d, (uint64_t)tn_builder_length(values)), err);
}

static inline tn_status append_random(tn_builder *b, const tn_field *f, dice *d, tn_error *err) {
  if ((f->nullable && roll(d, 5) == 0) || f->type.id == TN_TYPE_NULL)
    return tn_builder_append_null(b, err);
  if (f->dictionary) return append_index(b, f, d, err);
  if (tn_type_is_nested(f->type.id)) return append_nested(b, f, d, err);
  return append_bytes(b, &f->type, d, err);
}

/* A run may give several rows, so a column may end up longer: it is cut. */
static inline tn_status random_column(ArrowArray *out, const tn_field *f, int64_t rows, dice *d,
                                      tn_error *err) {
  tn_builder *b;
  TN_TRY(tn_builder_new_field(&b, f, err));
  tn_status status = TN_OK;
  while (status == TN_OK && tn_builder_length(b) < rows) status = append_some(b, f, d, err);
  if (status == TN_OK) {
    tn_builder_cut(b, rows);
    status = tn_builder_finish(b, out, err);
  }
  tn_builder_free(b);
  return status;
}

static inline tn_status random_batch(ArrowArray *out, const tn_field *root, int64_t rows, dice *d,
                                     tn_error *err) {
  int64_t count = root->child_count;
  ArrowArray *columns = tn_alloc((size_t)count, sizeof *columns);
  tn_status status = columns ? TN_OK : tn_fail_memory(err, "columns", (size_t)count * 80);
  memset(out, 0, sizeof *out);
  for (int64_t c = 0; status == TN_OK && c < count; c++)
    status = random_column(&columns[c], &root->children[c], rows, d, err);
  if (status == TN_OK) status = tn_batch_new(out, columns, count, rows, err);
  for (int64_t c = 0; columns && c < count; c++) tn_array_clear(&columns[c]);
  tn_free(columns);
  return status;
}

#endif
