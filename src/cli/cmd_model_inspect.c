/* cmd_model_inspect.c - `tenon models inspect`: what a model is and what it needs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <inttypes.h>

#include "base/io.h"
#include "cli/cli.h"
#include "cli/cmd_model.h"
#include "cli/load_options.h"
#include "cli/model_path.h"
#include "model/chat_template.h"
#include "model/gguf.h"
#include "model/weight_source.h"

enum { TOKENIZER_BYTES_MAX = 256 << 20 };

static const tn_dtype kv_dtypes[] = {TN_F32, TN_F16, TN_BF16, TN_I8, TN_F8_E4M3};

typedef struct facts {
  tn_model *model;
  tn_strbuf path;         /* of the folder or file that is the model */
  tn_strbuf files;        /* "safetensors", "GGUF version 3" */
  tn_strbuf types;        /* as held: "q4_0 and float32" */
  tn_strbuf quantization; /* "AWQ, 4 bits, groups of 128"; empty: none */
  tn_strbuf tokenizer;    /* "BPE (tokenizer.json)"; empty: none */
  tn_strbuf licence;      /* file name, or what the metadata says; empty: none */
  tn_dtype most;          /* the type of most parameters */
  bool has_template;
} facts;

static void clear(facts *f) {
  tn_model_free(f->model);
  tn_strbuf *texts[] = {&f->path,         &f->files,     &f->types,
                        &f->quantization, &f->tokenizer, &f->licence};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) tn_strbuf_clear(texts[i]);
}

/* ---- collecting ---- */

/* "bfloat16", or "q4_0 and float32" where a model mixes; the type of most parameters first. */
static void add_types(facts *f) {
  int64_t elements[TN_DTYPE_COUNT] = {0}, count;
  const tn_parameter *p = tn_model_parameters(f->model, &count);
  for (int64_t i = 0; i < count; i++) elements[p[i].tensor.dtype] += tn_tensor_count(&p[i].tensor);
  for (bool first = true;; first = false) {
    int32_t most = 0;
    for (int32_t d = 1; d < TN_DTYPE_COUNT; d++)
      if (elements[d] > elements[most]) most = d;
    if (elements[most] == 0) return;
    if (first) f->most = (tn_dtype)most;
    tn_strbuf_addf(&f->types, "%s%s", first ? "" : " and ", tn_dtype_name((tn_dtype)most));
    elements[most] = 0;
  }
}

static bool holds(const facts *f, const char *name) {
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/%s", f->path.data, name);
  bool there = !path.failed && tn_file_exists(path.data);
  tn_strbuf_clear(&path);
  return there;
}

/* Added tokens whose ids the model does not have. */
static int64_t count_unknown(const facts *f, const tn_json *root) {
  const tn_json *added = tn_json_get(root, "added_tokens");
  int64_t count = 0, rows = tn_model_config_of(f->model)->vocab_size;
  for (const tn_json *item = added ? added->first : NULL; item; item = item->next) {
    const tn_json *id = tn_json_get(item, "id");
    count += id && id->kind == TN_JSON_NUMBER && id->is_integer && id->integer >= rows;
  }
  return count;
}

