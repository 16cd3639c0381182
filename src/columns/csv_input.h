/* csv_input.h - a file's text as UTF-8: decompressed, transcoded, without a byte order mark.
 *
 * The first bytes stay in memory as the head until they are read, so that detection costs nothing
 * twice, over a pipe too.  Positions count bytes of the decoded text.
 *
 * Thread: one owner; tn_csv_input_read_at from any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_INPUT_H
#define TN_COLUMNS_CSV_INPUT_H
#include "columns/inflate.h"
#include "columns/transcode.h"

typedef struct tn_csv_input { /* all zero is closed */
  tn_source *source;
  bool ranged;  /* a plain file: can be read anywhere */
  int64_t size; /* ranged: of the text; else -1 */
  tn_encoding encoding;
  tn_compression compression;
  bool bom;
  uint8_t *head; /* and TN_CSV_PADDING bytes; NULL: read and gone */
  size_t head_bytes;
  bool head_is_all;
  /* private */
  bool transcoded;
  int64_t first_byte, offset;
  size_t head_capacity;
} tn_csv_input;

/* Takes over `source`, also on failure; then tn_csv_input_close frees what there is.  `encoding`
 * NULL: detected.  The head holds `head_bytes` or the whole text. */
TN_NODISCARD tn_status tn_csv_input_open(tn_csv_input *in, tn_source *source, const char *encoding,
                                         size_t head_bytes, tn_error *err);
/* Makes the head longer, before anything is read. */
TN_NODISCARD tn_status tn_csv_input_more_head(tn_csv_input *in, size_t bytes, tn_error *err);
/* Fills dst but for the text's end. */
TN_NODISCARD tn_status tn_csv_input_read(tn_csv_input *in, void *dst, size_t bytes, size_t *got,
                                         tn_error *err);
/* Ranged only. */
TN_NODISCARD tn_status tn_csv_input_read_at(tn_csv_input *in, int64_t offset, void *dst,
                                            size_t bytes, tn_error *err);
/* Goes on at `offset`: within the head, or anywhere (reading up to there where it must) when the
 * source is not a pipe; TN_ERR_UNSUPPORTED then. */
TN_NODISCARD tn_status tn_csv_input_seek(tn_csv_input *in, int64_t offset, tn_error *err);
bool tn_csv_input_is_pipe(const tn_csv_input *in);
void tn_csv_input_drop_head(tn_csv_input *in); /* when it can be read again */
void tn_csv_input_close(tn_csv_input *in);

#endif
