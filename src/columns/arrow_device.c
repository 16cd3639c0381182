/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/arrow_device.h"

#include <errno.h>

enum { NO_DEVICE_ID = -1 }; /* what the specification gives a CPU */

const char *tn_arrow_device_type_name(ArrowDeviceType type) {
  static const char *const names[] = {
      [ARROW_DEVICE_CPU] = "CPU",
      [ARROW_DEVICE_CUDA] = "CUDA",
      [ARROW_DEVICE_CUDA_HOST] = "CUDA host",
      [ARROW_DEVICE_OPENCL] = "OpenCL",
      [ARROW_DEVICE_VULKAN] = "Vulkan",
      [ARROW_DEVICE_METAL] = "Metal",
      [ARROW_DEVICE_VPI] = "VPI",
      [ARROW_DEVICE_ROCM] = "ROCm",
      [ARROW_DEVICE_ROCM_HOST] = "ROCm host",
      [ARROW_DEVICE_EXT_DEV] = "extension",
      [ARROW_DEVICE_CUDA_MANAGED] = "CUDA managed",
      [ARROW_DEVICE_ONEAPI] = "oneAPI",
      [ARROW_DEVICE_WEBGPU] = "WebGPU",
      [ARROW_DEVICE_HEXAGON] = "Hexagon",
  };
  const char *name = type >= 0 && type < (int32_t)(sizeof names / sizeof *names) ? names[type] : 0;
  return name ? name : "unknown";
}

static tn_status check_device(ArrowDeviceType type, tn_error *err) {
  if (type == ARROW_DEVICE_CPU || type == ARROW_DEVICE_CUDA_HOST ||
      type == ARROW_DEVICE_ROCM_HOST || type == ARROW_DEVICE_CUDA_MANAGED)
    return TN_OK;
  return tn_fail(
      err, TN_ERR_UNSUPPORTED,
      "Arrow data in the memory of a device of type %d (%s); only what the host can read",
      (int)type, tn_arrow_device_type_name(type));
}

void tn_arrow_device_array_from_host(ArrowDeviceArray *out, ArrowArray *array) {
  *out = (ArrowDeviceArray){
      .array = *array, .device_id = NO_DEVICE_ID, .device_type = ARROW_DEVICE_CPU};
  array->release = NULL;
}

tn_status tn_arrow_device_array_to_host(ArrowArray *out, ArrowDeviceArray *array, tn_error *err) {
  memset(out, 0, sizeof *out);
  TN_TRY(check_device(array->device_type, err));
  if (array->sync_event)
    return tn_fail(err, TN_ERR_UNSUPPORTED, "Arrow data (%s) behind an event of its device",
                   tn_arrow_device_type_name(array->device_type));
  *out = array->array;
  array->array.release = NULL;
  return TN_OK;
}

/* ---- host stream as device stream ---- */
static int out_schema(ArrowDeviceArrayStream *self, ArrowSchema *out) {
  ArrowArrayStream *inner = self->private_data;
  return inner->get_schema(inner, out);
}

static int out_next(ArrowDeviceArrayStream *self, ArrowDeviceArray *out) {
  ArrowArrayStream *inner = self->private_data;
  ArrowArray array = {0};
  int errnum = inner->get_next(inner, &array);
  if (errnum == 0) tn_arrow_device_array_from_host(out, &array); /* the end: nothing to release */
  return errnum;
}

static const char *out_error(ArrowDeviceArrayStream *self) {
  ArrowArrayStream *inner = self->private_data;
  return inner->get_last_error ? inner->get_last_error(inner) : NULL;
}

static void out_release(ArrowDeviceArrayStream *self) {
  tn_stream_clear(self->private_data);
  tn_free(self->private_data);
  self->release = NULL;
}

tn_status tn_arrow_device_stream_from_host(ArrowDeviceArrayStream *out, ArrowArrayStream *stream,
                                           tn_error *err) {
  memset(out, 0, sizeof *out);
  ArrowArrayStream *inner = tn_alloc(1, sizeof *inner);
  if (!inner) {
    tn_stream_clear(stream);
    return tn_fail_memory(err, "Arrow device stream", sizeof *inner);
  }
  *inner = *stream;
  stream->release = NULL;
  *out = (ArrowDeviceArrayStream){ARROW_DEVICE_CPU, out_schema,  out_next,
                                  out_error,        out_release, inner};
  return TN_OK;
}

/* ---- device stream as host stream ---- */
typedef struct device_reader {
  ArrowDeviceArrayStream inner;
  tn_error refused; /* of this side; else the inner stream knows */
} device_reader;

static int in_schema(ArrowArrayStream *self, ArrowSchema *out) {
  device_reader *r = self->private_data;
  r->refused.status = TN_OK;
  return r->inner.get_schema(&r->inner, out);
}

static int in_next(ArrowArrayStream *self, ArrowArray *out) {
  device_reader *r = self->private_data;
  ArrowDeviceArray array = {.device_type = ARROW_DEVICE_CPU};
  r->refused.status = TN_OK;
  memset(out, 0, sizeof *out);
  int errnum = r->inner.get_next(&r->inner, &array);
  if (errnum != 0 || !array.array.release) return errnum;
  if (tn_arrow_device_array_to_host(out, &array, &r->refused) == TN_OK) return 0;
  tn_array_clear(&array.array);
  return ENOSYS;
}

static const char *in_error(ArrowArrayStream *self) {
  device_reader *r = self->private_data;
  if (r->refused.status != TN_OK) return r->refused.text;
  return r->inner.get_last_error ? r->inner.get_last_error(&r->inner) : NULL;
}

static void in_release(ArrowArrayStream *self) {
  device_reader *r = self->private_data;
  if (r->inner.release) r->inner.release(&r->inner);
  tn_free(r);
  self->release = NULL;
}

tn_status tn_arrow_device_stream_to_host(ArrowArrayStream *out, ArrowDeviceArrayStream *stream,
                                         tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_status status = check_device(stream->device_type, err);
  device_reader *r = status == TN_OK ? tn_alloc(1, sizeof *r) : NULL;
  if (!r) {
    if (stream->release) stream->release(stream);
    return status == TN_OK ? tn_fail_memory(err, "Arrow device stream", sizeof *r) : status;
  }
  r->inner = *stream;
  stream->release = NULL;
  *out = (ArrowArrayStream){in_schema, in_next, in_error, in_release, r};
  return TN_OK;
}
