/* cmd_quantize.c - `tenon quantize MODEL OUT`: a model with smaller weights, and what that costs.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/model_folder.h"
#include "cli/text_model.h"
#include "eval/perplexity.h"
#include "quant/activations.h"
#include "quant/compressed.h"
#include "quant/gguf_export.h"
#include "quant/layer_weights.h"
#include "quant/source_check.h"
#include "quant/unfinished.h"

/* Calibration samples are spread over at most this much of the text. */
#define CALIBRATION_TOKENS_MAX ((int64_t)8 << 20)

enum { PASSES_DEFAULT = 3, PASSES_MAX = 1000 };

static const double damping_default = 0.005, strength_default = 0.5;

/* What numbers hold until the user gives them. */
static const double real_not_given = -DBL_MAX;
static const int64_t count_not_given = INT64_MIN;

typedef struct command {
  const char *to, *group, *method, *kv, *column, *format;
  tn_option_list data, eval, ignore;
  int64_t samples, tokens, eval_tokens, passes, threads;
  double damping, strength;
  bool asymmetric, natural_order, no_aim, activations, smooth, force, resume, quiet, json;
  const char *model, *out;
  tn_quantize_options options;
  tn_strbuf unfinished; /* where layers that are done are kept; empty: nothing is calibrated */
  bool kv_is_float, is_gguf;
  bool is_plain; /* no grid is searched for: GGUF files of `plain` */
  tn_dtype plain;
} command;

typedef struct result {
  tn_perplexity before, after; /* windows 0: not measured */
  int64_t bytes_before, bytes_after;
  int64_t samples, tokens; /* of calibration */
  int64_t resumed, kept;   /* layers taken from a run that was stopped, and kept for the next */
  double seconds;
} result;

/* ---- words into options ---- */

static int32_t word_place(const char *word, const char *const *words, int32_t count) {
  for (int32_t i = 0; i < count; i++)
    if (strcmp(word, words[i]) == 0) return i;
  return -1;
}

/* 0: fine, else the exit code. */
static int read_grid(command *c) {
  static const char *const types[] = {"int8", "int4", "fp8",    "f32",
                                      "f16",  "bf16", "q4_k_m", "q6_k"};
  static const tn_dtype plain[] = {TN_F32, TN_F16, TN_BF16, TN_Q4_K, TN_Q6_K};
  static const char *const groups[] = {"32", "64", "128", "channel"};
  static const int64_t group_columns[] = {32, 64, 128, 0};
  int32_t type = word_place(c->to, types, c->is_gguf ? 8 : 3);
  if (type < 0 || (type == 2 && c->is_gguf))
    return tn_cli_usage_error("--to %s: must be %s", c->to,
                              c->is_gguf
                                  ? "int8, int4, q4_k_m, q6_k, f32, f16 or bf16 with --format gguf"
                                  : "int8, int4 or fp8");
  c->is_plain = type > 2;
  if (c->is_plain) c->plain = plain[type - 3];
  if (!c->group) c->group = c->is_gguf ? "32" : type == 1 ? "128" : "channel";
  int32_t group = word_place(c->group, groups, 4);
  if (group < 0) return tn_cli_usage_error("--group %s: must be 32, 64, 128 or channel", c->group);
  if (c->asymmetric && type == 2)
    return tn_cli_usage_error("--asymmetric: fp8 has no zero points, only int8 and int4");
  c->options.grid = (tn_grid){.is_float = type == 2,
                              .bits = type == 1 ? 4 : 8,
                              .symmetric = !c->asymmetric,
                              .group = group_columns[group]};
  return 0;
}

static int check_gguf(command *c) {
  const tn_grid *g = &c->options.grid;
  c->options.half_scales = c->is_gguf;
  if (!c->is_gguf) return 0;
  if (g->group != 32) return tn_cli_usage_error("--format gguf has groups of 32 only");
  if (g->bits == 8 && !g->symmetric)
    return tn_cli_usage_error("--format gguf has zero points for int4 only");
  if (c->activations || c->smooth || c->kv)
    return tn_cli_usage_error("--activations, --smooth and --kv have no place in a GGUF file");
  if (c->is_plain && c->data.count + c->ignore.count > 0)
    return tn_cli_usage_error("--to %s looks at no text and at all linears: no --data, no --ignore",
                              c->to);
  return 0;
}

