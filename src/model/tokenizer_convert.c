/* tokenizer_convert.c - see tokenizer_convert.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_convert.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/map.h"
#include "model/tokenizer_json.h"

#define META "\xE2\x96\x81"

/* ---- pre-tokenizers by name
 * -----------------------------------------------------------------------
 * llama.cpp names them in GGUF files; the patterns are those of the models' own tokenizer.json. */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES       "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT4(digits)                                          \
  CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits \
               "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(tail, digits)                                                                   \
  "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" tail "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER \
  "*" tail "|\\p{N}" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES
#define DEEPSEEK_V3                                                                           \
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}" \
  "\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" SPACES
#define QWEN35                                                                    \
  CONTRACTIONS                                                                    \
  "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r" \
  "\\n]*" SPACES
#define SEED_CODER \
  CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+" SPACES
#define BLOOM \
  " ?[^(\\s|.,!?\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5\xA4\xDB\x94\xD8\x8C)]+"

typedef struct pre_kind {
  const char *names;       /* parted by spaces */
  const char *patterns[3]; /* Splits before ByteLevel */
  bool regex;              /* ByteLevel cuts by GPT-2's pattern, too */
  bool nfc, ignore_merges, bos, falcon;
} pre_kind;

static const pre_kind pre_kinds[] = {
    {"gpt-2 phi-2 mpt olmo jais roberta-bpe gigachat jina-es jina-de jina-v2-es jina-v2-de "
     "jina-v1-en jina-v2-code trillion granite-docling a.x-4.0 mellum modern-bert exaone4 whisper",
     .regex = true},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b", {"\\p{N}"}, .regex = true},
    {"falcon", .falcon = true},
    {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2",
     {GPT4("{1,3}")},
     .ignore_merges = true,
     .bos = true},
    {"dbrx smaug-bpe chatglm-bpe glm4", {GPT4("{1,3}")}},
    {"qwen2 deepseek-r1-qwen stablelm2 megrez hunyuan solar-open kormo", {GPT4("")}, .nfc = true},
    {"grok-2", {GPT4("")}},
    {"qwen35", {QWEN35}, .nfc = true},
    {"gpt-4o llama4 kanana2 minimax-m2", {CASED(CONTRACTIONS "?", "{1,3}")}},
    {"tekken", {CASED("", "")}, .ignore_merges = true, .bos = true},
    {"deepseek-v3 hunyuan-dense joyai-llm",
     {"\\p{N}{1,3}",
      "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+",
      DEEPSEEK_V3}},
    {"seed-coder", {SEED_CODER}},
    {"bloom gpt3-finnish poro-chat", {BLOOM}},
    {"viking", {BLOOM, "\\p{N}"}},
};

static bool has_word(const char *words, tn_str word) {
  tn_str rest = tn_str_of(words);
  while (rest.length)
    if (tn_str_equal(tn_str_cut(&rest, ' '), word)) return true;
  return false;
}

static const pre_kind *find_pre(tn_str name) {
  if (!name.length || tn_str_is(name, "default")) name = TN_STR("gpt-2");
  for (size_t i = 0; i < sizeof pre_kinds / sizeof pre_kinds[0]; i++)
    if (has_word(pre_kinds[i].names, name)) return &pre_kinds[i];
  return NULL;
}

/* ---- writing
 * -------------------------------------------------------------------------------------- */
typedef struct writer {
  const tn_vocab *v;
  const pre_kind *pre;
  tn_json_writer w;
} writer;

