/* type.h - every type of the Arrow columnar format, parsed once.
 *
 * The C Data Interface spells a type as a format string ("tsu:UTC", "+w:3", "d:38,10,256").  A
 * tn_type is that string taken apart; a tn_field is a whole schema tree in that form, with names,
 * children and dictionary, so that hot code switches on an id and never parses.
 *
 *     ArrowSchema --tn_field_tree--> tn_field --children--> tn_field ...
 *
 * Formats: https://arrow.apache.org/docs/format/CDataInterface.html.  Thread: all values here are
 * immutable once made. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_TYPE_H
#define TN_COLUMNS_TYPE_H
#include "columns/arrow.h"

/* id, name for people, bits of a value (0: of variable size, or in the format), layout */
#define TN_TYPE_ROWS(X)                                                               \
  X(TN_TYPE_NULL, "null", 0, TN_LAYOUT_NONE)                                          \
  X(TN_TYPE_BOOL, "bool", 1, TN_LAYOUT_BITS)                                          \
  X(TN_TYPE_INT8, "int8", 8, TN_LAYOUT_FIXED)                                         \
  X(TN_TYPE_UINT8, "uint8", 8, TN_LAYOUT_FIXED)                                       \
  X(TN_TYPE_INT16, "int16", 16, TN_LAYOUT_FIXED)                                      \
  X(TN_TYPE_UINT16, "uint16", 16, TN_LAYOUT_FIXED)                                    \
  X(TN_TYPE_INT32, "int32", 32, TN_LAYOUT_FIXED)                                      \
  X(TN_TYPE_UINT32, "uint32", 32, TN_LAYOUT_FIXED)                                    \
  X(TN_TYPE_INT64, "int64", 64, TN_LAYOUT_FIXED)                                      \
  X(TN_TYPE_UINT64, "uint64", 64, TN_LAYOUT_FIXED)                                    \
  X(TN_TYPE_HALF, "halffloat", 16, TN_LAYOUT_FIXED)                                   \
  X(TN_TYPE_FLOAT, "float", 32, TN_LAYOUT_FIXED)                                      \
  X(TN_TYPE_DOUBLE, "double", 64, TN_LAYOUT_FIXED)                                    \
  X(TN_TYPE_STRING, "string", 0, TN_LAYOUT_BYTES)                                     \
  X(TN_TYPE_BINARY, "binary", 0, TN_LAYOUT_BYTES)                                     \
  X(TN_TYPE_LARGE_STRING, "large_string", 0, TN_LAYOUT_LARGE_BYTES)                   \
  X(TN_TYPE_LARGE_BINARY, "large_binary", 0, TN_LAYOUT_LARGE_BYTES)                   \
  X(TN_TYPE_STRING_VIEW, "string_view", 0, TN_LAYOUT_VIEW)                            \
  X(TN_TYPE_BINARY_VIEW, "binary_view", 0, TN_LAYOUT_VIEW)                            \
  X(TN_TYPE_FIXED_BINARY, "fixed_size_binary", 0, TN_LAYOUT_FIXED)                    \
  X(TN_TYPE_DECIMAL32, "decimal32", 32, TN_LAYOUT_FIXED)                              \
  X(TN_TYPE_DECIMAL64, "decimal64", 64, TN_LAYOUT_FIXED)                              \
  X(TN_TYPE_DECIMAL128, "decimal128", 128, TN_LAYOUT_FIXED)                           \
  X(TN_TYPE_DECIMAL256, "decimal256", 256, TN_LAYOUT_FIXED)                           \
  X(TN_TYPE_DATE32, "date32[day]", 32, TN_LAYOUT_FIXED)                               \
  X(TN_TYPE_DATE64, "date64[ms]", 64, TN_LAYOUT_FIXED)                                \
  X(TN_TYPE_TIME32, "time32", 32, TN_LAYOUT_FIXED)                                    \
  X(TN_TYPE_TIME64, "time64", 64, TN_LAYOUT_FIXED)                                    \
  X(TN_TYPE_TIMESTAMP, "timestamp", 64, TN_LAYOUT_FIXED)                              \
  X(TN_TYPE_DURATION, "duration", 64, TN_LAYOUT_FIXED)                                \
  X(TN_TYPE_INTERVAL_MONTHS, "interval[months]", 32, TN_LAYOUT_FIXED)                 \
  X(TN_TYPE_INTERVAL_DAY_TIME, "interval[day_time]", 64, TN_LAYOUT_FIXED)             \
  X(TN_TYPE_INTERVAL_MONTH_DAY_NANO, "month_day_nano_interval", 128, TN_LAYOUT_FIXED) \
  X(TN_TYPE_LIST, "list", 0, TN_LAYOUT_LIST)                                          \
  X(TN_TYPE_LARGE_LIST, "large_list", 0, TN_LAYOUT_LARGE_LIST)                        \
  X(TN_TYPE_LIST_VIEW, "list_view", 0, TN_LAYOUT_LIST_VIEW)                           \
  X(TN_TYPE_LARGE_LIST_VIEW, "large_list_view", 0, TN_LAYOUT_LARGE_LIST_VIEW)         \
  X(TN_TYPE_FIXED_LIST, "fixed_size_list", 0, TN_LAYOUT_FIXED_LIST)                   \
  X(TN_TYPE_STRUCT, "struct", 0, TN_LAYOUT_STRUCT)                                    \
  X(TN_TYPE_MAP, "map", 0, TN_LAYOUT_LIST)                                            \
  X(TN_TYPE_DENSE_UNION, "dense_union", 0, TN_LAYOUT_DENSE_UNION)                     \
  X(TN_TYPE_SPARSE_UNION, "sparse_union", 0, TN_LAYOUT_SPARSE_UNION)                  \
  X(TN_TYPE_RUN_END, "run_end_encoded", 0, TN_LAYOUT_RUN_END)

