/* SPDX-License-Identifier: Apache-2.0 */
#include "feed_test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "feed/shard.h"
#include "feed/shard_index.h"

enum { VOCAB = 300, EOS = 7 };

static tn_shard_writer_options options_of(int64_t shard_tokens) {
  return (tn_shard_writer_options){.shard_tokens = shard_tokens,
                                   .vocab_size = VOCAB,
                                   .eos_id = EOS,
                                   .tokenizer_hash = 0xFEDCBA9876543210u};
}

/* Document d of a set: 0 to 39 tokens. */
static int64_t document(uint64_t set, uint64_t d, int32_t *ids) {
  int64_t count = (int64_t)tn_random_below(set, d, 1000, 40);
  for (int64_t i = 0; i < count; i++) ids[i] = (int32_t)tn_random_below(set, d, (uint64_t)i, VOCAB);
  return count;
}

static tn_status write_documents(tn_shard_writer *w, uint64_t set, int count, tn_error *err) {
  int32_t ids[40];
  for (int d = 0; d < count; d++)
    TN_TRY(tn_shard_writer_document(w, ids, document(set, (uint64_t)d, ids), err));
  return TN_OK;
}

static tn_status write_set(const char *folder, uint64_t set, int count, int64_t shard_tokens,
                           bool replace, tn_error *err) {
  tn_shard_writer_options options = options_of(shard_tokens);
  options.replace = replace;
  tn_shard_writer *w;
  TN_TRY(tn_shard_writer_new(&w, folder, &options, err));
  tn_status status = write_documents(w, set, count, err);
  if (status == TN_OK) status = tn_shard_writer_finish(w, err);
  tn_shard_writer_free(w);
  return status;
}

static int64_t expected_tokens(uint64_t set, int count, int32_t *out) {
  int64_t total = 0;
  for (int d = 0; d < count; d++) {
    total += document(set, (uint64_t)d, out + total);
    out[total++] = EOS;
  }
  return total;
}

