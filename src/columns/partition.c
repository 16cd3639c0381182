/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/partition.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "columns/gather.h"
#include "columns/value.h"

enum { OPEN_DEFAULT = 64, PATH_BYTES_MAX = 3072 };

typedef struct place { /* one folder of files */
  const char *path;    /* "country=DE/year=2024"; "" for rows alone */
  tn_table_writer *writer;
  int64_t rows;     /* in the open file */
  int64_t parts;    /* files begun */
  int64_t used;     /* when it was last written to */
  int64_t row_from; /* of the batch at hand: its rows in `order` */
  int64_t row_count;
} place;

struct tn_partition {
  char *folder;    /* final */
  char *temporary; /* NULL: moved to the final name */
  bool replace;
  tn_table_write_options write;
  tn_progress *progress;
  const char *extension;
  int64_t rows_max, files, bytes, not_finite, nested_deltas, clock;
  int32_t open_count, open_max;
  tn_arena arena;
  ArrowSchema schema; /* of the table that comes */
  ArrowSchema kept;   /* of the files: without the columns of the path */
  tn_field *fields;   /* of schema */
  int32_t by[TN_PARTITION_BY_MAX], by_count;
  int64_t *columns; /* of the files, as indices of the table's */
  tn_map found;     /* path -> place */
  place *places;
  size_t place_room;
  int64_t place_count;
  int64_t *open;              /* the open_count places that have a file open */
  int64_t *row_place, *order; /* of the batch at hand */
  size_t row_room, order_room;
};

/* ---- making ---- */
/* Also when there is no such folder. */
static bool is_empty(const char *folder) {
  DIR *dir = opendir(folder);
  if (!dir) return true;
  int64_t entries = 0;
  while (readdir(dir)) entries++;
  closedir(dir);
  return entries <= 2; /* "." and ".." */
}

/* Whether replacing `folder` would remove anything but parts of a table: files named part-... or
 * _... (others' notes), in folders named A=value.  A folder named by mistake stays. */
