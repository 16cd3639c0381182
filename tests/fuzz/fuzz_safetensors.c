/* fuzz_safetensors.c - whatever opens has tensors that lie inside the file, each under its name.
 *
 * The reader maps files, so each input becomes one without a disk (memfd). */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static int put_file(char path[64], const uint8_t *data, size_t size) {
  int fd = memfd_create("fuzz.safetensors", 0);
  check(fd >= 0);
  for (size_t at = 0; at < size;) {
    ssize_t wrote = write(fd, data + at, size - at);
    check(wrote > 0);
    at += (size_t)wrote;
  }
  snprintf(path, 64, "/proc/self/fd/%d", fd);
  return fd;
}

static uint64_t sum_bytes(const tn_tensor *t) {
  const volatile uint8_t *bytes = tn_tensor_data(t);
  uint64_t sum = 0;
  for (int64_t i = 0; i < tn_tensor_bytes(t); i++) sum += bytes[i];
  return sum;
}

/* Every tensor is reachable under its name, and its bytes lie inside the file. */
static int64_t read_all(const tn_safetensors *f, size_t size) {
  int64_t bytes = 0, count = tn_safetensors_count(f);
  for (int64_t i = 0; i < count; i++) {
    tn_str name;
    tn_tensor t, found;
    tn_safetensors_at(f, i, &name, &t);
    check(tn_tensor_bytes(&t) >= 0 && t.offset_bytes + tn_tensor_bytes(&t) <= (int64_t)size);
    sum_bytes(&t);
    bytes += tn_tensor_bytes(&t);
    if (memchr(name.data, '\0', name.length)) continue;
    char *text = tn_strndup(name.data, name.length);
    check(tn_safetensors_get(f, text, &found, NULL) == TN_OK);
    check(found.offset_bytes == t.offset_bytes && found.dtype == t.dtype);
    tn_free(text);
  }
  check(bytes <= (int64_t)size);
  return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  int fd = put_file(path, data, size);
  int64_t live = tn_alloc_live();
  tn_safetensors *f = NULL;
  tn_error err = {0};
  tn_status status = tn_safetensors_open(&f, path, &err);
  if (status == TN_OK) {
    read_all(f, size);
    status = tn_safetensors_verify(f, &err);
    check(status == TN_OK || status == TN_ERR_CHECKSUM);
    tn_safetensors_metadata(f, "format");
  }
  check(status == TN_OK || (err.status == status && err.text[0]));
  tn_safetensors_close(f);
  check(tn_alloc_live() == live);
  close(fd);
  return 0;
}
