/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of Python's str, list and dict, as templates call them.  Letters outside ASCII change
 * case through libc's wide tables of the C.UTF-8 locale. */
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <wctype.h>

#include "model/jinja_value.h"

typedef tn_jinja_value value;
typedef tn_jinja_run run_t;
typedef tn_jinja_args args_t;
typedef value (*method_fn)(run_t *run, value self, const args_t *args);

/* ---- arguments ---- */
static bool want_str(run_t *run, const args_t *args, int32_t index, tn_str *out) {
  if (index < args->count && args->positional[index].kind == TN_JINJA_STR) {
    *out = args->positional[index].text;
    return true;
  }
  tn_jinja_fail(run, TN_ERR_DATA, "argument %d of a string's method: expected a string", index + 1);
  return false;
}

static int64_t int_or(const args_t *args, int32_t index, const char *name, int64_t otherwise) {
  const value *v = tn_jinja_arg(args, index, name);
  bool given = v && (v->kind == TN_JINJA_INT || v->kind == TN_JINJA_BOOL);
  return given ? tn_jinja_integer(*v) : otherwise;
}

/* ---- characters ---- */
static locale_t text_locale;
static void make_locale(void) {
  text_locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

typedef enum letter_case { UPPER, LOWER } letter_case;

static void add_case(tn_strbuf *out, uint32_t code, letter_case to) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_locale);
  if (code < 0x80) {
    bool letter = to == UPPER ? code >= 'a' && code <= 'z' : code >= 'A' && code <= 'Z';
    tn_strbuf_add_char(out, (char)(letter ? code ^ 0x20 : code));
    return;
  }
  if (text_locale)
    code =
        to == UPPER ? towupper_l((wint_t)code, text_locale) : towlower_l((wint_t)code, text_locale);
  uint8_t utf8[4];
  tn_strbuf_append(out, utf8, (size_t)tn_utf8_encode(code, utf8));
}

static bool is_letter(uint32_t code) {
  if (code < 0x80) return (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
  return text_locale && iswalpha_l((wint_t)code, text_locale);
}

/* mode 0: every letter; 1: the first character (capitalize); 2: the first of each word (title) */
static value recase(run_t *run, tn_str text, letter_case first, letter_case rest, int mode) {
  tn_strbuf out = {0};
  bool at_start = true;
  if (!tn_jinja_step(run, (int64_t)text.length / 16)) return tn_jinja_undefined("");
  for (size_t i = 0; i < text.length;) {
    uint32_t code = (uint8_t)text.data[i];
    int bytes = tn_utf8_decode((const uint8_t *)text.data + i, text.length - i, &code);
    if (bytes == 0) {
      tn_strbuf_add_char(&out, text.data[i++]);
      continue;
    }
    letter_case to = at_start || mode == 0 ? first : rest;
    if (code == 0xdf && to == UPPER) /* sharp s: two letters */
      tn_strbuf_add(&out, mode == 0 ? "SS" : "Ss");
    else
      add_case(&out, code, to);
    at_start = mode == 2 ? !is_letter(code) : false;
    i += (size_t)bytes;
  }
  return tn_jinja_take(run, &out);
}

static value s_upper(run_t *run, value self, const args_t *args) {
  return recase(run, self.text, UPPER, UPPER, 0);
}
static value s_lower(run_t *run, value self, const args_t *args) {
  return recase(run, self.text, LOWER, LOWER, 0);
}
static value s_capitalize(run_t *run, value self, const args_t *args) {
  return recase(run, self.text, UPPER, LOWER, 1);
}
static value s_title(run_t *run, value self, const args_t *args) {
  return recase(run, self.text, UPPER, LOWER, 2);
}

/* ---- stripping ---- */
static bool is_space(uint32_t code) {
  return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f) ||
         code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
         code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

static bool in_set(uint32_t code, tn_str character, const tn_str *set) {
  return set ? tn_str_find(*set, character) >= 0 : is_space(code);
}

/* The character that ends at `end` (at least one byte). */
static size_t char_before(tn_str text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && ((uint8_t)text.data[at] & 0xc0) == 0x80) at--;
  return at;
}