static tn_status check_parts(const char *folder, int depth, tn_error *err) {
  DIR *dir = opendir(folder);
  if (!dir) return errno == ENOENT ? TN_OK : tn_fail_errno(err, errno, "%s: cannot open", folder);
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  for (struct dirent *at; status == TN_OK && (at = readdir(dir));) {
    tn_str name = tn_str_of(at->d_name);
    if (tn_str_is(name, ".") || tn_str_is(name, "..")) continue;
    tn_strbuf_reset(&path);
    tn_strbuf_addf(&path, "%s/%s", folder, at->d_name);
    status = tn_strbuf_check(&path, err);
    if (status != TN_OK) break;
    struct stat info;
    bool is_folder = lstat(path.data, &info) == 0 && S_ISDIR(info.st_mode);
    bool part = tn_str_starts(name, tn_str_of("part-")) || *name.data == '_';
    if (is_folder && depth > 0 && memchr(name.data, '=', name.length))
      status = check_parts(path.data, depth - 1, err);
    else if (is_folder || !part)
      status = tn_fail(err, TN_ERR_EXISTS,
                       "%s is no part of a table, so its folder is not replaced; remove it first",
                       path.data);
  }
  closedir(dir);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status choose_folder(tn_partition *p, const char *folder, tn_error *err) {
  size_t length = strlen(folder);
  while (length > 1 && folder[length - 1] == '/') length--;
  p->folder = tn_strndup(folder, length);
  if (!p->folder) return tn_fail_memory(err, "a path", length);
  if (tn_file_exists(p->folder))
    return tn_fail(err, TN_ERR_EXISTS, "%s is a file; a folder of parts was asked for", p->folder);
  if (!p->replace && !is_empty(p->folder))
    return tn_fail(err, TN_ERR_EXISTS, "%s: the folder is there and not empty", p->folder);
  if (p->replace) TN_TRY(check_parts(p->folder, TN_PARTITION_BY_MAX, err));
  const char *slash = strrchr(p->folder, '/');
  int above = slash ? (int)(slash - p->folder) : 0;
  if (above > 0) {
    char *parent = tn_strndup(p->folder, (size_t)above);
    tn_status status = parent ? tn_dir_make(parent, err) : tn_fail_memory(err, "a path", length);
    tn_free(parent);
    TN_TRY(status);
  }
  tn_strbuf name = {0};
  tn_strbuf_addf(&name, "%.*s%s.%s.part-XXXXXX", above, p->folder, slash ? "/" : "",
                 slash ? slash + 1 : p->folder);
  tn_status status = tn_strbuf_check(&name, err);
  if (status == TN_OK && !mkdtemp(name.data))
    status = tn_fail_errno(err, errno, "%s: cannot make the folder", name.data);
  if (status == TN_OK && chmod(name.data, 0755) == 0) p->temporary = name.data;
  if (!p->temporary) tn_strbuf_clear(&name);
  return status;
}

static tn_status choose_columns(tn_partition *p, const tn_partition_options *o, tn_error *err) {
  for (int32_t i = 0; i < o->by_count; i++) {
    int64_t column = tn_schema_find(&p->schema, o->by[i]);
    if (column < 0)
      return tn_fail(err, TN_ERR_NOT_FOUND, "the table has no column \"%s\"", o->by[i]);
    if (tn_type_is_nested(p->fields->children[column].type.id))
      return tn_fail(err, TN_ERR_UNSUPPORTED,
                     "column \"%s\" is nested: no folder is named after it", o->by[i]);
    p->by[p->by_count++] = (int32_t)column;
  }
  int64_t kept = 0;
  p->columns = tn_arena_alloc(&p->arena, (size_t)p->schema.n_children + 1, sizeof *p->columns);
  if (!p->columns) return tn_fail_memory(err, "columns", (size_t)p->schema.n_children * 8);
  for (int64_t c = 0; c < p->schema.n_children; c++) {
    bool in_path = false;
    for (int32_t i = 0; i < p->by_count; i++) in_path = in_path || p->by[i] == c;
    if (!in_path) p->columns[kept++] = c;
  }
  if (kept == 0) return tn_fail(err, TN_ERR_ARGUMENT, "every column is in the path: none is left");
  TN_TRY(tn_schema_init(&p->kept, "+s", "", 0, err));
  TN_TRY(tn_schema_add_children(&p->kept, kept, err));
  for (int64_t c = 0; c < kept; c++)
    TN_TRY(tn_schema_copy(p->kept.children[c], p->schema.children[p->columns[c]], err));
  return tn_schema_set_metadata(&p->kept, p->schema.metadata, err);
}

static tn_status set_up(tn_partition *p, const char *folder, const ArrowSchema *schema,
                        const tn_partition_options *o, tn_error *err) {
  tn_table_format format;
  p->replace = o->replace;
  p->rows_max = o->rows;
  p->open_max = o->open_max > 0 ? o->open_max : OPEN_DEFAULT;
  if (p->open_max > TN_PARTITION_FOLDERS_MAX) p->open_max = TN_PARTITION_FOLDERS_MAX;
  if (o->write) p->write = *o->write;
  p->progress = o->progress;
  if (!p->write.format) p->write.format = tn_table_format_name(TN_TABLE_PARQUET);
  TN_TRY(tn_table_format_chosen("part", p->write.format, &format, err));
  p->extension = tn_table_format_extension(format);
  p->open = tn_arena_alloc(&p->arena, (size_t)p->open_max, sizeof *p->open);
  if (!p->open) return tn_fail_memory(err, "open files", (size_t)p->open_max * sizeof *p->open);
  TN_TRY(tn_schema_copy(&p->schema, schema, err));
  TN_TRY(tn_field_tree(&p->fields, &p->arena, &p->schema, err));
  TN_TRY(choose_columns(p, o, err));
  return choose_folder(p, folder, err);
}

tn_status tn_partition_new(tn_partition **out, const char *folder, const ArrowSchema *schema,
                           const tn_partition_options *options, tn_error *err) {
  *out = NULL;
  tn_partition *p = tn_alloc(1, sizeof *p);
  if (!p) return tn_fail_memory(err, "partitions", sizeof *p);
  tn_status status = set_up(p, folder, schema, options, err);
  if (status != TN_OK) {
    tn_partition_free(p);
    return status;
  }
  *out = p;
  return TN_OK;
}

/* ---- files ---- */
/* One batch may be thousands of files: whoever waits is told, and may stop it. */
static tn_status show_files(tn_partition *p, tn_error *err) {
  if (!p->progress) return TN_OK;
  snprintf(p->progress->note, sizeof p->progress->note, "%lld files", (long long)p->files);
  return tn_progress_at(p->progress, p->progress->done, err);
}

static void forget_open(tn_partition *p, int64_t index) {
  int32_t i = 0;
  while (p->open[i] != index) i++;
  p->open[i] = p->open[--p->open_count];
}

static tn_status close_file(tn_partition *p, place *at, tn_error *err) {
  tn_status status = tn_table_writer_finish(at->writer, err);
  if (status == TN_OK) {
    p->bytes += tn_table_writer_bytes(at->writer);
    p->not_finite += tn_table_writer_not_finite(at->writer);
    p->nested_deltas += tn_table_writer_nested_deltas(at->writer);
    p->files++;
  }
  tn_table_writer_free(at->writer);
  at->writer = NULL;
  at->rows = 0;
  forget_open(p, at - p->places);
  return status == TN_OK ? show_files(p, err) : status;
}

static tn_status close_oldest(tn_partition *p, tn_error *err) {
  place *oldest = NULL;
  for (int32_t i = 0; i < p->open_count; i++) {
    place *at = &p->places[p->open[i]];
    if (!oldest || at->used < oldest->used) oldest = at;
  }
  return oldest ? close_file(p, oldest, err) : TN_OK;
}

static tn_status open_file(tn_partition *p, place *at, tn_error *err) {
  if (p->open_count >= p->open_max) TN_TRY(close_oldest(p, err));
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/%s", p->temporary, at->path);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK && at->parts == 0) status = tn_dir_make(path.data, err);
  tn_strbuf_addf(&path, "%spart-%05lld%s", at->path[0] ? "/" : "", (long long)at->parts,
                 p->extension);
  if (status == TN_OK) status = tn_strbuf_check(&path, err);
  if (status == TN_OK)
    status = tn_table_writer_new(&at->writer, path.data, &p->kept, &p->write, err);
  tn_strbuf_clear(&path);
  TN_TRY(status);
  at->parts++;
  p->open[p->open_count++] = at - p->places;
  return TN_OK;
}

static void no_release(ArrowArray *a) {
  a->release = NULL;
}

/* Rows [from, from + count) of some columns, borrowed from an array that outlives the call. */
typedef struct borrowed {
  ArrowArray batch, *children, **pointers;
  const void *buffers[1];
} borrowed;

static tn_status borrow(borrowed *b, const ArrowArray *batch, const int64_t *columns, int64_t count,
                        int64_t from, int64_t rows, tn_error *err) {
  *b = (borrowed){0};
  b->children = tn_alloc((size_t)count, sizeof *b->children);
  b->pointers = tn_alloc((size_t)count, sizeof *b->pointers);
  if (!b->children || !b->pointers) {
    tn_free(b->children);
    tn_free(b->pointers);
    return tn_fail_memory(err, "a slice of a batch", (size_t)count * sizeof *b->children);
  }
  for (int64_t c = 0; c < count; c++) {
    b->children[c] = *batch->children[columns ? columns[c] : c];
    b->children[c].offset += from + batch->offset;
    b->children[c].length = rows;
    if (b->children[c].null_count != 0) b->children[c].null_count = -1;
    b->children[c].release = no_release;
    b->pointers[c] = &b->children[c];
  }
  b->batch = (ArrowArray){.length = rows,
                          .n_buffers = 1,
                          .n_children = count,
                          .buffers = b->buffers,
                          .children = b->pointers,
                          .release = no_release};
  return TN_OK;
}

static void give_back(borrowed *b) {
  tn_free(b->children);
  tn_free(b->pointers);
}

/* Rows of the batch into the place's files, a new one after rows_max. */
static tn_status write_rows(tn_partition *p, place *at, const ArrowArray *batch,
                            const int64_t *columns, int64_t column_count, tn_error *err) {
  at->used = ++p->clock;
  for (int64_t from = 0; from < batch->length;) {
    if (!at->writer) TN_TRY(open_file(p, at, err));
    int64_t rows = batch->length - from;
    if (p->rows_max > 0 && rows > p->rows_max - at->rows) rows = p->rows_max - at->rows;
    borrowed part;
    TN_TRY(borrow(&part, batch, columns, column_count, from, rows, err));
    tn_status status = tn_table_writer_batch(at->writer, &part.batch, err);
    give_back(&part);
    TN_TRY(status);
    at->rows += rows;
    from += rows;
    if (p->rows_max > 0 && at->rows >= p->rows_max) TN_TRY(close_file(p, at, err));
  }
  return TN_OK;
}

/* ---- places by value ---- */
static bool plain_byte(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != 0 && c < 0x80 && strchr(" .-_:+@", c)) || c >= 0x80;
}

