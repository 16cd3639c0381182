/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_reader.h"

#include <stdio.h>

#include "columns/csv_index.h"

enum {
  AHEAD_BYTES = 16 << 10, /* read beyond a round, for the record that crosses its border */
  BLOCKS_A_THREAD = 2,    /* of a round */
  INFER_BYTES = 4 << 20,  /* of the file's beginning */
  PLACES = 16,            /* looked at behind it */
  PLACE_BYTES = 64 << 10,
  INFER_HEAD_MAX = 256 << 20, /* of a pipe, when infer_rows asks for more rows */
  NAMES_SHOWN_BYTES = 300,
};
#define RECORD_BYTES_MAX ((size_t)1 << 30)
#define WINDOW_BYTES_MAX ((size_t)1 << 30) /* of the blocks of a round; positions have 32 bits */

static int64_t block_bytes_of(const tn_csv_reader *r) {
  return r->options->block_bytes ? r->options->block_bytes : 1 << 20;
}

/* ---- opening: options, dialect, header ---- */
static tn_status take_options(tn_csv_reader *r, tn_error *err) {
  const tn_csv_options *o = r->options;
  int64_t field_max = o->field_bytes_max ? o->field_bytes_max : (int64_t)64 << 20;
  if (field_max < 1 || field_max > (int64_t)RECORD_BYTES_MAX || o->infer_rows < 0 ||
      o->batch_rows < 0 || o->block_bytes < 0 || o->block_bytes > (1 << 28))
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "CSV limits: field_bytes_max %lld (1 to %zu), infer_rows %lld, batch_rows %lld, "
                   "block_bytes %lld (at most 256 MiB)",
                   (long long)field_max, RECORD_BYTES_MAX, (long long)o->infer_rows,
                   (long long)o->batch_rows, (long long)o->block_bytes);
  r->bad_rows = o->bad_rows ? o->bad_rows : &r->own_bad_rows;
  if (!o->bad_rows && o->on_error)
    TN_TRY(tn_on_error_of(o->on_error, &r->own_bad_rows.on_error, err));
  r->plan.on_error = r->bad_rows->on_error;
  r->null_texts = tn_arena_alloc(&r->arena, (size_t)o->null_text_count, sizeof *r->null_texts);
  for (int32_t i = 0; r->null_texts && i < o->null_text_count; i++)
    r->null_texts[i] =
        (tn_str){tn_arena_strndup(&r->arena, o->null_texts[i], strlen(o->null_texts[i])),
                 strlen(o->null_texts[i])};
  return !r->arena.failed ? TN_OK
                          : tn_fail_memory(err, "CSV options", (size_t)o->null_text_count * 16);
}

static tn_status at_name(const tn_csv_reader *r, tn_status status, int32_t column, tn_error *err) {
  return tn_error_context(err, status, "%s: line %lld, column %d", r->input.source->name,
                          (long long)r->data_line, column + 1);
}

static tn_status add_name(tn_csv_reader *r, int32_t column, const tn_csv_field *field,
                          tn_strbuf *scratch, tn_error *err) {
  tn_strbuf_reset(scratch);
  if (r->names[column] && *r->names[column]) tn_strbuf_addf(scratch, "%s ", r->names[column]);
  size_t before = scratch->length;
  uint8_t *text = tn_arena_alloc(&r->arena, field->length + 1, 1);
  if (!text) return tn_fail_memory(err, "CSV header", field->length);
  uint32_t length = field->length;
  if (field->flags & TN_CSV_ESCAPED)
    length = tn_csv_unescape(&r->plan.format, field, text);
  else
    memcpy(text, field->data, length);
  tn_str name = {(const char *)text, length};
  tn_status status = TN_OK;
  if (memchr(text, '\0', length))
    status = tn_fail(err, TN_ERR_DATA, "a NUL byte in the header: is this a text file?");
  else if (!tn_utf8_valid(name))
    status = tn_fail(err, TN_ERR_DATA, "the header is not UTF-8; name the file's encoding");
  if (status != TN_OK) return at_name(r, status, column, err);
  tn_strbuf_add_str(scratch, name);
  if (length == 0 && before > 0) scratch->length = before - 1;
  TN_TRY(tn_strbuf_check(scratch, err));
  r->names[column] =
      tn_arena_strndup(&r->arena, scratch->data ? scratch->data : "", scratch->length);
  return r->names[column] ? TN_OK : tn_fail_memory(err, "CSV header", scratch->length);
}

