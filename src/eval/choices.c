/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/choices.h"

#include <inttypes.h>
#include <math.h>

#include "base/io.h"
#include "base/json.h"

static const size_t file_bytes_max = (size_t)1 << 30;

typedef struct run {
  tn_scorer *scorer;
  const tn_tokenizer *tokenizer;
  const tn_choices_options *o;
  tn_str delimiter;
  tn_strbuf text;
  tn_ids context, whole;
  tn_token_score *tokens;
  tn_choice_score scores[TN_CHOICES_MAX];
  int64_t right, right_characters, right_bytes;
} run;

/* ---- one item of the file ---- */

typedef struct item {
  tn_str context;
  const tn_json *choices;
  int32_t answer;
} item;

static tn_status read_choices(const tn_json *object, item *out, tn_error *err) {
  out->choices = tn_json_get(object, "choices");
  if (!out->choices || out->choices->kind != TN_JSON_ARRAY)
    return tn_fail(err, TN_ERR_DATA, "has no list \"choices\"");
  if (out->choices->count < 2 || out->choices->count > TN_CHOICES_MAX)
    return tn_fail(err, TN_ERR_DATA, "has %" PRId64 " choices, must be 2 to %d",
                   out->choices->count, TN_CHOICES_MAX);
  int32_t place = 0;
  for (const tn_json *c = out->choices->first; c; c = c->next, place++)
    if (c->kind != TN_JSON_STRING || c->text.length == 0)
      return tn_fail(err, TN_ERR_DATA, "choice %d is not a text of one character or more", place);
  return TN_OK;
}

static tn_status read_item(const tn_json *object, item *out, tn_error *err) {
  if (object->kind != TN_JSON_OBJECT)
    return tn_fail(err, TN_ERR_DATA, "a JSON %s, must be an object",
                   tn_json_kind_name(object->kind));
  int64_t answer = -1;
  *out = (item){.context = TN_STR("")};
  TN_TRY(tn_json_get_str(object, "context", &out->context, err));
  TN_TRY(read_choices(object, out, err));
  TN_TRY(tn_json_get_i64(object, "answer", 0, out->choices->count - 1, &answer, err));
  if (answer < 0)
    return tn_fail(err, TN_ERR_DATA, "has no \"answer\", the place of the right choice from 0 on");
  out->answer = (int32_t)answer;
  return TN_OK;
}

/* ---- tokens of a pair ---- */

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

static tn_status add_id(tn_ids *ids, int32_t id, tn_error *err) {
  TN_TRY(tn_grow((void **)&ids->items, &ids->capacity, ids->count + 1, sizeof *ids->items, err));
  ids->items[ids->count++] = id;
  return TN_OK;
}

static tn_status start_ids(const run *r, bool is_empty, tn_ids *ids, tn_error *err) {
  ids->count = 0;
  int32_t start = r->o->bos_id;
  if (is_empty && start < 0) start = r->o->eos_id;
  if (!is_empty && !r->o->add_bos) return TN_OK;
  if (start >= 0) return add_id(ids, start, err);
  return tn_fail(err, TN_ERR_DATA, "%s, and the model has no begin-of-text token",
                 is_empty ? "has no context" : "a begin-of-text token is wanted");
}

/* The context without the white space at its end, which belongs to the choice. */
static tn_str trim_end(tn_str s) {
  while (s.length > 0 && is_space(s.data[s.length - 1])) s.length--;
  return s;
}

static tn_status encode_context(run *r, tn_str context, tn_error *err) {
  TN_TRY(start_ids(r, context.length == 0, &r->context, err));
  return tn_tokenizer_encode(r->tokenizer, trim_end(context), true, &r->context, err);
}

static tn_status encode_pair(run *r, tn_str context, tn_str choice, tn_error *err) {
  tn_strbuf_reset(&r->text);
  tn_strbuf_add_str(&r->text, context);
  tn_strbuf_add_str(&r->text, r->delimiter);
  tn_strbuf_add_str(&r->text, choice);
  TN_TRY(tn_strbuf_check(&r->text, err));
  TN_TRY(start_ids(r, context.length == 0, &r->whole, err));
  TN_TRY(tn_tokenizer_encode(r->tokenizer, tn_strbuf_view(&r->text), true, &r->whole, err));
  TN_TRY(tn_tokenizer_check_ids(r->tokenizer, r->whole.items, r->whole.count,
                                tn_scorer_config(r->scorer)->vocab_size, err));
  if (r->whole.count > r->context.count) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "choice \"%.*s\" adds no token to the context",
                 TN_STR_ARG(choice));
}

/* ---- scores ---- */

static int64_t characters(tn_str s) {
  int64_t n = 0;
  for (size_t i = 0; i < s.length; i++) n += ((uint8_t)s.data[i] & 0xC0) != 0x80;
  return n;
}

/* What does not fit loses its beginning. */
static tn_status score_pair(run *r, tn_str choice, tn_choice_score *out, tn_error *err) {
  int64_t max = tn_scorer_tokens_max(r->scorer), count = (int64_t)r->whole.count;
  int64_t scored = count - (int64_t)r->context.count, from = count - scored, cut = 0;
  if (scored >= max)
    return tn_fail(err, TN_ERR_LIMIT, "a choice of %" PRId64 " tokens, the model takes %" PRId64,
                   scored, max - 1);
  if (count > max) cut = count - max;
  TN_TRY(tn_scorer_run(r->scorer, r->whole.items + cut, count - cut, from - cut, r->tokens, err));
  *out = (tn_choice_score){.tokens = scored,
                           .characters = characters(choice),
                           .bytes = (int64_t)choice.length,
                           .is_greedy = true};
  for (int64_t i = 0; i < scored; i++) {
    out->log_likelihood += r->tokens[i].log_probability;
    out->is_greedy &= r->tokens[i].is_likeliest;
  }
  return TN_OK;
}

