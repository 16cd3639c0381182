/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/variant.h"

#include <stdlib.h>

#include "columns/value.h"

enum { BASIC_PRIMITIVE, BASIC_SHORT_STRING, BASIC_OBJECT, BASIC_ARRAY };
enum { SHORT_STRING_MAX = 63, SMALL_COUNT_MAX = 255, SCALE_MAX = 38 };

static uint32_t load_uint(const uint8_t *p, uint32_t bytes) {
  uint32_t v = 0;
  for (uint32_t i = 0; i < bytes; i++) v |= (uint32_t)p[i] << (8 * i);
  return v;
}

static void store_uint(uint8_t *p, uint32_t value, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++) p[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t bytes_for(uint32_t most) {
  return most < 1u << 8 ? 1 : most < 1u << 16 ? 2 : most < 1u << 24 ? 3 : 4;
}

/* ---- names ----------------------------------------------------------------------------------- */

tn_status tn_variant_names_open(tn_variant_names *out, tn_str metadata, tn_error *err) {
  const uint8_t *data = (const uint8_t *)metadata.data;
  if (metadata.length == 0) return tn_fail(err, TN_ERR_DATA, "Variant metadata of 0 bytes");
  if ((data[0] & 15) != 1) {
    return tn_fail(err, TN_ERR_UNSUPPORTED, "Variant metadata of version %d", data[0] & 15);
  }
  *out =
      (tn_variant_names){.offset_bytes = (uint32_t)(data[0] >> 6) + 1, .sorted = data[0] >> 4 & 1};
  size_t head = 1 + (size_t)out->offset_bytes, width = out->offset_bytes;
  if (metadata.length < head) {
    return tn_fail(err, TN_ERR_DATA, "Variant metadata of %zu bytes ends in its header",
                   metadata.length);
  }
  out->count = load_uint(data + 1, out->offset_bytes);
  size_t table = ((size_t)out->count + 1) * width;
  if (table > metadata.length - head || metadata.length > UINT32_MAX) {
    return tn_fail(err, TN_ERR_DATA, "%u Variant names in metadata of %zu bytes", out->count,
                   metadata.length);
  }
  out->offsets = data + head;
  out->text = out->offsets + table;
  out->text_bytes = (uint32_t)(metadata.length - head - table);
  uint32_t last = load_uint(out->offsets, out->offset_bytes);
  for (uint32_t i = 0; i < out->count; i++) {
    uint32_t next = load_uint(out->offsets + (size_t)(i + 1) * width, out->offset_bytes);
    tn_str name = {(const char *)out->text + last, next - last};
    if (next < last || next > out->text_bytes || !tn_utf8_valid(name)) {
      return tn_fail(err, TN_ERR_DATA, "Variant name %u of %u is not text in the metadata", i,
                     out->count);
    }
    last = next;
  }
  return TN_OK;
}

tn_str tn_variant_name(const tn_variant_names *names, uint32_t id) {
  const uint8_t *at = names->offsets + (size_t)id * names->offset_bytes;
  uint32_t from = load_uint(at, names->offset_bytes);
  uint32_t to = load_uint(at + names->offset_bytes, names->offset_bytes);
  return (tn_str){(const char *)names->text + from, to - from};
}

static int compare_names(tn_str a, tn_str b) {
  size_t common = a.length < b.length ? a.length : b.length;
  int c = common ? memcmp(a.data, b.data, common) : 0;
  return c ? c : (a.length > b.length) - (a.length < b.length);
}

int64_t tn_variant_name_find(const tn_variant_names *names, tn_str name) {
  uint32_t low = 0, high = names->count;
  if (!names->sorted) {
    for (uint32_t i = 0; i < names->count; i++) {
      if (tn_str_equal(tn_variant_name(names, i), name)) return i;
    }
    return -1;
  }
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    int c = compare_names(tn_variant_name(names, middle), name);
    if (c == 0) return middle;
    if (c < 0) low = middle + 1;
    if (c > 0) high = middle;
  }
  return -1;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Bytes of each primitive behind its header; -1: a length of 4 bytes comes first. */
static const int8_t primitive_bytes[TN_VARIANT_UUID + 1] = {0, 0, 0, 1, 2,  4,  8, 8, 5, 9, 17,
                                                            4, 8, 8, 4, -1, -1, 8, 8, 8, 16};

static tn_status too_short(tn_str bytes, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "a Variant %s is cut: %zu bytes are there", what, bytes.length);
}