static tn_status number_names(tn_csv_reader *r, tn_error *err) {
  const ArrowSchema *schema = r->options->schema;
  for (int32_t c = 0; c < r->dialect.columns; c++) {
    char numbered[16];
    int length = snprintf(numbered, sizeof numbered, "f%d", c);
    const char *name = numbered;
    if (schema && c < schema->n_children && schema->children[c]->name)
      name = schema->children[c]->name, length = (int)strlen(name);
    r->names[c] = tn_arena_strndup(&r->arena, name, (size_t)length);
    if (!r->names[c]) return tn_fail_memory(err, "CSV header", (size_t)length);
  }
  return TN_OK;
}

/* The record at `at` of the head, reading more of it where it must. */
static tn_status head_record(tn_csv_reader *r, size_t at, tn_csv_outcome *why,
                             tn_csv_record *record, tn_error *err) {
  tn_csv_input *in = &r->input;
  for (;;) {
    *why = tn_csv_split(&r->plan.format, in->head + at, in->head + in->head_bytes, in->head_is_all,
                        record);
    if (*why == TN_CSV_BROKEN && record->fault == TN_CSV_NO_MEMORY)
      return tn_fail_memory(err, "CSV header", record->capacity * 32);
    if (*why != TN_CSV_INCOMPLETE) return TN_OK;
    if (in->head_bytes > RECORD_BYTES_MAX) return tn_csv_report_long_record(r, 0, err);
    TN_TRY(tn_csv_input_more_head(in, 2 * in->head_bytes + 4096, err));
  }
}

/* What is wrong with a record of the head, as an error. */
static tn_status head_flaw(tn_csv_reader *r, size_t at, const tn_csv_record *record,
                           tn_error *err) {
  if (record->fault == TN_CSV_NO_MEMORY) return tn_fail_memory(err, "CSV header", record->capacity);
  uint8_t *text = r->text;
  r->text = r->input.head;
  r->filled = r->input.head_bytes;
  r->last = r->input.head_is_all;
  const tn_csv_flaw flaw = {.fault = record->fault,
                            .record = (uint32_t)at,
                            .place = (uint32_t)(record->fault_at - r->input.head),
                            .column = record->fault_column,
                            .output = -1};
  tn_status status = tn_csv_report_error(r, &flaw, err);
  r->text = text;
  r->filled = 0;
  r->last = false;
  return status;
}

/* A header that does not have the rows' number of fields, or quotes out of place, is mended where
 * bad rows are. */
static bool mend_header(tn_csv_reader *r, size_t at, tn_csv_outcome why, tn_csv_record *record) {
  const tn_csv_input *in = &r->input;
  tn_csv_format *f = &r->plan.format;
  bool wrong =
      why == TN_CSV_BROKEN || (why == TN_CSV_RECORD && record->count != r->dialect.columns);
  if (r->plan.on_error == TN_ON_ERROR_FAIL || !wrong || r->dialect.columns == 0) return false;
  const uint8_t *p = in->head + at, *end = in->head + in->head_bytes;
  const uint8_t *line_end = tn_csv_line_end(f, p, end, in->head_is_all);
  if (!line_end) return false;
  f->columns = r->dialect.columns;
  bool whole = tn_csv_repair(f, p, line_end, record);
  if (!whole && why == TN_CSV_RECORD) {
    tn_csv_split(f, p, end, in->head_is_all, record);
  } else {
    record->next = line_end;
  }
  f->columns = 0;
  return true;
}

static tn_status names_room(tn_csv_reader *r, int32_t count, tn_error *err) {
  if (count > TN_CSV_COLUMNS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: %d columns, limit %d", r->input.source->name, count,
                   TN_CSV_COLUMNS_MAX);
  r->dialect.columns = count;
  r->names = tn_arena_alloc(&r->arena, (size_t)count, sizeof *r->names);
  return r->names ? TN_OK : tn_fail_memory(err, "CSV header", (size_t)count * sizeof *r->names);
}

