/* Shredded Variant columns put together again (VariantShredding.md of parquet-format). */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "columns/builder.h"
#include "columns/parquet/variant.h"
#include "columns/schema.h"
#include "columns/value.h"

typedef enum node_kind { NODE_PLAIN, NODE_SCALAR, NODE_ARRAY, NODE_OBJECT } node_kind;

typedef struct plan_node plan_node;
typedef struct plan_field {
  tn_str name;
  int64_t child; /* of the typed_value struct */
  int64_t id;    /* in the metadata of the row at hand; -1: not there */
  plan_node *node;
} plan_field;

/* One pair of value and typed_value. */
struct plan_node {
  const tn_field *value_field, *typed_field; /* NULL: none */
  int64_t value_child, typed_child;
  node_kind kind;
  tn_variant_kind scalar;
  plan_field *fields; /* OBJECT, sorted by name */
  int64_t field_count;
  plan_node *element; /* ARRAY */
};

struct tn_variant_plan {
  tn_arena arena;
  ArrowSchema schema; /* of what comes out */
  tn_builder *builder;
  plan_node *root;
  const tn_field *stored;
  int64_t metadata_child;
  bool as_json;
  /* the row at hand */
  tn_parquet_bytes value;
  tn_strbuf names_text; /* its metadata, which `names` views */
  tn_variant_names names;
  bool has_names;
  tn_strbuf json;
  tn_variant_entry *entries; /* a stack: an object's lie above those of the objects around it */
  size_t entry_count, entry_capacity;
};

/* ---- the plan -------------------------------------------------------------------------------- */

static tn_status unsupported(const tn_field *field, tn_error *err) {
  tn_strbuf text = {0};
  tn_field_text(field, &text);
  tn_status status = tn_fail(err, TN_ERR_UNSUPPORTED, "a Variant cannot be shredded to %s",
                             text.data ? text.data : "this type");
  tn_strbuf_clear(&text);
  return status;
}

static bool is_uuid(const tn_field *field) {
  return field->type.size == 16 && field->schema &&
         tn_str_is(tn_schema_metadata(field->schema, "ARROW:extension:name"), "arrow.uuid");
}

static bool timestamp_kind(const tn_type *type, tn_variant_kind *out) {
  bool utc = type->timezone.length > 0, nanos = type->unit == TN_NANOS;
  *out = nanos ? (utc ? TN_VARIANT_TIMESTAMP_NS : TN_VARIANT_TIMESTAMP_NTZ_NS)
               : (utc ? TN_VARIANT_TIMESTAMP : TN_VARIANT_TIMESTAMP_NTZ);
  return nanos || type->unit == TN_MICROS;
}

/* The Variant type that an Arrow type is; false: none. */
static bool scalar_kind(const tn_field *field, tn_variant_kind *out) {
  static const tn_variant_kind integers[] = {[TN_TYPE_INT8] = TN_VARIANT_INT8,
                                             [TN_TYPE_INT16] = TN_VARIANT_INT16,
                                             [TN_TYPE_INT32] = TN_VARIANT_INT32,
                                             [TN_TYPE_INT64] = TN_VARIANT_INT64};
  const tn_type *type = &field->type;
  switch (type->id) {
    case TN_TYPE_BOOL:
      *out = TN_VARIANT_TRUE;
      return true;
    case TN_TYPE_INT8:
    case TN_TYPE_INT16:
    case TN_TYPE_INT32:
    case TN_TYPE_INT64:
      *out = integers[type->id];
      return true;
    case TN_TYPE_FLOAT:
      *out = TN_VARIANT_FLOAT;
      return true;
    case TN_TYPE_DOUBLE:
      *out = TN_VARIANT_DOUBLE;
      return true;
    case TN_TYPE_DECIMAL32:
    case TN_TYPE_DECIMAL64:
    case TN_TYPE_DECIMAL128:
      *out = type->precision <= 9    ? TN_VARIANT_DECIMAL4
             : type->precision <= 18 ? TN_VARIANT_DECIMAL8
                                     : TN_VARIANT_DECIMAL16;
      return type->scale >= 0;
    case TN_TYPE_DATE32:
      *out = TN_VARIANT_DATE;
      return true;
    case TN_TYPE_TIME64:
      *out = TN_VARIANT_TIME;
      return type->unit == TN_MICROS;
    case TN_TYPE_TIMESTAMP:
      return timestamp_kind(type, out);
    case TN_TYPE_FIXED_BINARY:
      *out = TN_VARIANT_UUID;
      return is_uuid(field);
    default:
      *out = tn_type_is_text(type->id) ? TN_VARIANT_STRING : TN_VARIANT_BINARY;
      return tn_type_is_bytes(type->id);
  }
}

