/* tokenizer_json.h - how the parts of a tokenizer.json are read: members by kind, and errors that
 * show the name they are about.  Only tokenizer*.c may look. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_TOKENIZER_JSON_H
#define TN_MODEL_TOKENIZER_JSON_H
#include "base/json.h"

/* How many bytes of a text a message shows: whole characters, 64 bytes at most. */
int tn_shown(tn_str s);
/* For printf: "%.*s". */
#define TN_SHOWN(s) tn_shown(s), (s).data ? (s).data : ""

static inline bool tn_json_is_null(const tn_json *value) {
  return !value || value->kind == TN_JSON_NULL;
}
/* The string at `key`; data NULL where there is none or it is no string. */
tn_str tn_json_text(const tn_json *object, const char *key);
TN_NODISCARD tn_status tn_json_want(const tn_json *value, tn_json_kind kind, const char *key,
                                    tn_error *err);
/* A string that must be there. */
TN_NODISCARD tn_status tn_json_want_text(const tn_json *object, const char *key, tn_str *out,
                                         tn_error *err);
/* {"Regex": s} or {"String": s}: *is_regex says which. */
TN_NODISCARD tn_status tn_json_want_pattern(const tn_json *object, tn_str *out, bool *is_regex,
                                            tn_error *err);
/* A string of exactly one character. */
TN_NODISCARD tn_status tn_json_want_char(const tn_json *object, const char *key, tn_str *out,
                                         tn_error *err);
tn_status tn_json_unsupported(tn_error *err, const char *what, tn_str name);

#endif
