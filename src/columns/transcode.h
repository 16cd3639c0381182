/* transcode.h - text of another encoding as a source of UTF-8.
 *
 * UTF-16 of both byte orders, Latin-1 (ISO 8859-1) and Windows-1252.  A byte order mark is taken
 * off.  UTF-16 that is no text (a lone surrogate, an odd byte at the end) is TN_ERR_DATA and names
 * the byte.  Of Windows-1252 the five bytes without a character are taken as the C1 controls of
 * Latin-1, as the WHATWG Encoding Standard has it.
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_TRANSCODE_H
#define TN_COLUMNS_TRANSCODE_H
#include "base/io.h"

typedef enum tn_encoding {
  TN_ENCODING_UTF8,
  TN_ENCODING_UTF16LE,
  TN_ENCODING_UTF16BE,
  TN_ENCODING_LATIN1,
  TN_ENCODING_WINDOWS1252,
} tn_encoding;

/* "utf-8", "utf-16le", "utf-16be", "latin-1", "windows-1252"; also "utf8", "iso-8859-1", "cp1252",
 * "utf-16" (the byte order mark tells). */
TN_NODISCARD tn_status tn_encoding_of(const char *name, tn_encoding *out, tn_error *err);
const char *tn_encoding_name(tn_encoding encoding);

/* What a sample looks like: by its byte order mark, by zero bytes in every other place (UTF-16), by
 * whether it is UTF-8, and else by the bytes 0x80 to 0x9f, which Latin-1 has no letters for.
 * `whole`: the sample does not end inside a character.  *bom_bytes of a mark. */
tn_encoding tn_encoding_detect(const uint8_t *sample, size_t bytes, bool whole, size_t *bom_bytes);

/* Takes over `inner` (closed with *out, also on failure).  `prefix` holds bytes that were already
 * read from it and come first; they are copied.  An inner that knows its size is read from its
 * start with read_at, and needs none. */
TN_NODISCARD tn_status tn_transcode_open(tn_source **out, tn_source *inner, tn_encoding encoding,
                                         const uint8_t *prefix, size_t prefix_bytes, tn_error *err);
/* Starts again from the first byte; TN_ERR_UNSUPPORTED over a pipe. */
TN_NODISCARD tn_status tn_transcode_rewind(tn_source *source, tn_error *err);
bool tn_transcode_over_pipe(const tn_source *source);

#endif