static void text_member(tn_json_writer *w, const char *key, const char *value) {
  tn_json_key(w, key), tn_json_cstr(w, value);
}
static void bool_member(tn_json_writer *w, const char *key, bool value) {
  tn_json_key(w, key), tn_json_bool(w, value);
}
static void begin_typed(tn_json_writer *w, const char *type) {
  tn_json_begin_object(w);
  text_member(w, "type", type);
}
static void begin_sequence(tn_json_writer *w, const char *members) {
  begin_typed(w, "Sequence");
  tn_json_key(w, members);
  tn_json_begin_array(w);
}
static void end_sequence(tn_json_writer *w) {
  tn_json_end_array(w);
  tn_json_end_object(w);
}
static void write_pattern(tn_json_writer *w, const char *kind, const char *text) {
  tn_json_key(w, "pattern");
  tn_json_begin_object(w);
  text_member(w, kind, text);
  tn_json_end_object(w);
}
static void write_replace(tn_json_writer *w, const char *kind, const char *from, const char *to) {
  begin_typed(w, "Replace");
  write_pattern(w, kind, from);
  text_member(w, "content", to);
  tn_json_end_object(w);
}
static void write_metaspace(tn_json_writer *w, bool prefix) {
  begin_typed(w, "Metaspace");
  text_member(w, "replacement", META);
  text_member(w, "prepend_scheme", prefix ? "always" : "never");
  bool_member(w, "split", true);
  tn_json_end_object(w);
}
static void write_byte_level(tn_json_writer *w, bool regex) {
  begin_typed(w, "ByteLevel");
  bool_member(w, "add_prefix_space", false);
  bool_member(w, "trim_offsets", true);
  bool_member(w, "use_regex", regex);
  tn_json_end_object(w);
}

static void write_base64(tn_json_writer *w, tn_str bytes) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  tn_strbuf text = {0};
  for (size_t i = 0; i < bytes.length; i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; j++)
      bits = bits << 8 | (i + j < bytes.length ? (uint8_t)bytes.data[i + j] : 0);
    for (size_t j = 0; j < 4; j++)
      tn_strbuf_add_char(&text, i + j <= bytes.length ? digits[bits >> (18 - 6 * j) & 63] : '=');
  }
  tn_json_str(w, tn_strbuf_view(&text));
  w->out->failed = w->out->failed || text.failed;
  tn_strbuf_clear(&text);
}

static void write_charsmap(tn_json_writer *w, tn_str charsmap) {
  begin_typed(w, "Precompiled");
  tn_json_key(w, "precompiled_charsmap");
  write_base64(w, charsmap);
  tn_json_end_object(w);
}

static void write_normalizer(writer *o) {
  tn_json_writer *w = &o->w;
  tn_json_key(w, "normalizer");
  if (o->v->kind == TN_VOCAB_WORDPIECE) {
    begin_typed(w, "BertNormalizer");
    bool_member(w, "clean_text", true);
    bool_member(w, "handle_chinese_chars", true);
    tn_json_key(w, "strip_accents"), tn_json_null(w);
    bool_member(w, "lowercase", true);
    tn_json_end_object(w);
    return;
  }
  if (o->v->kind == TN_VOCAB_BYTE_BPE) {
    if (!o->pre->nfc) {
      tn_json_null(w);
      return;
    }
    begin_typed(w, "NFC");
    tn_json_end_object(w);
    return;
  }
  begin_sequence(w, "normalizers");
  if (o->v->charsmap.length) write_charsmap(w, o->v->charsmap);
  if (o->v->squeeze) {
    begin_typed(w, "Strip");
    bool_member(w, "strip_left", false);
    bool_member(w, "strip_right", true);
    tn_json_end_object(w);
    write_replace(w, "Regex", " {2,}", o->v->kind == TN_VOCAB_UNIGRAM ? META : " ");
  }
  if (o->v->kind == TN_VOCAB_SCORE_BPE) {
    if (o->v->prefix) {
      begin_typed(w, "Prepend");
      text_member(w, "prepend", META);
      tn_json_end_object(w);
    }
    write_replace(w, "String", " ", META);
  }
  end_sequence(w);
}

static void write_split(tn_json_writer *w, const char *pattern) {
  begin_typed(w, "Split");
  write_pattern(w, "Regex", pattern);
  text_member(w, "behavior", "Isolated");
  bool_member(w, "invert", false);
  tn_json_end_object(w);
}

