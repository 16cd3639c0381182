/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_format.h"
#include "columns/ipc_schema.h"

static size_t add_pair(tn_strbuf *b, tn_str key, tn_str value) {
  tn_flat_field fields[] = {{TN_IPC_PAIR_KEY, 4}, {TN_IPC_PAIR_VALUE, 4}};
  size_t table = tn_flat_add_table(b, fields, 2);
  tn_flat_point(b, fields[0].at, tn_flat_add_str(b, key));
  tn_flat_point(b, fields[1].at, tn_flat_add_str(b, value));
  return table;
}

size_t tn_ipc_metadata_write(tn_strbuf *b, const char *metadata) {
  int32_t pairs;
  memcpy(&pairs, metadata, 4);
  size_t vector = tn_flat_add_vector(b, NULL, (uint32_t)pairs, 4, 4);
  int64_t at = 4;
  for (int32_t i = 0; i < pairs; i++) {
    tn_str key = tn_metadata_next(metadata, &at), value = tn_metadata_next(metadata, &at);
    tn_flat_point(b, vector + 4 + 4 * (size_t)i, add_pair(b, key, value));
  }
  return vector;
}

/* ---- types ---- */
/* Up to three scalars in slots 0, 1, 2; each of `bytes` (0: not there). */
typedef struct scalars {
  uint64_t kind;
  int32_t bytes[3];
  uint64_t values[3];
} scalars;

static scalars plain_kind(uint64_t kind) {
  return (scalars){.kind = kind};
}

/* Types with no more than scalars. */
static scalars scalars_of(const tn_field *f) {
  const tn_type *t = &f->type;
  uint64_t bits = (uint64_t)(uint32_t)t->bits, unit = t->unit;
  switch (t->id) {
    case TN_TYPE_NULL:
      return plain_kind(TN_IPC_NULL);
    case TN_TYPE_BOOL:
      return plain_kind(TN_IPC_BOOL);
    case TN_TYPE_HALF:
    case TN_TYPE_FLOAT:
    case TN_TYPE_DOUBLE:
      return (scalars){TN_IPC_FLOATING, {2}, {t->id - TN_TYPE_HALF}};
    case TN_TYPE_STRING:
      return plain_kind(TN_IPC_UTF8);
    case TN_TYPE_BINARY:
      return plain_kind(TN_IPC_BINARY);
    case TN_TYPE_LARGE_STRING:
      return plain_kind(TN_IPC_LARGE_UTF8);
    case TN_TYPE_LARGE_BINARY:
      return plain_kind(TN_IPC_LARGE_BINARY);
    case TN_TYPE_STRING_VIEW:
      return plain_kind(TN_IPC_UTF8_VIEW);
    case TN_TYPE_BINARY_VIEW:
      return plain_kind(TN_IPC_BINARY_VIEW);
    case TN_TYPE_FIXED_BINARY:
      return (scalars){TN_IPC_FIXED_BINARY, {4}, {(uint32_t)t->size}};
    case TN_TYPE_DECIMAL32:
    case TN_TYPE_DECIMAL64:
    case TN_TYPE_DECIMAL128:
    case TN_TYPE_DECIMAL256:
      return (scalars){
          TN_IPC_DECIMAL, {4, 4, 4}, {(uint32_t)t->precision, (uint32_t)t->scale, bits}};
    case TN_TYPE_DATE32:
      return (scalars){TN_IPC_DATE, {2}, {0}};
    case TN_TYPE_DATE64:
      return (scalars){TN_IPC_DATE, {2}, {1}};
    case TN_TYPE_TIME32:
    case TN_TYPE_TIME64:
      return (scalars){TN_IPC_TIME, {2, 4}, {unit, bits}};
    case TN_TYPE_DURATION:
      return (scalars){TN_IPC_DURATION, {2}, {unit}};
    case TN_TYPE_INTERVAL_MONTHS:
    case TN_TYPE_INTERVAL_DAY_TIME:
    case TN_TYPE_INTERVAL_MONTH_DAY_NANO:
      return (scalars){TN_IPC_INTERVAL, {2}, {t->id - TN_TYPE_INTERVAL_MONTHS}};
    case TN_TYPE_LIST:
      return plain_kind(TN_IPC_LIST);
    case TN_TYPE_LARGE_LIST:
      return plain_kind(TN_IPC_LARGE_LIST);
    case TN_TYPE_LIST_VIEW:
      return plain_kind(TN_IPC_LIST_VIEW);
    case TN_TYPE_LARGE_LIST_VIEW:
      return plain_kind(TN_IPC_LARGE_LIST_VIEW);
    case TN_TYPE_FIXED_LIST:
      return (scalars){TN_IPC_FIXED_LIST, {4}, {(uint32_t)t->size}};
    case TN_TYPE_STRUCT:
      return plain_kind(TN_IPC_STRUCT);
    case TN_TYPE_MAP:
      return (scalars){TN_IPC_MAP, {1}, {(f->schema->flags & ARROW_FLAG_MAP_KEYS_SORTED) != 0}};
    case TN_TYPE_RUN_END:
      return plain_kind(TN_IPC_RUN_END);
    default:
      return (scalars){TN_IPC_INT, {4, 1}, {bits, tn_type_is_signed(t->id)}};
  }
}

