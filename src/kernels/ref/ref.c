/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ref/ref.h"

#include "base/mem.h"

static const tn_tensor *tensor_at(const tn_op_info *info, const void *args, int32_t i) {
  return (const tn_tensor *)((const char *)args + info->tensors[i].offset);
}

static void clear(const tn_op_info *info, double **data) {
  for (int32_t i = 0; i < info->tensor_count; i++) tn_free(data[i]);
}

static tn_status load(const tn_op_info *info, const void *args, double **data, tn_error *err) {
  for (int32_t i = 0; i < info->tensor_count; i++) {
    const tn_tensor *t = tensor_at(info, args, i);
    if (!t->buffer) continue; /* a scale that is left out */
    int64_t count = tn_tensor_count(t);
    if (t->layout) {
      clear(info, data);
      return tn_fail(err, TN_ERR_UNSUPPORTED, "%s: %s is packed, ref/ reads rows", info->name,
                     info->tensors[i].name);
    }
    data[i] = tn_alloc((size_t)count, sizeof *data[i]);
    if (!data[i]) {
      clear(info, data);
      return tn_fail_memory(err, info->name, (unsigned long long)count * sizeof *data[i]);
    }
    if (info->tensors[i].role == TN_ROLE_OUT) continue; /* zeroed; linear's accumulate loads y */
    for (int64_t j = 0; j < count; j++) data[i][j] = tn_element_get(tn_tensor_data(t), t->dtype, j);
  }
  return TN_OK;
}

static void store(const tn_op_info *info, const void *args, double **data) {
  for (int32_t i = 0; i < info->tensor_count; i++) {
    const tn_tensor *t = tensor_at(info, args, i);
    if (info->tensors[i].role == TN_ROLE_IN || !t->buffer) continue;
    int64_t count = tn_tensor_count(t);
    for (int64_t j = 0; j < count; j++) tn_element_set(tn_tensor_data(t), t->dtype, j, data[i][j]);
  }
}

#define TN_GRAD(forward, backward)
#define TN_OP(name, summary, tensors, scalars)                                                  \
  static tn_status run_##name(tn_stream *stream, const tn_##name##_args *args, tn_error *err) { \
    union {                                                                                     \
      tn_ref_##name named;                                                                      \
      double *list[sizeof(tn_ref_##name) / sizeof(double *)];                                   \
    } data = {.list = {NULL}};                                                                  \
    const tn_op_info *info = tn_op_describe(TN_OP_##name);                                      \
    TN_TRY(load(info, args, data.list, err));                                                   \
    tn_ref_run_##name(args, &data.named);                                                       \
    store(info, args, data.list);                                                               \
    clear(info, data.list);                                                                     \
    return TN_OK;                                                                               \
  }
#include "kernels/ops.def"
#undef TN_OP

const tn_ops *tn_ops_ref(void) {
  static const tn_ops rows = {
#define TN_OP(name, summary, tensors, scalars) .name = run_##name,
#include "kernels/ops.def"
#undef TN_OP
  };
  return &rows;
}
#undef TN_GRAD