static tn_status open_primitive(tn_variant *out, int type, tn_error *err) {
  if (type > TN_VARIANT_UUID) {
    return tn_fail(err, TN_ERR_UNSUPPORTED, "Variant type number %d is not known", type);
  }
  out->kind = (tn_variant_kind)type;
  tn_str rest = {out->bytes.data + 1, out->bytes.length - 1};
  size_t head = 0, want = 0;
  if (primitive_bytes[type] >= 0) {
    want = (size_t)primitive_bytes[type];
  } else {
    head = 4;
    if (rest.length < head) return too_short(out->bytes, "text", err);
    want = tn_load_u32(rest.data);
  }
  if (rest.length - head < want) return too_short(out->bytes, "scalar", err);
  out->data = (tn_str){rest.data + head, want};
  out->bytes.length = 1 + head + want;
  if (type < TN_VARIANT_DECIMAL4 || type > TN_VARIANT_DECIMAL16) return TN_OK;
  out->scale = (uint8_t)out->data.data[0];
  out->data = (tn_str){out->data.data + 1, want - 1};
  if (out->scale <= SCALE_MAX) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "a Variant decimal of scale %d, limit %d", out->scale,
                 SCALE_MAX);
}

/* header | count | ids | offsets, one more than items | values */
static tn_status open_nested(tn_variant *out, int header, bool object, tn_error *err) {
  bool large = object ? header >> 4 & 1 : header >> 2 & 1;
  size_t count_bytes = large ? 4 : 1, room = out->bytes.length - 1;
  const uint8_t *at = (const uint8_t *)out->bytes.data + 1;
  out->kind = object ? TN_VARIANT_OBJECT : TN_VARIANT_ARRAY;
  out->offset_bytes = (uint32_t)(header & 3) + 1;
  out->id_bytes = object ? (uint32_t)(header >> 2 & 3) + 1 : 0;
  if (room < count_bytes) return too_short(out->bytes, object ? "object" : "array", err);
  out->count = load_uint(at, (uint32_t)count_bytes);
  at += count_bytes, room -= count_bytes;
  uint64_t table =
      (uint64_t)out->count * out->id_bytes + ((uint64_t)out->count + 1) * out->offset_bytes;
  if (table > room) return too_short(out->bytes, object ? "object" : "array", err);
  out->ids = at;
  out->offsets = at + (size_t)out->count * out->id_bytes;
  out->values = at + table;
  room -= table;
  out->value_bytes =
      load_uint(out->offsets + (size_t)out->count * out->offset_bytes, out->offset_bytes);
  if (out->value_bytes > room) return too_short(out->bytes, object ? "object" : "array", err);
  out->bytes.length = (size_t)(out->values - (const uint8_t *)out->bytes.data) + out->value_bytes;
  return TN_OK;
}

tn_status tn_variant_open(tn_variant *out, tn_str bytes, tn_error *err) {
  *out = (tn_variant){.bytes = bytes};
  if (bytes.length == 0) return tn_fail(err, TN_ERR_DATA, "a Variant value of 0 bytes");
  int basic = bytes.data[0] & 3, header = (uint8_t)bytes.data[0] >> 2;
  if (basic == BASIC_PRIMITIVE) return open_primitive(out, header, err);
  if (basic != BASIC_SHORT_STRING) return open_nested(out, header, basic == BASIC_OBJECT, err);
  if (bytes.length - 1 < (size_t)header) return too_short(bytes, "string", err);
  out->kind = TN_VARIANT_STRING;
  out->data = (tn_str){bytes.data + 1, (size_t)header};
  out->bytes.length = 1 + (size_t)header;
  return TN_OK;
}

tn_status tn_variant_item(const tn_variant *parent, uint32_t i, tn_variant *out, tn_error *err) {
  uint32_t offset =
      load_uint(parent->offsets + (size_t)i * parent->offset_bytes, parent->offset_bytes);
  if (offset >= parent->value_bytes) {
    return tn_fail(err, TN_ERR_DATA, "Variant item %u of %u begins at byte %u of %u", i,
                   parent->count, offset, parent->value_bytes);
  }
  tn_str bytes = {(const char *)parent->values + offset, parent->value_bytes - offset};
  return tn_variant_open(out, bytes, err);
}