static int read_method(command *c) {
  static const char *const methods[] = {"rtn", "awq", "gptq"};
  if (!c->method) c->method = c->data.count > 0 ? "gptq" : "rtn";
  int32_t method = word_place(c->method, methods, 3);
  if (method < 0) return tn_cli_usage_error("--method %s: must be rtn, awq or gptq", c->method);
  c->options.method = (tn_quantize_method)method;
  return 0;
}

static int check_activations(const command *c) {
  if (!c->activations) return 0;
  if (c->options.grid.bits == 4)
    return tn_cli_usage_error("--activations: wants --to int8 or fp8, weights and inputs alike");
  if (c->options.grid.group != 0 || !c->options.grid.symmetric)
    return tn_cli_usage_error("--activations: wants --group channel and symmetric weights");
  if (c->smooth && c->options.method == TN_QUANTIZE_AWQ)
    return tn_cli_usage_error("--smooth goes with rtn or gptq; awq moves scales itself");
  return 0;
}

static int read_kv(command *c) {
  if (!c->kv) return 0;
  c->kv_is_float = strcmp(c->kv, "fp8") == 0;
  if (!c->kv_is_float && strcmp(c->kv, "int8") != 0)
    return tn_cli_usage_error("--kv %s: must be int8 or fp8", c->kv);
  c->options.kv_scales = true;
  return 0;
}

/* Where text is read, layers take their time and are kept: OUT.unfinished. */
static int read_reader(command *c) {
  const char *reader = c->options.method != TN_QUANTIZE_RTN ? c->method
                       : c->smooth                          ? "--smooth"
                       : c->options.kv_scales               ? "--kv"
                                                            : NULL;
  if (reader && c->data.count == 0)
    return tn_cli_usage_error("--data is missing: %s calibrates on text", reader);
  if (c->resume && (!reader || c->is_plain))
    return tn_cli_usage_error("--resume: nothing is calibrated, so no layers are kept to resume");
  if (reader && !c->is_plain) tn_strbuf_addf(&c->unfinished, "%s.unfinished", c->out);
  return 0;
}

typedef struct given { /* numbers that the user has given, and are no defaults */
  bool strength, damping, passes;
} given;

static given fill_defaults(command *c) {
  const given g = {c->strength != real_not_given, c->damping != real_not_given,
                   c->passes != count_not_given};
  if (!g.strength) c->strength = strength_default;
  if (!g.damping) c->damping = damping_default;
  if (!g.passes) c->passes = PASSES_DEFAULT;
  return g;
}

/* An option that would do nothing is a slip. */
static int check_company(const command *c, given g) {
  const char *gptq = "--method gptq";
  const bool is_gptq = c->options.method == TN_QUANTIZE_GPTQ;
  const bool has_table = tn_text_has_table(&c->data) || tn_text_has_table(&c->eval);
  const struct {
    const char *option;
    bool is_given, fits;
    const char *company;
  } rules[] = {
      {"--strength", g.strength, c->smooth, "--smooth"},
      {"--damping", g.damping, is_gptq, gptq},
      {"--passes", g.passes, is_gptq, gptq},
      {"--natural-order", c->natural_order, is_gptq, gptq},
      {"--no-aim", c->no_aim, is_gptq, gptq},
      {"--column", c->column, has_table, "a table (.parquet, .csv ...), not with .txt"},
  };
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (rules[i].is_given && !rules[i].fits)
      return tn_cli_usage_error("%s goes with %s", rules[i].option, rules[i].company);
  return 0;
}

