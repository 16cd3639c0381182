/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/page_write.h"

#include <libdeflate.h>

void tn_parquet_page_clear(tn_parquet_new_page *page) {
  tn_parquet_bytes_clear(&page->body);
  tn_parquet_bytes_clear(&page->stored);
}

void tn_parquet_packer_clear(tn_parquet_packer *packer) {
  tn_parquet_codecs_clear(&packer->codecs);
  tn_parquet_bytes_clear(&packer->room);
  tn_parquet_bytes_clear(&packer->sealed);
}

/* The body as stored, in `room`.  V2 leaves levels as they are, and values that do not shrink. */
static tn_status compress(tn_parquet_new_page *page, const tn_parquet_packing *how,
                          tn_parquet_packer *packer, tn_error *err) {
  tn_parquet_page_header *h = &page->header;
  const tn_parquet_bytes *body = &page->body;
  tn_parquet_bytes *room = &packer->room;
  room->length = 0;
  if (h->type != TN_PARQUET_PAGE_DATA_V2) {
    return tn_parquet_compress(&packer->codecs, how->codec, how->level, body->data, body->length,
                               room, err);
  }
  size_t levels = (size_t)h->rep_bytes + (size_t)h->level_bytes, values = body->length - levels;
  h->is_compressed = how->codec != TN_PARQUET_UNCOMPRESSED && values > 0;
  TN_TRY(tn_parquet_bytes_append(room, body->data, levels, err));
  if (h->is_compressed) {
    TN_TRY(tn_parquet_compress(&packer->codecs, how->codec, how->level, body->data + levels, values,
                               room, err));
    h->is_compressed = room->length - levels < values;
  }
  if (h->is_compressed) return TN_OK;
  room->length = levels;
  return tn_parquet_bytes_append(room, body->data + levels, values, err);
}

tn_status tn_parquet_seal(const tn_parquet_packing *how, int module, int64_t page,
                          const void *bytes, size_t count, tn_parquet_bytes *out, tn_error *err) {
  tn_parquet_cipher cipher = {0};
  tn_status status = tn_parquet_cipher_start(&cipher, how->crypt, how->group, how->column, err);
  if (status == TN_OK) {
    status = tn_parquet_encrypt(&cipher, module, page, bytes, count, out, err);
  }
  tn_parquet_cipher_clear(&cipher);
  return status;
}

static tn_status seal_page(const tn_parquet_new_page *page, const tn_parquet_packing *how,
                           tn_parquet_packer *packer, tn_error *err) {
  bool dictionary = page->header.type == TN_PARQUET_PAGE_DICTIONARY;
  packer->sealed.length = 0;
  return tn_parquet_seal(
      how, dictionary ? TN_PARQUET_MODULE_DICTIONARY_PAGE : TN_PARQUET_MODULE_DATA_PAGE,
      page->number, packer->room.data, packer->room.length, &packer->sealed, err);
}

static tn_status put_header(tn_parquet_new_page *page, const tn_parquet_packing *how,
                            const tn_strbuf *text, tn_error *err) {
  bool dictionary = page->header.type == TN_PARQUET_PAGE_DICTIONARY;
  if (!how->crypt) return tn_parquet_bytes_append(&page->stored, text->data, text->length, err);
  return tn_parquet_seal(
      how, dictionary ? TN_PARQUET_MODULE_DICTIONARY_HEADER : TN_PARQUET_MODULE_DATA_HEADER,
      page->number, text->data, text->length, &page->stored, err);
}

static tn_status assemble(tn_parquet_new_page *page, const tn_parquet_packing *how,
                          const tn_parquet_bytes *stored, tn_error *err) {
  tn_strbuf text = {0};
  tn_parquet_page_header_write(&page->header, &text);
  size_t bytes = text.length + stored->length + (how->crypt ? TN_PARQUET_MODULE_EXTRA : 0);
  tn_status status = tn_strbuf_check(&text, err);
  page->stored.length = 0;
  if (status == TN_OK) status = tn_parquet_bytes_reserve(&page->stored, bytes, err);
  if (status == TN_OK) status = put_header(page, how, &text, err);
  page->header_bytes = page->stored.length;
  if (status == TN_OK) {
    status = tn_parquet_bytes_append(&page->stored, stored->data, stored->length, err);
  }
  tn_strbuf_clear(&text);
  return status;
}

tn_status tn_parquet_page_pack(tn_parquet_new_page *page, const tn_parquet_packing *how,
                               tn_parquet_packer *packer, tn_error *err) {
  tn_parquet_page_header *h = &page->header;
  const tn_parquet_bytes *stored = &packer->room;
  TN_TRY(compress(page, how, packer, err));
  if (page->body.length > INT32_MAX || stored->length > INT32_MAX - TN_PARQUET_MODULE_EXTRA) {
    return tn_fail(err, TN_ERR_LIMIT, "a page of %zu bytes, limit %d", page->body.length,
                   INT32_MAX - TN_PARQUET_MODULE_EXTRA);
  }
  if (how->crypt) {
    TN_TRY(seal_page(page, how, packer, err));
    stored = &packer->sealed;
  }
  h->uncompressed_bytes = (int32_t)page->body.length;
  h->compressed_bytes = (int32_t)stored->length;
  h->has_crc = !how->no_crc;
  if (h->has_crc) {
    h->crc = libdeflate_crc32(0, stored->length ? stored->data : NULL, stored->length);
  }
  return assemble(page, how, stored, err);
}
