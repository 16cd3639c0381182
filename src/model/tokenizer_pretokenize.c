/* tokenizer_pretokenize.c - see tokenizer_pretokenize.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_pretokenize.h"

#include "model/tokenizer_alphabet.h"
#include "model/tokenizer_json.h"
#include "model/tokenizer_unicode.h"

#define NESTING_MAX 8

/* GPT-2's pattern (Radford et al. 2019). */
#define GPT2_PATTERN \
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/* Whitespace: runs of word characters, and runs of what is neither word nor space. */
enum { CLASS_SPACE, CLASS_WORD, CLASS_SIGN };

typedef enum behavior {
  ISOLATED,
  REMOVED,
  CONTIGUOUS,
  MERGED_WITH_PREVIOUS,
  MERGED_WITH_NEXT,
} behavior;

typedef struct step step;
typedef struct run run;
/* Cuts (or rewrites) `text` and emits the pieces. */
typedef tn_status (*step_fn)(const run *r, int32_t index, tn_str text, bool origin, tn_error *err);
typedef bool (*class_fn)(uint32_t code);

struct step {
  step_fn fn;
  behavior behavior;
  bool invert;
  class_fn is_match;          /* a class of characters, or */
  tn_regex *regex;            /* a pattern, or */
  tn_str literal;             /* a string; Metaspace: its character */
  bool prefix;                /* ByteLevel: add_prefix_space */
  bool always, first, splits; /* Metaspace */
  int64_t length;             /* FixedLength */
};

struct tn_pretokenizer {
  step steps[TN_PRETOKENIZER_STEPS_MAX];
  int32_t count;
  tn_arena arena;
};

struct run {
  const tn_pretokenizer *p;
  tn_pretokenize_scratch *scratch;
  bool exact, raw;
  tn_piece_fn fn;
  void *context;
};

static tn_status emit(const run *r, int32_t index, tn_str text, size_t start, size_t end,
                      bool origin, tn_error *err) {
  if (start == end) return TN_OK;
  tn_str piece = {text.data + start, end - start};
  if (index + 1 == r->p->count) return r->fn(r->context, piece, err);
  return r->p->steps[index + 1].fn(r, index + 1, piece, origin && start == 0, err);
}

static tn_strbuf *take_buffer(const run *r, int32_t index) {
  tn_strbuf *buffer = &r->scratch->buffers[index];
  tn_strbuf_reset(buffer);
  return buffer;
}

/* ---- cutting at matches
 * ---------------------------------------------------------------------------
 * Matches and the gaps between them come as one list of stretches; the behavior says which of them
 * become pieces, and which are joined first. */
typedef struct cutter {
  const run *r;
  int32_t index;
  tn_str text;
  bool origin;
  const step *s;
  size_t start, end; /* the open piece */
  bool open, last_match;
} cutter;

static tn_status flush(cutter *c, tn_error *err) {
  if (!c->open) return TN_OK;
  c->open = false;
  return emit(c->r, c->index, c->text, c->start, c->end, c->origin, err);
}

static tn_status take_stretch(cutter *c, size_t start, size_t end, bool match, tn_error *err) {
  match = match != c->s->invert;
  bool join = false, last = c->last_match;
  c->last_match = match;
  switch (c->s->behavior) {
    case ISOLATED:
      break;
    case REMOVED:
      if (match) return TN_OK;
      break;
    case CONTIGUOUS:
      join = c->open && match == last;
      break;
    case MERGED_WITH_PREVIOUS:
      join = c->open && match && !last;
      break;
    case MERGED_WITH_NEXT:
      join = c->open && !match && last;
      break;
  }
  if (join) {
    c->end = end;
    return TN_OK;
  }
  TN_TRY(flush(c, err));
  c->open = true;
  c->start = start;
  c->end = end;
  return TN_OK;
}

static tn_status cut_by_regex(cutter *c, tn_error *err) {
  tn_regex_walk walk = {0};
  size_t at = 0, start, end;
  tn_status status;
  while ((status = tn_regex_next(c->s->regex, c->r->scratch->regex, c->r->exact, c->text, &walk,
                                 &start, &end, err)) == TN_OK) {
    if (start > at) TN_TRY(take_stretch(c, at, start, false, err));
    TN_TRY(take_stretch(c, start, end, true, err));
    at = end;
  }
  if (status != TN_END) return status;
  return at < c->text.length ? take_stretch(c, at, c->text.length, false, err) : TN_OK;
}

