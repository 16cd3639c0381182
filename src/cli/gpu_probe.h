/* gpu_probe.h - which GPUs the driver shows, without linking anything of CUDA.
 *
 * libcuda.so.1 belongs to the driver and is looked up when asked; where it is absent there is no
 * GPU to use, and that is an answer, not an error. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_CLI_GPU_PROBE_H
#define TN_CLI_GPU_PROBE_H
#include <stdint.h>

typedef struct tn_gpu {
  char name[96];
  int32_t major, minor; /* compute capability */
  int64_t memory_bytes;
} tn_gpu;

/* Number of GPUs (at most `room` are described); *why says in words why there are none. */
int32_t tn_gpu_probe(tn_gpu *gpus, int32_t room, const char **why);

#endif