static void check_set(const char *folder, uint64_t set_seed, int count) {
  static int32_t want[8192], got[8192];
  tn_token_set *set;
  tn_error err = {0};
  int64_t total = expected_tokens(set_seed, count, want);
  check_ok(tn_token_set_open(&set, folder, true, &err), &err);
  assert_int_equal(tn_token_set_count(set), total);
  assert_int_equal(tn_token_set_documents(set), count);
  check_ok(tn_token_set_read(set, 0, total, got, &err), &err);
  assert_memory_equal(got, want, (size_t)total * sizeof *got);
  for (uint64_t trial = 0; trial < 200; trial++) { /* ranges across shard borders */
    int64_t start = (int64_t)tn_random_below(1, 2, trial * 2, (uint64_t)total);
    int64_t length = (int64_t)tn_random_below(1, 2, trial * 2 + 1, (uint64_t)(total - start) + 1);
    check_ok(tn_token_set_read(set, start, length, got, &err), &err);
    assert_memory_equal(got, want + start, (size_t)length * sizeof *got);
  }
  assert_int_equal(tn_token_set_read(set, total, 1, got, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_token_set_read(set, -1, 1, got, &err), TN_ERR_ARGUMENT);
  assert_int_equal(tn_token_set_read(set, 1, INT64_MAX, got, &err), TN_ERR_ARGUMENT);
  tn_token_set_close(set);
}

static int files_in(const char *folder) {
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  int count = 0;
  for (struct dirent *e; (e = readdir(dir));) count += e->d_name[0] != '.';
  closedir(dir);
  return count;
}

static void what_is_written_is_read(void **state) {
  static const int64_t sizes[] = {1, 64, 500, 0};
  char folder[128];
  tn_error err = {0};
  for (int i = 0; i < 4; i++) {
    snprintf(folder, sizeof folder, "%s/new/%d", (char *)*state, i);
    check_ok(write_set(folder, 42, 100, sizes[i], false, &err), &err);
    check_set(folder, 42, 100);
  }
}

static void properties_are_kept(void **state) {
  tn_error err = {0};
  check_ok(write_set(*state, 1, 50, 64, false, &err), &err);
  tn_token_set *set, *array;
  check_ok(tn_token_set_open(&set, *state, false, &err), &err);
  assert_int_equal(tn_token_set_vocab_size(set), VOCAB);
  assert_int_equal(tn_token_set_eos(set), EOS);
  assert_true(tn_token_set_tokenizer_hash(set) == 0xFEDCBA9876543210u);
  assert_true(tn_token_set_shards(set) > 5);
  int64_t count, total = 0;
  for (int64_t i = 0; i < tn_token_set_shards(set); i++) {
    const char *file;
    const int32_t *tokens = tn_token_set_shard(set, i, &count, &file);
    assert_true(tn_shard_name_is(file));
    assert_int_equal(tokens[count - 1], EOS); /* documents stay whole */
    assert_int_equal((uintptr_t)tokens % 64, 0);
    total += count;
  }
  assert_int_equal(total, tn_token_set_count(set));
  assert_null(tn_token_set_shard(set, tn_token_set_shards(set), &count, NULL));
  const int32_t one[] = {1, 2, 3};
  check_ok(tn_token_set_of_array(&array, one, 3, 10, &err), &err);
  assert_true(tn_token_set_hash(set) != tn_token_set_hash(array));
  tn_token_set_close(array);
  tn_token_set_close(set);
}

static void bad_ids_are_refused(void **state) {
  tn_shard_writer_options options = options_of(100);
  tn_shard_writer *w;
  tn_error err = {0};
  check_ok(tn_shard_writer_new(&w, *state, &options, &err), &err);
  const int32_t ids[] = {0, VOCAB, -1};
  assert_int_equal(tn_shard_writer_document(w, ids, 2, &err), TN_ERR_DATA);
  assert_int_equal(tn_shard_writer_document(w, ids + 2, 1, &err), TN_ERR_DATA);
  assert_int_equal(tn_shard_writer_document(w, ids, -1, &err), TN_ERR_LIMIT);
  check_ok(tn_shard_writer_document(w, ids, 1, &err), &err); /* the writer lives on */
  assert_int_equal(tn_shard_writer_tokens(w), 2);
  tn_shard_writer_free(w);
  assert_int_equal(files_in(*state), 0);
  options.eos_id = VOCAB;
  assert_int_equal(tn_shard_writer_new(&w, *state, &options, &err), TN_ERR_ARGUMENT);
}

static void a_folder_shows_old_or_new(void **state) {
  tn_error err = {0};
  check_ok(write_set(*state, 1, 50, 100, false, &err), &err);
  assert_int_equal(write_set(*state, 2, 50, 100, false, &err), TN_ERR_EXISTS);
  check_set(*state, 1, 50);
  /* A run that ends in the middle leaves shards that no index names. */
  tn_shard_writer_options options = options_of(100);
  options.replace = true;
  tn_shard_writer *w, *second;
  check_ok(tn_shard_writer_new(&w, *state, &options, &err), &err);
  assert_int_equal(tn_shard_writer_new(&second, *state, &options, &err), TN_ERR_EXISTS);
  check_ok(write_documents(w, 2, 30, &err), &err);
  assert_true(tn_shard_writer_shards(w) > 2);
  int before = files_in(*state);
  tn_shard_writer_free(w);
  assert_int_equal(files_in(*state), before);
  check_set(*state, 1, 50);
  /* The next one that finishes takes over and clears away. */
  check_ok(write_set(*state, 3, 20, 100, true, &err), &err);
  check_set(*state, 3, 20);
  tn_token_set *set;
  check_ok(tn_token_set_open(&set, *state, false, &err), &err);
  assert_int_equal(files_in(*state), tn_token_set_shards(set) + 1);
  tn_token_set_close(set);
}

static void put(const char *folder, const char *file, const char *text) {
  char path[256];
  tn_error err = {0};
  snprintf(path, sizeof path, "%s/%s", folder, file);
  check_ok(tn_file_write_atomic(path, tn_str_of(text), &err), &err);
}

#define HEAD "{\"format\": \"tenon-tokens-1\", \"vocab_size\": 10, \"eos_id\": 1, "

static void hostile_indexes_are_refused(void **state) {
  static const struct {
    const char *text;
    tn_status want;
  } cases[] = {
      {"", TN_ERR_DATA},
      {"[]", TN_ERR_DATA},
      {"{}", TN_ERR_UNSUPPORTED},
      {"{\"format\": \"tenon-tokens-9\"}", TN_ERR_UNSUPPORTED},
      {HEAD "\"tokens\": 0, \"documents\": 0}", TN_ERR_DATA},
      {HEAD "\"tokens\": -1, \"documents\": 0, \"shards\": []}", TN_ERR_DATA},
      {HEAD "\"tokens\": 5, \"documents\": 1, \"shards\": []}", TN_ERR_DATA},
      {HEAD "\"tokens\": 5, \"documents\": 1, \"shards\": [{\"file\": \"../x\", \"tokens\": 5}]}",
       TN_ERR_DATA},
      {HEAD "\"tokens\": 5, \"documents\": 1, \"shards\": [{\"file\": \"x\", \"tokens\": 5, "
            "\"xxh64\": \"12\"}]}",
       TN_ERR_DATA},
      {HEAD "\"tokens\": 5, \"documents\": 1, \"shards\": [{\"file\": \"gone.arrow\", "
            "\"tokens\": 5, \"xxh64\": \"0000000000000000\"}]}",
       TN_ERR_NOT_FOUND},
      {HEAD "\"tokens\": 2, \"documents\": 1, \"shards\": [{\"file\": \"a\", \"tokens\": "
            "1152921504606846976}, {\"file\": \"b\", \"tokens\": 1152921504606846976}]}",
       TN_ERR_LIMIT},
      {"{\"format\": \"tenon-tokens-1\", \"vocab_size\": 10, \"eos_id\": 10, \"tokens\": 0, "
       "\"documents\": 0, \"shards\": []}",
       TN_ERR_DATA},
  };
  int64_t live = tn_alloc_live();
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    tn_error err = {0};
    tn_token_set *set;
    put(*state, "index.json", cases[i].text);
    tn_status status = tn_token_set_open(&set, *state, false, &err);
    if (status != cases[i].want) fail_msg("case %zu: %s (%s)", i, tn_status_text(status), err.text);
    assert_int_equal(tn_alloc_live(), live);
  }
}

