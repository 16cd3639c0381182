/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/schema_write.h"

#include "columns/parquet/geo.h"
#include "columns/parquet/parquet.h"
#include "columns/schema.h"

enum { DEPTH_MAX = TN_FIELD_DEPTH_MAX * 2 }; /* a dictionary is one more step on its level */

typedef struct schema_walk {
  tn_parquet_write_schema *out;
  tn_arena *arena;
  tn_error *err;
  int64_t column;
  int32_t step_count, path_count;
  uint8_t def, rep; /* of an entry that has come this far */
  tn_parquet_step steps[DEPTH_MAX];
  tn_str path[DEPTH_MAX];
} schema_walk;

/* ---- flat types ------------------------------------------------------------------------------ */

int32_t tn_parquet_decimal_bytes(int32_t precision) {
  /* 10^precision - 1 < 2^(8 n - 1) */
  return (int32_t)(((int64_t)precision * 332193 / 100000 + 2 + 7) / 8);
}

typedef struct flat_node {
  tn_parquet_element *element;
  tn_parquet_store *store;
} flat_node;

static void store_as(flat_node n, int32_t physical, tn_parquet_put put, tn_parquet_order order,
                     int32_t width) {
  n.element->physical = physical;
  n.element->length = physical == TN_PARQUET_FIXED_LEN_BYTE_ARRAY ? width : 0;
  *n.store = (tn_parquet_store){put, order, physical, width, n.store->arrow};
}

static void integer(flat_node n, tn_type_id id, int8_t bits) {
  static const tn_parquet_put puts[2][2] = {{TN_PARQUET_PUT_U8, TN_PARQUET_PUT_I8},
                                            {TN_PARQUET_PUT_U16, TN_PARQUET_PUT_I16}};
  bool is_signed = tn_type_is_signed(id);
  tn_parquet_put put = bits < 32 ? puts[bits == 16][is_signed] : TN_PARQUET_PUT_RAW;
  if (bits == 64) {
    store_as(n, TN_PARQUET_INT64, put, is_signed ? TN_PARQUET_BY_INT64 : TN_PARQUET_BY_UINT64, 8);
  } else {
    store_as(n, TN_PARQUET_INT32, put, is_signed ? TN_PARQUET_BY_INT32 : TN_PARQUET_BY_UINT32, 4);
  }
  if (is_signed && bits >= 32) return; /* the physical type says it all */
  n.element->logical.kind = TN_PARQUET_LOGICAL_INTEGER;
  n.element->logical.bits = bits;
  n.element->logical.is_signed = is_signed;
  int32_t step = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
  n.element->converted =
      step + (is_signed ? TN_PARQUET_CONVERTED_INT_8 : TN_PARQUET_CONVERTED_UINT_8);
}

static int8_t stored_unit(tn_time_unit unit) { /* seconds become milliseconds */
  return unit == TN_NANOS    ? TN_PARQUET_NANOS
         : unit == TN_MICROS ? TN_PARQUET_MICROS
                             : TN_PARQUET_MILLIS;
}

static void time_of_day(flat_node n, const tn_type *t) {
  int8_t unit = stored_unit(t->unit);
  if (t->id == TN_TYPE_TIME32) {
    tn_parquet_put put = t->unit == TN_SECONDS ? TN_PARQUET_PUT_SECONDS32 : TN_PARQUET_PUT_RAW;
    store_as(n, TN_PARQUET_INT32, put, TN_PARQUET_BY_INT32, 4);
  } else {
    store_as(n, TN_PARQUET_INT64, TN_PARQUET_PUT_RAW, TN_PARQUET_BY_INT64, 8);
  }
  n.element->logical.kind = TN_PARQUET_LOGICAL_TIME;
  n.element->logical.unit = unit;
  n.element->logical.utc = false; /* Arrow's time of day knows no zone */
}