static void write_pre_tokenizer(writer *o) {
  tn_json_writer *w = &o->w;
  tn_json_key(w, "pre_tokenizer");
  switch (o->v->kind) {
    case TN_VOCAB_SCORE_BPE:
      tn_json_null(w);
      return;
    case TN_VOCAB_UNIGRAM:
      write_metaspace(w, o->v->prefix);
      return;
    case TN_VOCAB_WORDPIECE:
      begin_typed(w, "BertPreTokenizer");
      tn_json_end_object(w);
      return;
    case TN_VOCAB_BYTE_BPE:
      break;
  }
  begin_sequence(w, "pretokenizers");
  if (o->pre->falcon) {
    begin_typed(w, "Punctuation");
    text_member(w, "behavior", "Contiguous");
    tn_json_end_object(w);
  }
  for (int i = 0; i < 3 && o->pre->patterns[i]; i++) write_split(w, o->pre->patterns[i]);
  write_byte_level(w, o->pre->regex || o->pre->falcon);
  if (o->pre->falcon) {
    begin_typed(w, "Digits");
    bool_member(w, "individual_digits", false);
    tn_json_end_object(w);
    write_split(w, "[0-9][0-9][0-9]");
  }
  end_sequence(w);
}

static void write_decoder(writer *o) {
  tn_json_writer *w = &o->w;
  tn_json_key(w, "decoder");
  switch (o->v->kind) {
    case TN_VOCAB_BYTE_BPE:
      write_byte_level(w, true);
      return;
    case TN_VOCAB_WORDPIECE:
      begin_typed(w, "WordPiece");
      text_member(w, "prefix", "##");
      bool_member(w, "cleanup", true);
      tn_json_end_object(w);
      return;
    case TN_VOCAB_UNIGRAM:
      if (!o->v->byte_fallback) {
        write_metaspace(w, o->v->prefix);
        return;
      }
      break;
    case TN_VOCAB_SCORE_BPE:
      break;
  }
  begin_sequence(w, "decoders");
  write_replace(w, "String", META, " ");
  begin_typed(w, "ByteFallback");
  tn_json_end_object(w);
  begin_typed(w, "Fuse");
  tn_json_end_object(w);
  if (o->v->prefix) {
    begin_typed(w, "Strip");
    text_member(w, "content", " ");
    tn_json_key(w, "start"), tn_json_i64(w, 1);
    tn_json_key(w, "stop"), tn_json_i64(w, 0);
    tn_json_end_object(w);
  }
  end_sequence(w);
}

/* ---- added tokens and the post-processor
 * ----------------------------------------------------------- */
static uint8_t type_of(const tn_vocab *v, int64_t id) {
  return v->types ? v->types[id] : TN_PIECE_NORMAL;
}

/* GGUF writes a WordPiece vocabulary with U+2581 before what begins a word, and without "##". */
static void add_spelled(const tn_vocab *v, int64_t id, tn_strbuf *out) {
  tn_str token = v->tokens[id];
  if (v->kind == TN_VOCAB_WORDPIECE && type_of(v, id) == TN_PIECE_NORMAL) {
    bool bracketed = tn_str_starts(token, TN_STR("[")) && tn_str_ends(token, TN_STR("]"));
    if (tn_str_starts(token, TN_STR(META)))
      token = (tn_str){token.data + 3, token.length - 3};
    else if (!bracketed)
      tn_strbuf_add(out, "##");
  }
  tn_strbuf_add_str(out, token);
}

static tn_str spelled(const tn_vocab *v, int64_t id, tn_strbuf *buffer) {
  tn_strbuf_reset(buffer);
  add_spelled(v, id, buffer);
  return buffer->data ? tn_strbuf_view(buffer) : TN_STR("");
}