/* Any byte of a shard's tokens that is turned is found by verify; none is believed silently. */
static void a_flipped_byte_is_noticed(void **state) {
  tn_error err = {0};
  check_ok(write_set(*state, 1, 50, 100000, false, &err), &err);
  tn_token_set *set;
  int64_t count;
  const char *file;
  char path[256];
  check_ok(tn_token_set_open(&set, *state, false, &err), &err);
  const int32_t *tokens = tn_token_set_shard(set, 0, &count, &file);
  snprintf(path, sizeof path, "%s/%s", (char *)*state, file);
  tn_strbuf bytes = {0};
  check_ok(tn_file_read(path, 0, &bytes, &err), &err);
  int64_t at =
      tn_str_find(tn_strbuf_view(&bytes), (tn_str){(const char *)tokens, (size_t)count * 4});
  assert_true(at > 0);
  tn_token_set_close(set);
  bytes.data[at + 4 * (count / 2)] ^= 1;
  check_ok(tn_file_write_atomic(path, tn_strbuf_view(&bytes), &err), &err);
  assert_int_equal(tn_token_set_open(&set, *state, true, &err), TN_ERR_CHECKSUM);
  assert_non_null(strstr(err.text, "tokens-00000-"));
  bytes.data[at + 4 * (count / 2) + 3] = 0x7F; /* far outside the vocabulary */
  check_ok(tn_file_write_atomic(path, tn_strbuf_view(&bytes), &err), &err);
  check_ok(tn_token_set_open(&set, *state, false, &err), &err);
  int32_t *out = malloc((size_t)count * sizeof *out);
  assert_int_equal(tn_token_set_read(set, 0, count, out, &err), TN_ERR_DATA);
  free(out);
  tn_token_set_close(set);
  for (size_t cut = 0; cut < bytes.length; cut += 97) { /* a file that ends early */
    tn_str part = {bytes.data, cut};
    check_ok(tn_file_write_atomic(path, part, &err), &err);
    assert_true(tn_token_set_open(&set, *state, false, &err) != TN_OK);
    assert_non_null(strstr(err.text, "tokens-00000-"));
  }
  tn_strbuf_clear(&bytes);
}