static void timestamp(flat_node n, const tn_type *t) {
  tn_parquet_put put = t->unit == TN_SECONDS ? TN_PARQUET_PUT_SECONDS64 : TN_PARQUET_PUT_RAW;
  store_as(n, TN_PARQUET_INT64, put, TN_PARQUET_BY_INT64, 8);
  tn_parquet_logical *l = &n.element->logical;
  l->kind = TN_PARQUET_LOGICAL_TIMESTAMP;
  l->unit = stored_unit(t->unit);
  l->utc = t->timezone.length > 0;
  /* The converted types mean UTC, and there is none for nanoseconds (LogicalTypes.md). */
  if (l->utc && l->unit == TN_PARQUET_MILLIS) {
    n.element->converted = TN_PARQUET_CONVERTED_TIMESTAMP_MILLIS;
  } else if (l->utc && l->unit == TN_PARQUET_MICROS) {
    n.element->converted = TN_PARQUET_CONVERTED_TIMESTAMP_MICROS;
  }
}

static tn_status decimal(flat_node n, const tn_field *f, tn_error *err) {
  const tn_type *t = &f->type;
  if (t->scale < 0 || t->scale > t->precision || t->precision < 1) {
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "field \"%s\": %s(%d, %d) has no place in Parquet, whose decimals have a scale "
                   "from 0 to the precision",
                   f->name, tn_type_name(t->id), t->precision, t->scale);
  }
  if (t->precision <= 9) {
    store_as(n, TN_PARQUET_INT32, TN_PARQUET_PUT_DECIMAL_INT, TN_PARQUET_BY_INT32, 4);
  } else if (t->precision <= 18) {
    store_as(n, TN_PARQUET_INT64, TN_PARQUET_PUT_DECIMAL_INT, TN_PARQUET_BY_INT64, 8);
  } else {
    store_as(n, TN_PARQUET_FIXED_LEN_BYTE_ARRAY, TN_PARQUET_PUT_DECIMAL_BYTES,
             TN_PARQUET_BY_DECIMAL, tn_parquet_decimal_bytes(t->precision));
  }
  n.element->logical.kind = TN_PARQUET_LOGICAL_DECIMAL;
  n.element->logical.precision = t->precision;
  n.element->logical.scale = t->scale;
  n.element->converted = TN_PARQUET_CONVERTED_DECIMAL;
  return TN_OK;
}

static void interval(flat_node n, tn_type_id id) {
  tn_parquet_put put = id == TN_TYPE_INTERVAL_MONTHS     ? TN_PARQUET_PUT_MONTHS
                       : id == TN_TYPE_INTERVAL_DAY_TIME ? TN_PARQUET_PUT_DAY_TIME
                                                         : TN_PARQUET_PUT_MONTH_DAY_NANO;
  store_as(n, TN_PARQUET_FIXED_LEN_BYTE_ARRAY, put, TN_PARQUET_BY_NOTHING, 12);
  n.element->converted = TN_PARQUET_CONVERTED_INTERVAL;
}

static void mark_enum(tn_parquet_element *e) {
  e->logical.kind = TN_PARQUET_LOGICAL_ENUM;
  e->converted = TN_PARQUET_CONVERTED_ENUM;
}

static void mark_bson(tn_parquet_element *e) {
  e->logical.kind = TN_PARQUET_LOGICAL_BSON;
  e->converted = TN_PARQUET_CONVERTED_BSON;
}

