/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/schema_text.h"

/* Fields are parsed into a tn_field tree in an arena, and the schema is made of that. */
typedef struct parser {
  tn_str text;
  size_t at;
  tn_arena arena;
  int32_t depth;
  tn_error *err;
} parser;

static tn_status expected(const parser *p, const char *what) {
  tn_str rest = {p->text.data + p->at, p->text.length - p->at};
  if (rest.length > 20) rest.length = 20;
  return tn_fail(p->err, TN_ERR_ARGUMENT, "schema: byte %zu: expected %s, found \"%.*s\"", p->at,
                 what, TN_STR_ARG(rest));
}

static void skip_space(parser *p) {
  while (p->at < p->text.length && strchr(" \t\r\n", p->text.data[p->at])) p->at++;
}

static bool take(parser *p, char c) {
  skip_space(p);
  if (p->at >= p->text.length || p->text.data[p->at] != c) return false;
  p->at++;
  return true;
}

static bool word_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-' || (unsigned char)c >= 0x80;
}

static tn_str take_word(parser *p) {
  skip_space(p);
  size_t from = p->at;
  while (p->at < p->text.length && word_byte(p->text.data[p->at])) p->at++;
  return (tn_str){p->text.data + from, p->at - from};
}

static bool take_this_word(parser *p, const char *word) {
  size_t from = p->at;
  if (tn_str_is(take_word(p), word)) return true;
  p->at = from;
  return false;
}

static tn_status take_number(parser *p, int32_t *out) {
  int64_t value;
  tn_str word = take_word(p);
  if (!tn_str_to_i64(word, &value) || value != (int32_t)value) {
    p->at -= word.length;
    return expected(p, "a number");
  }
  *out = (int32_t)value;
  return TN_OK;
}

static tn_status take_char(parser *p, char c) {
  if (take(p, c)) return TN_OK;
  return expected(p, (char[]){'\'', c, '\'', '\0'});
}

static tn_status take_name(parser *p, const char **out) {
  skip_space(p);
  if (!take(p, '"')) {
    tn_str word = take_word(p);
    if (word.length == 0) return expected(p, "a column's name");
    *out = tn_arena_strndup(&p->arena, word.data, word.length);
    return TN_OK;
  }
  char *name = tn_arena_alloc(&p->arena, p->text.length - p->at + 1, 1);
  if (!name) return TN_OK; /* the arena's flag is seen at the end */
  for (size_t length = 0; p->at < p->text.length; length++) {
    char c = p->text.data[p->at++];
    if (c == '"') {
      if (p->at >= p->text.length || p->text.data[p->at] != '"') {
        *out = name;
        return TN_OK;
      }
      p->at++;
    }
    if (c == '\0') break;
    name[length] = c;
  }
  return expected(p, "a closing '\"'");
}

/* ---- types ---- */
static const struct {
  const char *word, *format;
} short_names[] = {
    {"boolean", "b"},    {"text", "u"},     {"utf8", "u"},
    {"date", "tdD"},     {"date32", "tdD"}, {"date64", "tdm"},
    {"time", "ttu"},     {"float16", "e"},  {"half", "e"},
    {"float32", "f"},    {"float64", "g"},  {"bytes", "z"},
    {"large_utf8", "U"}, {"byte", "c"},     {"short", "s"},
    {"int", "i"},        {"integer", "i"},  {"long", "l"},
    {"bigint", "l"},     {"varchar", "u"},  {"month_day_nano_interval", "tin"},
};

static tn_status take_type(parser *p, tn_field *out);

static tn_field *more_fields(parser *p, tn_field *fields, int64_t count) {
  if (count & (count - 1)) return fields; /* room doubles at each power of two */
  tn_field *wider = tn_arena_alloc(&p->arena, count ? 2 * (size_t)count : 1, sizeof *fields);
  if (wider && count) memcpy(wider, fields, (size_t)count * sizeof *fields);
  return wider;
}

/* "name: type [not null]" */
static tn_status take_field(parser *p, tn_field *out) {
  *out = (tn_field){.name = "", .nullable = true};
  TN_TRY(take_name(p, &out->name));
  TN_TRY(take_char(p, ':'));
  TN_TRY(take_type(p, out));
  if (!take_this_word(p, "not")) return TN_OK;
  out->nullable = false;
  return take_this_word(p, "null") ? TN_OK : expected(p, "'null' after 'not'");
}

