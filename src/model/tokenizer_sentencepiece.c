/* tokenizer_sentencepiece.c - SentencePiece's tokenizer.model; see tokenizer_foreign.h.
 *
 * A protobuf message (google/sentencepiece, sentencepiece_model.proto): 1 pieces {1 text, 2 score,
 * 3 type}, 2 trainer {3 model type, 35 byte fallback, 40 to 42 unk, bos and eos id}, 3 normalizer
 * {2 charsmap, 3 add dummy prefix, 4 remove extra white space}. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_foreign.h"
#include "model/tokenizer_json.h"

#define PIECES_MAX 4194304

typedef struct cursor {
  tn_str rest;
  const char *start; /* of the file, for messages */
} cursor;

typedef struct field {
  uint32_t number, wire;
  uint64_t value; /* of a number; the bits of a float */
  tn_str bytes;   /* of a string or message */
} field;

/* ---- protobuf
 * ------------------------------------------------------------------------------------- */
static tn_status damaged(const cursor *c, const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "byte %zu: %s", (size_t)(c->rest.data - c->start), what);
}

static tn_status read_varint(cursor *c, uint64_t *out, tn_error *err) {
  *out = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (!c->rest.length) return damaged(c, "a number is cut off", err);
    uint8_t byte = (uint8_t)*c->rest.data++;
    c->rest.length--;
    *out |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return TN_OK;
  }
  return damaged(c, "a number of more than 64 bits", err);
}

static tn_status take(cursor *c, uint64_t count, tn_str *out, tn_error *err) {
  if (count > c->rest.length) return damaged(c, "a field reaches past the end", err);
  *out = (tn_str){c->rest.data, (size_t)count};
  c->rest.data += count;
  c->rest.length -= (size_t)count;
  return TN_OK;
}

/* The next field of a message. */
static tn_status read_field(cursor *c, field *out, tn_error *err) {
  uint64_t key = 0, length = 0;
  *out = (field){0};
  TN_TRY(read_varint(c, &key, err));
  out->number = (uint32_t)(key >> 3);
  out->wire = (uint32_t)(key & 7);
  switch (out->wire) {
    case 0:
      return read_varint(c, &out->value, err);
    case 1:
      length = 8;
      break;
    case 2:
      TN_TRY(read_varint(c, &length, err));
      break;
    case 5:
      length = 4;
      break;
    default:
      return damaged(c, "no protobuf field", err);
  }
  TN_TRY(take(c, length, &out->bytes, err));
  if (out->wire != 2) memcpy(&out->value, out->bytes.data, (size_t)length);
  return TN_OK;
}

/* ---- messages
 * ------------------------------------------------------------------------------------- */
typedef struct model {
  tn_vocab vocab;
  tn_str *tokens;
  double *scores;
  uint8_t *types;
  uint64_t kind; /* 1 unigram, 2 BPE, 3 word, 4 character */
} model;

static tn_status read_piece(model *m, const cursor *file, tn_str bytes, tn_error *err) {
  cursor c = {bytes, file->start};
  int64_t id = m->vocab.count++;
  m->types[id] = TN_PIECE_NORMAL;
  m->tokens[id] = TN_STR("");
  while (c.rest.length) {
    field f;
    TN_TRY(read_field(&c, &f, err));
    if (f.number == 1 && f.wire == 2) m->tokens[id] = f.bytes;
    if (f.number == 3 && f.wire == 0)
      m->types[id] = f.value >= 1 && f.value <= 6 ? (uint8_t)f.value : 1;
    if (f.number == 2 && f.wire == 5) {
      float score;
      uint32_t bits = (uint32_t)f.value;
      memcpy(&score, &bits, 4);
      m->scores[id] = (double)score;
    }
  }
  return TN_OK;
}

static tn_status read_trainer(model *m, const cursor *file, tn_str bytes, tn_error *err) {
  cursor c = {bytes, file->start};
  while (c.rest.length) {
    field f;
    TN_TRY(read_field(&c, &f, err));
    if (f.wire != 0) continue;
    int64_t id = (int64_t)(int32_t)f.value; /* -1 is written in ten bytes */
    if (f.number == 3) m->kind = f.value;
    if (f.number == 35) m->vocab.byte_fallback = f.value != 0;
    if (f.number == 40) m->vocab.unk_id = id;
    if (f.number == 41) m->vocab.bos_id = id;
    if (f.number == 42) m->vocab.eos_id = id;
  }
  return TN_OK;
}

static tn_status read_normalizer(model *m, const cursor *file, tn_str bytes, tn_error *err) {
  cursor c = {bytes, file->start};
  while (c.rest.length) {
    field f;
    TN_TRY(read_field(&c, &f, err));
    if (f.number == 2 && f.wire == 2) m->vocab.charsmap = f.bytes;
    if (f.number == 3 && f.wire == 0) m->vocab.prefix = f.value != 0;
    if (f.number == 4 && f.wire == 0) m->vocab.squeeze = f.value != 0;
  }
  return TN_OK;
}

static tn_status count_pieces(cursor c, int64_t *count, tn_error *err) {
  *count = 0;
  while (c.rest.length) {
    field f;
    TN_TRY(read_field(&c, &f, err));
    *count += f.number == 1 && f.wire == 2;
  }
  if (*count >= 1 && *count <= PIECES_MAX) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%lld pieces, expected 1 to %d", (long long)*count, PIECES_MAX);
}

static tn_status read_model(model *m, cursor c, tn_arena *arena, tn_error *err) {
  int64_t count;
  TN_TRY(count_pieces(c, &count, err));
  m->tokens = tn_arena_alloc(arena, (size_t)count, sizeof *m->tokens);
  m->scores = tn_arena_alloc(arena, (size_t)count, sizeof *m->scores);
  m->types = tn_arena_alloc(arena, (size_t)count, 1);
  if (!m->tokens || !m->scores || !m->types)
    return tn_fail_memory(err, "a vocabulary", (size_t)count * sizeof *m->tokens);
  while (c.rest.length) {
    field f;
    TN_TRY(read_field(&c, &f, err));
    if (f.wire != 2) continue;
    if (f.number == 1) TN_TRY(read_piece(m, &c, f.bytes, err));
    if (f.number == 2) TN_TRY(read_trainer(m, &c, f.bytes, err));
    if (f.number == 3) TN_TRY(read_normalizer(m, &c, f.bytes, err));
  }
  return TN_OK;
}

static tn_status convert(model *m, tn_str bytes, tn_arena *arena, tn_strbuf *json, tn_error *err) {
  TN_TRY(read_model(m, (cursor){bytes, bytes.data}, arena, err));
  if (m->kind != 1 && m->kind != 2)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "SentencePiece model type %llu (unigram, 1, and BPE, 2, are known)",
                   (unsigned long long)m->kind);
  tn_vocab *v = &m->vocab;
  v->kind = m->kind == 1 ? TN_VOCAB_UNIGRAM : TN_VOCAB_SCORE_BPE;
  v->tokens = m->tokens;
  v->scores = m->scores;
  v->types = m->types;
  /* SentencePiece itself adds neither; the models that use it say so in other files. */
  v->add_bos = v->add_eos = 0;
  return tn_vocab_write(v, json, err);
}

tn_status tn_sentencepiece_vocab(tn_str bytes, tn_strbuf *json, tn_error *err) {
  model m = {.kind = 1, .vocab = {.prefix = true, .squeeze = true, .bos_id = 1, .eos_id = 2}};
  tn_arena arena = {0};
  tn_status status = convert(&m, bytes, &arena, json, err);
  tn_arena_clear(&arena);
  return status;
}