/* `logical`: what a file said that the column came from. */
static void text_or_binary(flat_node n, const tn_type *t, tn_str extension, tn_str logical) {
  tn_parquet_put put = t->layout == TN_LAYOUT_BYTES         ? TN_PARQUET_PUT_BYTES
                       : t->layout == TN_LAYOUT_LARGE_BYTES ? TN_PARQUET_PUT_LARGE_BYTES
                                                            : TN_PARQUET_PUT_VIEW;
  bool is_text = tn_type_is_text(t->id), is_json = is_text && tn_str_is(extension, "arrow.json");
  store_as(n, TN_PARQUET_BYTE_ARRAY, put, is_text ? TN_PARQUET_BY_TEXT : TN_PARQUET_BY_BYTES, 0);
  if (!is_text && tn_str_is(logical, "BSON")) mark_bson(n.element);
  if (!is_text) return;
  if (tn_str_is(logical, "ENUM") && !is_json) {
    mark_enum(n.element);
    return;
  }
  n.element->logical.kind = is_json ? TN_PARQUET_LOGICAL_JSON : TN_PARQUET_LOGICAL_STRING;
  n.element->converted = is_json ? TN_PARQUET_CONVERTED_JSON : TN_PARQUET_CONVERTED_UTF8;
}

static void fixed_binary(flat_node n, const tn_type *t, tn_str extension) {
  store_as(n, TN_PARQUET_FIXED_LEN_BYTE_ARRAY, TN_PARQUET_PUT_RAW, TN_PARQUET_BY_BYTES, t->size);
  if (t->size == 16 && tn_str_is(extension, "arrow.uuid")) {
    n.element->logical.kind = TN_PARQUET_LOGICAL_UUID;
  }
}

/* `values`: the field of the values themselves; `outer`: the one with name and metadata. */
static tn_status flat(flat_node n, const tn_field *outer, const tn_field *values, tn_error *err) {
  const tn_type *t = &values->type;
  tn_str extension = tn_schema_metadata(outer->schema, "ARROW:extension:name");
  *n.store = (tn_parquet_store){.arrow = t->bits / 8};
  switch (t->id) {
    case TN_TYPE_NULL:
      store_as(n, TN_PARQUET_INT32, TN_PARQUET_PUT_NONE, TN_PARQUET_BY_NOTHING, 4);
      n.element->logical.kind = TN_PARQUET_LOGICAL_UNKNOWN;
      n.element->repetition = TN_PARQUET_OPTIONAL;
      return TN_OK;
    case TN_TYPE_BOOL:
      store_as(n, TN_PARQUET_BOOLEAN, TN_PARQUET_PUT_BITS, TN_PARQUET_BY_BOOL, 0);
      return TN_OK;
    case TN_TYPE_HALF:
      store_as(n, TN_PARQUET_FIXED_LEN_BYTE_ARRAY, TN_PARQUET_PUT_RAW, TN_PARQUET_BY_HALF, 2);
      n.element->logical.kind = TN_PARQUET_LOGICAL_FLOAT16;
      return TN_OK;
    case TN_TYPE_FLOAT:
      store_as(n, TN_PARQUET_FLOAT, TN_PARQUET_PUT_RAW, TN_PARQUET_BY_FLOAT, 4);
      return TN_OK;
    case TN_TYPE_DOUBLE:
      store_as(n, TN_PARQUET_DOUBLE, TN_PARQUET_PUT_RAW, TN_PARQUET_BY_DOUBLE, 8);
      return TN_OK;
    case TN_TYPE_DATE32:
    case TN_TYPE_DATE64:
      store_as(n, TN_PARQUET_INT32,
               t->id == TN_TYPE_DATE64 ? TN_PARQUET_PUT_DATE64 : TN_PARQUET_PUT_RAW,
               TN_PARQUET_BY_INT32, 4);
      n.element->logical.kind = TN_PARQUET_LOGICAL_DATE;
      n.element->converted = TN_PARQUET_CONVERTED_DATE;
      return TN_OK;
    case TN_TYPE_TIME32:
    case TN_TYPE_TIME64:
      time_of_day(n, t);
      return TN_OK;
    case TN_TYPE_TIMESTAMP:
      timestamp(n, t);
      return TN_OK;
    case TN_TYPE_DURATION: /* a number; the Arrow schema in the metadata tells the unit */
      store_as(n, TN_PARQUET_INT64, TN_PARQUET_PUT_RAW, TN_PARQUET_BY_INT64, 8);
      return TN_OK;
    case TN_TYPE_INTERVAL_MONTHS:
    case TN_TYPE_INTERVAL_DAY_TIME:
    case TN_TYPE_INTERVAL_MONTH_DAY_NANO:
      interval(n, t->id);
      return TN_OK;
    case TN_TYPE_FIXED_BINARY:
      if (t->size < 1) break;
      fixed_binary(n, t, extension);
      return TN_OK;
    default:
      break;
  }
  if (tn_type_is_integer(t->id)) {
    integer(n, t->id, (int8_t)t->bits);
    return TN_OK;
  }
  if (tn_type_is_decimal(t->id)) return decimal(n, values, err);
  if (tn_type_is_bytes(t->id) && t->id != TN_TYPE_FIXED_BINARY) {
    text_or_binary(n, t, extension, tn_schema_metadata(outer->schema, TN_PARQUET_LOGICAL_KEY));
    return TN_OK;
  }
  return tn_fail(err, TN_ERR_UNSUPPORTED, "field \"%s\": %s has no place in Parquet", outer->name,
                 t->id == TN_TYPE_FIXED_BINARY ? "binary of zero bytes" : tn_type_name(t->id));
}

