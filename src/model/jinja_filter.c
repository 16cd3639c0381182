/* SPDX-License-Identifier: Apache-2.0 */
/* value | filter(arguments): one table, one function a filter. */
#include <math.h>

#include "model/jinja_value.h"

typedef tn_jinja_value value;
typedef tn_jinja_run run_t;
typedef tn_jinja_args args_t;
typedef value (*filter_fn)(run_t *run, value v, const args_t *args);

static bool flag(const args_t *args, int32_t index, const char *name, bool otherwise) {
  const value *v = tn_jinja_arg(args, index, name);
  return v ? tn_jinja_truth(*v) : otherwise;
}

static tn_str text_arg(run_t *run, const args_t *args, int32_t index, const char *name,
                       tn_str otherwise) {
  const value *v = tn_jinja_arg(args, index, name);
  return v && v->kind != TN_JINJA_NONE ? tn_jinja_text(run, *v) : otherwise;
}

static int64_t int_arg(run_t *run, const args_t *args, int32_t index, const char *name,
                       int64_t otherwise) {
  const value *v = tn_jinja_arg(args, index, name);
  if (!v || v->kind == TN_JINJA_NONE) return otherwise;
  if (v->kind == TN_JINJA_INT || v->kind == TN_JINJA_BOOL) return tn_jinja_integer(*v);
  tn_jinja_fail(run, TN_ERR_DATA, "argument %s is a '%s', expected an integer", name,
                tn_jinja_kind_name(*v));
  return otherwise;
}

/* ---- text ---- */
static value f_trim(run_t *run, value v, const args_t *args) {
  const value *chars = tn_jinja_arg(args, 0, "chars");
  tn_str set = chars && chars->kind == TN_JINJA_STR ? chars->text : (tn_str){0};
  return tn_jinja_str(tn_jinja_strip(tn_jinja_text(run, v), set.data ? &set : NULL, true, true));
}
static value f_string(run_t *run, value v, const args_t *args) {
  return tn_jinja_str(tn_jinja_text(run, v));
}
static value f_same(run_t *run, value v, const args_t *args) {
  return v;
}
static value by_method(run_t *run, value v, const char *name, const args_t *args) {
  value text = tn_jinja_str(tn_jinja_text(run, v));
  return tn_jinja_method(run, tn_jinja_method_find(text, tn_str_of(name)), text, args);
}
static value f_upper(run_t *run, value v, const args_t *args) {
  return by_method(run, v, "upper", args);
}
static value f_lower(run_t *run, value v, const args_t *args) {
  return by_method(run, v, "lower", args);
}
static value f_capitalize(run_t *run, value v, const args_t *args) {
  return by_method(run, v, "capitalize", args);
}
static value f_title(run_t *run, value v, const args_t *args) {
  return by_method(run, v, "title", args);
}
static value f_replace(run_t *run, value v, const args_t *args) {
  tn_str from = text_arg(run, args, 0, "old", TN_STR("")),
         to = text_arg(run, args, 1, "new", TN_STR(""));
  return tn_jinja_replace(run, tn_jinja_text(run, v), from, to, int_arg(run, args, 2, "count", -1));
}
static value f_format(run_t *run, value v, const args_t *args) {
  return tn_jinja_format_percent(run, tn_jinja_text(run, v), args);
}

static value f_escape(run_t *run, value v, const args_t *args) {
  static const char special[] = "&<>'\"";
  static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  tn_str text = tn_jinja_text(run, v);
  tn_strbuf out = {0};
  for (size_t i = 0; i < text.length; i++) {
    const char *found = text.data[i] ? strchr(special, text.data[i]) : NULL;
    if (found)
      tn_strbuf_add(&out, entities[found - special]);
    else
      tn_strbuf_add_char(&out, text.data[i]);
  }
  return tn_jinja_take(run, &out);
}

