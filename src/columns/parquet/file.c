/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/file.h"

#include "columns/parquet/codec.h"
#include "columns/parquet/bytes.h"
#include "columns/parquet/projection.h"

enum { FOOTER_BYTES_MAX = 256 << 20, ARENA_BYTES_MIN = 16 << 20, ARENA_GROWTH_MAX = 96 };

/* ---- opening --------------------------------------------------------------------------------- */

static tn_status check_magic(const tn_source *source, const char *bytes, const char *place,
                             tn_error *err) {
  if (memcmp(bytes, "PAR1", 4) == 0 || memcmp(bytes, "PARE", 4) == 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: not a Parquet file: it does not %s with \"PAR1\"",
                 source->name, place);
}

static tn_status find_footer(tn_source *source, int64_t *at, size_t *bytes, bool *encrypted,
                             tn_error *err) {
  char head[4], tail[8];
  if (source->size_bytes < 0) {
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: Parquet is read from its end; a pipe cannot be read so", source->name);
  }
  if (source->size_bytes < 12) {
    return tn_fail(err, TN_ERR_DATA, "%s: not a Parquet file: %lld bytes are too few", source->name,
                   (long long)source->size_bytes);
  }
  TN_TRY(source->read_at(source, 0, head, sizeof head, err));
  TN_TRY(source->read_at(source, source->size_bytes - 8, tail, sizeof tail, err));
  TN_TRY(check_magic(source, head, "begin", err));
  TN_TRY(check_magic(source, tail + 4, "end", err));
  if (memcmp(head, tail + 4, 4) != 0) {
    return tn_fail(err, TN_ERR_DATA, "%s: begins with \"%.4s\" and ends with \"%.4s\"",
                   source->name, head, tail + 4);
  }
  int64_t length = tn_load_u32(tail), room = source->size_bytes - 12;
  if (length > room) {
    return tn_fail(err, TN_ERR_DATA, "%s: the footer says %lld bytes, the file has %lld for it",
                   source->name, (long long)length, (long long)room);
  }
  if (length > FOOTER_BYTES_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "%s: a footer of %lld bytes, limit %d", source->name,
                   (long long)length, FOOTER_BYTES_MAX);
  }
  *encrypted = memcmp(tail + 4, "PARE", 4) == 0;
  *bytes = (size_t)length;
  *at = source->size_bytes - 8 - length;
  return TN_OK;
}

/* Some writers leave the file's own row count at 0; the row groups' counts are what is read by. */
static tn_status check_groups(tn_parquet_file *file, tn_error *err) {
  tn_parquet_footer *footer = &file->footer;
  int64_t rows = 0;
  for (int64_t g = 0; g < footer->group_count; g++) {
    const tn_parquet_group_meta *group = &footer->groups[g];
    if (group->chunk_count != file->leaf_count) {
      return tn_fail(err, TN_ERR_DATA, "row group %lld has %lld column chunks, the schema %lld",
                     (long long)g, (long long)group->chunk_count, (long long)file->leaf_count);
    }
    if (__builtin_add_overflow(rows, group->rows, &rows)) rows = -1;
  }
  if (file->leaf_count == 0 && rows != 0) {
    return tn_fail(err, TN_ERR_DATA, "%lld rows without a column", (long long)rows);
  }
  if (footer->rows == 0 && rows > 0) footer->rows = rows;
  if (rows == footer->rows) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "the footer says %lld rows, its row groups %lld",
                 (long long)footer->rows, (long long)rows);
}

/* Parses the footer, behind its encryption if it has one. */
static tn_status parse_footer(tn_parquet_file *file, const uint8_t *data, size_t bytes,
                              bool encrypted, const tn_parquet_keys *keys, tn_error *err) {
  tn_buffer *plain = NULL;
  if (!encrypted) {
    TN_TRY(tn_parquet_footer_parse(&file->footer, &file->arena, data, bytes, file->data_end, err));
    if (!file->footer.encrypted) return TN_OK;
    return tn_parquet_crypt_open_plain(&file->crypt, &file->footer, data, bytes, keys, err);
  }
  TN_TRY(
      tn_parquet_crypt_open_footer(&file->crypt, data, bytes, file->data_end, keys, &plain, err));
  tn_buffer_drop(file->footer_bytes);
  file->footer_bytes = plain;
  return tn_parquet_footer_parse(&file->footer, &file->arena, plain->data, plain->bytes, 0, err);
}

