/* encode_texts.c - how long encoding takes, for bench_tokenizer.py.
 *
 *     encode_texts TOKENIZER TEXTS ROUNDS
 *
 * TEXTS holds texts parted by NUL bytes.  Prints one JSON object: CPU seconds of the quickest
 * round, tokens, and a sum over all ids that shows that both sides did the same. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "bench.h"
#include "model/tokenizer.h"

static tn_status encode_all(const tn_tokenizer *t, tn_str texts, tn_ids *ids, uint64_t *tokens,
                            uint64_t *sum, tn_error *err) {
  *tokens = *sum = 0;
  while (texts.length) {
    tn_str text = tn_str_cut(&texts, '\0');
    ids->count = 0;
    TN_TRY(tn_tokenizer_encode(t, text, true, ids, err));
    *tokens += ids->count;
    for (size_t i = 0; i < ids->count; i++) *sum += (uint64_t)ids->items[i] * (i % 7 + 1);
  }
  return TN_OK;
}

int main(int argc, char **argv) {
  if (argc != 4) die("usage: encode_texts TOKENIZER TEXTS ROUNDS");
  tn_error err = {0};
  tn_tokenizer *t = NULL;
  tn_strbuf texts = {0};
  tn_ids ids = {0};
  double best = 1e9, begin = cpu_s();
  uint64_t tokens = 0, sum = 0;
  tn_status status = tn_tokenizer_open(&t, argv[1], &err);
  double load = cpu_s() - begin;
  if (status == TN_OK) status = tn_file_read(argv[2], (size_t)1 << 30, &texts, &err);
  int64_t rounds = 1;
  tn_str_to_i64(tn_str_of(argv[3]), &rounds);
  for (int64_t round = 0; status == TN_OK && round < rounds; round++) {
    begin = cpu_s();
    status = encode_all(t, tn_strbuf_view(&texts), &ids, &tokens, &sum, &err);
    double seconds = cpu_s() - begin;
    if (seconds < best) best = seconds;
  }
  if (status == TN_OK)
    printf("{\"cpu\": %.6f, \"load\": %.3f, \"tokens\": %" PRIu64 ", \"sum\": %" PRIu64 "}\n", best,
           load, tokens, sum);
  else
    fprintf(stderr, "error: %s\n", err.text);
  tn_ids_clear(&ids);
  tn_strbuf_clear(&texts);
  tn_tokenizer_free(t);
  return status != TN_OK;
}