static tn_status take_fields(parser *p, tn_field *parent) {
  do {
    parent->children = more_fields(p, parent->children, parent->child_count);
    if (!parent->children) return tn_fail_memory(p->err, "schema", sizeof(tn_field));
    TN_TRY(take_field(p, &parent->children[parent->child_count++]));
  } while (take(p, ','));
  return TN_OK;
}

/* Items of a list: "item: type [not null]" or a type alone. */
static tn_status take_item(parser *p, tn_field *out) {
  size_t from = p->at;
  tn_str word = {0};
  if (take(p, '"'))
    word = (tn_str){"", 1};
  else
    word = take_word(p);
  bool named = word.length == 1 && word.data[0] == '\0' ? true : take(p, ':');
  p->at = from;
  if (named) return take_field(p, out);
  *out = (tn_field){.name = "item", .nullable = true};
  return take_type(p, out);
}

static tn_status take_list(parser *p, tn_field *out) {
  out->children = tn_arena_alloc(&p->arena, 1, sizeof *out->children);
  out->child_count = 1;
  if (!out->children) return tn_fail_memory(p->err, "schema", sizeof(tn_field));
  TN_TRY(take_char(p, '<'));
  TN_TRY(take_item(p, out->children));
  TN_TRY(take_char(p, '>'));
  if (out->type.id != TN_TYPE_FIXED_LIST) return TN_OK;
  TN_TRY(take_char(p, '['));
  TN_TRY(take_number(p, &out->type.size));
  return take_char(p, ']');
}

static tn_status take_struct(parser *p, tn_field *out) {
  TN_TRY(take_char(p, '<'));
  if (take(p, '>')) return TN_OK;
  TN_TRY(take_fields(p, out));
  return take_char(p, '>');
}

static tn_status take_map(parser *p, tn_field *out) {
  tn_field *entries = tn_arena_alloc(&p->arena, 3, sizeof *entries);
  if (!entries) return tn_fail_memory(p->err, "schema", sizeof *entries);
  tn_field *key = entries + 1, *value = entries + 2;
  *key = (tn_field){.name = "key"};
  *value = (tn_field){.name = "value", .nullable = true};
  TN_TRY(take_char(p, '<'));
  TN_TRY(take_type(p, key));
  TN_TRY(take_char(p, ','));
  TN_TRY(take_type(p, value));
  TN_TRY(take_char(p, '>'));
  *entries = (tn_field){.name = "entries", .child_count = 2, .children = key};
  TN_TRY(tn_type_parse("+s", &entries->type, p->err));
  out->child_count = 1;
  out->children = entries;
  return TN_OK;
}

/* "dictionary<values=string, indices=int32>" */
static tn_status take_dictionary(parser *p, tn_field *out) {
  tn_field index = {0};
  out->dictionary = tn_arena_alloc(&p->arena, 1, sizeof *out->dictionary);
  if (!out->dictionary) return tn_fail_memory(p->err, "schema", sizeof(tn_field));
  *out->dictionary = (tn_field){.name = "", .nullable = true};
  TN_TRY(take_char(p, '<'));
  if (!take_this_word(p, "values")) return expected(p, "'values='");
  TN_TRY(take_char(p, '='));
  TN_TRY(take_type(p, out->dictionary));
  TN_TRY(take_char(p, ','));
  if (!take_this_word(p, "indices")) return expected(p, "'indices='");
  TN_TRY(take_char(p, '='));
  size_t from = p->at;
  TN_TRY(take_type(p, &index));
  if (!tn_type_is_integer(index.type.id)) {
    p->at = from;
    return expected(p, "an integer type");
  }
  out->type = index.type;
  return take_char(p, '>');
}

