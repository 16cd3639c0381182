/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/jsonl_column.h"

#include <stdio.h>

#include "columns/array.h"
#include "columns/jsonl.h"
#include "columns/schema.h"

enum { ROWS_FIRST = 64, BYTES_FIRST = 1024, BYTES_SLACK = 64 };

/* ---- the tree ---- */
static bool kind_of(const tn_field *field, tn_jsonl_kind *out) {
  tn_type_id id = field->type.id;
  if (field->dictionary) return false;
  if (tn_type_is_integer(id)) {
    *out = TN_JSONL_INT;
    return true;
  }
  switch (id) {
    case TN_TYPE_NULL:
      *out = TN_JSONL_NONE;
      return true;
    case TN_TYPE_BOOL:
      *out = TN_JSONL_BOOL;
      return true;
    case TN_TYPE_FLOAT:
      *out = TN_JSONL_F32;
      return true;
    case TN_TYPE_DOUBLE:
      *out = TN_JSONL_F64;
      return true;
    case TN_TYPE_STRING: {
      tn_str extension = tn_schema_metadata(field->schema, "ARROW:extension:name");
      *out = extension.data && tn_str_is(extension, "arrow.json") ? TN_JSONL_RAW : TN_JSONL_TEXT;
      return true;
    }
    case TN_TYPE_DATE32:
      *out = TN_JSONL_DATE;
      return true;
    case TN_TYPE_TIMESTAMP:
      *out = TN_JSONL_TIME;
      return true;
    case TN_TYPE_DECIMAL32:
    case TN_TYPE_DECIMAL64:
    case TN_TYPE_DECIMAL128:
    case TN_TYPE_DECIMAL256:
      *out = TN_JSONL_DECIMAL;
      return true;
    case TN_TYPE_LIST:
      *out = TN_JSONL_LIST;
      return true;
    case TN_TYPE_STRUCT:
      *out = TN_JSONL_STRUCT;
      return true;
    default:
      return false;
  }
}

static tn_status make_node(tn_jsonl_tree *tree, tn_jsonl_node *node, const tn_field *field,
                           bool declared, tn_error *err) {
  node->declared = declared;
  node->type = field->type;
  node->name = tn_arena_strndup(&tree->arena, field->name, strlen(field->name));
  if (!node->name) return tn_fail_memory(err, "a JSON column", sizeof *node);
  if (!kind_of(field, &node->kind)) {
    tn_strbuf text = {0};
    tn_field_text(field, &text);
    tn_status status =
        tn_fail(err, TN_ERR_UNSUPPORTED, "column \"%.60s\": JSON is not read as %.80s", field->name,
                text.data ? text.data : "this type");
    tn_strbuf_clear(&text);
    return status;
  }
  node->id = tree->column_count++;
  if (node->kind != TN_JSONL_LIST && node->kind != TN_JSONL_STRUCT) return TN_OK;
  node->member_count = node->wanted = (int32_t)field->child_count;
  node->members = tn_arena_alloc(&tree->arena, (size_t)field->child_count, sizeof *node->members);
  if (!node->members) return tn_fail_memory(err, "JSON columns", (size_t)field->child_count);
  for (int32_t i = 0; i < node->member_count; i++) {
    tn_jsonl_node *member = &node->members[i];
    member->position = i;
    member->parent = node;
    tn_str key = tn_str_of(field->children[i].name);
    if (node->kind == TN_JSONL_STRUCT) {
      if (tn_jsonl_keys_find(&node->keys, key) >= 0)
        return tn_fail(err, TN_ERR_ARGUMENT, "two columns are named \"%.60s\"", key.data);
      TN_TRY(tn_jsonl_keys_add(&node->keys, &tree->arena, key, err));
    }
    TN_TRY(make_node(tree, member, &field->children[i], declared, err));
  }
  return TN_OK;
}

static const char *member_name(const void *node, int64_t i) {
  return ((const tn_jsonl_node *)node)->members[i].name;
}

