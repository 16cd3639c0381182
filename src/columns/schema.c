/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/schema.h"

#include <stdio.h>

#define SCHEMA_DEPTH_MAX 64
static void release_schema(ArrowSchema *schema) {
  for (int64_t i = 0; schema->children && i < schema->n_children; i++) {
    tn_schema_clear(schema->children[i]); /* the consumer may have moved it away */
    tn_free(schema->children[i]);
  }
  tn_free(schema->children);
  tn_schema_clear(schema->dictionary);
  tn_free(schema->dictionary);
  tn_free(schema->private_data);
  schema->release = NULL;
}

int64_t tn_metadata_bytes(const char *metadata) {
  if (!metadata) return 0;
  int32_t pairs, length;
  memcpy(&pairs, metadata, 4);
  int64_t at = 4;
  for (int64_t i = 0; i < 2 * (int64_t)pairs; i++) {
    memcpy(&length, metadata + at, 4);
    at += 4 + (int64_t)length;
  }
  return at;
}

tn_str tn_metadata_next(const char *metadata, int64_t *at) {
  int32_t length;
  memcpy(&length, metadata + *at, 4);
  tn_str text = {metadata + *at + 4, (size_t)length};
  *at += 4 + (int64_t)length;
  return text;
}

/* One node without children.  Format, name and metadata are copied into one block. */
static tn_status node_init(ArrowSchema *out, const char *format, const char *name,
                           const char *metadata, int64_t flags, tn_error *err) {
  memset(out, 0, sizeof *out);
  size_t format_bytes = strlen(format) + 1, name_bytes = strlen(name) + 1;
  size_t metadata_bytes = (size_t)tn_metadata_bytes(metadata);
  size_t total = metadata_bytes + format_bytes + name_bytes;
  char *block = tn_alloc(total, 1);
  if (!block) return tn_fail_memory(err, "Arrow schema", total);
  if (metadata) out->metadata = memcpy(block, metadata, metadata_bytes);
  out->format = memcpy(block + metadata_bytes, format, format_bytes);
  out->name = memcpy(block + metadata_bytes + format_bytes, name, name_bytes);
  out->flags = flags;
  out->private_data = block;
  out->release = release_schema;
  return TN_OK;
}

tn_status tn_schema_add_children(ArrowSchema *schema, int64_t count, tn_error *err) {
  if (count == 0) return TN_OK;
  schema->children = tn_alloc((size_t)count, sizeof *schema->children);
  if (!schema->children) return tn_fail_memory(err, "Arrow schema", (size_t)count * 8);
  schema->n_children = count;
  for (int64_t i = 0; i < count; i++) {
    schema->children[i] = tn_alloc(1, sizeof(ArrowSchema));
    if (!schema->children[i]) return tn_fail_memory(err, "Arrow schema", sizeof(ArrowSchema));
  }
  return TN_OK;
}

tn_status tn_schema_add_dictionary(ArrowSchema *schema, tn_error *err) {
  schema->dictionary = tn_alloc(1, sizeof(ArrowSchema));
  return schema->dictionary ? TN_OK : tn_fail_memory(err, "Arrow schema", sizeof(ArrowSchema));
}

tn_status tn_schema_init(ArrowSchema *out, const char *format, const char *name, int64_t flags,
                         tn_error *err) {
  return node_init(out, format, name, NULL, flags, err);
}

tn_status tn_schema_init_type(ArrowSchema *out, const tn_type *type, const char *name,
                              int64_t flags, tn_error *err) {
  char format[TN_TYPE_FORMAT_BYTES];
  memset(out, 0, sizeof *out);
  if (type->id == TN_TYPE_TIMESTAMP && type->timezone.length > TN_TYPE_FORMAT_BYTES - 8)
    return tn_fail(err, TN_ERR_LIMIT, "a time zone's name of %zu bytes, limit %d",
                   type->timezone.length, TN_TYPE_FORMAT_BYTES - 8);
  tn_type_format(type, format);
  return node_init(out, format, name, NULL, flags, err);
}

tn_status tn_schema_init_flat(ArrowSchema *out, const char *const *names,
                              const char *const *formats, int64_t count, tn_error *err) {
  TN_TRY(node_init(out, "+s", "", NULL, 0, err));
  tn_status status = tn_schema_add_children(out, count, err);
  for (int64_t i = 0; status == TN_OK && i < count; i++)
    status = node_init(out->children[i], formats[i], names[i], NULL, ARROW_FLAG_NULLABLE, err);
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}

static tn_status schema_copy(ArrowSchema *out, const ArrowSchema *from, int32_t depth,
                             tn_error *err) {
  if (depth > SCHEMA_DEPTH_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "Arrow schema: nested deeper than %d", SCHEMA_DEPTH_MAX);
  TN_TRY(
      node_init(out, from->format, from->name ? from->name : "", from->metadata, from->flags, err));
  TN_TRY(tn_schema_add_children(out, from->n_children, err));
  for (int64_t i = 0; i < from->n_children; i++)
    TN_TRY(schema_copy(out->children[i], from->children[i], depth + 1, err));
  if (!from->dictionary) return TN_OK;
  TN_TRY(tn_schema_add_dictionary(out, err));
  return schema_copy(out->dictionary, from->dictionary, depth + 1, err);
}

