/* The Parquet writer's parts and options: levels of known lists, the delta encodings byte by byte,
 * every type and option read back by our reader, the page index against the pages, threads. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "any_array.h"
#include "base/thread.h"
#include "columns/array.h"
#include "columns/equal.h"
#include "columns/gather.h"
#include "columns/parquet/bloom.h"
#include "columns/parquet/delta_write.h"
#include "columns/parquet/index.h"
#include "columns/parquet/parquet.h"
#include "columns/parquet/shred.h"

/* Every type that Parquet can hold; the rest is refused by name below. */
static const char writable[] =
    "+s{n=n;b=b;i8=c;u8=C;i16=s;u16=S;i32=i;u32=I;i64!=l;u64=L;f16=e;f32=f;f64=g;"
    "str=u;bin=z;lstr=U;lbin=Z;vstr=vu;vbin=vz;fix=w:3;"
    "d32=d:7,2,32;d64=d:17,3,64;d128=d:30,5;d9=d:9,1;d256=d:70,10,256;"
    "date32=tdD;tm=ttm;tu=ttu;tn=ttn;"
    "sm=tsm:UTC;su=tsu:+02:30;sn=tsn:Europe/Berlin;Dm=tDm;"
    "dict=c@{u};rdict=i@{d:9,2};ddict=S@{+l{item=i}};"
    "list=+l{item=l};llist=+L{item!=u};vlist=+vl{item=f};lvlist=+vL{item=vu};"
    "flist=+w:2{item=s};rflist!=+w:3{item!=b};"
    "map=+m{entries!=+s{key!=u;value=l}};imap=+m{entries!=+s{key!=i;value=+l{item=b}}};"
    "st=+s{a=i;b!=u;c=+s{d!=z;e=+l{item!=+s{f=g}}}};"
    "ree=+r{run_ends!=i;values=u};ree16!=+r{run_ends!=s;values!=d:6,1};"
    "lree=+l{item=+r{run_ends!=l;values=+w:2{item=i}}};ldict=+l{item=s@{vz}}}";

static uint64_t seed_now(void) {
  uint64_t seed = (uint64_t)time(NULL);
  print_message("seed %llu\n", (unsigned long long)seed);
  return seed;
}

static tn_status write_table(const ArrowSchema *schema, const ArrowArray *batches, int64_t count,
                             const tn_parquet_write_options *options, tn_strbuf *out,
                             tn_error *err) {
  tn_sink *sink;
  tn_parquet_writer *w = NULL;
  TN_TRY(tn_sink_open_memory(&sink, "memory", out, err));
  tn_status status = tn_parquet_writer_new(&w, sink, schema, options, err);
  for (int64_t i = 0; i < count && status == TN_OK; i++) {
    status = tn_parquet_writer_batch(w, &batches[i], err);
  }
  if (status == TN_OK) status = tn_parquet_writer_finish(w, err);
  tn_parquet_writer_free(w);
  tn_sink_close(sink);
  return status;
}

static void open_file(const tn_strbuf *bytes, tn_parquet_file **out) {
  tn_source *source;
  OK(tn_source_open_memory(&source, "memory", bytes->data, bytes->length, &problem));
  OK(tn_parquet_open(out, source, &problem));
}