/* ---- what Arrow has no type for ---------------------------------------------------------------
 */

static bool is_enum(const tn_parquet_element *e) {
  return e->logical.kind == TN_PARQUET_LOGICAL_STRING || e->logical.kind == TN_PARQUET_LOGICAL_ENUM;
}

static bool is_bson(const tn_parquet_element *e) {
  return e->physical == TN_PARQUET_BYTE_ARRAY &&
         (e->logical.kind == TN_PARQUET_LOGICAL_NONE || e->logical.kind == TN_PARQUET_LOGICAL_BSON);
}

static void make_int96(tn_parquet_element *e, tn_parquet_write_leaf *leaf) {
  e->logical = (tn_parquet_logical){0};
  e->converted = -1;
  store_as((flat_node){e, &leaf->store}, TN_PARQUET_INT96, TN_PARQUET_PUT_INT96,
           TN_PARQUET_BY_NOTHING, 12);
  leaf->store.unit = leaf->field->type.unit;
}

tn_status tn_parquet_write_schema_store_as(tn_parquet_write_schema *schema, int64_t leaf,
                                           tn_parquet_store_as as, tn_error *err) {
  tn_parquet_write_leaf *l = &schema->leaves[leaf];
  tn_parquet_element *e = &schema->elements[l->element];
  const char *wants = "text";
  switch (as) {
    case TN_PARQUET_STORE_AS_ENUM:
      if (!is_enum(e)) break;
      mark_enum(e);
      return TN_OK;
    case TN_PARQUET_STORE_AS_BSON:
      wants = "binary";
      if (!is_bson(e)) break;
      mark_bson(e);
      return TN_OK;
    case TN_PARQUET_STORE_AS_INT96:
      wants = "timestamps";
      if (l->field->type.id != TN_TYPE_TIMESTAMP) break;
      make_int96(e, l);
      return TN_OK;
    default:
      return TN_OK;
  }
  return tn_fail(err, TN_ERR_ARGUMENT, "column \"%s\": only %s can be stored as %s, it is %s",
                 l->name, wants, tn_parquet_store_as_name(as), tn_type_name(l->field->type.id));
}

/* ---- the tree -------------------------------------------------------------------------------- */

static tn_parquet_element *add_element(schema_walk *w, const char *name, int32_t repetition) {
  tn_parquet_element *e = &w->out->elements[w->out->element_count++];
  *e =
      (tn_parquet_element){.name = name, .physical = -1, .repetition = repetition, .converted = -1};
  return e;
}

static void set_field_id(tn_parquet_element *e, const tn_field *f) {
  int64_t id;
  tn_str text = tn_schema_metadata(f->schema, "PARQUET:field_id");
  if (!text.data || !tn_str_to_i64(text, &id) || id < 0 || id > INT32_MAX) return;
  e->field_id = (int32_t)id;
  e->has_field_id = true;
}

