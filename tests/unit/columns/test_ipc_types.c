/* SPDX-License-Identifier: Apache-2.0 */
/* Arrow IPC of every type: random schemas and data, written and read again in every form. */
#include "ipc_test.h"

#include <time.h>
#include <unistd.h>

#include "columns/ipc_buffer.h"

static const tn_ipc_write_options forms[] = {
    {0}, {.stream = true}, {.codec = TN_IPC_ZSTD}, {.stream = true, .codec = TN_IPC_LZ4}};
enum { FORMS = sizeof forms / sizeof forms[0], BATCHES = 4 };

typedef struct table { /* a schema with some batches of it */
  ArrowSchema schema;
  tn_arena arena;
  tn_field *root;
  ArrowArray batches[BATCHES];
  int count; /* of those that are written */
} table;

static tn_status table_make(table *t, dice *d, tn_error *err) {
  static const int64_t rows[BATCHES] = {40, 0, 1, 77};
  t->count = BATCHES;
  TN_TRY(random_schema(&t->schema, d, err));
  TN_TRY(tn_field_tree(&t->root, &t->arena, &t->schema, err));
  for (int i = 0; i < BATCHES; i++) {
    d->state += 1000;
    TN_TRY(random_batch(&t->batches[i], t->root, rows[i], d, err));
  }
  return TN_OK;
}

static void table_clear(table *t) {
  for (int i = 0; i < BATCHES; i++) tn_array_clear(&t->batches[i]);
  tn_schema_clear(&t->schema);
  tn_arena_clear(&t->arena);
}

/* Rows [from, from + count) of a batch, by its own offset and by those of its columns. */
static tn_status write_slice(tn_ipc_writer *w, const ArrowArray *batch, int64_t from, int64_t count,
                             tn_error *err) {
  ArrowArray copy = *batch;
  copy.offset = from;
  copy.length = count;
  return tn_ipc_writer_batch(w, &copy, err);
}

static tn_status write_table(tn_strbuf *out, const table *t, const tn_ipc_write_options *options,
                             int64_t skip, tn_error *err) {
  tn_sink *sink = NULL;
  tn_ipc_writer *w = NULL;
  tn_status status = tn_sink_open_memory(&sink, "t.arrow", out, err);
  if (status == TN_OK) status = tn_ipc_writer_open(&w, sink, &t->schema, options, err);
  for (int i = 0; status == TN_OK && i < t->count; i++) {
    int64_t rows = t->batches[i].length, from = skip < rows ? skip : rows;
    status = write_slice(w, &t->batches[i], from, rows - from, err);
  }
  if (status == TN_OK) status = tn_ipc_writer_finish(w, err);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  return status;
}

static tn_status open_bytes(ArrowArrayStream *out, const tn_strbuf *bytes, tn_error *err) {
  tn_source *source;
  TN_TRY(tn_source_open_memory(&source, "t.arrow", bytes->data, bytes->length, err));
  return tn_ipc_read(out, source, err);
}

static void must_be_equal(const table *t, const ArrowArray *got, int batch, int64_t skip) {
  const ArrowArray *want = &t->batches[batch];
  int64_t from = skip < want->length ? skip : want->length;
  assert_int_equal(got->length, want->length - from);
  OK(tn_array_validate(t->root, got, true, &problem));
  for (int64_t c = 0; c < t->root->child_count; c++) {
    ArrowArray part = *want->children[c];
    part.offset += from;
    part.length -= from;
    if (part.null_count != 0) part.null_count = -1;
    const tn_field *f = &t->root->children[c];
    int64_t row = tn_array_difference(f, &part, f, got->children[c]);
    if (row >= 0)
      fail_msg("column %s, batch %d, from %d: row %d", f->name, batch, (int)skip, (int)row);
  }
}

static void must_read(const table *t, const tn_strbuf *bytes, int64_t skip) {
  ArrowArrayStream stream;
  ArrowSchema schema;
  ArrowArray batch;
  OK(open_bytes(&stream, bytes, &problem));
  OK(tn_stream_schema(&stream, &schema, &problem));
  assert_true(tn_schema_equal(&schema, &t->schema, true));
  for (int i = 0; i < BATCHES; i++) {
    OK(tn_stream_next(&stream, &batch, &problem));
    must_be_equal(t, &batch, i, skip);
    tn_array_clear(&batch);
  }
  assert_int_equal(tn_stream_next(&stream, &batch, &problem), TN_END);
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
}

