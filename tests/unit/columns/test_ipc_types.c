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

static void dictionaries_may_change_in_a_stream(void **state) {
  uint64_t seed = new_seed();
  for (uint64_t round = 0; round < 8; round++) {
    dice d = {.state = seed + round};
    table t = {0};
    tn_strbuf bytes = {0};
    OK(table_make(&t, &d, &problem));
    OK(write_table(&bytes, &t, &forms[1], 0, &problem));
    must_read(&t, &bytes, 0);
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

static void a_file_keeps_its_dictionary(void **state) {
  for (uint64_t seed = 0; seed < 50; seed++) {
    dice d = {.state = seed};
    table t = {0};
    tn_strbuf bytes = {0};
    tn_error err = {0};
    OK(table_make(&t, &d, &problem));
    tn_status status = write_table(&bytes, &t, &forms[0], 0, &err);
    bool encoded = false;
    for (int64_t c = 0; c < t.root->child_count; c++)
      encoded |= t.root->children[c].dictionary != NULL;
    if (encoded) {
      assert_int_equal(status, TN_ERR_UNSUPPORTED);
      CONTAINS(err.text, "another dictionary");
      CONTAINS(err.text, "t.arrow");
    }
    tn_strbuf_clear(&bytes);
    table_clear(&t);
    if (encoded) return;
  }
  fail();
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
      cmocka_unit_test(dictionaries_may_change_in_a_stream),
      cmocka_unit_test(a_pipe_will_do),
      cmocka_unit_test(others_are_stepped_over),
      cmocka_unit_test(flipped_bytes_are_errors_or_valid),
      cmocka_unit_test(truncated_streams_are_errors),
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(decompression_has_a_limit),
      cmocka_unit_test(a_file_keeps_its_dictionary),
      cmocka_unit_test(footers_have_metadata),
      cmocka_unit_test(words_are_swapped),
  };
  return cmocka_run_group_tests_name("ipc types", tests, NULL, NULL);
}