static int compare_text(tn_str a, tn_str b) {
  size_t common = a.length < b.length ? a.length : b.length;
  int c = common ? memcmp(a.data, b.data, common) : 0;
  return c ? c : (a.length > b.length) - (a.length < b.length);
}

static int by_field_name(const void *a, const void *b) {
  return compare_text(((const plan_field *)a)->name, ((const plan_field *)b)->name);
}

static tn_status plan_pair(tn_variant_plan *plan, const tn_field *group, plan_node **out, int depth,
                           tn_error *err);

static tn_status plan_object(tn_variant_plan *plan, plan_node *node, int depth, tn_error *err) {
  const tn_field *typed = node->typed_field;
  node->kind = NODE_OBJECT;
  node->fields = tn_arena_alloc(&plan->arena, (size_t)typed->child_count, sizeof *node->fields);
  if (!node->fields) return tn_fail_memory(err, "a Variant plan", sizeof *node->fields);
  node->field_count = typed->child_count;
  for (int64_t i = 0; i < typed->child_count; i++) {
    const tn_field *field = &typed->children[i];
    node->fields[i] = (plan_field){.name = tn_str_of(field->name), .child = i};
    TN_TRY(plan_pair(plan, field, &node->fields[i].node, depth + 1, err));
  }
  qsort(node->fields, (size_t)node->field_count, sizeof *node->fields, by_field_name);
  for (int64_t i = 1; i < node->field_count; i++) {
    if (!tn_str_equal(node->fields[i - 1].name, node->fields[i].name)) continue;
    return tn_fail(err, TN_ERR_DATA, "a Variant is shredded to two fields named \"%.*s\"",
                   TN_STR_ARG(node->fields[i].name));
  }
  return TN_OK;
}

static tn_status plan_typed(tn_variant_plan *plan, plan_node *node, int depth, tn_error *err) {
  const tn_field *typed = node->typed_field;
  if (typed->type.id == TN_TYPE_STRUCT) return plan_object(plan, node, depth, err);
  if (typed->type.id == TN_TYPE_LIST || typed->type.id == TN_TYPE_LARGE_LIST) {
    node->kind = NODE_ARRAY;
    return plan_pair(plan, &typed->children[0], &node->element, depth + 1, err);
  }
  node->kind = NODE_SCALAR;
  if (typed->dictionary || !scalar_kind(typed, &node->scalar)) return unsupported(typed, err);
  return TN_OK;
}

static const tn_field *child_named(const tn_field *group, const char *name, int64_t *index) {
  for (int64_t i = 0; i < group->child_count; i++) {
    if (strcmp(group->children[i].name, name) != 0) continue;
    *index = i;
    return &group->children[i];
  }
  return NULL;
}

static tn_status plan_pair(tn_variant_plan *plan, const tn_field *group, plan_node **out, int depth,
                           tn_error *err) {
  if (group->type.id != TN_TYPE_STRUCT) return unsupported(group, err);
  if (depth > TN_VARIANT_DEPTH_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "a Variant is shredded deeper than %d levels",
                   TN_VARIANT_DEPTH_MAX);
  }
  plan_node *node = tn_arena_alloc(&plan->arena, 1, sizeof *node);
  if (!node) return tn_fail_memory(err, "a Variant plan", sizeof *node);
  *out = node;
  node->value_field = child_named(group, "value", &node->value_child);
  node->typed_field = child_named(group, "typed_value", &node->typed_child);
  if (!node->value_field && !node->typed_field) {
    return tn_fail(err, TN_ERR_DATA, "the Variant group \"%s\" has neither value nor typed_value",
                   group->name);
  }
  if (node->value_field && !tn_type_is_bytes(node->value_field->type.id)) {
    return unsupported(node->value_field, err);
  }
  return node->typed_field ? plan_typed(plan, node, depth, err) : TN_OK;
}

static tn_status make_plan(tn_variant_plan *plan, tn_error *err) {
  tn_field *field = NULL;
  const tn_field *metadata = child_named(plan->stored, "metadata", &plan->metadata_child);
  if (!metadata || !tn_type_is_bytes(metadata->type.id)) {
    return tn_fail(err, TN_ERR_DATA, "the Variant group \"%s\" has no binary field metadata",
                   plan->stored->name);
  }
  TN_TRY(plan_pair(plan, plan->stored, &plan->root, 0, err));
  TN_TRY(tn_variant_schema(&plan->schema, plan->stored, plan->as_json, err));
  TN_TRY(tn_field_tree(&field, &plan->arena, &plan->schema, err));
  return tn_builder_new_field(&plan->builder, field, err);
}

