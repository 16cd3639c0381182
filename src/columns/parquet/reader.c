/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "columns/parquet/column_reader.h"
#include "columns/parquet/file.h"

enum { BATCH_ROWS = 65536, BATCH_ROWS_MAX = 1 << 24 };

typedef struct parquet_scan {
  tn_parquet_file *file;
  bool owns_file;
  tn_parquet_column_reader *columns;
  ArrowArray *arrays; /* of the batch being read */
  int64_t column_count;
  int64_t batch_rows;
  int64_t group;      /* the next one */
  int64_t group_left; /* rows of the one before it not yet read */
  int64_t row;        /* of the file, the next to be read */
  const tn_row_range *ranges;
  int64_t range_count, range; /* the one being read */
  tn_arena offsets;           /* of the group's columns, when only a part of it is read */
  tn_parquet_codecs codecs;
} parquet_scan;

static void scan_free(void *self) {
  parquet_scan *scan = self;
  if (!scan) return;
  for (int64_t i = 0; i < scan->column_count; i++) {
    tn_parquet_column_reader_clear(&scan->columns[i]);
  }
  tn_parquet_codecs_clear(&scan->codecs);
  tn_arena_clear(&scan->offsets);
  tn_free(scan->columns);
  tn_free(scan->arrays);
  if (scan->owns_file) tn_parquet_close(scan->file);
  tn_free(scan);
}

/* ---- which columns --------------------------------------------------------------------------- */

static tn_status unreadable(const tn_parquet_file *file, const tn_parquet_leaf *leaf,
                            tn_error *err) {
  return tn_fail(err, TN_ERR_UNSUPPORTED,
                 "%s: column \"%s\" (%s): %s is not supported; other columns can be read by name",
                 file->source->name, leaf->name, tn_parquet_physical_name(leaf->element->physical),
                 leaf->why_not);
}

/* Is `name` the field that a nested leaf belongs to: "a" of "a.list.element"? */
static bool is_parent(const char *name, const tn_parquet_leaf *leaf) {
  size_t length = strlen(name);
  return strncmp(leaf->name, name, length) == 0 && leaf->name[length] == '.';
}

static tn_status find_leaf(const tn_parquet_file *file, const char *name,
                           const tn_parquet_leaf **out, tn_error *err) {
  const tn_parquet_leaf *found = NULL;
  for (int64_t i = 0; i < file->leaf_count && !found; i++) {
    if (strcmp(file->leaves[i].name, name) == 0) found = &file->leaves[i];
  }
  for (int64_t i = 0; i < file->leaf_count && !found; i++) {
    if (is_parent(name, &file->leaves[i])) found = &file->leaves[i];
  }
  if (found) {
    *out = found;
    return found->why_not ? unreadable(file, found, err) : TN_OK;
  }
  char names[300] = "";
  size_t used = 0;
  for (int64_t i = 0; i < file->leaf_count && used < sizeof names - 1; i++) {
    used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                             file->leaves[i].name);
  }
  return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no column \"%s\"; it has %s%s", file->source->name,
                 name, names, used < sizeof names - 1 ? "" : "...");
}

static tn_status choose_leaf(const tn_parquet_file *file, const tn_parquet_read_options *options,
                             int64_t index, const tn_parquet_leaf **out, tn_error *err) {
  if (options->columns) return find_leaf(file, options->columns[index], out, err);
  *out = &file->leaves[index];
  return (*out)->why_not ? unreadable(file, *out, err) : TN_OK;
}

static tn_status check_ranges(const tn_parquet_file *file, const tn_parquet_read_options *options,
                              tn_error *err) {
  int64_t end = 0;
  for (int64_t i = 0; options->ranges && i < options->range_count; i++) {
    const tn_row_range *r = &options->ranges[i];
    if (r->first_row < end || r->rows < 0 || r->rows > file->footer.rows - r->first_row)
      return tn_fail(
          err, TN_ERR_ARGUMENT, "%s: rows %lld to %lld are asked for behind row %lld, of %lld",
          file->source->name, (long long)r->first_row, (long long)r->first_row + (long long)r->rows,
          (long long)end, (long long)file->footer.rows);
    end = r->first_row + r->rows;
  }
  return TN_OK;
}