tn_str tn_jinja_strip(tn_str text, const tn_str *set, bool left, bool right) {
  size_t from = 0, to = text.length;
  uint32_t code = 0;
  while (left && from < to) {
    int bytes = tn_utf8_decode((const uint8_t *)text.data + from, to - from, &code);
    if (bytes == 0 || !in_set(code, (tn_str){text.data + from, (size_t)bytes}, set)) break;
    from += (size_t)bytes;
  }
  while (right && to > from) {
    size_t at = char_before(text, to);
    int bytes = tn_utf8_decode((const uint8_t *)text.data + at, to - at, &code);
    if (bytes == 0 || !in_set(code, (tn_str){text.data + at, to - at}, set)) break;
    to = at;
  }
  return (tn_str){text.data + from, to - from};
}

static value strip(value self, const args_t *args, bool left, bool right) {
  const tn_str *set = NULL;
  if (args->count > 0 && args->positional[0].kind == TN_JINJA_STR) set = &args->positional[0].text;
  return tn_jinja_str(tn_jinja_strip(self.text, set, left, right));
}
static value s_strip(run_t *run, value self, const args_t *args) {
  return strip(self, args, true, true);
}
static value s_lstrip(run_t *run, value self, const args_t *args) {
  return strip(self, args, true, false);
}
static value s_rstrip(run_t *run, value self, const args_t *args) {
  return strip(self, args, false, true);
}
static value s_removeprefix(run_t *run, value self, const args_t *args) {
  tn_str part;
  if (!want_str(run, args, 0, &part) || !tn_str_starts(self.text, part)) return self;
  return tn_jinja_str((tn_str){self.text.data + part.length, self.text.length - part.length});
}
static value s_removesuffix(run_t *run, value self, const args_t *args) {
  tn_str part;
  if (!want_str(run, args, 0, &part) || !tn_str_ends(self.text, part)) return self;
  return tn_jinja_str((tn_str){self.text.data, self.text.length - part.length});
}

/* ---- searching ---- */
/* starts or ends with the string, or with one of a tuple. */
static value affix(run_t *run, value self, const args_t *args, bool (*holds)(tn_str, tn_str)) {
  tn_str part;
  if (args->count > 0 && args->positional[0].kind == TN_JINJA_TUPLE) {
    const tn_jinja_list *parts = args->positional[0].list;
    bool any = false;
    for (size_t i = 0; i < parts->count; i++)
      any = any || (parts->items[i].kind == TN_JINJA_STR && holds(self.text, parts->items[i].text));
    return tn_jinja_bool(any);
  }
  return tn_jinja_bool(want_str(run, args, 0, &part) && holds(self.text, part));
}
static value s_startswith(run_t *run, value self, const args_t *args) {
  return affix(run, self, args, tn_str_starts);
}
static value s_endswith(run_t *run, value self, const args_t *args) {
  return affix(run, self, args, tn_str_ends);
}

/* The last place of `part`, -1: none. */
static int64_t find_last(tn_str text, tn_str part) {
  if (part.length > text.length) return -1;
  for (size_t at = text.length - part.length + 1; at > 0; at--)
    if (part.length == 0 || memcmp(text.data + at - 1, part.data, part.length) == 0)
      return (int64_t)at - 1;
  return -1;
}

static value find(run_t *run, value self, const args_t *args, bool last, bool must) {
  tn_str part;
  if (!want_str(run, args, 0, &part)) return tn_jinja_int(-1);
  int64_t at = last ? find_last(self.text, part) : tn_str_find(self.text, part);
  if (at < 0 && must) return tn_jinja_fail(run, TN_ERR_DATA, "substring not found");
  return tn_jinja_int(at < 0 ? -1 : tn_jinja_chars((tn_str){self.text.data, (size_t)at}));
}
static value s_find(run_t *run, value self, const args_t *args) {
  return find(run, self, args, false, false);
}
static value s_rfind(run_t *run, value self, const args_t *args) {
  return find(run, self, args, true, false);
}
static value s_index(run_t *run, value self, const args_t *args) {
  return find(run, self, args, false, true);
}

