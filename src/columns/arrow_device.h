/* arrow_device.h - the Arrow C Device Data Interface: arrays and streams that say where they are.
 *
 * The structs are the ABI of https://arrow.apache.org/docs/format/CDeviceDataInterface.html, the
 * device types those of DLPack.  This room works in host memory: what goes out is on
 * ARROW_DEVICE_CPU, and what comes in may be in any memory that the host can read (CPU, pinned
 * CUDA or ROCm, CUDA managed) and that no event guards.  Every other device is refused by name.
 *
 * Thread: as arrow.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_ARROW_DEVICE_H
#define TN_COLUMNS_ARROW_DEVICE_H
#include "columns/arrow.h"

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
typedef struct ArrowDeviceArray ArrowDeviceArray;
typedef struct ArrowDeviceArrayStream ArrowDeviceArrayStream;

const char *tn_arrow_device_type_name(ArrowDeviceType type); /* "CUDA"; "unknown" */

/* *array is moved and released through the device array's own array.release. */
void tn_arrow_device_array_from_host(ArrowDeviceArray *out, ArrowArray *array);
/* TN_ERR_UNSUPPORTED names the device, or says that an event would have to be waited for; the array
 * is then still the caller's. */
TN_NODISCARD tn_status tn_arrow_device_array_to_host(ArrowArray *out, ArrowDeviceArray *array,
                                                     tn_error *err);

/* The stream is moved into the other kind, and released also when that fails. */
TN_NODISCARD tn_status tn_arrow_device_stream_from_host(ArrowDeviceArrayStream *out,
                                                        ArrowArrayStream *stream, tn_error *err);
TN_NODISCARD tn_status tn_arrow_device_stream_to_host(ArrowArrayStream *out,
                                                      ArrowDeviceArrayStream *stream,
                                                      tn_error *err);

#endif