/* indent(width=4, first=False, blank=False) */
static value f_indent(run_t *run, value v, const args_t *args) {
  const value *width = tn_jinja_arg(args, 0, "width");
  bool first = flag(args, 1, "first", false), blank = flag(args, 2, "blank", false);
  int64_t spaces = width && width->kind == TN_JINJA_STR ? 0 : int_arg(run, args, 0, "width", 4);
  if (spaces < 0 || spaces > 10000)
    return tn_jinja_fail(run, TN_ERR_LIMIT, "an indent of %lld", (long long)spaces);
  tn_strbuf out = {0};
  tn_str rest = tn_jinja_text(run, v);
  bool ends_in_newline = rest.length && rest.data[rest.length - 1] == '\n';
  for (bool at_first = true; rest.data && run->status == TN_OK; at_first = false) {
    tn_str line = tn_str_cut(&rest, '\n');
    if (!rest.data && line.length == 0 && ends_in_newline && !at_first && !blank) break;
    bool wanted = at_first ? first : (line.length > 0 || blank);
    if (wanted && width && width->kind == TN_JINJA_STR) tn_strbuf_add_str(&out, width->text);
    if (wanted && tn_jinja_step(run, spaces / 16))
      for (int64_t i = 0; i < spaces; i++) tn_strbuf_add_char(&out, ' ');
    tn_strbuf_add_str(&out, line);
    if (rest.data) tn_strbuf_add_char(&out, '\n');
  }
  return tn_jinja_take(run, &out);
}

static value f_wordcount(run_t *run, value v, const args_t *args) {
  tn_str text = tn_jinja_text(run, v);
  int64_t words = 0;
  bool inside = false;
  for (size_t i = 0; i < text.length; i++) {
    unsigned char c = (unsigned char)text.data[i];
    bool word = c >= 0x80 || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                (c >= 'A' && c <= 'Z');
    words += word && !inside;
    inside = word;
  }
  return tn_jinja_int(words);
}

static value f_tojson(run_t *run, value v, const args_t *args) {
  const value *indent = tn_jinja_arg(args, 1, "indent");
  const value *separators = tn_jinja_arg(args, 2, "separators");
  tn_jinja_dump how = {.indent = -1,
                       .ascii = flag(args, 0, "ensure_ascii", false),
                       .sort_keys = flag(args, 3, "sort_keys", false),
                       .key_separator = TN_STR(": ")};
  if (indent && indent->kind != TN_JINJA_NONE)
    how.indent = (int32_t)int_arg(run, args, 1, "indent", 0);
  if (how.indent > 100) how.indent = 100;
  how.item_separator = how.indent < 0 ? TN_STR(", ") : TN_STR(",");
  if (separators && tn_jinja_is_sequence(*separators) && separators->list->count == 2) {
    how.item_separator = tn_jinja_text(run, separators->list->items[0]);
    how.key_separator = tn_jinja_text(run, separators->list->items[1]);
  }
  tn_strbuf out = {0};
  tn_jinja_to_json(run, v, &how, &out);
  return tn_jinja_take(run, &out);
}

/* ---- numbers ---- */
static value f_int(run_t *run, value v, const args_t *args) {
  int64_t otherwise = int_arg(run, args, 0, "default", 0), whole;
  double real;
  if (v.kind == TN_JINJA_INT || v.kind == TN_JINJA_BOOL) return tn_jinja_int(tn_jinja_integer(v));
  if (v.kind == TN_JINJA_STR) {
    tn_str text = tn_str_trim(v.text);
    if (tn_str_to_i64(text, &whole)) return tn_jinja_int(whole);
    if (!tn_str_to_f64(text, &real)) return tn_jinja_int(otherwise);
  } else if (v.kind == TN_JINJA_REAL) {
    real = v.number;
  } else {
    return tn_jinja_int(otherwise);
  }
  if (!(fabs(real) < 9e18)) return tn_jinja_int(otherwise);
  return tn_jinja_int((int64_t)real);
}

static value f_float(run_t *run, value v, const args_t *args) {
  double real;
  const value *otherwise = tn_jinja_arg(args, 0, "default");
  if (tn_jinja_is_number(v)) return tn_jinja_real(tn_jinja_number(v));
  if (v.kind == TN_JINJA_STR && tn_str_to_f64(tn_str_trim(v.text), &real))
    return tn_jinja_real(real);
  return otherwise ? *otherwise : tn_jinja_real(0);
}

