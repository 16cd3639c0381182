/* tokenizer_pattern.c - see tokenizer_pattern.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_pattern.h"

typedef struct newer_range {
  uint32_t first, last;
  char category[3];
} newer_range;

/* Code points that Unicode 15.0 to 16.0 assigned, by general category.  A PCRE2 that knows them
 * already finds them twice, which does no harm. */
static const newer_range newer[] = {
    {0x897, 0x897, "Mn"},     {0xcf3, 0xcf3, "Mc"},     {0xece, 0xece, "Mn"},
    {0x1b4e, 0x1b4f, "Po"},   {0x1b7f, 0x1b7f, "Po"},   {0x1c89, 0x1c89, "Lu"},
    {0x1c8a, 0x1c8a, "Ll"},   {0x2427, 0x2429, "So"},   {0x2ffc, 0x2fff, "So"},
    {0x31e4, 0x31e5, "So"},   {0x31ef, 0x31ef, "So"},   {0xa7cb, 0xa7cc, "Lu"},
    {0xa7cd, 0xa7cd, "Ll"},   {0xa7da, 0xa7da, "Lu"},   {0xa7db, 0xa7db, "Ll"},
    {0xa7dc, 0xa7dc, "Lu"},   {0x105c0, 0x105f3, "Lo"}, {0x10d40, 0x10d49, "Nd"},
    {0x10d4a, 0x10d4d, "Lo"}, {0x10d4e, 0x10d4e, "Lm"}, {0x10d4f, 0x10d4f, "Lo"},
    {0x10d50, 0x10d65, "Lu"}, {0x10d69, 0x10d6d, "Mn"}, {0x10d6e, 0x10d6e, "Pd"},
    {0x10d6f, 0x10d6f, "Lm"}, {0x10d70, 0x10d85, "Ll"}, {0x10d8e, 0x10d8f, "Sm"},
    {0x10ec2, 0x10ec4, "Lo"}, {0x10efc, 0x10eff, "Mn"}, {0x1123f, 0x11240, "Lo"},
    {0x11241, 0x11241, "Mn"}, {0x11380, 0x11389, "Lo"}, {0x1138b, 0x1138b, "Lo"},
    {0x1138e, 0x1138e, "Lo"}, {0x11390, 0x113b5, "Lo"}, {0x113b7, 0x113b7, "Lo"},
    {0x113b8, 0x113ba, "Mc"}, {0x113bb, 0x113c0, "Mn"}, {0x113c2, 0x113c2, "Mc"},
    {0x113c5, 0x113c5, "Mc"}, {0x113c7, 0x113ca, "Mc"}, {0x113cc, 0x113cd, "Mc"},
    {0x113ce, 0x113ce, "Mn"}, {0x113cf, 0x113cf, "Mc"}, {0x113d0, 0x113d0, "Mn"},
    {0x113d1, 0x113d1, "Lo"}, {0x113d2, 0x113d2, "Mn"}, {0x113d3, 0x113d3, "Lo"},
    {0x113d4, 0x113d5, "Po"}, {0x113d7, 0x113d8, "Po"}, {0x113e1, 0x113e2, "Mn"},
    {0x116d0, 0x116e3, "Nd"}, {0x1171e, 0x1171e, "Mc"}, {0x11b00, 0x11b09, "Po"},
    {0x11bc0, 0x11be0, "Lo"}, {0x11be1, 0x11be1, "Po"}, {0x11bf0, 0x11bf9, "Nd"},
    {0x11f00, 0x11f01, "Mn"}, {0x11f02, 0x11f02, "Lo"}, {0x11f03, 0x11f03, "Mc"},
    {0x11f04, 0x11f10, "Lo"}, {0x11f12, 0x11f33, "Lo"}, {0x11f34, 0x11f35, "Mc"},
    {0x11f36, 0x11f3a, "Mn"}, {0x11f3e, 0x11f3f, "Mc"}, {0x11f40, 0x11f40, "Mn"},
    {0x11f41, 0x11f41, "Mc"}, {0x11f42, 0x11f42, "Mn"}, {0x11f43, 0x11f4f, "Po"},
    {0x11f50, 0x11f59, "Nd"}, {0x11f5a, 0x11f5a, "Mn"}, {0x1342f, 0x1342f, "Lo"},
    {0x13439, 0x1343f, "Cf"}, {0x13440, 0x13440, "Mn"}, {0x13441, 0x13446, "Lo"},
    {0x13447, 0x13455, "Mn"}, {0x13460, 0x143fa, "Lo"}, {0x16100, 0x1611d, "Lo"},
    {0x1611e, 0x16129, "Mn"}, {0x1612a, 0x1612c, "Mc"}, {0x1612d, 0x1612f, "Mn"},
    {0x16130, 0x16139, "Nd"}, {0x16d40, 0x16d42, "Lm"}, {0x16d43, 0x16d6a, "Lo"},
    {0x16d6b, 0x16d6c, "Lm"}, {0x16d6d, 0x16d6f, "Po"}, {0x16d70, 0x16d79, "Nd"},
    {0x18cff, 0x18cff, "Lo"}, {0x1b132, 0x1b132, "Lo"}, {0x1b155, 0x1b155, "Lo"},
    {0x1cc00, 0x1ccef, "So"}, {0x1ccf0, 0x1ccf9, "Nd"}, {0x1cd00, 0x1ceb3, "So"},
    {0x1d2c0, 0x1d2d3, "No"}, {0x1df25, 0x1df2a, "Ll"}, {0x1e030, 0x1e06d, "Lm"},
    {0x1e08f, 0x1e08f, "Mn"}, {0x1e4d0, 0x1e4ea, "Lo"}, {0x1e4eb, 0x1e4eb, "Lm"},
    {0x1e4ec, 0x1e4ef, "Mn"}, {0x1e4f0, 0x1e4f9, "Nd"}, {0x1e5d0, 0x1e5ed, "Lo"},
    {0x1e5ee, 0x1e5ef, "Mn"}, {0x1e5f0, 0x1e5f0, "Lo"}, {0x1e5f1, 0x1e5fa, "Nd"},
    {0x1e5ff, 0x1e5ff, "Po"}, {0x1f6dc, 0x1f6dc, "So"}, {0x1f774, 0x1f776, "So"},
    {0x1f77b, 0x1f77f, "So"}, {0x1f7d9, 0x1f7d9, "So"}, {0x1f8b2, 0x1f8bb, "So"},
    {0x1f8c0, 0x1f8c1, "So"}, {0x1fa75, 0x1fa77, "So"}, {0x1fa87, 0x1fa89, "So"},
    {0x1fa8f, 0x1fa8f, "So"}, {0x1faad, 0x1faaf, "So"}, {0x1fabb, 0x1fabf, "So"},
    {0x1fac6, 0x1fac6, "So"}, {0x1face, 0x1facf, "So"}, {0x1fada, 0x1fadc, "So"},
    {0x1fadf, 0x1fadf, "So"}, {0x1fae8, 0x1fae9, "So"}, {0x1faf7, 0x1faf8, "So"},
    {0x1fbcb, 0x1fbef, "So"}, {0x2b739, 0x2b739, "Lo"}, {0x2ebf0, 0x2ee5d, "Lo"},
    {0x31350, 0x323af, "Lo"},
};
#define NEWER_COUNT (sizeof newer / sizeof newer[0])

