/* cmd_tokenizer.c - `tenon tokenizer`: train, encode, decode, inspect, convert. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/model_folder.h"
#include "feed/documents.h"
#include "model/tokenizer.h"

/* The ratio of bytes to tokens is measured on this much of the text at most. */
#define SAMPLE_BYTES    ((int64_t)32 << 20)
#define INPUT_BYTES_MAX ((size_t)1 << 30)
#define END_OF_TEXT     "<|endoftext|>"

/* ---- train
 * --------------------------------------------------------------------------------------- */
typedef struct train_options {
  const char *column, *out, *model_name;
  tn_train_model model;
  tn_option_list specials;
  int64_t vocab_size, min_frequency, alphabet_max, threads;
  bool cased, quiet, json;
} train_options;

/* The special tokens that a model of each kind has where nothing else is said; its end of text. */
static const struct {
  const char *name, *specials[6], *eos;
} train_models[] = {
    [TN_TRAIN_BPE] = {"bpe", {END_OF_TEXT}, END_OF_TEXT},
    [TN_TRAIN_WORDPIECE] = {"wordpiece", {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, "[SEP]"},
    [TN_TRAIN_UNIGRAM] = {"unigram", {"<unk>", "<s>", "</s>"}, "</s>"},
};

typedef struct train_result {
  int64_t documents, text_bytes, nulls, vocab_size;
  int64_t sample_bytes, sample_tokens;
} train_result;

static tn_status read_corpus(tn_tokenizer_trainer *trainer, const char *const *paths, int32_t count,
                             const train_options *o, tn_pool *pool, train_result *result,
                             tn_error *err) {
  tn_progress progress = tn_cli_progress(o->quiet || o->json);
  tn_documents *documents;
  tn_document_batch batch;
  TN_TRY(tn_documents_open(&documents, paths, count, o->column, err));
  tn_progress_begin(&progress, "read", "B", tn_documents_bytes_total(documents));
  tn_status status;
  while ((status = tn_documents_next(documents, &batch, err)) == TN_OK) {
    status = tn_tokenizer_trainer_add_many(trainer, batch.texts, batch.count, pool, err);
    for (int64_t i = 0; i < batch.count; i++) result->text_bytes += (int64_t)batch.texts[i].length;
    result->documents += batch.count;
    if (status == TN_OK)
      status = tn_progress_at(&progress, tn_documents_bytes_done(documents), err);
    if (status != TN_OK) break;
  }
  result->nulls = tn_documents_nulls(documents);
  tn_documents_close(documents);
  if (status != TN_END) return status;
  progress.done = progress.total;
  tn_progress_end(&progress);
  return TN_OK;
}

/* Bytes a token, on the beginning of what it was trained on. */
static tn_status measure(const tn_tokenizer *t, const char *const *paths, int32_t count,
                         const train_options *o, train_result *result, tn_error *err) {
  tn_documents *documents;
  tn_document_batch batch;
  tn_ids ids = {0};
  TN_TRY(tn_documents_open(&documents, paths, count, o->column, err));
  tn_status status = TN_OK;
  while (status == TN_OK && result->sample_bytes < SAMPLE_BYTES) {
    status = tn_documents_next(documents, &batch, err);
    for (int64_t i = 0; status == TN_OK && i < batch.count; i++) {
      ids.count = 0;
      status = tn_tokenizer_encode(t, batch.texts[i], false, &ids, err);
      result->sample_bytes += (int64_t)batch.texts[i].length;
      result->sample_tokens += (int64_t)ids.count;
    }
  }
  tn_ids_clear(&ids);
  tn_documents_close(documents);
  return status == TN_END ? TN_OK : status;
}

static tn_status save_files(const tn_tokenizer *t, const train_options *o, const char *eos,
                            tn_error *err) {
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/tokenizer.json", o->out);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = tn_tokenizer_save(t, path.data, err);
  tn_strbuf_reset(&path);
  tn_strbuf_addf(&path, "%s/tokenizer_config.json", o->out);
  if (status == TN_OK) status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = tn_tokenizer_save_config(t, path.data, tn_str_of(eos), err);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status read_and_learn(tn_tokenizer_trainer *trainer, const char *const *paths,
                                int32_t count, const train_options *o, const char *eos,
                                train_result *result, tn_error *err) {
  tn_pool *pool = tn_cli_pool((int32_t)o->threads);
  tn_progress progress = tn_cli_progress(o->quiet || o->json);
  tn_tokenizer *t = NULL;
  tn_status status = read_corpus(trainer, paths, count, o, pool, result, err);
  if (status == TN_OK && result->text_bytes == 0)
    status =
        tn_fail(err, TN_ERR_DATA, "%s: holds no text, so there is nothing to learn from", paths[0]);
  if (status == TN_OK) status = tn_tokenizer_trainer_finish(trainer, &progress, pool, &t, err);
  if (status == TN_OK) status = measure(t, paths, count, o, result, err);
  if (status == TN_OK && tn_tokenizer_id(t, tn_str_of(eos)) < 0) eos = "";
  if (status == TN_OK) status = save_files(t, o, eos, err);
  if (status == TN_OK) result->vocab_size = tn_tokenizer_vocab_size(t);
  tn_tokenizer_free(t);
  return status;
}

static tn_status check_out(const char *const *paths, int32_t count, const char *out,
                           tn_error *err) {
  for (int32_t i = 0; i < count; i++)
    if (tn_file_exists(out) && tn_is_same_place(out, paths[i]))
      return tn_fail(err, TN_ERR_ARGUMENT, "%s is an input: --out wants a folder of its own", out);
  if (tn_file_exists(out))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s is a file, and a folder is to be written", out);
  return TN_OK;
}

/* The folder is made first: where it cannot be, no time goes into training. */
static tn_status open_folder(const char *out, tn_strbuf *made, tn_error *err) {
  TN_TRY(tn_dir_make_new(out, made, err));
  if (access(out, W_OK | X_OK) != 0)
    return tn_fail_errno(err, errno, "%s: cannot write into the folder", out);
  return TN_OK;
}

static tn_status train(const char *const *paths, int32_t count, const train_options *o,
                       train_result *result, tn_error *err) {
  bool own = o->specials.count > 0;
  const char *const *specials = own ? o->specials.items : train_models[o->model].specials;
  tn_tokenizer_train_options options = {.model = o->model,
                                        .vocab_size = o->vocab_size,
                                        .min_frequency = o->min_frequency,
                                        .specials = specials,
                                        .special_count = o->specials.count,
                                        .cased = o->cased,
                                        .alphabet_max = o->alphabet_max};
  while (!own && specials[options.special_count]) options.special_count++;
  const char *eos = own && o->model == TN_TRAIN_BPE ? specials[0] : train_models[o->model].eos;
  tn_tokenizer_trainer *trainer;
  tn_strbuf made = {0};
  TN_TRY(check_out(paths, count, o->out, err));
  TN_TRY(tn_tokenizer_trainer_new(&trainer, &options, err));
  tn_status status = open_folder(o->out, &made, err);
  if (status == TN_OK) status = read_and_learn(trainer, paths, count, o, eos, result, err);
  if (status != TN_OK) tn_dir_unmake(o->out, &made);
  tn_strbuf_clear(&made);
  tn_tokenizer_trainer_free(trainer);
  return status;
}

static double bytes_per_token(const train_result *r) {
  return r->sample_tokens ? (double)r->sample_bytes / (double)r->sample_tokens : 0;
}

static void report_train_json(const train_options *o, const train_result *r, double seconds) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "out"), tn_json_cstr(&j.w, o->out);
  tn_json_key(&j.w, "documents"), tn_json_i64(&j.w, r->documents);
  tn_json_key(&j.w, "nulls"), tn_json_i64(&j.w, r->nulls);
  tn_json_key(&j.w, "text_bytes"), tn_json_i64(&j.w, r->text_bytes);
  tn_json_key(&j.w, "vocab_size"), tn_json_i64(&j.w, r->vocab_size);
  tn_json_key(&j.w, "bytes_per_token"), tn_json_f64(&j.w, bytes_per_token(r));
  tn_json_key(&j.w, "seconds"), tn_json_f64(&j.w, seconds);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void report_train(const train_options *o, const train_result *r, double seconds) {
  tn_strbuf line = {0};
  tn_strbuf_addf(&line, "%s/tokenizer.json: ", o->out);
  tn_strbuf_add_count_human(&line, r->vocab_size);
  tn_strbuf_add(&line, " tokens learned from ");
  tn_strbuf_add_count_human(&line, r->documents);
  tn_strbuf_add(&line, " documents (");
  tn_strbuf_add_bytes_human(&line, (double)r->text_bytes);
  tn_strbuf_addf(&line, "); %.2f bytes a token; ", bytes_per_token(r));
  tn_strbuf_add_duration_human(&line, seconds);
  if (!line.failed) puts(line.data);
  tn_strbuf_clear(&line);
  if (r->vocab_size < o->vocab_size)
    printf("The text has no more pairs that occur often enough; %lld tokens were asked for.\n",
           (long long)o->vocab_size);
}

static bool find_model(const char *name, tn_train_model *out) {
  for (int i = 0; i < 3; i++) {
    if (strcmp(train_models[i].name, name) != 0) continue;
    *out = (tn_train_model)i;
    return true;
  }
  return false;
}

static int run_train(int argc, char **argv) {
  train_options o = {.column = "text", .vocab_size = 4096};
  const tn_option options[] = {
      {"--out", 'o', TN_OPTION_TEXT, &o.out, "DIR", "where tokenizer.json goes (required)"},
      {"--column", 0, TN_OPTION_TEXT, &o.column, "NAME", "the text column (default text)"},
      {"--vocab-size", 0, TN_OPTION_COUNT, &o.vocab_size, "N",
       "tokens, bytes or characters and specials included (default 4,096)"},
      {"--model", 0, TN_OPTION_TEXT, &o.model_name, "KIND",
       "bpe (over bytes, the default), wordpiece (as BERT) or unigram"},
      {"--min-frequency", 0, TN_OPTION_COUNT, &o.min_frequency, "N",
       "of a pair to become a token (default 2)"},
      {"--cased", 0, TN_OPTION_FLAG, &o.cased, NULL, "wordpiece: keep capitals and accents"},
      {"--alphabet-max", 0, TN_OPTION_COUNT, &o.alphabet_max, "N",
       "wordpiece, unigram: the most frequent characters (default 1,000)"},
      {"--special", 0, TN_OPTION_LIST, &o.specials, "TOKEN",
       "repeatable; bpe: the first ends texts (default " END_OF_TEXT ")"},
      {"--threads", 0, TN_OPTION_INT, &o.threads, "N", "0: one a CPU (default)"},
      {"--quiet", 'q', TN_OPTION_FLAG, &o.quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &o.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon tokenizer train [options] --out DIR IN...",
      .about =
          "Learns a vocabulary from texts: a column of Parquet, Arrow or CSV files, or whole\n"
          ".txt files. Hugging Face's tokenizers and transformers load DIR.",
      .example = "tenon tokenizer train books.parquet --column text --vocab-size 4096 --out tok",
      .options = options,
      .words_min = 1,
      .words_max = -1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (!o.out) return tn_cli_usage_error("--out DIR is missing; it says where tokenizer.json goes");
  if (o.model_name && !find_model(o.model_name, &o.model))
    return tn_cli_usage_error("--model: bpe, wordpiece or unigram");
  tn_error err = {0};
  train_result result = {0};
  int64_t start_us = tn_time_us();
  if (train((const char *const *)argv + 1, count, &o, &result, &err) != TN_OK)
    return tn_cli_fail(&err, err.status == TN_ERR_INTERRUPTED ? "nothing was written" : NULL);
  double seconds = (double)(tn_time_us() - start_us) / 1e6;
  (o.json ? report_train_json : report_train)(&o, &result, seconds);
  return 0;
}

/* ---- encode
 * -------------------------------------------------------------------------------------------- */
typedef struct encode_options {
  const char *text, *pair;
  bool special, add, truncate, show, lines, json;
} encode_options;

static const char tokenizer_hint[] =
    "TOKENIZER is a tokenizer.json, tokenizer.model or GGUF file, or a folder that holds one; "
    "`tenon tokenizer train` makes one";

static void write_ids(tn_json_writer *w, const tn_ids *ids) {
  tn_json_begin_array(w);
  for (size_t i = 0; i < ids->count; i++) tn_json_i64(w, ids->items[i]);
  tn_json_end_array(w);
}

static void print_ids(const tn_ids *ids) {
  for (size_t i = 0; i < ids->count; i++) printf("%s%d", i ? " " : "", ids->items[i]);
  putchar('\n');
}

static void print_tokens(const tn_tokenizer *t, const tn_ids *ids) {
  for (size_t i = 0; i < ids->count; i++) {
    tn_str token = tn_tokenizer_token(t, ids->items[i]);
    printf("%8d  %.*s\n", ids->items[i], TN_STR_ARG(token));
  }
}

/* pair.data NULL: there is one text. */
static tn_status encode_one(const tn_tokenizer *t, tn_str text, tn_str pair,
                            const encode_options *o, tn_encoding *out, tn_error *err) {
  const tn_encode_options options = {
      .parse_special = o->special, .add_special = o->add, .truncate = o->truncate};
  return tn_tokenizer_encode_input(t, text, pair.data ? &pair : NULL, &options, out, err);
}

static void print_encoded_json(const tn_tokenizer *t, tn_str text, const tn_encoding *e) {
  const tn_ids *ids = &e->ids;
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "bytes"), tn_json_i64(&j.w, (int64_t)text.length);
  tn_json_key(&j.w, "count"), tn_json_i64(&j.w, (int64_t)ids->count);
  tn_json_key(&j.w, "ids"), write_ids(&j.w, ids);
  tn_json_key(&j.w, "type_ids"), write_ids(&j.w, &e->type_ids);
  tn_json_key(&j.w, "tokens");
  tn_json_begin_array(&j.w);
  for (size_t i = 0; i < ids->count; i++) tn_json_str(&j.w, tn_tokenizer_token(t, ids->items[i]));
  tn_json_end_array(&j.w);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static tn_status encode_text(const tn_tokenizer *t, tn_str text, const encode_options *o,
                             tn_error *err) {
  tn_encoding e = {0};
  tn_status status = encode_one(t, text, tn_str_of(o->pair), o, &e, err);
  if (status == TN_OK && o->json)
    print_encoded_json(t, text, &e);
  else if (status == TN_OK && o->show)
    print_tokens(t, &e.ids);
  else if (status == TN_OK)
    print_ids(&e.ids);
  tn_encoding_clear(&e);
  return status;
}

/* Each line is a JSON string, or an array of two; the ids come out as one JSON array. */
static tn_status encode_line(const tn_tokenizer *t, tn_str line, const encode_options *o,
                             tn_arena *arena, tn_error *err) {
  tn_json *value;
  tn_encoding e = {0};
  TN_TRY(tn_json_parse(&value, arena, line, NULL, err));
  tn_str pair = tn_str_of(o->pair);
  if (value->kind == TN_JSON_ARRAY && value->count == 2) {
    value = value->first;
    if (value->next->kind == TN_JSON_STRING) pair = value->next->text;
  }
  if (value->kind != TN_JSON_STRING)
    return tn_fail(err, TN_ERR_DATA, "%s, expected string", tn_json_kind_name(value->kind));
  tn_status status = encode_one(t, value->text, pair, o, &e, err);
  if (status == TN_OK) {
    tn_cli_json j;
    tn_cli_json_begin(&j);
    write_ids(&j.w, &e.ids);
    tn_cli_json_finish(&j);
  }
  tn_encoding_clear(&e);
  return status;
}

static tn_status encode_lines(const tn_tokenizer *t, tn_str text, const encode_options *o,
                              tn_error *err) {
  tn_arena arena = {0};
  tn_status status = TN_OK;
  for (int64_t number = 1; text.length && status == TN_OK; number++) {
    tn_str line = tn_str_trim(tn_str_cut(&text, '\n'));
    if (!line.length) continue;
    tn_arena_reset(&arena);
    status = encode_line(t, line, o, &arena, err);
    if (status != TN_OK) status = tn_error_context(err, status, "line %lld", (long long)number);
  }
  tn_arena_clear(&arena);
  return status;
}

static tn_status encode_input(const char *tokenizer, const char *path, const encode_options *o,
                              tn_error *err) {
  tn_tokenizer *t;
  TN_TRY(tn_tokenizer_open(&t, tokenizer, err));
  tn_strbuf input = {0};
  tn_str text = tn_str_of(o->text);
  tn_status status = TN_OK;
  if (!o->text) {
    status = tn_file_read(path ? path : "-", INPUT_BYTES_MAX, &input, err);
    text = tn_strbuf_view(&input);
  }
  if (status == TN_OK) status = (o->lines ? encode_lines : encode_text)(t, text, o, err);
  tn_strbuf_clear(&input);
  tn_tokenizer_free(t);
  return status;
}

static int run_encode(int argc, char **argv) {
  encode_options o = {0};
  const tn_option options[] = {
      {"--text", 't', TN_OPTION_TEXT, &o.text, "TEXT", "encode this instead of a file"},
      {"--special", 0, TN_OPTION_FLAG, &o.special, NULL,
       "special tokens in the text become their ids"},
      {"--add", 0, TN_OPTION_FLAG, &o.add, NULL,
       "the post-processor adds its tokens ([CLS], <s>, ...)"},
      {"--pair", 0, TN_OPTION_TEXT, &o.pair, "TEXT", "a second text, for models that take two"},
      {"--truncate", 0, TN_OPTION_FLAG, &o.truncate, NULL,
       "shorten as tokenizer.json says, where it does"},
      {"--show", 0, TN_OPTION_FLAG, &o.show, NULL, "one token a line, id and spelling"},
      {"--json-lines", 0, TN_OPTION_FLAG, &o.lines, NULL,
       "each line is a JSON string (or two in an array); its ids come out as an array"},
      {"--json", 0, TN_OPTION_FLAG, &o.json, NULL, "ids and spellings as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon tokenizer encode [options] TOKENIZER [FILE | -]",
      .about = "Turns text into token ids. Without FILE or --text it reads standard input.",
      .example = "tenon tokenizer encode tok --text 'It is a truth universally acknowledged'",
      .options = options,
      .words_min = 1,
      .words_max = 2};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (o.text && count == 2) return tn_cli_usage_error("both --text and a file: which one?");
  tn_error err = {0};
  if (encode_input(argv[1], count == 2 ? argv[2] : NULL, &o, &err) != TN_OK)
    return tn_cli_fail(&err, err.status == TN_ERR_NOT_FOUND ? tokenizer_hint : NULL);
  return 0;
}

/* ---- decode
 * ---------------------------------------------------------------------------------------------- */
static tn_status add_id(tn_ids *ids, tn_str word, tn_error *err) {
  int64_t id;
  if (!tn_str_to_i64(word, &id) || id < 0 || id > INT32_MAX)
    return tn_fail(err, TN_ERR_DATA, "'%.*s' is no token id",
                   (int)(word.length > 40 ? 40 : word.length), word.data);
  TN_TRY(tn_grow((void **)&ids->items, &ids->capacity, ids->count + 1, sizeof *ids->items, err));
  ids->items[ids->count++] = (int32_t)id;
  return TN_OK;
}

/* Numbers parted by anything that is no digit: "1 2", "[1, 2]". */
static tn_status add_ids(tn_ids *ids, tn_str text, tn_error *err) {
  static const char separators[] = " \t\r\n,[]";
  size_t at = 0;
  while (at < text.length) {
    size_t start = at;
    while (at < text.length && !memchr(separators, text.data[at], sizeof separators - 1)) at++;
    if (at > start) TN_TRY(add_id(ids, (tn_str){text.data + start, at - start}, err));
    at++;
  }
  return TN_OK;
}

static tn_status decode_words(char **words, int32_t count, tn_ids *ids, tn_error *err) {
  tn_strbuf input = {0};
  tn_status status = TN_OK;
  if (count == 0 || (count == 1 && strcmp(words[0], "-") == 0)) {
    status = tn_file_read("-", INPUT_BYTES_MAX, &input, err);
    if (status == TN_OK) status = add_ids(ids, tn_strbuf_view(&input), err);
  }
  for (int32_t i = 0; input.data == NULL && i < count && status == TN_OK; i++)
    if (strcmp(words[i], "-") != 0) status = add_ids(ids, tn_str_of(words[i]), err);
  tn_strbuf_clear(&input);
  return status;
}

static void print_decoded(tn_str text, bool json) {
  if (!json) {
    fwrite(text.data ? text.data : "", 1, text.length, stdout);
    return;
  }
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "text"), tn_json_str(&j.w, text);
  tn_json_key(&j.w, "bytes"), tn_json_i64(&j.w, (int64_t)text.length);
  tn_json_key(&j.w, "valid_utf8"), tn_json_bool(&j.w, tn_utf8_valid(text));
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

typedef struct decode_options {
  bool keep_special, lines, json;
} decode_options;

static tn_status decode_words_of(const tn_tokenizer *t, char **words, int32_t count,
                                 const decode_options *o, tn_error *err) {
  tn_ids ids = {0};
  tn_strbuf text = {0};
  tn_status status = decode_words(words, count, &ids, err);
  if (status == TN_OK)
    status = tn_tokenizer_decode(t, ids.items, ids.count, o->keep_special, &text, err);
  if (status == TN_OK) print_decoded(tn_strbuf_view(&text), o->json);
  tn_strbuf_clear(&text);
  tn_ids_clear(&ids);
  return status;
}

/* Each line of standard input is a list of ids; its text comes out as one JSON string. */
static tn_status decode_lines(const tn_tokenizer *t, const decode_options *o, tn_error *err) {
  tn_strbuf input = {0}, text = {0}, repaired = {0};
  tn_ids ids = {0};
  tn_status status = tn_file_read("-", INPUT_BYTES_MAX, &input, err);
  tn_str rest = tn_strbuf_view(&input);
  while (status == TN_OK && rest.length) {
    tn_str line = tn_str_cut(&rest, '\n');
    ids.count = 0;
    tn_strbuf_reset(&text);
    status = add_ids(&ids, line, err);
    if (status == TN_OK)
      status = tn_tokenizer_decode(t, ids.items, ids.count, o->keep_special, &text, err);
    if (status != TN_OK) break;
    tn_strbuf_reset(&repaired);
    tn_utf8_append_repaired(&repaired, tn_strbuf_view(&text));
    tn_cli_json j;
    tn_cli_json_begin(&j);
    tn_json_str(&j.w, tn_strbuf_view(&repaired));
    tn_cli_json_finish(&j);
  }
  tn_strbuf_clear(&input);
  tn_strbuf_clear(&repaired);
  tn_strbuf_clear(&text);
  tn_ids_clear(&ids);
  return status;
}

static tn_status decode(const char *tokenizer, char **words, int32_t count, const decode_options *o,
                        tn_error *err) {
  tn_tokenizer *t;
  TN_TRY(tn_tokenizer_open(&t, tokenizer, err));
  tn_status status = o->lines ? decode_lines(t, o, err) : decode_words_of(t, words, count, o, err);
  tn_tokenizer_free(t);
  return status;
}

static int run_decode(int argc, char **argv) {
  decode_options o = {0};
  const tn_option options[] = {
      {"--keep-special", 0, TN_OPTION_FLAG, &o.keep_special, NULL, "write special tokens too"},
      {"--json-lines", 0, TN_OPTION_FLAG, &o.lines, NULL,
       "each line of standard input holds ids; its text comes out as a JSON string"},
      {"--json", 0, TN_OPTION_FLAG, &o.json, NULL, "the text as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon tokenizer decode [options] TOKENIZER [ID... | -]",
      .about =
          "Turns token ids back into the bytes they stand for, exactly, with no new line\n"
          "behind. Without ids it reads them from standard input.",
      .example = "tenon tokenizer encode tok --text 'to and fro' | tenon tokenizer decode tok",
      .options = options,
      .words_min = 1,
      .words_max = -1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  tn_error err = {0};
  if (decode(argv[1], argv + 2, count - 1, &o, &err) != TN_OK)
    return tn_cli_fail(&err, err.status == TN_ERR_NOT_FOUND ? tokenizer_hint : NULL);
  return 0;
}

/* ---- inspect
 * -----------------------------------------------------------------------------------------------
 */
#define SPECIALS_SHOWN 8

typedef struct vocab_summary {
  int64_t size, tokens, specials;
  size_t longest_bytes;
  int32_t longest, eos;
} vocab_summary;

static vocab_summary summarize(const tn_tokenizer *t, const char *path) {
  vocab_summary s = {.size = tn_tokenizer_vocab_size(t),
                     .longest = -1,
                     .eos = tn_tokenizer_eos(t, tn_dir_exists(path) ? path : NULL)};
  for (int64_t id = 0; id < s.size; id++) {
    tn_str bytes = tn_tokenizer_bytes(t, (int32_t)id);
    if (!bytes.data) continue;
    s.tokens++;
    if (tn_tokenizer_is_special(t, (int32_t)id)) {
      s.specials++;
    } else if (bytes.length > s.longest_bytes) {
      s.longest_bytes = bytes.length;
      s.longest = (int32_t)id;
    }
  }
  return s;
}

static void inspect_json(const tn_tokenizer *t, const vocab_summary *s) {
  char hash[17];
  snprintf(hash, sizeof hash, "%016llx", (unsigned long long)tn_tokenizer_hash(t));
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_json_key(&j.w, "vocab_size"), tn_json_i64(&j.w, s->size);
  tn_json_key(&j.w, "tokens"), tn_json_i64(&j.w, s->tokens);
  tn_json_key(&j.w, "eos_id"), tn_json_i64(&j.w, s->eos);
  tn_json_key(&j.w, "hash"), tn_json_cstr(&j.w, hash);
  tn_json_key(&j.w, "longest"), tn_json_str(&j.w, tn_tokenizer_token(t, s->longest));
  tn_json_key(&j.w, "specials");
  tn_json_begin_object(&j.w);
  for (int64_t id = 0; id < s->size; id++) {
    if (!tn_tokenizer_is_special(t, (int32_t)id)) continue;
    tn_json_key_str(&j.w, tn_tokenizer_token(t, (int32_t)id));
    tn_json_i64(&j.w, id);
  }
  tn_json_end_object(&j.w);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void inspect_text(const tn_tokenizer *t, const vocab_summary *s) {
  tn_strbuf out = {0};
  tn_str eos = tn_tokenizer_token(t, s->eos), longest = tn_tokenizer_token(t, s->longest);
  tn_strbuf_add(&out, "vocabulary     ");
  tn_strbuf_add_count_human(&out, s->size);
  tn_strbuf_add(&out, " ids, ");
  tn_strbuf_add_count_human(&out, s->tokens);
  tn_strbuf_add(&out, " in use\n");
  if (eos.data) tn_strbuf_addf(&out, "end of text    %d  %.*s\n", s->eos, TN_STR_ARG(eos));
  tn_strbuf_addf(&out, "special        %lld\n", (long long)s->specials);
  int64_t shown = 0;
  for (int64_t id = 0; id < s->size && shown < SPECIALS_SHOWN; id++) {
    if (!tn_tokenizer_is_special(t, (int32_t)id)) continue;
    tn_str token = tn_tokenizer_token(t, (int32_t)id);
    tn_strbuf_addf(&out, "               %lld  %.*s\n", (long long)id, TN_STR_ARG(token));
    shown++;
  }
  if (shown < s->specials)
    tn_strbuf_addf(&out, "               ... and %lld more\n", (long long)(s->specials - shown));
  if (longest.data)
    tn_strbuf_addf(&out, "longest        %zu bytes  %.*s\n", s->longest_bytes, TN_STR_ARG(longest));
  tn_strbuf_addf(&out, "xxh64          %016llx\n", (unsigned long long)tn_tokenizer_hash(t));
  if (!out.failed) fputs(out.data, stdout);
  tn_strbuf_clear(&out);
}

static int run_inspect(int argc, char **argv) {
  bool json = false;
  const tn_option options[] = {
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "everything as one JSON object"}, {0}};
  const tn_usage usage = {.words = "tenon tokenizer inspect [options] TOKENIZER",
                          .about = "Shows what a tokenizer holds.",
                          .example = "tenon tokenizer inspect runs/austen",
                          .options = options,
                          .words_min = 1,
                          .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  tn_error err = {0};
  tn_tokenizer *t;
  if (tn_tokenizer_open(&t, argv[1], &err) != TN_OK)
    return tn_cli_fail(&err, err.status == TN_ERR_NOT_FOUND ? tokenizer_hint : NULL);
  vocab_summary summary = summarize(t, argv[1]);
  (json ? inspect_json : inspect_text)(t, &summary);
  tn_tokenizer_free(t);
  return 0;
}

/* ---- convert
 * ------------------------------------------------------------------------------------- */
static tn_status convert(const char *from, const char *to, tn_error *err) {
  tn_tokenizer *t;
  TN_TRY(tn_tokenizer_open(&t, from, err));
  tn_status status = tn_tokenizer_save(t, to, err);
  tn_tokenizer_free(t);
  return status;
}

static int run_convert(int argc, char **argv) {
  const tn_option options[] = {{0}};
  const tn_usage usage = {
      .words = "tenon tokenizer convert TOKENIZER OUT.json",
      .about =
          "Writes the vocabulary of a GGUF file or a SentencePiece model as tokenizer.json,\n"
          "which Hugging Face's tokenizers loads.",
      .example = "tenon tokenizer convert llama.gguf tokenizer.json",
      .options = options,
      .words_min = 2,
      .words_max = 2};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  tn_error err = {0};
  if (convert(argv[1], argv[2], &err) != TN_OK)
    return tn_cli_fail(&err, err.status == TN_ERR_NOT_FOUND ? tokenizer_hint : NULL);
  return 0;
}

/* ---- the command
 * ------------------------------------------------------------------------------------------- */
static int run_tokenizer(int argc, char **argv) {
  static const tn_subcommand subs[] = {
      {"train", "learn a vocabulary from texts", run_train},
      {"encode", "text to token ids", run_encode},
      {"decode", "token ids to text", run_decode},
      {"inspect", "what a tokenizer holds", run_inspect},
      {"convert", "GGUF or SentencePiece to tokenizer.json", run_convert},
      {0}};
  return tn_dispatch("tokenizer", "Tokenizers in the format of Hugging Face's tokenizers.", subs,
                     argc, argv);
}

const tn_command tn_command_tokenizer = {"tokenizer", "train, encode, decode, inspect, convert",
                                         run_tokenizer};
