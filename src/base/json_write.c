/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <math.h>

#include "base/json.h"
#include "base/number.h"

enum { LEVELS_CHECKED = 64 }; /* the asserts know the kind of that many levels */

/* ---- commas, new lines ---- */

static bool in_object(const tn_json_writer *w) {
  return w->depth > 0 && w->depth <= LEVELS_CHECKED && (w->objects >> (w->depth - 1) & 1);
}

static void new_line(tn_json_writer *w) {
  if (!w->indent) return;
  tn_strbuf_add_char(w->out, '\n');
  for (int64_t i = 0; i < (int64_t)w->indent * w->depth; i++) tn_strbuf_add_char(w->out, ' ');
}

static void next_item(tn_json_writer *w) {
  if (w->has_items) tn_strbuf_add_char(w->out, ',');
  if (w->depth) new_line(w);
  w->has_items = true;
}

/* Before every value: behind a key nothing is due, else it is the next item. */
static void before_value(tn_json_writer *w) {
  assert(w->after_key || !in_object(w));
  if (!w->after_key) next_item(w);
  w->after_key = false;
  if (w->depth == 0) w->has_items = false; /* one document behind another has no comma */
}

static void begin(tn_json_writer *w, char bracket, bool object) {
  before_value(w);
  tn_strbuf_add_char(w->out, bracket);
  if (w->depth < LEVELS_CHECKED) {
    uint64_t bit = (uint64_t)1 << w->depth;
    w->objects = object ? w->objects | bit : w->objects & ~bit;
  }
  w->depth++;
  w->has_items = false;
}

static void end(tn_json_writer *w, char bracket, bool object) {
  assert(w->depth > 0 && !w->after_key);
  assert(w->depth > LEVELS_CHECKED || in_object(w) == object);
  w->depth--;
  if (w->has_items) new_line(w);
  tn_strbuf_add_char(w->out, bracket);
  w->has_items = w->depth > 0;
}

void tn_json_begin_object(tn_json_writer *w) {
  begin(w, '{', true);
}
void tn_json_end_object(tn_json_writer *w) {
  end(w, '}', true);
}
void tn_json_begin_array(tn_json_writer *w) {
  begin(w, '[', false);
}
void tn_json_end_array(tn_json_writer *w) {
  end(w, ']', false);
}

/* ---- strings ---- */

static void add_escape(tn_strbuf *out, unsigned char c) {
  switch (c) {
    case '"':
      tn_strbuf_add(out, "\\\"");
      break;
    case '\\':
      tn_strbuf_add(out, "\\\\");
      break;
    case '\n':
      tn_strbuf_add(out, "\\n");
      break;
    case '\r':
      tn_strbuf_add(out, "\\r");
      break;
    case '\t':
      tn_strbuf_add(out, "\\t");
      break;
    default:
      tn_strbuf_addf(out, "\\u%04x", c);
  }
}

static void add_quoted(tn_strbuf *out, tn_str text) {
  const uint8_t *data = (const uint8_t *)text.data;
  size_t at = 0, plain = 0; /* data[plain..at) is to be copied as it is */
  tn_strbuf_add_char(out, '"');
  while (at < text.length) {
    uint8_t c = data[at];
    int length = 1;
    if (c >= 0x80) length = tn_utf8_length(data + at, text.length - at);
    if (length > 1 || (length == 1 && c >= 0x20 && c != '"' && c != '\\')) {
      at += (size_t)length;
      continue;
    }
    tn_strbuf_append(out, data + plain, at - plain);
    if (length == 0)
      tn_strbuf_add(out, "\xEF\xBF\xBD");
    else
      add_escape(out, c);
    plain = ++at;
  }
  if (at > plain) tn_strbuf_append(out, data + plain, at - plain);
  tn_strbuf_add_char(out, '"');
}

void tn_json_key_str(tn_json_writer *w, tn_str key) {
  assert(w->depth > 0 && !w->after_key && (in_object(w) || w->depth > LEVELS_CHECKED));
  next_item(w);
  add_quoted(w->out, key);
  tn_strbuf_add(w->out, w->indent ? ": " : ":");
  w->after_key = true;
}

void tn_json_key(tn_json_writer *w, const char *key) {
  tn_json_key_str(w, tn_str_of(key));
}

void tn_json_str(tn_json_writer *w, tn_str value) {
  before_value(w);
  add_quoted(w->out, value);
}

void tn_json_cstr(tn_json_writer *w, const char *value) {
  if (value)
    tn_json_str(w, tn_str_of(value));
  else
    tn_json_null(w);
}

/* ---- other values ---- */

void tn_json_raw(tn_json_writer *w, tn_str json) {
  before_value(w);
  tn_strbuf_add_str(w->out, json);
}

void tn_json_i64(tn_json_writer *w, int64_t value) {
  before_value(w);
  tn_strbuf_addf(w->out, "%lld", (long long)value);
}

void tn_json_u64(tn_json_writer *w, uint64_t value) {
  before_value(w);
  tn_strbuf_addf(w->out, "%llu", (unsigned long long)value);
}

void tn_json_f64(tn_json_writer *w, double value) {
  char text[TN_F64_TEXT_BYTES];
  if (!isfinite(value)) {
    w->not_finite++;
    tn_json_null(w);
    return;
  }
  int length = tn_f64_to_text(value, text);
  tn_json_raw(w, (tn_str){text, (size_t)length});
}

void tn_json_bool(tn_json_writer *w, bool value) {
  tn_json_raw(w, value ? TN_STR("true") : TN_STR("false"));
}

void tn_json_null(tn_json_writer *w) {
  tn_json_raw(w, TN_STR("null"));
}

/* ---- a parsed tree ---- */

/* Writes a scalar, or opens a container; true when there are children to write. */
static bool copy_node(tn_json_writer *w, const tn_json *node) {
  switch (node->kind) {
    case TN_JSON_NULL:
      tn_json_null(w);
      return false;
    case TN_JSON_BOOL:
      tn_json_bool(w, node->boolean);
      return false;
    case TN_JSON_NUMBER:
      tn_json_raw(w, node->text);
      return false;
    case TN_JSON_STRING:
      tn_json_str(w, node->text);
      return false;
    case TN_JSON_ARRAY:
      tn_json_begin_array(w);
      return true;
    case TN_JSON_OBJECT:
      tn_json_begin_object(w);
      return true;
  }
  return false;
}

static void end_node(tn_json_writer *w, const tn_json *node) {
  if (node->kind == TN_JSON_OBJECT)
    tn_json_end_object(w);
  else
    tn_json_end_array(w);
}

/* The way down stands on a heap stack, so that depth is limited by memory only. */
void tn_json_copy(tn_json_writer *w, const tn_json *value) {
  const tn_json **open = NULL;
  size_t depth = 0, capacity = 0;
  const tn_json *node = value;
  while (node) {
    if (depth && open[depth - 1]->kind == TN_JSON_OBJECT) tn_json_key_str(w, node->key);
    if (copy_node(w, node)) {
      void *items = open;
      if (tn_grow(&items, &capacity, depth + 1, sizeof *open, NULL) != TN_OK) {
        w->out->failed = true;
        end_node(w, node);
        while (depth) end_node(w, open[--depth]);
        break;
      }
      open = items;
      open[depth++] = node;
      node = node->first;
    } else {
      node = depth ? node->next : NULL;
    }
    while (!node && depth) {
      const tn_json *done = open[--depth];
      end_node(w, done);
      node = depth ? done->next : NULL;
    }
  }
  tn_free(open);
}
