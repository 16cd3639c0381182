/* SPDX-License-Identifier: Apache-2.0 */
/* The Arrow schema of a file: from its nodes, and from the schema that its writer may have kept. */
#include <stdio.h>

#include "columns/ipc_format.h"
#include "columns/ipc_schema.h"
#include "columns/parquet/bytes.h"
#include "columns/parquet/geo.h"
#include "columns/parquet/schema.h"

#define SCHEMA_KEY    "ARROW:schema"
#define EXTENSION_KEY "ARROW:extension:name"
#define EXTENSION_ARG "ARROW:extension:metadata"
#define FIELD_ID_KEY  "PARQUET:field_id"

enum { SCHEMA_BYTES_MAX = 64 << 20 };

/* ---- the schema that the writer kept --------------------------------------------------------- */

static int32_t base64_digit(uint8_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* TN_END: not base64. */
static tn_status decode_base64(tn_str text, tn_parquet_bytes *out, tn_error *err) {
  uint32_t word = 0, digits = 0;
  if (text.length > SCHEMA_BYTES_MAX) return TN_END;
  TN_TRY(tn_parquet_bytes_reserve(out, text.length, err));
  for (size_t i = 0; i < text.length && text.data[i] != '='; i++) {
    int32_t digit = base64_digit((uint8_t)text.data[i]);
    if (digit < 0) return TN_END;
    word = word << 6 | (uint32_t)digit;
    if (++digits % 4 == 0) {
      for (int shift = 16; shift >= 0; shift -= 8)
        out->data[out->length++] = (uint8_t)(word >> shift);
      word = 0;
    }
  }
  if (digits % 4 == 2) out->data[out->length++] = (uint8_t)(word >> 4);
  if (digits % 4 == 3) {
    out->data[out->length++] = (uint8_t)(word >> 10);
    out->data[out->length++] = (uint8_t)(word >> 2);
  }
  return TN_OK;
}

/* An encapsulated IPC message of a schema; anything else: TN_END. */
static tn_status parse_message(const tn_parquet_bytes *message, tn_ipc_schema *out, tn_error *err) {
  const uint8_t *data = message->data;
  size_t bytes = message->length;
  if (bytes < 8) return TN_END;
  if (tn_load_u32(data) == UINT32_MAX) data += 4, bytes -= 4; /* not before Arrow 0.15 */
  size_t length = tn_load_u32(data);
  if (length > bytes - 4) return TN_END;
  tn_flat_view view = {.data = data + 4, .bytes = length};
  tn_flat_table root = tn_flat_root(&view);
  if (tn_flat_int(&root, TN_IPC_MESSAGE_HEADER_TYPE, 1, 0) != TN_IPC_HEADER_SCHEMA) return TN_END;
  tn_flat_table schema = tn_flat_get_table(&root, TN_IPC_MESSAGE_HEADER);
  if (view.bad) return TN_END;
  tn_status status = tn_ipc_schema_read(out, &schema, err);
  if (status == TN_ERR_MEMORY) return status;
  return status == TN_OK && !view.bad ? TN_OK : TN_END;
}

static const tn_parquet_pair *find_pair(const tn_parquet_footer *footer, const char *key) {
  for (uint32_t i = 0; i < footer->pair_count; i++) {
    if (tn_str_is(footer->pairs[i].key, key)) return &footer->pairs[i];
  }
  return NULL;
}

/* It counts only when it has the file's columns, by name and in order. */
static bool fits(const tn_parquet_tree *tree, const ArrowSchema *kept) {
  if (kept->n_children != tree->root.child_count) return false;
  for (int64_t i = 0; i < kept->n_children; i++) {
    if (strcmp(kept->children[i]->name, tree->root.children[i].name) != 0) return false;
  }
  return true;
}

/* TN_END: there is none that is of use. */
static tn_status read_kept(const tn_parquet_tree *tree, const tn_parquet_footer *footer,
                           tn_ipc_schema *out, tn_error *err) {
  const tn_parquet_pair *pair = find_pair(footer, SCHEMA_KEY);
  tn_parquet_bytes message = {0};
  if (!pair || !pair->has_value) return TN_END;
  tn_status status = decode_base64(pair->value, &message, err);
  if (status == TN_OK) status = parse_message(&message, out, err);
  if (status == TN_OK && !fits(tree, &out->schema)) status = TN_END;
  tn_parquet_bytes_clear(&message);
  return status;
}

/* ---- choosing types after it ----------------------------------------------------------------- */

static bool is_one_of(const char *format, const char *const *list) {
  while (*list && strcmp(*list, format) != 0) list++;
  return *list != NULL;
}

/* Text for text, binary for binary, whatever the layout. */
static bool same_bytes(const char *ours, const char *kept) {
  static const char *const text[] = {"u", "U", "vu", NULL}, *const binary[] = {"z", "Z", "vz",
                                                                               NULL};
  return is_one_of(kept, ours[0] == 'u' ? text : binary);
}

static tn_status choose_decimal(tn_parquet_leaf *leaf, tn_arena *arena, const char *kept,
                                tn_error *err) {
  tn_type type;
  if (tn_type_parse(kept, &type, NULL) != TN_OK || !tn_type_is_decimal(type.id)) return TN_OK;
  if (type.precision != leaf->type.precision || type.scale != leaf->type.scale) return TN_OK;
  return tn_parquet_leaf_set_format(leaf, arena, kept, err);
}

/* The zone is the writer's, the unit the file's. */
static tn_status choose_zone(tn_parquet_leaf *leaf, tn_arena *arena, const char *kept,
                             tn_error *err) {
  char format[TN_TYPE_FORMAT_BYTES];
  if (strncmp(kept, "ts", 2) != 0 || strlen(kept) < 5 || strlen(kept) >= sizeof format) {
    return TN_OK;
  }
  snprintf(format, sizeof format, "ts%c:%s", leaf->format[2], kept + 4);
  return tn_parquet_leaf_set_format(leaf, arena, format, err);
}

static tn_status choose_leaf(tn_parquet_leaf *leaf, tn_arena *arena, const ArrowSchema *kept,
                             tn_error *err) {
  const char *format = kept->format;
  if (leaf->form == TN_PARQUET_FORM_BYTES && kept->dictionary) {
    leaf->dictionary = same_bytes(leaf->format, kept->dictionary->format);
    return TN_OK;
  }
  if (kept->dictionary) return TN_OK;
  if (leaf->form == TN_PARQUET_FORM_BYTES && same_bytes(leaf->format, format)) {
    return tn_parquet_leaf_set_format(leaf, arena, format, err);
  }
  if (tn_type_is_decimal(leaf->type.id)) return choose_decimal(leaf, arena, format, err);
  if (leaf->type.id == TN_TYPE_INT64 && strncmp(format, "tD", 2) == 0) {
    return tn_parquet_leaf_set_format(leaf, arena, format, err);
  }
  if (leaf->type.id == TN_TYPE_TIMESTAMP && leaf->type.timezone.length) {
    return choose_zone(leaf, arena, format, err);
  }
  return TN_OK;
}

static void choose_list(tn_parquet_node *node, const char *kept) {
  tn_type type;
  if (tn_type_parse(kept, &type, NULL) != TN_OK) return;
  switch (type.layout) {
    case TN_LAYOUT_FIXED_LIST:
      node->list_size = type.size;
      node->layout = type.layout;
      break;
    case TN_LAYOUT_LARGE_LIST:
    case TN_LAYOUT_LIST_VIEW:
    case TN_LAYOUT_LARGE_LIST_VIEW:
      node->layout = type.layout;
      break;
    default:
      break;
  }
}

static bool is_same_kind(const tn_parquet_node *node, const ArrowSchema *kept) {
  const char *f = kept->format;
  if (kept->dictionary) return node->kind == TN_PARQUET_NODE_LEAF;
  if (kept->n_children != node->child_count) return false;
  switch (node->kind) {
    case TN_PARQUET_NODE_LEAF:
      return true;
    case TN_PARQUET_NODE_STRUCT:
      return strcmp(f, "+s") == 0;
    case TN_PARQUET_NODE_MAP:
      return strcmp(f, "+m") == 0;
    default:
      return strcmp(f, "+l") == 0 || strcmp(f, "+L") == 0 || strncmp(f, "+w:", 3) == 0 ||
             strcmp(f, "+vl") == 0 || strcmp(f, "+vL") == 0;
  }
}

static tn_status choose(tn_parquet_tree *tree, tn_parquet_node *node, tn_arena *arena,
                        const ArrowSchema *kept, tn_error *err) {
  if (!is_same_kind(node, kept)) return TN_OK;
  if (node->kind == TN_PARQUET_NODE_LEAF) {
    return choose_leaf(&tree->leaves[node->leaf], arena, kept, err);
  }
  if (node->kind == TN_PARQUET_NODE_LIST) choose_list(node, kept->format);
  for (int64_t i = 0; i < node->child_count; i++) {
    TN_TRY(choose(tree, &node->children[i], arena, kept->children[i], err));
  }
  return TN_OK;
}

/* ---- making it ------------------------------------------------------------------------------- */

static void node_format(const tn_parquet_tree *tree, const tn_parquet_node *node, char *out,
                        size_t room) {
  static const char *const lists[] = {[TN_LAYOUT_LIST] = "+l",
                                      [TN_LAYOUT_LARGE_LIST] = "+L",
                                      [TN_LAYOUT_LIST_VIEW] = "+vl",
                                      [TN_LAYOUT_LARGE_LIST_VIEW] = "+vL"};
  const tn_parquet_leaf *leaf = &tree->leaves[node->leaf];
  if (node->kind == TN_PARQUET_NODE_LEAF) {
    snprintf(out, room, "%s", leaf->dictionary ? "i" : leaf->format);
  } else if (node->layout == TN_LAYOUT_FIXED_LIST) {
    snprintf(out, room, "+w:%d", node->list_size);
  } else if (node->kind == TN_PARQUET_NODE_LIST) {
    snprintf(out, room, "%s", lists[node->layout]);
  } else {
    snprintf(out, room, "%s", node->kind == TN_PARQUET_NODE_MAP ? "+m" : "+s");
  }
}

static tn_status copy_metadata(ArrowSchema *out, const char *metadata, bool with_extension,
                               tn_error *err) {
  if (!metadata) return TN_OK;
  int64_t at = 4, bytes = tn_metadata_bytes(metadata);
  while (at < bytes) {
    tn_str key = tn_metadata_next(metadata, &at), value = tn_metadata_next(metadata, &at);
    if (!with_extension && tn_str_starts(key, TN_STR("ARROW:extension:"))) continue;
    TN_TRY(tn_schema_add_metadata(out, key, value, err));
  }
  return TN_OK;
}

static tn_status add_extension(ArrowSchema *out, const char *name, tn_str argument, tn_error *err) {
  if (tn_schema_metadata(out, EXTENSION_KEY).data) return TN_OK;
  TN_TRY(tn_schema_add_metadata(out, TN_STR(EXTENSION_ARG), argument, err));
  return tn_schema_add_metadata(out, TN_STR(EXTENSION_KEY), tn_str_of(name), err);
}

static tn_status add_geo_extension(const tn_parquet_leaf *leaf, const tn_parquet_footer *footer,
                                   ArrowSchema *out, tn_error *err) {
  tn_strbuf argument = {0};
  tn_parquet_geo_metadata(&leaf->element->logical, footer->pairs, footer->pair_count, &argument);
  tn_status status = tn_strbuf_check(&argument, err);
  if (status == TN_OK) {
    status = add_extension(out, TN_GEOARROW_WKB, tn_strbuf_view(&argument), err);
  }
  tn_strbuf_clear(&argument);
  return status;
}

/* Logical types that Arrow knows as extension types, or not at all. */
static tn_status add_logical_extension(const tn_parquet_leaf *leaf, const tn_parquet_footer *footer,
                                       ArrowSchema *out, tn_error *err) {
  const tn_parquet_logical *l = &leaf->element->logical;
  bool geo = l->kind == TN_PARQUET_LOGICAL_GEOMETRY || l->kind == TN_PARQUET_LOGICAL_GEOGRAPHY;
  if (geo && leaf->form == TN_PARQUET_FORM_BYTES && !leaf->dictionary) {
    return add_geo_extension(leaf, footer, out, err);
  }
  bool bytes = leaf->element->physical == TN_PARQUET_BYTE_ARRAY;
  if (bytes && (l->kind == TN_PARQUET_LOGICAL_ENUM || l->kind == TN_PARQUET_LOGICAL_BSON)) {
    const char *name = l->kind == TN_PARQUET_LOGICAL_ENUM ? "ENUM" : "BSON";
    if (tn_schema_metadata(out, TN_PARQUET_LOGICAL_KEY).data) return TN_OK;
    return tn_schema_add_metadata(out, TN_STR(TN_PARQUET_LOGICAL_KEY), tn_str_of(name), err);
  }
  if (l->kind == TN_PARQUET_LOGICAL_UUID && leaf->type.size == 16) {
    return add_extension(out, "arrow.uuid", TN_STR(""), err);
  }
  if (l->kind == TN_PARQUET_LOGICAL_JSON && tn_type_is_text(leaf->type.id) && !leaf->dictionary) {
    return add_extension(out, "arrow.json", TN_STR(""), err);
  }
  return TN_OK;
}

static tn_status add_metadata(const tn_parquet_tree *tree, const tn_parquet_footer *footer,
                              const tn_parquet_node *node, const ArrowSchema *kept,
                              ArrowSchema *out, tn_error *err) {
  const tn_parquet_element *e = node->element;
  if (kept) {
    bool same = strcmp(kept->format, out->format) == 0 && !kept->dictionary == !out->dictionary;
    TN_TRY(copy_metadata(out, kept->metadata, same, err));
  }
  if (e->has_field_id) {
    char id[16];
    snprintf(id, sizeof id, "%d", e->field_id);
    TN_TRY(tn_schema_add_metadata(out, TN_STR(FIELD_ID_KEY), tn_str_of(id), err));
  }
  if (node->kind != TN_PARQUET_NODE_LEAF) return TN_OK;
  return add_logical_extension(&tree->leaves[node->leaf], footer, out, err);
}

static tn_status make(const tn_parquet_tree *tree, const tn_parquet_footer *footer,
                      tn_parquet_node *node, const ArrowSchema *kept, ArrowSchema *out,
                      tn_error *err) {
  char format[TN_TYPE_FORMAT_BYTES];
  const tn_parquet_leaf *leaf = &tree->leaves[node->leaf];
  node_format(tree, node, format, sizeof format);
  TN_TRY(tn_schema_init(out, format, node->name, node->nullable ? ARROW_FLAG_NULLABLE : 0, err));
  node->schema = out;
  if (node->kind == TN_PARQUET_NODE_LEAF && leaf->dictionary) {
    TN_TRY(tn_schema_add_dictionary(out, err));
    TN_TRY(tn_schema_init(out->dictionary, leaf->format, "", ARROW_FLAG_NULLABLE, err));
    /* Never ordered: values come in the order of the rows. */
  }
  if (kept && !is_same_kind(node, kept)) kept = NULL;
  if (kept && node->kind == TN_PARQUET_NODE_MAP)
    out->flags |= kept->flags & ARROW_FLAG_MAP_KEYS_SORTED;
  TN_TRY(add_metadata(tree, footer, node, kept, out, err));
  if (node->child_count == 0) return TN_OK;
  TN_TRY(tn_schema_add_children(out, node->child_count, err));
  for (int64_t i = 0; i < node->child_count; i++) {
    const ArrowSchema *child = kept ? kept->children[i] : NULL;
    TN_TRY(make(tree, footer, &node->children[i], child, out->children[i], err));
  }
  return TN_OK;
}

/* All of the file's key-value metadata but the schema itself. */
static tn_status add_file_metadata(const tn_parquet_footer *footer, ArrowSchema *out,
                                   tn_error *err) {
  for (uint32_t i = footer->pair_count; i-- > 0;) {
    const tn_parquet_pair *pair = &footer->pairs[i];
    if (tn_str_is(pair->key, SCHEMA_KEY) || !pair->has_value) continue;
    TN_TRY(tn_schema_add_metadata(out, pair->key, pair->value, err));
  }
  return TN_OK;
}

static tn_status describe_leaf(tn_parquet_leaf *leaf, const char *name, tn_arena *arena,
                               tn_error *err) {
  tn_field values = {.name = name, .type = leaf->type, .nullable = true};
  tn_field field = values;
  tn_strbuf text = {0};
  if (leaf->dictionary) {
    TN_TRY(tn_type_parse("i", &field.type, err));
    field.dictionary = &values;
  }
  tn_field_text(&field, &text);
  if (!text.failed) leaf->text = tn_arena_strndup(arena, text.data ? text.data : "", text.length);
  tn_strbuf_clear(&text);
  return leaf->text ? TN_OK : tn_fail_memory(err, "a column's type", 0);
}

tn_status tn_parquet_arrow_schema(tn_parquet_tree *tree, const tn_parquet_footer *footer,
                                  tn_arena *arena, ArrowSchema *out, tn_error *err) {
  tn_ipc_schema kept = {0};
  tn_status status = read_kept(tree, footer, &kept, err);
  const ArrowSchema *origin = status == TN_OK ? &kept.schema : NULL;
  if (status == TN_END) status = TN_OK;
  for (int64_t i = 0; origin && i < tree->root.child_count && status == TN_OK; i++) {
    status = choose(tree, &tree->root.children[i], arena, origin->children[i], err);
  }
  if (status == TN_OK) status = make(tree, footer, &tree->root, origin, out, err);
  if (status == TN_OK) status = add_file_metadata(footer, out, err);
  for (int64_t i = 0; i < tree->leaf_count && status == TN_OK; i++) {
    status = describe_leaf(&tree->leaves[i], tree->leaves[i].name, arena, err);
  }
  tn_ipc_schema_clear(&kept);
  return status;
}
