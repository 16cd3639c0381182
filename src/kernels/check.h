/* check.h - the checks that stand before every row of a device's table. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_KERNELS_CHECK_H
#define TN_KERNELS_CHECK_H
#include "kernels/ops.h"

/* The values of index tensors in host memory against the tables they point into; the shapes have
 * passed tn_op_check.  "embed: ids[7] is 5000, wants 0 to 4095". */
TN_NODISCARD tn_status tn_op_check_indices(tn_op_id op, const void *args, tn_error *err);

#endif