static tn_status project(tn_jsonl_tree *tree, const char *const *names, int32_t count,
                         tn_error *err) {
  tn_jsonl_node *root = &tree->root;
  bool all = !names || count == 0;
  root->wanted = all ? root->member_count : count;
  tree->order = tn_arena_alloc(&tree->arena, (size_t)root->wanted, sizeof *tree->order);
  bool *wanted = tn_arena_alloc(&tree->arena, (size_t)root->member_count, 1);
  if (!tree->order || !wanted)
    return tn_fail_memory(err, "a projection", (size_t)root->wanted * sizeof *tree->order);
  for (int32_t i = 0; i < root->wanted; i++) {
    int32_t member = all ? i : tn_jsonl_keys_find(&root->keys, tn_str_of(names[i]));
    if (member < 0)
      return tn_schema_name_missing(names[i], root->member_count, member_name, root, err);
    if (wanted[member])
      return tn_fail(err, TN_ERR_ARGUMENT, "column \"%.60s\" is asked for twice", names[i]);
    wanted[member] = true;
    tree->order[i] = member;
  }
  for (int32_t i = 0; i < root->member_count; i++)
    if (!wanted[i]) root->members[i].kind = TN_JSONL_SKIP;
  return TN_OK;
}

static tn_status init_tree(tn_jsonl_tree *tree, const ArrowSchema *schema, bool declared,
                           const char *const *names, int32_t count, const char *rest_column,
                           tn_error *err) {
  tn_field *field;
  TN_TRY(tn_field_tree(&field, &tree->arena, schema, err));
  if (field->type.id != TN_TYPE_STRUCT)
    return tn_fail(err, TN_ERR_ARGUMENT, "a table's schema is a struct, not %s",
                   tn_type_name(field->type.id));
  TN_TRY(make_node(tree, &tree->root, field, declared, err));
  tree->rest = -1;
  if (rest_column) {
    tree->rest = tn_jsonl_keys_find(&tree->root.keys, tn_str_of(rest_column));
    if (tree->rest < 0)
      return tn_schema_name_missing(rest_column, tree->root.member_count, member_name, &tree->root,
                                    err);
    tree->root.members[tree->rest].kind = TN_JSONL_RAW;
  }
  TN_TRY(project(tree, names, count, err));
  if (tree->rest >= 0 && tree->root.members[tree->rest].kind == TN_JSONL_SKIP) tree->rest = -1;
  return TN_OK;
}

