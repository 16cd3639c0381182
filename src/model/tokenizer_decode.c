/* tokenizer_decode.c - see tokenizer_decode.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_decode.h"

#include "base/utf8.h"
#include "model/tokenizer_alphabet.h"
#include "model/tokenizer_json.h"
#include "model/tokenizer_regex.h"
#include "model/tokenizer_unicode.h"

#define NESTING_MAX 8

typedef struct list { /* of texts */
  tn_str *items;
  size_t count;
} list;

typedef struct step step;
typedef struct decode_run {
  tn_arena arena;
  tn_strbuf buffer, other; /* what a token is built in */
  tn_regex_scratch *regex; /* made when a step asks for it */
  bool piece;              /* one token in the middle of a text */
  bool last;               /* this is the last step */
} decode_run;
typedef tn_status (*step_fn)(const step *s, decode_run *r, list *tokens, tn_error *err);

struct step {
  step_fn fn;
  tn_str text;    /* prefix, suffix, replacement character, pattern, pad token */
  tn_str content; /* Replace, CTC's word delimiter */
  tn_regex *regex;
  bool prefixed, cleanup;
  int64_t start, stop;
};

struct tn_decoder {
  step steps[TN_DECODER_STEPS_MAX];
  int32_t count;
  tn_arena arena;
};

/* Replaces token i by what r->buffer holds. */
static tn_status keep(decode_run *r, list *tokens, size_t i, tn_error *err) {
  TN_TRY(tn_strbuf_check(&r->buffer, err));
  char *copy = tn_arena_strndup(&r->arena, r->buffer.data ? r->buffer.data : "", r->buffer.length);
  if (!copy) return tn_fail_memory(err, "decoding", r->buffer.length);
  tokens->items[i] = (tn_str){copy, r->buffer.length};
  tn_strbuf_reset(&r->buffer);
  return TN_OK;
}

static void add_replaced(tn_str text, tn_str from, tn_str to, tn_strbuf *out) {
  size_t at = 0;
  while (at < text.length && from.length) {
    const char *found = memmem(text.data + at, text.length - at, from.data, from.length);
    if (!found) break;
    size_t start = (size_t)(found - text.data);
    tn_strbuf_append(out, text.data + at, start - at);
    tn_strbuf_add_str(out, to);
    at = start + from.length;
  }
  tn_strbuf_append(out, text.data + at, text.length - at);
}

/* ---- ByteLevel, ByteFallback, Fuse
 * ---------------------------------------------------------------- */
