/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/ipc_format.h"
#include "columns/ipc_schema.h"

/* What is made of a Schema table while reading.  Offsets of a hostile file may all lead to the same
 * bytes: `unfolded_bytes` counts what they come to, which must not outgrow the metadata. */
typedef struct parser {
  tn_flat_view *view;
  size_t unfolded_bytes;
  int64_t *ids;
  size_t id_count, id_capacity;
  tn_strbuf text; /* scratch: names, metadata */
} parser;

enum { FIELD_BYTES_LEAST = 16 }; /* of a Field table with its place in a vector */

static bool unfolds_too_far(size_t *unfolded, const tn_flat_view *view, size_t bytes) {
  *unfolded += bytes;
  return *unfolded > 2 * view->bytes + 1024;
}

static tn_status malformed(const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "the Arrow schema's metadata is malformed: %s", what);
}

/* ---- metadata ---- */
static void add_text(tn_strbuf *out, tn_str text) {
  int32_t length = (int32_t)text.length;
  tn_strbuf_append(out, &length, 4);
  tn_strbuf_add_str(out, text);
}

void tn_ipc_metadata_read(const tn_flat_table *t, int32_t slot, tn_strbuf *out) {
  tn_flat_vector v = tn_flat_get_vector(t, slot, 4);
  size_t unfolded = 0;
  if (v.count == 0 || v.count > INT32_MAX) return;
  tn_strbuf_append(out, &v.count, 4);
  for (uint32_t i = 0; i < v.count && !v.view->bad; i++) {
    tn_flat_table pair = tn_flat_item(&v, i);
    tn_str key = tn_flat_get_str(&pair, TN_IPC_PAIR_KEY);
    tn_str value = tn_flat_get_str(&pair, TN_IPC_PAIR_VALUE);
    if (unfolds_too_far(&unfolded, v.view, key.length + value.length)) v.view->bad = true;
    if (v.view->bad) return;
    add_text(out, key);
    add_text(out, value);
  }
}

static tn_status set_metadata(parser *p, ArrowSchema *schema, const tn_flat_table *t, int32_t slot,
                              tn_error *err) {
  tn_strbuf_reset(&p->text);
  tn_ipc_metadata_read(t, slot, &p->text);
  if (unfolds_too_far(&p->unfolded_bytes, p->view, p->text.length) || p->view->bad)
    return malformed("custom metadata", err);
  TN_TRY(tn_strbuf_check(&p->text, err));
  return p->text.length ? tn_schema_set_metadata(schema, p->text.data, err) : TN_OK;
}

/* ---- types ---- */
static bool int_type(const tn_flat_table *t, tn_type *out) {
  int64_t bits = tn_flat_int(t, 0, 4, 0);
  bool is_signed = tn_flat_int(t, 1, 1, 0) != 0;
  int which = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : bits == 64 ? 3 : -1;
  if (which < 0) return false;
  out->id = TN_TYPE_INT8 + (tn_type_id)(2 * which + !is_signed);
  return true;
}

static bool decimal_type(const tn_flat_table *t, tn_type *out) {
  int64_t bits = tn_flat_int(t, 2, 4, 128);
  int which = bits == 32 ? 0 : bits == 64 ? 1 : bits == 128 ? 2 : bits == 256 ? 3 : -1;
  if (which < 0) return false;
  out->id = TN_TYPE_DECIMAL32 + (tn_type_id)which;
  out->bits = (int32_t)bits;
  out->precision = (int32_t)tn_flat_int(t, 0, 4, 0);
  out->scale = (int32_t)tn_flat_int(t, 1, 4, 0);
  return true;
}

static bool unit_of(const tn_flat_table *t, int64_t otherwise, tn_type *out) {
  int64_t unit = tn_flat_int(t, 0, 2, otherwise);
  out->unit = (tn_time_unit)unit;
  return unit >= TN_SECONDS && unit <= TN_NANOS;
}

static bool time_type(const tn_flat_table *t, tn_type *out) {
  int64_t bits = tn_flat_int(t, 1, 4, 32);
  if (!unit_of(t, TN_MILLIS, out)) return false;
  out->id = bits == 32 ? TN_TYPE_TIME32 : TN_TYPE_TIME64;
  return bits == (out->unit <= TN_MILLIS ? 32 : 64);
}

