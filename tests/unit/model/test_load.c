/* SPDX-License-Identifier: Apache-2.0 */
/* Loading: packed int8 weights in parallel, the same answers packed and not, the cache of packed
 * weights (used, out of date, damaged, somewhere else), interruption, failing allocations. */
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/log.h"
#include "base/random.h"
#include "kernels/pack.h"
#include "model/safetensors.h"
#include "model/transformer.h"

static void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

static char folder[] = "/tmp/tenon_load_XXXXXX", elsewhere[] = "/tmp/tenon_load_cache_XXXXXX";
static char weights_path[128], cache_path[160];

static int set_up(void **state) {
  if (!mkdtemp(folder) || !mkdtemp(elsewhere)) return -1;
  snprintf(weights_path, sizeof weights_path, "%s/model.safetensors", folder);
  snprintf(cache_path, sizeof cache_path, "%s/.tenon/packed-%s.safetensors", folder, tn_pack_key());
  tn_log_to(NULL, NULL, TN_LOG_ERROR);
  return 0;
}

static int tear_down(void **state) {
  tn_error err;
  return tn_dir_remove(folder, &err) == TN_OK && tn_dir_remove(elsewhere, &err) == TN_OK ? 0 : -1;
}

/* ---- a model in the form of compressed-tensors, int8 with a scale a row ---- */

static const tn_model_config shape = {.vocab_size = 61,
                                      .hidden_size = 64,
                                      .intermediate_size = 96,
                                      .layers = 2,
                                      .heads = 4,
                                      .kv_heads = 2,
                                      .positions_max = 64,
                                      .bos_id = -1,
                                      .eos_id = -1};

typedef struct parts {
  tn_named_tensor tensors[64];
  char names[64][96];
  tn_buffer *buffers[64];
  int64_t count;
} parts;

static void *add_part(parts *p, const char *name, tn_dtype dtype, int32_t rank,
                      const int64_t *sizes) {
  tn_error err;
  int64_t i = p->count++, bytes = tn_dtype_bytes(dtype);
  for (int32_t d = 0; d < rank; d++) bytes *= sizes[d];
  snprintf(p->names[i], sizeof p->names[i], "%s", name);
  must(tn_buffer_new(&p->buffers[i], (size_t)bytes, &err));
  p->tensors[i].name = p->names[i];
  must(tn_tensor_view(&p->tensors[i].tensor, p->buffers[i], 0, dtype, rank, sizes, &err));
  return p->buffers[i]->data;
}

static void add_weight(parts *p, const tn_parameter *w, uint64_t seed) {
  const int64_t *sizes = w->tensor.shape;
  bool packs = strstr(w->name, "_proj.") != NULL;
  if (!packs) {
    float *values = add_part(p, w->name, TN_F32, w->tensor.rank, sizes);
    memcpy(values, tn_tensor_data(&w->tensor), (size_t)tn_tensor_bytes(&w->tensor));
    return;
  }
  char name[96];
  int8_t *codes = add_part(p, w->name, TN_I8, 2, sizes);
  for (int64_t i = 0; i < sizes[0] * sizes[1]; i++)
    codes[i] = (int8_t)(tn_random_below(seed, (uint64_t)p->count, (uint64_t)i, 255) - 127);
  snprintf(name, sizeof name, "%s_scale", w->name);
  float *scales = add_part(p, name, TN_F32, 2, (const int64_t[]){sizes[0], 1});
  for (int64_t r = 0; r < sizes[0]; r++) scales[r] = 0.002f + 0.0001f * (float)(r % 7);
}

