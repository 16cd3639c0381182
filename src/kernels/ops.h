/* ops.h - the table of operations that a device fills, made from ops.def.
 *
 * Every operation is `tn_status op(tn_stream *stream, const tn_<op>_args *args, tn_error *err)`.
 * Callers go through tn_ops_for(device): its rows check shapes and types against ops.def (naming
 * the argument that does not fit) and then run the device's fastest implementation; a row that the
 * device leaves empty runs ref/ (plain C, any dtype, sums in double), and tn_op_source says which
 * it is.
 *
 *     ref/   the truth: simple loops, any floating type, accumulates in double
 *     cpu/   AVX2 and AVX-512 rows laid over ref by CPUID at first use
 *     cuda   a plug-in's rows over the same struct
 *
 * No graph, no registry.  Thread: the tables are filled once and then constant. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_OPS_H
#define TN_KERNELS_OPS_H
#include "tensor/device.h"
#include "tensor/tensor.h"

typedef enum tn_activation {                   /* the activations of glu and activate */
                             TN_ACT_SILU,      /* x sigmoid(x) */
                             TN_ACT_GELU_TANH, /* x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
                                                */
                             TN_ACT_GELU_ERF,  /* x / 2 (1 + erf(x / sqrt(2))) */
                             TN_ACT_RELU,      /* max(x, 0) */
                             TN_ACT_COUNT
} tn_activation;

#define TN_GRAD(forward, backward)
#define T(role, name, kind, dims) tn_tensor name;
#define S(type, name, example)    type name;
#define TN_OP(name, summary, tensors, scalars) \
  typedef struct tn_##name##_args {            \
    tensors scalars                            \
  } tn_##name##_args;
#include "kernels/ops.def"
#undef TN_OP
#undef T
#undef S

/* The table: one function pointer a row. */
typedef struct tn_ops {
#define TN_OP(name, summary, tensors, scalars) \
  tn_status (*name)(tn_stream * stream, const tn_##name##_args *args, tn_error *err);
#include "kernels/ops.def"
#undef TN_OP
} tn_ops;

typedef enum tn_op_id {
#define TN_OP(name, summary, tensors, scalars) TN_OP_##name,
#include "kernels/ops.def"
#undef TN_OP
  TN_OP_COUNT
} tn_op_id;
#undef TN_GRAD

typedef enum tn_op_role { TN_ROLE_OUT, TN_ROLE_ACC, TN_ROLE_MOD, TN_ROLE_IN } tn_op_role;
typedef enum tn_op_kind {
  TN_KIND_REAL,
  TN_KIND_WEIGHT,
  TN_KIND_STAT,
  TN_KIND_INDEX,
  TN_KIND_CACHE,
  TN_KIND_SCALE,
  TN_KIND_GAIN
} tn_op_kind;

/* The rows of ops.def as data: for checks, tests, benches and the manual page. */
typedef struct tn_op_tensor_info {
  const char *name;
  tn_op_role role;
  tn_op_kind kind;
  const char *dims;
  size_t offset; /* of the tn_tensor inside the argument struct */
} tn_op_tensor_info;
typedef struct tn_op_scalar_info {
  const char *name;
  const char *type; /* "float" or "int32_t" */
  double example;
  size_t offset;
} tn_op_scalar_info;
typedef struct tn_op_info {
  const char *name, *summary;
  const tn_op_tensor_info *tensors;
  int32_t tensor_count;
  const tn_op_scalar_info *scalars;
  int32_t scalar_count;
  size_t args_bytes;
} tn_op_info;
typedef struct tn_grad_info {
  tn_op_id forward, backward;
} tn_grad_info;

/* Of any row: room for a call whose row is not known before it runs. */
#define TN_OP_TENSORS_MAX 16
#define TN_OP_ARGS_MAX    2048 /* bytes */

const tn_op_info *tn_op_describe(tn_op_id op);
const tn_grad_info *tn_grad_list(int32_t *count);

/* Binds the sizes of a call to the row's dims.  TN_ERR_ARGUMENT: "rmsnorm: weight is float32[129],
 * wants [C] with C = 128 (from x)". */
TN_NODISCARD tn_status tn_op_check(tn_op_id op, const void *args, tn_error *err);

const tn_ops *tn_ops_for(const tn_device *device); /* checked rows; never NULL for the CPU */
const tn_ops *tn_ops_ref(void);                    /* unchecked, ref/ alone: for tests */
/* Unchecked; "amx", "avx512bf16", "avx512vnni", "avx512", "avx2", "plain", "plain_bytes"
 * (linear.h); NULL: not here. */
const tn_ops *tn_ops_cpu(const char *isa);
const char *tn_ops_isa(int32_t i); /* those names, best first, whether here or not; NULL: no more */
/* Leaves better instruction sets than this one unused, as if the CPU lacked them: for benchmarks.
 * Call it before all others of these.  false: there is no such set, and nothing changes. */
bool tn_ops_limit(const char *isa);
/* Which implementation the device's row runs: "avx512", "avx2", "ref". */
const char *tn_op_source(const tn_device *device, tn_op_id op);

#endif
