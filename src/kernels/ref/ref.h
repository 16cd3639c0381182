/* ref.h - the truth: every row of ops.def in plain loops over doubles.
 *
 * ref.c loads each tensor of a call whole into an array of double, runs the row's body, rounds what
 * it wrote back to the tensors' types.  So a body knows no types, sums in double, and may work in
 * place.  It is slow and holds everything twice or more; it is what fast rows are tested against.
 *
 * Bodies find their tensors by name in tn_ref_<op>, indices as whole doubles, sizes in args. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_REF_REF_H
#define TN_KERNELS_REF_REF_H
#include "kernels/ops.h"

#define TN_GRAD(forward, backward)
#define T(role, name, kind, dims) double *name;
#define S(type, name, example)
#define TN_OP(name, summary, tensors, scalars) \
  typedef struct tn_ref_##name {               \
    tensors                                    \
  } tn_ref_##name;                             \
  void tn_ref_run_##name(const tn_##name##_args *args, const tn_ref_##name *data);
#include "kernels/ops.def"
#undef TN_OP
#undef S
#undef T
#undef TN_GRAD

#endif
