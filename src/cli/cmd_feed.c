/* cmd_feed.c - `tenon feed`: pack, inspect, bench. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "feed/documents.h"
#include "feed/loader.h"
#include "model/tokenizer.h"

/* ---- pack
 * ---------------------------------------------------------------------------------------- */
typedef struct pack_options {
  const char *tokenizer, *out, *column, *eos;
  int64_t shard_tokens, threads;
  bool force, quiet, json;
} pack_options;

typedef struct pack_result {
  int64_t documents, tokens, shards, text_bytes, nulls;
  double seconds;
} pack_result;

/* The documents of one batch, encoded on the pool and written in their order. */
typedef struct encoder {
  const tn_tokenizer *t;
  const tn_str *texts;
  tn_ids *ids;
  tn_status *statuses;
  tn_error *errors;
  size_t ids_capacity, status_capacity, error_capacity;
} encoder;

static void encode_item(void *context, int64_t item, int32_t worker) {
  encoder *e = context;
  e->ids[item].count = 0;
  e->statuses[item] =
      tn_tokenizer_encode(e->t, e->texts[item], false, &e->ids[item], &e->errors[item]);
}

static void encoder_clear(encoder *e) {
  for (size_t i = 0; i < e->ids_capacity; i++) tn_ids_clear(&e->ids[i]);
  tn_free(e->ids);
  tn_free(e->statuses);
  tn_free(e->errors);
}

static tn_status encode_batch(encoder *e, const tn_document_batch *batch, tn_pool *pool,
                              tn_error *err) {
  size_t want = (size_t)batch->count;
  TN_TRY(tn_grow((void **)&e->ids, &e->ids_capacity, want, sizeof *e->ids, err));
  TN_TRY(tn_grow((void **)&e->statuses, &e->status_capacity, want, sizeof *e->statuses, err));
  TN_TRY(tn_grow((void **)&e->errors, &e->error_capacity, want, sizeof *e->errors, err));
  e->texts = batch->texts;
  tn_pool_run(pool, batch->count, encode_item, e);
  return TN_OK;
}

static tn_status write_batch(const encoder *e, const tn_document_batch *batch, tn_shard_writer *w,
                             pack_result *result, tn_error *err) {
  for (int64_t i = 0; i < batch->count; i++) {
    if (e->statuses[i] != TN_OK) {
      *err = e->errors[i];
      return tn_error_context(err, e->statuses[i], "document %lld",
                              (long long)tn_shard_writer_documents(w));
    }
    TN_TRY(tn_shard_writer_document(w, e->ids[i].items, (int64_t)e->ids[i].count, err));
    result->text_bytes += (int64_t)batch->texts[i].length;
  }
  return TN_OK;
}

static tn_status pack_documents(const tn_tokenizer *t, tn_documents *documents, tn_shard_writer *w,
                                const pack_options *o, pack_result *result, tn_error *err) {
  encoder e = {.t = t};
  tn_document_batch batch;
  tn_pool *pool = tn_cli_pool((int32_t)o->threads);
  tn_progress progress = tn_cli_progress(o->quiet || o->json);
  tn_progress_begin(&progress, "pack", "B", tn_documents_bytes_total(documents));
  tn_status status;
  while ((status = tn_documents_next(documents, &batch, err)) == TN_OK) {
    status = encode_batch(&e, &batch, pool, err);
    if (status == TN_OK) status = write_batch(&e, &batch, w, result, err);
    if (status == TN_OK)
      status = tn_progress_at(&progress, tn_documents_bytes_done(documents), err);
    if (status != TN_OK) break;
  }
  encoder_clear(&e);
  if (status != TN_END) return status;
  progress.done = progress.total;
  tn_progress_end(&progress);
  return TN_OK;
}

static tn_status find_eos(const tn_tokenizer *t, const pack_options *o, int32_t *eos,
                          tn_error *err) {
  *eos = o->eos ? (int32_t)tn_tokenizer_id(t, tn_str_of(o->eos))
                : tn_tokenizer_eos(t, tn_dir_exists(o->tokenizer) ? o->tokenizer : NULL);
  if (*eos >= 0) return TN_OK;
  return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no end-of-text token%s%s", o->tokenizer,
                 o->eos ? " " : "", o->eos ? o->eos : "");
}

