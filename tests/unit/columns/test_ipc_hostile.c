/* SPDX-License-Identifier: Apache-2.0 */
/* Arrow IPC from bytes that mean harm, from odd places, and from another byte order. */
#include "ipc_test.h"

#include <pthread.h>
#include <time.h>

#include "columns/ipc_buffer.h"
#include "columns/ipc_format.h"
#include "columns/ipc_schema.h"

/* ---- small files of a few random columns ---- */
typedef struct small {
  ArrowSchema schema;
  tn_arena arena;
  tn_field *root;
  ArrowArray batches[2];
  tn_strbuf bytes;
} small;

static void small_make(small *s, int columns, int64_t rows, const tn_ipc_write_options *options,
                       dice *d) {
  static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
  tn_sink *sink;
  tn_ipc_writer *w;
  d->growing = true;
  *s = (small){0};
  OK(tn_schema_init(&s->schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(&s->schema, columns, &problem));
  for (int c = 0; c < columns; c++)
    OK(random_field(s->schema.children[c], names[c], true, any_type(1, d), 2, d, &problem));
  OK(tn_field_tree(&s->root, &s->arena, &s->schema, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrow", &s->bytes, &problem));
  OK(tn_ipc_writer_open(&w, sink, &s->schema, options, &problem));
  for (int i = 0; i < 2; i++) {
    OK(random_batch(&s->batches[i], s->root, rows, d, &problem));
    OK(tn_ipc_writer_batch(w, &s->batches[i], &problem));
  }
  OK(tn_ipc_writer_finish(w, &problem));
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
}

static void small_clear(small *s) {
  for (int i = 0; i < 2; i++) tn_array_clear(&s->batches[i]);
  tn_schema_clear(&s->schema);
  tn_arena_clear(&s->arena);
  tn_strbuf_clear(&s->bytes);
}

/* An error with words, or arrays that validate. */
static tn_status read_bytes(const void *data, size_t length, tn_error *err) {
  tn_source *source;
  ArrowArrayStream stream;
  ArrowSchema schema;
  ArrowArray batch;
  tn_arena arena = {0};
  tn_field *root;
  tn_ipc_read_options options = {.batch_bytes_max = 1 << 20};
  OK(tn_source_open_memory(&source, "t.arrow", data, length, &problem));
  TN_TRY(tn_ipc_read_with(&stream, source, &options, err));
  OK(tn_stream_schema(&stream, &schema, &problem));
  OK(tn_field_tree(&root, &arena, &schema, &problem));
  tn_status status;
  while ((status = tn_stream_next(&stream, &batch, err)) == TN_OK) {
    if (batch.length < 100000) OK(tn_array_validate(root, &batch, false, &problem));
    tn_array_clear(&batch);
  }
  tn_arena_clear(&arena);
  tn_schema_clear(&schema);
  tn_stream_clear(&stream);
  return status == TN_END ? TN_OK : status;
}

static void every_byte_may_be_wrong(void **state) {
  static const tn_ipc_write_options forms[] = {
      {0}, {.stream = true}, {.stream = true, .codec = TN_IPC_LZ4}, {.codec = TN_IPC_ZSTD}};
  static const uint8_t masks[] = {0xff, 0x01};
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  for (int form = 0; form < 4; form++) {
    dice d = {.state = seed + (uint64_t)form};
    small s;
    small_make(&s, 2, 9, &forms[form], &d);
    int64_t live = tn_alloc_live();
    int refused = 0;
    uint8_t *copy = malloc(s.bytes.length); /* exactly so long, for the sanitizer's eyes */
    for (size_t at = 0; at < s.bytes.length; at++)
      for (size_t m = 0; m < sizeof masks; m++) {
        tn_error err = {0};
        memcpy(copy, s.bytes.data, s.bytes.length);
        copy[at] ^= masks[m];
        tn_status status = read_bytes(copy, s.bytes.length, &err);
        if (status != TN_OK) CONTAINS(err.text, "t.arrow");
        refused += status != TN_OK;
        assert_int_equal(tn_alloc_live(), live);
      }
    assert_true(refused > 50);
    free(copy);
    small_clear(&s);
  }
}

/* ---- metadata made by hand ---- */
/* A stream of one schema message whose Schema table `fill` completes. */
static void schema_stream(tn_strbuf *out, int version, int64_t feature,
                          void (*fill)(tn_strbuf *b, size_t fields_at)) {
  tn_strbuf b = {0};
  tn_flat_field message[] = {{TN_IPC_MESSAGE_HEADER, 4},
                             {TN_IPC_MESSAGE_VERSION, 2, (uint64_t)version},
                             {TN_IPC_MESSAGE_HEADER_TYPE, 1, TN_IPC_HEADER_SCHEMA}};
  tn_flat_field schema[] = {{TN_IPC_SCHEMA_FIELDS, 4}, {TN_IPC_SCHEMA_FEATURES, 4}};
  tn_flat_begin(&b);
  tn_flat_point(&b, 0, tn_flat_add_table(&b, message, 3));
  tn_flat_point(&b, message[0].at, tn_flat_add_table(&b, schema, 2));
  tn_flat_point(&b, schema[1].at, tn_flat_add_vector(&b, &feature, 1, 8, 8));
  fill(&b, schema[0].at);
  int32_t prefix[2] = {-1, (int32_t)b.length};
  tn_strbuf_reset(out);
  tn_strbuf_append(out, prefix, 8);
  tn_strbuf_append(out, b.data, b.length);
  tn_strbuf_clear(&b);
}

static void no_fields(tn_strbuf *b, size_t at) {
  tn_flat_point(b, at, tn_flat_add_vector(b, NULL, 0, 4, 4));
}

/* A field of a kind of type; its children's offset is left for the caller. */
static size_t add_field(tn_strbuf *b, int kind, size_t *children_at) {
  tn_flat_field field[] = {
      {TN_IPC_FIELD_TYPE, 4}, {TN_IPC_FIELD_CHILDREN, 4}, {TN_IPC_FIELD_KIND, 1, (uint64_t)kind}};
  size_t table = tn_flat_add_table(b, field, children_at ? 3 : 1);
  if (children_at) *children_at = field[1].at;
  tn_flat_point(b, field[0].at, tn_flat_add_table(b, NULL, 0));
  return table;
}

/* Ten children that are all the same field, whose ten children are all the same field ... */
static void exploding(tn_strbuf *b, size_t at) {
  for (int level = 0; level < 12; level++) {
    size_t vector = tn_flat_add_vector(b, NULL, 10, 4, 4);
    tn_flat_point(b, at, vector);
    size_t field = add_field(b, TN_IPC_STRUCT, &at);
    for (size_t i = 0; i < 10; i++) tn_flat_point(b, vector + 4 + 4 * i, field);
  }
  no_fields(b, at);
}

static void deep(tn_strbuf *b, size_t at) {
  for (int level = 0; level < 80; level++) {
    size_t vector = tn_flat_add_vector(b, NULL, 1, 4, 4);
    tn_flat_point(b, at, vector);
    tn_flat_point(b, vector + 4, add_field(b, TN_IPC_LIST, &at));
  }
  no_fields(b, at);
}

static void unknown_type(tn_strbuf *b, size_t at) {
  size_t vector = tn_flat_add_vector(b, NULL, 1, 4, 4), children;
  tn_flat_point(b, at, vector);
  tn_flat_point(b, vector + 4, add_field(b, 99, &children));
  no_fields(b, children);
}

static void schemas_of_harm_are_refused(void **state) {
  static const struct {
    int version;
    int64_t feature;
    void (*fill)(tn_strbuf *, size_t);
    tn_status status;
    const char *words;
  } rows[] = {
      {TN_IPC_VERSION_5, 2, no_fields, TN_OK, ""},
      {TN_IPC_VERSION_4, 0, no_fields, TN_OK, ""},
      {TN_IPC_VERSION_5 + 1, 0, no_fields, TN_ERR_UNSUPPORTED, "metadata version V6"},
      {TN_IPC_VERSION_4 - 1, 0, no_fields, TN_ERR_UNSUPPORTED, "metadata version V3"},
      {TN_IPC_VERSION_5, 77, no_fields, TN_ERR_UNSUPPORTED, "feature 77"},
      {TN_IPC_VERSION_5, 0, unknown_type, TN_ERR_UNSUPPORTED, "kind 99"},
      {TN_IPC_VERSION_5, 0, exploding, TN_ERR_DATA, "malformed"},
      {TN_IPC_VERSION_5, 0, deep, TN_ERR_LIMIT, "deeper than 64"},
  };
  tn_strbuf bytes = {0};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    tn_error err = {0};
    schema_stream(&bytes, rows[i].version, rows[i].feature, rows[i].fill);
    assert_int_equal(read_bytes(bytes.data, bytes.length, &err), rows[i].status);
    CONTAINS(err.text, rows[i].words);
    if (rows[i].status != TN_OK) CONTAINS(err.text, "t.arrow");
  }
  tn_strbuf_clear(&bytes);
}

static void claimed_sizes_cost_nothing(void **state) {
  tn_error err = {0};
  const int32_t huge[] = {-1, INT32_MAX, 0, 0}, negative[] = {-1, -8, 0, 0};
  assert_int_equal(read_bytes(huge, sizeof huge, &err), TN_ERR_LIMIT);
  CONTAINS(err.text, "t.arrow: the message at byte 0 has 2147483647 bytes of metadata");
  assert_int_equal(read_bytes(negative, sizeof negative, &err), TN_ERR_DATA);
  const int32_t beyond[] = {-1, 4096, 0, 0};
  assert_int_equal(read_bytes(beyond, sizeof beyond, &err), TN_ERR_DATA);
  CONTAINS(err.text, "truncated");
}

/* ---- rows without bytes ---- */
static void free_rows_have_a_limit(void **state) {
  ArrowSchema schema;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_ipc_writer *w;
  tn_error err = {0};
  OK(tn_schema_init(&schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(&schema, 1, &problem));
  OK(tn_schema_init(schema.children[0], "n", "nothing", ARROW_FLAG_NULLABLE, &problem));
  ArrowArray column = {.length = TN_IPC_FREE_ROWS_MAX + 1, .null_count = TN_IPC_FREE_ROWS_MAX + 1};
  ArrowArray *columns[] = {&column};
  ArrowArray batch = {.length = column.length, .n_children = 1, .children = columns};
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  OK(tn_ipc_writer_new(&w, sink, &schema, NULL, 0, &problem));
  OK(tn_ipc_writer_batch(w, &batch, &problem));
  OK(tn_ipc_writer_finish(w, &problem));
  assert_int_equal(read_bytes(bytes.data, bytes.length, &err), TN_ERR_LIMIT);
  CONTAINS(err.text, "column \"nothing\"");
  CONTAINS(err.text, "rows that take no bytes, limit 4294967296");
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
  tn_schema_clear(&schema);
}

/* ---- where the bytes are ---- */
typedef struct range_source { /* like an object store: ranges are copied, and counted */
  tn_source base;
  const tn_strbuf *bytes;
} range_source;

static tn_status range_read_at(tn_source *self, int64_t offset, void *dst, size_t bytes,
                               tn_error *err) {
  memcpy(dst, ((range_source *)self)->bytes->data + offset, bytes);
  self->bytes_read += (int64_t)bytes;
  return TN_OK;
}
static tn_status range_view_at(tn_source *self, int64_t offset, size_t bytes, tn_buffer **out,
                               const uint8_t **data, tn_error *err) {
  TN_TRY(tn_buffer_new(out, bytes, err));
  *data = (*out)->data;
  return range_read_at(self, offset, (*out)->data, bytes, err);
}
static void range_close(tn_source *self) {}

static void unwanted_columns_are_not_read(void **state) {
  static const tn_ipc_write_options forms[] = {{0}, {.stream = true}};
  for (int form = 0; form < 2; form++) {
    static const char *const one[] = {"b"};
    dice d = {.state = 11};
    small s;
    ArrowArrayStream stream;
    ArrowArray batch;
    small_make(&s, 6, 5000, &forms[form], &d);
    int64_t totals[2];
    for (int all = 0; all < 2; all++) {
      range_source source = {{"far.arrow", (int64_t)s.bytes.length, range_read_at, range_view_at,
                              .close = range_close},
                             &s.bytes};
      OK(tn_ipc_read_columns(&stream, &source.base, all ? NULL : one, 1, &problem));
      for (int i = 0; i < 2; i++) {
        OK(tn_stream_next(&stream, &batch, &problem));
        const tn_field *f = &s.root->children[1];
        assert_true(tn_array_equal(f, s.batches[i].children[1], f, batch.children[all ? 1 : 0]));
        tn_array_clear(&batch);
      }
      assert_int_equal(tn_stream_next(&stream, &batch, &problem), TN_END);
      tn_stream_clear(&stream);
      totals[all] = source.base.bytes_read;
    }
    assert_true(totals[0] < totals[1] / 2);
    small_clear(&s);
  }
}

static void misplaced_buffers_are_copied(void **state) {
  static const tn_ipc_write_options forms[] = {{0}, {.stream = true}};
  dice d = {.state = 5};
  for (int round = 0; round < 40; round++) {
    small s;
    ArrowArrayStream stream;
    ArrowArray batch;
    tn_source *source;
    small_make(&s, 4, 20, &forms[round % 2], &d);
    char *moved = malloc(s.bytes.length + 3);
    memcpy(moved + 3, s.bytes.data, s.bytes.length);
    OK(tn_source_open_memory(&source, "odd.arrow", moved + 3, s.bytes.length, &problem));
    OK(tn_ipc_read(&stream, source, &problem));
    for (int i = 0; i < 2; i++) {
      OK(tn_stream_next(&stream, &batch, &problem));
      for (int c = 0; c < 4; c++) {
        const tn_field *f = &s.root->children[c];
        assert_true(tn_array_equal(f, s.batches[i].children[c], f, batch.children[c]));
      }
      tn_array_clear(&batch);
    }
    tn_stream_clear(&stream);
    free(moved);
    small_clear(&s);
  }
}

/* ---- one file, two threads ---- */
typedef struct shared_file {
  tn_ipc_file *file;
  const small *s;
  int wrong;
} shared_file;

static void *read_many(void *context) {
  shared_file *f = context;
  for (int i = 0; i < 100; i++) {
    ArrowArray batch;
    if (tn_ipc_file_batch(f->file, i % 2, &batch, NULL) != TN_OK) {
      __atomic_fetch_add(&f->wrong, 1, __ATOMIC_RELAXED);
      continue;
    }
    for (int c = 0; c < 6; c++) {
      const tn_field *field = &f->s->root->children[c];
      if (!tn_array_equal(field, f->s->batches[i % 2].children[c], field, batch.children[c]))
        __atomic_fetch_add(&f->wrong, 1, __ATOMIC_RELAXED);
    }
    tn_array_clear(&batch);
  }
  return NULL;
}

static void batches_come_from_any_thread(void **state) {
  for (uint64_t seed = 0; seed < 5; seed++) {
    static const tn_ipc_write_options plain;
    dice d = {.state = seed};
    small s;
    tn_source *source;
    pthread_t threads[2];
    small_make(&s, 6, 30, &plain, &d);
    shared_file f = {.s = &s};
    OK(tn_source_open_memory(&source, "t.arrow", s.bytes.data, s.bytes.length, &problem));
    OK(tn_ipc_file_open(&f.file, source, &problem));
    for (int i = 0; i < 2; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, read_many, &f), 0);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_int_equal(f.wrong, 0);
    tn_ipc_file_close(f.file);
    small_clear(&s);
  }
}

/* ---- another byte order ---- */
/* A column whose values are stored the other way round, in a stream that says so. */
static void check_big_endian(const char *format, tn_ipc_words words, size_t width) {
  uint8_t values[96], swapped[96];
  int64_t rows = (int64_t)(sizeof values / width);
  for (size_t i = 0; i < sizeof values; i++) values[i] = (uint8_t)(i * 37 + 1);
  tn_ipc_swap(swapped, values, sizeof values, words);
  const void *buffers[] = {NULL, swapped};
  ArrowArray column = {.length = rows, .n_buffers = 2, .buffers = buffers}, back;
  ArrowArray *columns[] = {&column};
  ArrowArray batch = {.length = rows, .n_children = 1, .children = columns};
  ArrowSchema schema;
  ArrowArrayStream stream;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_source *source;
  tn_ipc_writer *w;
  tn_ipc_write_options options = {.stream = true, .codec = TN_IPC_LZ4};
  OK(tn_schema_init(&schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(&schema, 1, &problem));
  OK(tn_schema_init(schema.children[0], format, "c", ARROW_FLAG_NULLABLE, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrows", &bytes, &problem));
  OK(tn_ipc_writer_open(&w, sink, &schema, &options, &problem));
  OK(tn_ipc_writer_batch(w, &batch, &problem));
  OK(tn_ipc_writer_finish(w, &problem));
  tn_flat_view view = {(const uint8_t *)bytes.data + 8, bytes.length - 8, false};
  tn_flat_table message = tn_flat_root(&view);
  tn_flat_table header = tn_flat_get_table(&message, TN_IPC_MESSAGE_HEADER);
  bytes.data[8 + header.at + 4] = 1; /* the byte order is the table's first field */
  assert_int_equal(tn_flat_int(&header, TN_IPC_SCHEMA_ENDIANNESS, 2, 0), 1);
  OK(tn_source_open_memory(&source, "t.arrows", bytes.data, bytes.length, &problem));
  OK(tn_ipc_read(&stream, source, &problem));
  OK(tn_stream_next(&stream, &back, &problem));
  assert_memory_equal(back.children[0]->buffers[1], values, sizeof values);
  tn_array_clear(&back);
  tn_stream_clear(&stream);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
  tn_schema_clear(&schema);
}

static void big_endian_values_are_swapped(void **state) {
  check_big_endian("c", TN_IPC_WORDS_1, 1);
  check_big_endian("w:12", TN_IPC_WORDS_1, 12);
  check_big_endian("S", TN_IPC_WORDS_2, 2);
  check_big_endian("e", TN_IPC_WORDS_2, 2);
  check_big_endian("i", TN_IPC_WORDS_4, 4);
  check_big_endian("tdD", TN_IPC_WORDS_4, 4);
  check_big_endian("tiD", TN_IPC_WORDS_4, 8);
  check_big_endian("l", TN_IPC_WORDS_8, 8);
  check_big_endian("tsu:UTC", TN_IPC_WORDS_8, 8);
  check_big_endian("d:38,2", TN_IPC_WORDS_16, 16);
  check_big_endian("d:76,2,256", TN_IPC_WORDS_32, 32);
  check_big_endian("tin", TN_IPC_WORDS_4_4_8, 16);
}

/* A few bytes of body that all buffers share would grow with every copy. */
static void shared_bytes_are_refused_where_they_are_copied(void **state) {
  static const int64_t values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const void *buffers[] = {NULL, values};
  ArrowArray column = {.length = 8, .n_buffers = 2, .buffers = buffers};
  ArrowArray *columns[] = {&column, &column, &column};
  ArrowArray batch = {.length = 8, .n_children = 3, .children = columns};
  static const char *const names[] = {"a", "b", "c"};
  ArrowSchema schema;
  tn_strbuf bytes = {0};
  tn_sink *sink;
  tn_ipc_writer *w;
  tn_ipc_write_options options = {.stream = true};
  OK(tn_schema_init(&schema, "+s", "", 0, &problem));
  OK(tn_schema_add_children(&schema, 3, &problem));
  for (int i = 0; i < 3; i++)
    OK(tn_schema_init(schema.children[i], "l", names[i], ARROW_FLAG_NULLABLE, &problem));
  OK(tn_sink_open_memory(&sink, "t.arrow", &bytes, &problem));
  OK(tn_ipc_writer_open(&w, sink, &schema, &options, &problem));
  size_t at = bytes.length;
  OK(tn_ipc_writer_batch(w, &batch, &problem));
  OK(tn_ipc_writer_finish(w, &problem));
  tn_flat_view view = {(const uint8_t *)bytes.data + at + 8, bytes.length - at - 8, false};
  tn_flat_table message = tn_flat_root(&view);
  tn_flat_table header = tn_flat_get_table(&message, TN_IPC_MESSAGE_HEADER);
  tn_flat_vector places = tn_flat_get_vector(&header, TN_IPC_BATCH_BUFFERS, TN_IPC_PAIR_BYTES);
  const int64_t all[2] = {0, 3 * 64};
  for (uint32_t i = 1; i < places.count; i += 2)
    memcpy(bytes.data + at + 8 + places.at + i * TN_IPC_PAIR_BYTES, all, sizeof all);
  tn_error err = {0};
  OK(read_bytes(bytes.data, bytes.length, &problem)); /* as views */
  view = (tn_flat_view){(const uint8_t *)bytes.data + 8, at - 8, false};
  message = tn_flat_root(&view);
  header = tn_flat_get_table(&message, TN_IPC_MESSAGE_HEADER);
  bytes.data[8 + header.at + 4] = 1; /* big-endian: to be swapped */
  assert_int_equal(read_bytes(bytes.data, bytes.length, &err), TN_ERR_DATA);
  CONTAINS(err.text, "column \"b\": a buffer overlaps another");
  bytes.data[8 + header.at + 4] = 0;
  char *odd = malloc(bytes.length + 1); /* badly placed: to be moved */
  memcpy(odd + 1, bytes.data, bytes.length);
  assert_int_equal(read_bytes(odd + 1, bytes.length, &err), TN_ERR_DATA);
  CONTAINS(err.text, "overlaps");
  free(odd);
  tn_ipc_writer_free(w);
  tn_sink_close(sink);
  tn_strbuf_clear(&bytes);
  tn_schema_clear(&schema);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_byte_may_be_wrong),
      cmocka_unit_test(schemas_of_harm_are_refused),
      cmocka_unit_test(claimed_sizes_cost_nothing),
      cmocka_unit_test(free_rows_have_a_limit),
      cmocka_unit_test(unwanted_columns_are_not_read),
      cmocka_unit_test(misplaced_buffers_are_copied),
      cmocka_unit_test(batches_come_from_any_thread),
      cmocka_unit_test(big_endian_values_are_swapped),
      cmocka_unit_test(shared_bytes_are_refused_where_they_are_copied),
  };
  return cmocka_run_group_tests_name("ipc hostile", tests, NULL, NULL);
}
