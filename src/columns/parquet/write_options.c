/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/write_options.h"

#include "columns/parquet/codec.h"

enum {
  ROW_GROUP_ROWS = 122880,
  ROW_GROUP_BYTES = 64 << 20,
  PAGE_BYTES = 1 << 20,
  DICTIONARY_BYTES = 1 << 20,
  DICTIONARY_BYTES_MAX = 256 << 20,
  PAGE_BYTES_MAX = 1 << 30,
  TRAINING_PAGE_BYTES = 32 << 10, /* of the widest column */
  TRAINING_PAGE_ROWS_MAX = 1024,
};

#define X(id, name) name,
static const char *const encode_names[] = {TN_PARQUET_ENCODE_LIST(X)};
static const char *const store_as_names[] = {TN_PARQUET_STORE_AS_LIST(X)};
#undef X

static const char *name_at(const char *const *names, int32_t count, int32_t i,
                           const char *unknown) {
  return i >= 0 && i < count ? names[i] : unknown;
}

const char *tn_parquet_encode_name(tn_parquet_encode encode) {
  return name_at(encode_names, TN_PARQUET_ENCODE_COUNT, (int32_t)encode, "an unknown encoding");
}

const char *tn_parquet_store_as_name(tn_parquet_store_as as) {
  return name_at(store_as_names, TN_PARQUET_STORE_AS_COUNT, (int32_t)as, "an unknown form");
}

static tn_status in_range(const char *what, int64_t value, int64_t max, tn_error *err) {
  if (value > 0 && value <= max) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "%s of %lld; 1 to %lld are possible", what, (long long)value,
                 (long long)max);
}

static tn_status check_names(const tn_parquet_write_options *o, tn_error *err) {
  for (int32_t i = 0; i < o->column_count; i++) {
    const tn_parquet_column_options *c = &o->columns[i];
    if (!c->path) return tn_fail(err, TN_ERR_ARGUMENT, "column options %d have no path", i);
    if (c->bloom_probability < 0 || c->bloom_probability >= 1) {
      return tn_fail(err, TN_ERR_ARGUMENT,
                     "column \"%s\": false positives at %g; 0 to 1 is possible", c->path,
                     c->bloom_probability);
    }
    if (c->encoding < 0 || c->encoding >= TN_PARQUET_ENCODE_COUNT) {
      return tn_fail(err, TN_ERR_ARGUMENT, "column \"%s\": encoding number %d is unknown", c->path,
                     (int)c->encoding);
    }
  }
  for (int32_t i = 0; i < o->sort_key_count; i++) {
    if (!o->sort_keys[i].path) return tn_fail(err, TN_ERR_ARGUMENT, "sort key %d has no path", i);
  }
  for (int32_t i = 0; i < o->metadata_count; i++) {
    const char *key = o->metadata[i].key;
    if (!key) return tn_fail(err, TN_ERR_ARGUMENT, "metadata %d has no key", i);
    for (int32_t k = 0; k < i; k++)
      if (strcmp(o->metadata[k].key, key) == 0)
        return tn_fail(err, TN_ERR_ARGUMENT, "metadata: key \"%s\" is given twice", key);
  }
  return TN_OK;
}

tn_status tn_parquet_write_options_fill(tn_parquet_write_options *o, tn_error *err) {
  TN_TRY(tn_parquet_codec_check((int32_t)o->codec, err));
  TN_TRY(tn_parquet_level_check((int32_t)o->codec, o->level, err));
  bool training = o->profile == TN_PARQUET_PROFILE_TRAINING;
  if (o->profile != TN_PARQUET_PROFILE_SCAN && !training) {
    return tn_fail(err, TN_ERR_ARGUMENT, "profile number %d is unknown", (int)o->profile);
  }
  if (training && o->no_page_index) {
    return tn_fail(err, TN_ERR_ARGUMENT, "the training profile is nothing without a page index");
  }
  if (training && o->dictionary_bytes == 0) o->no_dictionary = true;
  if (o->row_group_rows == 0) o->row_group_rows = ROW_GROUP_ROWS;
  if (o->row_group_bytes == 0) o->row_group_bytes = ROW_GROUP_BYTES;
  if (o->page_bytes == 0) o->page_bytes = PAGE_BYTES;
  if (o->dictionary_bytes == 0) o->dictionary_bytes = DICTIONARY_BYTES;
  if (o->data_page_version == 0) o->data_page_version = 1;
  TN_TRY(in_range("row groups, in rows,", o->row_group_rows, INT32_MAX, err));
  TN_TRY(in_range("row groups, in bytes,", o->row_group_bytes, INT64_MAX, err));
  TN_TRY(in_range("pages, in bytes,", o->page_bytes, PAGE_BYTES_MAX, err));
  TN_TRY(in_range("dictionaries, in bytes,", o->dictionary_bytes, DICTIONARY_BYTES_MAX, err));
  TN_TRY(in_range("data page version", o->data_page_version, 2, err));
  if (o->page_rows != 0) TN_TRY(in_range("pages, in rows,", o->page_rows, INT32_MAX, err));
  return check_names(o, err);
}

/* ---- the training profile -------------------------------------------------------------------- */