static void add_escaped(tn_strbuf *out, tn_str text) {
  for (size_t i = 0; i < text.length; i++) {
    uint8_t c = (uint8_t)text.data[i];
    if (plain_byte(c))
      tn_strbuf_add_char(out, (char)c);
    else
      tn_strbuf_addf(out, "%%%02X", c);
  }
}

/* "country=DE/year=2024" of one row. */
static void add_key(const tn_partition *p, const ArrowArray *batch, int64_t row, tn_strbuf *text,
                    tn_strbuf *key) {
  tn_strbuf_reset(key);
  for (int32_t i = 0; i < p->by_count; i++) {
    const tn_field *field = &p->fields->children[p->by[i]];
    const ArrowArray *column = batch->children[p->by[i]];
    if (i) tn_strbuf_add_char(key, '/');
    add_escaped(key, tn_str_of(field->name));
    tn_strbuf_add_char(key, '=');
    if (tn_value_is_null(field, column, row + batch->offset)) {
      tn_strbuf_add(key, "__HIVE_DEFAULT_PARTITION__");
      continue;
    }
    tn_strbuf_reset(text);
    tn_value_text(field, column, row + batch->offset, text);
    add_escaped(key, tn_strbuf_view(text));
    if (text->failed) key->failed = true;
  }
}

