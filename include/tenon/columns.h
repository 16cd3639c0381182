/* columns.h - tables in files as Arrow streams: CSV, TSV, Parquet, Arrow IPC.
 *
 * Data comes and goes by the Arrow C Data Interface, whose structs are below, so that any Arrow
 * library takes it by pointer.  A path's extension tells the format.
 *
 * Options are an array of names and values that ends in NULL, or NULL for the defaults:
 *
 *     const char *options[] = {"columns", "fare,tip", "batch_rows", "4096", NULL};
 *
 * tn_columns_option lists them.  An unknown name or a bad value is TN_ERR_ARGUMENT.
 *
 * Thread: a stream, a file belongs to one thread at a time; arrays are immutable. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_COLUMNS_H
#define TENON_COLUMNS_H
#include "tenon/tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* https://arrow.apache.org/docs/format/CDataInterface.html and its sisters, field for field; the
 * guards are theirs, so that several libraries' headers can live in one program. */
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE           2
#define ARROW_FLAG_MAP_KEYS_SORTED    4
struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};
struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};
#endif
#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};
#endif

#ifndef ARROW_C_DEVICE_DATA_INTERFACE
#define ARROW_C_DEVICE_DATA_INTERFACE
typedef int32_t ArrowDeviceType;
#define ARROW_DEVICE_CPU          1
#define ARROW_DEVICE_CUDA         2
#define ARROW_DEVICE_CUDA_HOST    3
#define ARROW_DEVICE_OPENCL       4
#define ARROW_DEVICE_VULKAN       7
#define ARROW_DEVICE_METAL        8
#define ARROW_DEVICE_VPI          9
#define ARROW_DEVICE_ROCM         10
#define ARROW_DEVICE_ROCM_HOST    11
#define ARROW_DEVICE_EXT_DEV      12
#define ARROW_DEVICE_CUDA_MANAGED 13
#define ARROW_DEVICE_ONEAPI       14
#define ARROW_DEVICE_WEBGPU       15
#define ARROW_DEVICE_HEXAGON      16
struct ArrowDeviceArray {
  struct ArrowArray array;
  int64_t device_id;
  ArrowDeviceType device_type;
  void *sync_event;
  int64_t reserved[3];
};
#endif
#ifndef ARROW_C_DEVICE_STREAM_INTERFACE
#define ARROW_C_DEVICE_STREAM_INTERFACE
struct ArrowDeviceArrayStream {
  ArrowDeviceType device_type;
  int (*get_schema)(struct ArrowDeviceArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowDeviceArrayStream *, struct ArrowDeviceArray *out);
  const char *(*get_last_error)(struct ArrowDeviceArrayStream *);
  void (*release)(struct ArrowDeviceArrayStream *);
  void *private_data;
};
#endif

/* A stream of record batches over a file; the caller releases it. */
TN_API tn_status tn_columns_open(struct ArrowArrayStream *out, const char *path,
                                 const char *const *options, tn_error *err);
/* Writes everything `in` gives and releases it, also on failure; what it gives is validated first.
 * The file appears under `path`
 * only when it is whole; an existing one is replaced in one step. */
TN_API tn_status tn_columns_write(const char *path, struct ArrowArrayStream *in,
                                  const char *const *options, tn_error *err);

/* The same through the C Device Data Interface.  Out comes host memory (ARROW_DEVICE_CPU); in may
 * be whatever the host can read without waiting for an event, other devices are TN_ERR_UNSUPPORTED.
 */
TN_API tn_status tn_columns_open_device(struct ArrowDeviceArrayStream *out, const char *path,
                                        const char *const *options, tn_error *err);
TN_API tn_status tn_columns_write_device(const char *path, struct ArrowDeviceArrayStream *in,
                                         const char *const *options, tn_error *err);

/* The option of reading (writing 0) or writing (1) at `index`: its name, and what it does in *help
 * (NULL allowed).  NULL behind the last one.  Never freed. */
TN_API const char *tn_columns_option(int32_t writing, int32_t index, const char **help);

/* A Parquet file held open: its footer is parsed once. */
typedef struct tn_columns_parquet tn_columns_parquet;
TN_API tn_status tn_columns_parquet_open(tn_columns_parquet **out, const char *path,
                                         const char *const *options, tn_error *err);
TN_API void tn_columns_parquet_close(tn_columns_parquet *file); /* NULL is fine */
TN_API int64_t tn_columns_parquet_rows(const tn_columns_parquet *file);
/* All rows; `columns` and `batch_rows` come from the options of open.  A stream stays valid when
 * the file is closed. */
TN_API tn_status tn_columns_parquet_scan(tn_columns_parquet *file, struct ArrowArrayStream *out,
                                         tn_error *err);

/* The rows of these numbers, which ascend.  Where the file has an offset index, only the pages that
 * hold them are read: with the training profile one small page a column. */
TN_API tn_status tn_columns_parquet_take(tn_columns_parquet *file, const int64_t *rows,
                                         int64_t count, struct ArrowArrayStream *out,
                                         tn_error *err);

/* For Python: room for one Arrow C struct (zeroed, NULL when out of memory), the destructor of the
 * PyCapsule that holds it, and drop where no capsule came of it. */
TN_API void *tn_capsule_new(void);
TN_API void tn_capsule_free(void *capsule);
TN_API void tn_capsule_drop(void *held);

#ifdef __cplusplus
}
#endif
#endif