static tn_status init_columns(parquet_scan *scan, const tn_parquet_read_options *options,
                              tn_error *err) {
  tn_parquet_file *file = scan->file;
  int64_t count = options->columns ? options->column_count : file->leaf_count;
  scan->columns = tn_alloc((size_t)count, sizeof *scan->columns);
  scan->arrays = tn_alloc((size_t)count, sizeof *scan->arrays);
  if (!scan->columns || !scan->arrays) {
    return tn_fail_memory(err, "a Parquet scan's columns", (size_t)count * sizeof *scan->columns);
  }
  scan->column_count = count;
  for (int64_t i = 0; i < count; i++) {
    tn_parquet_column_reader *column = &scan->columns[i];
    TN_TRY(choose_leaf(file, options, i, &column->leaf, err));
    column->pages.source = file->source;
    column->pages.codecs = &scan->codecs;
    column->pages.skip_crc = options->skip_crc;
    column->pages.page_bytes_max = options->page_bytes_max;
    if (column->pages.page_bytes_max == 0) column->pages.page_bytes_max = (int64_t)1 << 30;
  }
  return TN_OK;
}

/* ---- batches --------------------------------------------------------------------------------- */

static tn_status in_column(const parquet_scan *scan, const tn_parquet_column_reader *column,
                           tn_status status, tn_error *err) {
  return tn_error_context(err, status, "%s: row group %lld: column \"%s\"",
                          scan->file->source->name, (long long)scan->group, column->leaf->name);
}

/* The chunk's pages, held against the file's size. */
static tn_status chunk_span(const tn_parquet_file *file, const tn_parquet_chunk_meta *chunk,
                            int64_t *at, int64_t *end, tn_error *err) {
  int64_t start = chunk->data_offset;
  /* Some writers give 0 for "none". */
  if (chunk->dictionary_offset > 0 && chunk->dictionary_offset < start) {
    start = chunk->dictionary_offset;
  }
  if (start < 4 || start > file->data_end || chunk->compressed_bytes > file->data_end - start) {
    return tn_fail(err, TN_ERR_DATA,
                   "pages of %lld bytes at byte %lld, but the file's data end at byte %lld",
                   (long long)chunk->compressed_bytes, (long long)start, (long long)file->data_end);
  }
  *at = start;
  *end = start + chunk->compressed_bytes;
  return TN_OK;
}

static tn_status start_cipher(parquet_scan *scan, const tn_parquet_chunk_meta *chunk,
                              tn_parquet_column_reader *column, tn_error *err) {
  tn_parquet_pages *pages = &column->pages;
  tn_parquet_cipher_clear(&pages->cipher);
  if (chunk->encryption == TN_PARQUET_PLAINTEXT) return TN_OK;
  bool dictionary = chunk->dictionary_offset > 0 && chunk->dictionary_offset < chunk->data_offset;
  pages->ordinal = dictionary ? -1 : 0;
  int64_t group = tn_parquet_group_ordinal(&scan->file->footer, scan->group);
  return tn_parquet_cipher_start(&pages->cipher, scan->file->crypt, group,
                                 column->leaf - scan->file->leaves, err);
}

static tn_status start_column(parquet_scan *scan, const tn_parquet_group_meta *group,
                              tn_parquet_column_reader *column, tn_error *err) {
  const tn_parquet_chunk_meta *chunk = &group->chunks[column->leaf - scan->file->leaves];
  int64_t at = 0, end = 0;
  TN_TRY(start_cipher(scan, chunk, column, err));
  if (chunk->elsewhere) return tn_fail(err, TN_ERR_UNSUPPORTED, "its data are in another file");
  if (chunk->physical != column->leaf->element->physical) {
    return tn_fail(err, TN_ERR_DATA, "the column chunk is of type number %d, the schema says %s",
                   chunk->physical, tn_parquet_physical_name(column->leaf->element->physical));
  }
  if (chunk->values != group->rows) {
    return tn_fail(err, TN_ERR_DATA, "%lld values in a row group of %lld rows",
                   (long long)chunk->values, (long long)group->rows);
  }
  TN_TRY(chunk_span(scan->file, chunk, &at, &end, err));
  return tn_parquet_column_reader_start(column, chunk, at, end, err);
}