/* The first record, a header or not, tells the number of columns; `at` moves behind the header. */
static tn_status take_header(tn_csv_reader *r, size_t *at, tn_csv_record *record,
                             tn_strbuf *scratch, tn_error *err) {
  int32_t left = r->dialect.header_rows;
  for (bool first = true; first || left > 0;) {
    if (*at == r->input.head_bytes && r->input.head_is_all) break;
    tn_csv_outcome why;
    TN_TRY(head_record(r, *at, &why, record, err));
    if (why == TN_CSV_NOTHING) {
      *at = (size_t)(record->next - r->input.head);
      r->data_line++;
      continue;
    }
    bool mended = left > 0 && mend_header(r, *at, why, record);
    if (mended && record->fault == TN_CSV_NO_MEMORY)
      return tn_fail_memory(err, "CSV header", record->capacity * 32);
    if (why == TN_CSV_BROKEN && !mended) {
      if (left > 0 || r->plan.on_error == TN_ON_ERROR_FAIL || r->dialect.columns == 0)
        return head_flaw(r, *at, record, err);
      record->count = r->dialect.columns;
    }
    bool lenient = r->plan.on_error != TN_ON_ERROR_FAIL && r->dialect.columns > 0;
    if (first) TN_TRY(names_room(r, lenient ? r->dialect.columns : record->count, err));
    first = false;
    if (left == 0) break;
    for (int32_t c = 0; c < r->dialect.columns; c++) {
      tn_csv_field none = {(const uint8_t *)"", 0, 0};
      TN_TRY(add_name(r, c, c < record->count ? &record->fields[c] : &none, scratch, err));
    }
    const uint8_t *from = r->input.head + *at;
    r->data_line += tn_csv_count_byte(from, (size_t)(record->next - from), r->plan.format.newline);
    *at = (size_t)(record->next - r->input.head);
    left--;
  }
  return TN_OK;
}

/* Of a file with nothing in it only a declared schema knows the columns. */
static tn_status name_nothing(tn_csv_reader *r, tn_error *err) {
  const ArrowSchema *schema = r->options->schema;
  if (!schema && r->plan.on_error == TN_ON_ERROR_FAIL)
    return tn_fail(
        err, TN_ERR_DATA,
        "%s: the file is empty: no row of column names (a declared schema would say them)",
        r->input.source->name);
  int64_t count = schema ? schema->n_children : 0;
  if (count > TN_CSV_COLUMNS_MAX) count = TN_CSV_COLUMNS_MAX + 1; /* refused there */
  TN_TRY(names_room(r, (int32_t)count, err));
  return number_names(r, err);
}

static tn_status read_header(tn_csv_reader *r, tn_error *err) {
  size_t at = (size_t)r->dialect.table_byte;
  r->data_line = 1 + tn_csv_count_byte(r->input.head, at, r->plan.format.newline);
  r->base_line = 1;
  tn_csv_record record = {0};
  tn_strbuf scratch = {0};
  tn_status status = take_header(r, &at, &record, &scratch, err);
  tn_csv_record_clear(&record);
  tn_strbuf_clear(&scratch);
  TN_TRY(status);
  if (!r->names) TN_TRY(name_nothing(r, err));
  if (r->dialect.header_rows == 0) TN_TRY(number_names(r, err));
  r->data_byte = (int64_t)at;
  r->plan.format.columns = r->dialect.columns;
  return TN_OK;
}