static tn_status cut_by_class(cutter *c, tn_error *err) {
  size_t at = 0;
  for (size_t i = 0, length; i < c->text.length; i += length) {
    if (!c->s->is_match(tn_unicode_at(c->text, i, &length))) continue;
    if (i > at) TN_TRY(take_stretch(c, at, i, false, err));
    TN_TRY(take_stretch(c, i, i + length, true, err));
    at = i + length;
  }
  return at < c->text.length ? take_stretch(c, at, c->text.length, false, err) : TN_OK;
}

static tn_status cut_by_literal(cutter *c, tn_error *err) {
  size_t at = 0;
  tn_str needle = c->s->literal;
  while (at < c->text.length) {
    const char *found = memmem(c->text.data + at, c->text.length - at, needle.data, needle.length);
    if (!found) break;
    size_t start = (size_t)(found - c->text.data);
    if (start > at) TN_TRY(take_stretch(c, at, start, false, err));
    TN_TRY(take_stretch(c, start, start + needle.length, true, err));
    at = start + needle.length;
  }
  return at < c->text.length ? take_stretch(c, at, c->text.length, false, err) : TN_OK;
}

static tn_status cut(const run *r, int32_t index, tn_str text, bool origin, tn_error *err) {
  cutter c = {.r = r, .index = index, .text = text, .origin = origin, .s = &r->p->steps[index]};
  if (c.s->regex)
    TN_TRY(cut_by_regex(&c, err));
  else if (c.s->is_match)
    TN_TRY(cut_by_class(&c, err));
  else
    TN_TRY(cut_by_literal(&c, err));
  return flush(&c, err);
}

/* A pattern whose stretches all become pieces needs no joining: the common case. */
static tn_status cut_isolated(const run *r, int32_t index, tn_str text, bool origin,
                              tn_error *err) {
  const step *s = &r->p->steps[index];
  tn_regex_walk walk = {0};
  size_t at = 0, start, end;
  tn_status status;
  while ((status = tn_regex_next(s->regex, r->scratch->regex, r->exact, text, &walk, &start, &end,
                                 err)) == TN_OK) {
    TN_TRY(emit(r, index, text, at, start, origin, err));
    TN_TRY(emit(r, index, text, start, end, origin, err));
    at = end;
  }
  if (status != TN_END) return status;
  return emit(r, index, text, at, text.length, origin, err);
}

/* ---- Bert and Whitespace
 * -------------------------------------------------------------------------- */
static tn_status cut_bert(const run *r, int32_t index, tn_str text, bool origin, tn_error *err) {
  size_t at = 0, length;
  for (size_t i = 0; i < text.length; i += length) {
    uint32_t code = tn_unicode_at(text, i, &length);
    bool space = tn_unicode_is_space(code);
    if (!space && !tn_unicode_is_punctuation(code)) continue;
    TN_TRY(emit(r, index, text, at, i, origin, err));
    if (!space) TN_TRY(emit(r, index, text, i, i + length, origin, err));
    at = i + length;
  }
  return emit(r, index, text, at, text.length, origin, err);
}

static int class_of(uint32_t code) {
  return tn_unicode_is_space(code)  ? CLASS_SPACE
         : tn_unicode_is_word(code) ? CLASS_WORD
                                    : CLASS_SIGN;
}

static tn_status cut_whitespace(const run *r, int32_t index, tn_str text, bool origin,
                                tn_error *err) {
  size_t at = 0, length;
  int open = CLASS_SPACE;
  for (size_t i = 0; i < text.length; i += length) {
    int class = class_of(tn_unicode_at(text, i, &length));
    if (class == open) continue;
    if (open != CLASS_SPACE) TN_TRY(emit(r, index, text, at, i, origin, err));
    open = class;
    at = i;
  }
  return open != CLASS_SPACE ? emit(r, index, text, at, text.length, origin, err) : TN_OK;
}

static tn_status cut_fixed(const run *r, int32_t index, tn_str text, bool origin, tn_error *err) {
  int64_t limit = r->p->steps[index].length, count = 0;
  size_t at = 0, length;
  for (size_t i = 0; i < text.length; i += length) {
    tn_unicode_at(text, i, &length);
    if (count++ < limit) continue;
    TN_TRY(emit(r, index, text, at, i, origin, err));
    at = i;
    count = 1;
  }
  return emit(r, index, text, at, text.length, origin, err);
}

/* ---- Metaspace
 * ------------------------------------------------------------------------------------ */