/* Buffers of an array, in order ("valid": the validity bitmap, NULL when there is no null). */
typedef enum tn_layout {
  TN_LAYOUT_NONE,            /* no buffer: every value is null */
  TN_LAYOUT_BITS,            /* valid, bits */
  TN_LAYOUT_FIXED,           /* valid, values */
  TN_LAYOUT_BYTES,           /* valid, int32 offsets, bytes */
  TN_LAYOUT_LARGE_BYTES,     /* valid, int64 offsets, bytes */
  TN_LAYOUT_VIEW,            /* valid, 16-byte views, data buffers ..., int64 sizes of those */
  TN_LAYOUT_LIST,            /* valid, int32 offsets; one child */
  TN_LAYOUT_LARGE_LIST,      /* valid, int64 offsets; one child */
  TN_LAYOUT_LIST_VIEW,       /* valid, int32 offsets, int32 sizes; one child */
  TN_LAYOUT_LARGE_LIST_VIEW, /* valid, int64 offsets, int64 sizes; one child */
  TN_LAYOUT_FIXED_LIST,      /* valid; one child of length * size */
  TN_LAYOUT_STRUCT,          /* valid; children of the same length */
  TN_LAYOUT_DENSE_UNION,     /* int8 type codes, int32 offsets; children */
  TN_LAYOUT_SPARSE_UNION,    /* int8 type codes; children of the same length */
  TN_LAYOUT_RUN_END,         /* no buffer; children run_ends (int16, 32, 64) and values */
} tn_layout;

typedef enum tn_type_id {
#define X(id, name, bits, layout) id,
  TN_TYPE_ROWS(X)
#undef X
      TN_TYPE_COUNT
} tn_type_id;

typedef enum tn_time_unit { TN_SECONDS, TN_MILLIS, TN_MICROS, TN_NANOS } tn_time_unit;
enum { TN_UNION_CHILDREN_MAX = 128, TN_FIELD_DEPTH_MAX = 64, TN_TYPE_FORMAT_BYTES = 640 };