static int read_options(command *c) {
  static const char *const formats[] = {"compressed-tensors", "gguf"};
  int32_t format = word_place(c->format, formats, 2);
  if (format < 0)
    return tn_cli_usage_error("--format %s: must be compressed-tensors or gguf", c->format);
  c->is_gguf = format == 1;
  const given g = fill_defaults(c);
  int code = read_method(c);
  if (code == 0) code = read_grid(c);
  if (code == 0) code = check_gguf(c);
  if (code == 0) code = read_kv(c);
  if (c->smooth) c->activations = true;
  if (code == 0) code = check_activations(c);
  if (code != 0) return code;
  if (!(c->damping > 0 && c->damping <= 1 && c->strength > 0 && c->strength <= 1))
    return tn_cli_usage_error("--damping and --strength are shares: above 0, up to 1");
  if (c->passes < 0 || c->passes > PASSES_MAX)
    return tn_cli_usage_error("--passes %" PRId64 ": 0 to %d", c->passes, PASSES_MAX);
  if (c->eval_tokens < 0) return tn_cli_usage_error("--eval-tokens: 0 (all) or more");
  if (c->threads < 0 || c->threads > 1024) return tn_cli_usage_error("--threads: 0 to 1024");
  code = check_company(c, g);
  if (code == 0) code = read_reader(c);
  if (code != 0) return code;
  c->options.smooth = c->smooth;
  c->options.smooth_strength = c->strength;
  c->options.gptq.damping = c->damping;
  c->options.gptq.by_activation = !c->natural_order;
  c->options.gptq.search = true;
  c->options.gptq.passes = (int32_t)c->passes;
  c->options.aim = !c->no_aim;
  c->options.ignore = c->ignore.items;
  c->options.ignore_count = c->ignore.count;
  return 0;
}

/* ---- texts ---- */

/* Samples of `tokens` tokens at even distances, cut out of ids in place. */
static tn_status spread_samples(tn_ids *ids, int64_t tokens, int64_t *samples, tn_error *err) {
  int64_t count = (int64_t)ids->count;
  if (count < tokens)
    return tn_fail(err, TN_ERR_DATA,
                   "the calibration text has %" PRId64 " tokens, one sample wants %" PRId64, count,
                   tokens);
  if (*samples > count / tokens) *samples = count / tokens;
  for (int64_t i = 0; i < *samples; i++) {
    int64_t from = *samples > 1 ? (count - tokens) * i / (*samples - 1) : 0;
    memmove(ids->items + i * tokens, ids->items + from, (size_t)tokens * sizeof *ids->items);
  }
  return TN_OK;
}

static tn_status calibration_ids(const command *c, const tn_text_model *m, tn_ids *ids, result *r,
                                 tn_progress *progress, tn_error *err) {
  int64_t positions = tn_model_config_of(m->model)->positions_max;
  if (c->data.count == 0) return TN_OK;
  r->tokens = c->tokens > 0 ? c->tokens : positions < 2048 ? positions : 2048;
  r->samples = c->samples;
  int64_t most = r->samples * r->tokens;
  if (most < CALIBRATION_TOKENS_MAX) most = CALIBRATION_TOKENS_MAX;
  TN_TRY(tn_text_model_ids(m, ids, &c->data, c->column, most, progress, err));
  return spread_samples(ids, r->tokens, &r->samples, err);
}

/* activations NULL: inputs as they are. */
static tn_status measure(const command *c, const tn_text_model *m, const tn_ids *ids,
                         tn_activations *activations, tn_dtype kv_dtype, tn_perplexity *out,
                         tn_progress *progress, tn_error *err) {
  const tn_perplexity_options o = {.bos_id = -1};
  int64_t positions = tn_model_config_of(m->model)->positions_max;
  tn_scorer *scorer;
  if (ids->count == 0) return TN_OK;
  TN_TRY(tn_scorer_new(&scorer, m->model, kv_dtype, tn_cli_pool((int32_t)c->threads),
                       positions < 2048 ? positions : 2048, err));
  if (activations)
    tn_forward_set_watch(tn_scorer_forward(scorer), tn_activations_round, activations);
  tn_status status =
      tn_perplexity_run(out, scorer, ids->items, (int64_t)ids->count, &o, progress, err);
  tn_scorer_free(scorer);
  return status;
}

/* ---- work ---- */

