/* fuzz_tokenizer.c - any bytes as a tokenizer.json; where it loads, it must encode and decode.
 *
 * The input's own text serves as the text to encode. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static void use(const tn_tokenizer *t, tn_str text) {
  tn_ids ids = {0};
  tn_strbuf back = {0};
  tn_error err = {0};
  tn_status status = tn_tokenizer_encode(t, text, true, &ids, &err);
  check(status == TN_OK || status == TN_ERR_LIMIT || status == TN_ERR_MEMORY ||
        status == TN_ERR_UNSUPPORTED);
  for (size_t i = 0; i < ids.count; i++)
    check(ids.items[i] >= 0 && ids.items[i] < tn_tokenizer_vocab_size(t));
  if (status == TN_OK)
    check(tn_tokenizer_decode(t, ids.items, ids.count, true, &back, &err) == TN_OK);
  tn_strbuf_clear(&back);
  tn_ids_clear(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t live = tn_alloc_live();
  tn_str text = {(const char *)data, size};
  tn_error err = {0};
  tn_tokenizer *t;
  tn_status status = tn_tokenizer_parse(&t, "fuzz.json", text, &err);
  if (status == TN_OK) {
    if (text.length > 4096) text.length = 4096;
    use(t, text);
    tn_tokenizer_free(t);
  } else {
    check(err.status == status && err.text[0]);
  }
  check(tn_alloc_live() == live);
  return 0;
}
