/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "columns/ipc_format.h"

#define FIELDS_MAX 100000
#define NODES_MAX  1000000
#define DEPTH_MAX  64

enum { SCHEMA_ENDIANNESS, SCHEMA_FIELDS, SCHEMA_METADATA };
enum {
  FIELD_NAME,
  FIELD_NULLABLE,
  FIELD_TYPE_TYPE,
  FIELD_TYPE,
  FIELD_DICTIONARY,
  FIELD_CHILDREN,
  FIELD_METADATA
};
enum { PAIR_KEY, PAIR_VALUE };
enum { TYPE_INT = 2, TYPE_FLOATING = 3, TYPE_BINARY = 4, TYPE_UTF8 = 5, TYPE_BOOL = 6 };
enum { TYPE_DATE = 8, TYPE_TIMESTAMP = 10 };
static const char *const type_names[] = {"none",
                                         "null",
                                         "int",
                                         "floating point",
                                         "binary",
                                         "utf8",
                                         "bool",
                                         "decimal",
                                         "date",
                                         "time",
                                         "timestamp",
                                         "interval",
                                         "list",
                                         "struct",
                                         "union",
                                         "fixed-size binary",
                                         "fixed-size list",
                                         "map",
                                         "duration",
                                         "large binary",
                                         "large utf8",
                                         "large list",
                                         "run-end encoded",
                                         "binary view",
                                         "utf8 view",
                                         "list view",
                                         "large list view"};

/* ---- writing ---- */
static size_t add_pair(tn_strbuf *b, tn_str key, tn_str value) {
  tn_flat_field fields[] = {{PAIR_KEY, 4}, {PAIR_VALUE, 4}};
  size_t table = tn_flat_add_table(b, fields, 2);
  tn_flat_point(b, fields[0].at, tn_flat_add_str(b, key));
  tn_flat_point(b, fields[1].at, tn_flat_add_str(b, value));
  return table;
}