typedef struct folder_parts { /* what a folder is written from */
  const command *c;
  const tn_quantized *q;
  tn_weight_source *source;
  const char *source_folder;
} folder_parts;

static tn_compressed_options folder_options(const command *c) {
  return (tn_compressed_options){.quantize = &c->options,
                                 .activations = c->activations,
                                 .kv_is_float = c->kv_is_float,
                                 .version = "tenon " TENON_VERSION};
}

static void note_unread(const command *c, const tn_model *model) {
  const tn_compressed_options o = folder_options(c);
  const char *what = tn_compressed_unread(tn_model_config_of(model), &o);
  if (what) fprintf(stderr, "note: transformers 5.23 does not open %s; Tenon does\n", what);
}

static tn_status fill_folder(void *context, const char *folder, tn_error *err) {
  const folder_parts *p = context;
  const tn_compressed_options o = folder_options(p->c);
  return tn_compressed_write(folder, p->q, p->source, p->source_folder, &o, err);
}

/* `source` is the folder or file that the model was opened from. */
static tn_status check_out(const command *c, const char *source, tn_error *err) {
  if (!c->is_gguf) return tn_model_folder_check(c->out, c->force, c->model, source, err);
  bool folder = tn_dir_exists(c->out);
  if (!folder && !tn_file_exists(c->out)) return TN_OK;
  if (!c->force) return tn_fail(err, TN_ERR_EXISTS, "%s is there already", c->out);
  if (tn_is_same_place(c->out, c->model) || tn_is_same_place(c->out, source))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s is the model that is read: OUT must be another",
                   c->out);
  /* its weights or tokenizer.json; an older export may lie there too */
  if (!folder && tn_lies_in(c->out, source) && !tn_str_ends(tn_str_of(c->out), TN_STR(".gguf")))
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "%s is a file of the model that is read: OUT must be another", c->out);
  if (!folder) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "%s is a folder; --format gguf writes a file", c->out);
}

/* Not even --force replaces the text that is read. */
static tn_status check_texts(const command *c, tn_error *err) {
  for (int32_t i = 0; i < c->data.count; i++) TN_TRY(tn_input_check(c->out, c->data.items[i], err));
  for (int32_t i = 0; i < c->eval.count; i++) TN_TRY(tn_input_check(c->out, c->eval.items[i], err));
  return TN_OK;
}

static tn_status write_gguf(const command *c, const tn_text_model *m, const tn_quantized *q,
                            tn_weight_source *source, result *r, tn_error *err) {
  struct stat about;
  tn_progress progress = tn_cli_progress(c->quiet || c->json);
  TN_TRY(tn_gguf_export(c->out, m->model, q, c->plain, source, m->folder.data,
                        tn_cli_pool((int32_t)c->threads), &progress, err));
  if (stat(c->out, &about) != 0) return tn_fail_errno(err, errno, "%s", c->out);
  r->bytes_after = about.st_size;
  return TN_OK;
}

static tn_status write_out(const command *c, const tn_text_model *m, const tn_quantized *q,
                           tn_weight_source *source, result *r, tn_error *err) {
  if (c->is_gguf) return write_gguf(c, m, q, source, r, err);
  folder_parts parts = {c, q, source, m->folder.data};
  tn_strbuf part = {0};
  if (c->unfinished.length > 0) tn_strbuf_addf(&part, "%s/model", c->unfinished.data);
  tn_status status = tn_strbuf_check(&part, err);
  if (status == TN_OK)
    status = tn_model_folder_write(c->out, c->force, part.length > 0 ? part.data : NULL,
                                   fill_folder, &parts, err);
  tn_strbuf_clear(&part);
  if (status == TN_OK) note_unread(c, m->model);
  return status;
}

static int64_t quantized_bytes(const tn_quantized *q) {
  const tn_parameter *p = tn_model_parameters(q->model, NULL);
  int64_t bytes = 0;
  for (int64_t i = 0; i < q->count; i++) {
    const tn_grid_matrix *m = &q->tensors[i].matrix;
    if (!q->tensors[i].is_quantized) {
      bytes += tn_tensor_bytes(&p[i].tensor);
      continue;
    }
    bytes += m->rows * m->columns * m->grid.bits / 8 +
             m->rows * m->groups * tn_dtype_bytes(m->grid.scale_dtype);
  }
  return bytes;
}