/* "[us, tz=Europe/Berlin]"; absent: microseconds without a zone. */
static tn_status take_unit(parser *p, tn_type *type) {
  static const char *const units[] = {"s", "ms", "us", "ns"};
  if (!take(p, '[')) {
    type->unit = TN_MICROS;
    return type->id == TN_TYPE_TIME32 ? expected(p, "'[s]' or '[ms]'") : TN_OK;
  }
  size_t from = p->at;
  tn_str word = take_word(p);
  int unit = 0;
  while (unit < 4 && !tn_str_is(word, units[unit])) unit++;
  bool fits = type->id == TN_TYPE_TIME32   ? unit < 2
              : type->id == TN_TYPE_TIME64 ? unit == 2 || unit == 3
                                           : unit < 4;
  if (!fits) {
    p->at = from;
    return expected(p, "a unit of time that the type has");
  }
  type->unit = (tn_time_unit)unit;
  if (type->id == TN_TYPE_TIMESTAMP && take(p, ',')) {
    if (!take_this_word(p, "tz")) return expected(p, "'tz='");
    TN_TRY(take_char(p, '='));
    skip_space(p);
    size_t zone = p->at;
    while (p->at < p->text.length && p->text.data[p->at] != ']') p->at++;
    type->timezone = (tn_str){p->text.data + zone, p->at - zone};
  }
  return take_char(p, ']');
}

static tn_status take_decimal(parser *p, tn_type *type, tn_type_id least) {
  static const int32_t digits[] = {9, 18, 38, 76};
  TN_TRY(take_char(p, '('));
  size_t from = p->at;
  TN_TRY(take_number(p, &type->precision));
  if (take(p, ',')) TN_TRY(take_number(p, &type->scale));
  TN_TRY(take_char(p, ')'));
  int32_t at = (int32_t)(least - TN_TYPE_DECIMAL32);
  bool fixed = type->id != TN_TYPE_NULL; /* decimal128(...), not decimal(...) */
  while (!fixed && at < 3 && type->precision > digits[at]) at++;
  if (type->precision < 1 || type->precision > digits[at]) {
    p->at = from;
    return expected(p, "a precision that the type has");
  }
  type->id = (tn_type_id)(TN_TYPE_DECIMAL32 + at);
  type->bits = 32 << at;
  type->layout = TN_LAYOUT_FIXED;
  return TN_OK;
}

/* What follows the type's name: units, sizes, children. */
static tn_status take_rest(parser *p, tn_field *out) {
  tn_type *type = &out->type;
  switch (type->id) {
    case TN_TYPE_TIME32:
    case TN_TYPE_TIME64:
    case TN_TYPE_TIMESTAMP:
    case TN_TYPE_DURATION:
      return take_unit(p, type);
    case TN_TYPE_DECIMAL32:
    case TN_TYPE_DECIMAL64:
    case TN_TYPE_DECIMAL128:
    case TN_TYPE_DECIMAL256:
      return take_decimal(p, type, type->id);
    case TN_TYPE_FIXED_BINARY:
      TN_TRY(take_char(p, '['));
      TN_TRY(take_number(p, &type->size));
      type->bits = type->size <= INT32_MAX / 8 ? type->size * 8 : 0;
      return take_char(p, ']');
    case TN_TYPE_LIST:
    case TN_TYPE_LARGE_LIST:
    case TN_TYPE_LIST_VIEW:
    case TN_TYPE_LARGE_LIST_VIEW:
    case TN_TYPE_FIXED_LIST:
      return take_list(p, out);
    case TN_TYPE_STRUCT:
      return take_struct(p, out);
    case TN_TYPE_MAP:
      return take_map(p, out);
    default:
      return TN_OK;
  }
}

/* The type of a name as tn_type_name or short_names have it. */
static bool named_type(tn_str word, tn_type *type) {
  static const struct {
    tn_type_id id;
    tn_layout layout;
    int32_t bits;
  } rows[] = {
#define X(id, name, bits, layout) {id, layout, bits},
      TN_TYPE_ROWS(X)
#undef X
  };
  for (size_t i = 0; i < sizeof short_names / sizeof short_names[0]; i++)
    if (tn_str_is(word, short_names[i].word))
      return tn_type_parse(short_names[i].format, type, NULL) == TN_OK;
  for (int id = 0; id < TN_TYPE_COUNT; id++) {
    tn_str name = tn_str_of(tn_type_name((tn_type_id)id));
    int64_t bracket = tn_str_find(name, TN_STR("["));
    if (bracket > 0) name.length = (size_t)bracket; /* date32[day] */
    if (!tn_str_equal(word, name)) continue;
    *type = (tn_type){.id = rows[id].id, .layout = rows[id].layout, .bits = rows[id].bits};
    return true;
  }
  return false;
}