static value f_abs(run_t *run, value v, const args_t *args) {
  if (v.kind == TN_JINJA_REAL) return tn_jinja_real(fabs(v.number));
  if (!tn_jinja_is_number(v))
    return tn_jinja_fail(run, TN_ERR_DATA, "abs of a '%s'", tn_jinja_kind_name(v));
  int64_t whole = tn_jinja_integer(v);
  return whole < 0 ? tn_jinja_arithmetic(run, TN_STR("-"), tn_jinja_int(0), v)
                   : tn_jinja_int(whole);
}

/* Python's round of a double: to even in the last decimal of the shortest text, near enough by
 * scaling for the few digits templates ask for. */
static value f_round(run_t *run, value v, const args_t *args) {
  int64_t digits = int_arg(run, args, 0, "precision", 0);
  tn_str method = text_arg(run, args, 1, "method", TN_STR("common"));
  if (!tn_jinja_is_number(v) || digits < -15 || digits > 15)
    return tn_jinja_fail(run, TN_ERR_DATA, "round of a '%s' to %lld digits", tn_jinja_kind_name(v),
                         (long long)digits);
  double scale = pow(10, (double)digits), scaled = tn_jinja_number(v) * scale;
  double whole = tn_str_is(method, "ceil")    ? ceil(scaled)
                 : tn_str_is(method, "floor") ? floor(scaled)
                                              : nearbyint(scaled);
  return tn_jinja_real(whole / scale);
}

/* ---- lists ---- */
static value f_length(run_t *run, value v, const args_t *args) {
  int64_t length = tn_jinja_length(run, v);
  return length < 0 ? tn_jinja_undefined("") : tn_jinja_int(length);
}

/* v.attribute, where the attribute may be a path "a.b" or an index. */
static value attribute_of(run_t *run, value v, value attribute) {
  if (attribute.kind != TN_JINJA_STR) return tn_jinja_item(run, v, attribute);
  tn_str rest = attribute.text;
  while (rest.data && run->status == TN_OK) {
    tn_str part = tn_str_cut(&rest, '.');
    int64_t index;
    v = tn_str_to_i64(part, &index) ? tn_jinja_item(run, v, tn_jinja_int(index))
                                    : tn_jinja_item(run, v, tn_jinja_str(part));
  }
  return v;
}

static value f_join(run_t *run, value v, const args_t *args) {
  tn_str between = text_arg(run, args, 0, "d", TN_STR(""));
  const value *attribute = tn_jinja_arg(args, 1, "attribute");
  value items = tn_jinja_iterate(run, v);
  tn_strbuf out = {0};
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    value item = items.list->items[i];
    if (attribute) item = attribute_of(run, item, *attribute);
    if (i) tn_strbuf_add_str(&out, between);
    tn_strbuf_add_str(&out, tn_jinja_text(run, item));
    if ((int64_t)out.length > run->output_left)
      tn_jinja_fail(run, TN_ERR_LIMIT, "join makes a text longer than allowed");
  }
  return tn_jinja_take(run, &out);
}

static value pair(run_t *run, value a, value b) {
  value tuple = tn_jinja_list_new(run);
  tn_jinja_push(run, tuple.list, a);
  tn_jinja_push(run, tuple.list, b);
  tuple.kind = TN_JINJA_TUPLE;
  return tuple;
}

static value f_items(run_t *run, value v, const args_t *args) {
  value list = tn_jinja_list_new(run);
  if (v.kind == TN_JINJA_UNDEFINED) return list;
  if (v.kind != TN_JINJA_DICT)
    return tn_jinja_fail(run, TN_ERR_DATA, "items of a '%s'", tn_jinja_kind_name(v));
  for (size_t i = 0; i < v.dict->count && run->status == TN_OK; i++)
    tn_jinja_push(run, list.list, pair(run, v.dict->keys[i], v.dict->values[i]));
  return list;
}

static value f_list(run_t *run, value v, const args_t *args) {
  value items = tn_jinja_iterate(run, v), list = tn_jinja_list_new(run);
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++)
    tn_jinja_push(run, list.list, items.list->items[i]);
  return list;
}

static value f_first(run_t *run, value v, const args_t *args) {
  value items = tn_jinja_iterate(run, v);
  if (run->status != TN_OK || items.list->count == 0)
    return tn_jinja_undefined("the first item of nothing");
  return items.list->items[0];
}
static value f_last(run_t *run, value v, const args_t *args) {
  value items = tn_jinja_iterate(run, v);
  if (run->status != TN_OK || items.list->count == 0)
    return tn_jinja_undefined("the last item of nothing");
  return items.list->items[items.list->count - 1];
}