/* Of the file that was written, opened as anybody would. */
static tn_status measure_file(const command *c, const tn_ids *text, result *r,
                              tn_progress *progress, tn_error *err) {
  tn_text_model m;
  if (text->count == 0) return TN_OK;
  tn_status status = tn_text_model_open(&m, c->out, err);
  if (status == TN_OK) status = measure(c, &m, text, NULL, TN_F32, &r->after, progress, err);
  tn_text_model_clear(&m);
  return status;
}

static tn_dtype kv_dtype(const command *c) {
  if (!c->kv) return TN_F32;
  return c->kv_is_float ? TN_F8_E4M3 : TN_I8;
}

/* Layer by layer, then the file. */
static tn_status quantize_layers(const command *c, const tn_quantize_options *options,
                                 tn_text_model *m, tn_weight_source *source,
                                 const tn_calibration_text *samples, const tn_ids *text, result *r,
                                 tn_progress *progress, tn_error *err) {
  tn_quantized q;
  TN_TRY(tn_quantize(&q, m->model, source, samples, options, tn_cli_pool((int32_t)c->threads),
                     progress, err));
  tn_activations activations = {.quantized = &q, .is_float = c->options.grid.is_float};
  tn_status status = measure(c, m, text, c->activations ? &activations : NULL, kv_dtype(c),
                             &r->after, progress, err);
  r->bytes_after = quantized_bytes(&q);
  if (status == TN_OK) status = write_out(c, m, &q, source, r, err);
  tn_activations_clear(&activations);
  tn_quantized_clear(&q);
  return status;
}

static tn_status open_unfinished(const command *c, const tn_weight_source *source,
                                 const tn_calibration_text *samples, tn_unfinished **out,
                                 tn_error *err) {
  tn_strbuf about = {0};
  if (c->unfinished.length == 0) return TN_OK;
  tn_status status = tn_unfinished_describe(&about, &c->options, source, samples, err);
  if (status == TN_OK)
    status = tn_unfinished_open(out, c->unfinished.data, tn_strbuf_view(&about), c->resume, err);
  tn_strbuf_clear(&about);
  return status;
}

static tn_status quantize(const command *c, tn_text_model *m, tn_weight_source *source,
                          const tn_ids *calibration, const tn_ids *text, result *r,
                          tn_progress *progress, tn_error *err) {
  const tn_calibration_text samples = {calibration->items, r->samples, r->tokens};
  tn_quantize_options options = c->options;
  const tn_quantized as_it_is = {0};
  r->bytes_before = r->bytes_after = tn_model_weight_bytes(m->model);
  if (c->is_gguf) TN_TRY(tn_gguf_export_check(m->model, err));
  TN_TRY(open_unfinished(c, source, &samples, &options.unfinished, err));
  tn_unfinished *u = options.unfinished;
  if (u) r->resumed = tn_unfinished_resumed(u);
  tn_status status = measure(c, m, text, NULL, TN_F32, &r->before, progress, err);
  if (status == TN_OK && !c->is_plain)
    status = quantize_layers(c, &options, m, source, &samples, text, r, progress, err);
  if (status == TN_OK && c->is_plain) status = write_out(c, m, &as_it_is, source, r, err);
  if (status == TN_OK && c->is_plain) status = measure_file(c, text, r, progress, err);
  if (status == TN_OK && u) status = tn_unfinished_remove(u, err);
  if (status != TN_OK && u) r->kept = tn_unfinished_layers(u);
  tn_unfinished_close(u);
  return status;
}

static tn_status check_kv(const command *c, const tn_model *model, tn_error *err) {
  if (!c->kv || tn_model_config_of(model)->arch != TN_ARCH_GPT_NEOX) return TN_OK;
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "--kv: GPT-NeoX has no k_proj and v_proj that scales could lie beside");
}