static tn_status add_place(tn_partition *p, tn_str key, uint64_t *index, tn_error *err) {
  if (p->place_count >= TN_PARTITION_FOLDERS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: more than %d different values to make folders of",
                   p->folder, TN_PARTITION_FOLDERS_MAX);
  if (key.length > PATH_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: a value makes a path of %zu bytes, limit %d", p->folder,
                   key.length, PATH_BYTES_MAX);
  TN_TRY(tn_grow((void **)&p->places, &p->place_room, (size_t)p->place_count + 1, sizeof *p->places,
                 err));
  char *path = tn_arena_strndup(&p->arena, key.data ? key.data : "", key.length);
  if (!path) return tn_fail_memory(err, "a path", key.length);
  *index = (uint64_t)p->place_count;
  if (p->by_count) TN_TRY(tn_map_put(&p->found, key, *index, err));
  p->places[p->place_count++] = (place){.path = path};
  return TN_OK;
}

/* row_place[row]: the index of each row's place; row_count of each place. */
static tn_status find_places(tn_partition *p, const ArrowArray *batch, tn_error *err) {
  TN_TRY(tn_grow((void **)&p->row_place, &p->row_room, (size_t)batch->length, 8, err));
  TN_TRY(tn_grow((void **)&p->order, &p->order_room, (size_t)batch->length, 8, err));
  for (int64_t i = 0; i < p->place_count; i++) p->places[i].row_count = 0;
  tn_strbuf key = {0}, text = {0};
  tn_status status = TN_OK;
  for (int64_t row = 0; row < batch->length && status == TN_OK; row++) {
    uint64_t index;
    add_key(p, batch, row, &text, &key);
    status = tn_strbuf_check(&key, err);
    if (status == TN_OK && !tn_map_get(&p->found, tn_strbuf_view(&key), &index))
      status = add_place(p, tn_strbuf_view(&key), &index, err);
    if (status != TN_OK) break;
    p->row_place[row] = (int64_t)index;
    p->places[index].row_count++;
  }
  tn_strbuf_clear(&key);
  tn_strbuf_clear(&text);
  return status;
}

/* The rows of one place as a batch of their own. */
static tn_status gather_rows(tn_partition *p, const place *at, const ArrowArray *batch,
                             ArrowArray *out, tn_error *err) {
  int64_t count = p->kept.n_children;
  ArrowArray *columns = tn_alloc((size_t)count, sizeof *columns);
  if (!columns) return tn_fail_memory(err, "columns", (size_t)count * sizeof *columns);
  tn_status status = TN_OK;
  for (int64_t c = 0; c < count && status == TN_OK; c++)
    status = tn_array_gather(&columns[c], &p->fields->children[p->columns[c]],
                             batch->children[p->columns[c]], p->order + at->row_from, at->row_count,
                             err);
  if (status == TN_OK) status = tn_batch_new(out, columns, count, at->row_count, err);
  for (int64_t c = 0; c < count; c++) tn_array_clear(&columns[c]);
  tn_free(columns);
  return status;
}

