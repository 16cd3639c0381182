/* SPDX-License-Identifier: Apache-2.0 */
#include "model/jinja_value.h"

#include <math.h>
#include <stdio.h>

#include "base/number.h"

tn_jinja_value tn_jinja_fail(tn_jinja_run *run, tn_status status, const char *format, ...) {
  if (run->status == TN_OK) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    run->status = tn_fail(run->err, status, "%s: line %d: %s", run->jinja->name, run->line, text);
  }
  return tn_jinja_undefined("");
}

bool tn_jinja_step(tn_jinja_run *run, int64_t units) {
  if (run->status != TN_OK) return false;
  run->steps_left -= units;
  if (run->steps_left < 0) {
    tn_jinja_fail(run, TN_ERR_LIMIT, "the template takes more steps than allowed");
    return false;
  }
  return true;
}

bool tn_jinja_step_over(tn_jinja_run *run, tn_jinja_value v) {
  return tn_jinja_step(run, 1 + (v.kind == TN_JINJA_STR ? (int64_t)v.text.length / 64 : 0));
}

void *tn_jinja_alloc(tn_jinja_run *run, size_t count, size_t size) {
  void *memory = tn_arena_alloc(run->arena, count, size);
  if (!memory)
    tn_jinja_fail(run, TN_ERR_LIMIT, "the template wants more than %zu bytes of memory",
                  run->arena->limit_bytes);
  return memory;
}

/* ---- making ---- */
tn_jinja_value tn_jinja_take(tn_jinja_run *run, tn_strbuf *text) {
  char *copy = NULL;
  if (text->failed)
    tn_jinja_fail(run, TN_ERR_MEMORY, "out of memory in a text of %zu bytes", text->length);
  else
    copy = tn_jinja_alloc(run, text->length + 1, 1);
  if (copy && text->length) memcpy(copy, text->data, text->length);
  tn_str view = {copy, copy ? text->length : 0};
  tn_strbuf_clear(text);
  return tn_jinja_str(view);
}

tn_jinja_value tn_jinja_list_new(tn_jinja_run *run) {
  static tn_jinja_list nowhere;
  tn_jinja_list *list = tn_jinja_alloc(run, 1, sizeof *list);
  return (tn_jinja_value){.kind = TN_JINJA_LIST, .list = list ? list : &nowhere};
}

tn_jinja_value tn_jinja_dict_new(tn_jinja_run *run) {
  static tn_jinja_dict nowhere;
  tn_jinja_dict *dict = tn_jinja_alloc(run, 1, sizeof *dict);
  return (tn_jinja_value){.kind = TN_JINJA_DICT, .dict = dict ? dict : &nowhere};
}

/* Doubles an array inside the arena; the old one is left behind. */
static bool grow(tn_jinja_run *run, tn_jinja_value **items, size_t count, size_t capacity) {
  tn_jinja_value *fresh = tn_jinja_alloc(run, capacity, sizeof *fresh);
  if (!fresh) return false;
  if (count) memcpy(fresh, *items, count * sizeof *fresh);
  *items = fresh;
  return true;
}

void tn_jinja_push(tn_jinja_run *run, tn_jinja_list *list, tn_jinja_value item) {
  if (!tn_jinja_step(run, 1)) return;
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? 2 * list->capacity : 8;
    if (!grow(run, &list->items, list->count, capacity)) return;
    list->capacity = capacity;
  }
  list->items[list->count++] = item;
}

tn_jinja_value *tn_jinja_find(tn_jinja_run *run, const tn_jinja_dict *dict, tn_jinja_value key) {
  if (key.kind == TN_JINJA_STR) return tn_jinja_find_str(run, dict, key.text);
  if (!tn_jinja_step(run, (int64_t)dict->count)) return NULL;
  for (size_t i = 0; i < dict->count; i++)
    if (tn_jinja_equal(run, dict->keys[i], key)) return &dict->values[i];
  return NULL;
}

tn_jinja_value *tn_jinja_find_str(tn_jinja_run *run, const tn_jinja_dict *dict, tn_str key) {
  if (!tn_jinja_step(run, (int64_t)(dict->count / 8 + key.length / 64))) return NULL;
  for (size_t i = 0; i < dict->count; i++)
    if (dict->keys[i].kind == TN_JINJA_STR && tn_str_equal(dict->keys[i].text, key))
      return &dict->values[i];
  return NULL;
}

