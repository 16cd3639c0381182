/* SPDX-License-Identifier: Apache-2.0 */
#include "train/yaml.h"

#include <yaml.h>

typedef struct walker {
  const char *name;
  yaml_document_t *document;
  tn_yaml_visit visit;
  void *context;
} walker;

static int32_t line_of(const yaml_node_t *node) {
  return (int32_t)node->start_mark.line + 1;
}

static tn_str scalar_text(const yaml_node_t *node) {
  return (tn_str){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static bool same_scalar(const yaml_node_t *a, const yaml_node_t *b) {
  return b->type == YAML_SCALAR_NODE && tn_str_equal(scalar_text(a), scalar_text(b));
}

static tn_status refuse_repeat(const walker *w, const yaml_node_t *mapping,
                               const yaml_node_pair_t *pair, tn_error *err) {
  const yaml_node_t *key = yaml_document_get_node(w->document, pair->key);
  for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start; p < pair; p++) {
    const yaml_node_t *other = yaml_document_get_node(w->document, p->key);
    if (same_scalar(key, other))
      return tn_fail(err, TN_ERR_DATA, "%s:%d: %.*s: written twice, first on line %d", w->name,
                     line_of(key), TN_STR_ARG(scalar_text(key)), line_of(other));
  }
  return TN_OK;
}

/* Appends ".key" to the path; returns its new length, or fails when there is no room. */
static tn_status extend_path(const walker *w, char *path, size_t *length, const yaml_node_t *key,
                             tn_error *err) {
  if (key->type != YAML_SCALAR_NODE)
    return tn_fail(err, TN_ERR_DATA, "%s:%d: a key must be one word", w->name, line_of(key));
  tn_str text = scalar_text(key);
  size_t want = *length + (*length ? 1 : 0) + text.length;
  if (want >= TN_YAML_PATH_BYTES || memchr(text.data, 0, text.length))
    return tn_fail(err, TN_ERR_DATA, "%s:%d: a key of %zu bytes, limit %d with all above it",
                   w->name, line_of(key), text.length, TN_YAML_PATH_BYTES - 1);
  if (*length) path[(*length)++] = '.';
  memcpy(path + *length, text.data, text.length);
  path[want] = '\0';
  *length = want;
  return TN_OK;
}

/* The key's line is the value's line: an empty value has no place of its own. */
static tn_status visit_scalar(const walker *w, const char *path, const yaml_node_t *key,
                              const yaml_node_t *value, tn_error *err) {
  tn_yaml_scalar scalar = {
      .path = path,
      .text = scalar_text(value),
      .quoted = value->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
      .line = line_of(key),
  };
  if (scalar.text.length == 0 && !scalar.quoted)
    return tn_fail(err, TN_ERR_DATA, "%s:%d: %s: has no value", w->name, scalar.line, path);
  return w->visit(w->context, &scalar, err);
}

static tn_status walk_mapping(const walker *w, const yaml_node_t *mapping, char *path,
                              size_t length, int32_t depth, tn_error *err) {
  const yaml_node_pair_t *end = mapping->data.mapping.pairs.top;
  for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < end; pair++) {
    const yaml_node_t *key = yaml_document_get_node(w->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(w->document, pair->value);
    size_t child = length;
    TN_TRY(extend_path(w, path, &child, key, err));
    TN_TRY(refuse_repeat(w, mapping, pair, err));
    if (value->type == YAML_SCALAR_NODE) {
      TN_TRY(visit_scalar(w, path, key, value, err));
    } else if (value->type == YAML_MAPPING_NODE) {
      if (depth + 1 >= TN_YAML_DEPTH_MAX)
        return tn_fail(err, TN_ERR_DATA, "%s:%d: %s: nested deeper than %d levels", w->name,
                       line_of(key), path, TN_YAML_DEPTH_MAX);
      TN_TRY(walk_mapping(w, value, path, child, depth + 1, err));
    } else {
      return tn_fail(err, TN_ERR_DATA, "%s:%d: %s: is a list, wants one value", w->name,
                     line_of(key), path);
    }
    path[length] = '\0';
  }
  return TN_OK;
}

static tn_status fail_syntax(const yaml_parser_t *parser, const char *name, tn_error *err) {
  if (parser->error == YAML_MEMORY_ERROR)
    return tn_fail(err, TN_ERR_MEMORY, "%s: out of memory while reading YAML", name);
  return tn_fail(err, TN_ERR_DATA, "%s:%zu: not YAML: %s", name, parser->problem_mark.line + 1,
                 parser->problem ? parser->problem : "unreadable");
}

static tn_status refuse_second_document(yaml_parser_t *parser, const char *name, tn_error *err) {
  yaml_document_t second;
  if (!yaml_parser_load(parser, &second)) return fail_syntax(parser, name, err);
  const yaml_node_t *root = yaml_document_get_root_node(&second);
  tn_status status = TN_OK;
  if (root)
    status = tn_fail(err, TN_ERR_DATA, "%s:%d: a second document begins, wants one", name,
                     line_of(root));
  yaml_document_delete(&second);
  return status;
}

static tn_status walk_document(yaml_parser_t *parser, walker *w, tn_error *err) {
  const yaml_node_t *root = yaml_document_get_root_node(w->document);
  if (!root) return tn_fail(err, TN_ERR_DATA, "%s: is empty", w->name);
  if (root->type != YAML_MAPPING_NODE)
    return tn_fail(err, TN_ERR_DATA, "%s:%d: wants `key: value` lines", w->name, line_of(root));
  char path[TN_YAML_PATH_BYTES] = "";
  TN_TRY(walk_mapping(w, root, path, 0, 0, err));
  return refuse_second_document(parser, w->name, err);
}

tn_status tn_yaml_walk(const char *name, tn_str text, tn_yaml_visit visit, void *context,
                       tn_error *err) {
  yaml_parser_t parser;
  yaml_document_t document;
  if (!yaml_parser_initialize(&parser))
    return tn_fail(err, TN_ERR_MEMORY, "%s: out of memory while reading YAML", name);
  yaml_parser_set_input_string(&parser, (const unsigned char *)(text.data ? text.data : ""),
                               text.length);
  tn_status status;
  if (!yaml_parser_load(&parser, &document)) {
    status = fail_syntax(&parser, name, err);
  } else {
    walker w = {.name = name, .document = &document, .visit = visit, .context = context};
    status = walk_document(&parser, &w, err);
    yaml_document_delete(&document);
  }
  yaml_parser_delete(&parser);
  return status;
}
