/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/schema.h"

enum { DEPTH_MAX = 64, PATH_BYTES_MAX = 4096 };

/* ---- reading: which Arrow type a leaf has ---------------------------------------------------- */

static void take(tn_parquet_leaf *leaf, tn_column_type type, tn_parquet_form form) {
  leaf->why_not = NULL;
  leaf->type = type;
  leaf->form = form;
}

static void resolve_int32(tn_parquet_leaf *leaf, const tn_parquet_logical *l) {
  if (l->kind == TN_PARQUET_LOGICAL_NONE) take(leaf, TN_COLUMN_INT32, TN_PARQUET_FORM_32);
  if (l->kind == TN_PARQUET_LOGICAL_DATE) take(leaf, TN_COLUMN_DATE32, TN_PARQUET_FORM_32);
  if (l->kind != TN_PARQUET_LOGICAL_INTEGER) return;
  switch (l->is_signed ? l->bits : -l->bits) {
    case 8:
      take(leaf, TN_COLUMN_INT8, TN_PARQUET_FORM_I8);
      break;
    case 16:
      take(leaf, TN_COLUMN_INT16, TN_PARQUET_FORM_I16);
      break;
    case 32:
      take(leaf, TN_COLUMN_INT32, TN_PARQUET_FORM_32);
      break;
    case -8:
      take(leaf, TN_COLUMN_UINT8, TN_PARQUET_FORM_U8);
      break;
    case -16:
      take(leaf, TN_COLUMN_UINT16, TN_PARQUET_FORM_U16);
      break;
    case -32:
      take(leaf, TN_COLUMN_UINT32, TN_PARQUET_FORM_32);
      break;
    default:
      break;
  }
}

/* A ConvertedType says "UTC" for every timestamp; writers of that age did not mean a zone by it,
 * and pyarrow reads them without one. */
static void resolve_timestamp(tn_parquet_leaf *leaf, const tn_parquet_logical *l) {
  bool utc = l->utc && !l->converted;
  if (l->unit == TN_PARQUET_MILLIS && !utc) {
    take(leaf, TN_COLUMN_TIMESTAMP_MS, TN_PARQUET_FORM_64);
  } else if (l->unit == TN_PARQUET_MILLIS) {
    take(leaf, TN_COLUMN_TIMESTAMP_US_UTC, TN_PARQUET_FORM_MS_TO_US);
  } else if (l->unit == TN_PARQUET_MICROS) {
    take(leaf, utc ? TN_COLUMN_TIMESTAMP_US_UTC : TN_COLUMN_TIMESTAMP_US, TN_PARQUET_FORM_64);
  } else if (l->unit == TN_PARQUET_NANOS) {
    /* Arrow's list here has no ns with a zone; the instants are the same. */
    take(leaf, TN_COLUMN_TIMESTAMP_NS, TN_PARQUET_FORM_64);
  }
}

static void resolve_int64(tn_parquet_leaf *leaf, const tn_parquet_logical *l) {
  if (l->kind == TN_PARQUET_LOGICAL_NONE) take(leaf, TN_COLUMN_INT64, TN_PARQUET_FORM_64);
  if (l->kind == TN_PARQUET_LOGICAL_TIMESTAMP) resolve_timestamp(leaf, l);
  if (l->kind != TN_PARQUET_LOGICAL_INTEGER || l->bits != 64) return;
  take(leaf, l->is_signed ? TN_COLUMN_INT64 : TN_COLUMN_UINT64, TN_PARQUET_FORM_64);
}