static size_t add_timestamp(tn_strbuf *b, const tn_type *t) {
  tn_flat_field fields[] = {{0, 2, t->unit}, {1, 4}};
  bool zoned = t->timezone.length > 0;
  size_t table = tn_flat_add_table(b, fields, zoned ? 2 : 1);
  if (zoned) tn_flat_point(b, fields[1].at, tn_flat_add_str(b, t->timezone));
  return table;
}

static size_t add_union(tn_strbuf *b, const tn_type *t) {
  int32_t codes[TN_UNION_CHILDREN_MAX];
  tn_flat_field fields[] = {{0, 2, t->id == TN_TYPE_DENSE_UNION}, {1, 4}};
  for (int32_t i = 0; i < t->code_count; i++) codes[i] = t->codes[i];
  size_t table = tn_flat_add_table(b, fields, 2);
  tn_flat_point(b, fields[1].at, tn_flat_add_vector(b, codes, (uint32_t)t->code_count, 4, 4));
  return table;
}

static size_t add_type(tn_strbuf *b, const tn_field *f, uint64_t *kind) {
  switch (f->type.id) {
    case TN_TYPE_TIMESTAMP:
      *kind = TN_IPC_TIMESTAMP;
      return add_timestamp(b, &f->type);
    case TN_TYPE_DENSE_UNION:
    case TN_TYPE_SPARSE_UNION:
      *kind = TN_IPC_UNION;
      return add_union(b, &f->type);
    default:
      break;
  }
  scalars s = scalars_of(f);
  tn_flat_field fields[3];
  int32_t count = 0;
  for (int32_t i = 0; i < 3 && s.bytes[i]; i++)
    fields[count++] = (tn_flat_field){i, s.bytes[i], s.values[i]};
  *kind = s.kind;
  return tn_flat_add_table(b, fields, count);
}

/* ---- fields ---- */
static size_t add_encoding(tn_strbuf *b, const tn_ipc_node *n, const tn_ipc_schema *schema) {
  bool ordered = (n->field->schema->flags & ARROW_FLAG_DICTIONARY_ORDERED) != 0;
  tn_flat_field fields[] = {
      {TN_IPC_ENCODING_ID, 8, (uint64_t)schema->dictionaries[n->dictionary].id},
      {TN_IPC_ENCODING_INDEX, 4},
      {TN_IPC_ENCODING_ORDERED, 1, ordered}};
  uint64_t kind;
  size_t table = tn_flat_add_table(b, fields, 3);
  tn_flat_point(b, fields[1].at, add_type(b, n->field, &kind));
  return table;
}

static void add_fields(tn_strbuf *b, size_t at, const tn_ipc_node *n, const tn_ipc_schema *schema);

/* An encoded field has the type and the children of its dictionary's values. */
static size_t add_field(tn_strbuf *b, const tn_ipc_node *n, const tn_ipc_schema *schema) {
  const ArrowSchema *s = n->field->schema;
  const tn_ipc_node *typed = n->values ? n->values : n;
  tn_flat_field fields[7] = {{TN_IPC_FIELD_NAME, 4},
                             {TN_IPC_FIELD_TYPE, 4},
                             {TN_IPC_FIELD_CHILDREN, 4},
                             {TN_IPC_FIELD_NULLABLE, 1, n->field->nullable},
                             {TN_IPC_FIELD_KIND, 1}};
  int32_t count = 5, encoding = -1, metadata = -1;
  if (n->values) {
    encoding = count;
    fields[count++] = (tn_flat_field){TN_IPC_FIELD_DICTIONARY, 4};
  }
  if (s->metadata) {
    metadata = count;
    fields[count++] = (tn_flat_field){TN_IPC_FIELD_METADATA, 4};
  }
  uint64_t kind = 0;
  size_t table = tn_flat_add_table(b, fields, count);
  tn_flat_point(b, fields[0].at, tn_flat_add_str(b, tn_str_of(n->field->name)));
  tn_flat_point(b, fields[1].at, add_type(b, typed->field, &kind));
  if (!b->failed) b->data[fields[4].at] = (char)kind;
  add_fields(b, fields[2].at, typed, schema);
  if (encoding >= 0) tn_flat_point(b, fields[encoding].at, add_encoding(b, n, schema));
  if (metadata >= 0) tn_flat_point(b, fields[metadata].at, tn_ipc_metadata_write(b, s->metadata));
  return table;
}

static void add_fields(tn_strbuf *b, size_t at, const tn_ipc_node *n, const tn_ipc_schema *schema) {
  size_t vector = tn_flat_add_vector(b, NULL, (uint32_t)n->field->child_count, 4, 4);
  tn_flat_point(b, at, vector);
  for (int64_t i = 0; i < n->field->child_count; i++)
    tn_flat_point(b, vector + 4 + 4 * (size_t)i, add_field(b, &n->children[i], schema));
}

size_t tn_ipc_schema_write(tn_strbuf *b, const tn_ipc_schema *schema, const char *metadata) {
  tn_flat_field fields[] = {
      {TN_IPC_SCHEMA_ENDIANNESS, 2}, {TN_IPC_SCHEMA_FIELDS, 4}, {TN_IPC_SCHEMA_METADATA, 4}};
  size_t table = tn_flat_add_table(b, fields, metadata ? 3 : 2);
  add_fields(b, fields[1].at, schema->root, schema);
  if (metadata) tn_flat_point(b, fields[2].at, tn_ipc_metadata_write(b, metadata));
  return table;
}