static value s_count(run_t *run, value self, const args_t *args) {
  tn_str part, rest = self.text;
  if (!want_str(run, args, 0, &part)) return tn_jinja_int(0);
  if (part.length == 0) return tn_jinja_int(tn_jinja_chars(rest) + 1);
  int64_t count = 0, at;
  while ((at = tn_str_find(rest, part)) >= 0 && tn_jinja_step(run, 1)) {
    count++;
    rest = (tn_str){rest.data + at + part.length, rest.length - (size_t)at - part.length};
  }
  return tn_jinja_int(count);
}

value tn_jinja_replace(run_t *run, tn_str text, tn_str from, tn_str to, int64_t count) {
  tn_strbuf out = {0};
  while (count != 0 && tn_jinja_step(run, 1)) {
    int64_t at = from.length ? tn_str_find(text, from) : 0;
    if (at < 0) break;
    tn_strbuf_append(&out, text.data, (size_t)at);
    tn_strbuf_add_str(&out, to);
    size_t gone = (size_t)at + from.length;
    if (from.length == 0) { /* between all characters */
      if (text.length == 0) {
        count = 0;
        break;
      }
      gone = tn_jinja_char_at(text, 1);
      tn_strbuf_append(&out, text.data, gone);
    }
    text = (tn_str){text.data + gone, text.length - gone};
    if (count > 0) count--;
    if ((int64_t)out.length > run->output_left)
      tn_jinja_fail(run, TN_ERR_LIMIT, "replace makes a text longer than allowed");
  }
  tn_strbuf_add_str(&out, text);
  return tn_jinja_take(run, &out);
}

static value s_replace(run_t *run, value self, const args_t *args) {
  tn_str from, to;
  if (!want_str(run, args, 0, &from) || !want_str(run, args, 1, &to)) return self;
  return tn_jinja_replace(run, self.text, from, to, int_or(args, 2, "count", -1));
}

/* ---- splitting and joining ---- */
static void split_space(run_t *run, tn_str text, int64_t limit, tn_jinja_list *out) {
  text = tn_jinja_strip(text, NULL, true, false);
  while (text.length > 0 && run->status == TN_OK) {
    size_t end = 0;
    uint32_t code = 0;
    while (end < text.length) {
      int bytes = tn_utf8_decode((const uint8_t *)text.data + end, text.length - end, &code);
      if (bytes > 0 && is_space(code)) break;
      end += bytes > 0 ? (size_t)bytes : 1;
    }
    if (limit-- == 0) {
      text = tn_jinja_strip(text, NULL, false, true);
      end = text.length;
    }
    tn_jinja_push(run, out, tn_jinja_str((tn_str){text.data, end}));
    text = tn_jinja_strip((tn_str){text.data + end, text.length - end}, NULL, true, false);
  }
}

static value s_split(run_t *run, value self, const args_t *args) {
  value out = tn_jinja_list_new(run);
  const value *separator = tn_jinja_arg(args, 0, "sep");
  int64_t limit = int_or(args, 1, "maxsplit", -1);
  tn_str rest = self.text;
  if (!separator || separator->kind != TN_JINJA_STR) {
    split_space(run, rest, limit, out.list);
    return out;
  }
  tn_str part = separator->text;
  if (part.length == 0) return tn_jinja_fail(run, TN_ERR_DATA, "split by an empty string");
  int64_t at;
  while (limit-- != 0 && run->status == TN_OK && (at = tn_str_find(rest, part)) >= 0) {
    tn_jinja_push(run, out.list, tn_jinja_str((tn_str){rest.data, (size_t)at}));
    rest = (tn_str){rest.data + at + part.length, rest.length - (size_t)at - part.length};
  }
  tn_jinja_push(run, out.list, tn_jinja_str(rest));
  return out;
}