static value f_reverse(run_t *run, value v, const args_t *args) {
  value items = tn_jinja_iterate(run, v), out = tn_jinja_list_new(run);
  if (run->status != TN_OK) return out;
  for (size_t i = items.list->count; i > 0; i--)
    tn_jinja_push(run, out.list, items.list->items[i - 1]);
  if (v.kind != TN_JINJA_STR) return out;
  const args_t nothing = {0};
  return f_join(run, out, &nothing);
}

/* What sort, unique, min and max compare: the attribute, in small letters unless case counts. */
static value sort_key(run_t *run, value item, const value *attribute, bool with_case) {
  static const args_t nothing;
  if (attribute && attribute->kind != TN_JINJA_NONE) item = attribute_of(run, item, *attribute);
  return item.kind == TN_JINJA_STR && !with_case ? f_lower(run, item, &nothing) : item;
}

/* Stable merge sort of items by keys. */
static void merge_sort(run_t *run, value *keys, value *items, value *key_room, value *item_room,
                       size_t count, bool down) {
  if (count < 2 || run->status != TN_OK) return;
  size_t half = count / 2, a = 0, b = half;
  merge_sort(run, keys, items, key_room, item_room, half, down);
  merge_sort(run, keys + half, items + half, key_room, item_room, count - half, down);
  for (size_t i = 0; i < count; i++) {
    bool left = b == count;
    if (!left && a < half) {
      int order = tn_jinja_order(run, keys[a], keys[b]);
      left = down ? order >= 0 : order <= 0;
    }
    size_t from = left ? a++ : b++;
    key_room[i] = keys[from];
    item_room[i] = items[from];
  }
  memcpy(keys, key_room, count * sizeof *keys);
  memcpy(items, item_room, count * sizeof *items);
}

static value sorted(run_t *run, value items, const value *attribute, bool with_case, bool down) {
  static const args_t nothing;
  value out = f_list(run, items, &nothing);
  size_t count = run->status == TN_OK ? out.list->count : 0;
  value *keys = tn_jinja_alloc(run, count * 3, sizeof *keys);
  if (!keys || run->status != TN_OK) return out;
  for (size_t i = 0; i < count; i++)
    keys[i] = sort_key(run, out.list->items[i], attribute, with_case);
  merge_sort(run, keys, out.list->items, keys + count, keys + 2 * count, count, down);
  return out;
}

static value f_sort(run_t *run, value v, const args_t *args) {
  bool down = flag(args, 0, "reverse", false), with_case = flag(args, 1, "case_sensitive", false);
  return sorted(run, v, tn_jinja_arg(args, 2, "attribute"), with_case, down);
}

/* dictsort(case_sensitive=False, by='key', reverse=False) */
static value f_dictsort(run_t *run, value v, const args_t *args) {
  bool with_case = flag(args, 0, "case_sensitive", false);
  bool by_value = tn_str_is(text_arg(run, args, 1, "by", TN_STR("key")), "value");
  bool down = flag(args, 2, "reverse", false);
  value index = tn_jinja_int(by_value);
  value items = f_items(run, v, args);
  return run->status == TN_OK ? sorted(run, items, &index, with_case, down) : items;
}

static value f_unique(run_t *run, value v, const args_t *args) {
  bool with_case = flag(args, 0, "case_sensitive", false);
  const value *attribute = tn_jinja_arg(args, 1, "attribute");
  value items = tn_jinja_iterate(run, v), out = tn_jinja_list_new(run);
  value seen = tn_jinja_list_new(run);
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    value key = sort_key(run, items.list->items[i], attribute, with_case);
    if (tn_jinja_contains(run, seen, key)) continue;
    tn_jinja_push(run, seen.list, key);
    tn_jinja_push(run, out.list, items.list->items[i]);
  }
  return out;
}

