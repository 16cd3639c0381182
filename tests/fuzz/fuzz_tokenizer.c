/* fuzz_tokenizer.c - any bytes as a tokenizer.json, a SentencePiece model or a GGUF vocabulary;
 * where it loads, it must encode and decode.
 *
 * The input's own text serves as the text to encode. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/tokenizer.h"
#include "model/tokenizer_foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) abort();
}

static bool is_refusal(tn_status status) {
  return status == TN_ERR_LIMIT || status == TN_ERR_MEMORY || status == TN_ERR_UNSUPPORTED ||
         status == TN_ERR_DATA;
}

static void decode(const tn_tokenizer *t, const tn_ids *ids, bool keep) {
  tn_strbuf back = {0};
  tn_error err = {0};
  tn_status status = tn_tokenizer_decode(t, ids->items, ids->count, keep, &back, &err);
  check(status == TN_OK || is_refusal(status));
  tn_strbuf_clear(&back);
}

static void use(const tn_tokenizer *t, tn_str text) {
  tn_encoding batch[2] = {{{0}}};
  tn_error err = {0};
  const tn_encode_options options = {.parse_special = true, .add_special = true, .truncate = true};
  tn_str pair = {text.data, text.length / 2};
  for (int i = 0; i < 2; i++) {
    tn_status status =
        tn_tokenizer_encode_input(t, text, i ? &pair : NULL, &options, &batch[i], &err);
    check(status == TN_OK || is_refusal(status));
    tn_ids *ids = &batch[i].ids;
    check(batch[i].type_ids.count == ids->count && batch[i].mask.count == ids->count);
    for (size_t j = 0; j < ids->count; j++)
      check(ids->items[j] >= 0 && ids->items[j] < tn_tokenizer_vocab_size(t));
    decode(t, ids, i == 0);
  }
  for (int32_t id = 0; id < 64 && id < tn_tokenizer_vocab_size(t); id++) {
    tn_str token = tn_tokenizer_token(t, id);
    check((token.data == NULL) == (tn_tokenizer_bytes(t, id).data == NULL));
  }
  for (int i = 0; i < 2; i++) tn_encoding_clear(&batch[i]);
}

/* GGUF files are mapped, so they need a name. */
static tn_status open_gguf(tn_tokenizer **t, const uint8_t *data, size_t size, tn_error *err) {
  char path[64];
  int fd = memfd_create("fuzz", 0);
  tn_status status = TN_ERR_IO;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (fd >= 0 && write(fd, data, size) == (ssize_t)size) status = tn_tokenizer_open(t, path, err);
  if (fd >= 0) close(fd);
  return status;
}

static tn_status open_any(tn_tokenizer **t, const uint8_t *data, size_t size, tn_error *err) {
  tn_str text = {(const char *)data, size};
  if (tn_str_starts(text, TN_STR("GGUF"))) return open_gguf(t, data, size, err);
  if (!tn_str_starts(text, TN_STR("\n"))) return tn_tokenizer_parse(t, "fuzz.json", text, err);
  tn_strbuf json = {0};
  tn_status status = tn_sentencepiece_vocab(text, &json, err);
  if (status == TN_OK) status = tn_tokenizer_parse(t, "fuzz.json", tn_strbuf_view(&json), err);
  tn_strbuf_clear(&json);
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t live = tn_alloc_live();
  tn_str text = {(const char *)data, size};
  tn_error err = {0};
  tn_tokenizer *t;
  tn_status status = open_any(&t, data, size, &err);
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
