/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a parsed tree; the parser is json_parse.c, the writer json_write.c. */
#include "base/json.h"

const tn_json *tn_json_get(const tn_json *object, const char *key) {
  if (!object || object->kind != TN_JSON_OBJECT) return NULL;
  tn_str wanted = tn_str_of(key);
  const tn_json *found = NULL;
  for (const tn_json *member = object->first; member; member = member->next)
    if (tn_str_equal(member->key, wanted)) found = member;
  return found;
}

const tn_json *tn_json_at(const tn_json *array, int64_t index) {
  if (!array || array->kind != TN_JSON_ARRAY || index < 0 || index >= array->count) return NULL;
  const tn_json *item = array->first;
  while (index--) item = item->next;
  return item;
}

const char *tn_json_kind_name(tn_json_kind kind) {
  static const char *const names[] = {"null", "boolean", "number", "string", "array", "object"};
  return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}

/* NULL when absent or null. */
static const tn_json *present(const tn_json *object, const char *key) {
  const tn_json *member = tn_json_get(object, key);
  return member && member->kind != TN_JSON_NULL ? member : NULL;
}

static tn_status fail_kind(const tn_json *found, const char *key, const char *wanted,
                           tn_error *err) {
  return tn_fail(err, TN_ERR_DATA, "\"%s\": expected %s, found %s", key, wanted,
                 tn_json_kind_name(found->kind));
}

tn_status tn_json_get_i64(const tn_json *object, const char *key, int64_t min, int64_t max,
                          int64_t *out, tn_error *err) {
  const tn_json *member = present(object, key);
  if (!member) return TN_OK;
  if (member->kind != TN_JSON_NUMBER) return fail_kind(member, key, "an integer", err);
  int64_t value = member->integer;
  if (!member->is_integer) { /* 1e3 and 12.0 are integers too */
    double number = member->number;
    if (!(number >= -0x1p53 && number <= 0x1p53) || number != (double)(int64_t)number)
      return tn_fail(err, TN_ERR_DATA, "\"%s\": expected an integer, found %.*s", key,
                     TN_STR_ARG(member->text));
    value = (int64_t)number;
  }
  if (value < min || value > max)
    return tn_fail(err, TN_ERR_DATA, "\"%s\": %lld is outside %lld to %lld", key, (long long)value,
                   (long long)min, (long long)max);
  *out = value;
  return TN_OK;
}

tn_status tn_json_get_f64(const tn_json *object, const char *key, double *out, tn_error *err) {
  const tn_json *member = present(object, key);
  if (!member) return TN_OK;
  if (member->kind != TN_JSON_NUMBER) return fail_kind(member, key, "a number", err);
  if (member->number - member->number != 0) /* infinite */
    return tn_fail(err, TN_ERR_DATA, "\"%s\": %.*s is outside the range of a double", key,
                   TN_STR_ARG(member->text));
  *out = member->number;
  return TN_OK;
}

tn_status tn_json_get_bool(const tn_json *object, const char *key, bool *out, tn_error *err) {
  const tn_json *member = present(object, key);
  if (!member) return TN_OK;
  if (member->kind != TN_JSON_BOOL) return fail_kind(member, key, "true or false", err);
  *out = member->boolean;
  return TN_OK;
}

tn_status tn_json_get_str(const tn_json *object, const char *key, tn_str *out, tn_error *err) {
  const tn_json *member = present(object, key);
  if (!member) return TN_OK;
  if (member->kind != TN_JSON_STRING) return fail_kind(member, key, "a string", err);
  *out = member->text;
  return TN_OK;
}
