/* fuzz_variant.c - any bytes as Variant metadata and value: one byte of length, the metadata, the
 * value. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "columns/parquet/variant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0 || data[0] >= size) return 0;
  tn_str metadata = {(const char *)data + 1, data[0]};
  tn_str value = {metadata.data + metadata.length, size - 1 - metadata.length};
  tn_error err = {0};
  tn_variant_names names;
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_json *json = NULL;
  if (tn_variant_names_open(&names, metadata, &err) == TN_OK) {
    tn_status checked = tn_variant_check(&names, value, NULL);
    if (tn_variant_json(&w, &names, value, &err) != checked) abort();
    if (checked != TN_OK && err.text[0] == '\0') abort(); /* an error without words */
    if (checked == TN_OK && !text.failed) {
      tn_arena arena = {.limit_bytes = 64 << 20};
      tn_status parsed = tn_json_parse(&json, &arena, tn_strbuf_view(&text), NULL, &err);
      if (parsed != TN_OK && parsed != TN_ERR_LIMIT && !arena.failed) abort();
      tn_arena_clear(&arena);
    }
  }
  tn_strbuf_clear(&text);
  return 0;
}