tn_status tn_variant_plan_new(tn_variant_plan **out, const tn_field *stored, bool as_json,
                              tn_error *err) {
  tn_variant_plan *plan = tn_alloc(1, sizeof *plan);
  if (!plan) return tn_fail_memory(err, "a Variant plan", sizeof *plan);
  plan->stored = stored;
  plan->as_json = as_json;
  tn_status status = make_plan(plan, err);
  if (status == TN_OK) {
    *out = plan;
    return TN_OK;
  }
  tn_variant_plan_free(plan);
  return status;
}

void tn_variant_plan_free(tn_variant_plan *plan) {
  if (!plan) return;
  tn_builder_free(plan->builder);
  tn_schema_clear(&plan->schema);
  tn_parquet_bytes_clear(&plan->value);
  tn_strbuf_clear(&plan->names_text);
  tn_strbuf_clear(&plan->json);
  tn_free(plan->entries);
  tn_arena_clear(&plan->arena);
  tn_free(plan);
}

bool tn_variant_plan_is_shredded(const tn_variant_plan *plan) {
  return plan->root->typed_field != NULL;
}

static tn_status add_binaries(ArrowSchema *out, tn_error *err) {
  TN_TRY(tn_schema_add_children(out, 2, err));
  TN_TRY(tn_schema_init(out->children[0], "z", "metadata", 0, err));
  return tn_schema_init(out->children[1], "z", "value", 0, err);
}