tn_status tn_variant_field(const tn_variant *object, uint32_t i, const tn_variant_names *names,
                           tn_str *name, tn_error *err) {
  uint32_t id = load_uint(object->ids + (size_t)i * object->id_bytes, object->id_bytes);
  if (id >= names->count) {
    return tn_fail(err, TN_ERR_DATA, "a Variant field has name number %u, the metadata have %u", id,
                   names->count);
  }
  *name = tn_variant_name(names, id);
  return TN_OK;
}

/* ---- walking --------------------------------------------------------------------------------- */

typedef struct variant_walk {
  const tn_variant_names *names;
  tn_json_writer *json; /* NULL: check only */
  size_t left;          /* values that may still be visited */
  int depth;
  tn_error *err;
} variant_walk;

/* A scalar as the one value of an Arrow array, so that it reads as any value of that type does. */
static void show_as(tn_json_writer *w, const tn_type *type, const void *data) {
  const void *buffers[2] = {NULL, data};
  ArrowArray array = {.length = 1, .n_buffers = 2, .buffers = buffers};
  tn_field field = {.name = "", .type = *type};
  tn_value_json(w, &field, &array, 0);
}

static void show_typed(tn_json_writer *w, const tn_variant *v, tn_type_id id, tn_layout layout,
                       int32_t bits, tn_time_unit unit, const char *zone) {
  uint64_t words[2] = {0};
  tn_type type = {.id = id, .layout = layout, .bits = bits, .unit = unit, .scale = v->scale};
  type.precision = SCALE_MAX;
  type.timezone = tn_str_of(zone);
  memcpy(words, v->data.data, v->data.length);
  /* Decimals of 4 and 8 bytes are shown as those of 16. */
  if (id == TN_TYPE_DECIMAL128 && v->data.length < sizeof words) {
    int64_t narrow = v->data.length == 4 ? (int32_t)words[0] : (int64_t)words[0];
    words[0] = (uint64_t)narrow;
    words[1] = narrow < 0 ? UINT64_MAX : 0;
  }
  show_as(w, &type, words);
}

static void show_uuid(tn_json_writer *w, tn_str data) {
  char text[37];
  size_t used = 0;
  for (size_t i = 0; i < 16; i++) {
    static const char hex[] = "0123456789abcdef";
    if (i == 4 || i == 6 || i == 8 || i == 10) text[used++] = '-';
    text[used++] = hex[(uint8_t)data.data[i] >> 4];
    text[used++] = hex[(uint8_t)data.data[i] & 15];
  }
  tn_json_str(w, (tn_str){text, used});
}

static void show_binary(tn_json_writer *w, tn_str data) {
  tn_strbuf text = {0};
  tn_value_add_base64(&text, data);
  tn_json_str(w, tn_strbuf_view(&text));
  if (text.failed) w->out->failed = true;
  tn_strbuf_clear(&text);
}