/* A word that leaves nothing out is a slip. */
static tn_status check_ignored(const command *c, const tn_model *model, tn_error *err) {
  int64_t count;
  const tn_parameter *p = tn_model_parameters(model, &count);
  for (int32_t k = 0; k < c->ignore.count; k++) {
    bool found = strstr("lm_head embed_out", c->ignore.items[k]); /* they stay as they are anyway */
    for (int64_t i = 0; i < count && !found; i++)
      found = p[i].tensor.rank == 2 && strstr(p[i].name, c->ignore.items[k]);
    if (!found)
      return tn_fail(err, TN_ERR_ARGUMENT,
                     "--ignore %s: no weight of the model has that in its name",
                     c->ignore.items[k]);
  }
  return TN_OK;
}

static tn_status run_all(const command *c, result *r, tn_error *err) {
  tn_progress progress = tn_cli_progress(c->quiet || c->json);
  tn_text_model m;
  tn_weight_source *source = NULL;
  tn_ids calibration = {0}, text = {0};
  const tn_option_list *texts = c->eval.count > 0 ? &c->eval : &c->data;
  tn_status status = tn_text_model_open(&m, c->model, err);
  if (status == TN_OK) status = check_out(c, m.folder.data, err);
  if (status == TN_OK && !c->is_plain) status = tn_layer_weights_check(m.model, m.folder.data, err);
  if (status == TN_OK) status = check_kv(c, m.model, err);
  if (status == TN_OK)
    status = tn_weight_source_open(&source, m.folder.data, tn_cli_pool((int32_t)c->threads), err);
  if (status == TN_OK) status = check_ignored(c, m.model, err);
  if (status == TN_OK && !c->is_plain)
    status = tn_layer_linears_check(m.model, c->ignore.items, c->ignore.count, err);
  if (status == TN_OK) status = tn_source_check(m.model, source, err);
  if (status == TN_OK) status = calibration_ids(c, &m, &calibration, r, &progress, err);
  if (status == TN_OK && texts->count > 0)
    status = tn_text_model_ids(&m, &text, texts, c->column, c->eval_tokens, &progress, err);
  if (status == TN_OK) status = quantize(c, &m, source, &calibration, &text, r, &progress, err);
  tn_ids_clear(&calibration);
  tn_ids_clear(&text);
  tn_weight_source_close(source);
  tn_text_model_clear(&m);
  return status;
}

/* ---- what comes out ---- */

static void print_json(const command *c, const result *r) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "out", c->out);
  tn_cli_json_text(&j.w, "to", c->to);
  tn_cli_json_text(&j.w, "group", c->is_plain ? NULL : c->group);
  tn_cli_json_text(&j.w, "method", c->is_plain ? NULL : c->method);
  tn_cli_json_bool(&j.w, "symmetric", c->options.grid.symmetric);
  tn_cli_json_text(&j.w, "kv_type", tn_kv_dtype_word(kv_dtype(c)));
  tn_cli_json_bool(&j.w, "activations", c->activations);
  tn_cli_json_i64(&j.w, "calibration_samples", r->samples);
  tn_cli_json_i64(&j.w, "calibration_tokens", r->samples * r->tokens);
  tn_cli_json_i64(&j.w, "layers_resumed", r->resumed);
  tn_cli_json_i64(&j.w, "bytes_before", r->bytes_before);
  tn_cli_json_i64(&j.w, "bytes_after", r->bytes_after);
  if (r->before.windows > 0) {
    tn_cli_json_f64(&j.w, "perplexity_before", r->before.perplexity);
    tn_cli_json_f64(&j.w, "perplexity_after", r->after.perplexity);
    tn_cli_json_i64(&j.w, "perplexity_tokens", r->before.scored);
  }
  tn_cli_json_f64(&j.w, "seconds", r->seconds);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void print_text(const command *c, const result *r) {
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "%s: %s", c->out, c->to);
  if (!c->is_plain) tn_strbuf_addf(&text, ", %s, group %s", c->method, c->group);
  tn_strbuf_add(&text, "; weights of ");
  tn_strbuf_add_bytes_human(&text, (double)r->bytes_before);
  tn_strbuf_add(&text, c->is_gguf ? " -> a file of " : " -> ");
  tn_strbuf_add_bytes_human(&text, (double)r->bytes_after);
  tn_strbuf_add(&text, "; ");
  tn_strbuf_add_duration_human(&text, r->seconds);
  if (!text.failed) puts(text.data);
  tn_strbuf_clear(&text);
  if (r->before.windows == 0) {
    if (!c->is_plain) puts("perplexity not measured: --eval FILE gives a text for it");
    return;
  }
  printf("perplexity %.4f -> %.4f (%+.2f %%) over %" PRId64 " tokens%s\n", r->before.perplexity,
         r->after.perplexity, 100 * (r->after.perplexity / r->before.perplexity - 1),
         r->before.scored,
         c->eval.count == 0 ? " of the calibration text: --eval gives one it has not seen" : "");
}

