/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/gpu_probe.h"

#include <dlfcn.h>
#include <stddef.h>

/* The five calls of the CUDA driver API that are needed, by their documented signatures. */
typedef struct driver {
  int (*init)(unsigned flags);
  int (*count)(int *count);
  int (*name)(char *name, int length, int device);
  int (*attribute)(int *value, int attribute, int device);
  int (*memory)(size_t *bytes, int device);
} driver;

enum { ATTRIBUTE_MAJOR = 75, ATTRIBUTE_MINOR = 76 };

static int load_driver(void *library, driver *d) {
  *(void **)&d->init = dlsym(library, "cuInit");
  *(void **)&d->count = dlsym(library, "cuDeviceGetCount");
  *(void **)&d->name = dlsym(library, "cuDeviceGetName");
  *(void **)&d->attribute = dlsym(library, "cuDeviceGetAttribute");
  *(void **)&d->memory = dlsym(library, "cuDeviceTotalMem_v2");
  return d->init && d->count && d->name && d->attribute && d->memory;
}

static void describe(const driver *d, int device, tn_gpu *out) {
  *out = (tn_gpu){0};
  size_t bytes = 0;
  d->name(out->name, (int)sizeof out->name, device);
  d->attribute(&out->major, ATTRIBUTE_MAJOR, device);
  d->attribute(&out->minor, ATTRIBUTE_MINOR, device);
  d->memory(&bytes, device);
  out->memory_bytes = (int64_t)bytes;
}

int32_t tn_gpu_probe(tn_gpu *gpus, int32_t room, const char **why) {
  void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  driver d;
  int count = 0;
  *why = NULL;
  if (!library)
    *why = "no CUDA driver (libcuda.so.1) on this machine";
  else if (!load_driver(library, &d))
    *why = "the CUDA driver is too old: it lacks the calls that are needed";
  else if (d.init(0) != 0 || d.count(&count) != 0)
    *why = "the CUDA driver does not start (no device, or versions that do not fit)";
  else if (count == 0)
    *why = "the CUDA driver shows no device";
  for (int32_t i = 0; i < count && i < room; i++) describe(&d, i, &gpus[i]);
  /* The driver stays loaded: unloading it after cuInit is not supported. */
  return *why ? 0 : count;
}
