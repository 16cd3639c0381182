/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"

bool tn_str_starts(tn_str s, tn_str prefix) {
  return s.length >= prefix.length && tn_str_equal((tn_str){s.data, prefix.length}, prefix);
}

bool tn_str_ends(tn_str s, tn_str suffix) {
  if (s.length < suffix.length) return false;
  if (suffix.length == 0) return true;
  return memcmp(s.data + (s.length - suffix.length), suffix.data, suffix.length) == 0;
}

int64_t tn_str_find(tn_str s, tn_str needle) {
  if (needle.length == 0) return 0;
  if (s.length < needle.length) return -1;
  const char *found = memmem(s.data, s.length, needle.data, needle.length);
  return found ? found - s.data : -1;
}

static bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

tn_str tn_str_trim(tn_str s) {
  while (s.length && is_space(s.data[0])) s = (tn_str){s.data + 1, s.length - 1};
  while (s.length && is_space(s.data[s.length - 1])) s.length--;
  return s;
}

tn_str tn_str_cut(tn_str *rest, char separator) {
  tn_str all = *rest;
  const char *at = all.length ? memchr(all.data, separator, all.length) : NULL;
  if (!at) {
    *rest = (tn_str){0};
    return all;
  }
  size_t length = (size_t)(at - all.data);
  *rest = (tn_str){at + 1, all.length - length - 1};
  return (tn_str){all.data, length};
}

/* ---- tn_strbuf ---- */

/* Room for `more` bytes and the NUL. */
static bool reserve(tn_strbuf *buf, size_t more) {
  if (buf->failed) return false;
  size_t want;
  if (tn_add_size(buf->length, more, &want) && tn_add_size(want, 1, &want)) {
    if (want <= buf->capacity) return true;
    size_t target = buf->capacity ? buf->capacity : 32;
    while (target < want)
      if (!tn_mul_size(target, 2, &target)) target = want;
    char *data = tn_realloc(buf->data, target, 1);
    if (data) {
      buf->data = data;
      buf->capacity = target;
      return true;
    }
  }
  buf->failed = true;
  return false;
}

void tn_strbuf_append(tn_strbuf *buf, const void *bytes, size_t count) {
  if (!reserve(buf, count)) return;
  if (count) memcpy(buf->data + buf->length, bytes, count);
  buf->length += count;
  buf->data[buf->length] = '\0';
}

void tn_strbuf_add(tn_strbuf *buf, const char *cstr) {
  tn_strbuf_append(buf, cstr, strlen(cstr));
}

void tn_strbuf_add_str(tn_strbuf *buf, tn_str s) {
  tn_strbuf_append(buf, s.data, s.length);
}

void tn_strbuf_add_char(tn_strbuf *buf, char c) {
  if (!reserve(buf, 1)) return;
  buf->data[buf->length++] = c;
  buf->data[buf->length] = '\0';
}

void tn_strbuf_addf(tn_strbuf *buf, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tn_strbuf_addv(buf, format, args);
  va_end(args);
}

void tn_strbuf_addv(tn_strbuf *buf, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  size_t room = buf->data ? buf->capacity - buf->length : 0;
  int length = vsnprintf(buf->data ? buf->data + buf->length : NULL, room, format, args);
  if (length < 0) {
    buf->failed = true;
  } else if ((size_t)length >= room && reserve(buf, (size_t)length)) {
    vsnprintf(buf->data + buf->length, (size_t)length + 1, format, again);
  }
  if (!buf->failed) buf->length += (size_t)length;
  if (buf->data) buf->data[buf->length] = '\0';
  va_end(again);
}

void tn_strbuf_reset(tn_strbuf *buf) {
  buf->length = 0;
  buf->failed = false;
  if (buf->data) buf->data[0] = '\0';
}

void tn_strbuf_clear(tn_strbuf *buf) {
  tn_free(buf->data);
  *buf = (tn_strbuf){0};
}

tn_status tn_strbuf_check(const tn_strbuf *buf, tn_error *err) {
  if (!buf->failed) return TN_OK;
  return tn_fail(err, TN_ERR_MEMORY, "out of memory: a text of %zu bytes cannot grow", buf->length);
}

/* ---- figures for people ---- */

void tn_strbuf_add_bytes_human(tn_strbuf *buf, double bytes) {
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  /* 1023.95 rather than 1024: what would print as "1024.0 KiB" is "1.0 MiB". */
  while (unit + 1 < sizeof units / sizeof *units && fabs(bytes) >= (unit ? 1023.95 : 1023.5)) {
    bytes /= 1024;
    unit++;
  }
  tn_strbuf_addf(buf, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

void tn_strbuf_add_count_human(tn_strbuf *buf, int64_t count) {
  char digits[24];
  uint64_t magnitude = count < 0 ? 0 - (uint64_t)count : (uint64_t)count;
  int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)magnitude);
  if (count < 0) tn_strbuf_add_char(buf, '-');
  for (int i = 0; i < length; i++) {
    if (i && (length - i) % 3 == 0) tn_strbuf_add_char(buf, ',');
    tn_strbuf_add_char(buf, digits[i]);
  }
}

/* Whole units above a minute ("2 h 03 min"), a decimal below. */
static void add_long_duration(tn_strbuf *buf, int64_t seconds) {
  long long minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
  if (days)
    tn_strbuf_addf(buf, "%lld d %02lld h", days, hours % 24);
  else if (hours)
    tn_strbuf_addf(buf, "%lld h %02lld min", hours, minutes % 60);
  else
    tn_strbuf_addf(buf, "%lld min %02d s", minutes, (int)(seconds % 60));
}

void tn_strbuf_add_duration_human(tn_strbuf *buf, double seconds) {
  if (!(fabs(seconds) < 1e15)) {
    tn_strbuf_add(buf, "unknown time");
    return;
  }
  if (seconds < 0) {
    tn_strbuf_add_char(buf, '-');
    seconds = -seconds;
  }
  if (seconds < 0.9995e-3)
    tn_strbuf_addf(buf, "%.0f us", seconds * 1e6);
  else if (seconds < 0.9995)
    tn_strbuf_addf(buf, seconds < 9.95e-3 ? "%.1f ms" : "%.0f ms", seconds * 1e3);
  else if (seconds < 59.95)
    tn_strbuf_addf(buf, "%.1f s", seconds);
  else
    add_long_duration(buf, (int64_t)(seconds + 0.5));
}
