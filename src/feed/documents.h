/* documents.h - texts out of files: a column of a table (Parquet, Arrow, CSV), or a whole .txt
 * file.
 *
 * A batch holds some hundred documents as views; nulls are passed over.  Order is that of the files
 * as given and of the rows in them.  Thread: one owner; a batch's texts may be read from any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_FEED_DOCUMENTS_H
#define TN_FEED_DOCUMENTS_H
#include "base/str.h"

typedef struct tn_documents tn_documents;

typedef struct tn_document_batch {
  const tn_str *texts; /* valid until the next call */
  int64_t count;       /* may be 0 where all rows were null */
} tn_document_batch;

/* Paths and column name are copied.  Files are opened one after the other, when they are reached.
 */
TN_NODISCARD tn_status tn_documents_open(tn_documents **out, const char *const *paths,
                                         int32_t path_count, const char *column, tn_error *err);
/* TN_END after the last one.  A column that is missing or no text is TN_ERR_DATA listing what there
 * is. */
TN_NODISCARD tn_status tn_documents_next(tn_documents *d, tn_document_batch *out, tn_error *err);
void tn_documents_close(tn_documents *d);
int64_t tn_documents_bytes_total(const tn_documents *d); /* of all files on disk */
int64_t tn_documents_bytes_done(const tn_documents *d);  /* about how far into them */
int64_t tn_documents_nulls(const tn_documents *d);       /* passed over so far */

#endif