static void write_config(void) {
  tn_error err;
  char path[160];
  tn_strbuf text = {0};
  tn_model_config c = shape;
  must(tn_model_config_check(&c, &err));
  tn_model_config_write(&c, &text);
  while (text.data[text.length - 1] != '}') text.length--;
  text.length--;
  tn_strbuf_add(&text,
                ", \"quantization_config\": {\"quant_method\": \"compressed-tensors\", \"format\": "
                "\"int-quantized\", \"config_groups\": {\"g\": {\"targets\": [\"Linear\"], "
                "\"weights\": {\"num_bits\": 8, \"strategy\": \"channel\"}}}}}");
  must(tn_strbuf_check(&text, &err));
  snprintf(path, sizeof path, "%s/config.json", folder);
  must(tn_file_write_atomic(path, tn_strbuf_view(&text), &err));
  tn_strbuf_clear(&text);
}

static void write_model(uint64_t seed) {
  tn_error err;
  tn_model *m;
  parts p = {0};
  must(tn_model_new(&m, &shape, tn_device_cpu(), &err));
  tn_model_init(m, 7);
  int64_t count;
  const tn_parameter *list = tn_model_parameters(m, &count);
  for (int64_t i = 0; i < count; i++) add_weight(&p, &list[i], seed);
  must(tn_safetensors_write(weights_path, p.tensors, p.count, NULL, 0, &err));
  write_config();
  for (int64_t i = 0; i < p.count; i++) tn_buffer_drop(p.buffers[i]);
  tn_model_free(m);
}

/* ---- what a model answers ---- */

enum { ROWS = 5, VOCAB = 61 };

static void answer(tn_model *m, float out[ROWS * VOCAB]) {
  tn_error err;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *f;
  must(tn_stream_open(tn_device_cpu(), NULL, &stream, &err));
  must(tn_kv_cache_new(&kv, m, TN_F32, 1, 16, &err));
  must(tn_forward_new(&f, m, stream, ROWS, ROWS, 1, 1, &err));
  const int32_t ids[ROWS] = {3, 60, 7, 7, 21}, places[ROWS] = {0, 1, 2, 3, 4}, zeros[ROWS] = {0},
                table[1] = {0};
  const tn_forward_batch b = {ROWS, ids, places, zeros, places, 1, 1, table, ROWS, places};
  const float *logits;
  must(tn_forward_run(f, kv, &b, &logits, &err));
  memcpy(out, logits, ROWS * VOCAB * sizeof(float));
  tn_forward_free(f);
  tn_kv_cache_free(kv);
  tn_stream_close(stream);
}

static void answer_of(const tn_model_options *options, float out[ROWS * VOCAB]) {
  tn_error err;
  tn_model *m;
  must(tn_model_open_with(&m, folder, tn_device_cpu(), options, &err));
  answer(m, out);
  tn_model_free(m);
}

static int64_t packed_count(const tn_model_options *options) {
  tn_error err;
  tn_model *m;
  must(tn_model_open_with(&m, folder, tn_device_cpu(), options, &err));
  int64_t count, packed = 0, bytes = tn_model_weight_bytes(m);
  const tn_parameter *p = tn_model_parameters(m, &count);
  for (int64_t i = 0; i < count; i++) packed += p[i].tensor.layout == TN_LAYOUT_PANELS;
  assert_true(bytes > 2 * (64 * 96 * 3) + 2 * 61 * 64 * 4);
  tn_model_free(m);
  return packed;
}

static void test_packed_and_parallel(void **state) {
  tn_error err;
  tn_pool *pool;
  must(tn_pool_new(&pool, 3, &err));
  write_model(1);
  float plain[ROWS * VOCAB], packed[ROWS * VOCAB];
  answer_of(&(tn_model_options){0}, plain);
  answer_of(&(tn_model_options){.packed = true}, packed);
  assert_memory_equal(plain, packed, sizeof plain);
  answer_of(&(tn_model_options){.pool = pool, .packed = true}, packed);
  assert_memory_equal(plain, packed, sizeof plain);
  answer_of(&(tn_model_options){.pool = pool}, packed);
  assert_memory_equal(plain, packed, sizeof plain);
  assert_int_equal(packed_count(&(tn_model_options){.pool = pool, .packed = true}), 16);
  assert_int_equal(packed_count(&(tn_model_options){.pool = pool}), 0);
  assert_false(tn_file_exists(cache_path));
  tn_pool_free(pool);
}

