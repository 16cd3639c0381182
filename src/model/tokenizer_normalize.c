/* tokenizer_normalize.c - see tokenizer_normalize.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_normalize.h"

#include <utf8proc.h>

#include "model/tokenizer_alphabet.h"
#include "model/tokenizer_charsmap.h"
#include "model/tokenizer_json.h"
#include "model/tokenizer_unicode.h"

#define NESTING_MAX 8

typedef struct step step;
typedef struct step_run {
  tn_normalize_scratch *scratch;
  bool *origin;
} step_run;
/* Appends the normalized text to `out`. */
typedef tn_status (*step_fn)(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                             tn_error *err);

struct step {
  step_fn fn;
  tn_unicode_form form;
  tn_str pattern, content; /* Replace with a string, Prepend */
  tn_regex *regex;         /* Replace with a regex */
  tn_charsmap charsmap;
  bool left, right;                          /* Strip */
  bool clean, chinese, strip_accents, lower; /* BertNormalizer */
};

struct tn_normalizer {
  step steps[TN_NORMALIZER_STEPS_MAX];
  int32_t count;
  tn_arena arena;
};

/* ---- characters one by one
 * ------------------------------------------------------------------------ */
static tn_status run_form(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                          tn_error *err) {
  return tn_unicode_normalize(text, s->form, out, err);
}

static void add_lower(tn_strbuf *out, uint32_t code) {
  uint32_t lower[2];
  int count = tn_unicode_lower(code, lower);
  for (int i = 0; i < count; i++) tn_unicode_add(out, lower[i]);
}

static tn_status run_lower(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                           tn_error *err) {
  for (size_t at = 0, length; at < text.length; at += length)
    add_lower(out, tn_unicode_at(text, at, &length));
  return TN_OK;
}

static tn_status run_strip_accents(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                                   tn_error *err) {
  for (size_t at = 0, length; at < text.length; at += length) {
    uint32_t code = tn_unicode_at(text, at, &length);
    if (!tn_unicode_is_combining(code))
      tn_strbuf_append(out, text.data + at, length);
    else if (at == 0)
      *run->origin = false;
  }
  return TN_OK;
}

/* SentencePiece's nmt rules: 0 removes, ' ' for what counts as a space. */
static uint32_t nmt(uint32_t c) {
  bool gone = (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
              c == 0x9F;
  if (gone) return 0;
  bool space = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
               (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
               c == 0xFEFF || c == 0xFFFD;
  return space ? ' ' : c;
}

static tn_status run_nmt(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                         tn_error *err) {
  for (size_t at = 0, length; at < text.length; at += length) {
    uint32_t code = tn_unicode_at(text, at, &length), mapped = nmt(code);
    if (mapped || code == 0)
      tn_unicode_add(out, mapped);
    else if (at == 0)
      *run->origin = false;
  }
  return TN_OK;
}

static tn_status run_byte_level(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                                tn_error *err) {
  tn_alphabet_write(text, out);
  return TN_OK;
}

/* ---- ends
 * ----------------------------------------------------------------------------------------- */
static tn_status run_strip(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                           tn_error *err) {
  size_t start = 0, end = text.length, length;
  while (s->left && start < end && tn_unicode_is_space(tn_unicode_at(text, start, &length)))
    start += length;
  while (s->right && end > start) {
    size_t last = end - 1;
    while (last > start && ((uint8_t)text.data[last] & 0xC0) == 0x80) last--;
    if (!tn_unicode_is_space(tn_unicode_at(text, last, &length))) break;
    end = last;
  }
  if (start) *run->origin = false;
  tn_strbuf_append(out, text.data + start, end - start);
  return TN_OK;
}

static tn_status run_prepend(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                             tn_error *err) {
  if (text.length) tn_strbuf_add_str(out, s->content);
  tn_strbuf_add_str(out, text);
  return TN_OK;
}

/* ---- Replace
 * -------------------------------------------------------------------------------------- */
/* What stands at the very start now comes from the last replaced character, or from what follows.
 */
static void note_replaced(const step *s, const step_run *run, tn_str text, size_t start,
                          size_t end) {
  if (start != 0 || end == 0) return;
  size_t length;
  tn_unicode_at(text, 0, &length);
  if (length < end || s->content.length == 0) *run->origin = false;
}

static tn_status run_replace_string(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                                    tn_error *err) {
  size_t at = 0;
  while (at < text.length) {
    const char *found =
        memmem(text.data + at, text.length - at, s->pattern.data, s->pattern.length);
    if (!found) break;
    size_t start = (size_t)(found - text.data);
    tn_strbuf_append(out, text.data + at, start - at);
    tn_strbuf_add_str(out, s->content);
    at = start + s->pattern.length;
    note_replaced(s, run, text, start, at);
  }
  tn_strbuf_append(out, text.data + at, text.length - at);
  return TN_OK;
}

static tn_status run_replace_regex(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                                   tn_error *err) {
  tn_regex_walk walk = {0};
  bool exact = tn_regex_needs_exact(text);
  size_t at = 0, start, end;
  tn_status status = TN_END;
  while (text.length && (status = tn_regex_next(s->regex, run->scratch->regex, exact, text, &walk,
                                                &start, &end, err)) == TN_OK) {
    tn_strbuf_append(out, text.data + at, start - at);
    tn_strbuf_add_str(out, s->content);
    at = end;
    note_replaced(s, run, text, start, end);
  }
  if (status != TN_END) return status;
  tn_strbuf_append(out, text.data + at, text.length - at);
  return TN_OK;
}

/* ---- Precompiled
 * ---------------------------------------------------------------------------------- */
/* A grapheme cluster is looked up whole only when it has fewer bytes than this. */
#define GRAPHEME_BYTES 6

static size_t grapheme_end(tn_str text, size_t at) {
  size_t length;
  utf8proc_int32_t state = 0;
  uint32_t code = tn_unicode_at(text, at, &length);
  for (at += length; at < text.length; at += length) {
    uint32_t next = tn_unicode_at(text, at, &length);
    if (code < 0x80 && next < 0x80 && !(code == '\r' && next == '\n')) return at;
    if (tn_unicode_is_newer_joiner(next)) next = 0x301; /* a joiner that utf8proc knows */
    if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next, &state))
      return at;
    code = next;
  }
  return at;
}