static bool timestamp_type(const tn_flat_table *t, tn_type *out) {
  out->id = TN_TYPE_TIMESTAMP;
  out->timezone = tn_flat_get_str(t, 1);
  return unit_of(t, TN_SECONDS, out) &&
         (out->timezone.length == 0 || !memchr(out->timezone.data, 0, out->timezone.length));
}

/* Codes are int32 in the file; beyond 0..127 there is no such array in memory. */
static bool union_type(const tn_flat_table *t, uint32_t children, tn_type *out) {
  int64_t mode = tn_flat_int(t, 0, 2, 0);
  tn_flat_vector codes = tn_flat_get_vector(t, 1, 4);
  out->id = mode == 1 ? TN_TYPE_DENSE_UNION : TN_TYPE_SPARSE_UNION;
  if (mode < 0 || mode > 1 || children > TN_UNION_CHILDREN_MAX) return false;
  if (codes.view && codes.count != children) return false;
  out->code_count = (int32_t)children;
  for (uint32_t i = 0; i < children; i++) {
    int64_t code = codes.view ? tn_flat_item_int(&codes, i, 4, 0, 4) : i;
    if (code < 0 || code > 127) return false;
    out->codes[i] = (int8_t)code;
  }
  return true;
}

/* A number in slot 0 that picks one of `count` types from `first` on. */
static bool one_of(const tn_flat_table *t, int64_t otherwise, tn_type_id first, int64_t count,
                   tn_type *out) {
  int64_t which = tn_flat_int(t, 0, 2, otherwise);
  out->id = first + (tn_type_id)which;
  return which >= 0 && which < count;
}

static bool sized(const tn_flat_table *t, tn_type_id id, tn_type *out) {
  int64_t size = tn_flat_int(t, 0, 4, 0);
  out->id = id;
  out->size = (int32_t)size;
  return size >= 0;
}

static bool plain(tn_type_id id, tn_type *out) {
  out->id = id;
  return true;
}

/* False for a type, or for parameters of one, that this version does not know. */
static bool type_of(int64_t kind, const tn_flat_table *t, uint32_t children, tn_type *out) {
  *out = (tn_type){0};
  switch (kind) {
    case TN_IPC_NULL:
      return plain(TN_TYPE_NULL, out);
    case TN_IPC_INT:
      return int_type(t, out);
    case TN_IPC_FLOATING:
      return one_of(t, 0, TN_TYPE_HALF, 3, out);
    case TN_IPC_BINARY:
      return plain(TN_TYPE_BINARY, out);
    case TN_IPC_UTF8:
      return plain(TN_TYPE_STRING, out);
    case TN_IPC_BOOL:
      return plain(TN_TYPE_BOOL, out);
    case TN_IPC_DECIMAL:
      return decimal_type(t, out);
    case TN_IPC_DATE:
      return one_of(t, 1, TN_TYPE_DATE32, 2, out);
    case TN_IPC_TIME:
      return time_type(t, out);
    case TN_IPC_TIMESTAMP:
      return timestamp_type(t, out);
    case TN_IPC_INTERVAL:
      return one_of(t, 0, TN_TYPE_INTERVAL_MONTHS, 3, out);
    case TN_IPC_LIST:
      return plain(TN_TYPE_LIST, out);
    case TN_IPC_STRUCT:
      return plain(TN_TYPE_STRUCT, out);
    case TN_IPC_UNION:
      return union_type(t, children, out);
    case TN_IPC_FIXED_BINARY:
      return sized(t, TN_TYPE_FIXED_BINARY, out);
    case TN_IPC_FIXED_LIST:
      return sized(t, TN_TYPE_FIXED_LIST, out);
    case TN_IPC_MAP:
      return plain(TN_TYPE_MAP, out);
    case TN_IPC_DURATION:
      out->id = TN_TYPE_DURATION;
      return unit_of(t, TN_MILLIS, out);
    case TN_IPC_LARGE_BINARY:
      return plain(TN_TYPE_LARGE_BINARY, out);
    case TN_IPC_LARGE_UTF8:
      return plain(TN_TYPE_LARGE_STRING, out);
    case TN_IPC_LARGE_LIST:
      return plain(TN_TYPE_LARGE_LIST, out);
    case TN_IPC_RUN_END:
      return plain(TN_TYPE_RUN_END, out);
    case TN_IPC_BINARY_VIEW:
      return plain(TN_TYPE_BINARY_VIEW, out);
    case TN_IPC_UTF8_VIEW:
      return plain(TN_TYPE_STRING_VIEW, out);
    case TN_IPC_LIST_VIEW:
      return plain(TN_TYPE_LIST_VIEW, out);
    case TN_IPC_LARGE_LIST_VIEW:
      return plain(TN_TYPE_LARGE_LIST_VIEW, out);
    default:
      return false;
  }
}