/* Reads the file and compares it with the batches, value by value. */
static void check_values(const any_array *a, const ArrowArray *batches, int64_t count,
                         const tn_strbuf *bytes) {
  tn_parquet_file *file;
  ArrowArrayStream stream = {0};
  ArrowSchema schema = {0};
  tn_arena arena = {0};
  tn_field *field;
  ArrowArray got[64], all = {0}, want = {0};
  const ArrowArray *parts[64];
  int64_t n = 0;
  open_file(bytes, &file);
  OK(tn_parquet_scan(file, NULL, &stream, &problem));
  OK(tn_stream_schema(&stream, &schema, &problem));
  OK(tn_field_tree(&field, &arena, &schema, &problem));
  for (;; n++) {
    assert_true(n < 64);
    memset(&got[n], 0, sizeof got[n]);
    tn_status status = tn_stream_next(&stream, &got[n], &problem);
    if (status == TN_END) break;
    OK(status);
    parts[n] = &got[n];
  }
  OK(tn_array_concat(&all, field, parts, n, &problem));
  for (int64_t i = 0; i < count; i++) parts[i] = &batches[i];
  OK(tn_array_concat(&want, a->field, parts, count, &problem));
  assert_int_equal(all.length, want.length);
  assert_int_equal(all.n_children, want.n_children);
  for (int64_t c = 0; c < all.n_children; c++) {
    int64_t row = tn_array_difference(&a->field->children[c], want.children[c], &field->children[c],
                                      all.children[c]);
    if (row >= 0) fail_msg("column %s, row %lld differs", field->children[c].name, (long long)row);
  }
  for (int64_t i = 0; i < n; i++) tn_array_clear(&got[i]);
  tn_array_clear(&all);
  tn_array_clear(&want);
  tn_schema_clear(&schema);
  tn_arena_clear(&arena);
  tn_stream_clear(&stream);
  tn_parquet_close(file);
}

static void round_trip(const char *type, uint64_t seed, int32_t null_percent, int64_t rows,
                       const tn_parquet_write_options *options) {
  any_array a;
  any_random r = {seed, 0, null_percent, 5};
  ArrowArray batches[2];
  tn_strbuf bytes = {0};
  any_open(&a, type);
  for (int i = 0; i < 2; i++) OK(any_make(&batches[i], a.field, &r, rows, &problem));
  OK(write_table(&a.schema, batches, 2, options, &bytes, &problem));
  check_values(&a, batches, 2, &bytes);
  for (int i = 0; i < 2; i++) tn_array_clear(&batches[i]);
  tn_strbuf_clear(&bytes);
  any_close(&a);
}

static void every_type(void **state) {
  uint64_t seed = seed_now();
  static const tn_parquet_write_options options[] = {
      {0},
      {.codec = TN_PARQUET_ZSTD, .data_page_version = 2},
      {.codec = TN_PARQUET_SNAPPY, .page_bytes = 100, .row_group_rows = 170},
      {.page_rows = 16, .no_dictionary = true, .no_crc = true},
      {.profile = TN_PARQUET_PROFILE_TRAINING, .codec = TN_PARQUET_GZIP},
      {.dictionary_bytes = 40, .no_page_index = true, .data_page_version = 2},
      {.row_group_bytes = 1000},
  };
  for (uint64_t i = 0; i < sizeof options / sizeof *options; i++) {
    round_trip(writable, seed + i, i % 3 ? 25 : 0, 203, &options[i]);
  }
  round_trip(writable, seed, 100, 9, &options[0]);
  round_trip(writable, seed, 30, 0, &options[1]);
}

/* Without the Arrow schema types come back as Parquet has them. */
static void without_the_arrow_schema(void **state) {
  tn_parquet_write_options o = {.no_arrow_schema = true};
  round_trip("+s{a=l;b=U;c=vz;d=+L{item=s};e=d:9,2,64;f=c@{u};g=+w:2{item=g}}", seed_now(), 20, 100,
             &o);
}

/* What Parquet has only in another unit: seconds, dates in milliseconds, intervals. */
static void changed_units(void **state) {
  any_array a;
  tn_strbuf bytes = {0};
  tn_parquet_file *file;
  tn_parquet_chunk_info info;
  ArrowArray columns[4], batch = {0};
  static const int64_t values[4] = {-3 * 86400000ll, 7, -5, 100};
  any_open(&a, "+s{date=tdm;time=tts;stamp=tss:;months=tiM}");
  for (int c = 0; c < 4; c++) {
    tn_builder *b;
    OK(tn_builder_new_field(&b, &a.field->children[c], &problem));
    OK(tn_builder_append_i64(b, values[c], &problem));
    OK(tn_builder_finish(b, &columns[c], &problem));
    tn_builder_free(b);
  }
  OK(tn_batch_new(&batch, columns, 4, 1, &problem));
  OK(write_table(&a.schema, &batch, 1, NULL, &bytes, &problem));
  open_file(&bytes, &file);
  static const char *const texts[] = {"1969-12-29", "00:00:07", "1969-12-31T23:59:55"};
  for (int c = 0; c < 3; c++) {
    tn_parquet_chunk(file, 0, c, &info);
    assert_true(info.has_min_max);
    CONTAINS(info.min, texts[c]);
  }
  tn_parquet_close(file);
  ((int64_t *)(uintptr_t)batch.children[0]->buffers[1])[0] = 5; /* not a whole day */
  bytes.length = 0;
  assert_int_equal(write_table(&a.schema, &batch, 1, NULL, &bytes, &problem), TN_ERR_DATA);
  CONTAINS(problem.text, "date64");
  tn_array_clear(&batch);
  tn_strbuf_clear(&bytes);
  any_close(&a);
}