static tn_status open_reader(tn_csv_reader *r, tn_source *source, tn_error *err) {
  const tn_csv_options *o = r->options;
  tn_status status = take_options(r, err);
  if (status != TN_OK) {
    tn_source_close(source);
    return status;
  }
  const char *encoding = o->encoding ? o->encoding : o->exact_dialect ? "utf-8" : NULL;
  TN_TRY(tn_csv_input_open(&r->input, source, encoding, TN_CSV_SAMPLE_BYTES, err));
  tn_csv_input *in = &r->input;
  TN_TRY(tn_csv_detect(&r->dialect, in->source->name, in->head, in->head_bytes, in->head_is_all, o,
                       err));
  r->dialect.compression = in->compression;
  r->dialect.encoding = in->encoding;
  r->dialect.bom = in->bom;
  r->plan.format = tn_csv_format_of(&r->dialect);
  r->plan.format.columns = 0;
  r->plan.format.field_bytes_max = o->field_bytes_max ? (uint32_t)o->field_bytes_max : 64u << 20;
  TN_TRY(read_header(r, err));
  const tn_csv_format *f = &r->plan.format;
  r->plan.fast = f->separator_bytes == 1 && f->escape == f->quote && !f->comment &&
                 f->field_bytes_max >= block_bytes_of(r) + AHEAD_BYTES && f->columns > 0;
  if (o->dialect) *o->dialect = r->dialect;
  return TN_OK;
}

tn_status tn_csv_reader_open(tn_csv_reader **out, tn_source *source, const tn_csv_options *options,
                             tn_error *err) {
  tn_csv_reader *r = tn_alloc(1, sizeof *r);
  if (!r) {
    tn_source_close(source);
    return tn_fail_memory(err, "CSV reader", sizeof *r);
  }
  r->options = options;
  r->line = &r->line_known;
  r->line_known.base_byte = -1;
  tn_status status = open_reader(r, source, err);
  if (status == TN_OK)
    *out = r;
  else
    tn_csv_reader_free(r);
  return status;
}

int32_t tn_csv_reader_find(const tn_csv_reader *r, const char *name) {
  for (int32_t c = 0; c < r->dialect.columns; c++)
    if (strcmp(r->names[c], name) == 0) return c;
  return -1;
}

/* ---- the window ---- */
static void set_end(tn_csv_reader *r) {
  memset(r->text + r->filled, 0, TN_CSV_PADDING);
}

static tn_status window_room(tn_csv_reader *r, size_t want, tn_error *err) {
  if (r->text && want <= r->capacity) return TN_OK;
  size_t capacity = want + want / 8;
  uint8_t *grown = tn_realloc(r->text, capacity + TN_CSV_PADDING, 1);
  if (!grown) return tn_fail_memory(err, "CSV window", capacity);
  r->text = grown;
  r->capacity = capacity;
  return TN_OK;
}

typedef struct read_job {
  tn_csv_reader *r;
  uint8_t *to;
  int64_t from;
  size_t bytes, piece;
  tn_status *statuses;
  tn_error *errors;
} read_job;

static void read_piece(void *context, int64_t item, int32_t worker) {
  const read_job *job = context;
  size_t at = (size_t)item * job->piece;
  size_t bytes = job->bytes - at < job->piece ? job->bytes - at : job->piece;
  job->statuses[item] = tn_csv_input_read_at(&job->r->input, job->from + (int64_t)at, job->to + at,
                                             bytes, &job->errors[item]);
}

enum { PIECES_MAX = 16 };

/* A plain file is read by all threads at once. */
static tn_status read_ranged(tn_csv_reader *r, size_t bytes, tn_error *err) {
  tn_status statuses[PIECES_MAX] = {0};
  tn_error errors[PIECES_MAX];
  size_t piece = bytes / PIECES_MAX + 1;
  if (piece < 256 << 10) piece = 256 << 10;
  int64_t count = (int64_t)((bytes + piece - 1) / piece);
  read_job job = {
      r, r->text + r->filled, r->base_byte + (int64_t)r->filled, bytes, piece, statuses, errors};
  tn_pool_run(r->options->pool, count, read_piece, &job);
  for (int64_t i = 0; i < count; i++)
    if (statuses[i] != TN_OK) {
      if (err) *err = errors[i];
      return statuses[i];
    }
  return TN_OK;
}