/* Without an index, or with a damaged one, the pages are read one behind the other. */
static tn_status load_offsets(parquet_scan *scan, tn_parquet_column_reader *column, tn_error *err) {
  tn_parquet_offset_index *index = tn_arena_alloc(&scan->offsets, 1, sizeof *index);
  if (!index) return tn_fail_memory(err, "an offset index", sizeof *index);
  tn_status status = tn_parquet_offset_index_read(
      index, scan->file, scan->group, column->leaf - scan->file->leaves, &scan->offsets, err);
  if (status == TN_ERR_MEMORY || status == TN_ERR_IO) return status;
  if (status == TN_OK && index->page_count > 0) column->offsets = index;
  return TN_OK;
}

/* Does the range being read hold all of the group that begins at scan->row? */
static bool is_whole(const parquet_scan *scan, int64_t rows) {
  if (!scan->ranges) return true;
  const tn_row_range *range = &scan->ranges[scan->range];
  return range->first_row <= scan->row && range->first_row + range->rows >= scan->row + rows;
}

static tn_status start_group(parquet_scan *scan, tn_error *err) {
  const tn_parquet_group_meta *group = &scan->file->footer.groups[scan->group];
  tn_arena_reset(&scan->offsets);
  /* An empty row group may have chunks that begin nowhere. */
  for (int64_t i = 0; i < scan->column_count && group->rows > 0; i++) {
    tn_status status = start_column(scan, group, &scan->columns[i], err);
    if (status == TN_OK && !is_whole(scan, group->rows))
      status = load_offsets(scan, &scan->columns[i], err);
    if (status != TN_OK) return in_column(scan, &scan->columns[i], status, err);
  }
  scan->group_left = group->rows;
  scan->group++;
  return TN_OK;
}

static tn_status read_batch(parquet_scan *scan, int64_t rows, ArrowArray *out, tn_error *err) {
  for (int64_t i = 0; i < scan->column_count; i++) {
    tn_parquet_column_reader *column = &scan->columns[i];
    tn_status status = tn_parquet_column_reader_next(column, rows, &scan->arrays[i], err);
    if (status == TN_OK) continue;
    scan->group--; /* name the group that was being read */
    status = in_column(scan, column, status, err);
    scan->group++;
    return status;
  }
  return tn_batch_new(out, scan->arrays, scan->column_count, rows, err);
}

static tn_status skip_rows(parquet_scan *scan, int64_t rows, tn_error *err) {
  for (int64_t i = 0; i < scan->column_count; i++) {
    tn_status status = tn_parquet_column_reader_skip(&scan->columns[i], rows, err);
    if (status == TN_OK) continue;
    scan->group--;
    status = in_column(scan, &scan->columns[i], status, err);
    scan->group++;
    return status;
  }
  scan->group_left -= rows;
  scan->row += rows;
  return TN_OK;
}

/* Moves to the next row that is wanted; row groups without one are not started.  TN_END: none. */
static tn_status find_row(parquet_scan *scan, tn_error *err) {
  const tn_parquet_footer *footer = &scan->file->footer;
  for (;;) {
    while (scan->ranges && scan->range < scan->range_count &&
           scan->ranges[scan->range].first_row + scan->ranges[scan->range].rows <= scan->row)
      scan->range++;
    if (scan->ranges && scan->range == scan->range_count) return TN_END;
    int64_t ahead = scan->ranges ? scan->ranges[scan->range].first_row - scan->row : 0;
    if (scan->group_left > 0) {
      int64_t passed = ahead < scan->group_left ? ahead : scan->group_left;
      if (passed > 0) TN_TRY(skip_rows(scan, passed, err));
      if (scan->group_left > 0) return TN_OK;
    } else if (scan->group == footer->group_count) {
      return TN_END;
    } else if (ahead > 0 && ahead >= footer->groups[scan->group].rows) {
      scan->row += footer->groups[scan->group++].rows;
    } else {
      TN_TRY(start_group(scan, err));
    }
  }
}