void tn_jinja_put(tn_jinja_run *run, tn_jinja_dict *dict, tn_jinja_value key,
                  tn_jinja_value value) {
  tn_jinja_value *there = tn_jinja_find(run, dict, key);
  if (run->status != TN_OK) return;
  if (there) {
    *there = value;
    return;
  }
  if (dict->count == dict->capacity) {
    size_t capacity = dict->capacity ? 2 * dict->capacity : 8;
    if (!grow(run, &dict->keys, dict->count, capacity) ||
        !grow(run, &dict->values, dict->count, capacity))
      return;
    dict->capacity = capacity;
  }
  dict->keys[dict->count] = key;
  dict->values[dict->count++] = value;
}

tn_jinja_value tn_jinja_of_json(tn_jinja_run *run, const tn_json *json) {
  tn_jinja_value value = tn_jinja_none();
  if (!tn_jinja_step(run, 1)) return value;
  switch (json->kind) {
    case TN_JSON_BOOL:
      return tn_jinja_bool(json->boolean);
    case TN_JSON_NUMBER:
      return json->is_integer ? tn_jinja_int(json->integer) : tn_jinja_real(json->number);
    case TN_JSON_STRING:
      return tn_jinja_str(json->text);
    case TN_JSON_ARRAY:
      value = tn_jinja_list_new(run);
      for (const tn_json *item = json->first; item; item = item->next)
        tn_jinja_push(run, value.list, tn_jinja_of_json(run, item));
      return value;
    case TN_JSON_OBJECT:
      value = tn_jinja_dict_new(run);
      for (const tn_json *item = json->first; item; item = item->next)
        tn_jinja_put(run, value.dict, tn_jinja_str(item->key), tn_jinja_of_json(run, item));
      return value;
    default:
      return value;
  }
}

/* ---- asking ---- */
bool tn_jinja_truth(tn_jinja_value v) {
  switch (v.kind) {
    case TN_JINJA_BOOL:
      return v.boolean;
    case TN_JINJA_INT:
      return v.integer != 0;
    case TN_JINJA_REAL:
      return v.number != 0;
    case TN_JINJA_STR:
      return v.text.length > 0;
    case TN_JINJA_LIST:
    case TN_JINJA_TUPLE:
      return v.list->count > 0;
    case TN_JINJA_DICT:
      return v.dict->count > 0;
    case TN_JINJA_SPACE:
    case TN_JINJA_CALLABLE:
      return true;
    default:
      return false;
  }
}

const char *tn_jinja_kind_name(tn_jinja_value v) {
  static const char *const names[] = {"Undefined", "NoneType",  "bool",    "int",
                                      "float",     "str",       "list",    "tuple",
                                      "dict",      "Namespace", "function"};
  return names[v.kind];
}

double tn_jinja_number(tn_jinja_value v) {
  return v.kind == TN_JINJA_REAL ? v.number : (double)tn_jinja_integer(v);
}
int64_t tn_jinja_integer(tn_jinja_value v) {
  return v.kind == TN_JINJA_BOOL ? v.boolean : v.integer;
}

static bool equal_lists(tn_jinja_run *run, const tn_jinja_list *a, const tn_jinja_list *b) {
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++)
    if (!tn_jinja_equal(run, a->items[i], b->items[i])) return false;
  return true;
}

static bool equal_dicts(tn_jinja_run *run, const tn_jinja_dict *a, const tn_jinja_dict *b) {
  if (a->count != b->count) return false;
  for (size_t i = 0; i < a->count; i++) {
    const tn_jinja_value *other = tn_jinja_find(run, b, a->keys[i]);
    if (!other || !tn_jinja_equal(run, a->values[i], *other)) return false;
  }
  return true;
}