/* Makes the window `want` bytes long, or up to the text's end. */
static tn_status fill_window(tn_csv_reader *r, size_t want, tn_error *err) {
  if (r->dialect.end_byte >= 0) {
    int64_t left = r->dialect.end_byte - r->base_byte;
    if ((int64_t)want >= left) want = (size_t)left, r->last = true;
  }
  if (want <= r->filled) return TN_OK;
  TN_TRY(window_room(r, want, err));
  size_t got = want - r->filled;
  int64_t position = r->base_byte + (int64_t)r->filled;
  if (r->input.ranged && !(r->input.head && position < (int64_t)r->input.head_bytes)) {
    int64_t left = r->input.size - position;
    if ((int64_t)got >= left) got = (size_t)left, r->last = true;
    if (got > 0) TN_TRY(read_ranged(r, got, err));
  } else {
    TN_TRY(tn_csv_input_read(&r->input, r->text + r->filled, want - r->filled, &got, err));
    r->last |= got < want - r->filled;
  }
  r->filled += got;
  set_end(r);
  return TN_OK;
}

/* Forgets what is parsed. */
static void move_window(tn_csv_reader *r) {
  uint32_t gone = r->parsed;
  if (gone > 0) r->base_line += tn_csv_count_byte(r->text, gone, r->plan.format.newline);
  r->base_byte += gone;
  r->filled -= gone;
  if (r->text) {
    memmove(r->text, r->text + gone, r->filled);
    set_end(r);
  }
  r->parsed = 0;
}

/* Back to the first row. */
static tn_status start_window(tn_csv_reader *r, tn_error *err) {
  r->filled = 0;
  r->parsed = 0;
  r->last = r->ended = false;
  r->rounds = 0;
  r->base_byte = r->data_byte;
  r->base_line = r->data_line;
  r->line_known.base_byte = -1;
  return tn_csv_input_seek(&r->input, r->data_byte, err);
}

/* ---- rounds ---- */
static tn_status blocks_room(tn_csv_reader *r, int32_t count, tn_error *err) {
  if (count <= r->block_count) return TN_OK;
  tn_csv_block *grown = tn_realloc(r->blocks, (size_t)count, sizeof *grown);
  if (!grown) return tn_fail_memory(err, "CSV blocks", (size_t)count * sizeof *grown);
  memset(grown + r->block_count, 0, (size_t)(count - r->block_count) * sizeof *grown);
  r->blocks = grown;
  r->block_count = count;
  return TN_OK;
}

static void run_block(void *context, int64_t item, int32_t worker) {
  tn_csv_reader *r = context;
  tn_csv_block_run(&r->blocks[item], &r->plan, r->text, (uint32_t)r->filled, r->last);
}

/* How many blocks a round has: one thread needs no more than one, and neither does the first round,
 * whose rows somebody may be waiting for. */
static int32_t blocks_of_round(const tn_csv_reader *r) {
  int32_t threads = tn_pool_threads(r->options->pool);
  if (threads == 1 || r->rounds == 0) return 1;
  int64_t most = (int64_t)WINDOW_BYTES_MAX / block_bytes_of(r);
  int64_t count = (int64_t)threads * BLOCKS_A_THREAD;
  return count <= most ? (int32_t)count : most > 1 ? (int32_t)most : 1;
}

/* Block borders lie at multiples of the block size from the first row on. */
static void lay_blocks(tn_csv_reader *r, int64_t first_border, int64_t block_bytes, int32_t count) {
  uint32_t from = 0;
  for (int32_t i = 0; i < count; i++) {
    int64_t border = first_border + i * block_bytes - r->base_byte;
    tn_csv_block *b = &r->blocks[i];
    b->guess = i > 0;
    b->rows_max = r->look_rows;
    b->start = from;
    b->limit = border < (int64_t)r->filled ? (uint32_t)border : (uint32_t)r->filled;
    from = b->limit;
  }
}

/* The record at the end of block i goes on behind the window: reads more, and parses it again. */
static tn_status extend_window(tn_csv_reader *r, tn_csv_block *b, tn_error *err) {
  if (r->filled - b->rows.end > RECORD_BYTES_MAX)
    return tn_csv_report_long_record(r, b->rows.end, err);
  size_t before = r->filled;
  TN_TRY(fill_window(r, r->filled + r->filled / 2 + AHEAD_BYTES, err));
  if (r->filled == before) r->last = true;
  return TN_OK;
}

/* Puts the blocks in order: each must begin where the one before ended, else it is parsed again.
 * Stops at the first that fails; those before it are handed out. */
