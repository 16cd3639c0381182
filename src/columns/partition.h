/* partition.h - one table written as a folder of files.
 *
 *     rows             folder/part-00000.parquet, part-00001.parquet ...   N rows each
 *     by columns       folder/country=DE/year=2024/part-00000.parquet      (the "hive" layout; the
 *                      columns are in the path, not in the files; null is
 *                      __HIVE_DEFAULT_PARTITION__, other than letters, digits and " .-_:+@" is %XX)
 *     both             as by columns, a new part after N rows
 *
 * Everything is written below a temporary folder beside the final one and renamed when it is whole.
 * At most `open_max` files are open: one more closes the one that was written to the longest ago,
 * and a later row of that value begins a new part.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARTITION_H
#define TN_COLUMNS_PARTITION_H
#include "base/progress.h"
#include "columns/table.h"

enum { TN_PARTITION_BY_MAX = 16, TN_PARTITION_FOLDERS_MAX = 1 << 16 };

typedef struct tn_partition_options { /* zero: the default */
  int64_t rows;                       /* of a file; 0: no limit */
  const char *const *by;              /* column names; copied */
  int32_t by_count;
  int32_t open_max; /* default 64 */
  bool replace;     /* a folder that holds nothing but parts; default: TN_ERR_EXISTS unless empty */
  const tn_table_write_options *write; /* format NULL: parquet */
  tn_progress *progress;               /* the caller's, asked at every file whether to go on */
} tn_partition_options;

typedef struct tn_partition tn_partition;
/* write->... must outlive it. */
TN_NODISCARD tn_status tn_partition_new(tn_partition **out, const char *folder,
                                        const ArrowSchema *schema,
                                        const tn_partition_options *options, tn_error *err);
TN_NODISCARD tn_status tn_partition_batch(tn_partition *p, const ArrowArray *batch, tn_error *err);
TN_NODISCARD tn_status tn_partition_finish(tn_partition *p, tn_error *err);
int64_t tn_partition_files(const tn_partition *p);
int64_t tn_partition_not_finite(const tn_partition *p); /* table.h */
int64_t tn_partition_nested_deltas(const tn_partition *p);
int64_t tn_partition_bytes(const tn_partition *p);
void tn_partition_free(tn_partition *p); /* without a finish: leaves nothing */

#endif