static const newer_range *find_newer(uint32_t code) {
  size_t low = 0, high = NEWER_COUNT;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (newer[middle].last < code)
      low = middle + 1;
    else
      high = middle;
  }
  return low < NEWER_COUNT && newer[low].first <= code ? &newer[low] : NULL;
}

bool tn_pattern_needs_exact(uint32_t code) {
  return code == 0x180E || find_newer(code);
}

/* ---- sets of characters, as the inside of a class
 * ------------------------------------------------- */
#define SPACES                                                                          \
  "\\t-\\r\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}" \
  "\\x{205f}\\x{3000}"

/* `category`: "L" for all letters, "Lu" for one kind. */
static void add_newer(tn_strbuf *out, tn_str category) {
  for (size_t i = 0; i < NEWER_COUNT; i++) {
    if (!tn_str_starts(tn_str_of(newer[i].category), category)) continue;
    tn_strbuf_addf(out, "\\x{%x}", newer[i].first);
    if (newer[i].last > newer[i].first) tn_strbuf_addf(out, "-\\x{%x}", newer[i].last);
  }
}

static bool is_category(tn_str name) {
  if (name.length < 1 || name.length > 2 || !memchr("LMNPSZC", name.data[0], 7)) return false;
  return name.length == 1 || (name.data[1] >= 'a' && name.data[1] <= 'z');
}

typedef struct translation {
  tn_str pattern;
  size_t at;
  bool in_class, exact;
  tn_strbuf *out;
} translation;

static void open_set(translation *t, bool negative) {
  if (!t->in_class) tn_strbuf_add(t->out, negative ? "[^" : "[");
}
static void close_set(translation *t) {
  if (!t->in_class) tn_strbuf_add_char(t->out, ']');
}

static void add_categories(translation *t, const char *const *names, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    tn_strbuf_addf(t->out, "\\p{%s}", names[i]);
    if (t->exact) add_newer(t->out, tn_str_of(names[i]));
  }
}

static const char *const word_categories[] = {"Alphabetic", "M", "Nd", "Pc"};
static const char *const digit_categories[] = {"Nd"};

/* One of s S d D w W h H.  A negated set inside a class has no spelling as ranges; PCRE2's own is
 * used there. */