static value s_rsplit(run_t *run, value self, const args_t *args) {
  const value *separator = tn_jinja_arg(args, 0, "sep");
  int64_t limit = int_or(args, 1, "maxsplit", -1);
  if (limit < 0) return s_split(run, self, args);
  if (!separator || separator->kind != TN_JINJA_STR || separator->text.length == 0)
    return tn_jinja_fail(run, TN_ERR_UNSUPPORTED, "rsplit with a limit wants a separator");
  value found = tn_jinja_list_new(run), out = tn_jinja_list_new(run);
  tn_str rest = self.text;
  int64_t at;
  while (limit-- != 0 && run->status == TN_OK && (at = find_last(rest, separator->text)) >= 0) {
    size_t behind = (size_t)at + separator->text.length;
    tn_jinja_push(run, found.list,
                  tn_jinja_str((tn_str){rest.data + behind, rest.length - behind}));
    rest.length = (size_t)at;
  }
  tn_jinja_push(run, found.list, tn_jinja_str(rest));
  for (size_t i = found.list->count; i > 0; i--)
    tn_jinja_push(run, out.list, found.list->items[i - 1]);
  return out;
}

static value s_splitlines(run_t *run, value self, const args_t *args) {
  value out = tn_jinja_list_new(run);
  tn_str rest = self.text;
  while (rest.data && rest.length > 0 && run->status == TN_OK) {
    size_t end = 0, ending = 0;
    while (end < rest.length && rest.data[end] != '\n' && rest.data[end] != '\r') end++;
    if (end < rest.length)
      ending =
          rest.data[end] == '\r' && end + 1 < rest.length && rest.data[end + 1] == '\n' ? 2 : 1;
    bool keep = args->count > 0 && tn_jinja_truth(args->positional[0]);
    tn_jinja_push(run, out.list, tn_jinja_str((tn_str){rest.data, end + (keep ? ending : 0)}));
    rest = (tn_str){rest.data + end + ending, rest.length - end - ending};
  }
  return out;
}

static value s_join(run_t *run, value self, const args_t *args) {
  if (args->count < 1) return tn_jinja_fail(run, TN_ERR_DATA, "join wants a list");
  value items = tn_jinja_iterate(run, args->positional[0]);
  tn_strbuf out = {0};
  for (size_t i = 0; run->status == TN_OK && i < items.list->count; i++) {
    if (items.list->items[i].kind != TN_JINJA_STR)
      tn_jinja_fail(run, TN_ERR_DATA, "join of a '%s'", tn_jinja_kind_name(items.list->items[i]));
    else if (i)
      tn_strbuf_add_str(&out, self.text);
    if (run->status == TN_OK) tn_strbuf_add_str(&out, items.list->items[i].text);
    if ((int64_t)out.length > run->output_left)
      tn_jinja_fail(run, TN_ERR_LIMIT, "join makes a text longer than allowed");
  }
  return tn_jinja_take(run, &out);
}

/* ---- asking ---- */
static value every(value self, bool (*holds)(uint32_t)) {
  bool all = self.text.length > 0;
  for (size_t i = 0; i < self.text.length && all;) {
    uint32_t code = 0;
    int bytes = tn_utf8_decode((const uint8_t *)self.text.data + i, self.text.length - i, &code);
    all = bytes > 0 && holds(code);
    i += bytes > 0 ? (size_t)bytes : 1;
  }
  return tn_jinja_bool(all);
}
static bool is_digit(uint32_t code) {
  return code >= '0' && code <= '9';
}
static bool is_alnum(uint32_t code) {
  return is_digit(code) || is_letter(code);
}
static value s_isdigit(run_t *run, value self, const args_t *args) {
  return every(self, is_digit);
}
static value s_isalpha(run_t *run, value self, const args_t *args) {
  return every(self, is_letter);
}
static value s_isalnum(run_t *run, value self, const args_t *args) {
  return every(self, is_alnum);
}
static value s_isspace(run_t *run, value self, const args_t *args) {
  return every(self, is_space);
}

/* ---- formatting ---- */
static void add_padded(tn_strbuf *out, const char *flags, int64_t width, tn_str text) {
  int64_t fill = width - tn_jinja_chars(text);
  bool left = strchr(flags, '-') != NULL;
  for (int64_t i = 0; i < fill && !left; i++) tn_strbuf_add_char(out, ' ');
  tn_strbuf_add_str(out, text);
  for (int64_t i = 0; i < fill && left; i++) tn_strbuf_add_char(out, ' ');
}

