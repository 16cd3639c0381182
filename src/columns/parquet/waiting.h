/* waiting.h - the rows of one leaf that wait for their page: levels, and values that are not yet
 * encoded.
 *
 * Values wait densely in stored form: fixed-width ones back to back, booleans as bits, byte arrays
 * as lengths and one run of bytes, so that every encoding can be made from them.  Levels of a flat
 * leaf wait as validity bits, those of a nested one as a byte an entry. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_WAITING_H
#define TN_COLUMNS_PARQUET_WAITING_H
#include "columns/parquet/schema_write.h"

typedef struct tn_parquet_level_run { /* the levels of some rows; borrowed */
  const uint8_t *valid;               /* flat: bits from `from` on; NULL: no nulls */
  int64_t from;
  const uint8_t *def, *rep; /* nested */
  int64_t rows, entries, values;
} tn_parquet_level_run;

typedef struct tn_parquet_waiting { /* all zero is valid and empty */
  tn_parquet_bytes def;             /* flat and optional: a bit a row; nested: a byte an entry */
  tn_parquet_bytes rep;             /* below a list: a byte an entry */
  int64_t rows, entries, values;
  tn_parquet_bytes data;
  tn_parquet_bytes lengths; /* byte arrays: uint32 a value */
  int64_t data_values;      /* how many are in `data` */
} tn_parquet_waiting;

void tn_parquet_waiting_reset(tn_parquet_waiting *waiting); /* keeps the memory */
void tn_parquet_waiting_clear(tn_parquet_waiting *waiting);
TN_NODISCARD tn_status tn_parquet_waiting_add_levels(tn_parquet_waiting *waiting,
                                                     const tn_parquet_write_leaf *leaf,
                                                     const tn_parquet_level_run *run,
                                                     tn_error *err);
TN_NODISCARD tn_status tn_parquet_waiting_add_values(tn_parquet_waiting *waiting,
                                                     const tn_parquet_slice *values, tn_error *err);

/* Rows from entry `from` on (the first of a row), as many as fit: at most `rows_max` rows, and no
 * further row once there are `entries_max` entries. */
tn_parquet_level_run tn_parquet_waiting_cut(const tn_parquet_waiting *waiting,
                                            const tn_parquet_write_leaf *leaf, int64_t from,
                                            int64_t rows_max, int64_t entries_max);
/* Appends the levels of entries [from, from + entries) to a page's body, each behind its length
 * unless `v2`; *rep_bytes and *def_bytes are without such lengths. */
TN_NODISCARD tn_status tn_parquet_waiting_put_levels(const tn_parquet_waiting *waiting,
                                                     const tn_parquet_write_leaf *leaf,
                                                     int64_t from, int64_t entries, bool v2,
                                                     tn_parquet_bytes *body, tn_parquet_bytes *room,
                                                     int32_t *rep_bytes, int32_t *def_bytes,
                                                     tn_error *err);
/* Whether values of this physical type may be in this encoding (not a dictionary's). */
bool tn_parquet_can_encode(int32_t physical, int32_t encoding);
/* Appends the first `count` values to `body`; the encoding must be possible. */
TN_NODISCARD tn_status tn_parquet_waiting_encode(const tn_parquet_waiting *waiting,
                                                 const tn_parquet_store *store, int32_t encoding,
                                                 int64_t count, tn_parquet_bytes *body,
                                                 tn_parquet_bytes *room, tn_error *err);

#endif