static void resolve_bytes(tn_parquet_leaf *leaf, const tn_parquet_logical *l) {
  switch (l->kind) {
    case TN_PARQUET_LOGICAL_STRING:
    case TN_PARQUET_LOGICAL_ENUM:
    case TN_PARQUET_LOGICAL_JSON:
      take(leaf, TN_COLUMN_STRING, TN_PARQUET_FORM_BYTES);
      break;
    case TN_PARQUET_LOGICAL_NONE:
    case TN_PARQUET_LOGICAL_BSON:
    case TN_PARQUET_LOGICAL_GEOMETRY:
    case TN_PARQUET_LOGICAL_GEOGRAPHY:
      take(leaf, TN_COLUMN_BINARY, TN_PARQUET_FORM_BYTES);
      break;
    default:
      break;
  }
}

static void resolve_fixed(tn_parquet_leaf *leaf, const tn_parquet_logical *l) {
  if (leaf->element->length == 0) {
    leaf->why_not = "a fixed length of 0 bytes";
    return;
  }
  switch (l->kind) {
    case TN_PARQUET_LOGICAL_NONE:
    case TN_PARQUET_LOGICAL_UUID:
    case TN_PARQUET_LOGICAL_INTERVAL:
      take(leaf, TN_COLUMN_BINARY, TN_PARQUET_FORM_FIXED);
      break;
    default:
      break;
  }
}

static void resolve(tn_parquet_leaf *leaf) {
  const tn_parquet_logical *l = &leaf->element->logical;
  bool plain = l->kind == TN_PARQUET_LOGICAL_NONE;
  leaf->why_not = tn_parquet_logical_text(l);
  if (!leaf->why_not[0]) leaf->why_not = "its type";
  switch (leaf->element->physical) {
    case TN_PARQUET_BOOLEAN:
      if (plain) take(leaf, TN_COLUMN_BOOL, TN_PARQUET_FORM_BITS);
      break;
    case TN_PARQUET_INT32:
      resolve_int32(leaf, l);
      break;
    case TN_PARQUET_INT64:
      resolve_int64(leaf, l);
      break;
    case TN_PARQUET_INT96:
      if (plain) take(leaf, TN_COLUMN_TIMESTAMP_NS, TN_PARQUET_FORM_INT96);
      break;
    case TN_PARQUET_FLOAT:
      if (plain) take(leaf, TN_COLUMN_FLOAT, TN_PARQUET_FORM_32);
      break;
    case TN_PARQUET_DOUBLE:
      if (plain) take(leaf, TN_COLUMN_DOUBLE, TN_PARQUET_FORM_64);
      break;
    case TN_PARQUET_BYTE_ARRAY:
      resolve_bytes(leaf, l);
      break;
    default:
      resolve_fixed(leaf, l);
  }
}

const char *tn_parquet_logical_text(const tn_parquet_logical *l) {
  static const char *const timestamps[2][4] = {
      {"TIMESTAMP", "TIMESTAMP(ms)", "TIMESTAMP(us)", "TIMESTAMP(ns)"},
      {"TIMESTAMP(UTC)", "TIMESTAMP(ms, UTC)", "TIMESTAMP(us, UTC)", "TIMESTAMP(ns, UTC)"}};
  static const char *const times[4] = {"TIME", "TIME(ms)", "TIME(us)", "TIME(ns)"};
  switch (l->kind) {
    case TN_PARQUET_LOGICAL_TIMESTAMP:
      return timestamps[l->utc][l->unit & 3];
    case TN_PARQUET_LOGICAL_TIME:
      return times[l->unit & 3];
    case TN_PARQUET_LOGICAL_INTEGER:
      switch (l->is_signed ? l->bits : -l->bits) {
        case 8:
          return "INTEGER(8, signed)";
        case 16:
          return "INTEGER(16, signed)";
        case 32:
          return "INTEGER(32, signed)";
        case 64:
          return "INTEGER(64, signed)";
        case -8:
          return "INTEGER(8, unsigned)";
        case -16:
          return "INTEGER(16, unsigned)";
        case -32:
          return "INTEGER(32, unsigned)";
        case -64:
          return "INTEGER(64, unsigned)";
        default:
          return "INTEGER";
      }
    default:
      break;
  }
  switch (l->kind) {
#define X(id, code, name) \
  case code:              \
    return name;
    TN_PARQUET_LOGICAL_LIST(X)
#undef X
    default:
      return "an unknown logical type";
  }
}

