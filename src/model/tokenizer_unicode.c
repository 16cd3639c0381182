/* tokenizer_unicode.c - see tokenizer_unicode.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_unicode.h"

#include <utf8proc.h>

#include "base/mem.h"

typedef struct code_range {
  uint32_t first, last;
} code_range;

#include "model/tokenizer_unicode_deltas.inc"

static bool is_in(const code_range *ranges, size_t count, uint32_t code) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (ranges[middle].last < code)
      low = middle + 1;
    else
      high = middle;
  }
  return low < count && ranges[low].first <= code;
}
#define IS_IN(ranges, code) is_in(ranges, sizeof(ranges) / sizeof(ranges)[0], code)

static utf8proc_category_t category_of(uint32_t code) {
  return utf8proc_category((utf8proc_int32_t)code);
}

/* ---- classes
 * -------------------------------------------------------------------------------------- */
bool tn_unicode_is_space(uint32_t code) {
  if (code < 0x80) return (code >= 9 && code <= 13) || code == 0x20;
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool tn_unicode_is_nonspacing(uint32_t code) {
  if (code < 0x300) return false;
  return (category_of(code) == UTF8PROC_CATEGORY_MN) != IS_IN(not_nonspacing, code);
}

bool tn_unicode_is_combining(uint32_t code) {
  if (code < 0x300) return false;
  utf8proc_category_t c = category_of(code);
  bool mark = c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
  return mark != IS_IN(not_combining, code);
}

bool tn_unicode_is_other(uint32_t code) {
  if (code < 0x80) return code < 0x20 || code == 0x7F;
  utf8proc_category_t c = category_of(code);
  bool other = c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CO;
  return other != IS_IN(not_other, code);
}

static bool is_ascii_sign(uint32_t code) {
  return (code >= 0x21 && code <= 0x2F) || (code >= 0x3A && code <= 0x40) ||
         (code >= 0x5B && code <= 0x60) || (code >= 0x7B && code <= 0x7E);
}

bool tn_unicode_is_punctuation(uint32_t code) {
  if (code < 0x80) return is_ascii_sign(code);
  utf8proc_category_t c = category_of(code);
  bool sign = c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
  return sign != IS_IN(not_punctuation, code);
}

bool tn_unicode_is_numeric(uint32_t code) {
  if (code < 0x80) return code >= '0' && code <= '9';
  utf8proc_category_t c = category_of(code);
  bool number = c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
  return number != IS_IN(not_numeric, code);
}

bool tn_unicode_is_word(uint32_t code) {
  if (code < 0x80)
    return (code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') ||
           (code >= 'a' && code <= 'z') || code == '_';
  utf8proc_category_t c = category_of(code);
  bool word = (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC;
  return word != IS_IN(not_word, code);
}

bool tn_unicode_is_newer_joiner(uint32_t code) {
  return code >= 0x800 && IS_IN(newer_joiners, code);
}

/* What Unicode 16 and 17 brought: first, last, distance to the small letter. */
static const struct {
  uint32_t first, last;
  int32_t distance;
} newer_capitals[] = {
    {0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
    {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
    {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
    {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
    {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B},
};

int tn_unicode_lower(uint32_t code, uint32_t out[2]) {
  if (code < 0x80) {
    out[0] = code >= 'A' && code <= 'Z' ? code + 32 : code;
    return 1;
  }
  if (code == 0x130) {
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
  if (out[0] != code || code < 0x1C89) return 1;
  for (size_t i = 0; i < sizeof newer_capitals / sizeof newer_capitals[0]; i++)
    if (code >= newer_capitals[i].first && code <= newer_capitals[i].last)
      out[0] = (uint32_t)((int32_t)code + newer_capitals[i].distance);
  return 1;
}

void tn_unicode_add(tn_strbuf *out, uint32_t code) {
  uint8_t utf8[4];
  int length = tn_utf8_encode(code, utf8);
  tn_strbuf_append(out, utf8, (size_t)length);
}

/* ---- normal forms
 * --------------------------------------------------------------------------------- */
static const utf8proc_option_t form_options[] = {
    [TN_UNICODE_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
    [TN_UNICODE_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
    [TN_UNICODE_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
    [TN_UNICODE_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
};

static tn_status normalize_run(tn_str run, tn_unicode_form form, tn_strbuf *out, tn_error *err) {
  utf8proc_int32_t stack[256], *codes = stack;
  utf8proc_option_t options = form_options[form];
  utf8proc_ssize_t count =
      utf8proc_decompose((const utf8proc_uint8_t *)run.data, (utf8proc_ssize_t)run.length, stack,
                         sizeof stack / sizeof stack[0], options);
  if (count > (utf8proc_ssize_t)(sizeof stack / sizeof stack[0])) {
    codes = tn_alloc((size_t)count, sizeof *codes);
    if (!codes) return tn_fail_memory(err, "normalizing", (size_t)count * sizeof *codes);
    count = utf8proc_decompose((const utf8proc_uint8_t *)run.data, (utf8proc_ssize_t)run.length,
                               codes, count, options);
  }
  if (count > 0) count = utf8proc_normalize_utf32(codes, count, options);
  for (utf8proc_ssize_t i = 0; i < count; i++) tn_unicode_add(out, (uint32_t)codes[i]);
  if (codes != stack) tn_free(codes);
  if (count < 0) return tn_fail(err, TN_ERR_DATA, "normalizing: %s", utf8proc_errmsg(count));
  return tn_strbuf_check(out, err);
}

/* Where the run that must be normalized as a whole ends: before an ASCII character that another one
 * follows, or before a character that the forms do not know. */
static size_t run_end(tn_str text, size_t at, size_t *unknown) {
  *unknown = 0;
  while (at < text.length) {
    size_t length;
    uint32_t code = tn_unicode_at(text, at, &length);
    bool ascii = code < 0x80 && at + 1 < text.length && (uint8_t)text.data[at + 1] < 0x80;
    if (ascii) return at;
    if (code >= 0x7FD && IS_IN(newer_than_forms, code)) {
      *unknown = length;
      return at;
    }
    at += length;
  }
  return at;
}

tn_status tn_unicode_normalize(tn_str text, tn_unicode_form form, tn_strbuf *out, tn_error *err) {
  size_t at = 0;
  while (at < text.length) {
    size_t ascii = at;
    while (ascii < text.length && (uint8_t)text.data[ascii] < 0x80) ascii++;
    if (ascii < text.length && ascii > at) ascii--; /* a mark behind it may join it */
    tn_strbuf_append(out, text.data + at, ascii - at);
    if (ascii == text.length) break;
    size_t unknown, end = run_end(text, ascii, &unknown);
    if (end > ascii)
      TN_TRY(normalize_run((tn_str){text.data + ascii, end - ascii}, form, out, err));
    tn_strbuf_append(out, text.data + end, unknown);
    at = end + unknown;
  }
  return tn_strbuf_check(out, err);
}