static uint64_t new_seed(void) {
  const char *given = getenv("TENON_SEED");
  uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  print_message("TENON_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

static void every_type_goes_round(void **state) {
  uint64_t seed = new_seed();
  int64_t live = tn_alloc_live();
  for (uint64_t round = 0; round < 5; round++) {
    dice d = {.state = seed + round, .growing = true};
    table t = {0};
    OK(table_make(&t, &d, &problem));
    for (int form = 0; form < FORMS; form++)
      for (int64_t skip = 0; skip < 18; skip += 1 + 4 * form) {
        tn_strbuf bytes = {0};
        OK(write_table(&bytes, &t, &forms[form], skip, &problem));
        must_read(&t, &bytes, skip);
        tn_strbuf_clear(&bytes);
      }
    table_clear(&t);
    assert_int_equal(tn_alloc_live(), live);
  }
}

static void dictionaries_may_change(void **state) {
  uint64_t seed = new_seed();
  for (uint64_t round = 0; round < 12; round++)
    for (int form = 0; form < FORMS; form++) {
      dice d = {.state = seed + round, .unordered = !forms[form].stream};
      table t = {0};
      tn_strbuf bytes = {0};
      OK(table_make(&t, &d, &problem));
      OK(write_table(&bytes, &t, &forms[form], form, &problem));
      must_read(&t, &bytes, form);
      tn_strbuf_clear(&bytes);
      table_clear(&t);
    }
}

/* ---- pipes ---- */
typedef struct pipe_source { /* hands out a few bytes at a time and knows no size */
  tn_source base;
  const tn_strbuf *bytes;
  size_t at, step;
} pipe_source;

static tn_status pipe_read(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  pipe_source *p = (pipe_source *)self;
  size_t left = p->bytes->length - p->at;
  *got = bytes < p->step ? bytes : p->step;
  if (*got > left) *got = left;
  if (*got) memcpy(dst, p->bytes->data + p->at, *got);
  p->at += *got;
  return TN_OK;
}
static void pipe_close(tn_source *self) {}

static void a_pipe_will_do(void **state) {
  dice d = {.state = new_seed(), .growing = true};
  table t = {0};
  OK(table_make(&t, &d, &problem));
  for (int form = 0; form < FORMS; form++)
    for (size_t step = 1; step < 5000; step = step * 7 + 1) {
      tn_strbuf bytes = {0};
      ArrowArrayStream stream;
      ArrowArray batch;
      OK(write_table(&bytes, &t, &forms[form], 0, &problem));
      pipe_source pipe = {.base = {"pipe", -1, .read = pipe_read, .close = pipe_close},
                          .bytes = &bytes,
                          .step = step};
      OK(tn_ipc_read(&stream, &pipe.base, &problem));
      for (int i = 0; i < BATCHES; i++) {
        OK(tn_stream_next(&stream, &batch, &problem));
        must_be_equal(&t, &batch, i, 0);
        tn_array_clear(&batch);
      }
      assert_int_equal(tn_stream_next(&stream, &batch, &problem), TN_END);
      tn_stream_clear(&stream);
      tn_strbuf_clear(&bytes);
    }
  table_clear(&t);
}

/* ---- a choice of columns ---- */
static void others_are_stepped_over(void **state) {
  dice d = {.state = new_seed(), .growing = true};
  table t = {0};
  OK(table_make(&t, &d, &problem));
  for (int form = 0; form < FORMS; form++) {
    tn_strbuf bytes = {0};
    OK(write_table(&bytes, &t, &forms[form], 0, &problem));
    for (int c = 0; c < TN_TYPE_COUNT; c++) {
      int other = (c + 7) % TN_TYPE_COUNT;
      const char *names[] = {t.root->children[c].name, t.root->children[other].name};
      tn_source *source;
      ArrowArrayStream stream;
      ArrowArray batch;
      OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
      OK(tn_ipc_read_columns(&stream, source, names, 2, &problem));
      for (int i = 0; i < BATCHES; i++) {
        OK(tn_stream_next(&stream, &batch, &problem));
        assert_int_equal(batch.n_children, 2);
        const tn_field *f = &t.root->children[c], *g = &t.root->children[other];
        assert_true(tn_array_equal(f, t.batches[i].children[c], f, batch.children[0]));
        assert_true(tn_array_equal(g, t.batches[i].children[other], g, batch.children[1]));
        tn_array_clear(&batch);
      }
      tn_stream_clear(&stream);
    }
    tn_strbuf_clear(&bytes);
  }
  table_clear(&t);
}

/* ---- hostile bytes ---- */
/* Everything must be an error with words, or arrays that validate. */
static bool is_read(const char *data, size_t length) {
  tn_source *source;
  ArrowArrayStream stream;
  ArrowSchema schema = {0};
  ArrowArray batch;
  tn_arena arena = {0};
  tn_field *root;
  tn_error err = {0};
  tn_ipc_read_options options = {.batch_bytes_max = 16 << 20};
  OK(tn_source_open_memory(&source, "t.arrow", data, length, &problem));
  tn_status status = tn_ipc_read_with(&stream, source, &options, &err);
  if (status != TN_OK) {
    assert_true(err.text[0]);
    return false;
  }
  OK(tn_stream_schema(&stream, &schema, &problem));
  OK(tn_field_tree(&root, &arena, &schema, &problem));
  while ((status = tn_stream_next(&stream, &batch, &err)) == TN_OK) {
    OK(tn_array_validate(root, &batch, false, &problem));
    tn_array_clear(&batch);
  }
  assert_true(status == TN_END || err.text[0]);
  tn_arena_clear(&arena);
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
  return status == TN_END;
}

static void flipped_bytes_are_errors_or_valid(void **state) {
  dice d = {.state = new_seed(), .growing = true};
  int64_t refused = 0;
  for (int form = 0; form < FORMS; form++) {
    table t = {0};
    tn_strbuf bytes = {0};
    OK(table_make(&t, &d, &problem));
    OK(write_table(&bytes, &t, &forms[form], 0, &problem));
    int64_t live = tn_alloc_live();
    char *copy = malloc(bytes.length);
    for (int i = 0; i < 150; i++) {
      memcpy(copy, bytes.data, bytes.length);
      for (uint64_t k = 0, n = 1 + roll(&d, 3); k < n; k++)
        copy[roll(&d, bytes.length)] ^= (char)(1 << roll(&d, 8));
      refused += !is_read(copy, bytes.length);
      assert_int_equal(tn_alloc_live(), live);
    }
    free(copy);
    tn_strbuf_clear(&bytes);
    table_clear(&t);
  }
  assert_true(refused > 50);
}

static void truncated_streams_are_errors(void **state) {
  dice d = {.state = new_seed(), .growing = true};
  table t = {0};
  tn_strbuf bytes = {0};
  OK(table_make(&t, &d, &problem));
  OK(write_table(&bytes, &t, &forms[1], 0, &problem));
  for (size_t length = 0; length + 4 <= bytes.length; length += 1 + roll(&d, 40)) {
    char *cut = malloc(length + 1);
    memcpy(cut, bytes.data, length);
    /* Cut between two messages, what is there is whole: the next one would begin here. */
    if (is_read(cut, length)) assert_memory_equal(bytes.data + length, "\xff\xff\xff\xff", 4);
    free(cut);
  }
  tn_strbuf_clear(&bytes);
  table_clear(&t);
}

/* ---- memory ---- */
static tn_status go_round(void *context, tn_error *err) {
  const table *t = context;
  tn_status status = TN_OK;
  for (int form = 0; status == TN_OK && form < FORMS; form += 3) {
    tn_strbuf bytes = {0};
    ArrowArrayStream stream;
    ArrowArray batch;
    status = write_table(&bytes, t, &forms[form], 3, err);
    if (status == TN_OK && (status = open_bytes(&stream, &bytes, err)) == TN_OK) {
      while ((status = tn_stream_next(&stream, &batch, err)) == TN_OK) tn_array_clear(&batch);
      if (status == TN_END) status = TN_OK;
      tn_stream_clear(&stream);
    }
    tn_strbuf_clear(&bytes);
  }
  return status;
}

static void every_allocation_may_fail(void **state) {
  dice d = {.state = 7, .growing = true};
  table t = {0};
  OK(table_make(&t, &d, &problem));
  t.count = 1;
  assert_true(fail_each_allocation(go_round, &t) > 1000);
  table_clear(&t);
}

/* ---- limits and refusals ---- */
/* A schema of one column and a batch of it. */
static void one_column(ArrowSchema *schema, ArrowArray *batch, const char *format, int64_t rows) {
  tn_builder *b;
  tn_type type;
  ArrowArray column;
  OK(tn_schema_init(schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(schema, 1, &problem));
  OK(tn_schema_init(schema->children[0], format, "c", ARROW_FLAG_NULLABLE, &problem));
  OK(tn_type_parse(format, &type, &problem));
  OK(tn_builder_new_type(&b, &type, &problem));
  for (int64_t i = 0; i < rows; i++) OK(tn_builder_append_i64(b, i % 3, &problem));
  OK(tn_builder_finish(b, &column, &problem));
  OK(tn_batch_new(batch, &column, 1, rows, &problem));
  tn_builder_free(b);
}

static void decompression_has_a_limit(void **state) {
  ArrowSchema schema;
  ArrowArray batch, back;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_ipc_writer *w;
  tn_source *source;
  ArrowArrayStream stream;
  tn_error err = {0};
  one_column(&schema, &batch, "l", 200000);
  OK(tn_sink_open_memory(&sink, "bomb.arrow", &bytes, &problem));
  OK(tn_ipc_writer_open(&w, sink, &schema, &forms[2], &problem));
  OK(tn_ipc_writer_batch(w, &batch, &problem));
  OK(tn_ipc_writer_finish(w, &problem));
  assert_true(bytes.length < 100000);
  tn_ipc_read_options options = {.batch_bytes_max = 1000000};
  OK(tn_source_open_memory(&source, "bomb.arrow", bytes.data, bytes.length, &problem));
  OK(tn_ipc_read_with(&stream, source, &options, &problem));
  assert_int_equal(tn_stream_next(&stream, &back, &err), TN_ERR_LIMIT);
  CONTAINS(err.text, "bomb.arrow");
  CONTAINS(err.text, "1000000 bytes");
  tn_stream_clear(&stream);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
  tn_array_clear(&batch);
  tn_schema_clear(&schema);
}

/* ---- dictionaries of a file that differ ---- */
typedef enum word_kind { WORDS, LISTS_OF_WORDS, LISTS_OF_INDICES, WORD_KINDS } word_kind;

typedef struct words { /* batches of one column: a dictionary of letters ('-': null), a row each */
  word_kind kind;
  const char *index;
  int64_t flags;
  const char *letters[8]; /* of each batch; NULL: no more */
  int64_t values;         /* in the file's dictionary at the end */
} words;

static tn_status words_schema(ArrowSchema *out, const words *w, tn_error *err) {
  TN_TRY(tn_schema_init(out, "+s", "", 0, err));
  TN_TRY(tn_schema_add_children(out, 1, err));
  ArrowSchema *c = out->children[0];
  TN_TRY(tn_schema_init(c, w->index, "letters", ARROW_FLAG_NULLABLE | w->flags, err));
  TN_TRY(tn_schema_add_dictionary(c, err));
  if (w->kind == WORDS) return tn_schema_init(c->dictionary, "z", "", ARROW_FLAG_NULLABLE, err);
  TN_TRY(tn_schema_init(c->dictionary, "+l", "", ARROW_FLAG_NULLABLE, err));
  TN_TRY(tn_schema_add_children(c->dictionary, 1, err));
  ArrowSchema *item = c->dictionary->children[0];
  if (w->kind == LISTS_OF_WORDS) return tn_schema_init(item, "u", "item", ARROW_FLAG_NULLABLE, err);
  TN_TRY(tn_schema_init(item, "S", "item", ARROW_FLAG_NULLABLE, err));
  TN_TRY(tn_schema_add_dictionary(item, err));
  return tn_schema_init(item->dictionary, "u", "", ARROW_FLAG_NULLABLE, err);
}

static tn_status append_word(tn_builder *values, word_kind kind, tn_str word, tn_error *err) {
  if (word.data[0] == '-') return tn_builder_append_null(values, err);
  if (kind == WORDS) return tn_builder_append_str(values, word, err);
  tn_builder *item = tn_builder_child(values, 0);
  if (kind == LISTS_OF_INDICES) {
    tn_builder *inner = tn_builder_dictionary(item);
    TN_TRY(tn_builder_append_i64(item, tn_builder_length(inner), err));
    item = inner;
  }
  TN_TRY(tn_builder_append_str(item, word, err));
  return tn_builder_end_list(values, err);
}

/* Rows: each value backwards, then a null. */
static tn_status words_batch(ArrowArray *out, const tn_field *root, const words *w,
                             const char *letters, tn_error *err) {
  tn_builder *b;
  ArrowArray column = {0};
  int64_t count = (int64_t)strlen(letters);
  TN_TRY(tn_builder_new_field(&b, &root->children[0], err));
  tn_status status = TN_OK;
  for (int64_t i = 0; status == TN_OK && i < count; i++)
    status = append_word(tn_builder_dictionary(b), w->kind, (tn_str){letters + i, 1}, err);
  for (int64_t i = 0; status == TN_OK && i < count; i++)
    status = tn_builder_append_i64(b, count - 1 - i, err);
  if (status == TN_OK) status = tn_builder_append_null(b, err);
  if (status == TN_OK) status = tn_builder_finish(b, &column, err);
  if (status == TN_OK) status = tn_batch_new(out, &column, 1, count + 1, err);
  tn_array_clear(&column);
  tn_builder_free(b);
  return status;
}

typedef struct writing {
  const words *words;
  ArrowSchema schema;
  tn_arena arena;
  tn_field *root;
  tn_strbuf bytes;
} writing;

static void writing_clear(writing *t) {
  tn_schema_clear(&t->schema);
  tn_arena_clear(&t->arena);
  tn_strbuf_clear(&t->bytes);
}

static tn_status write_batches(writing *t, tn_ipc_writer *w, tn_error *err) {
  for (int i = 0; i < 8 && t->words->letters[i]; i++) {
    ArrowArray batch;
    TN_TRY(words_batch(&batch, t->root, t->words, t->words->letters[i], err));
    tn_status status = tn_ipc_writer_batch(w, &batch, err);
    tn_array_clear(&batch);
    TN_TRY(status);
  }
  return tn_ipc_writer_finish(w, err);
}

static tn_status write_words(writing *t, const words *what, tn_error *err) {
  tn_sink *sink = NULL;
  tn_ipc_writer *w = NULL;
  *t = (writing){.words = what};
  TN_TRY(words_schema(&t->schema, what, err));
  TN_TRY(tn_field_tree(&t->root, &t->arena, &t->schema, err));
  TN_TRY(tn_sink_open_memory(&sink, "t.arrow", &t->bytes, err));
  tn_status status = tn_ipc_writer_open(&w, sink, &t->schema, NULL, err);
  if (status == TN_OK) status = write_batches(t, w, err);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  return status;
}

static void must_read_words(const writing *t) {
  ArrowArrayStream stream;
  ArrowArray got, want;
  OK(open_bytes(&stream, &t->bytes, &problem));
  for (int i = 0; i < 8 && t->words->letters[i]; i++) {
    OK(tn_stream_next(&stream, &got, &problem));
    OK(words_batch(&want, t->root, t->words, t->words->letters[i], &problem));
    OK(tn_array_validate(t->root, &got, true, &problem));
    assert_true(tn_array_equal(t->root, &got, t->root, &want));
    assert_int_equal(got.children[0]->dictionary->length, t->words->values);
    tn_array_clear(&got);
    tn_array_clear(&want);
  }
  tn_stream_clear(&stream);
}

static void a_file_has_each_value_once(void **state) {
  static const words cases[] = {
      {.letters = {"abc", "cd", "ba", "abcd"}, .values = 4},
      {.letters = {"abc", "xyz", "abc", "xyz", "zyxcba"}, .values = 6}, /* turns */
      {.letters = {"ab-", "-ba", "c-", "abc-d"}, .values = 5},
      {.letters = {"aab", "ba", "caab"}, .values = 4}, /* the first goes as it is */
      {.letters = {"bc", "b", "bcbd", "dd"}, .values = 4},
      {.letters = {"bc", "x", "xyz", "xy", "xyzyb"}, .values = 5}, /* the second goes on */
      {.letters = {"", "", "ab", "ba", ""}, .values = 2}};
  for (word_kind kind = WORDS; kind < WORD_KINDS; kind++)
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
      static const char *const indices[] = {"c", "C", "s", "S", "i", "I", "l", "L"};
      words w = cases[i];
      writing t;
      w.kind = kind;
      w.index = indices[(i + kind) % 8];
      OK(write_words(&t, &w, &problem));
      must_read_words(&t);
      writing_clear(&t);
    }
}

static void a_stream_replaces_its_dictionary(void **state) {
  static const words w = {.index = "c", .letters = {"abc", "cd"}, .values = 2};
  writing t;
  tn_sink *sink;
  tn_ipc_writer *writer;
  ArrowArrayStream stream;
  ArrowArray got;
  OK(write_words(&t, &w, &problem));
  tn_strbuf_clear(&t.bytes);
  OK(tn_sink_open_memory(&sink, "t.arrows", &t.bytes, &problem));
  OK(tn_ipc_writer_open(&writer, sink, &t.schema, &forms[1], &problem));
  OK(write_batches(&t, writer, &problem));
  OK(open_bytes(&stream, &t.bytes, &problem));
  for (int64_t values = 3; values > 1; values--) {
    OK(tn_stream_next(&stream, &got, &problem));
    assert_int_equal(got.children[0]->dictionary->length, values);
    tn_array_clear(&got);
  }
  tn_stream_clear(&stream);
  tn_ipc_writer_free(writer);
  tn_sink_close(sink);
  writing_clear(&t);
}

static void ordered_dictionaries_keep_their_order(void **state) {
  static const words cases[] = {{.letters = {"abc", "bcd", "ac", "b-de"}, .values = 6},
                                {.letters = {"abc", "cb"}},
                                {.letters = {"ac", "abc"}}, /* b would be the greatest */
                                {.letters = {"ab", "c", "ca"}}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    words w = cases[i];
    writing t;
    tn_error err = {0};
    w.index = "i";
    w.flags = ARROW_FLAG_DICTIONARY_ORDERED;
    tn_status status = write_words(&t, &w, &err);
    assert_int_equal(status, w.values ? TN_OK : TN_ERR_UNSUPPORTED);
    if (w.values) must_read_words(&t);
    if (!w.values) CONTAINS(err.text, "t.arrow: column \"letters\": an ordered dictionary");
    writing_clear(&t);
  }
}

/* 64 letters a batch, from `first` on. */
static const char *letters_from(char *out, int first) {
  for (int i = 0; i < 64; i++) out[i] = (char)(first + i);
  out[64] = 0;
  return out;
}

static void indices_have_a_limit(void **state) {
  char first[65], second[65];
  words w = {.index = "c", .values = 128};
  writing t;
  tn_error err = {0};
  w.letters[0] = letters_from(first, 64);
  w.letters[1] = letters_from(second, 128);
  OK(write_words(&t, &w, &problem));
  must_read_words(&t);
  writing_clear(&t);
  w.letters[2] = "a!";
  assert_int_equal(write_words(&t, &w, &err), TN_ERR_UNSUPPORTED);
  CONTAINS(err.text, "t.arrow: column \"letters\": the file's dictionary grows to 129 values");
  CONTAINS(err.text, "indices of int8 count 128");
  CONTAINS(err.text, ".arrows");
  writing_clear(&t);
  w.index = "C";
  w.values = 129;
  OK(write_words(&t, &w, &problem));
  must_read_words(&t);
  writing_clear(&t);
}

static void indices_beyond_their_dictionary_are_refused(void **state) {
  static const words w = {.index = "i", .letters = {"abc", "cd"}, .values = 4};
  writing t;
  tn_sink *sink;
  tn_ipc_writer *writer;
  ArrowArray batch;
  tn_strbuf bytes = {0};
  tn_error err = {0};
  OK(write_words(&t, &w, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  OK(tn_ipc_writer_open(&writer, sink, &t.schema, NULL, &problem));
  for (int i = 0; i < 2; i++) {
    OK(words_batch(&batch, t.root, &w, w.letters[i], &problem));
    if (i == 1) ((int32_t *)(uintptr_t)batch.children[0]->buffers[1])[0] = -1;
    tn_status status = tn_ipc_writer_batch(writer, &batch, &err);
    assert_int_equal(status, i == 1 ? TN_ERR_ARGUMENT : TN_OK);
    tn_array_clear(&batch);
  }
  CONTAINS(err.text, "column \"letters\": an array of int32 has an index beyond its dictionary");
  tn_ipc_writer_free(writer);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
  writing_clear(&t);
}

static tn_status write_differing(void *context, tn_error *err) {
  writing t = {0};
  tn_status status = write_words(&t, context, err);
  writing_clear(&t);
  return status;
}

static void allocations_for_differing_dictionaries_may_fail(void **state) {
  for (word_kind kind = WORDS; kind < WORD_KINDS; kind++) {
    words w = {.kind = kind, .index = "i", .letters = {"abc", "xa-", "xa-yaz", "cz-"}};
    assert_true(fail_each_allocation(write_differing, &w) > 50);
  }
}

static void footers_have_metadata(void **state) {
  static const char *const pairs[] = {"made by", "tenon", "empty", ""};
  ArrowSchema schema;
  ArrowArray batch;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_ipc_writer *w;
  tn_source *source;
  tn_ipc_file *file;
  tn_ipc_write_options options = {.footer_metadata = pairs, .footer_metadata_count = 4};
  one_column(&schema, &batch, "c", 3);
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  OK(tn_ipc_writer_open(&w, sink, &schema, &options, &problem));
  OK(tn_ipc_writer_finish(w, &problem));
  OK(tn_source_open_memory(&source, "t.arrow", bytes.data, bytes.length, &problem));
  OK(tn_ipc_file_open(&file, source, &problem));
  const char *got = tn_ipc_file_footer_metadata(file);
  int64_t at = 4;
  assert_int_equal(got[0], 2);
  for (int i = 0; i < 4; i++) assert_true(tn_str_is(tn_metadata_next(got, &at), pairs[i]));
  tn_ipc_file_close(file);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
  tn_array_clear(&batch);
  tn_schema_clear(&schema);
}

/* ---- byte order ---- */
static void words_are_swapped(void **state) {
  static const struct {
    tn_ipc_words words;
    uint8_t want[16];
  } rows[] = {
      {TN_IPC_WORDS_1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
      {TN_IPC_WORDS_2, {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14}},
      {TN_IPC_WORDS_4, {3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12}},
      {TN_IPC_WORDS_8, {7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8}},
      {TN_IPC_WORDS_16, {15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
      {TN_IPC_WORDS_4_4_8, {3, 2, 1, 0, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8}},
      {TN_IPC_WORDS_VIEW, {3, 2, 1, 0, 4, 5, 6, 7, 11, 10, 9, 8, 15, 14, 13, 12}},
  };
  uint8_t from[32], to[32];
  for (int i = 0; i < 32; i++) from[i] = (uint8_t)i;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    tn_ipc_swap(to, from, 16, rows[i].words);
    assert_memory_equal(to, rows[i].want, 16);
  }
  tn_ipc_swap(to, from, 32, TN_IPC_WORDS_32);
  for (int i = 0; i < 32; i++) assert_int_equal(to[i], 31 - i);
  const uint8_t small[16] = {0, 0, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  tn_ipc_swap(to, small, 16, TN_IPC_WORDS_VIEW); /* text of 12 bytes stays in its order */
  assert_int_equal(to[0], 12);
  assert_memory_equal(to + 4, small + 4, 12);
  tn_ipc_swap(to, from, 7, TN_IPC_WORDS_4); /* no whole value: as it is */
  assert_memory_equal(to + 4, from + 4, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type_goes_round),
      cmocka_unit_test(dictionaries_may_change),
      cmocka_unit_test(a_pipe_will_do),
      cmocka_unit_test(others_are_stepped_over),
      cmocka_unit_test(flipped_bytes_are_errors_or_valid),
      cmocka_unit_test(truncated_streams_are_errors),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(decompression_has_a_limit),
      cmocka_unit_test(a_file_has_each_value_once),
      cmocka_unit_test(a_stream_replaces_its_dictionary),
      cmocka_unit_test(ordered_dictionaries_keep_their_order),
      cmocka_unit_test(indices_have_a_limit),
      cmocka_unit_test(indices_beyond_their_dictionary_are_refused),
      cmocka_unit_test(allocations_for_differing_dictionaries_may_fail),
      cmocka_unit_test(footers_have_metadata),
      cmocka_unit_test(words_are_swapped),
  };
  return cmocka_run_group_tests_name("ipc types", tests, NULL, NULL);
}