static tn_status join_blocks(tn_csv_reader *r, int32_t count, tn_error *err) {
  uint32_t expected = 0;
  for (int32_t i = 0; i < count; i++) {
    tn_csv_block *b = &r->blocks[i];
    if (b->start != expected || b->rows.incomplete) {
      b->guess = false;
      b->start = expected;
      while (b->rows.incomplete || b->rows.start != expected) {
        if (b->rows.incomplete && b->rows.start == expected) TN_TRY(extend_window(r, b, err));
        tn_csv_block_run(b, &r->plan, r->text, (uint32_t)r->filled, r->last);
        if (b->status != TN_OK || b->flaw.fault) break;
      }
    }
    if (b->status != TN_OK && err) *err = b->err;
    TN_TRY(b->status);
    if (r->bad_rows->on_error != TN_ON_ERROR_FAIL && !r->plan.looking)
      TN_TRY(tn_csv_report_flaws(r, &b->rows, err));
    if (b->flaw.fault && r->plan.looking) r->round_count = i + 1; /* its rows before the flaw */
    if (b->flaw.fault) return tn_csv_report_error(r, &b->flaw, err);
    r->round_count = i + 1;
    expected = r->parsed = b->rows.end;
  }
  return TN_OK;
}

/* Parses the next blocks; afterwards round_count of them are good.  With none and TN_OK the text
 * has ended. */
static tn_status run_round(tn_csv_reader *r, tn_error *err) {
  const int64_t block_bytes = block_bytes_of(r);
  move_window(r);
  r->round_count = r->block_at = 0;
  if (r->last && r->filled == 0) {
    r->ended = true;
    return TN_OK;
  }
  int32_t count = blocks_of_round(r);
  int64_t passed = r->base_byte - r->data_byte;
  int64_t first_border = r->data_byte + (passed / block_bytes + 1) * block_bytes;
  int64_t want = first_border + (count - 1) * block_bytes - r->base_byte + AHEAD_BYTES;
  if (!r->last) TN_TRY(fill_window(r, (size_t)want, err));
  if (r->filled == 0) {
    r->ended = true;
    return TN_OK;
  }
  while (count > 1 && first_border + (count - 2) * block_bytes - r->base_byte >= (int64_t)r->filled)
    count--;
  if (r->input.head && r->base_byte + (int64_t)r->filled > (int64_t)r->input.head_bytes)
    tn_csv_input_drop_head(&r->input);
  TN_TRY(blocks_room(r, count, err));
  lay_blocks(r, first_border, block_bytes, count);
  r->rounds++;
  tn_pool_run(r->options->pool, count, run_block, r);
  return join_blocks(r, count, err);
}

/* ---- inference ---- */
static void look_mode(tn_csv_reader *r, bool on) {
  for (int32_t i = 0; i < r->block_count; i++) tn_csv_block_clear(&r->blocks[i], &r->plan);
  r->plan.looking = on;
}

static void merge_seen(tn_csv_reader *r, const tn_csv_block *b, tn_csv_kinds_seen *seen) {
  for (int32_t i = 0; i < r->plan.column_count; i++) tn_csv_kinds_merge(&seen[i], &b->seen[i]);
}

/* Looks at rows from the first on, by the same rounds that will read them; what breaks the format
 * ends it here and is reported when it is read. */
static tn_status infer_from_start(tn_csv_reader *r, int64_t rows_max, tn_csv_kinds_seen *seen,
                                  tn_error *err) {
  tn_progress *progress = r->options->progress;
  tn_source *source = r->input.source;
  TN_TRY(start_window(r, err));
  tn_progress_begin(progress, "types", "B", source->size_bytes > 0 ? source->size_bytes : 0);
  while (r->rows_inferred < rows_max) {
    TN_TRY(tn_progress_at(progress, source->bytes_read, err));
    r->look_rows = rows_max - r->rows_inferred;
    tn_error ignored = {0};
    tn_status status = run_round(r, &ignored);
    for (int32_t i = 0; i < r->round_count && r->rows_inferred < rows_max; i++) {
      tn_csv_block *b = &r->blocks[i];
      if (i > 0 && b->rows.rows > rows_max - r->rows_inferred) { /* only some of its rows count */
        b->rows_max = rows_max - r->rows_inferred;
        tn_csv_block_run(b, &r->plan, r->text, (uint32_t)r->filled, r->last);
      }
      merge_seen(r, b, seen);
      int64_t left = rows_max - r->rows_inferred;
      r->rows_inferred += b->rows.rows < left ? b->rows.rows : left;
    }
    if (status == TN_ERR_MEMORY || status == TN_ERR_IO) {
      if (err) *err = ignored;
      return status;
    }
    if (status != TN_OK || r->ended) break;
  }
  tn_progress_leave(progress);
  return TN_OK;
}

