/* tokenizer_json.c - see tokenizer_json.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_json.h"

int tn_shown(tn_str s) {
  size_t length = s.length;
  if (length > 64)
    for (length = 64; length > 0 && ((uint8_t)s.data[length] & 0xC0) == 0x80;) length--;
  return (int)length;
}

tn_str tn_json_text(const tn_json *object, const char *key) {
  const tn_json *value = tn_json_get(object, key);
  return value && value->kind == TN_JSON_STRING ? value->text : (tn_str){NULL, 0};
}

tn_status tn_json_want(const tn_json *value, tn_json_kind kind, const char *key, tn_error *err) {
  if (value && value->kind == kind) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "\"%s\" is %s, expected %s", key,
                 value ? tn_json_kind_name(value->kind) : "missing", tn_json_kind_name(kind));
}

tn_status tn_json_want_text(const tn_json *object, const char *key, tn_str *out, tn_error *err) {
  const tn_json *value = tn_json_get(object, key);
  TN_TRY(tn_json_want(value, TN_JSON_STRING, key, err));
  *out = value->text;
  return TN_OK;
}

tn_status tn_json_want_pattern(const tn_json *object, tn_str *out, bool *is_regex, tn_error *err) {
  const tn_json *pattern = tn_json_get(object, "pattern");
  *is_regex = tn_json_get(pattern, "Regex") != NULL;
  return tn_json_want_text(pattern, *is_regex ? "Regex" : "String", out, err);
}

tn_status tn_json_want_char(const tn_json *object, const char *key, tn_str *out, tn_error *err) {
  TN_TRY(tn_json_want_text(object, key, out, err));
  int length = out->length ? tn_utf8_length((const uint8_t *)out->data, out->length) : 0;
  if (length && (size_t)length == out->length) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "\"%s\" is \"%.*s\", expected one character", key,
                 TN_SHOWN(*out));
}

tn_status tn_json_unsupported(tn_error *err, const char *what, tn_str name) {
  return tn_fail(err, TN_ERR_UNSUPPORTED, "%s \"%.*s\"", what, TN_SHOWN(name));
}