bool tn_jinja_equal(tn_jinja_run *run, tn_jinja_value a, tn_jinja_value b) {
  if (!tn_jinja_step(run, 1)) return false;
  if (tn_jinja_is_number(a) && tn_jinja_is_number(b)) {
    if (a.kind == TN_JINJA_REAL || b.kind == TN_JINJA_REAL)
      return tn_jinja_number(a) == tn_jinja_number(b);
    return tn_jinja_integer(a) == tn_jinja_integer(b);
  }
  if (a.kind != b.kind) return false;
  bool same = false;
  if (++run->depth > TN_JINJA_DEPTH_MAX) {
    tn_jinja_fail(run, TN_ERR_LIMIT, "values nested deeper than %d", TN_JINJA_DEPTH_MAX);
  } else if (a.kind == TN_JINJA_STR) {
    same = a.text.length == b.text.length && tn_jinja_step_over(run, a) &&
           tn_str_equal(a.text, b.text);
  } else if (tn_jinja_is_sequence(a)) {
    same = equal_lists(run, a.list, b.list);
  } else if (a.kind == TN_JINJA_DICT) {
    same = equal_dicts(run, a.dict, b.dict);
  } else {
    same = a.kind < TN_JINJA_BOOL || (a.kind == TN_JINJA_SPACE && a.dict == b.dict) ||
           (a.kind == TN_JINJA_CALLABLE && a.callable == b.callable);
  }
  run->depth--;
  return same;
}

static int order_text(tn_str a, tn_str b) { /* UTF-8 orders as its characters do */
  size_t shared = a.length < b.length ? a.length : b.length;
  int order = shared ? memcmp(a.data, b.data, shared) : 0;
  if (order) return order < 0 ? -1 : 1;
  return a.length < b.length ? -1 : a.length > b.length;
}

int tn_jinja_order(tn_jinja_run *run, tn_jinja_value a, tn_jinja_value b) {
  if (!tn_jinja_step_over(run, a)) return 0;
  if (tn_jinja_is_number(a) && tn_jinja_is_number(b)) {
    if (a.kind == TN_JINJA_REAL || b.kind == TN_JINJA_REAL) {
      double x = tn_jinja_number(a), y = tn_jinja_number(b);
      return x < y ? -1 : x > y;
    }
    int64_t x = tn_jinja_integer(a), y = tn_jinja_integer(b);
    return x < y ? -1 : x > y;
  }
  if (a.kind == TN_JINJA_STR && b.kind == TN_JINJA_STR) return order_text(a.text, b.text);
  if (tn_jinja_is_sequence(a) && a.kind == b.kind) {
    size_t shared = a.list->count < b.list->count ? a.list->count : b.list->count;
    for (size_t i = 0; i < shared; i++)
      if (!tn_jinja_equal(run, a.list->items[i], b.list->items[i]))
        return tn_jinja_order(run, a.list->items[i], b.list->items[i]);
    return a.list->count < b.list->count ? -1 : a.list->count > b.list->count;
  }
  tn_jinja_fail(run, TN_ERR_DATA, "'%s' and '%s' have no order", tn_jinja_kind_name(a),
                tn_jinja_kind_name(b));
  return 0;
}

bool tn_jinja_contains(tn_jinja_run *run, tn_jinja_value container, tn_jinja_value item) {
  switch (container.kind) {
    case TN_JINJA_STR:
      if (item.kind != TN_JINJA_STR) break;
      return tn_jinja_step(run, (int64_t)container.text.length / 64) &&
             tn_str_find(container.text, item.text) >= 0;
    case TN_JINJA_LIST:
    case TN_JINJA_TUPLE:
      for (size_t i = 0; i < container.list->count && run->status == TN_OK; i++)
        if (tn_jinja_equal(run, container.list->items[i], item)) return true;
      return false;
    case TN_JINJA_DICT:
      return tn_jinja_find(run, container.dict, item) != NULL;
    case TN_JINJA_UNDEFINED:
      return false;
    default:
      break;
  }
  tn_jinja_fail(run, TN_ERR_DATA, "'%s' in '%s' makes no sense", tn_jinja_kind_name(item),
                tn_jinja_kind_name(container));
  return false;
}

int64_t tn_jinja_length(tn_jinja_run *run, tn_jinja_value v) {
  switch (v.kind) {
    case TN_JINJA_STR:
      return tn_jinja_step(run, (int64_t)v.text.length / 64) ? tn_jinja_chars(v.text) : -1;
    case TN_JINJA_LIST:
    case TN_JINJA_TUPLE:
      return (int64_t)v.list->count;
    case TN_JINJA_DICT:
      return (int64_t)v.dict->count;
    case TN_JINJA_UNDEFINED:
      return 0;
    default:
      tn_jinja_fail(run, TN_ERR_DATA, "a value of type '%s' has no length", tn_jinja_kind_name(v));
      return -1;
  }
}

