/* weight_packed.h - weights as AWQ, GPTQ, compressed-tensors and float8 files pack them, turned
 * into the blocks of tensor/quant.h.
 *
 * in = K, out = N; a code is an element's small integer; w = scale (code - zero):
 *
 *     AWQ                 qweight [in, out / 8], codes along out, nibbles in the order 0 2 4 6 1 3
 * 5 7; qzeros [groups, out / 8] likewise; scales [groups, out] GPTQ                qweight [in bits
 * / 32, out], codes along in, lowest bits first; qzeros [groups, out bits / 32] along out; scales
 * [groups, out]; g_idx [in] pack-quantized      weight_packed [out, in bits / 32] along in, a
 * signed code plus half the range; weight_zero_point [out bits / 32, groups] along out;
 * weight_scale [out, groups] int-, float-        weight int8 or float8 [out, in]; weight_scale [1],
 * [out, 1], [out, groups] quantized           or a scale a block float8 in blocks weight_scale_inv,
 * which multiplies whatever its name says
 *
 * The largest block that no group's border cuts is taken; rows that no block fits (an odd number of
 * columns, groups of 16) become float32.  Sources: AutoAWQ packing_utils.py, AutoGPTQ
 * qlinear_cuda_old.py, compressed-tensors pack_quantized, transformers finegrained_fp8.
 *
 * Private to model/.  Thread: pure functions of open files, but for their marks `used`. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_WEIGHT_PACKED_H
#define TN_MODEL_WEIGHT_PACKED_H
#include "model/quant_config.h"
#include "model/weight_files.h"
#include "model/weight_source.h"

typedef enum tn_pack_layout {
  TN_PACK_AWQ,
  TN_PACK_GPTQ,
  TN_PACK_ROWS,  /* pack-quantized */
  TN_PACK_BYTES, /* int8 or float8, a byte an element */
} tn_pack_layout;

typedef struct tn_packed_weight {
  const char *name; /* of the weight, for messages */
  const char *path;
  tn_pack_layout layout;
  int32_t bits;
  int64_t rows, columns;           /* out, in */
  int64_t row_step, column_step;   /* elements that share a scale */
  const tn_tensor *codes, *scales; /* scales: a real type, [row groups, column groups] */
  const tn_tensor *zeros;          /* NULL: the middle of the range */
  const tn_tensor *group_of;       /* int32 [in]; NULL: column / column_step */
  bool scales_transposed;          /* AWQ, GPTQ: [column groups, row groups] */
  bool zeros_minus_one;
} tn_packed_weight;

/* Looks for the parts of weight `name` ("...q_proj.weight") and marks them used.  *found false: the
 * files hold no packed weight of this name.  Shapes that do not go together: TN_ERR_DATA. */
TN_NODISCARD tn_status tn_packed_weight_find(tn_packed_weight *out, const tn_weight_files *files,
                                             const tn_quant_config *config, const char *name,
                                             bool *found, tn_error *err);
/* Only looks. */
bool tn_packed_weight_is_there(const tn_weight_files *files, const tn_quant_config *config,
                               const char *name);
/* A tensor beside packed weights that changes nothing here: scales of activations and of KV. */
bool tn_packed_weight_is_aside(const tn_quant_config *config, tn_str name);
TN_NODISCARD tn_status tn_packed_weight_unpack(const tn_packed_weight *packed, tn_weight *out,
                                               tn_error *err);

#endif