tn_status tn_schema_copy(ArrowSchema *out, const ArrowSchema *from, tn_error *err) {
  memset(out, 0, sizeof *out);
  tn_status status = schema_copy(out, from, 0, err);
  if (status != TN_OK) tn_schema_clear(out);
  return status;
}

/* Gives a node new texts; children and dictionary stay. */
static tn_status set_texts(ArrowSchema *schema, const char *name, const char *metadata,
                           tn_error *err) {
  ArrowSchema fresh;
  TN_TRY(node_init(&fresh, schema->format, name, metadata, schema->flags, err));
  tn_free(schema->private_data);
  schema->format = fresh.format;
  schema->name = fresh.name;
  schema->metadata = fresh.metadata;
  schema->private_data = fresh.private_data;
  return TN_OK;
}

tn_status tn_schema_set_metadata(ArrowSchema *schema, const char *metadata, tn_error *err) {
  return set_texts(schema, schema->name, metadata, err);
}

tn_status tn_schema_set_name(ArrowSchema *schema, const char *name, tn_error *err) {
  return set_texts(schema, name, schema->metadata, err);
}

static void add_text(tn_strbuf *out, tn_str text) {
  int32_t length = (int32_t)text.length;
  tn_strbuf_append(out, &length, 4);
  tn_strbuf_add_str(out, text);
}

tn_status tn_schema_add_metadata(ArrowSchema *schema, tn_str key, tn_str value, tn_error *err) {
  if (key.length > INT32_MAX || value.length > INT32_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "metadata of %zu bytes, limit 2 GiB", value.length);
  tn_strbuf all = {0};
  int32_t pairs = 0;
  if (schema->metadata) memcpy(&pairs, schema->metadata, 4);
  pairs++;
  tn_strbuf_append(&all, &pairs, 4);
  add_text(&all, key);
  add_text(&all, value);
  int64_t old = tn_metadata_bytes(schema->metadata);
  if (old > 4) tn_strbuf_append(&all, schema->metadata + 4, (size_t)old - 4);
  tn_status status = tn_strbuf_check(&all, err);
  if (status == TN_OK) status = tn_schema_set_metadata(schema, all.data, err);
  tn_strbuf_clear(&all);
  return status;
}

tn_str tn_schema_metadata(const ArrowSchema *schema, const char *key) {
  int32_t pairs = 0;
  int64_t at = 4;
  if (schema->metadata) memcpy(&pairs, schema->metadata, 4);
  for (int32_t i = 0; i < pairs; i++) {
    tn_str name = tn_metadata_next(schema->metadata, &at);
    tn_str value = tn_metadata_next(schema->metadata, &at);
    if (tn_str_is(name, key)) return value;
  }
  return (tn_str){0};
}

static bool same_text(const char *a, const char *b) {
  return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_metadata(const char *a, const char *b) {
  int64_t bytes = tn_metadata_bytes(a);
  return bytes == tn_metadata_bytes(b) && (bytes == 0 || memcmp(a, b, (size_t)bytes) == 0);
}

bool tn_schema_equal(const ArrowSchema *a, const ArrowSchema *b, bool with_metadata) {
  if (!same_text(a->format, b->format) || !same_text(a->name, b->name) || a->flags != b->flags ||
      a->n_children != b->n_children || !a->dictionary != !b->dictionary)
    return false;
  if (with_metadata && !same_metadata(a->metadata, b->metadata)) return false;
  for (int64_t i = 0; i < a->n_children; i++)
    if (!tn_schema_equal(a->children[i], b->children[i], with_metadata)) return false;
  return !a->dictionary || tn_schema_equal(a->dictionary, b->dictionary, with_metadata);
}

int64_t tn_schema_find(const ArrowSchema *schema, const char *name) {
  for (int64_t i = 0; i < schema->n_children; i++)
    if (schema->children[i]->name && strcmp(schema->children[i]->name, name) == 0) return i;
  return -1;
}

void tn_schema_clear(ArrowSchema *schema) {
  if (schema && schema->release) schema->release(schema);
}

tn_status tn_schema_name_missing(const char *wanted, int64_t count,
                                 const char *(*name_at)(const void *names, int64_t i),
                                 const void *names, tn_error *err) {
  char known[300] = "";
  size_t used = 0;
  int64_t i = 0;
  for (; i < count && used < sizeof known - 70; i++)
    used += (size_t)snprintf(known + used, sizeof known - used, "%s%.60s", i ? ", " : "",
                             name_at(names, i));
  return tn_fail(err, TN_ERR_NOT_FOUND, "no column \"%.60s\" among %lld: %s%s", wanted,
                 (long long)count, known, i < count ? " ..." : "");
}

static const char *child_name(const void *schema, int64_t i) {
  return ((const ArrowSchema *)schema)->children[i]->name;
}

tn_status tn_schema_no_column(const ArrowSchema *schema, const char *wanted, tn_error *err) {
  return tn_schema_name_missing(wanted, schema->n_children, child_name, schema, err);
}