static void replace_spaces(tn_str text, tn_str by, tn_strbuf *out) {
  size_t at = 0;
  while (at < text.length) {
    const char *space = memchr(text.data + at, ' ', text.length - at);
    size_t end = space ? (size_t)(space - text.data) : text.length;
    tn_strbuf_append(out, text.data + at, end - at);
    if (space) tn_strbuf_add_str(out, by);
    at = end + 1;
  }
}

static tn_status cut_metaspace(const run *r, int32_t index, tn_str text, bool origin,
                               tn_error *err) {
  const step *s = &r->p->steps[index];
  tn_strbuf *buffer = take_buffer(r, index);
  bool begins = text.data[0] == ' ' || tn_str_starts(text, s->literal);
  if (!begins && (s->always || (s->first && origin))) tn_strbuf_add_str(buffer, s->literal);
  replace_spaces(text, s->literal, buffer);
  TN_TRY(tn_strbuf_check(buffer, err));
  tn_str spelled = tn_strbuf_view(buffer);
  return s->splits ? cut(r, index, spelled, origin, err)
                   : emit(r, index, spelled, 0, spelled.length, origin, err);
}

/* ---- ByteLevel
 * ------------------------------------------------------------------------------------
 * Two steps: cutting (with the space in front), then spelling, which a raw run leaves out. */
static tn_status cut_byte_level(const run *r, int32_t index, tn_str text, bool origin,
                                tn_error *err) {
  const step *s = &r->p->steps[index];
  if (s->prefix && text.data[0] != ' ') {
    tn_strbuf *buffer = take_buffer(r, index);
    tn_strbuf_add_char(buffer, ' ');
    tn_strbuf_add_str(buffer, text);
    TN_TRY(tn_strbuf_check(buffer, err));
    text = tn_strbuf_view(buffer);
  }
  return s->regex ? cut_isolated(r, index, text, origin, err)
                  : emit(r, index, text, 0, text.length, origin, err);
}

