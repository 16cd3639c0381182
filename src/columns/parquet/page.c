/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/page.h"

#include <libdeflate.h>

enum { HEADER_BYTES = 1 << 14, HEADER_BYTES_MAX = 1 << 24, WINDOW_BYTES = 32 << 20 };

/* ---- reading --------------------------------------------------------------------------------- */

static void drop_window(tn_parquet_pages *p) {
  tn_buffer_drop(p->window);
  p->window = NULL;
  p->window_data = NULL;
  p->window_at = p->window_end = 0;
}

static void let_go(tn_parquet_page_ahead *ahead) {
  tn_buffer_drop(ahead->window);
  ahead->window = NULL;
  ahead->body = NULL;
  ahead->loaded = false;
}

/* Their memory stays. */
static void forget_ahead(tn_parquet_pages *p) {
  for (int32_t i = 0; i < p->ahead_count; i++) let_go(&p->ahead[i]);
  p->ahead_at = p->ahead_count = 0;
}

static void drop_lent(tn_parquet_pages *p) {
  tn_buffer_drop(p->lent);
  p->lent = NULL;
}

void tn_parquet_pages_start(tn_parquet_pages *p, int64_t at, int64_t end) {
  drop_window(p);
  drop_lent(p);
  forget_ahead(p);
  p->at = at;
  p->end = end;
}

void tn_parquet_pages_clear(tn_parquet_pages *p) {
  drop_window(p);
  drop_lent(p);
  forget_ahead(p);
  for (size_t i = 0; i < p->ahead_capacity; i++) tn_parquet_bytes_clear(&p->ahead[i].scratch);
  tn_free(p->ahead);
  p->ahead = NULL;
  p->ahead_capacity = 0;
  tn_parquet_bytes_clear(&p->scratch);
  tn_parquet_bytes_clear(&p->plain);
  tn_parquet_cipher_clear(&p->cipher);
}

/* Makes the file's bytes [p->at, p->at + bytes) visible, or as many as the chunk has. */
static tn_status look(tn_parquet_pages *p, int64_t bytes, const uint8_t **data, size_t *got,
                      tn_error *err) {
  if (bytes > p->end - p->at) bytes = p->end - p->at;
  if (p->at < p->window_at || p->at + bytes > p->window_end) {
    int64_t want = p->end - p->at;
    int64_t most = p->window_bytes ? p->window_bytes : WINDOW_BYTES;
    if (want > most) want = bytes > most ? bytes : most;
    drop_window(p);
    TN_TRY(p->source->view_at(p->source, p->at, (size_t)want, &p->window, &p->window_data, err));
    p->window_at = p->at;
    p->window_end = p->at + want;
  }
  *data = p->window_data + (p->at - p->window_at);
  *got = (size_t)bytes;
  return TN_OK;
}

static tn_status check_sizes(const tn_parquet_pages *p, const tn_parquet_page_header *h,
                             tn_error *err) {
  if (h->compressed_bytes > p->end - p->at) {
    return tn_fail(err, TN_ERR_DATA, "the page wants %d bytes, its column chunk has %lld left",
                   h->compressed_bytes, (long long)(p->end - p->at));
  }
  if (h->uncompressed_bytes > p->page_bytes_max) {
    return tn_fail(err, TN_ERR_LIMIT, "the page wants %d bytes, limit %lld", h->uncompressed_bytes,
                   (long long)p->page_bytes_max);
  }
  return TN_OK;
}

static tn_status decompress(tn_parquet_pages *p, const uint8_t *bytes, size_t count, size_t want,
                            const uint8_t **out, tn_error *err) {
  if (p->codec == TN_PARQUET_UNCOMPRESSED && count == want) {
    *out = bytes;
    return TN_OK;
  }
  TN_TRY(tn_parquet_decompress_check(p->codec, bytes, count, want, err));
  p->scratch.length = 0;
  tn_parquet_spare_take(p->spare, &p->scratch, want);
  TN_TRY(tn_parquet_bytes_reserve(&p->scratch, want, err));
  p->scratch.length = want;
  *out = p->scratch.data;
  return tn_parquet_decompress(p->codecs, p->codec, bytes, count, p->scratch.data, want, err);
}

int32_t tn_parquet_level_width(uint8_t max) {
  return max ? 32 - __builtin_clz(max) : 0;
}