/* One conversion "%-5.2f": flags, width, precision and letter are already apart. */
static void convert(run_t *run, tn_strbuf *out, const char *flags, int64_t width, int64_t precision,
                    char letter, value v) {
  char spec[32];
  if (letter == 's' || letter == 'r') {
    tn_strbuf text = {0};
    letter == 's' ? tn_jinja_print(run, v, &text) : tn_jinja_repr(run, v, &text);
    tn_str shown = tn_jinja_take(run, &text).text;
    if (precision >= 0 && tn_jinja_chars(shown) > precision)
      shown.length = tn_jinja_char_at(shown, precision);
    add_padded(out, flags, width, shown);
    return;
  }
  if (!tn_jinja_is_number(v)) {
    tn_jinja_fail(run, TN_ERR_DATA, "%%%c wants a number, found '%s'", letter,
                  tn_jinja_kind_name(v));
    return;
  }
  bool whole = letter == 'd' || letter == 'i' || letter == 'u' || letter == 'x' || letter == 'X' ||
               letter == 'o';
  snprintf(spec, sizeof spec, "%%%s*.*%s%c", flags, whole ? "ll" : "",
           letter == 'u' ? 'd' : letter);
  int w = (int)width, p = (int)precision;
  if (whole && v.kind == TN_JINJA_REAL && !(v.number > -9e18 && v.number < 9e18)) {
    tn_jinja_fail(run, TN_ERR_LIMIT, "%%%c of a number beyond 64 bits", letter);
    return;
  }
  char text[1200];
  if (whole) {
    long long i = v.kind == TN_JINJA_REAL ? (long long)v.number : (long long)tn_jinja_integer(v);
    snprintf(text, sizeof text, spec, w, p, i);
  } else {
    snprintf(text, sizeof text, spec, w, p, tn_jinja_number(v));
  }
  tn_strbuf_add(out, text);
}

static int64_t read_digits(tn_str *rest) {
  int64_t n = 0;
  while (rest->length && is_digit((uint8_t)rest->data[0]) && n < 10000) {
    n = n * 10 + (rest->data[0] - '0');
    rest->data++;
    rest->length--;
  }
  return n;
}

value tn_jinja_format_percent(run_t *run, tn_str rest, const args_t *args) {
  tn_strbuf out = {0};
  int32_t next = 0;
  while (rest.length > 0 && tn_jinja_step(run, 1)) {
    char c = *rest.data++;
    rest.length--;
    if (c != '%') {
      tn_strbuf_add_char(&out, c);
      continue;
    }
    char flags[8] = "";
    size_t flag_count = 0;
    value named = tn_jinja_none();
    bool by_name = rest.length && rest.data[0] == '(';
    if (by_name) {
      rest.data++, rest.length--;
      tn_str name = tn_str_cut(&rest, ')');
      char key[128];
      snprintf(key, sizeof key, "%.*s", TN_STR_ARG(name));
      const value *found = tn_jinja_arg(args, TN_JINJA_ARGUMENTS_MAX, key);
      if (!found && args->count > 0 && args->positional[0].kind == TN_JINJA_DICT)
        found = tn_jinja_find_str(run, args->positional[0].dict, name);
      if (!found) tn_jinja_fail(run, TN_ERR_DATA, "no value named '%.*s'", TN_STR_ARG(name));
      if (found) named = *found;
    }
    while (rest.length && rest.data[0] && strchr("-+ #0", rest.data[0]) && flag_count < 6) {
      flags[flag_count++] = *rest.data++;
      rest.length--;
    }
    int64_t width = read_digits(&rest), precision = -1;
    if (rest.length && rest.data[0] == '.') {
      rest.data++, rest.length--;
      precision = read_digits(&rest);
    }
    char letter = rest.length ? rest.data[0] : 0;
    if (rest.length) rest.data++, rest.length--;
    if (letter == '%') {
      tn_strbuf_add_char(&out, '%');
      continue;
    }
    if (width > 1000 || precision > 100) {
      tn_jinja_fail(run, TN_ERR_LIMIT, "a width of %lld", (long long)width);
    } else if (!letter || !strchr("srdiuxXofFeEgG", letter)) {
      tn_jinja_fail(run, TN_ERR_DATA, "unknown conversion %%%c", letter ? letter : ' ');
    } else if (!by_name && next >= args->count) {
      tn_jinja_fail(run, TN_ERR_DATA, "not enough arguments for the format string");
    } else if (run->status == TN_OK) {
      convert(run, &out, flags, width, precision, letter,
              by_name ? named : args->positional[next++]);
    }
  }
  return tn_jinja_take(run, &out);
}