static double byte_length(const tn_type *t, const ArrowArray *a) {
  if (a->length == 0 || a->n_buffers < 2 || !a->buffers[1]) return 1;
  double bytes = 16;
  if (t->layout == TN_LAYOUT_BYTES) {
    const int32_t *offsets = (const int32_t *)a->buffers[1] + a->offset;
    bytes = (double)offsets[a->length] - offsets[0];
  } else if (t->layout == TN_LAYOUT_LARGE_BYTES) {
    const int64_t *offsets = (const int64_t *)a->buffers[1] + a->offset;
    bytes = (double)offsets[a->length] - (double)offsets[0];
  } else { /* views: buffers that others may use too, so this is a guess from above */
    const int64_t *sizes = a->buffers[a->n_buffers - 1];
    for (int64_t i = 0; i < a->n_buffers - 3; i++) bytes += (double)sizes[i];
  }
  return bytes / (double)a->length + 4;
}

/* Bytes that a row of this array takes in the widest leaf below it, about. */
static double row_bytes(const tn_field *f, const ArrowArray *a) {
  if (f->dictionary) return row_bytes(f->dictionary, a->dictionary);
  if (tn_type_is_bytes(f->type.id) && f->type.bits == 0) return byte_length(&f->type, a);
  if (f->type.layout == TN_LAYOUT_RUN_END) return row_bytes(&f->children[1], a->children[1]);
  if (f->child_count == 0) return f->type.bits / 8.0;
  double widest = 0;
  for (int64_t i = 0; i < f->child_count; i++) {
    double bytes = row_bytes(&f->children[i], a->children[i]);
    if (bytes > widest) widest = bytes;
  }
  if (f->type.layout == TN_LAYOUT_STRUCT) return widest;
  double items = a->length ? (double)a->children[0]->length / (double)a->length : 1;
  return widest * items;
}

void tn_parquet_write_options_fit(tn_parquet_write_options *o, const tn_field *root,
                                  const ArrowArray *first) {
  if (o->profile == TN_PARQUET_PROFILE_TRAINING && o->page_rows == 0) {
    double widest = 1;
    for (int64_t i = 0; i < root->child_count; i++) {
      double bytes = row_bytes(&root->children[i], first->children[i]);
      if (bytes > widest) widest = bytes;
    }
    o->page_rows = 1;
    while (o->page_rows < TRAINING_PAGE_ROWS_MAX &&
           widest * (double)o->page_rows * 2 <= TRAINING_PAGE_BYTES) {
      o->page_rows *= 2;
    }
  }
  if (o->page_rows == 0) return;
  int64_t pages = o->row_group_rows / o->page_rows;
  o->row_group_rows = (pages ? pages : 1) * o->page_rows;
}

/* ---- options of columns ---------------------------------------------------------------------- */

/* Whether `path` is the leaf or something above it. */
static bool covers(const char *path, const tn_parquet_write_leaf *leaf) {
  size_t length = strlen(path);
  return strncmp(path, leaf->name, length) == 0 &&
         (leaf->name[length] == '\0' || leaf->name[length] == '.');
}

const tn_parquet_column_options *tn_parquet_options_for(const tn_parquet_write_options *o,
                                                        const tn_parquet_write_leaf *leaf) {
  for (int32_t i = o->column_count - 1; i >= 0; i--) {
    if (covers(o->columns[i].path, leaf)) return &o->columns[i];
  }
  return NULL;
}

int64_t tn_parquet_leaf_find(const tn_parquet_write_schema *schema, const char *path) {
  int64_t found = -1;
  for (int64_t i = 0; i < schema->leaf_count; i++) {
    if (strcmp(schema->leaves[i].name, path) != 0) continue;
    if (found >= 0) return -1;
    found = i;
  }
  return found;
}

static tn_status store_as_asked(const tn_parquet_write_options *o, tn_parquet_write_schema *schema,
                                tn_error *err) {
  for (int64_t i = 0; i < schema->leaf_count; i++) {
    const tn_parquet_column_options *column = tn_parquet_options_for(o, &schema->leaves[i]);
    if (column) TN_TRY(tn_parquet_write_schema_store_as(schema, i, column->as, err));
  }
  return TN_OK;
}

tn_status tn_parquet_options_apply(const tn_parquet_write_options *o,
                                   tn_parquet_write_schema *schema, tn_error *err) {
  for (int32_t i = 0; i < o->column_count; i++) {
    int64_t leaf = 0;
    while (leaf < schema->leaf_count && !covers(o->columns[i].path, &schema->leaves[leaf])) leaf++;
    if (leaf < schema->leaf_count) continue;
    return tn_fail(err, TN_ERR_NOT_FOUND, "options for column \"%s\", which is not there",
                   o->columns[i].path);
  }
  for (int32_t i = 0; i < o->sort_key_count; i++) {
    if (tn_parquet_leaf_find(schema, o->sort_keys[i].path) >= 0) continue;
    return tn_fail(err, TN_ERR_NOT_FOUND, "sort key \"%s\" is not one column",
                   o->sort_keys[i].path);
  }
  return store_as_asked(o, schema, err);
}