static void write_added(writer *o, tn_strbuf *buffer) {
  static const char *const flags[] = {"single_word", "lstrip", "rstrip", "normalized"};
  tn_json_writer *w = &o->w;
  tn_json_key(w, "added_tokens");
  tn_json_begin_array(w);
  for (int64_t id = 0; id < o->v->count; id++) {
    uint8_t type = type_of(o->v, id);
    bool special = type == TN_PIECE_CONTROL || type == TN_PIECE_UNKNOWN;
    if (!special && type != TN_PIECE_USER) continue;
    tn_json_begin_object(w);
    tn_json_key(w, "id"), tn_json_i64(w, id);
    tn_json_key(w, "content"), tn_json_str(w, spelled(o->v, id, buffer));
    for (int i = 0; i < 4; i++) bool_member(w, flags[i], false);
    bool_member(w, "special", special);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
}

static bool is_id(const tn_vocab *v, int64_t id) {
  return id >= 0 && id < v->count;
}

static void write_item(tn_json_writer *w, const char *kind, tn_str id, int64_t type_id) {
  tn_json_begin_object(w);
  tn_json_key(w, kind);
  tn_json_begin_object(w);
  tn_json_key(w, "id"), tn_json_str(w, id);
  tn_json_key(w, "type_id"), tn_json_i64(w, type_id);
  tn_json_end_object(w);
  tn_json_end_object(w);
}

/* `before` and `after` stand around each text, -1 for none; [CLS] only before the first. */
static void write_template(writer *o, int64_t before, int64_t after, tn_strbuf *buffer) {
  tn_json_writer *w = &o->w;
  static const char *const keys[] = {"single", "pair"}, *const names[] = {"A", "B"};
  bool bert = o->v->kind == TN_VOCAB_WORDPIECE;
  begin_typed(w, "TemplateProcessing");
  for (int pair = 0; pair < 2; pair++) {
    tn_json_key(w, keys[pair]);
    tn_json_begin_array(w);
    for (int i = 0; i <= pair; i++) {
      if (before >= 0 && !(bert && i == 1))
        write_item(w, "SpecialToken", spelled(o->v, before, buffer), i);
      write_item(w, "Sequence", tn_str_of(names[i]), i);
      if (after >= 0) write_item(w, "SpecialToken", spelled(o->v, after, buffer), i);
    }
    tn_json_end_array(w);
  }
  tn_json_key(w, "special_tokens");
  tn_json_begin_object(w);
  const int64_t ids[] = {before, after};
  for (int i = 0; i < 2; i++) {
    if (ids[i] < 0 || (i == 1 && before == after)) continue;
    tn_str token = spelled(o->v, ids[i], buffer);
    tn_json_key_str(w, token);
    tn_json_begin_object(w);
    tn_json_key(w, "id"), tn_json_str(w, token);
    tn_json_key(w, "ids"), tn_json_begin_array(w), tn_json_i64(w, ids[i]), tn_json_end_array(w);
    tn_json_key(w, "tokens"), tn_json_begin_array(w), tn_json_str(w, token), tn_json_end_array(w);
    tn_json_end_object(w);
  }
  tn_json_end_object(w);
  tn_json_end_object(w);
}

static void write_post(writer *o, tn_strbuf *buffer) {
  const tn_vocab *v = o->v;
  int64_t before = v->bos_id, after = v->eos_id;
  bool bos = v->kind == TN_VOCAB_SCORE_BPE || (o->pre && o->pre->bos), eos = false;
  if (v->kind == TN_VOCAB_UNIGRAM) eos = true;
  if (v->kind == TN_VOCAB_WORDPIECE) {
    before = v->cls_id;
    after = v->sep_id;
    bos = eos = true;
  }
  if (v->add_bos >= 0) bos = v->add_bos;
  if (v->add_eos >= 0) eos = v->add_eos;
  if (!bos || !is_id(v, before)) before = -1;
  if (!eos || !is_id(v, after)) after = -1;
  tn_json_key(&o->w, "post_processor");
  if (before < 0 && after < 0)
    tn_json_null(&o->w);
  else
    write_template(o, before, after, buffer);
}

/* ---- merges out of scores
 * ---------------------------------------------------------------------------
 * A pair of tokens whose join is a token is a merge; the join's score is its rank, greater first,
 * then pairs with a longer left part (as Hugging Face's converter orders them). */
typedef struct scored_pair {
  double score;
  int32_t left_characters, right_characters;
  int64_t order;
  int32_t left, right;
} scored_pair;

typedef struct pair_list {
  scored_pair *items;
  size_t count, capacity;
} pair_list;

static int by_rank(const void *a, const void *b) {
  const scored_pair *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  if (x->left_characters != y->left_characters)
    return x->left_characters > y->left_characters ? -1 : 1;
  if (x->right_characters != y->right_characters)
    return x->right_characters > y->right_characters ? -1 : 1;
  return x->order < y->order ? -1 : x->order > y->order;
}

static int32_t characters_in(tn_str text) {
  int32_t count = 0;
  for (size_t i = 0; i < text.length; i++) count += ((uint8_t)text.data[i] & 0xC0) != 0x80;
  return count;
}

static tn_status add_pairs(const tn_vocab *v, const tn_map *ids, int64_t id, pair_list *out,
                           tn_error *err) {
  tn_str token = v->tokens[id];
  for (size_t at = 1; at < token.length; at++) {
    if (((uint8_t)token.data[at] & 0xC0) == 0x80) continue;
    tn_str left = {token.data, at}, right = {token.data + at, token.length - at};
    uint64_t left_id, right_id;
    if (!tn_map_get(ids, left, &left_id) || !tn_map_get(ids, right, &right_id)) continue;
    TN_TRY(tn_grow((void **)&out->items, &out->capacity, out->count + 1, sizeof *out->items, err));
    out->items[out->count] =
        (scored_pair){v->scores[id],       characters_in(left), characters_in(right),
                      (int64_t)out->count, (int32_t)left_id,    (int32_t)right_id};
    out->count++;
  }
  return TN_OK;
}

static tn_status find_pairs(const tn_vocab *v, pair_list *out, tn_error *err) {
  tn_map ids = {0};
  tn_status status = TN_OK;
  for (int64_t id = 0; id < v->count && status == TN_OK; id++)
    status = tn_map_put(&ids, v->tokens[id], (uint64_t)id, err);
  for (int64_t id = 0; id < v->count && status == TN_OK; id++)
    status = add_pairs(v, &ids, id, out, err);
  tn_map_clear(&ids);
  if (status == TN_OK && out->count) qsort(out->items, out->count, sizeof *out->items, by_rank);
  return status;
}

static tn_status write_scored_merges(writer *o, tn_error *err) {
  pair_list pairs = {0};
  tn_status status = find_pairs(o->v, &pairs, err);
  for (size_t i = 0; i < pairs.count && status == TN_OK; i++) {
    tn_json_begin_array(&o->w);
    tn_json_str(&o->w, o->v->tokens[pairs.items[i].left]);
    tn_json_str(&o->w, o->v->tokens[pairs.items[i].right]);
    tn_json_end_array(&o->w);
  }
  tn_free(pairs.items);
  return status;
}

/* ---- the model
 * ------------------------------------------------------------------------------------ */
static void write_vocab(writer *o, tn_strbuf *buffer) {
  tn_json_key(&o->w, "vocab");
  tn_json_begin_object(&o->w);
  for (int64_t id = 0; id < o->v->count; id++) {
    tn_json_key_str(&o->w, spelled(o->v, id, buffer));
    tn_json_i64(&o->w, id);
  }
  tn_json_end_object(&o->w);
}

static void write_scores(writer *o) {
  tn_json_key(&o->w, "vocab");
  tn_json_begin_array(&o->w);
  for (int64_t id = 0; id < o->v->count; id++) {
    tn_json_begin_array(&o->w);
    tn_json_str(&o->w, o->v->tokens[id]);
    tn_json_f64(&o->w, o->v->scores[id]);
    tn_json_end_array(&o->w);
  }
  tn_json_end_array(&o->w);
}

static void write_unk(writer *o, const char *otherwise, tn_strbuf *buffer) {
  tn_json_key(&o->w, "unk_token");
  if (is_id(o->v, o->v->unk_id))
    tn_json_str(&o->w, spelled(o->v, o->v->unk_id, buffer));
  else if (otherwise)
    tn_json_cstr(&o->w, otherwise);
  else
    tn_json_null(&o->w);
}

static tn_status write_bpe(writer *o, tn_strbuf *buffer, tn_error *err) {
  bool scored = o->v->kind == TN_VOCAB_SCORE_BPE;
  begin_typed(&o->w, "BPE");
  if (scored) write_unk(o, NULL, buffer);
  bool_member(&o->w, "fuse_unk", scored);
  bool_member(&o->w, "byte_fallback", scored && o->v->byte_fallback);
  bool_member(&o->w, "ignore_merges", !scored && o->pre->ignore_merges);
  write_vocab(o, buffer);
  tn_json_key(&o->w, "merges");
  tn_json_begin_array(&o->w);
  if (scored) TN_TRY(write_scored_merges(o, err));
  for (int64_t i = 0; !scored && i < o->v->merge_count; i++) {
    tn_str merge = o->v->merges[i];
    /* A merge may begin with the space that parts others: "  a". */
    tn_str rest = merge.length ? (tn_str){merge.data + 1, merge.length - 1} : merge;
    int64_t space = tn_str_find(rest, TN_STR(" ")) + 1;
    if (space <= 0) return tn_fail(err, TN_ERR_DATA, "merge %lld is not two tokens", (long long)i);
    tn_json_begin_array(&o->w);
    tn_json_str(&o->w, (tn_str){merge.data, (size_t)space});
    tn_json_str(&o->w, (tn_str){merge.data + space + 1, merge.length - (size_t)space - 1});
    tn_json_end_array(&o->w);
  }
  tn_json_end_array(&o->w);
  tn_json_end_object(&o->w);
  return TN_OK;
}

static tn_status write_model(writer *o, tn_strbuf *buffer, tn_error *err) {
  tn_json_writer *w = &o->w;
  tn_json_key(w, "model");
  switch (o->v->kind) {
    case TN_VOCAB_BYTE_BPE:
    case TN_VOCAB_SCORE_BPE:
      return write_bpe(o, buffer, err);
    case TN_VOCAB_WORDPIECE:
      begin_typed(w, "WordPiece");
      write_unk(o, "[UNK]", buffer);
      text_member(w, "continuing_subword_prefix", "##");
      tn_json_key(w, "max_input_chars_per_word"), tn_json_i64(w, 100);
      write_vocab(o, buffer);
      break;
    case TN_VOCAB_UNIGRAM:
      begin_typed(w, "Unigram");
      tn_json_key(w, "unk_id");
      if (is_id(o->v, o->v->unk_id))
        tn_json_i64(w, o->v->unk_id);
      else
        tn_json_null(w);
      bool_member(w, "byte_fallback", o->v->byte_fallback);
      write_scores(o);
      break;
  }
  tn_json_end_object(w);
  return TN_OK;
}

tn_status tn_vocab_write(const tn_vocab *vocab, tn_strbuf *out, tn_error *err) {
  writer o = {.v = vocab, .w = {.out = out}};
  if (vocab->kind == TN_VOCAB_BYTE_BPE) {
    o.pre = find_pre(vocab->pre);
    if (!o.pre) return tn_json_unsupported(err, "pre-tokenizer", vocab->pre);
  }
  tn_strbuf buffer = {0};
  tn_json_begin_object(&o.w);
  text_member(&o.w, "version", "1.0");
  tn_json_key(&o.w, "truncation"), tn_json_null(&o.w);
  tn_json_key(&o.w, "padding"), tn_json_null(&o.w);
  write_added(&o, &buffer);
  write_normalizer(&o);
  write_pre_tokenizer(&o);
  write_post(&o, &buffer);
  write_decoder(&o);
  tn_status status = write_model(&o, &buffer, err);
  if (status == TN_OK) tn_json_end_object(&o.w);
  if (status == TN_OK) status = tn_strbuf_check(&buffer, err);
  tn_strbuf_clear(&buffer);
  return status == TN_OK ? tn_strbuf_check(out, err) : status;
}
