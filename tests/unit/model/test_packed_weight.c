/* SPDX-License-Identifier: Apache-2.0 */
/* Packed weights in C alone: GPTQ with an order of columns and AWQ, each code where it belongs;
 * what configurations are refused; every allocation failing in turn.  Against the packages that
 * define the formats: tests/peers/test_weights.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/io.h"
#include "model/quant_config.h"
#include "model/safetensors.h"
#include "model/weight_source.h"

static void must_at(int line, tn_status status, const tn_error *err) {
  if (status != TN_OK) fail_msg("line %d: %s: %s", line, tn_status_text(status), err->text);
}
#define must(expr) must_at(__LINE__, (expr), &err)

static char folder[] = "/tmp/tenon_packed_XXXXXX";

static int set_up(void **state) {
  return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
  tn_error err;
  return tn_dir_remove(folder, &err) == TN_OK ? 0 : -1;
}

enum { IN = 64, OUT = 16, GROUP = 32, GROUPS = IN / GROUP };

/* Of row n and column k; group g: all different enough to be told apart. */
static uint32_t code(int n, int k) {
  return (uint32_t)(n * 7 + k * 3 + k / 16) % 16;
}
static uint32_t zero(int n, int g) {
  return (uint32_t)(n + 5 * g) % 15 + 1;
}
static float scale(int n, int g) {
  return 0.5f + 0.25f * (float)n + 8 * (float)g;
}

typedef struct file {
  uint32_t qweight[IN * OUT / 8], qzeros[GROUPS * OUT / 8];
  float scales[GROUPS * OUT];
  int32_t g_idx[IN];
} file;

static void put_config(const char *quantization) {
  tn_error err;
  char path[128], text[512];
  snprintf(path, sizeof path, "%s/config.json", folder);
  snprintf(text, sizeof text, "{\"quantization_config\": {%s}}", quantization);
  must(tn_file_write_atomic(path, tn_str_of(text), &err));
}

static void put_tensors(file *f, const int64_t qweight[2], bool ordered) {
  tn_error err;
  char path[128];
  const int64_t zeros[2] = {GROUPS, OUT / 8}, scales[2] = {GROUPS, OUT}, index[1] = {IN};
  tn_buffer *buffer;
  must(tn_buffer_wrap(&buffer, f, sizeof *f, NULL, NULL, NULL, &err));
  tn_named_tensor t[4] = {
      {.name = "m.qweight"}, {.name = "m.qzeros"}, {.name = "m.scales"}, {.name = "m.g_idx"}};
  must(tn_tensor_view(&t[0].tensor, buffer, offsetof(file, qweight), TN_I32, 2, qweight, &err));
  must(tn_tensor_view(&t[1].tensor, buffer, offsetof(file, qzeros), TN_I32, 2, zeros, &err));
  must(tn_tensor_view(&t[2].tensor, buffer, offsetof(file, scales), TN_F32, 2, scales, &err));
  must(tn_tensor_view(&t[3].tensor, buffer, offsetof(file, g_idx), TN_I32, 1, index, &err));
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  must(tn_safetensors_write(path, t, ordered ? 4 : 3, NULL, 0, &err));
  tn_buffer_drop(buffer);
}

/* Column k belongs to group k % 2, so that no block of the file's order has one scale. */
static void write_gptq(void) {
  file f = {0};
  for (int k = 0; k < IN; k++) f.g_idx[k] = k % GROUPS;
  for (int n = 0; n < OUT; n++) {
    for (int k = 0; k < IN; k++) f.qweight[k / 8 * OUT + n] |= code(n, k) << 4 * (k % 8);
    for (int g = 0; g < GROUPS; g++) {
      f.qzeros[g * OUT / 8 + n / 8] |= (zero(n, g) - 1) << 4 * (n % 8);
      f.scales[g * OUT + n] = scale(n, g);
    }
  }
  put_tensors(&f, (const int64_t[]){IN / 8, OUT}, true);
  put_config("\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 32, \"desc_act\": true");
}