tn_status tn_jsonl_tree_init(tn_jsonl_tree *tree, const ArrowSchema *schema, bool declared,
                             const char *const *names, int32_t count, const char *rest_column,
                             const char *source_name, tn_error *err) {
  tn_status status = init_tree(tree, schema, declared, names, count, rest_column, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", source_name);
}

void tn_jsonl_tree_clear(tn_jsonl_tree *tree) {
  tn_arena_clear(&tree->arena);
}

void tn_jsonl_node_path(const tn_jsonl_node *node, char *out, size_t room) {
  const tn_jsonl_node *way[TN_FIELD_DEPTH_MAX + 1];
  int32_t depth = 0;
  size_t used = 0;
  for (; node && node->parent && depth <= TN_FIELD_DEPTH_MAX; node = node->parent)
    way[depth++] = node;
  out[0] = 0;
  while (depth-- > 0 && used < room - 1)
    used += (size_t)snprintf(out + used, room - used, "%s%.60s", used ? "." : "", way[depth]->name);
}

tn_status tn_jsonl_tree_schema(const tn_jsonl_tree *tree, const ArrowSchema *all, ArrowSchema *out,
                               tn_error *err) {
  TN_TRY(tn_schema_init(out, "+s", "", 0, err));
  tn_status status = tn_schema_set_metadata(out, all->metadata, err);
  if (status == TN_OK) status = tn_schema_add_children(out, tree->root.wanted, err);
  for (int32_t i = 0; status == TN_OK && i < tree->root.wanted; i++)
    status = tn_schema_copy(out->children[i], all->children[tree->order[i]], err);
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}

/* ---- columns ---- */
static bool is_text(const tn_jsonl_node *node) {
  return node->kind == TN_JSONL_TEXT || node->kind == TN_JSONL_RAW;
}
static bool has_offsets(const tn_jsonl_node *node) {
  return is_text(node) || node->kind == TN_JSONL_LIST;
}

/* Bytes of the values buffer for `rows` rows. */
static int64_t values_bytes(const tn_jsonl_node *node, int64_t rows) {
  if (has_offsets(node)) return (rows + 1) * 4;
  if (node->kind == TN_JSONL_STRUCT || node->kind == TN_JSONL_NONE) return 0;
  return node->kind == TN_JSONL_BOOL ? (rows + 7) / 8 : rows * (node->type.bits / 8);
}

static void *moved(void *old, int64_t used, int64_t bytes) {
  void *fresh = tn_alloc_aligned((size_t)((bytes + 63) & ~(int64_t)63));
  if (fresh && old && used > 0) memcpy(fresh, old, (size_t)used);
  return fresh;
}

bool tn_jsonl_column_grow(tn_jsonl_column *c, const tn_jsonl_node *node) {
  int64_t rows = c->capacity ? 2 * c->capacity : ROWS_FIRST;
  if (rows < c->row_hint) rows = c->row_hint;
  rows = (rows + 63) & ~(int64_t)63;
  int64_t bytes = values_bytes(node, rows);
  int64_t used = c->values ? values_bytes(node, c->length) : 0;
  void *values = bytes ? moved(c->values, used, bytes) : NULL;
  uint8_t *valid = c->valid ? moved(c->valid, (c->length + 7) / 8, rows / 8) : NULL;
  if ((bytes && !values) || (c->valid && !valid)) {
    tn_free(values);
    tn_free(valid);
    return false;
  }
  tn_free(c->values);
  tn_free(c->valid);
  c->values = values;
  c->valid = valid;
  c->capacity = rows;
  return true;
}

bool tn_jsonl_column_grow_bytes(tn_jsonl_column *c, int64_t bytes) {
  int64_t want = c->bytes_length + bytes + BYTES_SLACK;
  if (want > INT32_MAX) return false;
  int64_t capacity = c->bytes_capacity ? 2 * c->bytes_capacity : BYTES_FIRST;
  if (capacity < c->bytes_hint) capacity = c->bytes_hint;
  if (capacity < want) capacity = want;
  uint8_t *fresh = moved(c->bytes, c->bytes_length, capacity);
  if (!fresh) return false;
  tn_free(c->bytes);
  c->bytes = fresh;
  c->bytes_capacity = capacity;
  return true;
}

/* The first null: everything before it was valid. */
static bool start_validity(tn_jsonl_column *c) {
  c->valid = tn_alloc_aligned((size_t)((c->capacity / 8 + 63) & ~(int64_t)63));
  if (!c->valid) return false;
  memset(c->valid, 0xff, (size_t)(c->length / 8));
  if (c->length % 8) c->valid[c->length / 8] = (uint8_t)((1u << (c->length % 8)) - 1);
  return true;
}

bool tn_jsonl_columns_null(tn_jsonl_column *columns, const tn_jsonl_node *node) {
  tn_jsonl_column *c = &columns[node->id];
  if (c->length == c->capacity && !tn_jsonl_column_grow(c, node)) return false;
  if (!c->valid && node->kind != TN_JSONL_NONE && !start_validity(c)) return false;
  if (has_offsets(node)) {
    int32_t *offsets = c->values;
    offsets[c->length + 1] = offsets[c->length];
  } else if (node->kind == TN_JSONL_STRUCT) {
    for (int32_t i = 0; i < node->member_count; i++)
      if (!tn_jsonl_columns_null(columns, &node->members[i])) return false;
  } else if (node->kind != TN_JSONL_NONE && node->kind != TN_JSONL_BOOL) {
    int64_t width = node->type.bits / 8;
    memset((char *)c->values + c->length * width, 0, (size_t)width);
  }
  c->length++;
  c->null_count++;
  return true;
}

/* Clears bits [from, to). */
static void clear_bits(uint8_t *bits, int64_t from, int64_t to) {
  for (int64_t i = from; i < to; i++) bits[i >> 3] &= (uint8_t) ~(1u << (i & 7));
}

void tn_jsonl_columns_cut(tn_jsonl_column *columns, const tn_jsonl_node *node, int64_t length) {
  if (node->kind == TN_JSONL_SKIP) return;
  tn_jsonl_column *c = &columns[node->id];
  if (node->parent && c->length > length) {
    for (int64_t i = length; c->valid && i < c->length; i++)
      c->null_count -= !((c->valid[i >> 3] >> (i & 7)) & 1);
    if (node->kind == TN_JSONL_NONE) c->null_count = length;
    if (c->valid) clear_bits(c->valid, length, c->length);
    if (node->kind == TN_JSONL_BOOL) clear_bits(c->values, length, c->length);
    if (is_text(node)) c->bytes_length = ((const int32_t *)c->values)[length];
    c->length = length;
  }
  if (node->kind == TN_JSONL_LIST)
    tn_jsonl_columns_cut(columns, &node->members[0],
                         c->values ? ((const int32_t *)c->values)[length] : 0);
  if (node->kind == TN_JSONL_STRUCT)
    for (int32_t i = 0; i < node->member_count; i++)
      tn_jsonl_columns_cut(columns, &node->members[i], length);
}

static void reset_column(tn_jsonl_column *c) {
  int64_t rows = c->length, bytes = c->bytes_length;
  if (rows == 0) {
    rows = c->row_hint;
    bytes = c->bytes_hint;
  }
  *c = (tn_jsonl_column){.row_hint = rows + rows / 16,
                         .bytes_hint = bytes + bytes / 16 + BYTES_SLACK};
}

static void free_data(tn_buffer *buffer) {
  tn_free(buffer->data);
}

/* The buffer takes *memory over; on failure it is freed too. */
static tn_status to_buffer(tn_buffer **out, void *memory, int64_t bytes, tn_error *err) {
  if (!memory) return TN_OK;
  tn_status status = tn_buffer_wrap(out, memory, (size_t)bytes, NULL, free_data, NULL, err);
  if (status != TN_OK) tn_free(memory);
  return status;
}

/* Moves a column's own buffers; the column is reset, whatever happens. */
static tn_status take_buffers(tn_jsonl_column *c, const tn_jsonl_node *node, tn_buffer *buffers[3],
                              tn_error *err) {
  tn_status status = TN_OK;
  if (!c->capacity && !tn_jsonl_column_grow(c, node)) /* an empty array has buffers too */
    status = tn_fail_memory(err, "an empty column", 64);
  int64_t sizes[3] = {(c->length + 7) / 8, values_bytes(node, c->length), c->bytes_length};
  void *memory[3] = {c->valid, c->values, c->bytes};
  for (int i = 0; i < 3; i++) {
    if (status == TN_OK)
      status = to_buffer(&buffers[i], memory[i], sizes[i], err);
    else
      tn_free(memory[i]);
  }
  return status;
}

static tn_status finish_node(tn_jsonl_column *columns, const tn_jsonl_node *node, ArrowArray *out,
                             tn_error *err) {
  tn_jsonl_column *c = &columns[node->id];
  tn_buffer *buffers[3] = {0};
  ArrowArray *children = NULL;
  tn_array_parts parts = {.length = c->length, .null_count = c->null_count, .buffers = buffers};
  parts.buffer_count = node->kind == TN_JSONL_NONE     ? 0
                       : node->kind == TN_JSONL_STRUCT ? 1
                       : is_text(node)                 ? 3
                                                       : 2;
  tn_status status = take_buffers(c, node, buffers, err);
  reset_column(c);
  if (status == TN_OK && node->member_count > 0) {
    children = tn_alloc((size_t)node->member_count, sizeof *children);
    if (!children) status = tn_fail_memory(err, "nested columns", (size_t)node->member_count);
  }
  for (int32_t i = 0; status == TN_OK && i < node->member_count; i++)
    status = finish_node(columns, &node->members[i], &children[i], err);
  parts.children = children;
  parts.child_count = node->member_count;
  if (status == TN_OK) status = tn_array_make(out, &parts, err);
  for (int32_t i = 0; children && i < node->member_count; i++) tn_array_clear(&children[i]);
  for (int i = 0; i < 3; i++) tn_buffer_drop(buffers[i]);
  tn_free(children);
  return status;
}

tn_status tn_jsonl_columns_finish(tn_jsonl_column *columns, const tn_jsonl_tree *tree, int64_t rows,
                                  ArrowArray *out, tn_error *err) {
  const tn_jsonl_node *root = &tree->root;
  memset(out, 0, sizeof *out);
  ArrowArray *children = tn_alloc((size_t)root->wanted, sizeof *children);
  if (!children)
    return tn_fail_memory(err, "record batch", (size_t)root->wanted * sizeof *children);
  tn_status status = TN_OK;
  for (int32_t i = 0; status == TN_OK && i < root->wanted; i++)
    status = finish_node(columns, &root->members[tree->order[i]], &children[i], err);
  if (status == TN_OK) status = tn_batch_new(out, children, root->wanted, rows, err);
  for (int32_t i = 0; i < root->wanted; i++) tn_array_clear(&children[i]);
  tn_free(children);
  return status;
}

void tn_jsonl_columns_clear(tn_jsonl_column *columns, int32_t count) {
  for (int32_t i = 0; columns && i < count; i++) {
    tn_free(columns[i].valid);
    tn_free(columns[i].values);
    tn_free(columns[i].bytes);
  }
  tn_free(columns);
}