/* ---- fields ---- */
static tn_status read_name(parser *p, const tn_flat_table *field, char **out, tn_error *err) {
  tn_str name = tn_flat_get_str(field, TN_IPC_FIELD_NAME);
  if (p->view->bad || unfolds_too_far(&p->unfolded_bytes, p->view, name.length + FIELD_BYTES_LEAST))
    return malformed("a field", err);
  if (name.length && (memchr(name.data, '\0', name.length) || !tn_utf8_valid(name)))
    return malformed("a field's name is not text", err);
  *out = tn_strndup(name.data ? name.data : "", name.length);
  return *out ? TN_OK : tn_fail_memory(err, "an Arrow schema", name.length);
}

static tn_status read_field(parser *p, const tn_flat_table *field, int32_t depth, ArrowSchema *out,
                            tn_error *err);

/* Children of an IPC field are those of `out`: the column itself, or its dictionary. */
static tn_status read_children(parser *p, const tn_flat_vector *children, int32_t depth,
                               ArrowSchema *out, tn_error *err) {
  if (unfolds_too_far(&p->unfolded_bytes, p->view, (size_t)children->count * FIELD_BYTES_LEAST))
    return malformed("more fields than bytes", err);
  TN_TRY(tn_schema_add_children(out, children->count, err));
  for (uint32_t i = 0; i < children->count; i++) {
    tn_flat_table child = tn_flat_item(children, i);
    if (!child.view) return malformed("a field", err);
    TN_TRY(read_field(p, &child, depth + 1, out->children[i], err));
  }
  return TN_OK;
}

static tn_status add_id(parser *p, int64_t id, tn_error *err) {
  TN_TRY(tn_grow((void **)&p->ids, &p->id_capacity, p->id_count + 1, sizeof *p->ids, err));
  p->ids[p->id_count++] = id;
  return TN_OK;
}

static tn_status unsupported(int64_t kind, const char *name, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_UNSUPPORTED, "column \"%.100s\": Arrow %s of kind %lld", name, what,
                 (long long)kind);
}

/* The column holds indices, its dictionary the values: *values becomes the node for the latter. */
static tn_status read_encoding(parser *p, const tn_flat_table *encoding, const char *name,
                               int64_t flags, ArrowSchema *out, ArrowSchema **values,
                               tn_error *err) {
  tn_flat_table index = tn_flat_get_table(encoding, TN_IPC_ENCODING_INDEX);
  tn_type type = {.id = TN_TYPE_INT32}; /* the default of the specification */
  int64_t kind = tn_flat_int(encoding, TN_IPC_ENCODING_KIND, 2, 0);
  if (kind != 0) return unsupported(kind, name, "dictionary", err);
  if (index.view && !int_type(&index, &type))
    return unsupported(TN_IPC_INT, name, "dictionary index type", err);
  if (tn_flat_int(encoding, TN_IPC_ENCODING_ORDERED, 1, 0)) flags |= ARROW_FLAG_DICTIONARY_ORDERED;
  TN_TRY(add_id(p, tn_flat_int(encoding, TN_IPC_ENCODING_ID, 8, 0), err));
  TN_TRY(tn_schema_init_type(out, &type, name, flags, err));
  TN_TRY(tn_schema_add_dictionary(out, err));
  *values = out->dictionary;
  return TN_OK;
}

