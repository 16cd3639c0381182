/* fuzz_gguf.c - whatever opens has tensors that lie inside the file, each under its name, and
 * values whose every item can be read.
 *
 * The reader maps files, so each input becomes one without a disk (memfd). */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "model/gguf.h"
#include "model/weight_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static int put_file(char path[64], const uint8_t *data, size_t size) {
  int fd = memfd_create("fuzz.gguf", 0);
  check(fd >= 0);
  for (size_t at = 0; at < size;) {
    ssize_t wrote = write(fd, data + at, size - at);
    check(wrote > 0);
    at += (size_t)wrote;
  }
  snprintf(path, 64, "/proc/self/fd/%d", fd);
  return fd;
}

static void read_tensors(const tn_gguf *f, size_t size) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < tn_gguf_count(f); i++) {
    tn_str name;
    tn_tensor t, found;
    tn_gguf_at(f, i, &name, &t);
    int64_t n = tn_tensor_bytes(&t);
    check(n >= 0 && t.offset_bytes + n <= (int64_t)size);
    const volatile uint8_t *at = tn_tensor_data(&t);
    for (int64_t k = 0; k < n; k++) (void)at[k];
    bytes += n;
    check(tn_gguf_get(f, name.data, &found, NULL) == TN_OK);
    check(found.offset_bytes == t.offset_bytes && found.dtype == t.dtype);
  }
  check(bytes <= (int64_t)size);
}

static void read_value(const tn_gguf_value *v) {
  int64_t whole;
  double number;
  volatile char last = 0;
  for (int64_t i = 0; i < v->count; i++) {
    tn_gguf_item_i64(v, i, &whole);
    tn_gguf_item_f64(v, i, &number);
    if (v->kind == TN_GGUF_ARRAY) read_value(&v->arrays[i]);
    if (v->kind == TN_GGUF_STRING)
      for (size_t k = 0; k < v->strings[i].length; k++) last = v->strings[i].data[k];
  }
  (void)last;
  check(!tn_gguf_item_i64(v, v->count, &whole) && !tn_gguf_item_f64(v, -1, &number));
}

static void read_values(const tn_gguf *f) {
  for (int64_t i = 0; i < tn_gguf_value_count(f); i++) {
    const tn_gguf_value *v = tn_gguf_value_at(f, i), *array;
    int64_t whole = 0;
    tn_error err = {0};
    read_value(v);
    check(tn_gguf_find(f, v->key.data) == v);
    tn_status status = tn_gguf_get_i64(f, v->key.data, -5, 5, &whole, &err);
    check(status == TN_OK ? whole >= -5 && whole <= 5 : err.text[0] != 0);
    if (tn_gguf_get_array(f, v->key.data, TN_GGUF_F64, &array, &err) == TN_OK)
      for (int64_t k = 0; k < array->count; k++) {
        double number;
        check(tn_gguf_item_f64(array, k, &number));
      }
  }
}

/* The model that the metadata describes: a config.json that parses, and weights under its names. */
static void read_model(const char *path) {
  static const char *const names[] = {
      "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
      "model.layers.0.input_layernorm.weight",
      "model.layers.0.block_sparse_moe.experts.1.w1.weight", "h.0.attn.c_attn.weight"};
  tn_weight_source *source = NULL;
  tn_error err = {0};
  tn_status status = tn_weight_source_open(&source, path, NULL, &err);
  check(status == TN_OK || (err.status == status && err.text[0]));
  if (status != TN_OK) return;
  tn_arena arena = {0};
  tn_json *root;
  check(tn_json_parse(&root, &arena, tn_weight_source_config(source, NULL), NULL, &err) == TN_OK);
  tn_arena_clear(&arena);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    tn_weight w = {0};
    if (tn_weight_source_find(source, names[i], &w, &err) != TN_OK) continue;
    const volatile uint8_t *at = tn_tensor_data(&w.tensor);
    for (int64_t k = 0; k < tn_tensor_bytes(&w.tensor); k++) (void)at[k];
    tn_weight_clear(&w);
  }
  tn_weight_source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  int fd = put_file(path, data, size);
  int64_t live = tn_alloc_live();
  tn_gguf *f = NULL;
  tn_error err = {0};
  tn_status status = tn_gguf_open(&f, path, &err);
  if (status == TN_OK) {
    read_tensors(f, size);
    read_values(f);
    read_model(path);
  }
  check(status == TN_OK || (err.status == status && err.text[0]));
  tn_gguf_close(f);
  check(tn_alloc_live() == live);
  close(fd);
  return 0;
}