static const char *hint(const command *c, const result *r, const tn_error *err) {
  bool is_there = c->unfinished.length > 0 && strstr(err->text, c->unfinished.data);
  if (is_there && r->resumed > 0 && err->status != TN_ERR_IO)
    return "remove that file: its layer is done again";
  if (r->kept > 0) return "the layers that are done are kept: the same command with --resume";
  if (is_there && c->resume)
    return "--resume wants the model, text and options that it was begun with; remove it to begin "
           "anew";
  if (is_there) return "--resume goes on with it; remove it to begin anew";
  if (!strstr(err->text, "multiple of the group")) return tn_text_model_hint(err);
  if (c->is_gguf) return "GGUF files have groups of 32 only; --to f16 or q6_k holds such a model";
  return "--group channel fits any model; --ignore leaves a linear as it is";
}

static int run_command(command *c) {
  tn_error err = {0};
  result r = {0};
  int code = read_options(c);
  if (code != 0) return code;
  if (tn_strbuf_check(&c->unfinished, &err) != TN_OK) return tn_cli_fail(&err, NULL);
  if (check_texts(c, &err) != TN_OK) return tn_cli_fail(&err, NULL);
  if (check_out(c, c->model, &err) != TN_OK)
    return tn_cli_fail(&err, c->force ? NULL : "--force replaces it");
  if (c->unfinished.length > 0 && !c->resume &&
      tn_unfinished_check(c->unfinished.data, &err) != TN_OK)
    return tn_cli_fail(&err, hint(c, &r, &err));
  int64_t start_us = tn_time_us();
  if (run_all(c, &r, &err) != TN_OK) return tn_cli_fail(&err, hint(c, &r, &err));
  r.seconds = (double)(tn_time_us() - start_us) / 1e6;
  if (c->json)
    print_json(c, &r);
  else
    print_text(c, &r);
  return 0;
}