static tn_status write_by_value(tn_partition *p, const ArrowArray *batch, tn_error *err) {
  TN_TRY(find_places(p, batch, err));
  int64_t from = 0;
  for (int64_t i = 0; i < p->place_count; i++) {
    p->places[i].row_from = from;
    from += p->places[i].row_count;
    p->places[i].row_count = 0;
  }
  for (int64_t row = 0; row < batch->length; row++) {
    place *at = &p->places[p->row_place[row]];
    p->order[at->row_from + at->row_count++] = row + batch->offset;
  }
  for (int64_t i = 0; i < p->place_count; i++) {
    place *at = &p->places[i];
    if (at->row_count == 0) continue;
    if (at->row_count == batch->length)
      return write_rows(p, at, batch, p->columns, p->kept.n_children, err);
    ArrowArray rows = {0};
    TN_TRY(gather_rows(p, at, batch, &rows, err));
    tn_status status = write_rows(p, at, &rows, NULL, p->kept.n_children, err);
    tn_array_clear(&rows);
    TN_TRY(status);
  }
  return TN_OK;
}

tn_status tn_partition_batch(tn_partition *p, const ArrowArray *batch, tn_error *err) {
  if (p->by_count) return write_by_value(p, batch, err);
  uint64_t index;
  if (p->place_count == 0) TN_TRY(add_place(p, (tn_str){0}, &index, err));
  return write_rows(p, &p->places[0], batch, p->columns, p->kept.n_children, err);
}

/* ---- the end ---- */
static tn_status rename_folder(tn_partition *p, bool there, tn_error *err) {
  if (there && renameat2(AT_FDCWD, p->temporary, AT_FDCWD, p->folder, RENAME_EXCHANGE) != 0)
    return tn_fail_errno(err, errno, "%s: cannot be replaced as one", p->folder);
  if (!there && rename(p->temporary, p->folder) != 0)
    return tn_fail_errno(err, errno, "%s: cannot be moved to its final name", p->folder);
  return TN_OK;
}

/* The temporary folder takes the final name; what was there goes only after that (at the latest in
 * free). */
static tn_status move_folder(tn_partition *p, tn_error *err) {
  bool there = p->replace && tn_dir_exists(p->folder); /* else an empty folder is renamed over */
  const char *slash = strrchr(p->folder, '/');
  char *above = slash && slash > p->folder ? tn_strndup(p->folder, (size_t)(slash - p->folder))
                                           : tn_strndup(slash ? "/" : ".", 1);
  if (!above) return tn_fail_memory(err, "a path", strlen(p->folder));
  tn_status status = rename_folder(p, there, err);
  if (status == TN_OK && !there) {
    tn_free(p->temporary);
    p->temporary = NULL;
  }
  if (status == TN_OK) status = tn_dir_sync(above, err);
  tn_free(above);
  return status;
}

tn_status tn_partition_finish(tn_partition *p, tn_error *err) {
  uint64_t index;
  if (!p->by_count && p->place_count == 0) { /* no rows: the schema is still worth a file */
    TN_TRY(add_place(p, (tn_str){0}, &index, err));
    TN_TRY(open_file(p, &p->places[0], err));
  }
  for (int64_t i = 0; i < p->place_count; i++)
    if (p->places[i].writer) TN_TRY(close_file(p, &p->places[i], err));
  return move_folder(p, err);
}

int64_t tn_partition_files(const tn_partition *p) {
  return p->files;
}

int64_t tn_partition_not_finite(const tn_partition *p) {
  return p->not_finite;
}

int64_t tn_partition_nested_deltas(const tn_partition *p) {
  return p->nested_deltas;
}

int64_t tn_partition_bytes(const tn_partition *p) {
  return p->bytes;
}

/* Once more when memory was short. */
static void remove_temporary(const tn_partition *p) {
  if (p->temporary && tn_dir_remove(p->temporary, NULL) == TN_ERR_MEMORY &&
      tn_dir_remove(p->temporary, NULL) != TN_OK)
    return;
}

void tn_partition_free(tn_partition *p) {
  if (!p) return;
  for (int64_t i = 0; i < p->place_count; i++) tn_table_writer_free(p->places[i].writer);
  remove_temporary(p);
  tn_free(p->temporary);
  tn_free(p->folder);
  tn_schema_clear(&p->schema);
  tn_schema_clear(&p->kept);
  tn_map_clear(&p->found);
  tn_free(p->places);
  tn_free(p->row_place);
  tn_free(p->order);
  tn_arena_clear(&p->arena);
  tn_free(p);
}