/* Arrays with an offset, below a batch with one. */
static void slices(void **state) {
  any_array a;
  any_random r = {seed_now(), 0, 25, 4};
  ArrowArray whole, part = {0};
  tn_strbuf bytes = {0};
  tn_shared_array *box;
  any_open(&a, writable);
  OK(any_make(&whole, a.field, &r, 300, &problem));
  OK(tn_shared_array_new(&box, &whole, &problem));
  for (int own = 0; own < 2; own++) {
    OK(own ? tn_shared_array_view(box, 77, 130, &part, &problem)
           : tn_shared_batch_view(box, 77, 130, &part, &problem));
    OK(write_table(&a.schema, &part, 1, &(tn_parquet_write_options){.page_rows = 32}, &bytes,
                   &problem));
    check_values(&a, &part, 1, &bytes);
    tn_array_clear(&part);
    bytes.length = 0;
  }
  tn_shared_array_drop(box);
  tn_strbuf_clear(&bytes);
  any_close(&a);
}

static void every_encoding(void **state) {
  uint64_t seed = seed_now();
  static const struct {
    const char *type;
    tn_parquet_encode encodings[5];
  } cases[] = {
      {"+s{a=i;b=l;c=S;d=tsu:;e=+l{item=i};f=d:8,2}",
       {TN_PARQUET_ENCODE_DELTA, TN_PARQUET_ENCODE_SPLIT, TN_PARQUET_ENCODE_DICTIONARY,
        TN_PARQUET_ENCODE_PLAIN}},
      {"+s{a=f;b=g;c=e;d=+l{item!=g}}",
       {TN_PARQUET_ENCODE_SPLIT, TN_PARQUET_ENCODE_DICTIONARY, TN_PARQUET_ENCODE_PLAIN}},
      {"+s{a=u;b=z;c=vu;d=+L{item=U};e=c@{u}}",
       {TN_PARQUET_ENCODE_DELTA_LENGTH, TN_PARQUET_ENCODE_DELTA_PREFIX,
        TN_PARQUET_ENCODE_DICTIONARY, TN_PARQUET_ENCODE_PLAIN}},
      {"+s{a=w:7;b=d:30,3;c=e}",
       {TN_PARQUET_ENCODE_DELTA_PREFIX, TN_PARQUET_ENCODE_SPLIT, TN_PARQUET_ENCODE_DICTIONARY,
        TN_PARQUET_ENCODE_PLAIN}},
      {"+s{a=b;b=+l{item=b}}", {TN_PARQUET_ENCODE_RLE, TN_PARQUET_ENCODE_PLAIN}},
  };
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    for (int e = 0; e < 5 && cases[c].encodings[e]; e++) {
      tn_parquet_column_options columns[6];
      static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
      int32_t count = 0;
      for (const char *p = cases[c].type; *p; p++) {
        if (count < 6 && p[1] == '=' && p[0] == names[count][0] && (p[-1] == '{' || p[-1] == ';')) {
          columns[count] =
              (tn_parquet_column_options){.path = names[count], .encoding = cases[c].encodings[e]};
          count++;
        }
      }
      assert_true(count >= 2);
      for (int32_t v = 1; v <= 2; v++) {
        tn_parquet_write_options o = {.columns = columns,
                                      .column_count = count,
                                      .data_page_version = v,
                                      .codec = v == 1 ? TN_PARQUET_ZSTD : TN_PARQUET_UNCOMPRESSED,
                                      .page_bytes = v == 1 ? 0 : 300};
        round_trip(cases[c].type, seed + c, 20, 700, &o);
      }
    }
  }
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void shred_of(const char *type, void (*fill)(tn_builder *b), const char *path, char *out) {
  any_array a;
  ArrowArray array = {0};
  tn_builder *b;
  tn_arena arena = {0};
  tn_parquet_write_schema schema;
  tn_parquet_shred shred = {0};
  any_open(&a, type);
  OK(tn_parquet_write_schema_new(&schema, &arena, a.field, &problem));
  OK(tn_builder_new_field(&b, &a.field->children[0], &problem));
  fill(b);
  OK(tn_builder_finish(b, &array, &problem));
  const tn_parquet_write_leaf *leaf = &schema.leaves[0];
  assert_string_equal(leaf->name, path);
  OK(tn_parquet_shred_rows(&shred, leaf, &array, 0, array.length, &problem));
  tn_strbuf text = {0};
  for (int64_t i = 0; i < shred.entries; i++) {
    tn_strbuf_addf(&text, "%d%d ", shred.rep.data[i], shred.def.data[i]);
  }
  tn_strbuf_addf(&text, "%lld", (long long)shred.values);
  snprintf(out, 200, "%s", text.data);
  tn_strbuf_clear(&text);
  tn_parquet_shred_clear(&shred);
  tn_array_clear(&array);
  tn_builder_free(b);
  tn_arena_clear(&arena);
  any_close(&a);
}

