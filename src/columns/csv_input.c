/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/csv_input.h"

#include "columns/csv_split.h"

static tn_status head_room(tn_csv_input *in, size_t bytes, tn_error *err) {
  if (in->head && bytes <= in->head_capacity) return TN_OK;
  uint8_t *grown = tn_realloc(in->head, bytes + TN_CSV_PADDING, 1);
  if (!grown) return tn_fail_memory(err, "CSV sample", bytes);
  in->head = grown;
  in->head_capacity = bytes;
  return TN_OK;
}

/* From the source itself, behind what the head holds. */
static tn_status fetch(tn_csv_input *in, int64_t offset, void *dst, size_t bytes, size_t *got,
                       tn_error *err) {
  *got = 0;
  if (in->ranged) {
    int64_t left = in->size - offset;
    *got = left < (int64_t)bytes ? (size_t)(left > 0 ? left : 0) : bytes;
    return *got ? tn_csv_input_read_at(in, offset, dst, *got, err) : TN_OK;
  }
  while (*got < bytes) {
    size_t n = 0;
    TN_TRY(in->source->read(in->source, (uint8_t *)dst + *got, bytes - *got, &n, err));
    if (n == 0) break;
    *got += n;
  }
  return TN_OK;
}

tn_status tn_csv_input_more_head(tn_csv_input *in, size_t bytes, tn_error *err) {
  if (in->head_is_all || bytes <= in->head_bytes) return TN_OK;
  TN_TRY(head_room(in, bytes, err));
  size_t got, want = bytes - in->head_bytes;
  TN_TRY(fetch(in, (int64_t)in->head_bytes, in->head + in->head_bytes, want, &got, err));
  in->head_bytes += got;
  in->head_is_all = got < want || (in->ranged && (int64_t)in->head_bytes == in->size);
  memset(in->head + in->head_bytes, 0, TN_CSV_PADDING);
  return TN_OK;
}

/* The head holds raw bytes: finds out what they are, and decodes them. */
static tn_status decode(tn_csv_input *in, const char *name, size_t head_bytes, tn_error *err) {
  size_t mark = 0;
  in->encoding = tn_encoding_detect(in->head, in->head_bytes, in->head_is_all, &mark);
  if (name) {
    tn_encoding seen = in->encoding;
    TN_TRY(tn_encoding_of(name, &in->encoding, err));
    bool by_mark = strcasecmp(name, "utf-16") == 0 && seen == TN_ENCODING_UTF16BE;
    if (by_mark) in->encoding = seen;
    if (seen != in->encoding) mark = 0;
  }
  in->bom = mark > 0;
  if (in->encoding == TN_ENCODING_UTF8) {
    in->first_byte = (int64_t)mark;
    in->head_bytes -= mark;
    memmove(in->head, in->head + mark, in->head_bytes + TN_CSV_PADDING);
    if (in->ranged) in->size -= (int64_t)mark;
    return TN_OK;
  }
  tn_source *raw = in->source;
  in->source = NULL;
  TN_TRY(tn_transcode_open(&in->source, raw, in->encoding, in->head, in->head_bytes, err));
  in->transcoded = true;
  in->ranged = in->head_is_all = false;
  in->size = -1;
  in->head_bytes = 0;
  return tn_csv_input_more_head(in, head_bytes, err);
}

tn_status tn_csv_input_open(tn_csv_input *in, tn_source *source, const char *encoding,
                            size_t head_bytes, tn_error *err) {
  *in = (tn_csv_input){.size = -1};
  TN_TRY(tn_inflate_open(&in->source, source, err));
  in->compression = tn_inflate_compression(in->source);
  in->ranged = in->source->size_bytes >= 0;
  in->size = in->source->size_bytes;
  TN_TRY(tn_csv_input_more_head(in, head_bytes, err));
  if (!in->head) TN_TRY(head_room(in, 0, err));
  return decode(in, encoding, head_bytes, err);
}

tn_status tn_csv_input_read(tn_csv_input *in, void *dst, size_t bytes, size_t *got, tn_error *err) {
  *got = 0;
  if (in->head && in->offset < (int64_t)in->head_bytes) {
    size_t left = in->head_bytes - (size_t)in->offset;
    *got = bytes < left ? bytes : left;
    memcpy(dst, in->head + in->offset, *got);
    in->offset += (int64_t)*got;
  }
  if (*got < bytes && !(in->head && in->head_is_all)) {
    size_t more;
    TN_TRY(fetch(in, in->offset, (uint8_t *)dst + *got, bytes - *got, &more, err));
    in->offset += (int64_t)more;
    *got += more;
  }
  return TN_OK;
}

tn_status tn_csv_input_read_at(tn_csv_input *in, int64_t offset, void *dst, size_t bytes,
                               tn_error *err) {
  return in->source->read_at(in->source, in->first_byte + offset, dst, bytes, err);
}

bool tn_csv_input_is_pipe(const tn_csv_input *in) {
  if (in->ranged) return false;
  if (in->transcoded) return tn_transcode_over_pipe(in->source);
  return tn_inflate_over_pipe(in->source);
}

/* Reads up to `offset` and forgets it. */
static tn_status skip_to(tn_csv_input *in, int64_t offset, tn_error *err) {
  uint8_t bytes[4096];
  while (in->offset < offset) {
    int64_t left = offset - in->offset;
    size_t got, want = left < (int64_t)sizeof bytes ? (size_t)left : sizeof bytes;
    TN_TRY(tn_csv_input_read(in, bytes, want, &got, err));
    if (got == 0) return TN_OK;
  }
  return TN_OK;
}

tn_status tn_csv_input_seek(tn_csv_input *in, int64_t offset, tn_error *err) {
  bool in_head =
      in->head && offset <= (int64_t)in->head_bytes && in->offset <= (int64_t)in->head_bytes;
  if (in->ranged || in_head) {
    in->offset = offset;
    return TN_OK;
  }
  if (offset < in->offset) {
    TN_TRY(in->transcoded ? tn_transcode_rewind(in->source, err)
                          : tn_inflate_rewind(in->source, err));
    tn_free(in->head);
    in->head = NULL;
    in->head_bytes = 0;
    in->offset = -in->first_byte * !in->transcoded; /* the mark comes again */
  }
  return skip_to(in, offset, err);
}

void tn_csv_input_drop_head(tn_csv_input *in) {
  if (!in->ranged) return;
  tn_free(in->head);
  in->head = NULL;
  in->head_bytes = in->head_capacity = 0;
  in->head_is_all = false;
}

void tn_csv_input_close(tn_csv_input *in) {
  tn_source_close(in->source);
  tn_free(in->head);
  *in = (tn_csv_input){0};
}
