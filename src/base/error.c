/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts at a character boundary, so that a truncated message is still valid UTF-8. */
static void trim_partial_character(char *text, size_t length) {
  size_t lead = length;
  while (lead > 0 && length - lead < 3 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80) lead--;
  if (lead == 0) return;
  unsigned char first = (unsigned char)text[lead - 1];
  size_t want = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
  if (length - (lead - 1) < want) text[lead - 1] = '\0';
}

static void set_text(char out[TN_ERROR_TEXT_BYTES], const char *format, va_list args) {
  int length = vsnprintf(out, TN_ERROR_TEXT_BYTES, format, args);
  if (length < 0) out[0] = '\0';
  if (length >= TN_ERROR_TEXT_BYTES) trim_partial_character(out, TN_ERROR_TEXT_BYTES - 1);
}

/* Appends ": " and `tail` as far as there is room. */
static void append_text(char text[TN_ERROR_TEXT_BYTES], const char *tail) {
  size_t used = strlen(text);
  int want = snprintf(text + used, TN_ERROR_TEXT_BYTES - used, ": %s", tail);
  if (want > 0 && used + (size_t)want >= TN_ERROR_TEXT_BYTES)
    trim_partial_character(text, TN_ERROR_TEXT_BYTES - 1);
}

tn_status tn_fail(tn_error *err, tn_status status, const char *format, ...) {
  if (!err) return status;
  va_list args;
  va_start(args, format);
  char text[TN_ERROR_TEXT_BYTES]; /* the arguments may point into err->text */
  set_text(text, format, args);
  va_end(args);
  err->status = status;
  memcpy(err->text, text, sizeof text);
  return status;
}

static tn_status status_of_errno(int errnum) {
  switch (errnum) {
    case ENOMEM:
      return TN_ERR_MEMORY;
    case ENOENT:
      return TN_ERR_NOT_FOUND;
    case EINTR:
      return TN_ERR_INTERRUPTED;
    default:
      return TN_ERR_IO;
  }
}

tn_status tn_fail_errno(tn_error *err, int errnum, const char *format, ...) {
  tn_status status = status_of_errno(errnum);
  if (!err) return status;
  va_list args;
  va_start(args, format);
  char text[TN_ERROR_TEXT_BYTES], reason[128];
  set_text(text, format, args);
  va_end(args);
  append_text(text, strerror_r(errnum, reason, sizeof reason));
  err->status = status;
  memcpy(err->text, text, sizeof text);
  return status;
}

tn_status tn_error_context(tn_error *err, tn_status status, const char *format, ...) {
  if (!err) return status;
  va_list args;
  va_start(args, format);
  char text[TN_ERROR_TEXT_BYTES];
  set_text(text, format, args);
  va_end(args);
  append_text(text, err->text);
  err->status = status;
  memcpy(err->text, text, sizeof text);
  return status;
}

tn_status tn_fail_memory(tn_error *err, const char *what, unsigned long long bytes) {
  return tn_fail(err, TN_ERR_MEMORY, "out of memory: %s wants %llu bytes", what, bytes);
}

const char *tn_status_text(tn_status status) {
  switch (status) {
#define X(id, text) \
  case id:          \
    return text;
    TN_STATUS_LIST(X)
#undef X
  }
  return "unknown status";
}