static tn_status scan_next(void *self, ArrowArray *out, tn_error *err) {
  parquet_scan *scan = self;
  TN_TRY(find_row(scan, err));
  int64_t rows = scan->group_left < scan->batch_rows ? scan->group_left : scan->batch_rows;
  if (scan->ranges) {
    const tn_row_range *range = &scan->ranges[scan->range];
    int64_t wanted = range->first_row + range->rows - scan->row;
    if (rows > wanted) rows = wanted;
  }
  tn_status status = read_batch(scan, rows, out, err);
  for (int64_t i = 0; i < scan->column_count; i++) tn_array_clear(&scan->arrays[i]);
  if (status != TN_OK) return status;
  scan->group_left -= rows;
  scan->row += rows;
  return TN_OK;
}

static tn_status scan_schema(void *self, ArrowSchema *out, tn_error *err) {
  parquet_scan *scan = self;
  const tn_parquet_leaf **leaves = tn_alloc((size_t)scan->column_count, sizeof *leaves);
  if (!leaves) return tn_fail_memory(err, "a schema", (size_t)scan->column_count * sizeof *leaves);
  for (int64_t i = 0; i < scan->column_count; i++) leaves[i] = scan->columns[i].leaf;
  tn_status status = tn_parquet_schema_of(leaves, scan->column_count, out, err);
  tn_free((void *)leaves);
  return status;
}

static const tn_reader_ops scan_ops = {scan_schema, scan_next, scan_free};

/* On failure the file stays the caller's. */
static tn_status open_scan(tn_parquet_file *file, const tn_parquet_read_options *options,
                           parquet_scan **out, tn_error *err) {
  tn_parquet_read_options defaults = {0};
  if (!options) options = &defaults;
  int64_t batch_rows = options->batch_rows ? options->batch_rows : BATCH_ROWS;
  if (batch_rows < 0 || batch_rows > BATCH_ROWS_MAX || options->page_bytes_max < 0) {
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: batches of %lld rows; 1 to %d are possible",
                   file->source->name, (long long)batch_rows, BATCH_ROWS_MAX);
  }
  TN_TRY(check_ranges(file, options, err));
  parquet_scan *scan = tn_alloc(1, sizeof *scan);
  if (!scan) return tn_fail_memory(err, "a Parquet scan", sizeof *scan);
  scan->file = file;
  scan->batch_rows = batch_rows;
  scan->ranges = options->ranges;
  scan->range_count = options->range_count;
  tn_status status = init_columns(scan, options, err);
  if (status != TN_OK) {
    scan_free(scan);
    return status;
  }
  *out = scan;
  return TN_OK;
}

tn_status tn_parquet_scan(tn_parquet_file *file, const tn_parquet_read_options *options,
                          ArrowArrayStream *out, tn_error *err) {
  parquet_scan *scan;
  TN_TRY(open_scan(file, options, &scan, err));
  tn_status status = tn_stream_new(out, &scan_ops, scan, err);
  return status;
}

tn_status tn_parquet_read(ArrowArrayStream *out, tn_source *source,
                          const tn_parquet_read_options *options, tn_error *err) {
  tn_parquet_file *file;
  parquet_scan *scan;
  TN_TRY(tn_parquet_open_keys(&file, source, options ? options->keys : NULL, err));
  tn_status status = open_scan(file, options, &scan, err);
  if (status != TN_OK) {
    tn_parquet_close(file);
    return status;
  }
  scan->owns_file = true;
  return tn_stream_new(out, &scan_ops, scan, err);
}
