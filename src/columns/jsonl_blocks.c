/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/jsonl_blocks.h"

#include "columns/jsonl_parse.h"

void tn_jsonl_text_clear(tn_jsonl_text *text) {
  tn_free(text->data);
  *text = (tn_jsonl_text){0};
}

static tn_status text_room(tn_jsonl_text *text, size_t bytes, tn_error *err) {
  if (bytes + TN_JSONL_PADDING <= text->capacity) return TN_OK;
  size_t capacity = 2 * text->capacity;
  if (capacity < bytes + TN_JSONL_PADDING) capacity = bytes + TN_JSONL_PADDING;
  uint8_t *data = tn_realloc(text->data, capacity, 1);
  if (!data) return tn_fail_memory(err, "a block of JSON", capacity);
  text->data = data;
  text->capacity = capacity;
  return TN_OK;
}

static tn_status text_append(tn_jsonl_text *text, const void *bytes, size_t count, tn_error *err) {
  TN_TRY(text_room(text, text->bytes + count, err));
  if (count) memcpy(text->data + text->bytes, bytes, count);
  text->bytes += count;
  return TN_OK;
}

/* ---- reading ---- */
static tn_status read_source(tn_jsonl_blocks *b, uint8_t *to, size_t want, size_t *got,
                             tn_error *err) {
  if (!b->by_offset) return b->source->read(b->source, to, want, got, err);
  int64_t left = b->source->size_bytes - b->offset;
  *got = left < (int64_t)want ? (size_t)left : want;
  if (*got) TN_TRY(b->source->read_at(b->source, b->offset, to, *got, err));
  b->offset += (int64_t)*got;
  return TN_OK;
}

/* `want` more bytes behind the text, fewer only at the end: short reads of a pipe do not move cuts.
 */
static tn_status read_more(tn_jsonl_blocks *b, tn_jsonl_text *text, size_t want, tn_error *err) {
  TN_TRY(text_room(text, text->bytes + want, err));
  size_t from_prefix = b->prefix_bytes - b->prefix_at;
  if (from_prefix > want) from_prefix = want;
  TN_TRY(text_append(text, b->prefix ? b->prefix + b->prefix_at : NULL, from_prefix, err));
  b->prefix_at += from_prefix;
  want -= from_prefix;
  if (want > 0 && !b->source) b->exhausted = true;
  while (want > 0 && !b->exhausted) {
    size_t got = 0;
    TN_TRY(read_source(b, text->data + text->bytes, want, &got, err));
    text->bytes += got;
    want -= got;
    b->exhausted = got == 0;
  }
  return TN_OK;
}

static bool is_space(uint8_t c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Whether enough is there to see a byte-order mark and the first character behind white space. */
static bool can_start(const tn_jsonl_text *text) {
  size_t at = text->bytes >= 3 && memcmp(text->data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
  while (at < text->bytes && is_space(text->data[at])) at++;
  return text->bytes >= 3 && at < text->bytes;
}

/* Byte-order mark, and the first character: '[' begins an array of rows. */
static tn_status start(tn_jsonl_blocks *b, tn_jsonl_text *text, tn_error *err) {
  const uint8_t *p = text->data;
  const char *name = b->source ? b->source->name : "JSON";
  if (text->bytes >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff)))
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: UTF-16 text; JSON is UTF-8", name);
  size_t at = text->bytes >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, bom = at;
  while (at < text->bytes && is_space(p[at])) at++;
  if (at < text->bytes && p[at] == '[') {
    b->mode = TN_JSONL_ARRAY;
    bom = at + 1;
  }
  /* Blanks in place of what is no part of a record keep every byte where it was. */
  memset(text->data, ' ', bom);
  for (size_t i = 0; i < bom; i++)
    if (i < at && p[i] == '\n') text->data[i] = '\n';
  b->started = true;
  return TN_OK;
}

/* ---- cutting ---- */
/* Scans from `from`; returns where the last record ended, 0: nowhere.  One pass over every byte. */
static size_t scan_records(tn_jsonl_blocks *b, const tn_jsonl_text *text, size_t from) {
  size_t cut = 0;
  bool array = b->mode == TN_JSONL_ARRAY;
  for (size_t i = from; i < text->bytes; i++) {
    uint8_t c = text->data[i];
    if (b->in_string) {
      if (b->escaped)
        b->escaped = false;
      else if (c == '\\')
        b->escaped = true;
      else if (c == '"')
        b->in_string = false;
      continue;
    }
    if (c == '"') {
      b->in_string = true;
    } else if (c == '{' || c == '[') {
      b->depth += b->depth >= 0;
    } else if (c == '}' || c == ']') {
      b->depth -=
          b->depth > 0 || (array && b->depth == 0 && c == ']'); /* -1: the array is closed */
      if (!array && b->depth == 0) cut = i + 1;
    } else if (array && c == ',' && b->depth == 0) {
      cut = i + 1;
    }
  }
  return cut;
}

static size_t find_cut(tn_jsonl_blocks *b, const tn_jsonl_text *text, size_t from) {
  if (b->mode != TN_JSONL_LINES) return scan_records(b, text, from);
  const uint8_t *newline =
      text->bytes > from ? memrchr(text->data + from, '\n', text->bytes - from) : NULL;
  return newline ? (size_t)(newline - text->data) + 1 : 0;
}

tn_status tn_jsonl_blocks_next(tn_jsonl_blocks *b, tn_jsonl_text *out, tn_error *err) {
  if (b->finished) return TN_END;
  out->bytes = 0;
  out->byte = b->carry.byte;
  out->first = !b->started;
  TN_TRY(text_append(out, b->carry.data, b->carry.bytes, err));
  size_t scanned = out->bytes, cut = 0;
  for (size_t want = b->block_bytes; cut == 0;) {
    TN_TRY(read_more(b, out, want, err));
    if (!b->started && (b->exhausted || can_start(out))) TN_TRY(start(b, out, err));
    if (b->started) {
      cut = find_cut(b, out, scanned);
      scanned = out->bytes;
    }
    if (b->exhausted) break;
    if (cut == 0 && out->bytes > b->record_bytes_max)
      return tn_fail(err, TN_ERR_LIMIT, "%s: a record at byte %lld of more than %zu bytes",
                     b->source ? b->source->name : "JSON", (long long)out->byte,
                     b->record_bytes_max);
    want = out->bytes;
  }
  if (b->exhausted && !(b->drop_tail && b->mode != TN_JSONL_ARRAY)) cut = out->bytes;
  b->finished = b->exhausted;
  out->last = b->finished;
  b->carry.bytes = 0;
  b->carry.byte = out->byte + (int64_t)cut;
  TN_TRY(text_append(&b->carry, out->data + cut, out->bytes - cut, err));
  out->bytes = cut;
  memset(out->data + cut, 0, TN_JSONL_PADDING);
  return TN_OK;
}