/* ---- the cache ---- */

static const tn_model_options caching = {.packed = true, .cached = true, .cache_bytes_min = 1};

/* Other weights of the same size under the old time. */
static void exchange_unseen(uint64_t seed) {
  struct stat st;
  assert_int_equal(stat(weights_path, &st), 0);
  usleep(20000); /* times of change have the grain of the kernel's clock */
  write_model(seed);
  const struct timespec times[2] = {st.st_atim, st.st_mtim};
  assert_int_equal(utimensat(AT_FDCWD, weights_path, times, 0), 0);
}

/* Puts the packed weights of another cache into the one at `path`, which keeps saying of which
 * files it is: whoever uses it answers with the other weights. */
static void put_weights(const char *path, const char *other) {
  static char keys[64][128];
  const char *const always[] = {"tenon.identity", "tenon.content"};
  const char *metadata[2 * 64];
  char *values[64];
  tn_named_tensor tensors[64];
  tn_error err;
  tn_safetensors *from, *to;
  must(tn_safetensors_open(&from, other, &err));
  must(tn_safetensors_open(&to, path, &err));
  int64_t count = tn_safetensors_count(from), pairs = count + 2;
  assert_in_range(count, 1, 62);
  for (int64_t i = 0; i < count; i++) {
    tn_str name;
    tn_safetensors_at(from, i, &name, &tensors[i].tensor);
    snprintf(keys[i], sizeof keys[i], "tenon.type:%.*s", TN_STR_ARG(name));
    tensors[i].name = keys[i] + strlen("tenon.type:");
  }
  for (int64_t i = 0; i < pairs; i++) {
    metadata[2 * i] = i < count ? keys[i] : always[i - count];
    tn_str value = tn_safetensors_metadata(to, metadata[2 * i]);
    metadata[2 * i + 1] = values[i] = strndup(value.data, value.length);
  }
  must(tn_safetensors_write(path, tensors, count, metadata, (int32_t)pairs, &err));
  for (int64_t i = 0; i < pairs; i++) free(values[i]);
  tn_safetensors_close(from);
  tn_safetensors_close(to);
}

static void keep_copy(const char *path, char *copy, size_t copy_bytes) {
  tn_error err;
  tn_strbuf text = {0};
  snprintf(copy, copy_bytes, "%s.kept", path);
  must(tn_file_read(path, 0, &text, &err));
  must(tn_file_write_atomic(copy, tn_strbuf_view(&text), &err));
  tn_strbuf_clear(&text);
}

static void test_cache_is_used_until_files_change(void **state) {
  float first[ROWS * VOCAB], other[ROWS * VOCAB], got[ROWS * VOCAB];
  char kept[192];
  write_model(2);
  answer_of(&(tn_model_options){0}, other);
  write_model(1);
  answer_of(&caching, first);
  assert_true(tn_file_exists(cache_path));
  assert_memory_not_equal(first, other, sizeof first);
  keep_copy(cache_path, kept, sizeof kept);
  exchange_unseen(2);
  answer_of(&caching, got);
  assert_memory_equal(got, other, sizeof got); /* other weights under the old time are seen */
  put_weights(cache_path, kept);
  answer_of(&caching, got);
  assert_memory_equal(got, first, sizeof got); /* from the cache */
  answer_of(&(tn_model_options){.packed = true}, got);
  assert_memory_equal(got, other, sizeof got); /* without it */
  write_model(2);
  answer_of(&caching, got);
  assert_memory_equal(got, first, sizeof got); /* other files, the same content: from the cache */
  write_model(8);
  answer_of(&caching, got);
  answer_of(&(tn_model_options){0}, other);
  assert_memory_equal(got, other, sizeof got); /* it was made anew */
  unlink(kept);
}