/* "{} of {name!r}": replacement fields without a format specification. */
static value s_format(run_t *run, value self, const args_t *args) {
  tn_strbuf out = {0};
  tn_str rest = self.text;
  int32_t next = 0;
  while (rest.length > 0 && tn_jinja_step(run, 1)) {
    char c = rest.data[0];
    bool doubled = (c == '{' || c == '}') && rest.length > 1 && rest.data[1] == c;
    if (c != '{' || doubled) {
      tn_strbuf_add_char(&out, c);
      rest.data += 1 + doubled, rest.length -= 1 + (size_t)doubled;
      continue;
    }
    rest.data++, rest.length--;
    tn_str name = tn_str_cut(&rest, '}');
    if (memchr(name.data, ':', name.length) || memchr(name.data, '!', name.length))
      tn_jinja_fail(run, TN_ERR_UNSUPPORTED, "format specification '{%.*s}'", TN_STR_ARG(name));
    int64_t index;
    char key[128];
    snprintf(key, sizeof key, "%.*s", TN_STR_ARG(name));
    if (name.length == 0)
      index = next++;
    else if (!tn_str_to_i64(name, &index))
      index = TN_JINJA_ARGUMENTS_MAX;
    const value *v = index >= 0 && index <= TN_JINJA_ARGUMENTS_MAX
                         ? tn_jinja_arg(args, (int32_t)index, key)
                         : NULL;
    if (!v) tn_jinja_fail(run, TN_ERR_DATA, "no argument for '{%s}'", key);
    if (v) tn_jinja_print(run, *v, &out);
    if (!rest.data) break;
  }
  return tn_jinja_take(run, &out);
}

/* ---- dict ---- */
static value d_get(run_t *run, value self, const args_t *args) {
  if (args->count < 1) return tn_jinja_fail(run, TN_ERR_DATA, "get wants a key");
  const value *found = tn_jinja_find(run, self.dict, args->positional[0]);
  const value *otherwise = tn_jinja_arg(args, 1, "default");
  return found ? *found : otherwise ? *otherwise : tn_jinja_none();
}
static value d_items(run_t *run, value self, const args_t *args) {
  value list = tn_jinja_list_new(run);
  for (size_t i = 0; i < self.dict->count && run->status == TN_OK; i++) {
    value item = tn_jinja_list_new(run);
    item.kind = TN_JINJA_TUPLE;
    tn_jinja_push(run, item.list, self.dict->keys[i]);
    tn_jinja_push(run, item.list, self.dict->values[i]);
    tn_jinja_push(run, list.list, item);
  }
  return list;
}
static value d_keys(run_t *run, value self, const args_t *args) {
  return tn_jinja_iterate(run, self);
}
static value d_values(run_t *run, value self, const args_t *args) {
  value list = tn_jinja_list_new(run);
  for (size_t i = 0; i < self.dict->count && run->status == TN_OK; i++)
    tn_jinja_push(run, list.list, self.dict->values[i]);
  return list;
}
static value d_copy(run_t *run, value self, const args_t *args) {
  value copy = tn_jinja_dict_new(run);
  for (size_t i = 0; i < self.dict->count && run->status == TN_OK; i++)
    tn_jinja_put(run, copy.dict, self.dict->keys[i], self.dict->values[i]);
  return copy;
}