static tn_status open_columns(tn_parquet_file *file, const tn_parquet_keys *keys, tn_error *err) {
  if (!file->crypt) return TN_OK;
  size_t count = (size_t)file->leaf_count;
  const char **names = tn_arena_alloc(&file->arena, count, sizeof *names);
  if (!names) return tn_fail_memory(err, "the columns' names", count * sizeof *names);
  for (size_t i = 0; i < count; i++) names[i] = file->leaves[i].name;
  return tn_parquet_crypt_open_columns(file->crypt, &file->footer, &file->arena, names,
                                       file->leaf_count, keys, err);
}

static tn_status read_schema(tn_parquet_file *file, tn_parquet_int96 int96, tn_error *err) {
  tn_parquet_tree *tree = &file->tree;
  TN_TRY(tn_parquet_tree_new(tree, &file->footer, int96, &file->arena, err));
  file->leaves = tree->leaves;
  file->leaf_count = tree->leaf_count;
  return tn_parquet_arrow_schema(tree, &file->footer, &file->arena, &file->schema, err);
}

static tn_status read_footer(tn_parquet_file *file, const tn_parquet_open_options *o,
                             tn_error *err) {
  const uint8_t *data;
  size_t bytes = 0;
  bool encrypted = false;
  TN_TRY(find_footer(file->source, &file->data_end, &bytes, &encrypted, err));
  TN_TRY(
      file->source->view_at(file->source, file->data_end, bytes, &file->footer_bytes, &data, err));
  /* Real metadata grows about fivefold as structs. */
  file->arena.limit_bytes = ARENA_BYTES_MIN + bytes * ARENA_GROWTH_MAX;
  tn_status status = parse_footer(file, data, bytes, encrypted, o->keys, err);
  if (status == TN_OK) status = read_schema(file, o->int96, err);
  if (status == TN_OK) status = check_groups(file, err);
  if (status == TN_OK) status = open_columns(file, o->keys, err);
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "%s: footer at byte %lld", file->source->name,
                          (long long)file->data_end);
}

tn_status tn_parquet_open(tn_parquet_file **out, tn_source *source, tn_error *err) {
  return tn_parquet_open_with(out, source, NULL, err);
}

tn_status tn_parquet_open_with(tn_parquet_file **out, tn_source *source,
                               const tn_parquet_open_options *options, tn_error *err) {
  static const tn_parquet_open_options defaults;
  tn_parquet_file *file = tn_alloc(1, sizeof *file);
  if (!file) {
    tn_source_close(source);
    return tn_fail_memory(err, "a Parquet file", sizeof *file);
  }
  file->source = source;
  tn_status status = read_footer(file, options ? options : &defaults, err);
  if (status != TN_OK) {
    tn_parquet_close(file);
    return status;
  }
  *out = file;
  return TN_OK;
}

void tn_parquet_close(tn_parquet_file *file) {
  if (!file) return;
  tn_parquet_crypt_free(file->crypt);
  tn_schema_clear(&file->schema);
  tn_buffer_drop(file->footer_bytes);
  tn_parquet_offset_indexes_drop(file);
  tn_arena_clear(&file->arena);
  tn_source_close(file->source);
  tn_free(file);
}

/* ---- what it says ---------------------------------------------------------------------------- */

const char *tn_parquet_name(const tn_parquet_file *file) {
  return file->source->name;
}
int64_t tn_parquet_rows(const tn_parquet_file *file) {
  return file->footer.rows;
}
int64_t tn_parquet_row_groups(const tn_parquet_file *file) {
  return file->footer.group_count;
}
int64_t tn_parquet_bytes_read(const tn_parquet_file *file) {
  return file->source->bytes_read;
}
int64_t tn_parquet_columns(const tn_parquet_file *file) {
  return file->leaf_count;
}
const char *tn_parquet_created_by(const tn_parquet_file *file) {
  return file->footer.created_by;
}
int64_t tn_parquet_group_rows(const tn_parquet_file *file, int64_t group) {
  return file->footer.groups[group].rows;
}

tn_status tn_parquet_schema(const tn_parquet_file *file, ArrowSchema *out, tn_error *err) {
  tn_parquet_projection all;
  tn_arena arena = {0};
  tn_status status = tn_parquet_projection_new(&all, file, NULL, 0, false, &arena, err);
  if (status == TN_OK) status = tn_schema_copy(out, &all.schema, err);
  if (status != TN_OK) status = tn_error_context(err, status, "%s", file->source->name);
  tn_parquet_projection_clear(&all);
  tn_arena_clear(&arena);
  return status;
}