/* "[day]" of date32[day], "[months]" of interval[months]: a part of the name. */
static tn_status take_suffix(parser *p, tn_str word, tn_type *type) {
  tn_str name = tn_str_of(tn_type_name(type->id));
  int64_t bracket = tn_str_find(name, TN_STR("["));
  if (bracket < 0 || !take(p, '[')) return TN_OK;
  tn_str suffix = take_word(p);
  for (int id = 0; id < TN_TYPE_COUNT; id++) {
    tn_strbuf whole = {0};
    tn_strbuf_addf(&whole, "%.*s[%.*s]", TN_STR_ARG(word), TN_STR_ARG(suffix));
    bool same = whole.data && strcmp(whole.data, tn_type_name((tn_type_id)id)) == 0;
    tn_strbuf_clear(&whole);
    if (!same) continue;
    type->id = (tn_type_id)id;
    type->bits = id == TN_TYPE_INTERVAL_DAY_TIME ? 64 : type->bits;
    return take_char(p, ']');
  }
  p->at -= suffix.length;
  return expected(p, "the end of the type's name");
}

static tn_status take_type(parser *p, tn_field *out) {
  if (++p->depth > TN_FIELD_DEPTH_MAX)
    return tn_fail(p->err, TN_ERR_LIMIT, "schema: nested deeper than %d", TN_FIELD_DEPTH_MAX);
  skip_space(p);
  size_t from = p->at;
  tn_str word = take_word(p);
  tn_status status;
  if (tn_str_is(word, "dictionary")) {
    status = take_dictionary(p, out);
  } else if (tn_str_is(word, "decimal")) {
    status = take_decimal(p, &out->type, TN_TYPE_DECIMAL128);
  } else if (!named_type(word, &out->type) || tn_str_ends(word, TN_STR("_union")) ||
             out->type.id == TN_TYPE_RUN_END) {
    p->at = from;
    status = expected(p, "a type's name");
  } else {
    status = take_suffix(p, word, &out->type);
    if (status == TN_OK) status = take_rest(p, out);
  }
  p->depth--;
  return status;
}

/* ---- the schema of a tree ---- */
static tn_status make_schema(ArrowSchema *out, const tn_field *f, tn_error *err) {
  TN_TRY(tn_schema_init_type(out, &f->type, f->name, f->nullable ? ARROW_FLAG_NULLABLE : 0, err));
  TN_TRY(tn_schema_add_children(out, f->child_count, err));
  for (int64_t i = 0; i < f->child_count; i++)
    TN_TRY(make_schema(out->children[i], &f->children[i], err));
  if (!f->dictionary) return TN_OK;
  TN_TRY(tn_schema_add_dictionary(out, err));
  return make_schema(out->dictionary, f->dictionary, err);
}

tn_status tn_schema_of_text(ArrowSchema *out, tn_str text, tn_error *err) {
  parser p = {.text = text, .err = err};
  tn_field root = {.name = ""};
  *out = (ArrowSchema){0};
  tn_status status = tn_type_parse("+s", &root.type, err);
  if (status == TN_OK) status = take_fields(&p, &root);
  skip_space(&p);
  if (status == TN_OK && p.at < text.length) status = expected(&p, "',' or the end");
  if (status == TN_OK && p.arena.failed) status = tn_fail_memory(err, "schema", text.length);
  if (status == TN_OK) status = make_schema(out, &root, err);
  if (status != TN_OK) tn_schema_clear(out);
  tn_arena_clear(&p.arena);
  return status;
}

static void add_name(const char *name, tn_strbuf *out) {
  bool plain = name[0] != '\0';
  for (const char *at = name; *at; at++) plain = plain && word_byte(*at);
  if (plain) {
    tn_strbuf_add(out, name);
    return;
  }
  tn_strbuf_add_char(out, '"');
  for (const char *at = name; *at; at++) {
    if (*at == '"') tn_strbuf_add_char(out, '"');
    tn_strbuf_add_char(out, *at);
  }
  tn_strbuf_add_char(out, '"');
}

void tn_schema_text(const tn_field *root, tn_strbuf *out) {
  for (int64_t i = 0; i < root->child_count; i++) {
    if (i) tn_strbuf_add(out, ", ");
    add_name(root->children[i].name, out);
    tn_strbuf_add(out, ": ");
    tn_field_text(&root->children[i], out);
    if (!root->children[i].nullable) tn_strbuf_add(out, " not null");
  }
}