/* ---- list ---- */
static value l_append(run_t *run, value self, const args_t *args) {
  if (args->count < 1) return tn_jinja_fail(run, TN_ERR_DATA, "append wants a value");
  tn_jinja_push(run, self.list, args->positional[0]);
  return tn_jinja_none();
}
static value l_pop(run_t *run, value self, const args_t *args) {
  int64_t count = (int64_t)self.list->count, at = int_or(args, 0, "index", -1);
  if (at < 0) at += count;
  if (at < 0 || at >= count) return tn_jinja_fail(run, TN_ERR_DATA, "pop index out of range");
  value taken = self.list->items[at];
  memmove(self.list->items + at, self.list->items + at + 1,
          (size_t)(count - at - 1) * sizeof taken);
  self.list->count--;
  return taken;
}
static value l_index(run_t *run, value self, const args_t *args) {
  for (size_t i = 0; args->count > 0 && i < self.list->count; i++)
    if (tn_jinja_equal(run, self.list->items[i], args->positional[0]))
      return tn_jinja_int((int64_t)i);
  return tn_jinja_fail(run, TN_ERR_DATA, "the value is not in the list");
}
static value l_count(run_t *run, value self, const args_t *args) {
  int64_t count = 0;
  for (size_t i = 0; args->count > 0 && i < self.list->count; i++)
    count += tn_jinja_equal(run, self.list->items[i], args->positional[0]);
  return tn_jinja_int(count);
}

static const struct {
  tn_jinja_value_kind kind;
  const char *name;
  method_fn call;
} methods[] = {
    {TN_JINJA_STR, "upper", s_upper},
    {TN_JINJA_STR, "lower", s_lower},
    {TN_JINJA_STR, "capitalize", s_capitalize},
    {TN_JINJA_STR, "title", s_title},
    {TN_JINJA_STR, "strip", s_strip},
    {TN_JINJA_STR, "lstrip", s_lstrip},
    {TN_JINJA_STR, "rstrip", s_rstrip},
    {TN_JINJA_STR, "removeprefix", s_removeprefix},
    {TN_JINJA_STR, "removesuffix", s_removesuffix},
    {TN_JINJA_STR, "startswith", s_startswith},
    {TN_JINJA_STR, "endswith", s_endswith},
    {TN_JINJA_STR, "find", s_find},
    {TN_JINJA_STR, "rfind", s_rfind},
    {TN_JINJA_STR, "index", s_index},
    {TN_JINJA_STR, "count", s_count},
    {TN_JINJA_STR, "replace", s_replace},
    {TN_JINJA_STR, "split", s_split},
    {TN_JINJA_STR, "rsplit", s_rsplit},
    {TN_JINJA_STR, "splitlines", s_splitlines},
    {TN_JINJA_STR, "join", s_join},
    {TN_JINJA_STR, "isdigit", s_isdigit},
    {TN_JINJA_STR, "isalpha", s_isalpha},
    {TN_JINJA_STR, "isalnum", s_isalnum},
    {TN_JINJA_STR, "isspace", s_isspace},
    {TN_JINJA_STR, "format", s_format},
    {TN_JINJA_DICT, "get", d_get},
    {TN_JINJA_DICT, "items", d_items},
    {TN_JINJA_DICT, "keys", d_keys},
    {TN_JINJA_DICT, "values", d_values},
    {TN_JINJA_DICT, "copy", d_copy},
    {TN_JINJA_LIST, "append", l_append},
    {TN_JINJA_LIST, "pop", l_pop},
    {TN_JINJA_LIST, "index", l_index},
    {TN_JINJA_LIST, "count", l_count},
};
enum { METHODS = sizeof methods / sizeof methods[0] };

int32_t tn_jinja_method_find(value self, tn_str name) {
  for (int32_t i = 0; i < METHODS; i++)
    if (methods[i].kind == self.kind && tn_str_is(name, methods[i].name)) return i;
  return -1;
}

value tn_jinja_method(run_t *run, int32_t method, value self, const args_t *args) {
  if (!tn_jinja_step_over(run, self)) return tn_jinja_undefined("");
  return methods[method].call(run, self, args);
}
