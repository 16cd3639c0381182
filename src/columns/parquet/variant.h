/* variant.h - Variant values: self-describing binary, read where it lies.
 *
 *     metadata:  header | count | offsets ... | names         the field names of all objects
 *     value:     header | scalar, or count | field ids | offsets | values ...
 *
 * A tn_variant is a view of one value; its items are found one by one, nothing is allocated.  Every
 * access is held against the bytes there are.  Offsets of hostile values may make the same bytes
 * part of many values, so whoever walks a whole tree counts what he visits: a value of n bytes
 * holds at most n values (TN_VARIANT_DEPTH_MAX levels).
 *
 * Format: VariantEncoding.md of parquet-format.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_VARIANT_H
#define TN_COLUMNS_PARQUET_VARIANT_H
#include "base/json.h"
#include "columns/parquet/bytes.h"
#include "columns/type.h"

enum { TN_VARIANT_DEPTH_MAX = 60 };

typedef struct tn_variant_names { /* the dictionary of field names */
  const uint8_t *offsets, *text;
  uint32_t count, offset_bytes, text_bytes;
  bool sorted; /* and unique */
} tn_variant_names;

/* Checked: version, sizes, ascending offsets, UTF-8.  TN_ERR_UNSUPPORTED: another version. */
TN_NODISCARD tn_status tn_variant_names_open(tn_variant_names *out, tn_str metadata, tn_error *err);
tn_str tn_variant_name(const tn_variant_names *names, uint32_t id);       /* id < count */
int64_t tn_variant_name_find(const tn_variant_names *names, tn_str name); /* -1: not there */

typedef enum tn_variant_kind {
  TN_VARIANT_NULL,
  TN_VARIANT_TRUE,
  TN_VARIANT_FALSE,
  TN_VARIANT_INT8,
  TN_VARIANT_INT16,
  TN_VARIANT_INT32,
  TN_VARIANT_INT64,
  TN_VARIANT_DOUBLE,
  TN_VARIANT_DECIMAL4,
  TN_VARIANT_DECIMAL8,
  TN_VARIANT_DECIMAL16,
  TN_VARIANT_DATE,
  TN_VARIANT_TIMESTAMP,     /* microseconds, UTC */
  TN_VARIANT_TIMESTAMP_NTZ, /* microseconds, no zone */
  TN_VARIANT_FLOAT,
  TN_VARIANT_BINARY,
  TN_VARIANT_STRING, /* short ones too */
  TN_VARIANT_TIME,   /* microseconds */
  TN_VARIANT_TIMESTAMP_NS,
  TN_VARIANT_TIMESTAMP_NTZ_NS,
  TN_VARIANT_UUID,
  TN_VARIANT_OBJECT = 64,
  TN_VARIANT_ARRAY,
} tn_variant_kind;

typedef struct tn_variant {
  tn_variant_kind kind;
  tn_str bytes;   /* the whole value, its header first */
  tn_str data;    /* a scalar's bytes: little-endian numbers, text, binary, 16 bytes of a UUID */
  int32_t scale;  /* DECIMAL* */
  uint32_t count; /* OBJECT, ARRAY */
  const uint8_t *ids, *offsets, *values; /* OBJECT, ARRAY */
  uint32_t id_bytes, offset_bytes, value_bytes;
} tn_variant;

/* The value at the start of `bytes`, which may be longer; its items are not looked at.
 * TN_ERR_UNSUPPORTED: a scalar type that the specification did not have. */
TN_NODISCARD tn_status tn_variant_open(tn_variant *out, tn_str bytes, tn_error *err);
/* Item i < count of an array or object. */
TN_NODISCARD tn_status tn_variant_item(const tn_variant *parent, uint32_t i, tn_variant *out,
                                       tn_error *err);
/* The name of field i < count of an object. */
TN_NODISCARD tn_status tn_variant_field(const tn_variant *object, uint32_t i,
                                        const tn_variant_names *names, tn_str *name, tn_error *err);
/* Walks it all: names known and unique, text UTF-8, nothing out of bounds.  The order of names,
 * which the specification asks for, is not asked for: DuckDB 2.0 writes others. */
TN_NODISCARD tn_status tn_variant_check(const tn_variant_names *names, tn_str value, tn_error *err);
/* As JSON, scalars as columns/value.h shows those types; a UUID as text.  Checks what
 * tn_variant_check does; after an error the writer's text is half done. */
TN_NODISCARD tn_status tn_variant_json(tn_json_writer *w, const tn_variant_names *names,
                                       tn_str value, tn_error *err);

/* ---- building -------------------------------------------------------------------------------- */

/* A scalar; `data` as above, of INT* to UUID exactly as long as the kind has, without a decimal's
 * scale.  Text below 64 bytes becomes a short string. */
TN_NODISCARD tn_status tn_variant_put(tn_parquet_bytes *out, tn_variant_kind kind, tn_str data,
                                      int32_t scale, tn_error *err);
typedef struct tn_variant_entry { /* an item already written */
  tn_str name;                    /* objects */
  uint32_t id;                    /* objects: of the name */
  size_t start;                   /* in `out` */
} tn_variant_entry;
/* The items were appended to `out` from `start` on, one behind the other in the order of their
 * `start`; puts the header in front.  An object's entries are sorted by name and unique. */
TN_NODISCARD tn_status tn_variant_close(tn_parquet_bytes *out, size_t start, bool object,
                                        const tn_variant_entry *entries, uint32_t count,
                                        tn_error *err);

/* ---- columns --------------------------------------------------------------------------------- */

/* Turns a VARIANT column as it is stored, struct<metadata, value, typed_value> with any shredding,
 * into struct<metadata: binary, value: binary>, or into a string column of JSON.  The plan depends
 * on the type alone and serves any number of arrays. */
typedef struct tn_variant_plan tn_variant_plan;
/* TN_ERR_UNSUPPORTED names a type that cannot be shredded to. */
TN_NODISCARD tn_status tn_variant_plan_new(tn_variant_plan **out, const tn_field *stored,
                                           bool as_json, tn_error *err);
void tn_variant_plan_free(tn_variant_plan *plan);
bool tn_variant_plan_is_shredded(const tn_variant_plan *plan);
/* Rows [from, from + rows) of `stored`, counted from its own offset.  Errors name the row. */
TN_NODISCARD tn_status tn_variant_plan_run(tn_variant_plan *plan, const ArrowArray *stored,
                                           int64_t from, int64_t rows, ArrowArray *out,
                                           tn_error *err);
/* The schema of what comes out, named and nullable as `stored`; with the extension name that other
 * Arrow libraries use: arrow.parquet.variant, or arrow.json. */
TN_NODISCARD tn_status tn_variant_schema(ArrowSchema *out, const tn_field *stored, bool as_json,
                                         tn_error *err);

#endif