static void write_awq(void) {
  static const int order[8] = {0, 2, 4, 6, 1, 3, 5, 7}; /* nibble i holds this column of 8 */
  file f = {0};
  for (int word = 0; word < OUT / 8; word++)
    for (int i = 0; i < 8; i++) {
      int n = word * 8 + order[i];
      for (int k = 0; k < IN; k++) f.qweight[k * OUT / 8 + word] |= code(n, k) << 4 * i;
      for (int g = 0; g < GROUPS; g++) {
        f.qzeros[g * OUT / 8 + word] |= zero(n, g) << 4 * i;
        f.scales[g * OUT + n] = scale(n, g);
      }
    }
  put_tensors(&f, (const int64_t[]){IN, OUT / 8}, false);
  put_config("\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 32, \"version\": \"gemm\"");
}

static tn_status read_weight(tn_weight *out, float values[OUT * IN], tn_error *err) {
  tn_weight_source *source = NULL;
  *out = (tn_weight){0};
  TN_TRY(tn_weight_source_open(&source, folder, NULL, err));
  tn_status status = tn_weight_source_find(source, "m.weight", out, err);
  if (status == TN_OK) tn_weight_to_f32(out, values);
  int64_t place = 0;
  tn_str name;
  const char *path;
  if (status == TN_OK && tn_weight_source_unused(source, &place, &name, &path))
    status = tn_fail(err, TN_ERR_DATA, "%.*s is not used", TN_STR_ARG(name));
  tn_weight_source_close(source);
  return status;
}

static void check_values(const float values[OUT * IN], bool by_turns) {
  for (int n = 0; n < OUT; n++)
    for (int k = 0; k < IN; k++) {
      int g = by_turns ? k % GROUPS : k / GROUP;
      float want = scale(n, g) * ((float)code(n, k) - (float)zero(n, g));
      if (values[n * IN + k] != want)
        fail_msg("row %d column %d is %g, not %g", n, k, (double)values[n * IN + k], (double)want);
    }
}

static void test_gptq_with_an_order(void **state) {
  tn_error err;
  tn_weight w;
  float values[OUT * IN];
  write_gptq();
  must(read_weight(&w, values, &err));
  assert_int_equal(w.tensor.dtype, TN_I4_G32);
  assert_true(w.out_in && w.order.buffer && w.order.shape[0] == IN);
  const int32_t *order = tn_tensor_data(&w.order);
  for (int k = 0; k < IN; k++) assert_int_equal(order[k], k % GROUP * GROUPS + k / GROUP);
  check_values(values, true);
  tn_weight_clear(&w);
}

static void test_awq(void **state) {
  tn_error err;
  tn_weight w;
  float values[OUT * IN];
  write_awq();
  must(read_weight(&w, values, &err));
  assert_int_equal(w.tensor.dtype, TN_I4_G32);
  assert_null(w.order.buffer);
  check_values(values, false);
  tn_weight_clear(&w);
}

static void test_failing_allocations(void **state) {
  tn_error err;
  tn_weight w;
  float values[OUT * IN];
  int64_t live = tn_alloc_live();
  int failures = 0;
  for (int awq = 0; awq < 2; awq++) {
    awq ? write_awq() : write_gptq();
    for (int64_t n = 1;; n++) {
      tn_alloc_fail_at(n);
      tn_status status = read_weight(&w, values, &err);
      tn_alloc_fail_at(0);
      tn_weight_clear(&w);
      assert_int_equal(tn_alloc_live(), live);
      if (status == TN_OK) break;
      assert_int_equal(status, TN_ERR_MEMORY);
      failures++;
    }
  }
  assert_true(failures > 40);
}