/* Cuts the levels off the front of the page's values. */
static tn_status cut_levels(tn_parquet_page *page, uint8_t max, int32_t encoding, const char *what,
                            const uint8_t **levels, size_t *level_bytes, tn_error *err) {
  size_t head = 0, bytes;
  if (encoding == TN_PARQUET_RLE) { /* behind four bytes of length */
    head = 4;
    bytes = page->value_bytes < 4 ? 0 : tn_load_u32(page->values);
  } else if (encoding == TN_PARQUET_BIT_PACKED) {
    uint64_t bits = (uint64_t)page->header.values * (uint64_t)tn_parquet_level_width(max);
    bytes = (size_t)((bits + 7) / 8);
  } else {
    const char *name = tn_parquet_encoding_name(encoding);
    return tn_fail(err, TN_ERR_UNSUPPORTED, "%s levels in %s (%d) are not supported", what,
                   name ? name : "an unknown encoding", encoding);
  }
  if (page->value_bytes < head || bytes > page->value_bytes - head) {
    return tn_fail(err, TN_ERR_DATA, "%s levels want %zu bytes of a page of %zu", what, bytes,
                   page->value_bytes);
  }
  *levels = page->values + head;
  *level_bytes = bytes;
  page->values += head + bytes;
  page->value_bytes -= head + bytes;
  return TN_OK;
}

static tn_status split_v1(const tn_parquet_pages *p, tn_parquet_page *page, tn_error *err) {
  const tn_parquet_page_header *h = &page->header;
  if (p->max_rep) {
    TN_TRY(cut_levels(page, p->max_rep, h->rep_encoding, "repetition", &page->reps,
                      &page->rep_bytes, err));
  }
  if (!p->max_def) return TN_OK;
  return cut_levels(page, p->max_def, h->level_encoding, "definition", &page->defs,
                    &page->def_bytes, err);
}

static tn_status load_v2(tn_parquet_pages *p, const uint8_t *body, tn_parquet_page *page,
                         tn_error *err) {
  tn_parquet_page_header *h = &page->header;
  int64_t levels = (int64_t)h->rep_bytes + h->level_bytes;
  if (levels > h->compressed_bytes || levels > h->uncompressed_bytes) {
    return tn_fail(err, TN_ERR_DATA, "levels want %lld bytes of a page of %d", (long long)levels,
                   h->compressed_bytes);
  }
  h->rep_encoding = h->level_encoding = TN_PARQUET_RLE;
  /* A column without levels needs none; some writers store them all the same. */
  if (p->max_rep) {
    page->reps = body;
    page->rep_bytes = (size_t)h->rep_bytes;
  }
  if (p->max_def) {
    page->defs = body + h->rep_bytes;
    page->def_bytes = (size_t)h->level_bytes;
  }
  const uint8_t *values = body + levels;
  size_t stored = (size_t)(h->compressed_bytes - levels);
  page->value_bytes = (size_t)(h->uncompressed_bytes - levels);
  page->values = values;
  /* Nothing but nulls: some writers then store no bytes at all where a codec would have some. */
  if (page->value_bytes == 0 && stored == 0) return TN_OK;
  if (h->is_compressed) return decompress(p, values, stored, page->value_bytes, &page->values, err);
  if (stored == page->value_bytes) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "an uncompressed page has %zu bytes and says %zu", stored,
                 page->value_bytes);
}

/* The page's body behind its encryption; from here on the header tells its plain size. */
static tn_status decrypt_body(tn_parquet_pages *p, const uint8_t **body, tn_parquet_page_header *h,
                              tn_error *err) {
  size_t used, count = (size_t)h->compressed_bytes;
  bool dictionary = h->type == TN_PARQUET_PAGE_DICTIONARY;
  int module = dictionary ? TN_PARQUET_MODULE_DICTIONARY_PAGE : TN_PARQUET_MODULE_DATA_PAGE;
  TN_TRY(tn_parquet_decrypt(&p->cipher, module, p->ordinal, *body, count, &p->plain, &used, err));
  if (used != count) {
    return tn_fail(err, TN_ERR_DATA, "an encrypted page of %zu bytes, its header says %zu", used,
                   count);
  }
  *body = p->plain.data;
  h->compressed_bytes = (int32_t)p->plain.length;
  return TN_OK;
}