static void show_scalar(tn_json_writer *w, const tn_variant *v) {
  const tn_layout fixed = TN_LAYOUT_FIXED;
  switch (v->kind) {
    case TN_VARIANT_TRUE:
    case TN_VARIANT_FALSE:
      tn_json_bool(w, v->kind == TN_VARIANT_TRUE);
      break;
    case TN_VARIANT_INT8:
      tn_json_i64(w, (int8_t)v->data.data[0]);
      break;
    case TN_VARIANT_INT16:
      show_typed(w, v, TN_TYPE_INT16, fixed, 16, 0, NULL);
      break;
    case TN_VARIANT_INT32:
      show_typed(w, v, TN_TYPE_INT32, fixed, 32, 0, NULL);
      break;
    case TN_VARIANT_INT64:
      show_typed(w, v, TN_TYPE_INT64, fixed, 64, 0, NULL);
      break;
    case TN_VARIANT_DOUBLE:
      show_typed(w, v, TN_TYPE_DOUBLE, fixed, 64, 0, NULL);
      break;
    case TN_VARIANT_FLOAT:
      show_typed(w, v, TN_TYPE_FLOAT, fixed, 32, 0, NULL);
      break;
    case TN_VARIANT_DECIMAL4:
    case TN_VARIANT_DECIMAL8:
    case TN_VARIANT_DECIMAL16:
      show_typed(w, v, TN_TYPE_DECIMAL128, fixed, 128, 0, NULL);
      break;
    case TN_VARIANT_DATE:
      show_typed(w, v, TN_TYPE_DATE32, fixed, 32, 0, NULL);
      break;
    case TN_VARIANT_TIME:
      show_typed(w, v, TN_TYPE_TIME64, fixed, 64, TN_MICROS, NULL);
      break;
    case TN_VARIANT_TIMESTAMP:
      show_typed(w, v, TN_TYPE_TIMESTAMP, fixed, 64, TN_MICROS, "UTC");
      break;
    case TN_VARIANT_TIMESTAMP_NTZ:
      show_typed(w, v, TN_TYPE_TIMESTAMP, fixed, 64, TN_MICROS, NULL);
      break;
    case TN_VARIANT_TIMESTAMP_NS:
      show_typed(w, v, TN_TYPE_TIMESTAMP, fixed, 64, TN_NANOS, "UTC");
      break;
    case TN_VARIANT_TIMESTAMP_NTZ_NS:
      show_typed(w, v, TN_TYPE_TIMESTAMP, fixed, 64, TN_NANOS, NULL);
      break;
    case TN_VARIANT_STRING:
      tn_json_str(w, v->data);
      break;
    case TN_VARIANT_BINARY:
      show_binary(w, v->data);
      break;
    case TN_VARIANT_UUID:
      show_uuid(w, v->data);
      break;
    default:
      tn_json_null(w);
  }
}

static tn_status walk(variant_walk *walk_, const tn_variant *v);

static int by_name(const void *a, const void *b) {
  return compare_names(*(const tn_str *)a, *(const tn_str *)b);
}

/* Names in order are unique; of others it must be found out.  DuckDB writes them as they come. */
static tn_status check_names(const variant_walk *walk_, const tn_variant *v) {
  tn_str name, before = {0};
  bool ordered = true;
  for (uint32_t i = 0; i < v->count; i++) {
    TN_TRY(tn_variant_field(v, i, walk_->names, &name, walk_->err));
    ordered = ordered && (i == 0 || compare_names(before, name) < 0);
    before = name;
  }
  if (ordered) return TN_OK;
  tn_str *all = tn_alloc(v->count, sizeof *all);
  if (!all) return tn_fail_memory(walk_->err, "names of a Variant", v->count * sizeof *all);
  tn_status status = TN_OK;
  for (uint32_t i = 0; i < v->count && status == TN_OK; i++) {
    status = tn_variant_field(v, i, walk_->names, &all[i], walk_->err);
  }
  qsort(all, v->count, sizeof *all, by_name);
  for (uint32_t i = 1; i < v->count && status == TN_OK; i++) {
    if (!tn_str_equal(all[i - 1], all[i])) continue;
    status = tn_fail(walk_->err, TN_ERR_DATA, "a Variant object has two fields named \"%.*s\"",
                     TN_STR_ARG(all[i]));
  }
  tn_free(all);
  return status;
}

static tn_status walk_items(variant_walk *walk_, const tn_variant *v) {
  bool object = v->kind == TN_VARIANT_OBJECT;
  tn_str name;
  tn_variant item;
  if (object) TN_TRY(check_names(walk_, v));
  for (uint32_t i = 0; i < v->count; i++) {
    if (object && walk_->json) {
      TN_TRY(tn_variant_field(v, i, walk_->names, &name, walk_->err));
      tn_json_key_str(walk_->json, name);
    }
    TN_TRY(tn_variant_item(v, i, &item, walk_->err));
    TN_TRY(walk(walk_, &item));
  }
  return TN_OK;
}

static tn_status walk(variant_walk *walk_, const tn_variant *v) {
  if (walk_->left == 0) {
    return tn_fail(walk_->err, TN_ERR_DATA, "a Variant's values overlap: more of them than bytes");
  }
  walk_->left--;
  if (v->kind == TN_VARIANT_STRING && !tn_utf8_valid(v->data)) {
    return tn_fail(walk_->err, TN_ERR_DATA, "a Variant string is not UTF-8");
  }
  if (v->kind < TN_VARIANT_OBJECT) {
    if (walk_->json) show_scalar(walk_->json, v);
    return TN_OK;
  }
  if (walk_->depth >= TN_VARIANT_DEPTH_MAX) {
    return tn_fail(walk_->err, TN_ERR_LIMIT, "a Variant is nested deeper than %d levels",
                   TN_VARIANT_DEPTH_MAX);
  }
  bool object = v->kind == TN_VARIANT_OBJECT;
  if (walk_->json) object ? tn_json_begin_object(walk_->json) : tn_json_begin_array(walk_->json);
  walk_->depth++;
  TN_TRY(walk_items(walk_, v));
  walk_->depth--;
  if (walk_->json) object ? tn_json_end_object(walk_->json) : tn_json_end_array(walk_->json);
  return TN_OK;
}