static void push_step(schema_walk *w, const tn_field *f, bool optional) {
  w->steps[w->step_count++] = (tn_parquet_step){.dictionary = f->dictionary != NULL,
                                                .layout = f->type.layout,
                                                .index_bits = f->type.bits,
                                                .index_signed = tn_type_is_signed(f->type.id),
                                                .optional = optional,
                                                .size = f->type.size,
                                                .null_def = w->def};
}

static tn_status join_path(schema_walk *w, const char **out, tn_error *err) {
  tn_strbuf text = {0};
  for (int32_t i = 0; i < w->path_count; i++) {
    if (i) tn_strbuf_add_char(&text, '.');
    tn_strbuf_add_str(&text, w->path[i]);
  }
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) {
    *out = tn_arena_strndup(w->arena, text.data ? text.data : "", text.length);
    if (!*out) status = tn_fail_memory(err, "a column's name", text.length);
  }
  tn_strbuf_clear(&text);
  return status;
}

/* Well-known binary has no order, so no smallest and largest value either. */
static tn_status mark_geo(schema_walk *w, const tn_field *outer, const tn_field *values,
                          tn_parquet_element *e, tn_parquet_store *store) {
  tn_str extension = tn_schema_metadata(outer->schema, "ARROW:extension:name");
  bool binary = tn_type_is_bytes(values->type.id) && !tn_type_is_text(values->type.id);
  if (!tn_str_is(extension, TN_GEOARROW_WKB) || !binary) return TN_OK;
  if (e->physical != TN_PARQUET_BYTE_ARRAY) return TN_OK;
  tn_str metadata = tn_schema_metadata(outer->schema, "ARROW:extension:metadata");
  store->order = TN_PARQUET_BY_NOTHING;
  tn_status status = tn_parquet_geo_logical(&e->logical, metadata, w->arena, w->err);
  if (status == TN_OK) return TN_OK;
  return tn_error_context(w->err, status, "field \"%s\"", outer->name);
}

static tn_status add_leaf(schema_walk *w, const tn_field *outer, const tn_field *values,
                          tn_parquet_element *e, bool optional) {
  tn_parquet_write_leaf *leaf = &w->out->leaves[w->out->leaf_count++];
  TN_TRY(join_path(w, &leaf->name, w->err));
  TN_TRY(flat((flat_node){e, &leaf->store}, outer, values, w->err));
  TN_TRY(mark_geo(w, outer, values, e, &leaf->store));
  size_t steps = (size_t)w->step_count, parts = (size_t)w->path_count;
  leaf->path = tn_arena_alloc(w->arena, parts, sizeof *leaf->path);
  leaf->steps = tn_arena_alloc(w->arena, steps + 1, sizeof *leaf->steps);
  if (!leaf->path || !leaf->steps) return tn_fail_memory(w->err, "a column's path", parts);
  memcpy(leaf->path, w->path, parts * sizeof *leaf->path);
  if (steps) memcpy(leaf->steps, w->steps, steps * sizeof *leaf->steps);
  leaf->path_count = (uint32_t)parts;
  leaf->step_count = w->step_count;
  leaf->column = w->column;
  leaf->element = e - w->out->elements;
  leaf->optional = e->repetition == TN_PARQUET_OPTIONAL;
  leaf->null_def = w->def;
  leaf->max_def = (uint8_t)(w->def + leaf->optional);
  leaf->max_rep = w->rep;
  leaf->field = values;
  return TN_OK;
}

static tn_status add_node(schema_walk *w, const tn_field *f, const char *name, bool required);

static bool is_binary_named(const tn_field *f, const char *name) {
  return strcmp(f->name, name) == 0 && tn_type_is_bytes(f->type.id) && !f->dictionary &&
         !tn_type_is_text(f->type.id) && f->type.id != TN_TYPE_FIXED_BINARY;
}

