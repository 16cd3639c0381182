/* SPDX-License-Identifier: Apache-2.0 */
/* like: whether a text is what a pattern says. */
#include <string.h>

#include "columns/expr_tree.h"

static uint8_t folded(uint8_t c) {
  return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool same_bytes(const char *a, const char *b, size_t count, bool fold) {
  if (!fold) return count == 0 || memcmp(a, b, count) == 0;
  for (size_t i = 0; i < count; i++)
    if (folded((uint8_t)a[i]) != folded((uint8_t)b[i])) return false;
  return true;
}

static bool contains(tn_str text, tn_str part, bool fold) {
  if (part.length == 0) return true;
  if (!fold) return text.length > 0 && memmem(text.data, text.length, part.data, part.length);
  for (size_t i = 0; i + part.length <= text.length; i++)
    if (same_bytes(text.data + i, part.data, part.length, true)) return true;
  return false;
}

/* Greedy with one step back, to the last %: as much as any pattern of this kind needs. */
static bool matches_general(const tn_expr_pattern *m, tn_str text) {
  size_t at = 0, p = 0, star = SIZE_MAX, resume = 0;
  while (at < text.length) {
    if (p < m->general.length && m->special[p] && m->general.data[p] == '%') {
      star = ++p;
      resume = at;
    } else if (p < m->general.length && m->special[p]) { /* one character */
      int bytes = tn_utf8_length((const uint8_t *)text.data + at, text.length - at);
      at += bytes > 0 ? (size_t)bytes : 1;
      p++;
    } else if (p < m->general.length &&
               same_bytes(text.data + at, m->general.data + p, 1, m->fold)) {
      at++;
      p++;
    } else if (star != SIZE_MAX) {
      p = star;
      int bytes = tn_utf8_length((const uint8_t *)text.data + resume, text.length - resume);
      at = resume += bytes > 0 ? (size_t)bytes : 1;
    } else {
      return false;
    }
  }
  while (p < m->general.length && m->special[p] && m->general.data[p] == '%') p++;
  return p == m->general.length;
}

bool tn_expr_matches(const tn_expr_pattern *m, tn_str text) {
  size_t n = m->text.length;
  switch (m->form) {
    case TN_MATCH_EXACT:
      return text.length == n && same_bytes(text.data, m->text.data, n, m->fold);
    case TN_MATCH_PREFIX:
      return text.length >= n && same_bytes(text.data, m->text.data, n, m->fold);
    case TN_MATCH_SUFFIX:
      return text.length >= n && same_bytes(text.data + text.length - n, m->text.data, n, m->fold);
    case TN_MATCH_CONTAINS:
      return contains(text, m->text, m->fold);
    default:
      return matches_general(m, text);
  }
}
