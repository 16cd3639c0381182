/* deflate.h - a sink that compresses: what is written through it lands in another sink as one gzip
 * member or one zstd frame, which inflate.h and every other tool read back.
 *
 *     writer --write--> tn_deflate --write--> file
 *
 * Commit ends the member and commits the inner sink.  `bytes_written` counts what came in.
 * Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_DEFLATE_H
#define TN_COLUMNS_DEFLATE_H
#include "columns/inflate.h"

/* Takes over `inner` (closed with *out, also on failure).  level 0: gzip 6, zstd 3. */
TN_NODISCARD tn_status tn_deflate_open(tn_sink **out, tn_sink *inner, tn_compression compression,
                                       int32_t level, tn_error *err);

#endif