tn_status tn_variant_schema(ArrowSchema *out, const tn_field *stored, bool as_json, tn_error *err) {
  const char *extension = as_json ? "arrow.json" : "arrow.parquet.variant";
  TN_TRY(tn_schema_init(out, as_json ? "u" : "+s", stored->name,
                        stored->nullable ? ARROW_FLAG_NULLABLE : 0, err));
  tn_status status = as_json ? TN_OK : add_binaries(out, err);
  if (status == TN_OK) {
    status = tn_schema_add_metadata(out, TN_STR("ARROW:extension:metadata"), TN_STR(""), err);
  }
  if (status == TN_OK) {
    status = tn_schema_add_metadata(out, TN_STR("ARROW:extension:name"), tn_str_of(extension), err);
  }
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Name numbers change with the metadata. */
static void find_ids(tn_variant_plan *plan, plan_node *node) {
  if (node->element) find_ids(plan, node->element);
  for (int64_t i = 0; i < node->field_count; i++) {
    node->fields[i].id = tn_variant_name_find(&plan->names, node->fields[i].name);
    find_ids(plan, node->fields[i].node);
  }
}

/* Most rows of a file have the same metadata. */
static tn_status take_names(tn_variant_plan *plan, tn_str metadata, tn_error *err) {
  if (plan->has_names && tn_str_equal(metadata, tn_strbuf_view(&plan->names_text))) return TN_OK;
  plan->has_names = false;
  tn_strbuf_reset(&plan->names_text);
  tn_strbuf_add_str(&plan->names_text, metadata);
  TN_TRY(tn_strbuf_check(&plan->names_text, err));
  TN_TRY(tn_variant_names_open(&plan->names, tn_strbuf_view(&plan->names_text), err));
  plan->has_names = true;
  find_ids(plan, plan->root);
  return TN_OK;
}

static tn_status put_null(tn_variant_plan *plan, tn_error *err) {
  return tn_variant_put(&plan->value, TN_VARIANT_NULL, (tn_str){0}, 0, err);
}

static tn_status put_scalar(tn_variant_plan *plan, const plan_node *node, const ArrowArray *typed,
                            int64_t row, tn_error *err) {
  const tn_field *field = node->typed_field;
  tn_variant_kind kind = node->scalar;
  if (kind == TN_VARIANT_TRUE) {
    if (!tn_value_i64(field, typed, row)) kind = TN_VARIANT_FALSE;
    return tn_variant_put(&plan->value, kind, (tn_str){0}, 0, err);
  }
  tn_str data = tn_value_bytes(field, typed, row);
  /* The precision promises that the lower bytes are all of it. */
  if (kind == TN_VARIANT_DECIMAL4) data.length = 4;
  if (kind == TN_VARIANT_DECIMAL8) data.length = 8;
  if (kind == TN_VARIANT_STRING && !tn_utf8_valid(data)) {
    return tn_fail(err, TN_ERR_DATA, "a shredded Variant string is not UTF-8");
  }
  return tn_variant_put(&plan->value, kind, data, field->type.scale, err);
}

static tn_status append(tn_variant_plan *plan, tn_str bytes, tn_error *err) {
  return tn_parquet_bytes_append(&plan->value, bytes.data, bytes.length, err);
}

static tn_status add_entry(tn_variant_plan *plan, tn_str name, int64_t id, size_t start,
                           tn_error *err) {
  if (id < 0) {
    return tn_fail(err, TN_ERR_DATA, "the Variant field \"%.*s\" is not in the metadata",
                   TN_STR_ARG(name));
  }
  TN_TRY(tn_grow((void **)&plan->entries, &plan->entry_capacity, plan->entry_count + 1,
                 sizeof *plan->entries, err));
  plan->entries[plan->entry_count++] =
      (tn_variant_entry){.name = name, .id = (uint32_t)id, .start = start};
  return TN_OK;
}

static int by_entry_name(const void *a, const void *b) {
  return compare_text(((const tn_variant_entry *)a)->name, ((const tn_variant_entry *)b)->name);
}

/* `row` counts from the group's own offset; *present false: the value is missing. */
static tn_status put_pair(tn_variant_plan *plan, const plan_node *node, const ArrowArray *group,
                          int64_t row, bool *present, tn_error *err);

/* An element cannot be missing; where one is, it is null. */
static tn_status put_element(tn_variant_plan *plan, const plan_node *node, const ArrowArray *items,
                             int64_t row, tn_error *err) {
  bool present = false;
  TN_TRY(put_pair(plan, node, items, row, &present, err));
  return present ? TN_OK : put_null(plan, err);
}

static tn_status put_array(tn_variant_plan *plan, const plan_node *node, const ArrowArray *typed,
                           int64_t row, tn_error *err) {
  size_t start = plan->value.length, first = plan->entry_count;
  int64_t from = 0, count = tn_value_items(node->typed_field, typed, row, &from);
  if (count > UINT32_MAX) return tn_fail(err, TN_ERR_LIMIT, "a Variant array is too long");
  for (int64_t i = 0; i < count; i++) {
    TN_TRY(add_entry(plan, (tn_str){0}, 0, plan->value.length, err));
    TN_TRY(put_element(plan, node->element, typed->children[0], from + i, err));
  }
  plan->entry_count = first;
  return tn_variant_close(&plan->value, start, false, plan->entries + first, (uint32_t)count, err);
}

static bool is_shredded_field(const plan_node *node, tn_str name) {
  plan_field key = {.name = name};
  return node->field_count > 0 && bsearch(&key, node->fields, (size_t)node->field_count,
                                          sizeof *node->fields, by_field_name) != NULL;
}

/* The fields that were not shredded. */
static tn_status put_rest(tn_variant_plan *plan, const plan_node *node, tn_str value,
                          tn_error *err) {
  tn_variant object, item;
  tn_str name;
  size_t most = plan->value.length + value.length; /* items that overlap would be more */
  TN_TRY(tn_variant_open(&object, value, err));
  if (object.kind != TN_VARIANT_OBJECT) {
    return tn_fail(err, TN_ERR_DATA,
                   "a Variant value that is no object stands beside shredded fields");
  }
  for (uint32_t i = 0; i < object.count; i++) {
    TN_TRY(tn_variant_field(&object, i, &plan->names, &name, err));
    if (is_shredded_field(node, name)) continue; /* what the column says counts */
    TN_TRY(tn_variant_item(&object, i, &item, err));
    int64_t id = tn_variant_name_find(&plan->names, name);
    TN_TRY(add_entry(plan, name, id, plan->value.length, err));
    TN_TRY(append(plan, item.bytes, err));
    if (plan->value.length > most) {
      return tn_fail(err, TN_ERR_DATA, "a Variant's values overlap: more of them than bytes");
    }
  }
  return TN_OK;
}

static tn_status put_object(tn_variant_plan *plan, const plan_node *node, const ArrowArray *typed,
                            int64_t row, tn_str rest, tn_error *err) {
  size_t start = plan->value.length, first = plan->entry_count;
  for (int64_t i = 0; i < node->field_count; i++) {
    const plan_field *field = &node->fields[i];
    const tn_field *group_field = &node->typed_field->children[field->child];
    const ArrowArray *group = typed->children[field->child];
    int64_t at = typed->offset + row;
    bool present = false;
    size_t before = plan->value.length;
    if (tn_value_is_null(group_field, group, at)) continue;
    TN_TRY(put_pair(plan, field->node, group, at, &present, err));
    if (present) TN_TRY(add_entry(plan, field->name, field->id, before, err));
  }
  if (rest.data) TN_TRY(put_rest(plan, node, rest, err));
  uint32_t count = (uint32_t)(plan->entry_count - first);
  tn_variant_entry *entries = plan->entries + first;
  plan->entry_count = first;
  if (count > 1) qsort(entries, count, sizeof *entries, by_entry_name);
  for (uint32_t i = 1; i < count; i++) {
    if (!tn_str_equal(entries[i - 1].name, entries[i].name)) continue;
    return tn_fail(err, TN_ERR_DATA, "a Variant object has two fields named \"%.*s\"",
                   TN_STR_ARG(entries[i].name));
  }
  return tn_variant_close(&plan->value, start, true, entries, count, err);
}

static tn_status put_value(tn_variant_plan *plan, tn_str value, tn_error *err) {
  tn_variant v;
  TN_TRY(tn_variant_open(&v, value, err));
  return append(plan, v.bytes, err);
}

static tn_status put_pair(tn_variant_plan *plan, const plan_node *node, const ArrowArray *group,
                          int64_t row, bool *present, tn_error *err) {
  const ArrowArray *typed = node->typed_field ? group->children[node->typed_child] : NULL;
  const ArrowArray *values = node->value_field ? group->children[node->value_child] : NULL;
  int64_t at = group->offset + row;
  bool has_typed = typed && !tn_value_is_null(node->typed_field, typed, at);
  bool has_value = values && !tn_value_is_null(node->value_field, values, at);
  tn_str value = {0};
  *present = has_typed || has_value;
  if (has_value) {
    value = tn_value_bytes(node->value_field, values, at);
    if (!value.data) value.data = "";
  }
  if (!has_typed) return has_value ? put_value(plan, value, err) : TN_OK;
  if (node->kind == NODE_OBJECT) return put_object(plan, node, typed, at, value, err);
  if (has_value) {
    return tn_fail(err, TN_ERR_DATA, "a Variant has both a value and a typed_value");
  }
  return node->kind == NODE_ARRAY ? put_array(plan, node, typed, at, err)
                                  : put_scalar(plan, node, typed, at, err);
}

static tn_status finish_json(tn_variant_plan *plan, tn_error *err) {
  tn_json_writer w = {.out = &plan->json};
  tn_str value = {(const char *)plan->value.data, plan->value.length};
  tn_strbuf_reset(&plan->json);
  TN_TRY(tn_variant_json(&w, &plan->names, value, err));
  TN_TRY(tn_strbuf_check(&plan->json, err));
  return tn_builder_append_str(plan->builder, tn_strbuf_view(&plan->json), err);
}

static tn_status put_row(tn_variant_plan *plan, const ArrowArray *stored, int64_t row,
                         tn_error *err) {
  const tn_field *metadata_field = &plan->stored->children[plan->metadata_child];
  const ArrowArray *metadata = stored->children[plan->metadata_child];
  int64_t at = stored->offset + row;
  bool present = false;
  if (tn_value_is_null(plan->stored, stored, row)) {
    return tn_builder_append_null(plan->builder, err);
  }
  if (tn_value_is_null(metadata_field, metadata, at)) {
    return tn_fail(err, TN_ERR_DATA, "a Variant without metadata");
  }
  TN_TRY(take_names(plan, tn_value_bytes(metadata_field, metadata, at), err));
  plan->value.length = plan->entry_count = 0;
  TN_TRY(put_pair(plan, plan->root, stored, row, &present, err));
  if (!present) TN_TRY(put_null(plan, err));
  if (plan->as_json) return finish_json(plan, err);
  tn_str value = {(const char *)plan->value.data, plan->value.length};
  TN_TRY(tn_builder_append_str(tn_builder_child(plan->builder, 0),
                               tn_strbuf_view(&plan->names_text), err));
  TN_TRY(tn_builder_append_str(tn_builder_child(plan->builder, 1), value, err));
  return tn_builder_end_struct(plan->builder, err);
}

tn_status tn_variant_plan_run(tn_variant_plan *plan, const ArrowArray *stored, int64_t from,
                              int64_t rows, ArrowArray *out, tn_error *err) {
  tn_builder_cut(plan->builder, 0);
  for (int64_t i = 0; i < rows; i++) {
    tn_status status = put_row(plan, stored, from + i, err);
    if (status == TN_OK) continue;
    tn_builder_cut(plan->builder, 0);
    return tn_error_context(err, status, "row %lld", (long long)(from + i));
  }
  return tn_builder_finish(plan->builder, out, err);
}