static tn_status load(tn_parquet_pages *p, const uint8_t *body, tn_parquet_page *page,
                      tn_error *err) {
  tn_parquet_page_header *h = &page->header;
  if (h->has_crc && !p->skip_crc) {
    uint32_t crc = libdeflate_crc32(0, body, (size_t)h->compressed_bytes);
    if (crc != h->crc) {
      return tn_fail(err, TN_ERR_CHECKSUM, "checksum is %08x, the page header says %08x", crc,
                     h->crc);
    }
  }
  if (p->cipher.crypt) {
    TN_TRY(decrypt_body(p, &body, h, err));
    p->ordinal++;
  }
  if (h->type == TN_PARQUET_PAGE_DATA_V2) return load_v2(p, body, page, err);
  page->value_bytes = (size_t)h->uncompressed_bytes;
  TN_TRY(decompress(p, body, (size_t)h->compressed_bytes, page->value_bytes, &page->values, err));
  return h->type == TN_PARQUET_PAGE_DATA ? split_v1(p, page, err) : TN_OK;
}

static tn_status in_page(const tn_parquet_page *page, tn_status status, tn_error *err) {
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "page at byte %lld", (long long)page->offset);
}

static tn_status decrypt_header(tn_parquet_pages *p, tn_parquet_page_header *out,
                                const uint8_t *data, size_t count, size_t *used, tn_error *err) {
  size_t plain_used;
  int module = p->ordinal < 0 ? TN_PARQUET_MODULE_DICTIONARY_HEADER : TN_PARQUET_MODULE_DATA_HEADER;
  TN_TRY(tn_parquet_decrypt(&p->cipher, module, p->ordinal, data, count, &p->plain, used, err));
  TN_TRY(tn_parquet_page_header_parse(out, p->plain.data, p->plain.length, 0, &plain_used, err));
  if (tn_parquet_crypt_is_bare(p->cipher.crypt) &&
      out->compressed_bytes <= INT32_MAX - TN_PARQUET_MODULE_EXTRA) {
    out->compressed_bytes += TN_PARQUET_MODULE_EXTRA; /* DuckDB gives the plain size */
  }
  if ((out->type == TN_PARQUET_PAGE_DICTIONARY) == (p->ordinal < 0)) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "a page of type %d where a %s page is due", out->type,
                 p->ordinal < 0 ? "dictionary" : "data");
}

/* Statistics may make a header long: what does not parse is tried again with more bytes. */
static tn_status read_header(tn_parquet_pages *p, tn_parquet_page_header *out, tn_error *err) {
  const uint8_t *data;
  size_t got, used = 0;
  bool small = p->window_bytes > 0 && p->window_bytes < HEADER_BYTES;
  for (int64_t want = small ? p->window_bytes : HEADER_BYTES;; want *= 8) {
    TN_TRY(look(p, want, &data, &got, err));
    tn_status status = p->cipher.crypt
                           ? decrypt_header(p, out, data, got, &used, err)
                           : tn_parquet_page_header_parse(out, data, got, p->at, &used, err);
    if (status == TN_OK) p->at += (int64_t)used;
    bool more = (int64_t)got == want && want < HEADER_BYTES_MAX;
    if (status != TN_ERR_DATA || !more) return status;
  }
}

static tn_status find_header(tn_parquet_pages *p, tn_parquet_page *out, tn_error *err) {
  while (p->at < p->end) {
    *out = (tn_parquet_page){.offset = p->at};
    TN_TRY(in_page(out, read_header(p, &out->header, err), err));
    TN_TRY(in_page(out, check_sizes(p, &out->header, err), err));
    int32_t type = out->header.type;
    if (type == TN_PARQUET_PAGE_DATA || type == TN_PARQUET_PAGE_DATA_V2 ||
        type == TN_PARQUET_PAGE_DICTIONARY) {
      return TN_OK;
    }
    p->at += out->header.compressed_bytes; /* index pages and kinds to come */
  }
  return TN_END;
}

static bool is_ahead(const tn_parquet_pages *p) {
  return p->ahead_at < p->ahead_count;
}

tn_status tn_parquet_pages_header(tn_parquet_pages *p, tn_parquet_page *out, tn_error *err) {
  if (!is_ahead(p)) return find_header(p, out, err);
  *out = p->ahead[p->ahead_at].page;
  return TN_OK;
}

void tn_parquet_pages_pass(tn_parquet_pages *p, const tn_parquet_page *page) {
  if (is_ahead(p)) {
    p->ahead_at++;
    return;
  }
  p->at += page->header.compressed_bytes;
  p->ordinal++;
}