/* A struct of this extension is a VARIANT, which is written as it is, never shredded. */
static tn_status mark_variant(schema_walk *w, const tn_field *f, const tn_field *s,
                              tn_parquet_element *e) {
  tn_str extension = tn_schema_metadata(f->schema, "ARROW:extension:name");
  if (!tn_str_is(extension, "arrow.parquet.variant")) return TN_OK;
  bool forwards = s->child_count == 2 && is_binary_named(&s->children[0], "metadata") &&
                  is_binary_named(&s->children[1], "value");
  bool backwards = s->child_count == 2 && is_binary_named(&s->children[1], "metadata") &&
                   is_binary_named(&s->children[0], "value");
  if (!forwards && !backwards) {
    return tn_fail(w->err, TN_ERR_UNSUPPORTED,
                   "field \"%s\": a Variant is written as struct<metadata: binary, value: binary>",
                   f->name);
  }
  e->logical.kind = TN_PARQUET_LOGICAL_VARIANT;
  e->logical.version = 1;
  return TN_OK;
}

static tn_status add_struct(schema_walk *w, const tn_field *f, const tn_field *s,
                            tn_parquet_element *e, bool optional) {
  if (s->child_count == 0) {
    return tn_fail(w->err, TN_ERR_UNSUPPORTED,
                   "field \"%s\": a struct without fields has no place in Parquet", f->name);
  }
  TN_TRY(mark_variant(w, f, s, e));
  e->children = (int32_t)s->child_count;
  push_step(w, s, optional);
  w->def = (uint8_t)(w->def + optional);
  for (int64_t i = 0; i < s->child_count; i++) {
    w->steps[w->step_count - 1].child = (int32_t)i;
    TN_TRY(add_node(w, &s->children[i], s->children[i].name, false));
  }
  w->def = (uint8_t)(w->def - optional);
  w->step_count--;
  return TN_OK;
}

/* The group, its repeated child, and the way into it. */
static void enter_list(schema_walk *w, const tn_field *list, tn_parquet_element *e,
                       const char *repeated, bool optional) {
  e->children = 1;
  add_element(w, repeated, TN_PARQUET_REPEATED)->children = 1;
  w->path[w->path_count++] = tn_str_of(repeated);
  push_step(w, list, optional);
  tn_parquet_step *step = &w->steps[w->step_count - 1];
  step->empty_def = (uint8_t)(w->def + optional);
  step->rep = (uint8_t)(w->rep + 1);
  w->def = (uint8_t)(w->def + optional + 1);
  w->rep++;
}

static void leave_list(schema_walk *w, bool optional) {
  w->def = (uint8_t)(w->def - optional - 1);
  w->rep--;
  w->step_count--;
  w->path_count--;
}

static tn_status add_list(schema_walk *w, const tn_field *list, tn_parquet_element *e,
                          bool optional) {
  e->logical.kind = TN_PARQUET_LOGICAL_LIST_;
  e->converted = TN_PARQUET_CONVERTED_LIST;
  enter_list(w, list, e, "list", optional);
  TN_TRY(add_node(w, &list->children[0], "element", false));
  leave_list(w, optional);
  return TN_OK;
}

static tn_status add_map(schema_walk *w, const tn_field *map, tn_parquet_element *e,
                         bool optional) {
  const tn_field *entries = &map->children[0];
  e->logical.kind = TN_PARQUET_LOGICAL_MAP;
  e->converted = TN_PARQUET_CONVERTED_MAP;
  int64_t repeated = w->out->element_count;
  enter_list(w, map, e, "key_value", optional);
  w->out->elements[repeated].children = 2;
  push_step(w, entries, false);
  TN_TRY(add_node(w, &entries->children[0], "key", true));
  w->steps[w->step_count - 1].child = 1;
  TN_TRY(add_node(w, &entries->children[1], "value", false));
  w->step_count--;
  leave_list(w, optional);
  return TN_OK;
}