static value extreme(run_t *run, value v, const args_t *args, int wanted) {
  bool with_case = flag(args, 0, "case_sensitive", false);
  const value *attribute = tn_jinja_arg(args, 1, "attribute");
  value items = tn_jinja_iterate(run, v), best = tn_jinja_undefined("an extreme of nothing");
  value best_key = best;
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    value key = sort_key(run, items.list->items[i], attribute, with_case);
    if (i > 0 && tn_jinja_order(run, key, best_key) != wanted) continue;
    best = items.list->items[i];
    best_key = key;
  }
  return best;
}
static value f_min(run_t *run, value v, const args_t *args) {
  return extreme(run, v, args, -1);
}
static value f_max(run_t *run, value v, const args_t *args) {
  return extreme(run, v, args, 1);
}

static value f_sum(run_t *run, value v, const args_t *args) {
  const value *attribute = tn_jinja_arg(args, 0, "attribute"),
              *start = tn_jinja_arg(args, 1, "start");
  value items = tn_jinja_iterate(run, v), total = start ? *start : tn_jinja_int(0);
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    value item = items.list->items[i];
    if (attribute && attribute->kind != TN_JINJA_NONE) item = attribute_of(run, item, *attribute);
    total = tn_jinja_arithmetic(run, TN_STR("+"), total, item);
  }
  return total;
}

/* ---- choosing ---- */
static value f_default(run_t *run, value v, const args_t *args) {
  const value *otherwise = tn_jinja_arg(args, 0, "default_value");
  bool falsy_too = flag(args, 1, "boolean", false);
  bool missing = v.kind == TN_JINJA_UNDEFINED || (falsy_too && !tn_jinja_truth(v));
  if (!missing) return v;
  return otherwise ? *otherwise : tn_jinja_str(TN_STR(""));
}

/* The arguments behind the first `skip`. */
static args_t args_behind(const args_t *args, int32_t skip) {
  args_t rest = *args;
  rest.count = args->count > skip ? args->count - skip : 0;
  for (int32_t i = 0; i < rest.count; i++) rest.positional[i] = args->positional[i + skip];
  return rest;
}

/* select, reject, selectattr, rejectattr: items (or their attribute) that pass a test, or do not.
 */
static value pick(run_t *run, value v, const args_t *args, bool by_attribute, bool wanted) {
  if (by_attribute && args->count == 0)
    return tn_jinja_fail(run, TN_ERR_DATA, "selectattr and rejectattr want an attribute's name");
  int32_t at = by_attribute ? 1 : 0, test = -1;
  args_t rest = args_behind(args, at + 1);
  if (args->count > at) {
    tn_str name = tn_jinja_text(run, args->positional[at]);
    test = tn_jinja_test_find(name);
    if (test < 0) return tn_jinja_fail(run, TN_ERR_DATA, "no test named '%.*s'", TN_STR_ARG(name));
  }
  value items = tn_jinja_iterate(run, v), out = tn_jinja_list_new(run);
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    value item = items.list->items[i];
    value asked = by_attribute ? attribute_of(run, item, args->positional[0]) : item;
    bool passes = test < 0 ? tn_jinja_truth(asked) : tn_jinja_test(run, test, asked, &rest);
    if (passes == wanted) tn_jinja_push(run, out.list, item);
  }
  return out;
}
static value f_select(run_t *run, value v, const args_t *args) {
  return pick(run, v, args, false, true);
}
static value f_reject(run_t *run, value v, const args_t *args) {
  return pick(run, v, args, false, false);
}
static value f_selectattr(run_t *run, value v, const args_t *args) {
  return pick(run, v, args, true, true);
}
static value f_rejectattr(run_t *run, value v, const args_t *args) {
  return pick(run, v, args, true, false);
}

/* map(attribute='a', default=...) or map('filter', arguments...) */
static value f_map(run_t *run, value v, const args_t *args) {
  const value *attribute = args->count == 0 ? tn_jinja_arg(args, 0, "attribute") : NULL;
  const value *otherwise = tn_jinja_arg(args, TN_JINJA_ARGUMENTS_MAX, "default");
  int32_t filter = -1;
  if (!attribute) {
    tn_str name = args->count > 0 ? tn_jinja_text(run, args->positional[0]) : TN_STR("");
    filter = tn_jinja_filter_find(name);
    if (filter < 0)
      return tn_jinja_fail(run, TN_ERR_DATA, "no filter named '%.*s'", TN_STR_ARG(name));
  }
  args_t rest = args_behind(args, 1);
  value items = tn_jinja_iterate(run, v), out = tn_jinja_list_new(run);
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    value item = items.list->items[i];
    item =
        attribute ? attribute_of(run, item, *attribute) : tn_jinja_filter(run, filter, item, &rest);
    if (attribute && otherwise && item.kind == TN_JINJA_UNDEFINED) item = *otherwise;
    tn_jinja_push(run, out.list, item);
  }
  return out;
}

