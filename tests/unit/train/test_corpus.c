/* SPDX-License-Identifier: Apache-2.0 */
#include "train_test.h"

#include "model/tokenizer.h"
#include "train/corpus.h"

static void put(const char *path, tn_str content) {
  tn_error err = {0};
  assert_ok(tn_file_write_atomic(path, content, &err));
}

static void split_and_vocabulary(void **state) {
  write_text("text.txt");
  tn_run_config c;
  tiny_config(&c, NULL);
  tn_corpus corpus;
  tn_error err = {0};
  assert_ok(tn_corpus_open(&corpus, &c, &err));
  assert_int_equal(corpus.vocab_size, 10);
  assert_int_equal(corpus.train_tokens, 1800);
  assert_int_equal(corpus.validation_tokens, 200);
  assert_int_equal(corpus.eos_id, -1);
  tn_corpus_close(&corpus);
  tn_run_config_clear(&c);
}

/* Our own tokenizer opens the file that we write, and encodes the text to the very tokens trained
 * on. */
static void the_tokenizer_agrees_with_the_tokens(void **state) {
  write_text("text.txt");
  tn_run_config c;
  tiny_config(&c, NULL);
  tn_corpus corpus;
  tn_error err = {0};
  assert_ok(tn_corpus_open(&corpus, &c, &err));
  put("tokenizer.json", tn_strbuf_view(&corpus.files[0].content));
  tn_tokenizer *tokenizer;
  assert_ok(tn_tokenizer_open(&tokenizer, "tokenizer.json", &err));
  assert_int_equal(tn_tokenizer_vocab_size(tokenizer), 10);
  tn_strbuf text = {0}, back = {0};
  tn_ids ids = {0};
  int32_t trained[2000];
  assert_ok(tn_file_read("text.txt", 0, &text, &err));
  assert_ok(tn_tokenizer_encode(tokenizer, tn_strbuf_view(&text), false, &ids, &err));
  assert_int_equal(ids.count, 2000);
  assert_ok(tn_token_set_read(corpus.set, 0, 2000, trained, &err));
  assert_memory_equal(ids.items, trained, sizeof trained);
  assert_ok(tn_tokenizer_decode(tokenizer, ids.items, ids.count, true, &back, &err));
  assert_string_equal(back.data, text.data);
  tn_strbuf_clear(&text), tn_strbuf_clear(&back), tn_ids_clear(&ids);
  tn_tokenizer_free(tokenizer);
  tn_corpus_close(&corpus);
  tn_run_config_clear(&c);
}

static void expect(const char *set, tn_status want, const char *text) {
  tn_run_config c;
  tiny_config(&c, set);
  tn_corpus corpus;
  tn_error err = {0};
  tn_status status = tn_corpus_open(&corpus, &c, &err);
  if (status != want || (text && !strstr(err.text, text))) fail_msg("%d: %s", status, err.text);
  tn_corpus_close(&corpus);
  tn_run_config_clear(&c);
}

static void bad_texts(void **state) {
  put("empty.txt", TN_STR(""));
  put("short.txt", TN_STR("abcdefgh"));
  put("letters.txt", TN_STR("abcdefgh caf\xc3\xa9 abcdefghabcdefghabcdefghabcdefghabcdefghabcdefgh"
                            "abcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefgh"));
  write_text("text.txt");
  expect("data.text=nowhere.txt", TN_ERR_NOT_FOUND, "nowhere.txt");
  expect("data.text=empty.txt", TN_ERR_DATA, "empty.txt: is empty");
  expect("data.text=short.txt", TN_ERR_DATA, "7 tokens for training, wants at least");
  expect("data.text=letters.txt", TN_ERR_UNSUPPORTED, "byte 0xc3 at offset 12");
  expect("data.validation_share=0.001", TN_ERR_DATA, "2 tokens for validation");
  expect("data.validation_share=0", TN_OK, NULL);
}

static void bytes_take_any_text(void **state) {
  static char all[512];
  for (int i = 0; i < 512; i++) all[i] = (char)(i * 7);
  put("bytes.bin", (tn_str){all, sizeof all});
  const char *sets[] = {"data.text=bytes.bin", "data.level=byte"};
  tn_run_config c;
  tn_corpus corpus;
  tn_error err = {0};
  assert_ok(tn_run_config_parse(&c, "tiny.yaml", tn_str_of(tiny_yaml), sets, 2, &err));
  assert_ok(tn_corpus_open(&corpus, &c, &err));
  assert_int_equal(corpus.vocab_size, 256);
  tn_corpus_close(&corpus);
  tn_run_config_clear(&c);
}

static void every_allocation_may_fail(void **state) {
  write_text("text.txt");
  tn_run_config c;
  tiny_config(&c, NULL);
  int64_t before = tn_alloc_live();
  for (int64_t n = 1;; n++) {
    tn_corpus corpus;
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = tn_corpus_open(&corpus, &c, &err);
    tn_alloc_fail_at(0);
    tn_corpus_close(&corpus);
    assert_int_equal(tn_alloc_live(), before);
    if (status == TN_OK) break;
    assert_int_equal(status, TN_ERR_MEMORY);
  }
  tn_run_config_clear(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(split_and_vocabulary),
      cmocka_unit_test(the_tokenizer_agrees_with_the_tokens),
      cmocka_unit_test(bad_texts),
      cmocka_unit_test(bytes_take_any_text),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
