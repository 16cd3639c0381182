/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/import.h"

#include "columns/array.h"
#include "columns/validate.h"

typedef struct importer {
  ArrowArrayStream inner;
  ArrowSchema schema;
  tn_arena arena;
  const tn_field *field;
  int64_t batches; /* given so far */
} importer;

static tn_status import_schema(void *reader, ArrowSchema *out, tn_error *err) {
  return tn_schema_copy(out, &((importer *)reader)->schema, err);
}

/* The same rows with the batch's slice in the children; *batch is used up. */
static tn_status move_offset(ArrowArray *out, ArrowArray *batch, tn_error *err) {
  tn_shared_array *box;
  int64_t length = batch->length;
  TN_TRY(tn_shared_array_new(&box, batch, err));
  tn_status status = tn_shared_batch_view(box, 0, length, out, err);
  tn_shared_array_drop(box);
  return status;
}

/* Children of a batch are exactly as long as it, which a struct's need not be. */
static bool is_cut(const ArrowArray *batch) {
  for (int64_t i = 0; i < batch->n_children; i++)
    if (batch->children[i]->length != batch->length) return true;
  return batch->offset != 0;
}

static tn_status check_batch(importer *r, const ArrowArray *batch, tn_error *err) {
  tn_status status = tn_array_validate(r->field, batch, true, err);
  if (status == TN_OK && tn_array_null_count(batch) > 0)
    status = tn_fail(err, TN_ERR_UNSUPPORTED, "%lld rows that are null as a whole",
                     (long long)tn_array_null_count(batch));
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "Arrow stream: batch %lld", (long long)r->batches);
}

static tn_status import_next(void *reader, ArrowArray *out, tn_error *err) {
  importer *r = reader;
  ArrowArray batch;
  memset(out, 0, sizeof *out);
  TN_TRY(tn_stream_next(&r->inner, &batch, err));
  tn_status status = check_batch(r, &batch, err);
  if (status != TN_OK) {
    tn_array_clear(&batch);
    return status;
  }
  r->batches++;
  if (is_cut(&batch)) return move_offset(out, &batch, err);
  *out = batch;
  return TN_OK;
}

static void import_free(void *reader) {
  importer *r = reader;
  tn_stream_clear(&r->inner);
  tn_schema_clear(&r->schema);
  tn_arena_clear(&r->arena);
  tn_free(r);
}

static tn_status import_open(importer *r, tn_error *err) {
  tn_field *field;
  TN_TRY(tn_stream_schema(&r->inner, &r->schema, err));
  tn_status status = tn_field_tree(&field, &r->arena, &r->schema, err);
  if (status == TN_OK && field->type.id != TN_TYPE_STRUCT)
    status = tn_fail(err, TN_ERR_UNSUPPORTED, "arrays of %s, not record batches",
                     tn_type_name(field->type.id));
  r->field = field;
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "Arrow stream");
}

tn_status tn_stream_import(ArrowArrayStream *out, ArrowArrayStream *in, tn_error *err) {
  static const tn_reader_ops ops = {import_schema, import_next, import_free};
  memset(out, 0, sizeof *out);
  importer *r = tn_alloc(1, sizeof *r);
  if (!r) {
    tn_stream_clear(in);
    return tn_fail_memory(err, "Arrow stream", sizeof *r);
  }
  r->inner = *in;
  in->release = NULL;
  tn_status status = import_open(r, err);
  if (status == TN_OK) return tn_stream_new(out, &ops, r, err);
  import_free(r);
  return status;
}