tn_status tn_parquet_pages_body(tn_parquet_pages *p, tn_parquet_page *page, tn_error *err) {
  const uint8_t *body = NULL;
  size_t got;
  drop_lent(p);
  if (is_ahead(p)) {
    tn_parquet_page_ahead *ahead = &p->ahead[p->ahead_at++];
    *page = ahead->page;
    return ahead->loaded ? TN_OK : in_page(page, load(p, ahead->body, page, err), err);
  }
  TN_TRY(in_page(page, look(p, page->header.compressed_bytes, &body, &got, err), err));
  p->at += page->header.compressed_bytes;
  return in_page(page, load(p, body, page, err), err);
}

/* Where the page taken last lies, if it was decompressed. */
static tn_parquet_bytes *memory_of_page(tn_parquet_pages *p, const uint8_t *values) {
  tn_parquet_bytes *last = p->ahead_at > 0 ? &p->ahead[p->ahead_at - 1].scratch : NULL;
  if (last && last->data && values >= last->data && values <= last->data + last->length)
    return last;
  bool here =
      p->scratch.data && values >= p->scratch.data && values <= p->scratch.data + p->scratch.length;
  return here ? &p->scratch : NULL;
}

tn_status tn_parquet_pages_lend(tn_parquet_pages *p, const uint8_t *values, tn_buffer **out,
                                tn_error *err) {
  tn_parquet_bytes *memory = p->lent ? NULL : memory_of_page(p, values);
  if (memory && memory->capacity / 2 > memory->length) memory = NULL; /* more than it is worth */
  if (memory) TN_TRY(tn_parquet_spare_wrap(p->spare, memory, &p->lent, err));
  *out = p->lent;
  return TN_OK;
}

/* ---- ahead ----------------------------------------------------------------------------------- */

/* The pages still to come move to the front, behind the last one taken, which is still being read.
 */
static void close_up(tn_parquet_pages *p) {
  int32_t gone = p->ahead_at - 1;
  if (gone <= 0) return;
  for (int32_t i = 0; i < gone; i++) let_go(&p->ahead[i]);
  for (int32_t i = gone; i < p->ahead_count; i++) {
    tn_parquet_page_ahead free = p->ahead[i - gone];
    p->ahead[i - gone] = p->ahead[i];
    p->ahead[i] = free;
  }
  p->ahead_at = 1;
  p->ahead_count -= gone;
}

static tn_status add_ahead(tn_parquet_pages *p, const tn_parquet_page *page) {
  size_t count = (size_t)p->ahead_count + 1, got;
  const uint8_t *body;
  TN_TRY(look(p, page->header.compressed_bytes, &body, &got, NULL));
  TN_TRY(tn_grow((void **)&p->ahead, &p->ahead_capacity, count, sizeof *p->ahead, NULL));
  tn_parquet_page_ahead *ahead = &p->ahead[p->ahead_count++];
  ahead->page = *page;
  ahead->body = body;
  ahead->window = tn_buffer_share(p->window);
  return TN_OK;
}

void tn_parquet_pages_look_ahead(tn_parquet_pages *p, int64_t values, size_t bytes_max) {
  if (p->cipher.crypt) return;
  close_up(p);
  size_t bytes = 0;
  for (int32_t i = p->ahead_at; i < p->ahead_count; i++) {
    const tn_parquet_page_header *h = &p->ahead[i].page.header;
    bytes += (size_t)h->uncompressed_bytes;
    if (h->type != TN_PARQUET_PAGE_DICTIONARY) values -= h->values;
  }
  while (values > 0) {
    tn_parquet_page page;
    int64_t at = p->at;
    bool good = find_header(p, &page, NULL) == TN_OK;
    if (good) bytes += (size_t)page.header.uncompressed_bytes;
    if (!good || bytes > bytes_max || add_ahead(p, &page) != TN_OK) {
      p->at = at;
      return;
    }
    p->at += page.header.compressed_bytes;
    if (page.header.type != TN_PARQUET_PAGE_DICTIONARY) values -= page.header.values;
  }
}

void tn_parquet_pages_load_ahead(tn_parquet_pages *p, int32_t i, tn_parquet_codecs *codecs) {
  tn_parquet_page_ahead *ahead = &p->ahead[i];
  tn_parquet_page page = ahead->page;
  tn_parquet_pages own = *p;
  own.codecs = codecs;
  own.scratch = ahead->scratch;
  ahead->loaded = load(&own, ahead->body, &page, NULL) == TN_OK;
  ahead->scratch = own.scratch;
  if (ahead->loaded) ahead->page = page;
}