static void translate_shorthand(translation *t, char letter) {
  bool negative = letter >= 'A' && letter <= 'Z';
  char kind = negative ? (char)(letter - 'A' + 'a') : letter;
  if (kind == 's' && !t->exact) {
    tn_strbuf_addf(t->out, "\\%c", letter);
    return;
  }
  if (negative && t->in_class) {
    tn_strbuf_addf(t->out, "\\%s",
                   kind == 's'   ? "P{White_Space}"
                   : kind == 'd' ? "P{Nd}"
                   : kind == 'w' ? "W"
                                 : "P{ASCII_Hex_Digit}");
    return;
  }
  open_set(t, negative);
  if (kind == 's') tn_strbuf_add(t->out, SPACES);
  if (kind == 'd') add_categories(t, digit_categories, 1);
  if (kind == 'h') tn_strbuf_add(t->out, "0-9A-Fa-f");
  if (kind == 'w') {
    add_categories(t, word_categories, 4);
    tn_strbuf_add(t->out, "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"); /* Oniguruma's own idea */
    if (t->exact) add_newer(t->out, TN_STR("L"));
  }
  close_set(t);
}

/* \p{...} or \P{...} with t->at on the 'p'. */
static tn_status translate_property(translation *t, tn_error *err) {
  bool negative = t->pattern.data[t->at] == 'P';
  size_t start = t->at + 2, end = start;
  while (end < t->pattern.length && t->pattern.data[end] != '}') end++;
  if (end >= t->pattern.length || end - start > 64)
    return tn_fail(err, TN_ERR_DATA, "byte %zu: a \\p{ without its }", t->at);
  tn_str name = {t->pattern.data + start, end - start};
  if (name.length && name.data[0] == '^') {
    negative = !negative;
    name.data++;
    name.length--;
  }
  t->at = end + 1;
  if (is_category(name) && t->exact && !(negative && t->in_class)) {
    open_set(t, negative);
    tn_strbuf_addf(t->out, "\\p{%.*s}", TN_STR_ARG(name));
    add_newer(t->out, name);
    close_set(t);
    return TN_OK;
  }
  /* PCRE2 reads a bare script name as its Script_Extensions, Oniguruma as the script itself. */
  bool script = tn_str_is(name, "Han") || tn_str_is(name, "Hiragana") ||
                tn_str_is(name, "Katakana") || tn_str_is(name, "Hangul") ||
                tn_str_is(name, "Thai") || tn_str_is(name, "Arabic") || tn_str_is(name, "Latin") ||
                tn_str_is(name, "Cyrillic") || tn_str_is(name, "Greek");
  bool newer_han = t->exact && !negative && tn_str_is(name, "Han");
  if (newer_han) open_set(t, false);
  tn_strbuf_addf(t->out, "\\%c{%s%.*s}", negative ? 'P' : 'p', script ? "sc:" : "",
                 TN_STR_ARG(name));
  if (newer_han) {
    tn_strbuf_add(t->out, "\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}");
    close_set(t);
  }
  return TN_OK;
}

static tn_status translate_escape(translation *t, tn_error *err) {
  if (t->at + 1 >= t->pattern.length)
    return tn_fail(err, TN_ERR_DATA, "byte %zu: a \\ with nothing behind it", t->at);
  char letter = t->pattern.data[++t->at];
  if (memchr("sSdDwWhH", letter, 8)) {
    t->at++;
    translate_shorthand(t, letter);
    return TN_OK;
  }
  bool property = letter == 'p' || letter == 'P';
  if (property && t->at + 1 < t->pattern.length && t->pattern.data[t->at + 1] == '{')
    return translate_property(t, err);
  tn_strbuf_add_char(t->out, '\\');
  tn_strbuf_add_char(t->out, letter);
  t->at++;
  return TN_OK;
}

/* An opening bracket: a class begins, or inside one a POSIX name like [:alpha:]. */
static tn_status translate_bracket(translation *t, tn_error *err) {
  tn_str rest = {t->pattern.data + t->at, t->pattern.length - t->at};
  if (t->in_class) {
    int64_t end = tn_str_starts(rest, TN_STR("[:")) ? tn_str_find(rest, TN_STR(":]")) : -1;
    if (end < 0) return tn_fail(err, TN_ERR_UNSUPPORTED, "byte %zu: a class inside a class", t->at);
    tn_strbuf_append(t->out, rest.data, (size_t)end + 2);
    t->at += (size_t)end + 2;
    return TN_OK;
  }
  t->in_class = true;
  size_t length = 1;
  if (rest.length > length && rest.data[length] == '^') length++;
  if (rest.length > length && rest.data[length] == ']') length++;
  tn_strbuf_append(t->out, rest.data, length);
  t->at += length;
  return TN_OK;
}

tn_status tn_pattern_translate(tn_str pattern, bool exact, tn_strbuf *out, tn_error *err) {
  translation t = {.pattern = pattern, .exact = exact, .out = out};
  while (t.at < pattern.length) {
    char c = pattern.data[t.at];
    if (c == '\\') {
      TN_TRY(translate_escape(&t, err));
      continue;
    }
    if (c == '[') {
      TN_TRY(translate_bracket(&t, err));
      continue;
    }
    if (c == ']') t.in_class = false;
    if (c == '&' && t.in_class && t.at + 1 < pattern.length && pattern.data[t.at + 1] == '&')
      return tn_fail(err, TN_ERR_UNSUPPORTED, "byte %zu: && inside a class", t.at);
    tn_strbuf_add_char(out, c);
    t.at++;
  }
  return tn_strbuf_check(out, err);
}
