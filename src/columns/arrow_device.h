/* arrow_device.h - the Arrow C Device Data Interface: arrays and streams that say where they are.
 *
 * The structs, in tenon/columns.h, are the ABI of
 * https://arrow.apache.org/docs/format/CDeviceDataInterface.html, the device types those of DLPack.
 * This room works in host memory: what goes out is on ARROW_DEVICE_CPU, and what comes in may be in
 * any memory that the host can read (CPU, pinned CUDA or ROCm, CUDA managed) and that no event
 * guards.  Every other device is refused by name.
 *
 * Thread: as arrow.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_ARROW_DEVICE_H
#define TN_COLUMNS_ARROW_DEVICE_H
#include "columns/arrow.h"

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
