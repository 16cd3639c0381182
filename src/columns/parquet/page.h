/* page.h - the pages of one column chunk, in order.
 *
 *     header (Thrift) | V1: compressed(repetition levels, definition levels, values)
 *                     | V2: repetition levels, definition levels, compressed(values)
 *
 * Reading keeps one view of the chunk's bytes (all of a usual chunk, a window of a huge one) and
 * one buffer for the page being decompressed; an uncompressed page is not copied.  A header may be
 * looked at before its body is read, and the body then be passed over.  The CRC covers the page's
 * bytes as stored.  A page's pointers stay valid until the next page is asked for.
 *
 * Ahead: a scan on several threads may have the next pages found first, then decompressed by
 * whichever threads are free, each into a buffer of its own; they come out of `header` and `body`
 * as all others do. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_PAGE_H
#define TN_COLUMNS_PARQUET_PAGE_H
#include "columns/parquet/codec.h"
#include "columns/parquet/crypt.h"
#include "columns/parquet/metadata.h"
#include "columns/parquet/spare.h"

typedef struct tn_parquet_page {
  tn_parquet_page_header header;
  int64_t offset; /* of the header, in the file */
  /* Levels without their length, in the encodings that the header says (V2: RLE); NULL: none. */
  const uint8_t *reps, *defs;
  size_t rep_bytes, def_bytes;
  const uint8_t *values;
  size_t value_bytes;
} tn_parquet_page;

typedef struct tn_parquet_page_ahead {
  tn_parquet_page page;
  bool loaded;
  const uint8_t *body;
  tn_buffer *window; /* keeps `body` alive */
  tn_parquet_bytes scratch;
} tn_parquet_page_ahead;

typedef struct tn_parquet_pages { /* all zero is valid for clear */
  tn_source *source;
  tn_parquet_codecs *codecs; /* borrowed */
  tn_parquet_spare *spare;   /* borrowed, of pages' memory that is lent; NULL: malloc */
  int32_t codec;
  uint8_t max_def, max_rep; /* 0: pages carry no such levels */
  bool skip_crc;
  int64_t page_bytes_max;
  int64_t window_bytes; /* read at once, at most; 0: 32 MiB */
  int64_t at, end;      /* the file's bytes still to come */
  tn_buffer *window;    /* keeps window_data alive */
  const uint8_t *window_data;
  int64_t window_at, window_end;
  tn_parquet_bytes scratch; /* a page, decompressed, unless it was ahead */
  tn_buffer *lent;          /* the page taken last, when its memory is shared; NULL: not */
  /* An encrypted chunk: its cipher, and which data page comes next; -1: the dictionary first. */
  tn_parquet_cipher cipher;
  int64_t ordinal;
  tn_parquet_bytes plain;
  tn_parquet_page_ahead *ahead; /* `at` is behind them */
  size_t ahead_capacity;
  int32_t ahead_at, ahead_count; /* the next to come; how many there are */
} tn_parquet_pages;

/* Starts over with the bytes [at, end) of the file; the other fields stay as the caller set them.
 */
void tn_parquet_pages_start(tn_parquet_pages *pages, int64_t at, int64_t end);
void tn_parquet_pages_clear(tn_parquet_pages *pages);
/* The header of the next dictionary or data page, its sizes checked; TN_END behind the last.  Then
 * either body or pass.  Errors name the page's byte offset. */
TN_NODISCARD tn_status tn_parquet_pages_header(tn_parquet_pages *pages, tn_parquet_page *out,
                                               tn_error *err);
/* Reads, checks and decompresses that page. */
TN_NODISCARD tn_status tn_parquet_pages_body(tn_parquet_pages *pages, tn_parquet_page *page,
                                             tn_error *err);
void tn_parquet_pages_pass(tn_parquet_pages *pages, const tn_parquet_page *page);
/* The buffer in which `values` of the page taken last lie, which may be kept by sharing it.  It is
 * valid until the next page is asked for.  NULL: they lie in the file's own bytes, or in memory far
 * larger than they are. */
TN_NODISCARD tn_status tn_parquet_pages_lend(tn_parquet_pages *pages, const uint8_t *values,
                                             tn_buffer **out, tn_error *err);
/* Finds the pages with the next `values` values, as far as they take at most `bytes_max` bytes when
 * decompressed.  What is wrong with one is left to whoever asks for it.  Not of encrypted chunks.
 */
void tn_parquet_pages_look_ahead(tn_parquet_pages *pages, int64_t values, size_t bytes_max);
/* Checks and decompresses page `i` of those ahead.  Thread: any, one a page. */
void tn_parquet_pages_load_ahead(tn_parquet_pages *pages, int32_t i, tn_parquet_codecs *codecs);
/* Bits that a level of at most `max` takes. */
int32_t tn_parquet_level_width(uint8_t max);

#endif
