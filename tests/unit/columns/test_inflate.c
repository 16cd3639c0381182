/* SPDX-License-Identifier: Apache-2.0 */
#include "columns_test.h"

#include <zlib.h>
#include <zstd.h>

#include "base/random.h"
#include "columns/inflate.h"

/* A pipe that hands out `drop` bytes a call. */
typedef struct dripping {
  tn_source source;
  const uint8_t *at, *end;
  size_t drop;
} dripping;

static tn_status drip(tn_source *self, void *dst, size_t bytes, size_t *got, tn_error *err) {
  dripping *d = (dripping *)self;
  size_t n = (size_t)(d->end - d->at);
  if (n > d->drop) n = d->drop;
  if (n > bytes) n = bytes;
  if (n) memcpy(dst, d->at, n);
  d->at += n;
  *got = n;
  return TN_OK;
}
static void drip_close(tn_source *self) {}

static void add_gzip(tn_strbuf *out, const void *text, size_t length) {
  z_stream z = {0};
  static uint8_t room[1 << 20];
  assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
  z.next_in = (Bytef *)(uintptr_t)text;
  z.avail_in = (unsigned)length;
  z.next_out = room;
  z.avail_out = sizeof room;
  assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
  tn_strbuf_append(out, room, sizeof room - z.avail_out);
  deflateEnd(&z);
}

static void add_zstd(tn_strbuf *out, const void *text, size_t length) {
  static uint8_t room[1 << 20];
  size_t made = ZSTD_compress(room, sizeof room, text, length, 3);
  assert_false(ZSTD_isError(made));
  tn_strbuf_append(out, room, made);
}

static tn_status drain(tn_source *source, size_t step, tn_strbuf *into, tn_error *err) {
  uint8_t bytes[5000];
  for (;;) {
    size_t got;
    TN_TRY(source->read(source, bytes, step, &got, err));
    if (got == 0) return TN_OK;
    tn_strbuf_append(into, bytes, got);
  }
}

/* Read from a file and from pipes of all kinds of drops. */
static void reads_as(const tn_strbuf *file, const char *expected, size_t length) {
  static const size_t steps[] = {1, 7, 5000};
  for (int kind = 0; kind < 4; kind++) {
    tn_source *source, *inner;
    dripping d = {{.name = "p", .size_bytes = -1, .read = drip, .close = drip_close},
                  (uint8_t *)file->data,
                  (uint8_t *)file->data + file->length,
                  kind == 0   ? 1
                  : kind == 1 ? 3
                              : 100000};
    inner = &d.source;
    if (kind == 3) OK(tn_source_open_memory(&inner, "f", file->data, file->length, &problem));
    OK(tn_inflate_open(&source, inner, &problem));
    tn_strbuf text = {0};
    OK(drain(source, steps[kind % 3], &text, &problem));
    assert_int_equal(text.length, length);
    if (length) assert_memory_equal(text.data, expected, length);
    if (kind == 3 && tn_inflate_compression(source) != TN_COMPRESSION_NONE) {
      OK(tn_inflate_rewind(source, &problem));
      tn_strbuf_reset(&text);
      OK(drain(source, 100, &text, &problem));
      assert_int_equal(text.length, length);
      if (length) assert_memory_equal(text.data, expected, length);
    } else if (kind < 3) {
      assert_int_equal(tn_inflate_rewind(source, NULL), TN_ERR_UNSUPPORTED);
    }
    tn_strbuf_clear(&text);
    tn_source_close(source);
  }
}

static void members_and_frames_follow_each_other(void **state) {
  tn_strbuf file = {0}, text = {0};
  for (int i = 0; i < 20000; i++) tn_strbuf_addf(&text, "%d,", i * 7919 % 10007);
  reads_as(&file, "", 0);
  reads_as(&text, text.data, text.length);
  add_gzip(&file, text.data, text.length);
  reads_as(&file, text.data, text.length);
  size_t once = text.length;
  add_gzip(&file, "", 0);
  add_gzip(&file, text.data, 5);
  tn_strbuf_append(&file, "\0\0\0\0\0", 5);
  tn_strbuf_append(&text, text.data, 5);
  reads_as(&file, text.data, text.length);
  tn_strbuf_reset(&file);
  tn_strbuf_append(&file, "\x51\x2a\x4d\x18\x03\0\0\0abc", 11); /* a skippable frame */
  add_zstd(&file, text.data, once);
  tn_strbuf_append(&file, "\x50\x2a\x4d\x18\0\0\0\0", 8);
  add_zstd(&file, text.data, 5);
  reads_as(&file, text.data, text.length);
  tn_strbuf_clear(&file);
  tn_strbuf_clear(&text);
}

static tn_status read_all(void *context, tn_error *err) {
  const tn_strbuf *file = context;
  tn_source *source;
  TN_TRY(tn_source_open_memory(&source, "f.gz", file->data, file->length, err));
  TN_TRY(tn_inflate_open(&source, source, err));
  tn_strbuf text = {0};
  tn_status status = drain(source, 4096, &text, err);
  if (status == TN_OK) status = tn_strbuf_check(&text, err);
  tn_strbuf_clear(&text);
  tn_source_close(source);
  return status;
}

/* No cut is taken for the end; what follows the end is named. */
static void cut_and_damaged_files_are_refused(void **state) {
  for (int kind = 0; kind < 2; kind++) {
    tn_strbuf file = {0}, part = {0};
    kind ? add_zstd(&file, "hello, hello, hello", 19) : add_gzip(&file, "hello, hello, hello", 19);
    for (size_t n = 4; n < file.length; n++) {
      tn_strbuf_reset(&part);
      tn_strbuf_append(&part, file.data, n);
      tn_error err = {0};
      assert_int_equal(read_all(&part, &err), TN_ERR_DATA);
      CONTAINS(err.text, "f.gz");
      CONTAINS(err.text, "truncated");
    }
    tn_strbuf_reset(&part);
    tn_strbuf_append(&part, file.data, file.length);
    tn_strbuf_add(&part, "more");
    tn_error err = {0};
    assert_int_equal(read_all(&part, &err), TN_ERR_DATA);
    CONTAINS(err.text, "neither another member nor the end");
    for (size_t n = 4; kind == 0 && n < file.length; n++) { /* never a crash; the CRC sees most */
      tn_strbuf_reset(&part);
      tn_strbuf_append(&part, file.data, file.length);
      part.data[n] ^= 0x10;
      tn_status status = read_all(&part, NULL);
      assert_true(status == TN_OK || status == TN_ERR_DATA);
      if (n >= 10) assert_int_equal(status, TN_ERR_DATA);
    }
    tn_strbuf_clear(&file);
    tn_strbuf_clear(&part);
  }
}

static void every_allocation_may_fail(void **state) {
  tn_strbuf file = {0};
  add_gzip(&file, "hello", 5);
  assert_true(fail_each_allocation(read_all, &file) > 3);
  tn_strbuf_clear(&file);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(members_and_frames_follow_each_other),
      cmocka_unit_test(cut_and_damaged_files_are_refused),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests_name("inflate", tests, NULL, NULL);
}