static void test_damaged_cache(void **state) {
  tn_error err;
  tn_strbuf file = {0};
  float want[ROWS * VOCAB], got[ROWS * VOCAB];
  write_model(3);
  answer_of(&caching, want);
  must(tn_file_read(cache_path, 0, &file, &err));
  for (size_t at = 0; at < file.length; at += file.length / 40) {
    file.data[at] ^= 0x20;
    must(tn_file_write_atomic(cache_path, tn_strbuf_view(&file), &err));
    answer_of(&caching, got);
    assert_memory_equal(got, want, sizeof got);
    file.data[at] ^= 0x20;
  }
  must(tn_file_write_atomic(cache_path, (tn_str){file.data, file.length / 2}, &err));
  answer_of(&caching, got);
  assert_memory_equal(got, want, sizeof got);
  tn_strbuf again = {0};
  must(tn_file_read(cache_path, 0, &again, &err));
  assert_int_equal(again.length, file.length);
  assert_memory_equal(again.data, file.data, file.length);
  tn_strbuf_clear(&again);
  tn_strbuf_clear(&file);
}

static void test_small_models_are_not_kept(void **state) {
  tn_error err;
  char beside[160];
  float got[ROWS * VOCAB];
  snprintf(beside, sizeof beside, "%s/.tenon", folder);
  must(tn_dir_remove(beside, &err));
  answer_of(&(tn_model_options){.packed = true, .cached = true}, got);
  assert_false(tn_file_exists(cache_path));
}

static void find_elsewhere(char *path, size_t bytes) {
  glob_t found;
  snprintf(path, bytes, "%s/*-%s.safetensors", elsewhere, tn_pack_key());
  assert_int_equal(glob(path, 0, NULL, &found), 0);
  assert_int_equal(found.gl_pathc, 1);
  snprintf(path, bytes, "%s", found.gl_pathv[0]);
  globfree(&found);
}

/* A folder that cannot be made (root may write anywhere, so a file is in its way). */
static void test_cache_elsewhere(void **state) {
  tn_error err;
  char beside[160], command[256];
  float want[ROWS * VOCAB], got[ROWS * VOCAB];
  write_model(4);
  answer_of(&(tn_model_options){0}, want);
  snprintf(beside, sizeof beside, "%s/.tenon", folder);
  must(tn_file_write_atomic(beside, TN_STR("in the way"), &err));
  answer_of(&caching, got); /* cannot be kept: no error */
  assert_memory_equal(got, want, sizeof got);
  tn_model_options options = caching;
  options.cache_folder = elsewhere;
  answer_of(&options, got);
  snprintf(command, sizeof command, "ls %s/*-%s.safetensors >/dev/null", elsewhere, tn_pack_key());
  assert_int_equal(system(command), 0);
  char path[192], kept[200];
  find_elsewhere(path, sizeof path);
  keep_copy(path, kept, sizeof kept);
  write_model(5);
  answer_of(&options, got);
  put_weights(path, kept);
  answer_of(&options, got);
  assert_memory_equal(got, want, sizeof got);
  assert_int_equal(unlink(beside), 0);
}

/* ---- what may go wrong ---- */

static bool stop_at_once(void *context, const tn_progress *p, bool last) {
  ++*(int *)context;
  assert_true(p->done <= p->total);
  return false;
}

static bool count_whole(void *context, const tn_progress *p, bool last) {
  if (last) *(int *)context += p->done == p->total;
  return true;
}