static void add_mapped(const step *s, tn_str part, tn_strbuf *out) {
  tn_str mapped;
  tn_strbuf_add_str(out, tn_charsmap_find(&s->charsmap, part, &mapped) ? mapped : part);
}

static tn_status run_precompiled(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                                 tn_error *err) {
  for (size_t at = 0, end; at < text.length; at = end) {
    end = grapheme_end(text, at);
    tn_str grapheme = {text.data + at, end - at}, mapped;
    if (grapheme.length < GRAPHEME_BYTES && tn_charsmap_find(&s->charsmap, grapheme, &mapped)) {
      tn_strbuf_add_str(out, mapped);
      continue;
    }
    for (size_t i = 0, length; i < grapheme.length; i += length) {
      tn_unicode_at(grapheme, i, &length);
      add_mapped(s, (tn_str){grapheme.data + i, length}, out);
    }
  }
  return TN_OK;
}

/* ---- BertNormalizer
 * -------------------------------------------------------------------------------- */
static bool is_chinese(uint32_t c) {
  if (c < 0x3400) return false;
  return (c >= 0x4E00 && c <= 0x9FFF) || c <= 0x4DBF || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool is_bert_control(uint32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return c == 0 || c == 0xFFFD || tn_unicode_is_other(c);
}

/* The first pass: cleaning, Chinese characters, and all that ASCII needs.  *plain says that nothing
 * but ASCII is left. */
static void bert_first_pass(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                            bool *plain) {
  *plain = true;
  for (size_t at = 0, length; at < text.length; at += length) {
    uint32_t code = tn_unicode_at(text, at, &length);
    if (code < 0x80) {
      char c = (char)code;
      if (s->clean && code < 0x20) {
        if (code < 9 || code > 13 || code == 11 || code == 12) {
          if (at == 0) *run->origin = false;
          continue;
        }
        c = ' ';
      }
      if (s->clean && code == 0x7F) {
        if (at == 0) *run->origin = false;
        continue;
      }
      if (s->lower && c >= 'A' && c <= 'Z') c = (char)(c + 32);
      tn_strbuf_add_char(out, c);
      continue;
    }
    if (s->clean && is_bert_control(code)) {
      if (at == 0) *run->origin = false;
      continue;
    }
    if (s->clean && tn_unicode_is_space(code)) {
      tn_strbuf_add_char(out, ' ');
      continue;
    }
    *plain = false;
    bool chinese = s->chinese && is_chinese(code);
    if (chinese) tn_strbuf_add_char(out, ' ');
    tn_strbuf_append(out, text.data + at, length);
    if (chinese) tn_strbuf_add_char(out, ' ');
  }
}

/* The last pass over decomposed text: marks go, letters become small. */
static void bert_last_pass(const step *s, const step_run *run, tn_str text, tn_strbuf *out) {
  for (size_t at = 0, length; at < text.length; at += length) {
    uint32_t code = tn_unicode_at(text, at, &length);
    if (s->strip_accents && tn_unicode_is_nonspacing(code)) {
      if (at == 0) *run->origin = false;
      continue;
    }
    if (s->lower)
      add_lower(out, code);
    else
      tn_strbuf_append(out, text.data + at, length);
  }
}

static tn_status run_bert(const step *s, const step_run *run, tn_str text, tn_strbuf *out,
                          tn_error *err) {
  bool plain;
  size_t start = out->length;
  bert_first_pass(s, run, text, out, &plain);
  TN_TRY(tn_strbuf_check(out, err));
  if (plain || !(s->strip_accents || s->lower)) return TN_OK;
  tn_strbuf *middle = &run->scratch->buffers[2];
  tn_strbuf_reset(middle);
  tn_str first = {out->data + start, out->length - start};
  if (s->strip_accents)
    TN_TRY(tn_unicode_normalize(first, TN_UNICODE_NFD, middle, err));
  else
    tn_strbuf_add_str(middle, first);
  TN_TRY(tn_strbuf_check(middle, err));
  out->length = start;
  bert_last_pass(s, run, tn_strbuf_view(middle), out);
  return TN_OK;
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */
static tn_status keep(tn_normalizer *n, tn_str text, tn_str *out, tn_error *err) {
  char *copy = tn_arena_strndup(&n->arena, text.data, text.length);
  if (!copy) return tn_fail_memory(err, "a normalizer's text", text.length);
  *out = (tn_str){copy, text.length};
  return TN_OK;
}

static tn_status read_replace(tn_normalizer *n, step *s, const tn_json *json, tn_error *err) {
  tn_str pattern, content;
  bool is_regex;
  TN_TRY(tn_json_want_pattern(json, &pattern, &is_regex, err));
  TN_TRY(tn_json_want_text(json, "content", &content, err));
  TN_TRY(keep(n, content, &s->content, err));
  s->fn = is_regex ? run_replace_regex : run_replace_string;
  if (is_regex) return tn_regex_new(&s->regex, pattern, err);
  if (!pattern.length) return tn_fail(err, TN_ERR_UNSUPPORTED, "Replace of the empty string");
  return keep(n, pattern, &s->pattern, err);
}

static tn_status read_bert(step *s, const tn_json *json, tn_error *err) {
  s->fn = run_bert;
  s->clean = s->chinese = s->lower = true;
  TN_TRY(tn_json_get_bool(json, "clean_text", &s->clean, err));
  TN_TRY(tn_json_get_bool(json, "handle_chinese_chars", &s->chinese, err));
  TN_TRY(tn_json_get_bool(json, "lowercase", &s->lower, err));
  s->strip_accents = s->lower;
  return tn_json_get_bool(json, "strip_accents", &s->strip_accents, err);
}

static tn_status read_strip(step *s, const tn_json *json, tn_error *err) {
  s->fn = run_strip;
  TN_TRY(tn_json_want(tn_json_get(json, "strip_left"), TN_JSON_BOOL, "strip_left", err));
  TN_TRY(tn_json_want(tn_json_get(json, "strip_right"), TN_JSON_BOOL, "strip_right", err));
  s->left = tn_json_get(json, "strip_left")->boolean;
  s->right = tn_json_get(json, "strip_right")->boolean;
  return TN_OK;
}

static tn_status read_prepend(tn_normalizer *n, step *s, const tn_json *json, tn_error *err) {
  tn_str content;
  s->fn = run_prepend;
  TN_TRY(tn_json_want_text(json, "prepend", &content, err));
  return keep(n, content, &s->content, err);
}

/* An empty charsmap, which converted files sometimes hold, changes nothing. */
static tn_status read_precompiled(step *s, const tn_json *json, tn_error *err) {
  tn_str map = {NULL, 0};
  s->fn = run_precompiled;
  TN_TRY(tn_json_get_str(json, "precompiled_charsmap", &map, err));
  return tn_charsmap_read(&s->charsmap, map, err);
}

static const struct {
  const char *name;
  step_fn fn;
  tn_unicode_form form;
} plain_steps[] = {
    {"NFC", run_form, TN_UNICODE_NFC},
    {"NFD", run_form, TN_UNICODE_NFD},
    {"NFKC", run_form, TN_UNICODE_NFKC},
    {"NFKD", run_form, TN_UNICODE_NFKD},
    {"Lowercase", run_lower, 0},
    {"StripAccents", run_strip_accents, 0},
    {"Nmt", run_nmt, 0},
    {"ByteLevel", run_byte_level, 0},
};

static tn_status read_step(tn_normalizer *n, const tn_json *json, int32_t depth, tn_error *err);

static tn_status read_sequence(tn_normalizer *n, const tn_json *json, int32_t depth,
                               tn_error *err) {
  const tn_json *members = tn_json_get(json, "normalizers");
  TN_TRY(tn_json_want(members, TN_JSON_ARRAY, "normalizers", err));
  if (depth == NESTING_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "normalizers nest deeper than %d", NESTING_MAX);
  for (const tn_json *m = members->first; m; m = m->next) TN_TRY(read_step(n, m, depth + 1, err));
  return TN_OK;
}

static tn_status read_step(tn_normalizer *n, const tn_json *json, int32_t depth, tn_error *err) {
  TN_TRY(tn_json_want(json, TN_JSON_OBJECT, "normalizer", err));
  tn_str type = tn_json_text(json, "type");
  if (tn_str_is(type, "Sequence")) return read_sequence(n, json, depth, err);
  if (n->count == TN_NORMALIZER_STEPS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "more than %d normalizers", TN_NORMALIZER_STEPS_MAX);
  step *s = &n->steps[n->count++];
  for (size_t i = 0; i < sizeof plain_steps / sizeof plain_steps[0]; i++) {
    if (!tn_str_is(type, plain_steps[i].name)) continue;
    s->fn = plain_steps[i].fn;
    s->form = plain_steps[i].form;
    return TN_OK;
  }
  if (tn_str_is(type, "BertNormalizer")) return read_bert(s, json, err);
  if (tn_str_is(type, "Replace")) return read_replace(n, s, json, err);
  if (tn_str_is(type, "Prepend")) return read_prepend(n, s, json, err);
  if (tn_str_is(type, "Strip")) return read_strip(s, json, err);
  if (tn_str_is(type, "Precompiled")) return read_precompiled(s, json, err);
  return tn_json_unsupported(err, "normalizer", type);
}

tn_status tn_normalizer_read(tn_normalizer **out, const tn_json *json, tn_error *err) {
  *out = NULL;
  if (tn_json_is_null(json)) return TN_OK;
  tn_normalizer *n = tn_alloc(1, sizeof *n);
  if (!n) return tn_fail_memory(err, "a normalizer", sizeof *n);
  tn_status status = read_step(n, json, 0, err);
  if (status != TN_OK) {
    tn_normalizer_free(n);
    return tn_error_context(err, status, "normalizer");
  }
  *out = n;
  return TN_OK;
}

void tn_normalizer_free(tn_normalizer *n) {
  if (!n) return;
  for (int32_t i = 0; i < n->count; i++) {
    tn_regex_free(n->steps[i].regex);
    tn_charsmap_clear(&n->steps[i].charsmap);
  }
  tn_arena_clear(&n->arena);
  tn_free(n);
}

/* ---- running
 * -------------------------------------------------------------------------------------- */
void tn_normalize_scratch_clear(tn_normalize_scratch *s) {
  for (int i = 0; i < 3; i++) tn_strbuf_clear(&s->buffers[i]);
}

tn_status tn_normalizer_run(const tn_normalizer *n, tn_normalize_scratch *scratch, tn_str text,
                            tn_str *out, bool *origin, tn_error *err) {
  *out = text;
  step_run run = {scratch, origin};
  for (int32_t i = 0; n && i < n->count; i++) {
    tn_strbuf *buffer = &scratch->buffers[i % 2];
    tn_strbuf_reset(buffer);
    TN_TRY(n->steps[i].fn(&n->steps[i], &run, *out, buffer, err));
    TN_TRY(tn_strbuf_check(buffer, err));
    *out = tn_strbuf_view(buffer);
    if (!out->data) *out = TN_STR("");
  }
  return TN_OK;
}