/* Dictionaries and runs only say where the values are. */
static const tn_field *enter_values(schema_walk *w, const tn_field *f, bool optional,
                                    int32_t *pushed) {
  for (*pushed = 0; *pushed < TN_FIELD_DEPTH_MAX; ++*pushed) {
    bool runs = !f->dictionary && f->type.layout == TN_LAYOUT_RUN_END;
    if (!f->dictionary && !runs) break;
    push_step(w, f, optional);
    if (runs) w->steps[w->step_count - 1].index_bits = f->children[0].type.bits;
    f = runs ? &f->children[1] : f->dictionary;
  }
  return f;
}

static bool may_be_null(const tn_field *f) {
  while (!f->dictionary && f->type.layout == TN_LAYOUT_RUN_END) {
    if (f->nullable) return true;
    f = &f->children[1];
  }
  return f->nullable;
}

static tn_status add_node(schema_walk *w, const tn_field *f, const char *name, bool required) {
  if (w->step_count + TN_FIELD_DEPTH_MAX / 2 > DEPTH_MAX || w->path_count + 2 > DEPTH_MAX) {
    return tn_fail(w->err, TN_ERR_LIMIT, "field \"%s\": nested deeper than %d levels", f->name,
                   TN_FIELD_DEPTH_MAX);
  }
  bool optional = !required && may_be_null(f);
  int32_t pushed;
  tn_parquet_element *e =
      add_element(w, name, optional ? TN_PARQUET_OPTIONAL : TN_PARQUET_REQUIRED);
  set_field_id(e, f);
  w->path[w->path_count++] = tn_str_of(name);
  const tn_field *values = enter_values(w, f, optional, &pushed);
  if (values->type.id == TN_TYPE_STRUCT)
    TN_TRY(add_struct(w, f, values, e, optional));
  else if (values->type.id == TN_TYPE_MAP)
    TN_TRY(add_map(w, values, e, optional));
  else if (tn_layout_is_list(values->type.layout))
    TN_TRY(add_list(w, values, e, optional));
  else
    TN_TRY(add_leaf(w, f, values, e, optional));
  w->step_count -= pushed;
  w->path_count--;
  return TN_OK;
}

/* A field gives up to three elements: a list its group, the repeated one, the item. */
static void count_nodes(const tn_field *f, int64_t *elements, int64_t *leaves) {
  *elements += 2;
  if (f->dictionary) {
    count_nodes(f->dictionary, elements, leaves);
    return;
  }
  if (f->child_count == 0) ++*leaves;
  for (int64_t i = 0; i < f->child_count; i++) count_nodes(&f->children[i], elements, leaves);
}

tn_status tn_parquet_write_schema_new(tn_parquet_write_schema *out, tn_arena *arena,
                                      const tn_field *root, tn_error *err) {
  int64_t elements = 1, leaves = 0;
  *out = (tn_parquet_write_schema){0};
  for (int64_t i = 0; i < root->child_count; i++) {
    count_nodes(&root->children[i], &elements, &leaves);
  }
  schema_walk *w = tn_arena_alloc(arena, 1, sizeof *w);
  out->elements = tn_arena_alloc(arena, (size_t)elements, sizeof *out->elements);
  out->leaves = tn_arena_alloc(arena, (size_t)leaves + 1, sizeof *out->leaves);
  if (!w || !out->elements || !out->leaves) {
    return tn_fail_memory(err, "a Parquet writer's schema",
                          (size_t)elements * sizeof *out->elements);
  }
  *w = (schema_walk){.out = out, .arena = arena, .err = err};
  add_element(w, "schema", -1)->children = (int32_t)root->child_count;
  for (int64_t i = 0; i < root->child_count; i++) {
    w->column = i;
    TN_TRY(add_node(w, &root->children[i], root->children[i].name, false));
  }
  return TN_OK;
}