tn_jinja_value tn_jinja_iterate(tn_jinja_run *run, tn_jinja_value v) {
  if (tn_jinja_is_sequence(v)) return v;
  tn_jinja_value items = tn_jinja_list_new(run);
  switch (v.kind) {
    case TN_JINJA_UNDEFINED:
      return items;
    case TN_JINJA_DICT:
      for (size_t i = 0; i < v.dict->count; i++) tn_jinja_push(run, items.list, v.dict->keys[i]);
      return items;
    case TN_JINJA_STR:
      for (size_t at = 0; at < v.text.length && run->status == TN_OK;) {
        int bytes = tn_utf8_length((const uint8_t *)v.text.data + at, v.text.length - at);
        if (bytes == 0) bytes = 1;
        tn_jinja_push(run, items.list, tn_jinja_str((tn_str){v.text.data + at, (size_t)bytes}));
        at += (size_t)bytes;
      }
      return items;
    default:
      return tn_jinja_fail(run, TN_ERR_DATA, "'%s' cannot be iterated over", tn_jinja_kind_name(v));
  }
}

/* ---- text ---- */
int64_t tn_jinja_chars(tn_str text) {
  int64_t count = 0;
  for (size_t i = 0; i < text.length; i++) count += ((uint8_t)text.data[i] & 0xc0) != 0x80;
  return count;
}

size_t tn_jinja_char_at(tn_str text, int64_t index) {
  size_t at = 0;
  for (; at < text.length; at++)
    if (((uint8_t)text.data[at] & 0xc0) != 0x80 && index-- == 0) break;
  return at;
}

static void add_real(tn_strbuf *out, double value) {
  if (isnan(value)) {
    tn_strbuf_add(out, "nan");
  } else if (isinf(value)) {
    tn_strbuf_add(out, value < 0 ? "-inf" : "inf");
  } else {
    char text[TN_F64_TEXT_BYTES];
    tn_f64_to_text(value, text);
    double size = fabs(value);
    if (strchr(text, 'e') && size >= 1e-4 && size < 1e16) /* Python keeps these without exponent */
      snprintf(text, sizeof text, "%.1f", value);
    tn_strbuf_add(out, text);
    if (!strpbrk(text, ".e")) tn_strbuf_add(out, ".0");
  }
}

static void repr_text(tn_str text, tn_strbuf *out) {
  bool single = memchr(text.data ? text.data : "", '\'', text.length) != NULL;
  bool twice = memchr(text.data ? text.data : "", '"', text.length) != NULL;
  char quote = single && !twice ? '"' : '\'';
  tn_strbuf_add_char(out, quote);
  for (size_t i = 0; i < text.length; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c == (unsigned char)quote || c == '\\') {
      tn_strbuf_add_char(out, '\\');
      tn_strbuf_add_char(out, (char)c);
    } else if (c == '\n' || c == '\r' || c == '\t') {
      tn_strbuf_add(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
    } else if (c < 0x20 || c == 0x7f) {
      tn_strbuf_addf(out, "\\x%02x", c);
    } else {
      tn_strbuf_add_char(out, (char)c);
    }
  }
  tn_strbuf_add_char(out, quote);
}

static void repr_list(tn_jinja_run *run, tn_jinja_value v, tn_strbuf *out) {
  bool tuple = v.kind == TN_JINJA_TUPLE;
  tn_strbuf_add_char(out, tuple ? '(' : '[');
  for (size_t i = 0; i < v.list->count; i++) {
    if (i) tn_strbuf_add(out, ", ");
    tn_jinja_repr(run, v.list->items[i], out);
  }
  tn_strbuf_add(out, !tuple ? "]" : v.list->count == 1 ? ",)" : ")");
}

static void repr_dict(tn_jinja_run *run, tn_jinja_value v, tn_strbuf *out) {
  tn_strbuf_add_char(out, '{');
  for (size_t i = 0; i < v.dict->count; i++) {
    if (i) tn_strbuf_add(out, ", ");
    tn_jinja_repr(run, v.dict->keys[i], out);
    tn_strbuf_add(out, ": ");
    tn_jinja_repr(run, v.dict->values[i], out);
  }
  tn_strbuf_add_char(out, '}');
}