static tn_status run_byte_level(const step *s, decode_run *r, list *tokens, tn_error *err) {
  tn_strbuf_reset(&r->other);
  for (size_t i = 0; i < tokens->count; i++) {
    tn_str token = tokens->items[i];
    uint8_t *bytes = tn_arena_alloc(&r->arena, token.length + 1, 1);
    if (!bytes) return tn_fail_memory(err, "decoding", token.length);
    size_t count;
    bool spelled = tn_alphabet_read(token, bytes, &count);
    tn_strbuf_append(&r->other, spelled ? (char *)bytes : token.data,
                     spelled ? count : token.length);
  }
  TN_TRY(tn_strbuf_check(&r->other, err));
  if (r->last || r->piece)
    tn_strbuf_add_str(&r->buffer, tn_strbuf_view(&r->other));
  else
    tn_utf8_append_repaired(&r->buffer, tn_strbuf_view(&r->other));
  if (!tokens->count) return TN_OK;
  tokens->count = 1;
  return keep(r, tokens, 0, err);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "<0x41>": 0x41.  Rust's number parser also takes "+1". */
static int fallback_byte(tn_str token) {
  if (token.length != 6 || !tn_str_starts(token, TN_STR("<0x")) || token.data[5] != '>') return -1;
  int high = token.data[3] == '+' ? 0 : hex_digit(token.data[3]), low = hex_digit(token.data[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static tn_status end_bytes(decode_run *r, list *tokens, size_t *count, tn_error *err) {
  if (!r->buffer.length) return TN_OK;
  if (r->piece || tn_utf8_valid(tn_strbuf_view(&r->buffer)))
    return keep(r, tokens, (*count)++, err);
  for (size_t i = 0; i < r->buffer.length; i++) tokens->items[(*count)++] = TN_STR("\xEF\xBF\xBD");
  tn_strbuf_reset(&r->buffer);
  return TN_OK;
}

/* Runs of byte tokens become one text, or a U+FFFD a byte. */
static tn_status run_fallback(const step *s, decode_run *r, list *tokens, tn_error *err) {
  size_t count = 0;
  for (size_t i = 0; i < tokens->count; i++) {
    tn_str token = tokens->items[i];
    int byte = fallback_byte(token);
    if (byte >= 0) {
      tn_strbuf_add_char(&r->buffer, (char)byte);
      continue;
    }
    TN_TRY(end_bytes(r, tokens, &count, err));
    tokens->items[count++] = token;
  }
  TN_TRY(end_bytes(r, tokens, &count, err));
  tokens->count = count;
  return TN_OK;
}

static tn_status run_fuse(const step *s, decode_run *r, list *tokens, tn_error *err) {
  for (size_t i = 0; i < tokens->count; i++) tn_strbuf_add_str(&r->buffer, tokens->items[i]);
  if (!tokens->count) return TN_OK;
  tokens->count = 1;
  return keep(r, tokens, 0, err);
}

/* ---- token by token
 * ------------------------------------------------------------------------------- */
static tn_status run_metaspace(const step *s, decode_run *r, list *tokens, tn_error *err) {
  for (size_t i = 0; i < tokens->count; i++) {
    bool first = i == 0 && s->prefixed && !r->piece;
    add_replaced(tokens->items[i], s->text, first ? TN_STR("") : TN_STR(" "), &r->buffer);
    TN_TRY(keep(r, tokens, i, err));
  }
  return TN_OK;
}

static void clean_up(decode_run *r) {
  static const char *const pairs[][2] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    tn_strbuf swap = r->other;
    r->other = r->buffer;
    r->buffer = swap;
    tn_strbuf_reset(&r->buffer);
    add_replaced(tn_strbuf_view(&r->other), tn_str_of(pairs[i][0]), tn_str_of(pairs[i][1]),
                 &r->buffer);
    r->buffer.failed = r->buffer.failed || r->other.failed;
  }
}

static tn_status run_wordpiece(const step *s, decode_run *r, list *tokens, tn_error *err) {
  for (size_t i = 0; i < tokens->count; i++) {
    tn_str token = tokens->items[i];
    if (i > 0 || r->piece) {
      if (tn_str_starts(token, s->text)) {
        token.data += s->text.length;
        token.length -= s->text.length;
      } else {
        tn_strbuf_add_char(&r->buffer, ' ');
      }
    }
    tn_strbuf_add_str(&r->buffer, token);
    if (s->cleanup) clean_up(r);
    TN_TRY(keep(r, tokens, i, err));
  }
  return TN_OK;
}

static tn_status run_bpe(const step *s, decode_run *r, list *tokens, tn_error *err) {
  for (size_t i = 0; i < tokens->count; i++) {
    bool last = i + 1 == tokens->count && !r->piece;
    add_replaced(tokens->items[i], s->text, last ? TN_STR("") : TN_STR(" "), &r->buffer);
    TN_TRY(keep(r, tokens, i, err));
  }
  return TN_OK;
}

/* A token that repeats the one before it is one token; pads vanish. */
static tn_status run_ctc(const step *s, decode_run *r, list *tokens, tn_error *err) {
  size_t count = 0;
  tn_str previous = {NULL, 0};
  for (size_t i = 0; i < tokens->count; i++) {
    tn_str token = tokens->items[i];
    bool again = i > 0 && tn_str_equal(token, previous);
    previous = token;
    if (again) continue;
    add_replaced(token, s->text, TN_STR(""), &r->buffer);
    if (s->cleanup) {
      clean_up(r);
      tn_strbuf_reset(&r->other);
      tn_strbuf_add_str(&r->other, tn_strbuf_view(&r->buffer));
      tn_strbuf_reset(&r->buffer);
      add_replaced(tn_strbuf_view(&r->other), s->content, TN_STR(" "), &r->buffer);
    }
    if (r->buffer.length) TN_TRY(keep(r, tokens, count++, err));
  }
  tokens->count = count;
  return tn_strbuf_check(&r->buffer, err);
}

static tn_status run_strip(const step *s, decode_run *r, list *tokens, tn_error *err) {
  if (r->piece) return TN_OK; /* the ends of the whole text */
  for (size_t i = 0; i < tokens->count; i++) {
    tn_str *token = &tokens->items[i];
    for (int64_t n = 0; n < s->start && token->length && tn_str_starts(*token, s->text); n++) {
      token->data += s->text.length;
      token->length -= s->text.length;
    }
    for (int64_t n = 0; n < s->stop && token->length && tn_str_ends(*token, s->text); n++)
      token->length -= s->text.length;
  }
  return TN_OK;
}

static tn_status add_regex_replaced(const step *s, decode_run *r, tn_str token, tn_error *err) {
  tn_regex_walk walk = {0};
  size_t at = 0, start, end;
  tn_status status = TN_END;
  if (!r->regex) TN_TRY(tn_regex_scratch_new(&r->regex, err));
  bool exact = tn_regex_needs_exact(token);
  while (token.length && (status = tn_regex_next(s->regex, r->regex, exact, token, &walk, &start,
                                                 &end, err)) == TN_OK) {
    tn_strbuf_append(&r->buffer, token.data + at, start - at);
    tn_strbuf_add_str(&r->buffer, s->content);
    at = end;
  }
  if (status != TN_END) return status;
  tn_strbuf_append(&r->buffer, token.data + at, token.length - at);
  return TN_OK;
}

static tn_status run_replace(const step *s, decode_run *r, list *tokens, tn_error *err) {
  for (size_t i = 0; i < tokens->count; i++) {
    tn_str token = tokens->items[i];
    if (!s->regex)
      add_replaced(token, s->text, s->content, &r->buffer);
    else if (tn_utf8_valid(token))
      TN_TRY(add_regex_replaced(s, r, token, err));
    else /* a byte of a piece */
      tn_strbuf_add_str(&r->buffer, token);
    TN_TRY(keep(r, tokens, i, err));
  }
  return TN_OK;
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */
static tn_status hold(tn_decoder *d, tn_str text, tn_str *out, tn_error *err) {
  char *copy = tn_arena_strndup(&d->arena, text.data ? text.data : "", text.length);
  if (!copy) return tn_fail_memory(err, "a decoder's text", text.length);
  *out = (tn_str){copy, text.length};
  return TN_OK;
}

static tn_status hold_member(tn_decoder *d, const tn_json *json, const char *key, tn_str *out,
                             tn_error *err) {
  tn_str text;
  TN_TRY(tn_json_want_text(json, key, &text, err));
  return hold(d, text, out, err);
}

static tn_status read_metaspace(tn_decoder *d, step *s, const tn_json *json, tn_error *err) {
  tn_str text, scheme = TN_STR("always");
  bool prefix = true;
  s->fn = run_metaspace;
  TN_TRY(tn_json_want_char(json, "replacement", &text, err));
  TN_TRY(tn_json_get_str(json, "prepend_scheme", &scheme, err));
  TN_TRY(tn_json_get_bool(json, "add_prefix_space", &prefix, err));
  s->prefixed = prefix && !tn_str_is(scheme, "never");
  return hold(d, text, &s->text, err);
}

static tn_status read_ctc(tn_decoder *d, step *s, const tn_json *json, tn_error *err) {
  s->fn = run_ctc;
  s->cleanup = true;
  TN_TRY(tn_json_get_bool(json, "cleanup", &s->cleanup, err));
  TN_TRY(hold_member(d, json, "pad_token", &s->text, err));
  return hold_member(d, json, "word_delimiter_token", &s->content, err);
}

static tn_status read_strip(tn_decoder *d, step *s, const tn_json *json, tn_error *err) {
  tn_str text;
  s->fn = run_strip;
  TN_TRY(tn_json_want_char(json, "content", &text, err));
  TN_TRY(tn_json_get_i64(json, "start", 0, INT32_MAX, &s->start, err));
  TN_TRY(tn_json_get_i64(json, "stop", 0, INT32_MAX, &s->stop, err));
  return hold(d, text, &s->text, err);
}

static tn_status read_replace(tn_decoder *d, step *s, const tn_json *json, tn_error *err) {
  tn_str pattern;
  bool is_regex;
  s->fn = run_replace;
  TN_TRY(tn_json_want_pattern(json, &pattern, &is_regex, err));
  TN_TRY(hold_member(d, json, "content", &s->content, err));
  if (is_regex) return tn_regex_new(&s->regex, pattern, err);
  if (!pattern.length) return tn_fail(err, TN_ERR_UNSUPPORTED, "Replace of the empty string");
  return hold(d, pattern, &s->text, err);
}

static tn_status read_step(tn_decoder *d, const tn_json *json, int32_t depth, tn_error *err);

static tn_status read_sequence(tn_decoder *d, const tn_json *json, int32_t depth, tn_error *err) {
  const tn_json *members = tn_json_get(json, "decoders");
  TN_TRY(tn_json_want(members, TN_JSON_ARRAY, "decoders", err));
  if (depth == NESTING_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "decoders nest deeper than %d", NESTING_MAX);
  for (const tn_json *m = members->first; m; m = m->next) TN_TRY(read_step(d, m, depth + 1, err));
  return TN_OK;
}

static tn_status read_step(tn_decoder *d, const tn_json *json, int32_t depth, tn_error *err) {
  TN_TRY(tn_json_want(json, TN_JSON_OBJECT, "decoder", err));
  tn_str type = tn_json_text(json, "type");
  if (tn_str_is(type, "Sequence")) return read_sequence(d, json, depth, err);
  if (d->count == TN_DECODER_STEPS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "more than %d decoders", TN_DECODER_STEPS_MAX);
  step *s = &d->steps[d->count++];
  static const struct {
    const char *name;
    step_fn fn;
  } plain[] = {{"ByteLevel", run_byte_level}, {"ByteFallback", run_fallback}, {"Fuse", run_fuse}};
  for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
    if (!tn_str_is(type, plain[i].name)) continue;
    s->fn = plain[i].fn;
    return TN_OK;
  }
  if (tn_str_is(type, "Metaspace")) return read_metaspace(d, s, json, err);
  if (tn_str_is(type, "CTC")) return read_ctc(d, s, json, err);
  if (tn_str_is(type, "Strip")) return read_strip(d, s, json, err);
  if (tn_str_is(type, "Replace")) return read_replace(d, s, json, err);
  if (tn_str_is(type, "BPEDecoder")) {
    s->fn = run_bpe;
    return hold_member(d, json, "suffix", &s->text, err);
  }
  if (!tn_str_is(type, "WordPiece")) return tn_json_unsupported(err, "decoder", type);
  s->fn = run_wordpiece;
  s->cleanup = true;
  TN_TRY(tn_json_get_bool(json, "cleanup", &s->cleanup, err));
  return hold_member(d, json, "prefix", &s->text, err);
}

tn_status tn_decoder_read(tn_decoder **out, const tn_json *json, tn_error *err) {
  *out = NULL;
  if (tn_json_is_null(json)) return TN_OK;
  tn_decoder *d = tn_alloc(1, sizeof *d);
  if (!d) return tn_fail_memory(err, "a decoder", sizeof *d);
  tn_status status = read_step(d, json, 0, err);
  if (status != TN_OK) {
    tn_decoder_free(d);
    return tn_error_context(err, status, "decoder");
  }
  *out = d;
  return TN_OK;
}

void tn_decoder_free(tn_decoder *d) {
  if (!d) return;
  for (int32_t i = 0; i < d->count; i++) tn_regex_free(d->steps[i].regex);
  tn_arena_clear(&d->arena);
  tn_free(d);
}

bool tn_decoder_is_plain(const tn_decoder *d) {
  return d && d->count == 1 && d->steps[0].fn == run_byte_level;
}

/* ---- running
 * -------------------------------------------------------------------------------------- */
static tn_status run_steps(const tn_decoder *d, decode_run *r, list *tokens, tn_error *err) {
  for (int32_t i = 0; i < d->count; i++) {
    r->last = i + 1 == d->count;
    TN_TRY(d->steps[i].fn(&d->steps[i], r, tokens, err));
  }
  return TN_OK;
}

static void run_clear(decode_run *r) {
  tn_regex_scratch_free(r->regex);
  tn_strbuf_clear(&r->buffer);
  tn_strbuf_clear(&r->other);
  tn_arena_clear(&r->arena);
}

static tn_status run_list(const tn_decoder *d, decode_run *r, const tn_str *tokens, size_t count,
                          tn_strbuf *out, tn_error *err) {
  list texts = {tn_arena_alloc(&r->arena, count ? count : 1, sizeof(tn_str)), count};
  if (!texts.items) return tn_fail_memory(err, "decoding", count * sizeof(tn_str));
  if (count) memcpy(texts.items, tokens, count * sizeof *tokens);
  TN_TRY(run_steps(d, r, &texts, err));
  for (size_t i = 0; i < texts.count; i++) tn_strbuf_add_str(out, texts.items[i]);
  return tn_strbuf_check(out, err);
}

tn_status tn_decoder_run(const tn_decoder *d, const tn_str *tokens, size_t count, tn_strbuf *out,
                         tn_error *err) {
  if (d) {
    decode_run r = {.piece = false};
    tn_status status = run_list(d, &r, tokens, count, out, err);
    run_clear(&r);
    return status;
  }
  for (size_t i = 0; i < count; i++) {
    if (i > 0) tn_strbuf_add_char(out, ' ');
    tn_strbuf_add_str(out, tokens[i]);
  }
  return tn_strbuf_check(out, err);
}

static tn_status decode_piece(const tn_decoder *d, decode_run *r, tn_str token, tn_strbuf *text,
                              tn_arena *arena, tn_str *out, tn_error *err) {
  tn_strbuf_reset(text);
  tn_arena_reset(&r->arena);
  TN_TRY(run_list(d, r, &token, 1, text, err));
  char *copy = tn_arena_strndup(arena, text->data ? text->data : "", text->length);
  if (!copy) return tn_fail_memory(err, "a token", text->length);
  *out = (tn_str){copy, text->length};
  return TN_OK;
}

tn_status tn_decoder_pieces(const tn_decoder *d, const tn_str *tokens, size_t count,
                            tn_arena *arena, tn_str *out, tn_error *err) {
  decode_run r = {.piece = true};
  tn_strbuf text = {0};
  tn_status status = TN_OK;
  for (size_t i = 0; i < count && status == TN_OK; i++) {
    if (!tokens[i].data) continue;
    if (d)
      status = decode_piece(d, &r, tokens[i], &text, arena, &out[i], err);
    else
      out[i] = tokens[i];
  }
  tn_strbuf_clear(&text);
  run_clear(&r);
  return status;
}