static void test_configurations(void **state) {
  static const struct {
    const char *quantization;
    tn_status status;
    const char *words;
  } cases[] = {
      {"\"quant_method\": \"gptq\", \"bits\": 8, \"group_size\": 128", TN_OK,
       "GPTQ, 8 bits, groups of 128"},
      {"\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": -1", TN_OK,
       "AWQ, 4 bits, a scale a row"},
      {"\"quant_method\": \"fp8\", \"weight_block_size\": [128, 64]", TN_OK,
       "float8, 8 bits, blocks of 128 x 64"},
      {"\"quant_method\": \"compressed-tensors\", \"config_groups\": {\"a\": {\"weights\": "
       "{\"num_bits\": 4, \"group_size\": 32}}, \"b\": {\"weights\": {\"num_bits\": 8}}}",
       TN_OK, "compressed-tensors, 4 and 8 bits, groups of 32"},
      {"\"quant_method\": \"hqq\"", TN_ERR_UNSUPPORTED, "\"hqq\""},
      {"\"bits\": 4", TN_ERR_UNSUPPORTED, "quant_method \"\""},
      {"\"quant_method\": \"gptq\", \"bits\": \"four\"", TN_ERR_DATA, "bits"},
      {"\"quant_method\": \"gptq\", \"bits\": 6", TN_ERR_UNSUPPORTED, "6 bits"},
      {"\"quant_method\": \"gptq\", \"group_size\": -7", TN_ERR_DATA, "group_size"},
      {"\"quant_method\": \"awq\", \"bits\": 4, \"group_size\": 0", TN_ERR_DATA, "group_size is 0"},
      {"\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 0", TN_ERR_DATA,
       "group_size is 0"},
      {"\"quant_method\": \"awq\", \"zero_point\": false", TN_ERR_UNSUPPORTED, "zero points"},
      {"\"quant_method\": \"fp8\", \"weight_block_size\": [128]", TN_ERR_DATA, "two sizes"},
      {"\"quant_method\": \"fp8\", \"weight_block_size\": [128, 0]", TN_ERR_DATA, "two sizes"},
      {"\"quant_method\": \"compressed-tensors\"", TN_ERR_DATA, "config_groups"},
      {"\"quant_method\": \"compressed-tensors\", \"config_groups\": {}, \"sparsity_config\": "
       "{\"format\": \"sparse-24-bitmask\"}",
       TN_ERR_UNSUPPORTED, "sparse-24-bitmask"},
      {"\"quant_method\": \"compressed-tensors\", \"config_groups\": {}, \"kv_cache_scheme\": "
       "{\"num_bits\": 8, \"type\": \"float\"}",
       TN_OK, "KV cache fp8"},
      {"\"quant_method\": \"compressed-tensors\", \"config_groups\": {}, \"kv_cache_scheme\": "
       "{\"num_bits\": 8, \"type\": \"int\"}",
       TN_OK, "KV cache int8"},
      {"\"quant_method\": \"compressed-tensors\", \"config_groups\": {}, \"kv_cache_scheme\": "
       "{\"num_bits\": 4, \"type\": \"float\"}",
       TN_ERR_UNSUPPORTED, "kv_cache_scheme: 4 bits of type \"float\""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    tn_error err = {0};
    tn_quant_config q;
    tn_strbuf text = {0}, said = {0};
    tn_strbuf_addf(&text, "{\"quantization_config\": {%s}}", cases[i].quantization);
    tn_status status = tn_quant_config_parse(&q, tn_strbuf_view(&text), "c.json", &err);
    if (status == TN_OK) tn_quant_config_describe(&q, &said);
    const char *got = status == TN_OK ? said.data : err.text;
    if (status != cases[i].status || !strstr(got, cases[i].words))
      fail_msg("%s: %s: %s", cases[i].quantization, tn_status_text(status), got);
    if (status != TN_OK) assert_non_null(strstr(got, "c.json: "));
    tn_strbuf_clear(&text);
    tn_strbuf_clear(&said);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gptq_with_an_order),
      cmocka_unit_test(test_awq),
      cmocka_unit_test(test_failing_allocations),
      cmocka_unit_test(test_configurations),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