/* A list may hold itself: depth and output are bounded. */
static bool may_go_on(tn_jinja_run *run, const tn_strbuf *out) {
  if (!tn_jinja_step(run, 1)) return false;
  if (run->depth < TN_JINJA_DEPTH_MAX && (int64_t)out->length <= run->output_left) return true;
  tn_jinja_fail(run, TN_ERR_LIMIT, "a value nested deeper than %d, or too long as text",
                TN_JINJA_DEPTH_MAX);
  return false;
}

void tn_jinja_repr(tn_jinja_run *run, tn_jinja_value v, tn_strbuf *out) {
  if (!may_go_on(run, out)) return;
  run->depth++;
  if (v.kind == TN_JINJA_STR)
    repr_text(v.text, out);
  else if (v.kind == TN_JINJA_UNDEFINED)
    tn_strbuf_add(out, "Undefined");
  else
    tn_jinja_print(run, v, out);
  run->depth--;
}

void tn_jinja_print(tn_jinja_run *run, tn_jinja_value v, tn_strbuf *out) {
  if (!may_go_on(run, out)) return;
  switch (v.kind) {
    case TN_JINJA_UNDEFINED:
      break;
    case TN_JINJA_NONE:
      tn_strbuf_add(out, "None");
      break;
    case TN_JINJA_BOOL:
      tn_strbuf_add(out, v.boolean ? "True" : "False");
      break;
    case TN_JINJA_INT:
      tn_strbuf_addf(out, "%lld", (long long)v.integer);
      break;
    case TN_JINJA_REAL:
      add_real(out, v.number);
      break;
    case TN_JINJA_STR:
      tn_strbuf_add_str(out, v.text);
      break;
    case TN_JINJA_LIST:
    case TN_JINJA_TUPLE:
      repr_list(run, v, out);
      break;
    case TN_JINJA_DICT:
      repr_dict(run, v, out);
      break;
    case TN_JINJA_SPACE:
      tn_strbuf_add(out, "<Namespace ");
      repr_dict(run, v, out);
      tn_strbuf_add_char(out, '>');
      break;
    case TN_JINJA_CALLABLE:
      tn_strbuf_addf(out, "<function %.*s>", TN_STR_ARG(v.callable->name));
      break;
  }
}

tn_str tn_jinja_text(tn_jinja_run *run, tn_jinja_value v) {
  if (v.kind == TN_JINJA_STR) return v.text;
  tn_strbuf text = {0};
  tn_jinja_print(run, v, &text);
  return tn_jinja_take(run, &text).text;
}