static tn_status walk_all(tn_json_writer *w, const tn_variant_names *names, tn_str value,
                          tn_error *err) {
  tn_variant v;
  TN_TRY(tn_variant_open(&v, value, err));
  variant_walk state = {.names = names, .json = w, .left = value.length, .err = err};
  return walk(&state, &v);
}

tn_status tn_variant_check(const tn_variant_names *names, tn_str value, tn_error *err) {
  return walk_all(NULL, names, value, err);
}

tn_status tn_variant_json(tn_json_writer *w, const tn_variant_names *names, tn_str value,
                          tn_error *err) {
  return walk_all(w, names, value, err);
}

/* ---- building -------------------------------------------------------------------------------- */

tn_status tn_variant_put(tn_parquet_bytes *out, tn_variant_kind kind, tn_str data, int32_t scale,
                         tn_error *err) {
  bool short_text = kind == TN_VARIANT_STRING && data.length <= SHORT_STRING_MAX;
  bool decimal = kind >= TN_VARIANT_DECIMAL4 && kind <= TN_VARIANT_DECIMAL16;
  if (data.length > UINT32_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "a Variant value of %zu bytes", data.length);
  }
  TN_TRY(tn_parquet_bytes_reserve(out, 5 + data.length, err));
  uint8_t *at = out->data + out->length;
  if (short_text) {
    *at++ = (uint8_t)(data.length << 2 | BASIC_SHORT_STRING);
  } else {
    *at++ = (uint8_t)(kind << 2 | BASIC_PRIMITIVE);
    if (kind == TN_VARIANT_STRING || kind == TN_VARIANT_BINARY) {
      tn_store_u32(at, (uint32_t)data.length);
      at += 4;
    }
    if (decimal) *at++ = (uint8_t)scale;
  }
  if (data.length) memcpy(at, data.data, data.length);
  out->length = (size_t)(at - out->data) + data.length;
  return TN_OK;
}

tn_status tn_variant_close(tn_parquet_bytes *out, size_t start, bool object,
                           const tn_variant_entry *entries, uint32_t count, tn_error *err) {
  size_t value_bytes = out->length - start;
  uint32_t most = 0;
  for (uint32_t i = 0; i < count && object; i++) most = entries[i].id > most ? entries[i].id : most;
  uint32_t id_bytes = object ? bytes_for(most) : 0;
  if (value_bytes > INT32_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "a Variant of %zu bytes, limit %d", value_bytes, INT32_MAX);
  }
  uint32_t offset_bytes = bytes_for((uint32_t)value_bytes);
  bool large = count > SMALL_COUNT_MAX;
  size_t head =
      1 + (large ? 4u : 1u) + (size_t)count * id_bytes + ((size_t)count + 1) * offset_bytes;
  TN_TRY(tn_parquet_bytes_reserve(out, head, err));
  uint8_t *at = out->data + start;
  memmove(at + head, at, value_bytes);
  out->length += head;
  *at++ = (uint8_t)(object ? (large ? 1 : 0) << 6 | (id_bytes - 1) << 4 | (offset_bytes - 1) << 2 |
                                 BASIC_OBJECT
                           : (large ? 1u : 0u) << 4 | (offset_bytes - 1) << 2 | BASIC_ARRAY);
  store_uint(at, count, large ? 4 : 1);
  at += large ? 4 : 1;
  for (uint32_t i = 0; i < count && object; i++, at += id_bytes) {
    store_uint(at, entries[i].id, id_bytes);
  }
  for (uint32_t i = 0; i < count; i++, at += offset_bytes) {
    store_uint(at, (uint32_t)(entries[i].start - start), offset_bytes);
  }
  store_uint(at, (uint32_t)value_bytes, offset_bytes);
  return TN_OK;
}