static size_t add_metadata(tn_strbuf *b, const char *metadata) {
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

static size_t add_timestamp(tn_strbuf *b, tn_column_type type) {
  const char *format = tn_column_type_format(type); /* "tsu:UTC" */
  uint64_t unit = format[2] == 'm' ? 1 : format[2] == 'u' ? 2 : 3;
  tn_flat_field fields[] = {{0, 2, unit}, {1, 4}};
  bool zoned = format[4] != '\0';
  size_t table = tn_flat_add_table(b, fields, zoned ? 2 : 1);
  if (zoned) tn_flat_point(b, fields[1].at, tn_flat_add_str(b, tn_str_of(format + 4)));
  return table;
}

static size_t add_type(tn_strbuf *b, tn_column_type type, uint64_t *kind) {
  tn_flat_field one[] = {{0, 2}};
  tn_flat_field integer[] = {{0, 4, (uint64_t)tn_column_type_bits(type)}, {1, 1}};
  switch (type) {
    case TN_COLUMN_BOOL:
      *kind = TYPE_BOOL;
      return tn_flat_add_table(b, NULL, 0);
    case TN_COLUMN_STRING:
      *kind = TYPE_UTF8;
      return tn_flat_add_table(b, NULL, 0);
    case TN_COLUMN_BINARY:
      *kind = TYPE_BINARY;
      return tn_flat_add_table(b, NULL, 0);
    case TN_COLUMN_FLOAT:
    case TN_COLUMN_DOUBLE:
      *kind = TYPE_FLOATING;
      one[0].value = type == TN_COLUMN_FLOAT ? 1 : 2;
      return tn_flat_add_table(b, one, 1);
    case TN_COLUMN_DATE32:
      *kind = TYPE_DATE;
      return tn_flat_add_table(b, one, 1); /* 0: days */
    case TN_COLUMN_TIMESTAMP_MS:
    case TN_COLUMN_TIMESTAMP_US:
    case TN_COLUMN_TIMESTAMP_NS:
    case TN_COLUMN_TIMESTAMP_US_UTC:
      *kind = TYPE_TIMESTAMP;
      return add_timestamp(b, type);
    default: /* lower-case formats of the C Data Interface are the signed integers */
      *kind = TYPE_INT;
      integer[1].value = tn_column_type_format(type)[0] >= 'a';
      return tn_flat_add_table(b, integer, 2);
  }
}

static size_t add_field(tn_strbuf *b, const ArrowSchema *field, tn_column_type type) {
  tn_flat_field fields[] = {
      {FIELD_NAME, 4},      {FIELD_TYPE, 4},
      {FIELD_CHILDREN, 4},  {FIELD_NULLABLE, 1, (field->flags & ARROW_FLAG_NULLABLE) != 0},
      {FIELD_TYPE_TYPE, 1}, {FIELD_METADATA, 4}};
  uint64_t kind = 0;
  size_t table = tn_flat_add_table(b, fields, field->metadata ? 6 : 5);
  tn_flat_point(b, fields[0].at, tn_flat_add_str(b, tn_str_of(field->name ? field->name : "")));
  tn_flat_point(b, fields[1].at, add_type(b, type, &kind));
  tn_flat_point(b, fields[2].at, tn_flat_add_vector(b, NULL, 0, 4, 4));
  if (field->metadata) tn_flat_point(b, fields[5].at, add_metadata(b, field->metadata));
  if (!b->failed) b->data[fields[4].at] = (char)kind;
  return table;
}

size_t tn_ipc_add_schema(tn_strbuf *b, const ArrowSchema *schema, const tn_column_type *types,
                         const char *metadata) {
  tn_flat_field fields[] = {{SCHEMA_ENDIANNESS, 2}, {SCHEMA_FIELDS, 4}, {SCHEMA_METADATA, 4}};
  size_t table = tn_flat_add_table(b, fields, metadata ? 3 : 2);
  size_t vector = tn_flat_add_vector(b, NULL, (uint32_t)schema->n_children, 4, 4);
  tn_flat_point(b, fields[1].at, vector);
  for (int64_t i = 0; i < schema->n_children; i++)
    tn_flat_point(b, vector + 4 + 4 * (size_t)i, add_field(b, schema->children[i], types[i]));
  if (metadata) tn_flat_point(b, fields[2].at, add_metadata(b, metadata));
  return table;
}

/* ---- reading ---- */
static tn_status unsupported(const char *name, const char *type, tn_error *err) {
  return tn_fail(err, TN_ERR_UNSUPPORTED, "column \"%.100s\": Arrow type %s", name, type);
}

static void int_format(const tn_flat_table *type, char *out) {
  int64_t bits = tn_flat_int(type, 0, 4, 0);
  bool is_signed = tn_flat_int(type, 1, 1, 0) != 0;
  const char *letter = bits == 8 ? "cC" : bits == 16 ? "sS" : bits == 32 ? "iI" : "lL";
  if (bits == 8 || bits == 16 || bits == 32 || bits == 64)
    snprintf(out, 2, "%c", letter[!is_signed]);
}

/* The C Data Interface's format; "" for a type beyond the list. */
static void format_of(int64_t kind, const tn_flat_table *type, char *out, size_t room) {
  int64_t unit;
  tn_str zone;
  switch (kind) {
    case TYPE_INT:
      int_format(type, out);
      break;
    case TYPE_FLOATING:
      unit = tn_flat_int(type, 0, 2, 0);
      snprintf(out, room, "%s", unit == 1 ? "f" : unit == 2 ? "g" : "");
      break;
    case TYPE_BINARY:
      snprintf(out, room, "z");
      break;
    case TYPE_UTF8:
      snprintf(out, room, "u");
      break;
    case TYPE_BOOL:
      snprintf(out, room, "b");
      break;
    case TYPE_DATE:
      snprintf(out, room, "%s", tn_flat_int(type, 0, 2, 1) == 0 ? "tdD" : "");
      break;
    case TYPE_TIMESTAMP:
      unit = tn_flat_int(type, 0, 2, 0);
      zone = tn_flat_get_str(type, 1);
      if (unit >= 0 && unit < 4 && zone.length < room - 8)
        snprintf(out, room, "ts%c:%.*s", "smun"[unit], TN_STR_ARG(zone));
      break;
    default:
      break;
  }
}

static tn_status column_type(const tn_flat_table *field, const char *name, tn_column_type *out,
                             tn_error *err) {
  int64_t kind = (uint8_t)tn_flat_int(field, FIELD_TYPE_TYPE, 1, 0);
  tn_flat_table type = tn_flat_get_table(field, FIELD_TYPE);
  size_t known = sizeof type_names / sizeof *type_names;
  const char *type_name = kind < (int64_t)known ? type_names[kind] : "of an unknown number";
  if (tn_flat_has(field, FIELD_DICTIONARY)) return unsupported(name, "dictionary", err);
  char format[64] = "";
  format_of(kind, &type, format, sizeof format);
  if (!*format) return unsupported(name, type_name, err);
  const ArrowSchema like = {.format = format, .name = name};
  return tn_column_type_of(&like, out, err);
}

/* What is made of the metadata while reading.  Offsets of a hostile file may all lead to the same
 * bytes: `unfolded_bytes` counts what they come to, which must not outgrow the file. */
typedef struct schema_parts {
  size_t unfolded_bytes;
  tn_flat_vector fields;
  char **names;          /* of all fields */
  tn_ipc_column *places; /* of all fields; the type is not set */
  uint32_t *picks;       /* the fields that are wanted */
  uint32_t pick_count;
  uint32_t nodes, buffers; /* counted so far */
  const char *uncounted;   /* first field whose buffers cannot be counted */
  uint32_t uncounted_at;
  const char **picked_names;
  tn_column_type *picked_types;
  tn_arena arena;
  tn_strbuf blob;
} schema_parts;

static bool unfolds_too_far(schema_parts *p, const tn_flat_view *view, size_t bytes) {
  p->unfolded_bytes += bytes;
  return p->unfolded_bytes > 2 * view->bytes + 1024;
}

static void add_pair_part(tn_strbuf *blob, tn_str text) {
  int32_t length = (int32_t)text.length;
  tn_strbuf_append(blob, &length, 4);
  tn_strbuf_add_str(blob, text);
}

/* KeyValue tables to the C Data Interface's encoding; an absent vector leaves p->blob empty. */
static void parse_metadata(const tn_flat_table *t, int32_t slot, schema_parts *p) {
  tn_flat_vector v = tn_flat_get_vector(t, slot, 4);
  tn_strbuf_reset(&p->blob);
  if (v.count == 0 || v.count > INT32_MAX) return;
  tn_strbuf_append(&p->blob, &v.count, 4);
  for (uint32_t i = 0; i < v.count && !v.view->bad; i++) {
    tn_flat_table pair = tn_flat_item(&v, i);
    tn_str key = tn_flat_get_str(&pair, PAIR_KEY), value = tn_flat_get_str(&pair, PAIR_VALUE);
    if (unfolds_too_far(p, v.view, key.length + value.length)) v.view->bad = true;
    if (v.view->bad) return;
    add_pair_part(&p->blob, key);
    add_pair_part(&p->blob, value);
  }
}

static tn_status malformed(tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the Arrow schema's metadata is malformed");
}

static tn_status parse_name(schema_parts *p, uint32_t i, tn_error *err) {
  tn_flat_view *view = p->fields.view;
  tn_flat_table field = tn_flat_item(&p->fields, i);
  tn_str name = tn_flat_get_str(&field, FIELD_NAME);
  if (view->bad || unfolds_too_far(p, view, name.length) ||
      (name.length && memchr(name.data, '\0', name.length)) || !tn_utf8_valid(name))
    return malformed(err);
  p->names[i] = tn_arena_strndup(&p->arena, name.data ? name.data : "", name.length);
  return p->names[i] ? TN_OK : tn_fail_memory(err, "Arrow schema", name.length);
}

/* Buffers of one node of this type, -1 where the schema alone does not tell. */
static int32_t buffers_of(int64_t kind, bool is_dictionary) {
  static const int8_t buffers[] = {-1, 0, 2, 2, 3, 3, 2, 2, 2,  2,  2,  2,  2, 1,
                                   -1, 2, 1, 2, 2, 3, 3, 2, -1, -1, -1, -1, -1};
  _Static_assert(sizeof buffers == sizeof type_names / sizeof *type_names, "one for each type");
  if (is_dictionary) return 2; /* the indices */
  return kind < (int64_t)sizeof buffers ? buffers[kind] : -1;
}

/* Adds the nodes and buffers of a field and of all below it; false: they cannot be counted. */
static bool count_field(schema_parts *p, const tn_flat_table *field, int32_t depth) {
  bool is_dictionary = tn_flat_has(field, FIELD_DICTIONARY);
  int64_t kind = (uint8_t)tn_flat_int(field, FIELD_TYPE_TYPE, 1, 0);
  int32_t buffers = buffers_of(kind, is_dictionary);
  if (buffers < 0 || depth > DEPTH_MAX || p->nodes >= NODES_MAX) return false;
  p->nodes++;
  p->buffers += (uint32_t)buffers;
  if (is_dictionary) return true;
  tn_flat_vector children = tn_flat_get_vector(field, FIELD_CHILDREN, 4);
  for (uint32_t i = 0; i < children.count; i++) {
    tn_flat_table child = tn_flat_item(&children, i);
    if (!count_field(p, &child, depth + 1)) return false;
  }
  return !p->fields.view->bad;
}

static void place_fields(schema_parts *p) {
  p->uncounted_at = p->fields.count;
  for (uint32_t i = 0; i < p->fields.count; i++) {
    tn_flat_table field = tn_flat_item(&p->fields, i);
    p->places[i] = (tn_ipc_column){.node = p->nodes, .place = p->buffers};
    if (count_field(p, &field, 0)) continue;
    p->uncounted = p->names[i];
    p->uncounted_at = i;
    return;
  }
}

static tn_status pick_fields(schema_parts *p, const char *const *names, int32_t count,
                             tn_error *err) {
  p->pick_count = names ? (uint32_t)count : p->fields.count;
  p->picks = tn_arena_alloc(&p->arena, p->pick_count, sizeof *p->picks);
  if (!p->picks) return tn_fail_memory(err, "Arrow schema", p->pick_count * sizeof *p->picks);
  for (uint32_t k = 0; k < p->pick_count; k++) {
    uint32_t i = names ? 0 : k;
    while (names && i < p->fields.count && strcmp(p->names[i], names[k]) != 0) i++;
    if (i == p->fields.count)
      return tn_fail(err, TN_ERR_NOT_FOUND, "no column \"%.100s\" among %u", names[k],
                     p->fields.count);
    p->picks[k] = i;
  }
  return TN_OK;
}

static tn_status parse_types(schema_parts *p, tn_ipc_column *columns, tn_error *err) {
  for (uint32_t k = 0; k < p->pick_count; k++) {
    uint32_t i = p->picks[k];
    tn_flat_table field = tn_flat_item(&p->fields, i);
    TN_TRY(column_type(&field, p->names[i], &p->picked_types[k], err));
    if (i > p->uncounted_at)
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "column \"%.100s\" behind \"%.100s\", whose type is not supported",
                     p->names[i], p->uncounted);
    p->picked_names[k] = p->names[i];
    columns[k] = p->places[i];
    columns[k].type = p->picked_types[k];
  }
  return p->fields.view->bad ? malformed(err) : TN_OK;
}