static int run(int argc, char **argv) {
  command c = {.to = "int4",
               .format = "compressed-tensors",
               .samples = 128,
               .eval_tokens = 32768,
               .passes = count_not_given,
               .damping = real_not_given,
               .strength = real_not_given};
  const tn_option options[] = {
      {"--to", 0, TN_OPTION_TEXT, &c.to, "TYPE",
       "int8, int4 or fp8 (default int4); of a GGUF file also q4_k_m, q6_k, f32, f16, bf16"},
      {"--format", 0, TN_OPTION_TEXT, &c.format, "NAME",
       "compressed-tensors (a folder, the default) or gguf (a file: groups of 32)"},
      {"--group", 'g', TN_OPTION_TEXT, &c.group, "N",
       "weights of a row that share a scale: 32, 64, 128 or channel (default 128 for int4, "
       "channel else)"},
      {"--method", 'm', TN_OPTION_TEXT, &c.method, "NAME",
       "rtn, awq or gptq (default gptq with --data, rtn without)"},
      {"--asymmetric", 0, TN_OPTION_FLAG, &c.asymmetric, NULL,
       "a zero point beside each scale (transformers: CompressedTensorsConfig(dequantize=True))"},
      {"--data", 'd', TN_OPTION_LIST, &c.data, "FILE",
       "calibration text: .txt, or a table (.parquet, .csv ...); may be repeated"},
      {"--column", 'c', TN_OPTION_TEXT, &c.column, "NAME", "text column of tables (default text)"},
      {"--samples", 0, TN_OPTION_COUNT, &c.samples, "N",
       "calibration sequences, spread over the text (default 128)"},
      {"--tokens", 0, TN_OPTION_COUNT, &c.tokens, "N",
       "tokens of each (default 2,048, or what the model takes)"},
      {"--activations", 'a', TN_OPTION_FLAG, &c.activations, NULL,
       "inputs of linears too, a scale a token, when the model runs (int8, fp8)"},
      {"--smooth", 0, TN_OPTION_FLAG, &c.smooth, NULL,
       "SmoothQuant: large inputs made smaller beforehand (with --activations)"},
      {"--strength", 0, TN_OPTION_REAL, &c.strength, "A",
       "of --smooth, above 0, up to 1 (default 0.5)"},
      {"--kv", 0, TN_OPTION_TEXT, &c.kv, "TYPE",
       "int8 or fp8 keys and values when the model runs: scales for them are measured on the text"},
      {"--natural-order", 0, TN_OPTION_FLAG, &c.natural_order, NULL,
       "gptq: columns as they are stored, not those of large inputs first"},
      {"--damping", 0, TN_OPTION_REAL, &c.damping, "D",
       "gptq: this share of its mean is added to the diagonal (default 0.005)"},
      {"--passes", 0, TN_OPTION_INT, &c.passes, "N",
       "gptq: times that codes are gone through again and changed where that loses less (default "
       "3)"},
      {"--no-aim", 0, TN_OPTION_FLAG, &c.no_aim, NULL,
       "gptq: do not make up for what the layers before have lost (less time and memory)"},
      {"--ignore", 0, TN_OPTION_LIST, &c.ignore, "NAME",
       "leave linears alone whose names contain NAME (in a GGUF file lm_head and embed_tokens too, "
       "which are Q8_0 else); may be repeated"},
      {"--eval", 'e', TN_OPTION_LIST, &c.eval, "FILE",
       "text for perplexity before and after (default: the calibration text)"},
      {"--eval-tokens", 0, TN_OPTION_INT, &c.eval_tokens, "N", "of it (default 32,768; 0: all)"},
      {"--force", 'f', TN_OPTION_FLAG, &c.force, NULL, "replace OUT, a model's folder or a file"},
      {"--resume", 0, TN_OPTION_FLAG, &c.resume, NULL,
       "go on behind the last finished layer of a run that was stopped (OUT.unfinished), if there "
       "is "
       "one"},
      {"--threads", 't', TN_OPTION_INT, &c.threads, "N", "0: all CPUs (default)"},
      {"--quiet", 'q', TN_OPTION_FLAG, &c.quiet, NULL, "no progress bar"},
      {"--json", 0, TN_OPTION_FLAG, &c.json, NULL, "the result as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon quantize [options] MODEL OUT",
      .about =
          "Writes a model whose linears are int8, int4 or fp8, as a folder in the "
          "compressed-tensors form that\ntransformers and vLLM load.  rtn rounds to nearest; awq "
          "and gptq look at what the layers read in a\ntext of yours first and lose less.  "
          "Embedding, norms and head stay as they are.  Perplexity before\nand after is printed.",
      .example =
          "tenon quantize models/llama llama-int4 --to int4 --method awq --data books.parquet",
      .options = options,
      .words_min = 2,
      .words_max = 2};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  c.model = argv[1];
  c.out = argv[2];
  if (!c.out[0]) return tn_cli_usage_error("OUT is empty: name what is to be written");
  for (size_t end = strlen(argv[2]); end > 1 && argv[2][end - 1] == '/';) argv[2][--end] = '\0';
  code = run_command(&c);
  tn_strbuf_clear(&c.unfinished);
  return code;
}

const tn_command tn_command_quantize = {
    "quantize", "make a model's weights int8, int4 or fp8; says what it costs", run};