static void names_of_shards(void **state) {
  char name[TN_SHARD_NAME_MAX];
  tn_shard_name(name, 12, 0xABC);
  assert_string_equal(name, "tokens-00012-0000000000000abc.arrow");
  assert_true(tn_shard_name_is(name));
  tn_shard_name(name, 1234567, UINT64_MAX);
  assert_true(tn_shard_name_is(name));
  assert_true(tn_shard_name_is(".tokens-00012-0000000000000abc.arrow.77-65abc-0.tmp"));
  assert_true(tn_shard_name_is(".index.json.77-65abc-0.tmp"));
  static const char *const others[] = {"index.json",
                                       "tokens-1-2.arrow",
                                       "tokens-",
                                       "",
                                       ".",
                                       "..",
                                       "notes.txt",
                                       "index.json.tmp",
                                       ".notes.77-65abc-0.tmp",
                                       "tokens-00012-0000000000000abc.parquet",
                                       "tokens-00012-0000000000000abc.arrow.keep",
                                       "tokens-00012_0000000000000abc.arrow"};
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
    assert_false(tn_shard_name_is(others[i]));
}

static void writer_survives_failing_allocations(void **state) {
  int64_t live = tn_alloc_live(), failures = 0;
  for (int64_t n = 1;; n++) {
    tn_error err = {0};
    tn_alloc_fail_at(n);
    tn_status status = write_set(*state, 1, 20, 100, true, &err);
    tn_alloc_fail_at(0);
    assert_int_equal(tn_alloc_live(), live);
    if (status == TN_OK) break;
    if (status != TN_ERR_MEMORY) fail_msg("allocation %lld: %s", (long long)n, err.text);
    failures++;
  }
  assert_true(failures > 20);
  check_set(*state, 1, 20);
}

static void reader_survives_failing_allocations(void **state) {
  tn_error err = {0};
  check_ok(write_set(*state, 1, 20, 100, false, &err), &err);
  int64_t live = tn_alloc_live(), failures = 0;
  for (int64_t n = 1;; n++) {
    tn_token_set *set;
    tn_alloc_fail_at(n);
    tn_status status = tn_token_set_open(&set, *state, true, &err);
    tn_alloc_fail_at(0);
    if (status == TN_OK) {
      tn_token_set_close(set);
      break;
    }
    if (status != TN_ERR_MEMORY) fail_msg("allocation %lld: %s", (long long)n, err.text);
    assert_int_equal(tn_alloc_live(), live);
    failures++;
  }
  assert_true(failures > 10);
  assert_int_equal(tn_alloc_live(), live);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      WITH_FOLDER(what_is_written_is_read),
      WITH_FOLDER(properties_are_kept),
      WITH_FOLDER(bad_ids_are_refused),
      WITH_FOLDER(a_folder_shows_old_or_new),
      WITH_FOLDER(hostile_indexes_are_refused),
      WITH_FOLDER(a_flipped_byte_is_noticed),
      cmocka_unit_test(names_of_shards),
      WITH_FOLDER(writer_survives_failing_allocations),
      WITH_FOLDER(reader_survives_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