/* ---- reading: walking the tree --------------------------------------------------------------- */

typedef struct tree_walk {
  const tn_parquet_footer *footer;
  tn_arena *arena;
  tn_parquet_leaf *leaves;
  int64_t leaf_count, at; /* at: next element */
  int64_t field;
  char path[PATH_BYTES_MAX];
  tn_error *err;
} tree_walk;

static tn_status add_leaf(tree_walk *w, const tn_parquet_element *e, int32_t depth, size_t length) {
  tn_parquet_leaf *leaf = &w->leaves[w->leaf_count++];
  *leaf = (tn_parquet_leaf){.element = e, .field = w->field};
  leaf->name = tn_arena_strndup(w->arena, w->path, length);
  if (!leaf->name) return tn_fail_memory(w->err, "a column's name", length);
  leaf->nullable = e->repetition == TN_PARQUET_OPTIONAL;
  if (depth > 1) {
    leaf->why_not = "nesting";
  } else if (e->repetition == TN_PARQUET_REPEATED) {
    leaf->why_not = "repeated values";
  } else {
    resolve(leaf);
  }
  return TN_OK;
}

static tn_status walk_node(tree_walk *w, int32_t depth, size_t length) {
  if (w->at >= w->footer->element_count) {
    return tn_fail(w->err, TN_ERR_DATA, "the schema has %lld elements but names more children",
                   (long long)w->footer->element_count);
  }
  const tn_parquet_element *e = &w->footer->elements[w->at++];
  if (depth > DEPTH_MAX) {
    return tn_fail(w->err, TN_ERR_LIMIT, "the schema is nested deeper than %d levels", DEPTH_MAX);
  }
  size_t part = strlen(e->name);
  if (length + part + 2 > sizeof w->path) {
    return tn_fail(w->err, TN_ERR_LIMIT, "a column's path is longer than %d bytes", PATH_BYTES_MAX);
  }
  if (length) w->path[length++] = '.';
  memcpy(w->path + length, e->name, part);
  length += part;
  if (e->repetition < TN_PARQUET_REQUIRED || e->repetition > TN_PARQUET_REPEATED) {
    return tn_fail(w->err, TN_ERR_DATA, "column \"%s\" has repetition type %d", e->name,
                   e->repetition);
  }
  if (e->physical >= 0) return add_leaf(w, e, depth, length);
  for (int32_t i = 0; i < e->children; i++) TN_TRY(walk_node(w, depth + 1, length));
  return TN_OK;
}

