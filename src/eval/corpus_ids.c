/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/corpus_ids.h"

#include "feed/documents.h"

static tn_status add_eos(tn_ids *ids, int32_t eos, tn_error *err) {
  TN_TRY(tn_grow((void **)&ids->items, &ids->capacity, ids->count + 1, sizeof *ids->items, err));
  ids->items[ids->count++] = eos;
  return TN_OK;
}

static tn_status add_document(tn_ids *ids, const tn_tokenizer *tokenizer, tn_str text,
                              const tn_corpus_ids_options *o, tn_error *err) {
  if (ids->count > 0 && o->eos_id >= 0) TN_TRY(add_eos(ids, o->eos_id, err));
  size_t from = ids->count;
  TN_TRY(tn_tokenizer_encode(tokenizer, text, true, ids, err));
  if (o->tokens_max > 0 && ids->count > (size_t)o->tokens_max) ids->count = (size_t)o->tokens_max;
  if (o->vocab_size == 0 || from >= ids->count) return TN_OK;
  return tn_tokenizer_check_ids(tokenizer, ids->items + from, ids->count - from, o->vocab_size,
                                err);
}

static bool is_enough(const tn_ids *ids, const tn_corpus_ids_options *o) {
  return o->tokens_max > 0 && ids->count >= (size_t)o->tokens_max;
}

static tn_status read_all(tn_ids *ids, const tn_tokenizer *tokenizer, tn_documents *documents,
                          const tn_corpus_ids_options *o, tn_progress *progress, tn_error *err) {
  while (!is_enough(ids, o)) {
    tn_document_batch batch;
    tn_status status = tn_documents_next(documents, &batch, err);
    if (status == TN_END) return TN_OK;
    TN_TRY(status);
    for (int64_t i = 0; i < batch.count && !is_enough(ids, o); i++)
      TN_TRY(add_document(ids, tokenizer, batch.texts[i], o, err));
    TN_TRY(tn_progress_at(progress, tn_documents_bytes_done(documents), err));
  }
  return TN_OK;
}

tn_status tn_corpus_ids_read(tn_ids *ids, const tn_tokenizer *tokenizer, const char *const *paths,
                             int32_t path_count, const tn_corpus_ids_options *options,
                             tn_progress *progress, tn_error *err) {
  tn_documents *documents;
  const char *column = options->column ? options->column : "text";
  TN_TRY(tn_documents_open(&documents, paths, path_count, column, err));
  tn_progress_begin(progress, "encode", "B", tn_documents_bytes_total(documents));
  tn_status status = read_all(ids, tokenizer, documents, options, progress, err);
  tn_documents_close(documents);
  if (status != TN_OK) return status;
  if (progress) progress->done = progress->total;
  tn_progress_end(progress);
  return TN_OK;
}