static tn_status score_choices(run *r, const item *it, tn_error *err) {
  int32_t place = 0;
  TN_TRY(encode_context(r, it->context, err));
  for (const tn_json *c = it->choices->first; c; c = c->next, place++) {
    TN_TRY(encode_pair(r, it->context, c->text, err));
    TN_TRY(score_pair(r, c->text, &r->scores[place], err));
  }
  return TN_OK;
}

static void pick(const run *r, tn_choice_item *it) {
  double best = -INFINITY, best_characters = -INFINITY, best_bytes = -INFINITY;
  for (int32_t i = 0; i < it->count; i++) {
    const tn_choice_score *s = &r->scores[i];
    double by_character = s->log_likelihood / (double)s->characters;
    double by_byte = s->log_likelihood / (double)s->bytes;
    if (s->log_likelihood > best) best = s->log_likelihood, it->picked = i;
    if (by_character > best_characters) best_characters = by_character, it->picked_characters = i;
    if (by_byte > best_bytes) best_bytes = by_byte, it->picked_bytes = i;
  }
}

static tn_status run_item(run *r, const tn_json *object, int64_t line, tn_choices *sums,
                          tn_error *err) {
  item it;
  TN_TRY(read_item(object, &it, err));
  TN_TRY(score_choices(r, &it, err));
  tn_choice_item result = {
      .line = line, .scores = r->scores, .count = (int32_t)it.choices->count, .answer = it.answer};
  pick(r, &result);
  r->right += result.picked == it.answer;
  r->right_characters += result.picked_characters == it.answer;
  r->right_bytes += result.picked_bytes == it.answer;
  sums->items++;
  for (int32_t i = 0; i < result.count; i++) sums->scored += r->scores[i].tokens;
  return r->o->each ? r->o->each(r->o->context, &result, err) : TN_OK;
}

/* ---- the file ---- */

static tn_status run_lines(run *r, const char *path, tn_str rest, tn_choices *sums,
                           tn_progress *progress, tn_error *err) {
  tn_arena arena = {0};
  tn_status status = TN_OK;
  size_t all = rest.length;
  for (int64_t line = 1; rest.data && status == TN_OK; line++) {
    if (r->o->items_max > 0 && sums->items >= r->o->items_max) break;
    tn_str text = tn_str_trim(tn_str_cut(&rest, '\n'));
    if (text.length == 0) continue;
    tn_json *object;
    tn_arena_reset(&arena);
    status = tn_json_parse(&object, &arena, text, NULL, err);
    if (status == TN_OK) status = run_item(r, object, line, sums, err);
    if (status != TN_OK && status != TN_ERR_INTERRUPTED)
      status = tn_error_context(err, status, "%s, line %" PRId64, path, line);
    if (status == TN_OK) status = tn_progress_at(progress, (int64_t)(all - rest.length), err);
  }
  tn_arena_clear(&arena);
  return status;
}

static double error_of(double mean, int64_t items) {
  return items > 1 ? sqrt(mean * (1 - mean) / (double)(items - 1)) : 0;
}

static void finish(const run *r, tn_choices *c) {
  double items = (double)c->items;
  c->acc = (double)r->right / items;
  c->acc_norm = (double)r->right_characters / items;
  c->acc_bytes = (double)r->right_bytes / items;
  c->acc_error = error_of(c->acc, c->items);
  c->acc_norm_error = error_of(c->acc_norm, c->items);
  c->acc_bytes_error = error_of(c->acc_bytes, c->items);
}

static tn_status run_file(run *r, const char *path, tn_choices *out, tn_progress *progress,
                          tn_error *err) {
  tn_strbuf text = {0};
  tn_choices c = {0};
  tn_status status = tn_file_read(path, file_bytes_max, &text, err);
  tn_progress_begin(progress, "choices", "B", (int64_t)text.length);
  if (status == TN_OK) status = run_lines(r, path, tn_strbuf_view(&text), &c, progress, err);
  tn_strbuf_clear(&text);
  TN_TRY(status);
  if (c.items == 0) return tn_fail(err, TN_ERR_DATA, "%s: has no items", path);
  if (progress) progress->done = progress->total;
  tn_progress_end(progress);
  finish(r, &c);
  *out = c;
  return TN_OK;
}

tn_status tn_choices_run(tn_choices *out, tn_scorer *scorer, const tn_tokenizer *tokenizer,
                         const char *path, const tn_choices_options *options, tn_progress *progress,
                         tn_error *err) {
  size_t tokens = (size_t)tn_scorer_tokens_max(scorer);
  run *r = tn_alloc(1, sizeof *r);
  if (!r) return tn_fail_memory(err, "multiple choice", sizeof *r);
  r->scorer = scorer;
  r->tokenizer = tokenizer;
  r->o = options;
  r->delimiter = options->delimiter ? tn_str_of(options->delimiter) : TN_STR(" ");
  r->tokens = tn_alloc(tokens, sizeof *r->tokens);
  tn_status status = r->tokens ? run_file(r, path, out, progress, err)
                               : tn_fail_memory(err, "token scores", tokens * sizeof *r->tokens);
  tn_free(r->tokens);
  tn_ids_clear(&r->context);
  tn_ids_clear(&r->whole);
  tn_strbuf_clear(&r->text);
  tn_free(r);
  return status;
}