static value f_attr(run_t *run, value v, const args_t *args) {
  return tn_jinja_attribute(run, v, text_arg(run, args, 0, "name", TN_STR("")));
}

/* groupby(attribute): tuples of key and items, keys in order. */
static value f_groupby(run_t *run, value v, const args_t *args) {
  const value *attribute = tn_jinja_arg(args, 0, "attribute");
  if (!attribute) return tn_jinja_fail(run, TN_ERR_DATA, "groupby wants an attribute's name");
  value items = sorted(run, v, attribute, false, false), out = tn_jinja_list_new(run);
  value group = tn_jinja_none(), group_key = tn_jinja_none();
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    value key = attribute_of(run, items.list->items[i], *attribute);
    if (i == 0 || !tn_jinja_equal(run, key, group_key)) {
      group = tn_jinja_list_new(run);
      group_key = key;
      tn_jinja_push(run, out.list, pair(run, key, group));
    }
    tn_jinja_push(run, group.list, items.list->items[i]);
  }
  return out;
}

/* batch(count, fill) */
static value f_batch(run_t *run, value v, const args_t *args) {
  int64_t size = int_arg(run, args, 0, "linecount", 0);
  const value *fill = tn_jinja_arg(args, 1, "fill_with");
  if (size < 1) return tn_jinja_fail(run, TN_ERR_DATA, "batch wants a size of at least 1");
  value items = tn_jinja_iterate(run, v), out = tn_jinja_list_new(run), row = tn_jinja_none();
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    if (i % (size_t)size == 0) {
      row = tn_jinja_list_new(run);
      tn_jinja_push(run, out.list, row);
    }
    tn_jinja_push(run, row.list, items.list->items[i]);
  }
  while (fill && row.kind == TN_JINJA_LIST && run->status == TN_OK &&
         (int64_t)row.list->count < size)
    tn_jinja_push(run, row.list, *fill);
  return out;
}

static const struct {
  const char *name;
  filter_fn apply;
} filters[] = {
    {"abs", f_abs},
    {"attr", f_attr},
    {"batch", f_batch},
    {"capitalize", f_capitalize},
    {"count", f_length},
    {"d", f_default},
    {"default", f_default},
    {"dictsort", f_dictsort},
    {"e", f_escape},
    {"escape", f_escape},
    {"first", f_first},
    {"float", f_float},
    {"format", f_format},
    {"groupby", f_groupby},
    {"indent", f_indent},
    {"int", f_int},
    {"items", f_items},
    {"join", f_join},
    {"last", f_last},
    {"length", f_length},
    {"list", f_list},
    {"lower", f_lower},
    {"map", f_map},
    {"max", f_max},
    {"min", f_min},
    {"reject", f_reject},
    {"rejectattr", f_rejectattr},
    {"replace", f_replace},
    {"reverse", f_reverse},
    {"round", f_round},
    {"safe", f_same},
    {"select", f_select},
    {"selectattr", f_selectattr},
    {"sort", f_sort},
    {"string", f_string},
    {"sum", f_sum},
    {"title", f_title},
    {"tojson", f_tojson},
    {"trim", f_trim},
    {"unique", f_unique},
    {"upper", f_upper},
    {"wordcount", f_wordcount},
};
enum { FILTERS = sizeof filters / sizeof filters[0] };

int32_t tn_jinja_filter_find(tn_str name) {
  for (int32_t i = 0; i < FILTERS; i++)
    if (tn_str_is(name, filters[i].name)) return i;
  return -1;
}

value tn_jinja_filter(run_t *run, int32_t filter, value v, const args_t *args) {
  if (!tn_jinja_step_over(run, v)) return tn_jinja_undefined("");
  return filters[filter].apply(run, v, args);
}