static tn_status look_at_text(tn_csv_reader *r, uint8_t *text, size_t bytes, bool guess, bool last,
                              int64_t rows_max, tn_csv_kinds_seen *seen, tn_error *err) {
  TN_TRY(blocks_room(r, 1, err));
  tn_csv_block *b = &r->blocks[0];
  memset(text + bytes, 0, TN_CSV_PADDING);
  b->start = guess;
  b->limit = (uint32_t)bytes;
  b->guess = guess;
  b->rows_max = rows_max;
  tn_csv_block_run(b, &r->plan, text, (uint32_t)bytes, last);
  if (b->status != TN_OK && err) *err = b->err;
  TN_TRY(b->status);
  r->rows_inferred += b->rows.rows < rows_max ? b->rows.rows : rows_max;
  merge_seen(r, b, seen);
  return TN_OK;
}

/* Places spread over the rest of a file: what is odd is often not at its beginning. */
static tn_status infer_from_places(tn_csv_reader *r, tn_csv_kinds_seen *seen, tn_error *err) {
  int64_t end = r->dialect.end_byte >= 0 ? r->dialect.end_byte : r->input.size;
  int64_t from = (int64_t)r->input.head_bytes, room = end - from - PLACE_BYTES;
  if (!r->input.ranged || room <= PLACES * PLACE_BYTES) return TN_OK;
  TN_TRY(window_room(r, PLACE_BYTES, err));
  for (int64_t i = 1; i <= PLACES; i++) {
    int64_t at = from + room / PLACES * i;
    TN_TRY(tn_csv_input_read_at(&r->input, at, r->text, PLACE_BYTES, err));
    r->input.source->bytes_read -= PLACE_BYTES; /* it comes again */
    TN_TRY(look_at_text(r, r->text, PLACE_BYTES, true, false, INT64_MAX, seen, err));
  }
  return TN_OK;
}

/* Pipes: the rows asked for must be in the head. */
static tn_status infer_from_head(tn_csv_reader *r, int64_t rows_max, size_t bytes,
                                 tn_csv_kinds_seen *seen, tn_error *err) {
  for (;;) {
    TN_TRY(tn_csv_input_more_head(&r->input, bytes, err));
    r->rows_inferred = 0;
    int64_t end = (int64_t)r->input.head_bytes;
    if (r->dialect.end_byte >= 0 && r->dialect.end_byte < end) end = r->dialect.end_byte;
    bool last = r->input.head_is_all || end < (int64_t)r->input.head_bytes;
    size_t length = (size_t)(end - r->data_byte);
    memset(seen, 0, (size_t)r->plan.column_count * sizeof *seen);
    uint8_t saved[TN_CSV_PADDING], *text = r->input.head + r->data_byte;
    memcpy(saved, text + length, sizeof saved);
    tn_status status = look_at_text(r, text, length, false, last, rows_max, seen, err);
    memcpy(text + length, saved, sizeof saved);
    TN_TRY(status);
    bool enough = r->rows_inferred >= rows_max || rows_max == INT64_MAX;
    if (enough || last || bytes >= INFER_HEAD_MAX || r->blocks[0].flaw.fault) return TN_OK;
    bytes *= 2;
  }
}