/* Whichever thread loads the last weight. */
static void test_progress_ends_at_its_total(void **state) {
  enum { OPENINGS = 60 };
  tn_error err;
  tn_pool *pool;
  int whole = 0;
  must(tn_pool_new(&pool, 3, &err));
  write_model(1);
  for (int i = 0; i < OPENINGS; i++) {
    tn_model *m;
    tn_progress progress = {.show = count_whole, .context = &whole};
    const tn_model_options options = {.pool = pool, .progress = &progress, .packed = true};
    must(tn_model_open_with(&m, folder, tn_device_cpu(), &options, &err));
    tn_model_free(m);
  }
  tn_pool_free(pool);
  assert_int_equal(whole, OPENINGS);
}

static void test_interrupted(void **state) {
  tn_error err = {0};
  tn_model *m = NULL;
  int calls = 0;
  write_model(1);
  tn_progress progress = {.show = stop_at_once, .context = &calls, .every_us = 1};
  const tn_model_options options = {.progress = &progress, .packed = true};
  assert_int_equal(tn_model_open_with(&m, folder, tn_device_cpu(), &options, &err),
                   TN_ERR_INTERRUPTED);
  assert_true(calls > 0);
  assert_null(m);
}

/* The first weight that is wrong is named, whichever thread met another one before. */
static void test_first_error_is_named(void **state) {
  tn_error err = {0};
  tn_pool *pool;
  tn_model *m = NULL;
  tn_strbuf file = {0};
  must(tn_pool_new(&pool, 4, &err));
  write_model(1);
  must(tn_file_read(weights_path, 0, &file, &err));
  char *at = strstr(file.data + 8, "},\"model."); /* without checksums: they would tell first */
  assert_non_null(at);
  size_t behind = file.length - (size_t)(at + 1 - file.data);
  uint64_t header, cut = (uint64_t)(at + 1 - file.data) - 8;
  memcpy(&header, file.data, 8);
  file.data[8 + cut] = '{';
  header -= cut;
  memmove(file.data + 8, file.data + 8 + cut, behind + 1);
  memcpy(file.data, &header, 8);
  for (char *s = file.data + 8; (s = strstr(s, ".mlp.up_proj.weight\"")); s++)
    memcpy(s, ".mlp.xx_proj.weight\"", 20);
  must(tn_file_write_atomic(weights_path, (tn_str){file.data, 8 + behind}, &err));
  for (int i = 0; i < 20; i++) {
    const tn_model_options options = {.pool = pool, .packed = true};
    assert_int_equal(tn_model_open_with(&m, folder, tn_device_cpu(), &options, &err),
                     TN_ERR_NOT_FOUND);
    if (!strstr(err.text, "model.layers.0.mlp.up_proj.weight")) fail_msg("%s", err.text);
  }
  tn_strbuf_clear(&file);
  tn_pool_free(pool);
}

static void test_failing_allocations(void **state) {
  tn_error err = {0};
  char beside[160];
  write_model(6);
  snprintf(beside, sizeof beside, "%s/.tenon", folder);
  int64_t live = tn_alloc_live();
  int failures = 0;
  for (int warm = 0; warm < 2; warm++)
    for (int64_t n = 1;; n++) {
      tn_model *m = NULL;
      if (!warm && tn_dir_exists(beside)) must(tn_dir_remove(beside, &err));
      tn_alloc_fail_at(n);
      tn_status status = tn_model_open_with(&m, folder, tn_device_cpu(), &caching, &err);
      tn_alloc_fail_at(0);
      tn_model_free(m);
      assert_int_equal(tn_alloc_live(), live);
      if (status == TN_OK) break;
      assert_int_equal(status, TN_ERR_MEMORY);
      failures++;
    }
  assert_true(failures > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_packed_and_parallel),
      cmocka_unit_test(test_cache_is_used_until_files_change),
      cmocka_unit_test(test_damaged_cache),
      cmocka_unit_test(test_small_models_are_not_kept),
      cmocka_unit_test(test_cache_elsewhere),
      cmocka_unit_test(test_progress_ends_at_its_total),
      cmocka_unit_test(test_interrupted),
      cmocka_unit_test(test_first_error_is_named),
      cmocka_unit_test(test_failing_allocations),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