/* model.type of tokenizer.json. */
static tn_status read_tokenizer_json(facts *f, tn_error *err) {
  tn_strbuf path = {0}, text = {0};
  tn_arena arena = {0};
  tn_json *root = NULL;
  tn_str kind = TN_STR("BPE"); /* what it is where the oldest files say nothing */
  tn_strbuf_addf(&path, "%s/tokenizer.json", f->path.data);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = tn_file_read(path.data, TOKENIZER_BYTES_MAX, &text, err);
  if (status == TN_OK) status = tn_json_parse(&root, &arena, tn_strbuf_view(&text), NULL, err);
  const tn_json *model = status == TN_OK ? tn_json_get(root, "model") : NULL;
  if (status == TN_OK) status = tn_json_get_str(model, "type", &kind, err);
  if (status == TN_OK) tn_strbuf_addf(&f->tokenizer, "%.*s (tokenizer.json)", TN_STR_ARG(kind));
  int64_t unknown = status == TN_OK ? count_unknown(f, root) : 0;
  if (unknown > 0)
    tn_strbuf_addf(&f->tokenizer, "; the model does not have %lld of its added tokens",
                   (long long)unknown);
  if (status != TN_OK)
    tn_error_context(err, status, "%s", path.data ? path.data : "tokenizer.json");
  tn_arena_clear(&arena);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status look_at_tokenizer(facts *f, tn_error *err) {
  if (holds(f, "tokenizer.json")) return read_tokenizer_json(f, err);
  if (holds(f, "tokenizer.model")) tn_strbuf_add(&f->tokenizer, "SentencePiece (tokenizer.model)");
  return TN_OK;
}

static bool is_licence(const char *name) {
  static const char *const starts[] = {"LICENSE", "LICENCE", "License", "Licence",
                                       "license", "licence", "COPYING", "USE_POLICY"};
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
    if (strncmp(name, starts[i], strlen(starts[i])) == 0) return true;
  return false;
}

static void look_for_licence(facts *f, const char *folder) {
  DIR *dir = opendir(folder);
  for (struct dirent *d; dir && f->licence.length == 0 && (d = readdir(dir));)
    if (is_licence(d->d_name)) tn_strbuf_add(&f->licence, d->d_name);
  if (dir) closedir(dir);
}

static tn_status look_at_folder(facts *f, tn_error *err) {
  tn_chat_template *t = NULL;
  TN_TRY(tn_chat_template_open(&t, f->path.data, err));
  f->has_template = t != NULL;
  tn_chat_template_free(t);
  look_for_licence(f, f->path.data);
  return look_at_tokenizer(f, err);
}

static const char *gguf_tokenizer(tn_str model) {
  static const char *const kinds[][2] = {
      {"gpt2", "BPE"}, {"llama", "SentencePiece BPE"}, {"bert", "WordPiece"}, {"t5", "Unigram"}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (tn_str_is(model, kinds[i][0])) return kinds[i][1];
  return "of a kind that is not known";
}

static tn_status look_at_gguf(facts *f, const tn_gguf *g, tn_error *err) {
  tn_str model = {0}, licence = {0};
  const tn_gguf_value *tokens;
  TN_TRY(tn_gguf_get_str(g, "tokenizer.ggml.model", &model, err));
  TN_TRY(tn_gguf_get_str(g, "general.license", &licence, err));
  TN_TRY(tn_gguf_get_array(g, "tokenizer.ggml.tokens", TN_GGUF_STRING, &tokens, err));
  if (model.data && tokens) tn_strbuf_addf(&f->tokenizer, "%s (metadata)", gguf_tokenizer(model));
  tn_strbuf_add_str(&f->licence, licence);
  f->has_template = tn_gguf_find(g, "tokenizer.chat_template") != NULL;
  return TN_OK;
}

static tn_status look_at_file(facts *f, const char *path, tn_error *err) {
  tn_gguf *g;
  TN_TRY(tn_gguf_open(&g, path, err));
  tn_status status = look_at_gguf(f, g, err);
  tn_gguf_close(g);
  tn_strbuf_add(&f->files, "GGUF");
  if (tn_dtype_block(f->most) > 1)
    tn_strbuf_addf(&f->quantization, "GGUF, mostly %s", tn_dtype_name(f->most));
  return status;
}

static tn_status look_at_source(facts *f, tn_error *err) {
  tn_weight_source *source;
  const char *config_path;
  TN_TRY(tn_weight_source_open(&source, f->path.data, tn_cli_pool(0), err));
  tn_weight_source_config(source, &config_path);
  tn_status status = TN_OK;
  if (tn_gguf_is_file(config_path)) {
    status = look_at_file(f, config_path, err);
  } else {
    tn_strbuf_add(&f->files, "safetensors");
    tn_quant_config_describe(tn_weight_source_quant(source), &f->quantization);
    status = look_at_folder(f, err);
  }
  tn_weight_source_close(source);
  return status;
}

static tn_status collect(facts *f, const char *word, bool quiet, tn_error *err) {
  tn_load_options load;
  tn_load_options_init(&load, 0, quiet, true);
  load.model.packed = false;
  TN_TRY(tn_model_path(word, &f->path, err));
  TN_TRY(tn_model_open_with(&f->model, f->path.data, tn_device_cpu(), &load.model, err));
  add_types(f);
  TN_TRY(look_at_source(f, err));
  tn_strbuf *texts[] = {&f->files, &f->types, &f->quantization, &f->tokenizer, &f->licence};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) TN_TRY(tn_strbuf_check(texts[i], err));
  return TN_OK;
}

/* ---- showing ---- */

/* Empty: null. */
static void json_text(tn_json_writer *w, const char *key, const tn_strbuf *text) {
  tn_json_key(w, key);
  if (text->length)
    tn_json_str(w, tn_strbuf_view(text));
  else
    tn_json_null(w);
}

/* What a model does not have is null. */
static void json_rope(tn_json_writer *w, const tn_model_config *c) {
  tn_json_key(w, "rope_theta");
  if (c->learned_positions)
    tn_json_null(w);
  else
    tn_json_f64(w, c->rope_theta);
}

static void json_head(tn_json_writer *w, const tn_model_config *c) {
  tn_json_key(w, "tied");
  if (c->task == TN_TASK_GENERATE)
    tn_json_bool(w, c->tied);
  else
    tn_json_null(w);
  tn_json_key(w, "labels");
  if (c->task == TN_TASK_CLASSIFY)
    tn_json_i64(w, c->labels);
  else
    tn_json_null(w);
}

static void json_shape(tn_json_writer *w, const tn_model_config *c) {
  tn_cli_json_i64(w, "vocab_size", c->vocab_size);
  tn_cli_json_i64(w, "hidden_size", c->hidden_size);
  tn_cli_json_i64(w, "intermediate_size", c->intermediate_size);
  tn_cli_json_i64(w, "layers", c->layers);
  tn_cli_json_i64(w, "heads", c->heads);
  tn_cli_json_i64(w, "kv_heads", c->kv_heads);
  tn_cli_json_i64(w, "head_dim", c->head_dim);
  tn_cli_json_i64(w, "experts", c->experts);
  tn_cli_json_i64(w, "experts_per_token", c->experts_per_token);
  tn_cli_json_i64(w, "positions_max", c->positions_max);
  json_rope(w, c);
  tn_cli_json_f64(w, "norm_eps", c->norm_eps);
  json_head(w, c);
  tn_json_key(w, "eos_ids"), tn_json_begin_array(w);
  if (c->eos_id >= 0) tn_json_i64(w, c->eos_id);
  for (int64_t i = 0; i < c->eos_more_count; i++) tn_json_i64(w, c->eos_more[i]);
  tn_json_end_array(w);
}

static tn_dtype kv_dtype_of(const facts *f) {
  return tn_model_config_of(f->model)->encoder ? TN_F32 : tn_kv_dtype_auto(f->model);
}

static void json_kv(tn_json_writer *w, const facts *f) {
  const tn_model_config *c = tn_model_config_of(f->model);
  tn_dtype own = kv_dtype_of(f);
  tn_cli_json_text(w, "kv_type", tn_kv_dtype_word(own));
  tn_cli_json_i64(w, "kv_bytes_per_1000_tokens", tn_kv_cache_block_bytes(c, own, 1000));
  tn_json_key(w, "kv_bytes_per_1000_tokens_of"), tn_json_begin_object(w);
  for (size_t i = 0; i < sizeof kv_dtypes / sizeof *kv_dtypes; i++)
    tn_cli_json_i64(w, tn_kv_dtype_word(kv_dtypes[i]),
                    tn_kv_cache_block_bytes(c, kv_dtypes[i], 1000));
  tn_json_end_object(w);
}

static void show_json(const facts *f) {
  const tn_model_config *c = tn_model_config_of(f->model);
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "architecture", tn_model_config_class(c));
  json_text(&j.w, "files", &f->files);
  tn_cli_json_i64(&j.w, "parameters", tn_model_config_parameters(c));
  json_text(&j.w, "dtype", &f->types);
  json_text(&j.w, "quantization", &f->quantization);
  tn_cli_json_i64(&j.w, "weight_bytes", tn_model_weight_bytes(f->model));
  json_kv(&j.w, f);
  json_shape(&j.w, c);
  json_text(&j.w, "tokenizer", &f->tokenizer);
  tn_cli_json_bool(&j.w, "chat_template", f->has_template);
  json_text(&j.w, "licence", &f->licence);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void add_row(tn_strbuf *t, const char *name, const tn_strbuf *text, const char *otherwise) {
  tn_strbuf_addf(t, "%-13s %s\n", name, text->length ? text->data : otherwise);
}

static void add_head(tn_strbuf *t, const tn_model_config *c) {
  if (c->task == TN_TASK_CLASSIFY)
    tn_strbuf_addf(t, "; the head scores %" PRId64 " label%s\n", c->labels,
                   c->labels == 1 ? "" : "s");
  else if (c->task == TN_TASK_EMBED)
    tn_strbuf_add(t, "; no head: hidden states come out\n");
  else
    tn_strbuf_addf(t, ", the head is %s\n", c->tied ? "the embedding table" : "a table of its own");
}

static void add_experts(tn_strbuf *t, const tn_model_config *c) {
  if (c->experts == 0) return;
  tn_strbuf_addf(t, "experts       %" PRId64 ", of which %" PRId64 " run for a token\n", c->experts,
                 c->experts_per_token);
}

static void add_size(tn_strbuf *t, const facts *f, const tn_model_config *c) {
  tn_strbuf_add(t, "parameters    ");
  tn_strbuf_add_count_human(t, tn_model_config_parameters(c));
  tn_strbuf_addf(t, " in %s\n", f->types.data);
  if (f->quantization.length) tn_strbuf_addf(t, "quantization  %s\n", f->quantization.data);
  tn_strbuf_add(t, "memory        ");
  tn_strbuf_add_bytes_human(t, (double)tn_model_weight_bytes(f->model));
  tn_strbuf_add(t, " of weights at load\nKV cache      ");
  tn_dtype own = kv_dtype_of(f);
  tn_strbuf_add_bytes_human(t, (double)tn_kv_cache_block_bytes(c, own, 1000));
  tn_strbuf_addf(t, " per 1,000 tokens in %s", tn_kv_dtype_word(own));
  for (size_t i = 0; i < sizeof kv_dtypes / sizeof *kv_dtypes && !c->encoder; i++) {
    if (kv_dtypes[i] == own) continue;
    tn_strbuf_addf(t, ", %s ", tn_kv_dtype_word(kv_dtypes[i]));
    tn_strbuf_add_bytes_human(t, (double)tn_kv_cache_block_bytes(c, kv_dtypes[i], 1000));
  }
  tn_strbuf_add(t, "\n");
}

static void show_text(const facts *f) {
  const tn_model_config *c = tn_model_config_of(f->model);
  tn_strbuf t = {0};
  tn_strbuf_addf(&t, "architecture  %s, from %s\n", tn_model_config_class(c), f->files.data);
  tn_strbuf_addf(&t,
                 "shape         %" PRId64 " layers, hidden %" PRId64 ", feed-forward %" PRId64 "\n",
                 c->layers, c->hidden_size, c->intermediate_size);
  tn_strbuf_addf(&t,
                 "attention     %" PRId64 " heads of %" PRId64 ", %" PRId64 " key/value heads; ",
                 c->heads, c->head_dim, c->kv_heads);
  if (c->learned_positions)
    tn_strbuf_add(&t, "a table of positions\n");
  else
    tn_strbuf_addf(&t, "rope theta %g\n", c->rope_theta);
  add_experts(&t, c);
  tn_strbuf_add(&t, "vocabulary    ");
  tn_strbuf_add_count_human(&t, c->vocab_size);
  add_head(&t, c);
  tn_strbuf_add(&t, "positions     up to ");
  tn_strbuf_add_count_human(&t, c->positions_max);
  tn_strbuf_add(&t, "\n");
  add_size(&t, f, c);
  add_row(&t, "tokenizer", &f->tokenizer, "none beside the weights");
  tn_strbuf_addf(&t, "template      %s\n", f->has_template ? "for chat" : "none");
  add_row(&t, "licence", &f->licence, "no file says");
  if (!t.failed) fputs(t.data, stdout);
  tn_strbuf_clear(&t);
}

static const char *open_hint(const tn_error *err) {
  switch (err->status) {
    case TN_ERR_NOT_FOUND:
      return "a model is a folder with config.json and model.safetensors, as Hugging Face saves "
             "them, or a .gguf file";
    case TN_ERR_CHECKSUM:
      return "the file was damaged after it was written; fetch or make it again";
    default:
      return NULL;
  }
}

int tn_cmd_model_inspect(int argc, char **argv) {
  bool json = false;
  const tn_option options[] = {
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "the result as one JSON object"}, {0}};
  const tn_usage usage = {.words = "tenon models inspect [options] DIR|FILE.gguf",
                          .about =
                              "Opens a model (checking every shape and recorded checksum) and says "
                              "what it is and what\nit needs: architecture, parameters and their "
                              "types, memory, tokenizer, chat template, licence.",
                          .example = "tenon models inspect llama-3.2-1b-q4_k_m.gguf",
                          .options = options,
                          .words_min = 1,
                          .words_max = 1};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  tn_error err = {0};
  facts f = {0};
  tn_status status = collect(&f, argv[1], json, &err);
  if (status == TN_OK && json) show_json(&f);
  if (status == TN_OK && !json) show_text(&f);
  clear(&f);
  return status == TN_OK ? 0 : tn_cli_fail(&err, open_hint(&err));
}