tn_status tn_parquet_leaves(const tn_parquet_footer *footer, tn_arena *arena, tn_parquet_leaf **out,
                            int64_t *count, tn_error *err) {
  const tn_parquet_element *root = &footer->elements[0];
  tree_walk *w = tn_arena_alloc(arena, 1, sizeof *w);
  if (!w) return tn_fail_memory(err, "the schema's columns", sizeof *w);
  *w = (tree_walk){.footer = footer, .arena = arena, .at = 1, .err = err};
  w->leaves = tn_arena_alloc(arena, (size_t)footer->element_count, sizeof *w->leaves);
  if (!w->leaves) return tn_fail_memory(err, "the schema's columns", sizeof *w->leaves);
  if (root->physical >= 0) return tn_fail(err, TN_ERR_DATA, "the schema's root is not a group");
  for (int32_t i = 0; i < root->children; i++) {
    w->field = i;
    TN_TRY(walk_node(w, 1, 0));
  }
  if (w->at != footer->element_count) {
    return tn_fail(err, TN_ERR_DATA, "the schema has %lld elements, its tree has %lld",
                   (long long)footer->element_count, (long long)w->at);
  }
  *out = w->leaves;
  *count = w->leaf_count;
  return TN_OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void integer(tn_parquet_element *e, int32_t physical, int8_t bits, bool is_signed) {
  e->physical = physical;
  e->logical.kind = TN_PARQUET_LOGICAL_INTEGER;
  e->logical.bits = bits;
  e->logical.is_signed = is_signed;
  int32_t step = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
  e->converted = step + (is_signed ? TN_PARQUET_CONVERTED_INT_8 : TN_PARQUET_CONVERTED_UINT_8);
}

static void timestamp(tn_parquet_element *e, int8_t unit, bool utc) {
  e->physical = TN_PARQUET_INT64;
  e->logical.kind = TN_PARQUET_LOGICAL_TIMESTAMP;
  e->logical.unit = unit;
  e->logical.utc = utc;
  /* The converted types mean UTC, and there is none for nanoseconds (LogicalTypes.md). */
  if (utc && unit == TN_PARQUET_MICROS) e->converted = TN_PARQUET_CONVERTED_TIMESTAMP_MICROS;
}

void tn_parquet_element_for(tn_column_type type, const char *name, bool nullable,
                            tn_parquet_element *out) {
  tn_parquet_element e = {.name = name, .converted = -1};
  e.repetition = nullable ? TN_PARQUET_OPTIONAL : TN_PARQUET_REQUIRED;
  switch (type) {
    case TN_COLUMN_BOOL:
      e.physical = TN_PARQUET_BOOLEAN;
      break;
    case TN_COLUMN_INT8:
      integer(&e, TN_PARQUET_INT32, 8, true);
      break;
    case TN_COLUMN_UINT8:
      integer(&e, TN_PARQUET_INT32, 8, false);
      break;
    case TN_COLUMN_INT16:
      integer(&e, TN_PARQUET_INT32, 16, true);
      break;
    case TN_COLUMN_UINT16:
      integer(&e, TN_PARQUET_INT32, 16, false);
      break;
    case TN_COLUMN_INT32:
      e.physical = TN_PARQUET_INT32;
      break;
    case TN_COLUMN_UINT32:
      integer(&e, TN_PARQUET_INT32, 32, false);
      break;
    case TN_COLUMN_INT64:
      e.physical = TN_PARQUET_INT64;
      break;
    case TN_COLUMN_UINT64:
      integer(&e, TN_PARQUET_INT64, 64, false);
      break;
    case TN_COLUMN_FLOAT:
      e.physical = TN_PARQUET_FLOAT;
      break;
    case TN_COLUMN_DOUBLE:
      e.physical = TN_PARQUET_DOUBLE;
      break;
    case TN_COLUMN_STRING:
      e.physical = TN_PARQUET_BYTE_ARRAY;
      e.logical.kind = TN_PARQUET_LOGICAL_STRING;
      e.converted = TN_PARQUET_CONVERTED_UTF8;
      break;
    case TN_COLUMN_DATE32:
      e.physical = TN_PARQUET_INT32;
      e.logical.kind = TN_PARQUET_LOGICAL_DATE;
      e.converted = TN_PARQUET_CONVERTED_DATE;
      break;
    case TN_COLUMN_TIMESTAMP_MS:
      timestamp(&e, TN_PARQUET_MILLIS, false);
      break;
    case TN_COLUMN_TIMESTAMP_US:
      timestamp(&e, TN_PARQUET_MICROS, false);
      break;
    case TN_COLUMN_TIMESTAMP_NS:
      timestamp(&e, TN_PARQUET_NANOS, false);
      break;
    case TN_COLUMN_TIMESTAMP_US_UTC:
      timestamp(&e, TN_PARQUET_MICROS, true);
      break;
    default:
      e.physical = TN_PARQUET_BYTE_ARRAY;
  }
  *out = e;
}

int32_t tn_parquet_stored_bytes(tn_column_type type) {
  int32_t bits = tn_column_type_bits(type);
  return bits <= 1 ? 0 : bits <= 32 ? 4 : 8;
}
