/* schema.h - between Parquet's schema tree and our flat column types.
 *
 * A leaf is one physical column.  It is readable when it lies directly below the root, is not
 * repeated and its type has a row in columns/arrow.h; otherwise `why_not` says what is in the way,
 * and only a scan that asks for it fails.  `form` says how the stored values become Arrow values.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_SCHEMA_H
#define TN_COLUMNS_PARQUET_SCHEMA_H
#include "columns/arrow.h"
#include "columns/parquet/metadata.h"

typedef enum tn_parquet_form {                       /* stored -> Arrow */
                               TN_PARQUET_FORM_BITS, /* bit -> bit */
                               TN_PARQUET_FORM_32,   /* 4 bytes as they are */
                               TN_PARQUET_FORM_64,   /* 8 bytes as they are */
                               TN_PARQUET_FORM_I8,   /* INT32 -> int8, uint8, int16, uint16 */
                               TN_PARQUET_FORM_U8,
                               TN_PARQUET_FORM_I16,
                               TN_PARQUET_FORM_U16,
                               TN_PARQUET_FORM_MS_TO_US, /* INT64 milliseconds -> microseconds */
                               TN_PARQUET_FORM_INT96,    /* nanoseconds of day, Julian day ->
                                                            nanoseconds since 1970 */
                               TN_PARQUET_FORM_BYTES,    /* BYTE_ARRAY -> offsets and bytes */
                               TN_PARQUET_FORM_FIXED, /* FIXED_LEN_BYTE_ARRAY -> offsets and bytes
                                                       */
} tn_parquet_form;

typedef struct tn_parquet_leaf {
  const char *name; /* the path, joined by dots */
  const tn_parquet_element *element;
  int64_t field; /* which child of the root it belongs to */
  bool nullable;
  const char *why_not; /* NULL: readable, and type and form are set */
  tn_column_type type;
  tn_parquet_form form;
} tn_parquet_leaf;

/* All leaves in file order, in the arena. */
TN_NODISCARD tn_status tn_parquet_leaves(const tn_parquet_footer *footer, tn_arena *arena,
                                         tn_parquet_leaf **out, int64_t *count, tn_error *err);
/* "STRING", "INTEGER(8, unsigned)", "TIMESTAMP(us, UTC)"; "" when none.  A literal. */
const char *tn_parquet_logical_text(const tn_parquet_logical *logical);

/* How a column of `type` is written. */
void tn_parquet_element_for(tn_column_type type, const char *name, bool nullable,
                            tn_parquet_element *out);
/* Bytes of a stored value: 4 or 8, 0 for BOOLEAN and BYTE_ARRAY. */
int32_t tn_parquet_stored_bytes(tn_column_type type);

#endif