static tn_status read_named(parser *p, const tn_flat_table *field, const char *name, int32_t depth,
                            ArrowSchema *out, tn_error *err) {
  int64_t kind = (uint8_t)tn_flat_int(field, TN_IPC_FIELD_KIND, 1, 0);
  tn_flat_table table = tn_flat_get_table(field, TN_IPC_FIELD_TYPE);
  tn_flat_table encoding = tn_flat_get_table(field, TN_IPC_FIELD_DICTIONARY);
  tn_flat_vector children = tn_flat_get_vector(field, TN_IPC_FIELD_CHILDREN, 4);
  int64_t flags = tn_flat_int(field, TN_IPC_FIELD_NULLABLE, 1, 0) ? ARROW_FLAG_NULLABLE : 0;
  tn_type type;
  ArrowSchema *typed = out;
  const char *typed_name = name;
  if (!type_of(kind, &table, children.count, &type)) {
    if (p->view->bad) return malformed("a field's type", err);
    return unsupported(kind, name, "type, or parameters of a type,", err);
  }
  if (encoding.view) {
    TN_TRY(read_encoding(p, &encoding, name, flags, out, &typed, err));
    typed_name = "";
    flags = ARROW_FLAG_NULLABLE;
  }
  if (type.id == TN_TYPE_MAP && tn_flat_int(&table, 0, 1, 0)) flags |= ARROW_FLAG_MAP_KEYS_SORTED;
  tn_status status = tn_schema_init_type(typed, &type, typed_name, flags, err);
  if (status != TN_OK) return tn_error_context(err, status, "column \"%.100s\"", name);
  TN_TRY(set_metadata(p, out, field, TN_IPC_FIELD_METADATA, err));
  return read_children(p, &children, depth, typed, err);
}

static tn_status read_field(parser *p, const tn_flat_table *field, int32_t depth, ArrowSchema *out,
                            tn_error *err) {
  char *name;
  if (depth > TN_FIELD_DEPTH_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "Arrow schema: nested deeper than %d", TN_FIELD_DEPTH_MAX);
  TN_TRY(read_name(p, field, &name, err));
  tn_status status = read_named(p, field, name, depth, out, err);
  tn_free(name);
  return status;
}

static tn_status check_features(const tn_flat_table *table, tn_error *err) {
  tn_flat_vector features = tn_flat_get_vector(table, TN_IPC_SCHEMA_FEATURES, 8);
  for (uint32_t i = 0; i < features.count; i++) {
    int64_t feature = tn_flat_item_int(&features, i, 8, 0, 8);
    if (feature < 0 || feature > TN_IPC_FEATURE_LAST)
      return tn_fail(err, TN_ERR_UNSUPPORTED, "Arrow feature %lld", (long long)feature);
  }
  return TN_OK;
}

static tn_status read_schema(parser *p, const tn_flat_table *table, ArrowSchema *out,
                             tn_error *err) {
  tn_flat_vector fields = tn_flat_get_vector(table, TN_IPC_SCHEMA_FIELDS, 4);
  TN_TRY(check_features(table, err));
  TN_TRY(tn_schema_init(out, "+s", "", 0, err));
  TN_TRY(set_metadata(p, out, table, TN_IPC_SCHEMA_METADATA, err));
  TN_TRY(read_children(p, &fields, 0, out, err));
  return p->view->bad ? malformed("an offset", err) : TN_OK;
}

tn_status tn_ipc_schema_read(tn_ipc_schema *out, const tn_flat_table *table, tn_error *err) {
  parser p = {.view = table->view};
  ArrowSchema schema = {0};
  *out = (tn_ipc_schema){0};
  if (!table->view || table->view->bad) return malformed("it is not there", err);
  int64_t endianness = tn_flat_int(table, TN_IPC_SCHEMA_ENDIANNESS, 2, 0);
  tn_status status = read_schema(&p, table, &schema, err);
  if (status == TN_OK && (endianness < 0 || endianness > 1)) status = malformed("byte order", err);
  if (status == TN_OK)
    status = tn_ipc_schema_take(out, &schema, p.ids, err);
  else
    tn_schema_clear(&schema);
  if (status == TN_OK) out->big_endian = endianness == 1;
  tn_free(p.ids);
  tn_strbuf_clear(&p.text);
  return status;
}
