/* fuzz_config.c - whatever config.json is taken makes a list of parameters that adds up, and is
 * written as a file that is taken again and says the same. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "model/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static void no_log(void *context, tn_log_level level, const char *room, const char *text) {}

static void check_list(const tn_model_config *config) {
  tn_model *m;
  tn_error err = {0};
  int64_t count, sum = 0;
  if (config->layers > 64 || config->experts > 64) return;
  check(tn_model_new_shapes(&m, config, tn_device_cpu(), &err) == TN_OK);
  const tn_parameter *p = tn_model_parameters(m, &count);
  for (int64_t i = 0; i < count; i++) sum += tn_tensor_count(&p[i].tensor);
  check(sum == tn_model_config_parameters(config));
  tn_model_free(m);
}

static void check_written(const tn_model_config *config) {
  tn_model_config back;
  tn_error err = {0};
  tn_strbuf once = {0}, twice = {0};
  tn_model_config_write(config, &once);
  tn_status status = tn_model_config_parse(&back, tn_strbuf_view(&once), "written", true, &err);
  if (status != TN_OK) fprintf(stderr, "%s\n%s\n", err.text, once.data);
  check(status == TN_OK);
  tn_model_config_write(&back, &twice);
  if (!tn_str_equal(tn_strbuf_view(&once), tn_strbuf_view(&twice)))
    fprintf(stderr, "%s\n%s\n", once.data, twice.data);
  check(tn_str_equal(tn_strbuf_view(&once), tn_strbuf_view(&twice)));
  check(tn_model_config_parameters(&back) == tn_model_config_parameters(config));
  check(back.positions_max == config->positions_max && back.rotary_dim == config->rotary_dim);
  tn_strbuf_clear(&once);
  tn_strbuf_clear(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t live = tn_alloc_live();
  tn_model_config config;
  tn_error err = {0};
  tn_str text = {(const char *)data, size};
  tn_log_to(no_log, NULL, TN_LOG_WARN);
  tn_status status = tn_model_config_parse(&config, text, "fuzz", false, &err);
  if (status == TN_OK) {
    check_list(&config);
    check_written(&config);
    tn_model_config changed = config;
    if (tn_model_config_parse_generation(&changed, text, "fuzz", &err) == TN_OK)
      check_written(&changed);
  } else {
    check(err.status == status && err.text[0] && tn_utf8_valid(tn_str_of(err.text)));
  }
  check(tn_alloc_live() == live);
  return 0;
}