typedef struct tn_type {
  tn_type_id id;
  tn_layout layout;
  int32_t bits;             /* of a fixed-width value, FIXED_BINARY too; 0: none */
  tn_time_unit unit;        /* TIME32, TIME64, TIMESTAMP, DURATION */
  int32_t precision, scale; /* DECIMAL* */
  int32_t size;             /* FIXED_BINARY: bytes; FIXED_LIST: items */
  tn_str timezone;          /* TIMESTAMP: a view of the format; length 0: none */
  int32_t code_count;       /* unions: type codes, codes[child] */
  int8_t codes[TN_UNION_CHILDREN_MAX];
} tn_type;

const char *tn_type_name(tn_type_id id); /* "int64" */
/* TN_ERR_UNSUPPORTED names the format.  A dictionary is the field's business, not the type's. */
TN_NODISCARD tn_status tn_type_parse(const char *format, tn_type *out, tn_error *err);
/* The format string of a type; NUL-terminated. */
void tn_type_format(const tn_type *type, char out[TN_TYPE_FORMAT_BYTES]);
int64_t tn_time_units_per_second(tn_time_unit unit); /* 1, 1000, ... */
static inline bool tn_type_is_text(tn_type_id id) {  /* UTF-8 */
  return id == TN_TYPE_STRING || id == TN_TYPE_LARGE_STRING || id == TN_TYPE_STRING_VIEW;
}
static inline bool tn_type_is_bytes(tn_type_id id) { /* text or binary, FIXED_BINARY too */
  return id >= TN_TYPE_STRING && id <= TN_TYPE_FIXED_BINARY;
}
static inline bool tn_type_is_integer(tn_type_id id) {
  return id >= TN_TYPE_INT8 && id <= TN_TYPE_UINT64;
}
static inline bool tn_type_is_signed(tn_type_id id) { /* of the integers */
  return id == TN_TYPE_INT8 || id == TN_TYPE_INT16 || id == TN_TYPE_INT32 || id == TN_TYPE_INT64;
}
static inline bool tn_type_is_real(tn_type_id id) {
  return id >= TN_TYPE_HALF && id <= TN_TYPE_DOUBLE;
}
static inline bool tn_type_is_decimal(tn_type_id id) {
  return id >= TN_TYPE_DECIMAL32 && id <= TN_TYPE_DECIMAL256;
}
static inline bool tn_type_is_nested(tn_type_id id) {
  return id >= TN_TYPE_LIST;
}

typedef struct tn_field tn_field;
struct tn_field {
  const char *name; /* never NULL */
  tn_type type;     /* with a dictionary: of the indices */
  bool nullable;
  int64_t child_count;
  tn_field *children;
  tn_field *dictionary;      /* NULL: none; else the field of the dictionary's values */
  const ArrowSchema *schema; /* what it was made from; must outlive the tree */
};

/* The whole tree, in the arena.  A record-batch schema gives a STRUCT field.  Checked: formats,
 * numbers of children, depth (TN_FIELD_DEPTH_MAX), integer dictionary indices, run ends.  Errors
 * name the field by its path: "a.list.item". */
TN_NODISCARD tn_status tn_field_tree(tn_field **out, tn_arena *arena, const ArrowSchema *schema,
                                     tn_error *err);
/* "list<item: struct<a: int32, b: string not null>>", "dictionary<values=string, indices=int8>",
 * "timestamp[us, tz=UTC]", "decimal128(10, 2)": pyarrow's spelling, which users know. */
void tn_field_text(const tn_field *field, tn_strbuf *out);
/* Buffers of an array of this type, as n_buffers counts them; views have at least 3. */
int64_t tn_layout_buffers(tn_layout layout);
bool tn_layout_has_validity(tn_layout layout);
static inline bool tn_layout_is_list(tn_layout layout) { /* maps are lists */
  return layout >= TN_LAYOUT_LIST && layout <= TN_LAYOUT_FIXED_LIST;
}

#endif