/* ---- json.dumps ---- */
static void dump_char(tn_strbuf *out, uint32_t code) {
  if (code >= 0x10000) {
    code -= 0x10000;
    tn_strbuf_addf(out, "\\u%04x\\u%04x", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
  } else {
    tn_strbuf_addf(out, "\\u%04x", code);
  }
}

static void dump_text(tn_str text, bool ascii, tn_strbuf *out) {
  static const char plain[] = "\"\\\n\r\t\b\f", letters[] = "\"\\nrtbf";
  tn_strbuf_add_char(out, '"');
  for (size_t i = 0; i < text.length;) {
    unsigned char c = (unsigned char)text.data[i];
    uint32_t code = c;
    int bytes =
        c < 0x80 ? 1 : tn_utf8_decode((const uint8_t *)text.data + i, text.length - i, &code);
    if (bytes == 0) bytes = 1;
    const char *escape = c ? strchr(plain, c) : NULL;
    if (escape) {
      tn_strbuf_add_char(out, '\\');
      tn_strbuf_add_char(out, letters[escape - plain]);
    } else if (c < 0x20 || (ascii && c >= 0x7f)) {
      dump_char(out, code);
    } else {
      tn_strbuf_append(out, text.data + i, (size_t)bytes);
    }
    i += (size_t)bytes;
  }
  tn_strbuf_add_char(out, '"');
}

static void dump_line(const tn_jinja_dump *how, int32_t level, tn_strbuf *out) {
  if (how->indent < 0) return;
  tn_strbuf_add_char(out, '\n');
  for (int64_t i = 0; i < (int64_t)how->indent * level; i++) tn_strbuf_add_char(out, ' ');
}

static void dump_key(tn_jinja_run *run, tn_jinja_value key, const tn_jinja_dump *how,
                     tn_strbuf *out) {
  tn_strbuf text = {0};
  if (key.kind == TN_JINJA_NONE)
    tn_strbuf_add(&text, "null");
  else if (key.kind == TN_JINJA_BOOL)
    tn_strbuf_add(&text, key.boolean ? "true" : "false");
  else
    tn_jinja_print(run, key, &text);
  dump_text(tn_strbuf_view(&text), how->ascii, out);
  tn_strbuf_clear(&text);
}

static void dump(tn_jinja_run *run, tn_jinja_value v, const tn_jinja_dump *how, int32_t level,
                 tn_strbuf *out);

/* The number of the i-th key in sorted order: keys are few, a selection will do. */
static size_t sorted_key(tn_jinja_run *run, const tn_jinja_dict *dict, size_t i, size_t *order) {
  if (i == 0)
    for (size_t k = 0; k < dict->count; k++) order[k] = k;
  for (size_t k = i + 1; k < dict->count; k++) {
    if (tn_jinja_order(run, dict->keys[order[k]], dict->keys[order[i]]) >= 0) continue;
    size_t swap = order[k];
    order[k] = order[i];
    order[i] = swap;
  }
  return order[i];
}

static void dump_dict(tn_jinja_run *run, const tn_jinja_dict *dict, const tn_jinja_dump *how,
                      int32_t level, tn_strbuf *out) {
  size_t *order = how->sort_keys ? tn_jinja_alloc(run, dict->count, sizeof *order) : NULL;
  tn_strbuf_add_char(out, '{');
  for (size_t i = 0; i < dict->count && run->status == TN_OK; i++) {
    if (i) tn_strbuf_add_str(out, how->item_separator);
    dump_line(how, level + 1, out);
    size_t at = order ? sorted_key(run, dict, i, order) : i;
    dump_key(run, dict->keys[at], how, out);
    tn_strbuf_add_str(out, how->key_separator);
    dump(run, dict->values[at], how, level + 1, out);
  }
  if (dict->count) dump_line(how, level, out);
  tn_strbuf_add_char(out, '}');
}

static void dump_list(tn_jinja_run *run, const tn_jinja_list *list, const tn_jinja_dump *how,
                      int32_t level, tn_strbuf *out) {
  tn_strbuf_add_char(out, '[');
  for (size_t i = 0; i < list->count && run->status == TN_OK; i++) {
    if (i) tn_strbuf_add_str(out, how->item_separator);
    dump_line(how, level + 1, out);
    dump(run, list->items[i], how, level + 1, out);
  }
  if (list->count) dump_line(how, level, out);
  tn_strbuf_add_char(out, ']');
}

static void dump_real(double value, tn_strbuf *out) {
  if (isnan(value))
    tn_strbuf_add(out, "NaN");
  else if (isinf(value))
    tn_strbuf_add(out, value < 0 ? "-Infinity" : "Infinity");
  else
    add_real(out, value);
}

static void dump(tn_jinja_run *run, tn_jinja_value v, const tn_jinja_dump *how, int32_t level,
                 tn_strbuf *out) {
  if (!may_go_on(run, out)) return;
  if (level >= TN_JINJA_DEPTH_MAX) {
    tn_jinja_fail(run, TN_ERR_LIMIT, "tojson: nested deeper than %d", TN_JINJA_DEPTH_MAX);
    return;
  }
  switch (v.kind) {
    case TN_JINJA_NONE:
      tn_strbuf_add(out, "null");
      break;
    case TN_JINJA_BOOL:
      tn_strbuf_add(out, v.boolean ? "true" : "false");
      break;
    case TN_JINJA_REAL:
      dump_real(v.number, out);
      break;
    case TN_JINJA_INT:
      tn_jinja_print(run, v, out);
      break;
    case TN_JINJA_STR:
      dump_text(v.text, how->ascii, out);
      break;
    case TN_JINJA_LIST:
    case TN_JINJA_TUPLE:
      dump_list(run, v.list, how, level, out);
      break;
    case TN_JINJA_DICT:
      dump_dict(run, v.dict, how, level, out);
      break;
    default:
      tn_jinja_fail(run, TN_ERR_DATA, "a value of type '%s' has no JSON form",
                    tn_jinja_kind_name(v));
  }
}

void tn_jinja_to_json(tn_jinja_run *run, tn_jinja_value value, const tn_jinja_dump *how,
                      tn_strbuf *out) {
  dump(run, value, how, 0, out);
}