tn_status tn_csv_reader_infer(tn_csv_reader *r, tn_csv_kinds_seen *seen, tn_error *err) {
  const tn_csv_options *o = r->options;
  bool pipe = tn_csv_input_is_pipe(&r->input);
  if (o->infer_all && pipe)
    return tn_fail(err, TN_ERR_UNSUPPORTED,
                   "%s: infer_all reads the text twice, and a pipe can only be read once",
                   r->input.source->name);
  if (r->plan.column_count == 0 || r->dialect.columns == 0) return TN_OK;
  look_mode(r, true);
  tn_status status;
  if (o->infer_all || (o->infer_rows > 0 && !pipe)) {
    status = infer_from_start(r, o->infer_all ? INT64_MAX : o->infer_rows, seen, err);
    r->inferred_all = o->infer_all;
  } else if (o->infer_rows > 0) {
    status = infer_from_head(r, o->infer_rows, INFER_BYTES, seen, err);
  } else {
    status = infer_from_head(r, INT64_MAX, INFER_BYTES, seen, err);
    if (status == TN_OK) r->inferred_all = r->input.head_is_all;
    if (status == TN_OK) status = infer_from_places(r, seen, err);
  }
  look_mode(r, false);
  return status;
}

/* ---- batches ---- */
static tn_status batch_of_block(tn_csv_reader *r, tn_csv_block *b, ArrowArray *out, tn_error *err) {
  static tn_buffer *const no_validity[1];
  const tn_array_parts parts = {.length = b->rows.rows,
                                .buffers = no_validity,
                                .buffer_count = 1,
                                .children = b->arrays,
                                .child_count = r->plan.column_count};
  return tn_array_make(out, &parts, err);
}

/* Slices of at most batch_rows rows of the block's batch. */
static tn_status next_slice(tn_csv_reader *r, ArrowArray *out, tn_error *err) {
  const int64_t rows_max = r->options->batch_rows ? r->options->batch_rows : 65536;
  int64_t left = tn_shared_array_get(r->batch)->length - r->batch_at;
  int64_t rows = left < rows_max ? left : rows_max;
  TN_TRY(tn_shared_batch_view(r->batch, r->batch_at, rows, out, err));
  r->batch_at += rows;
  if (rows == left) {
    tn_shared_array_drop(r->batch);
    r->batch = NULL;
  }
  return TN_OK;
}

static tn_status hand_out(tn_csv_reader *r, tn_csv_block *b, ArrowArray *out, tn_error *err) {
  const int64_t rows_max = r->options->batch_rows ? r->options->batch_rows : 65536;
  if (b->rows.rows <= rows_max) return batch_of_block(r, b, out, err);
  ArrowArray whole;
  TN_TRY(batch_of_block(r, b, &whole, err));
  TN_TRY(tn_shared_array_new(&r->batch, &whole, err));
  r->batch_at = 0;
  return next_slice(r, out, err);
}

static tn_status next_batch(tn_csv_reader *r, ArrowArray *out, tn_error *err) {
  for (;;) {
    if (r->batch) return next_slice(r, out, err);
    while (r->block_at < r->round_count) {
      tn_csv_block *b = &r->blocks[r->block_at++];
      if (b->rows.rows > 0) return hand_out(r, b, out, err);
    }
    if (r->failed.status != TN_OK) {
      if (err) *err = r->failed;
      return r->failed.status;
    }
    if (!r->streaming) TN_TRY(start_window(r, err));
    r->streaming = true;
    if (r->ended || r->dialect.columns == 0) return TN_END;
    tn_error why = {0};
    if (run_round(r, &why) != TN_OK) r->failed = why;
  }
}

tn_status tn_csv_reader_next(tn_csv_reader *r, ArrowArray *out, tn_error *err) {
  memset(out, 0, sizeof *out);
  return next_batch(r, out, err);
}

void tn_csv_reader_rest(tn_csv_reader *r) {
  for (int32_t i = 0; i < r->block_count; i++) tn_csv_block_clear(&r->blocks[i], &r->plan);
  r->block_count = r->round_count = r->block_at = 0;
  tn_shared_array_drop(r->batch);
  r->batch = NULL;
  tn_free(r->blocks);
  r->blocks = NULL;
  tn_free(r->text);
  r->text = NULL;
  r->filled = r->capacity = 0;
  r->ended = true;
}

void tn_csv_reader_free(tn_csv_reader *r) {
  if (!r) return;
  tn_csv_reader_rest(r);
  tn_free(r->plan.columns);
  tn_csv_input_close(&r->input);
  tn_arena_clear(&r->arena);
  tn_free(r);
}