static tn_status pack(const char *const *paths, int32_t count, const pack_options *o,
                      pack_result *result, tn_error *err) {
  tn_tokenizer *t;
  tn_documents *documents = NULL;
  tn_shard_writer *w = NULL;
  tn_shard_writer_options options = {.shard_tokens = o->shard_tokens, .replace = o->force};
  TN_TRY(tn_tokenizer_open(&t, o->tokenizer, err));
  options.vocab_size = tn_tokenizer_vocab_size(t);
  options.tokenizer_hash = tn_tokenizer_hash(t);
  tn_status status = find_eos(t, o, &options.eos_id, err);
  if (status == TN_OK) status = tn_documents_open(&documents, paths, count, o->column, err);
  if (status == TN_OK) status = tn_shard_writer_new(&w, o->out, &options, err);
  if (status == TN_OK) status = pack_documents(t, documents, w, o, result, err);
  if (status == TN_OK) status = tn_shard_writer_finish(w, err);
  if (status == TN_OK) {
    result->documents = tn_shard_writer_documents(w);
    result->tokens = tn_shard_writer_tokens(w);
    result->shards = tn_shard_writer_shards(w);
    result->nulls = tn_documents_nulls(documents);
  }
  tn_shard_writer_free(w);
  tn_documents_close(documents);
  tn_tokenizer_free(t);
  return status;
}

static void report_pack_json(const pack_options *o, const pack_result *r) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "out", o->out);
  tn_cli_json_i64(&j.w, "documents", r->documents);
  tn_cli_json_i64(&j.w, "nulls", r->nulls);
  tn_cli_json_i64(&j.w, "tokens", r->tokens);
  tn_cli_json_i64(&j.w, "shards", r->shards);
  tn_cli_json_i64(&j.w, "text_bytes", r->text_bytes);
  tn_cli_json_f64(&j.w, "seconds", r->seconds);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void report_pack(const pack_options *o, const pack_result *r) {
  tn_strbuf line = {0};
  tn_strbuf_addf(&line, "%s: ", o->out);
  tn_strbuf_add_count_human(&line, r->tokens);
  tn_strbuf_add(&line, " tokens of ");
  tn_strbuf_add_count_human(&line, r->documents);
  tn_strbuf_addf(&line, " documents in %lld shard%s; ", (long long)r->shards,
                 r->shards == 1 ? "" : "s");
  tn_strbuf_add_bytes_human(&line, (double)r->text_bytes);
  tn_strbuf_add(&line, " of text in ");
  tn_strbuf_add_duration_human(&line, r->seconds);
  if (!line.failed) puts(line.data);
  tn_strbuf_clear(&line);
}

static const char *pack_hint(const tn_error *err) {
  if (err->status == TN_ERR_EXISTS && strstr(err->text, "index.json"))
    return "--force replaces it, whole and at the end; or name another --out";
  if (err->status == TN_ERR_INTERRUPTED)
    return "what the folder held before still holds; the same command starts anew";
  if (err->status == TN_ERR_NOT_FOUND && strstr(err->text, "end-of-text"))
    return "--eos TOKEN names the token that ends a document";
  return NULL;
}

