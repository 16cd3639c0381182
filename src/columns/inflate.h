/* inflate.h - compressed bytes as a plain source: gzip and zstd, known by their first bytes.
 *
 * A gzip file may hold several members and a zstd file several frames (skippable ones too): their
 * contents follow each other.  Memory is one input block and the decompressor's window (at most
 * TN_INFLATE_WINDOW_LOG_MAX for zstd), whatever the size of the content; a cut or damaged file is
 * TN_ERR_DATA and names the byte.
 *
 *     file --read_at or read--> tn_inflate --read--> parser
 *
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_INFLATE_H
#define TN_COLUMNS_INFLATE_H
#include "base/io.h"

typedef enum tn_compression {
  TN_COMPRESSION_NONE,
  TN_COMPRESSION_GZIP,
  TN_COMPRESSION_ZSTD
} tn_compression;
enum { TN_INFLATE_MAGIC_BYTES = 4, TN_INFLATE_WINDOW_LOG_MAX = 27 };

/* What the first bytes of a file say; fewer than TN_INFLATE_MAGIC_BYTES only at its end. */
tn_compression tn_compression_of(const uint8_t *bytes, size_t count);
const char *tn_compression_name(tn_compression compression); /* "none", "gzip", "zstd" */

/* Takes over `inner` (closed with *out, also on failure).  A plain inner that knows its size comes
 * back as it is; everything else becomes a sequential source of unknown size. */
TN_NODISCARD tn_status tn_inflate_open(tn_source **out, tn_source *inner, tn_error *err);
/* Starts such a source again from its first byte; also takes what came back as it is, which needs
 * nothing as long as it was read by read_at.  TN_ERR_UNSUPPORTED over a pipe. */
TN_NODISCARD tn_status tn_inflate_rewind(tn_source *source, tn_error *err);
/* Whether it comes from something that cannot be read twice. */
bool tn_inflate_over_pipe(const tn_source *source);
/* How `source` was compressed; NONE for any source that tn_inflate_open did not make. */
tn_compression tn_inflate_compression(const tn_source *source);

#endif
