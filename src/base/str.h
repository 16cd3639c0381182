/* str.h - text: borrowed views (tn_str) and a growing buffer (tn_strbuf).
 *
 * A tn_str points at bytes that somebody else owns; it is not NUL-terminated.  A tn_strbuf owns its
 * bytes, keeps a NUL behind them, and has a sticky `failed` flag: append as often as you like and
 * check once. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_STR_H
#define TN_BASE_STR_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"

typedef struct tn_str {
  const char *data;
  size_t length;
} tn_str;

#define TN_STR(literal) ((tn_str){(literal), sizeof(literal) - 1})
/* For printf: "%.*s", TN_STR_ARG(s) */
#define TN_STR_ARG(s) (int)(s).length, (s).data

static inline tn_str tn_str_of(const char *cstr) {
  return (tn_str){cstr, cstr ? strlen(cstr) : 0};
}
static inline bool tn_str_equal(tn_str a, tn_str b) {
  return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}
static inline bool tn_str_is(tn_str a, const char *cstr) {
  return tn_str_equal(a, tn_str_of(cstr));
}
bool tn_str_starts(tn_str s, tn_str prefix);
bool tn_str_ends(tn_str s, tn_str suffix);
int64_t tn_str_find(tn_str s, tn_str needle); /* byte offset of the first match, -1 if none */
tn_str tn_str_trim(tn_str s);                 /* without ASCII white space at both ends */
/* Cuts *rest at the first `separator`; returns the part before it, *rest is the part behind (empty
 * with data NULL after the last part). */
tn_str tn_str_cut(tn_str *rest, char separator);

/* Whole-string parses, no white space allowed; false when s is not exactly such a number or does
 * not fit.  f64 is correctly rounded and takes inf, nan and exponents; locale does not matter;
 * a finite number that would become infinite does not fit. */
bool tn_str_to_i64(tn_str s, int64_t *out);
bool tn_str_to_u64(tn_str s, uint64_t *out);
bool tn_str_to_f64(tn_str s, double *out);

/* Number of bytes of the valid UTF-8 character at s (1 to 4), 0 if invalid or truncated.  Overlong
 * forms, surrogates and values above U+10FFFF are invalid. */
int tn_utf8_length(const uint8_t *s, size_t available);
bool tn_utf8_valid(tn_str s);
/* Decodes one character (as above); *code is set when the result is not 0. */
int tn_utf8_decode(const uint8_t *s, size_t available, uint32_t *code);
int tn_utf8_encode(uint32_t code, uint8_t out[4]); /* bytes written; 0 for a non-character value */

typedef struct tn_strbuf { /* all zero is a valid empty buffer */
  char *data;              /* NULL or NUL-terminated */
  size_t length, capacity;
  bool failed; /* sticky: out of memory has happened */
} tn_strbuf;

void tn_strbuf_append(tn_strbuf *buf, const void *bytes, size_t count);
void tn_strbuf_add(tn_strbuf *buf, const char *cstr);
void tn_strbuf_add_str(tn_strbuf *buf, tn_str s);
void tn_strbuf_add_char(tn_strbuf *buf, char c);
void tn_strbuf_addf(tn_strbuf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tn_strbuf_addv(tn_strbuf *buf, const char *format, va_list args);
void tn_strbuf_reset(tn_strbuf *buf); /* length 0, memory kept, failed cleared */
void tn_strbuf_clear(tn_strbuf *buf); /* frees */
static inline tn_str tn_strbuf_view(const tn_strbuf *buf) {
  return (tn_str){buf->data, buf->length};
}
/* TN_ERR_MEMORY when the sticky flag is set, else TN_OK. */
TN_NODISCARD tn_status tn_strbuf_check(const tn_strbuf *buf, tn_error *err);

/* "1.5 GiB", "312 B"; "1,234,567"; "2 h 03 min", "4.2 s", "310 us".  Append to buf. */
void tn_strbuf_add_bytes_human(tn_strbuf *buf, double bytes);
void tn_strbuf_add_count_human(tn_strbuf *buf, int64_t count);
void tn_strbuf_add_duration_human(tn_strbuf *buf, double seconds);

#endif