static void fill_list(tn_builder *b) { /* [[1, 2], null, [], [null]] */
  tn_builder *items = tn_builder_child(b, 0);
  OK(tn_builder_append_i64(items, 1, &problem));
  OK(tn_builder_append_i64(items, 2, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_append_null(b, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_append_null(items, &problem));
  OK(tn_builder_end_list(b, &problem));
}

static void fill_nested(tn_builder *b) { /* [[[1, 2], [3]], [[]], [null], []] */
  tn_builder *inner = tn_builder_child(b, 0), *items = tn_builder_child(inner, 0);
  OK(tn_builder_append_i64(items, 1, &problem));
  OK(tn_builder_append_i64(items, 2, &problem));
  OK(tn_builder_end_list(inner, &problem));
  OK(tn_builder_append_i64(items, 3, &problem));
  OK(tn_builder_end_list(inner, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_end_list(inner, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_append_null(inner, &problem));
  OK(tn_builder_end_list(b, &problem));
  OK(tn_builder_end_list(b, &problem));
}

static void levels_of_known_lists(void **state) {
  char text[200];
  shred_of("+s{x=+l{item=l}}", fill_list, "x.list.element", text);
  assert_string_equal(text, "03 13 00 01 02 2"); /* repetition, definition; values */
  shred_of("+s{x=+l{item=+l{item!=l}}}", fill_nested, "x.list.element.list.element", text);
  assert_string_equal(text, "04 24 14 03 02 01 3");
}

static void delta_bytes(void **state) {
  tn_parquet_bytes out = {0}, room = {0};
  /* block 128, 4 miniblocks, 5 values, first 1 (zigzag 2); smallest difference 1 (2), no bits */
  static const int32_t counting[] = {1, 2, 3, 4, 5};
  static const uint8_t want[] = {0x80, 0x01, 4, 5, 2, 2, 0, 0, 0, 0};
  OK(tn_parquet_delta_write_32(&out, counting, 5, &problem));
  assert_int_equal(out.length, sizeof want);
  assert_memory_equal(out.data, want, sizeof want);
  /* Encodings.md, example 2: differences -2 -2 -2 1 1 1 1 above -2 in 2 bits */
  static const int64_t falling[] = {7, 5, 3, 1, 2, 3, 4, 5};
  static const uint8_t want_2[] = {0x80, 0x01, 4,    8, 14, 3, 2, 0, 0,
                                   0,    0xC0, 0x3F, 0, 0,  0, 0, 0, 0};
  out.length = 0;
  OK(tn_parquet_delta_write_64(&out, falling, 8, &problem));
  assert_int_equal(out.length, sizeof want_2);
  assert_memory_equal(out.data, want_2, sizeof want_2);
  /* "axis", "axle", "babble", "babyhood": prefixes 0 2 0 3, suffixes axis le babble yhood */
  static const uint32_t lengths[] = {4, 4, 6, 8};
  out.length = 0;
  OK(tn_parquet_delta_prefix_write(&out, lengths, 4, (const uint8_t *)"axisaxlebabblebabyhood",
                                   &room, &problem));
  assert_true(out.length > 17);
  assert_memory_equal(out.data + out.length - 17, "axislebabbleyhood", 17);
  static const uint8_t split_in[] = {1, 2, 3, 4, 5, 6}, split_out[] = {1, 4, 2, 5, 3, 6};
  out.length = 0;
  OK(tn_parquet_split_write(&out, split_in, 3, 2, &problem));
  assert_memory_equal(out.data, split_out, 6);
  tn_parquet_bytes_clear(&out);
  tn_parquet_bytes_clear(&room);
}

/* ---- the page index -------------------------------------------------------------------------- */

static void make_counting(any_array *a, ArrowArray *batch, int64_t rows) {
  any_open(a, "+s{up!=l;down!=l;text=u;nulls=i}");
  tn_builder *b[4];
  ArrowArray columns[4];
  for (int c = 0; c < 4; c++) OK(tn_builder_new_field(&b[c], &a->field->children[c], &problem));
  for (int64_t i = 0; i < rows; i++) {
    char text[32];
    int length = snprintf(text, sizeof text, "row %06lld", (long long)i);
    OK(tn_builder_append_i64(b[0], i, &problem));
    OK(tn_builder_append_i64(b[1], -i, &problem));
    OK(tn_builder_append_str(b[2], (tn_str){text, (size_t)length}, &problem));
    OK(tn_builder_append_null(b[3], &problem));
  }
  for (int c = 0; c < 4; c++) {
    OK(tn_builder_finish(b[c], &columns[c], &problem));
    tn_builder_free(b[c]);
  }
  OK(tn_batch_new(batch, columns, 4, rows, &problem));
}

static void page_index_and_training(void **state) {
  any_array a;
  ArrowArray batch;
  tn_strbuf bytes = {0};
  tn_arena arena = {0};
  tn_parquet_file *file;
  make_counting(&a, &batch, 1000);
  tn_parquet_write_options o = {.profile = TN_PARQUET_PROFILE_TRAINING,
                                .page_rows = 64,
                                .row_group_rows = 700}; /* becomes 640: whole pages */
  OK(write_table(&a.schema, &batch, 1, &o, &bytes, &problem));
  check_values(&a, &batch, 1, &bytes);
  open_file(&bytes, &file);
  assert_int_equal(tn_parquet_row_groups(file), 2);
  assert_int_equal(tn_parquet_group_rows(file, 0), 640);
  static const int32_t orders[] = {TN_PARQUET_ASCENDING, TN_PARQUET_DESCENDING,
                                   TN_PARQUET_ASCENDING, TN_PARQUET_ASCENDING};
  for (int64_t c = 0; c < 4; c++) {
    tn_parquet_offset_index where;
    tn_parquet_column_index what;
    OK(tn_parquet_offset_index_read(&where, file, 0, c, &arena, &problem));
    OK(tn_parquet_column_index_read(&what, file, 0, c, &arena, &problem));
    assert_int_equal(where.page_count, 10);
    assert_int_equal(what.page_count, 10);
    assert_int_equal(what.order, orders[c]);
    for (int64_t p = 0; p < 10; p++) {
      assert_int_equal(where.pages[p].first_row, 64 * p);
      assert_int_equal(what.null_pages[p], c == 3);
      assert_int_equal(what.nulls[p], c == 3 ? 64 : 0);
      if (c == 0) {
        int64_t low, high;
        memcpy(&low, what.min[p].data, 8);
        memcpy(&high, what.max[p].data, 8);
        assert_int_equal(low, 64 * p);
        assert_int_equal(high, 64 * p + 63);
      }
    }
  }
  tn_parquet_close(file);
  tn_arena_clear(&arena);
  tn_array_clear(&batch);
  tn_strbuf_clear(&bytes);
  any_close(&a);
}

static void bloom_filters(void **state) {
  any_array a;
  ArrowArray batch;
  tn_strbuf bytes = {0};
  tn_parquet_file *file;
  make_counting(&a, &batch, 1000);
  tn_parquet_column_options columns[] = {
      {.path = "up", .bloom = true}, {.path = "text", .bloom = true, .bloom_probability = 0.001}};
  for (int dictionary = 0; dictionary < 2; dictionary++) {
    bytes.length = 0;
    for (int c = 0; c < 2; c++) {
      columns[c].encoding = dictionary ? TN_PARQUET_ENCODE_DICTIONARY : TN_PARQUET_ENCODE_AUTO;
    }
    tn_parquet_write_options o = {.columns = columns, .column_count = 2};
    OK(write_table(&a.schema, &batch, 1, &o, &bytes, &problem));
    open_file(&bytes, &file);
    tn_parquet_bloom numbers = {0}, texts = {0}, none = {0};
    OK(tn_parquet_bloom_read(&numbers, file, 0, 0, &problem));
    OK(tn_parquet_bloom_read(&texts, file, 0, 2, &problem));
    assert_int_equal(tn_parquet_bloom_read(&none, file, 0, 1, &problem), TN_END);
    int false_positives = 0;
    for (int64_t i = 0; i < 2000; i++) {
      char text[32];
      int length = snprintf(text, sizeof text, "row %06lld", (long long)i);
      bool number = tn_parquet_bloom_probe(&numbers, tn_parquet_bloom_hash(&i, 8));
      bool string = tn_parquet_bloom_probe(&texts, tn_parquet_bloom_hash(text, (size_t)length));
      if (i < 1000) assert_true(number && string);
      if (i >= 1000) false_positives += number + string;
    }
    assert_true(false_positives < 100);
    tn_parquet_bloom_clear(&numbers);
    tn_parquet_bloom_clear(&texts);
    tn_parquet_close(file);
  }
  tn_array_clear(&batch);
  tn_strbuf_clear(&bytes);
  any_close(&a);
}

/* ---- threads, errors, memory ----------------------------------------------------------------- */

static void threads_make_no_difference(void **state) {
  any_array a;
  any_random r = {seed_now(), 0, 20, 4};
  ArrowArray batch;
  tn_strbuf alone = {0}, together = {0};
  tn_pool *pool;
  any_open(&a, writable);
  OK(any_make(&batch, a.field, &r, 3000, &problem));
  OK(tn_pool_new(&pool, 4, &problem));
  tn_parquet_write_options o = {
      .codec = TN_PARQUET_ZSTD, .row_group_rows = 900, .page_bytes = 2000};
  OK(write_table(&a.schema, &batch, 1, &o, &alone, &problem));
  o.pool = pool;
  OK(write_table(&a.schema, &batch, 1, &o, &together, &problem));
  assert_int_equal(alone.length, together.length);
  assert_memory_equal(alone.data, together.data, alone.length);
  tn_pool_free(pool);
  tn_array_clear(&batch);
  tn_strbuf_clear(&alone);
  tn_strbuf_clear(&together);
  any_close(&a);
}

static void refused(const char *type, const tn_parquet_write_options *options, tn_status want,
                    const char *words) {
  any_array a;
  any_random r = {1, 0, 0, 3};
  ArrowArray batch;
  tn_strbuf bytes = {0};
  tn_error err = {0};
  any_open(&a, type);
  OK(any_make(&batch, a.field, &r, 20, &problem));
  assert_int_equal(write_table(&a.schema, &batch, 1, options, &bytes, &err), want);
  CONTAINS(err.text, words);
  tn_array_clear(&batch);
  tn_strbuf_clear(&bytes);
  any_close(&a);
}

static void refusals(void **state) {
  refused("+s{x=+ud:5,7{i=i;s=u}}", NULL, TN_ERR_UNSUPPORTED, "\"x\": dense_union");
  refused("+s{a=+l{item=+us:0,1{a=l;b=b}}}", NULL, TN_ERR_UNSUPPORTED, "sparse_union");
  refused("+s{x=+s{}}", NULL, TN_ERR_UNSUPPORTED, "\"x\": a struct without fields");
  refused("+s{x=d:5,-3}", NULL, TN_ERR_UNSUPPORTED, "decimal128(5, -3)");
  refused("+s{x=w:0}", NULL, TN_ERR_UNSUPPORTED, "zero bytes");
  tn_parquet_column_options column = {.path = "a", .encoding = TN_PARQUET_ENCODE_DELTA};
  tn_parquet_write_options o = {.columns = &column, .column_count = 1};
  refused("+s{a=u}", &o, TN_ERR_ARGUMENT, "BYTE_ARRAY values cannot be encoded as delta");
  column.encoding = TN_PARQUET_ENCODE_DICTIONARY;
  refused("+s{a=b}", &o, TN_ERR_ARGUMENT, "cannot be encoded as dictionary");
  refused("+s{b=b}", &o, TN_ERR_NOT_FOUND, "\"a\"");
  column = (tn_parquet_column_options){.path = "a", .bloom = true};
  refused("+s{a=b}", &o, TN_ERR_ARGUMENT, "no Bloom filter");
  column.bloom_probability = 2;
  refused("+s{a=l}", &o, TN_ERR_ARGUMENT, "false positives");
  tn_parquet_sort_key key = {.path = "a.list"};
  o = (tn_parquet_write_options){.sort_keys = &key, .sort_key_count = 1};
  refused("+s{a=+l{item=l}}", &o, TN_ERR_NOT_FOUND, "a.list");
  o = (tn_parquet_write_options){.data_page_version = 3};
  refused("+s{a=l}", &o, TN_ERR_ARGUMENT, "data page version");
  o = (tn_parquet_write_options){.profile = TN_PARQUET_PROFILE_TRAINING, .no_page_index = true};
  refused("+s{a=l}", &o, TN_ERR_ARGUMENT, "page index");
}

typedef struct write_job {
  const any_array *a;
  const ArrowArray *batch;
  tn_parquet_write_options options;
} write_job;

static tn_status write_once(void *context, tn_error *err) {
  write_job *job = context;
  tn_strbuf bytes = {0};
  tn_status status = write_table(&job->a->schema, job->batch, 1, &job->options, &bytes, err);
  tn_strbuf_clear(&bytes);
  return status;
}

static void failing_allocations(void **state) {
  any_array a;
  any_random r = {7, 0, 20, 3};
  ArrowArray batch;
  any_open(&a, "+s{a=u;b=+l{item=+s{c=i;d=c@{u}}};e=d:30,2;f=b;g=g}");
  OK(any_make(&batch, a.field, &r, 60, &problem));
  tn_parquet_column_options columns[] = {{.path = "a", .bloom = true},
                                         {.path = "e", .encoding = TN_PARQUET_ENCODE_DELTA_PREFIX}};
  tn_parquet_sort_key key = {.path = "g", .descending = true};
  tn_parquet_key_value pair = {"k", "v"};
  tn_parquet_encryption encryption = {.footer_key = TN_STR("0123456789abcdef")};
  write_job job = {&a,
                   &batch,
                   {.row_group_rows = 40,
                    .page_rows = 16,
                    .columns = columns,
                    .column_count = 2,
                    .sort_keys = &key,
                    .sort_key_count = 1,
                    .metadata = &pair,
                    .metadata_count = 1}};
  assert_true(fail_each_allocation(write_once, &job) > 100);
  job.options.encryption = &encryption;
  assert_true(fail_each_allocation(write_once, &job) > 100);
  tn_array_clear(&batch);
  any_close(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_type),     cmocka_unit_test(without_the_arrow_schema),
      cmocka_unit_test(changed_units),  cmocka_unit_test(slices),
      cmocka_unit_test(every_encoding), cmocka_unit_test(levels_of_known_lists),
      cmocka_unit_test(delta_bytes),    cmocka_unit_test(page_index_and_training),
      cmocka_unit_test(bloom_filters),  cmocka_unit_test(threads_make_no_difference),
      cmocka_unit_test(refusals),       cmocka_unit_test(failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