static tn_status spell(const run *r, int32_t index, tn_str text, bool origin, tn_error *err) {
  if (r->raw) return emit(r, index, text, 0, text.length, origin, err);
  tn_strbuf *buffer = take_buffer(r, index);
  tn_alphabet_write(text, buffer);
  TN_TRY(tn_strbuf_check(buffer, err));
  return emit(r, index, tn_strbuf_view(buffer), 0, buffer->length, origin, err);
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */
static const char *const behavior_names[] = {
    [ISOLATED] = "Isolated",
    [REMOVED] = "Removed",
    [CONTIGUOUS] = "Contiguous",
    [MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
    [MERGED_WITH_NEXT] = "MergedWithNext",
};

static tn_status read_behavior(const tn_json *json, behavior *out, tn_error *err) {
  tn_str name;
  TN_TRY(tn_json_want_text(json, "behavior", &name, err));
  for (int i = 0; i < 5; i++) {
    if (!tn_str_is(name, behavior_names[i])) continue;
    *out = (behavior)i;
    return TN_OK;
  }
  return tn_json_unsupported(err, "behavior", name);
}

static tn_status keep(tn_pretokenizer *p, tn_str text, tn_str *out, tn_error *err) {
  char *copy = tn_arena_strndup(&p->arena, text.data, text.length);
  if (!copy) return tn_fail_memory(err, "a pre-tokenizer's text", text.length);
  *out = (tn_str){copy, text.length};
  return TN_OK;
}

static tn_status add_step(tn_pretokenizer *p, step_fn fn, step **out, tn_error *err) {
  if (p->count == TN_PRETOKENIZER_STEPS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "more than %d steps", TN_PRETOKENIZER_STEPS_MAX);
  *out = &p->steps[p->count++];
  (*out)->fn = fn;
  return TN_OK;
}

static tn_status add_byte_level(tn_pretokenizer *p, bool prefix, bool regex, tn_error *err) {
  step *s = NULL;
  if (prefix || regex) {
    TN_TRY(add_step(p, cut_byte_level, &s, err));
    s->prefix = prefix;
    if (regex) TN_TRY(tn_regex_new(&s->regex, TN_STR(GPT2_PATTERN), err));
  }
  return add_step(p, spell, &s, err);
}

static tn_status read_byte_level(tn_pretokenizer *p, const tn_json *json, tn_error *err) {
  bool prefix = true, regex = true; /* what Hugging Face takes where the file is silent */
  TN_TRY(tn_json_get_bool(json, "add_prefix_space", &prefix, err));
  TN_TRY(tn_json_get_bool(json, "use_regex", &regex, err));
  return add_byte_level(p, prefix, regex, err);
}

static tn_status read_split(tn_pretokenizer *p, const tn_json *json, tn_error *err) {
  step *s = NULL;
  tn_str pattern;
  bool is_regex;
  TN_TRY(add_step(p, cut, &s, err));
  TN_TRY(read_behavior(json, &s->behavior, err));
  TN_TRY(tn_json_get_bool(json, "invert", &s->invert, err));
  TN_TRY(tn_json_want_pattern(json, &pattern, &is_regex, err));
  if (is_regex && s->behavior == ISOLATED) s->fn = cut_isolated;
  if (is_regex) return tn_regex_new(&s->regex, pattern, err);
  if (!pattern.length) return tn_fail(err, TN_ERR_UNSUPPORTED, "Split at the empty string");
  return keep(p, pattern, &s->literal, err);
}

static tn_status read_metaspace(tn_pretokenizer *p, const tn_json *json, tn_error *err) {
  step *s = NULL;
  tn_str character, scheme = TN_STR("always");
  bool prefix = true;
  TN_TRY(add_step(p, cut_metaspace, &s, err));
  TN_TRY(tn_json_want_char(json, "replacement", &character, err));
  TN_TRY(keep(p, character, &s->literal, err));
  TN_TRY(tn_json_get_str(json, "prepend_scheme", &scheme, err));
  TN_TRY(tn_json_get_bool(json, "add_prefix_space", &prefix, err));
  s->behavior = MERGED_WITH_NEXT;
  s->splits = true;
  TN_TRY(tn_json_get_bool(json, "split", &s->splits, err));
  s->always = tn_str_is(scheme, "always") && prefix;
  s->first = tn_str_is(scheme, "first") && prefix;
  if (!s->always && !s->first && prefix && !tn_str_is(scheme, "never"))
    return tn_json_unsupported(err, "prepend_scheme", scheme);
  return TN_OK;
}

static tn_status read_class(tn_pretokenizer *p, const tn_json *json, class_fn is_match,
                            behavior how, tn_error *err) {
  step *s = NULL;
  TN_TRY(add_step(p, cut, &s, err));
  s->is_match = is_match;
  s->behavior = how;
  if (is_match == tn_unicode_is_punctuation && !tn_json_is_null(tn_json_get(json, "behavior")))
    return read_behavior(json, &s->behavior, err);
  bool individual = true;
  TN_TRY(tn_json_get_bool(json, "individual_digits", &individual, err));
  if (is_match == tn_unicode_is_numeric && !individual) s->behavior = CONTIGUOUS;
  return TN_OK;
}

static tn_status read_delimiter(tn_pretokenizer *p, const tn_json *json, tn_error *err) {
  step *s = NULL;
  tn_str delimiter;
  TN_TRY(add_step(p, cut, &s, err));
  s->behavior = REMOVED;
  TN_TRY(tn_json_want_char(json, "delimiter", &delimiter, err));
  return keep(p, delimiter, &s->literal, err);
}

static tn_status read_fixed(tn_pretokenizer *p, const tn_json *json, tn_error *err) {
  step *s = NULL;
  TN_TRY(add_step(p, cut_fixed, &s, err));
  s->length = 5;
  return tn_json_get_i64(json, "length", 1, INT32_MAX, &s->length, err);
}

static tn_status read_step(tn_pretokenizer *p, const tn_json *json, int32_t depth, tn_error *err);

static tn_status read_sequence(tn_pretokenizer *p, const tn_json *json, int32_t depth,
                               tn_error *err) {
  const tn_json *members = tn_json_get(json, "pretokenizers");
  TN_TRY(tn_json_want(members, TN_JSON_ARRAY, "pretokenizers", err));
  if (depth == NESTING_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "pre-tokenizers nest deeper than %d", NESTING_MAX);
  for (const tn_json *m = members->first; m; m = m->next) TN_TRY(read_step(p, m, depth + 1, err));
  return TN_OK;
}

static tn_status read_step(tn_pretokenizer *p, const tn_json *json, int32_t depth, tn_error *err) {
  step *s = NULL;
  TN_TRY(tn_json_want(json, TN_JSON_OBJECT, "pre_tokenizer", err));
  tn_str type = tn_json_text(json, "type");
  if (tn_str_is(type, "Sequence")) return read_sequence(p, json, depth, err);
  if (tn_str_is(type, "ByteLevel")) return read_byte_level(p, json, err);
  if (tn_str_is(type, "Split")) return read_split(p, json, err);
  if (tn_str_is(type, "Metaspace")) return read_metaspace(p, json, err);
  if (tn_str_is(type, "BertPreTokenizer")) return add_step(p, cut_bert, &s, err);
  if (tn_str_is(type, "Whitespace")) return add_step(p, cut_whitespace, &s, err);
  if (tn_str_is(type, "CharDelimiterSplit")) return read_delimiter(p, json, err);
  if (tn_str_is(type, "FixedLength")) return read_fixed(p, json, err);
  if (tn_str_is(type, "WhitespaceSplit"))
    return read_class(p, json, tn_unicode_is_space, REMOVED, err);
  if (tn_str_is(type, "Digits")) return read_class(p, json, tn_unicode_is_numeric, ISOLATED, err);
  if (tn_str_is(type, "Punctuation"))
    return read_class(p, json, tn_unicode_is_punctuation, ISOLATED, err);
  return tn_json_unsupported(err, "pre-tokenizer", type);
}

tn_status tn_pretokenizer_read(tn_pretokenizer **out, const tn_json *json, tn_error *err) {
  *out = NULL;
  if (tn_json_is_null(json)) return TN_OK;
  tn_pretokenizer *p = tn_alloc(1, sizeof *p);
  if (!p) return tn_fail_memory(err, "a pre-tokenizer", sizeof *p);
  tn_status status = read_step(p, json, 0, err);
  if (status != TN_OK) {
    tn_pretokenizer_free(p);
    return tn_error_context(err, status, "pre_tokenizer");
  }
  *out = p;
  return TN_OK;
}

tn_status tn_pretokenizer_gpt2(tn_pretokenizer **out, tn_error *err) {
  tn_pretokenizer *p = tn_alloc(1, sizeof *p);
  if (!p) return tn_fail_memory(err, "a pre-tokenizer", sizeof *p);
  tn_status status = add_byte_level(p, false, true, err);
  if (status != TN_OK) {
    tn_pretokenizer_free(p);
    return status;
  }
  *out = p;
  return TN_OK;
}

void tn_pretokenizer_free(tn_pretokenizer *p) {
  if (!p) return;
  for (int32_t i = 0; i < p->count; i++) tn_regex_free(p->steps[i].regex);
  tn_arena_clear(&p->arena);
  tn_free(p);
}

bool tn_pretokenizer_ends_in_bytes(const tn_pretokenizer *p) {
  if (!p || p->count == 0) return false;
  for (int32_t i = 0; i + 1 < p->count; i++)
    if (p->steps[i].fn == spell) return false;
  return p->steps[p->count - 1].fn == spell;
}

/* ---- running
 * -------------------------------------------------------------------------------------- */
void tn_pretokenize_scratch_clear(tn_pretokenize_scratch *s) {
  for (int i = 0; i < TN_PRETOKENIZER_STEPS_MAX; i++) tn_strbuf_clear(&s->buffers[i]);
}

/* Bytes from `text` on that are valid UTF-8 (or, if `valid` is false, are not). */
static size_t stretch(tn_str text, bool valid) {
  const uint8_t *bytes = (const uint8_t *)text.data;
  size_t at = 0;
  while (at < text.length) {
    int length = bytes[at] < 0x80 ? 1 : tn_utf8_length(bytes + at, text.length - at);
    if ((length > 0) != valid) break;
    at += (size_t)(length ? length : 1);
  }
  return at;
}

static tn_status run_valid(run *r, tn_str text, bool origin, tn_error *err) {
  if (!text.length) return TN_OK;
  if (r->p->count == 0) return r->fn(r->context, text, err);
  r->exact = tn_regex_needs_exact(text);
  return r->p->steps[0].fn(r, 0, text, origin, err);
}

tn_status tn_pretokenizer_run(const tn_pretokenizer *p, tn_pretokenize_scratch *scratch,
                              tn_str text, bool origin, bool raw, tn_piece_fn fn, void *context,
                              tn_error *err) {
  if (!p) return text.length ? fn(context, text, err) : TN_OK;
  run r = {.p = p, .scratch = scratch, .raw = raw, .fn = fn, .context = context};
  if (!raw) return run_valid(&r, text, origin, err);
  while (text.length) {
    size_t valid = stretch(text, true);
    TN_TRY(run_valid(&r, (tn_str){text.data, valid}, origin, err));
    text.data += valid;
    text.length -= valid;
    size_t invalid = stretch(text, false);
    if (invalid) TN_TRY(fn(context, (tn_str){text.data, invalid}, err));
    text.data += invalid;
    text.length -= invalid;
  }
  return TN_OK;
}