static int run_pack(int argc, char **argv) {
  pack_options o = {.column = "text"};
  const tn_option options[] = {
      {"--tokenizer", 0, TN_OPTION_TEXT, &o.tokenizer, "DIR",
       "tokenizer.json or a folder with one (required)"},
      {"--out", 'o', TN_OPTION_TEXT, &o.out, "DIR", "where shards and index.json go (required)"},
      {"--column", 0, TN_OPTION_TEXT, &o.column, "NAME", "the text column (default text)"},
      {"--shard-tokens", 0, TN_OPTION_COUNT, &o.shard_tokens, "N",
       "tokens a file (default 16 Mi: 64 MiB)"},
      {"--eos", 0, TN_OPTION_TEXT, &o.eos, "TOKEN",
       "ends each document (default: tokenizer_config.json's, or <|endoftext|>)"},
      {"--force", 'f', TN_OPTION_FLAG, &o.force, NULL, "replace a finished set in DIR"},
      {"--threads", 0, TN_OPTION_INT, &o.threads, "N", "0: all CPUs (default)"},
      {"--quiet", 'q', TN_OPTION_FLAG, &o.quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &o.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon feed pack [options] --tokenizer DIR --out DIR IN...",
      .about =
          "Encodes documents (a column of Parquet, Arrow or CSV files, or .txt files) into token\n"
          "shards: Arrow IPC files that training maps without a copy. index.json is written\n"
          "last, so a run that is killed leaves the folder's old set, or none: run it again.",
      .example = "tenon feed pack books.parquet --tokenizer tok --out tokens",
      .options = options,
      .words_min = 1,
      .words_max = -1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (!o.tokenizer) return tn_cli_usage_error("--tokenizer DIR is missing");
  if (!o.out) return tn_cli_usage_error("--out DIR is missing; it says where the shards go");
  if (o.threads < 0 || o.threads > 4096) return tn_cli_usage_error("--threads: 0 to 4096");
  tn_error err = {0};
  pack_result result = {0};
  int64_t start_us = tn_time_us();
  if (pack((const char *const *)argv + 1, count, &o, &result, &err) != TN_OK)
    return tn_cli_fail(&err, pack_hint(&err));
  result.seconds = (double)(tn_time_us() - start_us) / 1e6;
  (o.json ? report_pack_json : report_pack)(&o, &result);
  return 0;
}

/* ---- inspect
 * --------------------------------------------------------------------------------------------- */
static void inspect_json(const tn_token_set *set, bool verified) {
  char hash[17];
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_i64(&j.w, "tokens", tn_token_set_count(set));
  tn_cli_json_i64(&j.w, "documents", tn_token_set_documents(set));
  tn_cli_json_i64(&j.w, "vocab_size", tn_token_set_vocab_size(set));
  tn_cli_json_i64(&j.w, "eos_id", tn_token_set_eos(set));
  snprintf(hash, sizeof hash, "%016" PRIx64, tn_token_set_tokenizer_hash(set));
  tn_cli_json_text(&j.w, "tokenizer_hash", hash);
  snprintf(hash, sizeof hash, "%016" PRIx64, tn_token_set_hash(set));
  tn_cli_json_text(&j.w, "hash", hash);
  tn_cli_json_bool(&j.w, "verified", verified);
  tn_json_key(&j.w, "shards");
  tn_json_begin_array(&j.w);
  for (int64_t i = 0; i < tn_token_set_shards(set); i++) {
    int64_t count;
    const char *file;
    tn_token_set_shard(set, i, &count, &file);
    tn_json_begin_object(&j.w);
    tn_cli_json_text(&j.w, "file", file);
    tn_cli_json_i64(&j.w, "tokens", count);
    tn_json_end_object(&j.w);
  }
  tn_json_end_array(&j.w);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void add_count_line(tn_strbuf *out, const char *label, int64_t count) {
  tn_strbuf_addf(out, "%-15s", label);
  tn_strbuf_add_count_human(out, count);
  tn_strbuf_add_char(out, '\n');
}

static void inspect_text(const tn_token_set *set, bool verified) {
  tn_strbuf out = {0};
  add_count_line(&out, "tokens", tn_token_set_count(set));
  add_count_line(&out, "documents", tn_token_set_documents(set));
  add_count_line(&out, "vocabulary", tn_token_set_vocab_size(set));
  tn_strbuf_addf(&out, "end of text    %d\n", tn_token_set_eos(set));
  tn_strbuf_addf(&out, "tokenizer      %016" PRIx64 "\n", tn_token_set_tokenizer_hash(set));
  tn_strbuf_addf(&out, "content        %016" PRIx64 "%s\n", tn_token_set_hash(set),
                 verified ? " (every shard's hash was recomputed)" : "");
  for (int64_t i = 0; i < tn_token_set_shards(set); i++) {
    int64_t count;
    const char *file;
    tn_token_set_shard(set, i, &count, &file);
    tn_strbuf_addf(&out, "%s%s  ", i ? "               " : "shards         ", file);
    tn_strbuf_add_count_human(&out, count);
    tn_strbuf_add(&out, " tokens\n");
  }
  if (!out.failed) fputs(out.data, stdout);
  tn_strbuf_clear(&out);
}

static const char *set_hint(const tn_error *err) {
  if (err->status == TN_ERR_NOT_FOUND)
    return "a folder without index.json holds no finished set; `tenon feed pack` makes one";
  if (err->status == TN_ERR_CHECKSUM || err->status == TN_ERR_DATA)
    return "pack it again: `tenon feed pack ... --force`";
  return NULL;
}

static int run_inspect(int argc, char **argv) {
  bool json = false, verify = false;
  const tn_option options[] = {
      {"--verify", 0, TN_OPTION_FLAG, &verify, NULL, "read every token and check the hashes"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "everything as one JSON object"},
      {0}};
  const tn_usage usage = {.words = "tenon feed inspect [options] DIR",
                          .about = "Shows what a folder of token shards holds.",
                          .example = "tenon feed inspect tokens --verify",
                          .options = options,
                          .words_min = 1,
                          .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  tn_error err = {0};
  tn_token_set *set;
  if (tn_token_set_open(&set, argv[1], verify, &err) != TN_OK)
    return tn_cli_fail(&err, set_hint(&err));
  (json ? inspect_json : inspect_text)(set, verify);
  tn_token_set_close(set);
  return 0;
}

/* ---- bench
 * -------------------------------------------------------------------------------------------------
 */
typedef struct bench_options {
  int64_t batch, tokens, prefetch, step_us;
  double seconds;
  bool json;
} bench_options;

typedef struct bench_result {
  int64_t batches, shards, shards_mapped;
  double seconds, wait_seconds, tokens_per_second;
  int64_t file_bytes, anon_kib, file_kib; /* tokens on disk; memory of this process now */
} bench_result;

/* Whether an address lies in a mapping of a file with that name, by the kernel's own list. */
static bool is_mapped_from(const void *address, const char *file) {
  FILE *maps = fopen("/proc/self/maps", "r");
  if (!maps) return false;
  char line[4352];
  bool found = false;
  while (!found && fgets(line, sizeof line, maps)) {
    uintptr_t low, high;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &low, &high) != 2) continue;
    line[strcspn(line, "\n")] = '\0';
    const char *name = strrchr(line, '/');
    found = (uintptr_t)address >= low && (uintptr_t)address < high && name &&
            strcmp(name + 1, file) == 0;
  }
  fclose(maps);
  return found;
}

/* "RssAnon:   1234 kB" of /proc/self/status; -1 where the kernel does not say. */
static int64_t memory_kib(const char *key) {
  FILE *status = fopen("/proc/self/status", "r");
  if (!status) return -1;
  char line[256];
  long long kib = -1;
  while (kib < 0 && fgets(line, sizeof line, status))
    if (strncmp(line, key, strlen(key)) == 0) sscanf(line + strlen(key), ": %lld", &kib);
  fclose(status);
  return kib;
}

static void look_at_memory(const tn_token_set *set, bench_result *r) {
  r->shards = tn_token_set_shards(set);
  for (int64_t i = 0; i < r->shards; i++) {
    int64_t count;
    const char *file;
    const int32_t *tokens = tn_token_set_shard(set, i, &count, &file);
    r->shards_mapped += is_mapped_from(tokens, file);
    r->file_bytes += count * (int64_t)sizeof *tokens;
  }
  r->anon_kib = memory_kib("RssAnon");
  r->file_kib = memory_kib("RssFile");
}

static tn_status drain(tn_loader *loader, const bench_options *o, bench_result *r, tn_error *err) {
  tn_token_batch batch;
  TN_TRY(tn_loader_next(loader, &batch, err)); /* the first waits for the thread to start */
  double waited = tn_loader_wait_seconds(loader);
  int64_t start_us = tn_time_us(), end_us = start_us + (int64_t)(o->seconds * 1e6);
  while (tn_time_us() < end_us && !tn_cli_stop_requested()) {
    TN_TRY(tn_loader_next(loader, &batch, err));
    r->batches++;
    if (o->step_us > 0) usleep((useconds_t)o->step_us);
  }
  r->seconds = (double)(tn_time_us() - start_us) / 1e6;
  r->wait_seconds = tn_loader_wait_seconds(loader) - waited;
  r->tokens_per_second = (double)(r->batches * o->batch * o->tokens) / r->seconds;
  return TN_OK;
}

static tn_status bench(const char *folder, const bench_options *o, bench_result *r, tn_error *err) {
  tn_token_set *set;
  tn_loader *loader = NULL;
  TN_TRY(tn_token_set_open(&set, folder, false, err));
  tn_loader_options options = {
      .batch = o->batch, .tokens = o->tokens, .prefetch = (int32_t)o->prefetch};
  tn_status status = tn_loader_new(&loader, set, &options, err);
  if (status == TN_OK) status = drain(loader, o, r, err);
  if (status == TN_OK) look_at_memory(set, r);
  tn_loader_free(loader);
  tn_token_set_close(set);
  return status;
}

static void report_bench_json(const bench_options *o, const bench_result *r) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_i64(&j.w, "batch", o->batch);
  tn_cli_json_i64(&j.w, "tokens", o->tokens);
  tn_cli_json_i64(&j.w, "batches", r->batches);
  tn_cli_json_f64(&j.w, "seconds", r->seconds);
  tn_cli_json_f64(&j.w, "tokens_per_second", r->tokens_per_second);
  tn_cli_json_f64(&j.w, "wait_share", r->wait_seconds / r->seconds);
  tn_cli_json_i64(&j.w, "shards", r->shards);
  tn_cli_json_i64(&j.w, "shards_mapped", r->shards_mapped);
  tn_cli_json_i64(&j.w, "token_bytes", r->file_bytes);
  tn_cli_json_i64(&j.w, "rss_anon_kib", r->anon_kib);
  tn_cli_json_i64(&j.w, "rss_file_kib", r->file_kib);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void report_bench(const bench_options *o, const bench_result *r) {
  tn_strbuf out = {0};
  tn_strbuf_add(&out, "loader    ");
  tn_strbuf_add_count_human(&out, (int64_t)r->tokens_per_second);
  tn_strbuf_addf(&out, " tokens/s in batches of %lld x %lld; ", (long long)o->batch,
                 (long long)o->tokens);
  if (o->step_us > 0)
    tn_strbuf_addf(&out, "with steps of %lld us ", (long long)o->step_us);
  else
    tn_strbuf_add(&out, "with a device that takes no time ");
  tn_strbuf_addf(&out, "it waits %.1f %% of the time\n", 100 * r->wait_seconds / r->seconds);
  tn_strbuf_addf(&out, "mapping   %lld of %lld shards are read where the file is mapped (",
                 (long long)r->shards_mapped, (long long)r->shards);
  tn_strbuf_add_bytes_human(&out, (double)r->file_bytes);
  tn_strbuf_add(&out, " of tokens); this process has ");
  tn_strbuf_add_bytes_human(&out, (double)r->anon_kib * 1024);
  tn_strbuf_add(&out, " of memory of its own\n");
  if (!out.failed) fputs(out.data, stdout);
  tn_strbuf_clear(&out);
}

static int run_bench(int argc, char **argv) {
  bench_options o = {.batch = 16, .tokens = 256, .prefetch = 2, .seconds = 2};
  const tn_option options[] = {
      {"--batch", 0, TN_OPTION_INT, &o.batch, "B", "rows a batch (default 16)"},
      {"--tokens", 0, TN_OPTION_INT, &o.tokens, "T", "tokens a row (default 256)"},
      {"--prefetch", 0, TN_OPTION_INT, &o.prefetch, "N", "batches kept ready (default 2)"},
      {"--step-us", 0, TN_OPTION_INT, &o.step_us, "US",
       "time that a device would take a batch (default 0)"},
      {"--seconds", 0, TN_OPTION_REAL, &o.seconds, "S", "how long to measure (default 2)"},
      {"--json", 0, TN_OPTION_FLAG, &o.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon feed bench [options] DIR",
      .about =
          "Measures the loader over a folder of token shards: tokens a second, the share of time\n"
          "that a device would wait for it, and whether the shards are mapped, not copied.",
      .example = "tenon feed bench tokens --batch 32 --tokens 512 --step-us 2000",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (!(o.seconds > 0 && o.seconds <= 3600)) return tn_cli_usage_error("--seconds: 0 to 3600");
  if (o.step_us < 0 || o.step_us > 999999) return tn_cli_usage_error("--step-us: 0 to 999999");
  if (o.prefetch < 1 || o.prefetch > 1024) return tn_cli_usage_error("--prefetch: 1 to 1024");
  tn_error err = {0};
  bench_result result = {0};
  if (bench(argv[1], &o, &result, &err) != TN_OK) return tn_cli_fail(&err, set_hint(&err));
  (o.json ? report_bench_json : report_bench)(&o, &result);
  return 0;
}

/* ---- the command
 * ------------------------------------------------------------------------------------------- */
static int run_feed(int argc, char **argv) {
  static const tn_subcommand subs[] = {{"pack", "documents to token shards", run_pack},
                                       {"inspect", "what a folder of shards holds", run_inspect},
                                       {"bench", "how fast the loader feeds", run_bench},
                                       {0}};
  return tn_dispatch("feed", "Token shards and the loader that feeds training from them.", subs,
                     argc, argv);
}

const tn_command tn_command_feed = {"feed", "pack texts into token shards; inspect; bench",
                                    run_feed};
