/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mapped.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { MAPPINGS = 256, PATH_BYTES = 240 };

/* Filled under the lock, start last; a signal handler, which may take no lock, sees whole ones. */
static struct mapping {
  _Atomic uintptr_t start; /* 0: free */
  size_t bytes;
  char path[PATH_BYTES]; /* of a long one the end */
} mappings[MAPPINGS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fill(struct mapping *m, const void *data, size_t bytes, const char *path) {
  size_t length = strlen(path);
  if (length >= PATH_BYTES) path += length - (PATH_BYTES - 1);
  memcpy(m->path, path, strlen(path) + 1);
  m->bytes = bytes;
  atomic_store(&m->start, (uintptr_t)data);
}

void tn_mapped_note(const void *data, size_t bytes, const char *path) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MAPPINGS; i++)
    if (atomic_load(&mappings[i].start) == 0) {
      fill(&mappings[i], data, bytes, path);
      break;
    }
  pthread_mutex_unlock(&lock);
}

void tn_mapped_forget(const void *data) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MAPPINGS; i++)
    if (atomic_load(&mappings[i].start) == (uintptr_t)data) atomic_store(&mappings[i].start, 0);
  pthread_mutex_unlock(&lock);
}

const char *tn_mapped_path(const void *at) {
  for (int i = 0; i < MAPPINGS; i++) {
    uintptr_t start = atomic_load(&mappings[i].start);
    if (start && (uintptr_t)at >= start && (uintptr_t)at - start < mappings[i].bytes)
      return mappings[i].path;
  }
  return NULL;
}