static tn_status set_metadata(ArrowSchema *schema, const tn_flat_table *t, int32_t slot,
                              schema_parts *p, tn_error *err) {
  parse_metadata(t, slot, p);
  if (t->view->bad) return malformed(err);
  TN_TRY(tn_strbuf_check(&p->blob, err));
  return p->blob.length ? tn_schema_set_metadata(schema, p->blob.data, err) : TN_OK;
}

static tn_status make_schema(schema_parts *p, const tn_flat_table *table, ArrowSchema *out,
                             tn_error *err) {
  TN_TRY(tn_schema_new(out, p->picked_names, p->picked_types, p->pick_count, err));
  for (uint32_t k = 0; k < p->pick_count; k++) {
    tn_flat_table field = tn_flat_item(&p->fields, p->picks[k]);
    bool nullable = tn_flat_int(&field, FIELD_NULLABLE, 1, 0) != 0;
    out->children[k]->flags = nullable ? ARROW_FLAG_NULLABLE : 0;
    TN_TRY(set_metadata(out->children[k], &field, FIELD_METADATA, p, err));
  }
  return set_metadata(out, table, SCHEMA_METADATA, p, err);
}

static tn_status parse_schema(schema_parts *p, const tn_flat_table *table, const char *const *names,
                              int32_t count, ArrowSchema *out, tn_ipc_layout *layout,
                              tn_error *err) {
  size_t fields = p->fields.count, wanted = names ? (size_t)count : fields;
  p->names = tn_arena_alloc(&p->arena, fields, sizeof *p->names);
  p->places = tn_arena_alloc(&p->arena, fields, sizeof *p->places);
  p->picked_names = tn_arena_alloc(&p->arena, wanted, sizeof *p->picked_names);
  p->picked_types = tn_arena_alloc(&p->arena, wanted, sizeof *p->picked_types);
  layout->columns = tn_alloc(wanted, sizeof *layout->columns);
  if (p->arena.failed || !layout->columns)
    return tn_fail_memory(err, "Arrow schema", (fields + wanted) * 16);
  for (uint32_t i = 0; i < fields; i++) TN_TRY(parse_name(p, i, err));
  place_fields(p);
  TN_TRY(pick_fields(p, names, count, err));
  TN_TRY(parse_types(p, layout->columns, err));
  layout->nodes = p->nodes;
  layout->places = p->buffers;
  layout->whole = p->uncounted == NULL;
  return make_schema(p, table, out, err);
}

tn_status tn_ipc_parse_schema(const tn_flat_table *table, const char *const *names, int32_t count,
                              ArrowSchema *out, tn_ipc_layout *layout, tn_error *err) {
  schema_parts p = {0};
  memset(out, 0, sizeof *out);
  memset(layout, 0, sizeof *layout);
  if (!table->view || table->view->bad) return malformed(err);
  if (tn_flat_int(table, SCHEMA_ENDIANNESS, 2, 0) != 0)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "big-endian Arrow data");
  p.fields = tn_flat_get_vector(table, SCHEMA_FIELDS, 4);
  if (p.fields.count > FIELDS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%u columns, limit %d", p.fields.count, FIELDS_MAX);
  if (!p.fields.view) p.fields.view = table->view;
  tn_status status = parse_schema(&p, table, names, count, out, layout, err);
  if (status != TN_OK) {
    tn_free(layout->columns);
    layout->columns = NULL;
    tn_schema_clear(out);
  }
  tn_arena_clear(&p.arena);
  tn_strbuf_clear(&p.blob);
  return status;
}
