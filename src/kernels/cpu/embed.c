/* Rows of tables that hold more than floats in rows: quantized, float8, packed. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/linear.h"
#include "tensor/quant.h"

typedef struct embed_job {
  const tn_embed_args *args;
  float *room; /* a row a worker */
} embed_job;

static void read_row(float *out, const tn_tensor *table, int64_t row) {
  int64_t C = table->shape[1];
  const uint8_t *data = tn_tensor_data(table);
  if (table->layout)
    tn_pack_row_to_f32(out, table, row);
  else if (tn_dtype_block(table->dtype) > 1)
    tn_quant_to_f32(out, data + row * tn_dtype_bytes_of(table->dtype, C), table->dtype, C);
  else
    for (int64_t c = 0; c < C; c++) out[c] = (float)tn_element_get(data, table->dtype, row * C + c);
}

static void embed_item(void *context, int64_t t, int32_t worker) {
  const embed_job *job = context;
  const tn_tensor *out = &job->args->out;
  int64_t C = out->shape[1];
  float *row = job->room + worker * C;
  read_row(row, &job->args->table, ((const int32_t *)tn_tensor_data(&job->args->ids))[t]);
  if (out->dtype == TN_F32) {
    memcpy((float *)tn_tensor_data(out) + t * C, row, (size_t)C * sizeof *row);
    return;
  }
  for (int64_t c = 0; c < C; c++)
    tn_element_set(tn_tensor_data(out), out->dtype, t * C + c, (double)row[c]);
}

tn_status tn_embed_weight(tn_stream *stream, const tn_embed_args *args, tn_error *err) {
  int64_t T = args->out.shape[0], C = args->out.shape[1];
  embed_job job = {.args = args};
  void *room;
  size_t bytes = (size_t)(C * tn_pool_threads(stream->pool)) * sizeof(float);
  TN_TRY(tn_stream_scratch(stream, bytes, &room, err));
  job.room = room;
  tn_pool_run(T * C < 20000 ? NULL : stream->pool, T, embed_item, &job);
  return TN_OK;
}
