/* model_pack.h - the matrices of an opened model in the layout that the CPU's kernels read fastest
 * (kernels/pack.h).
 *
 * Values do not change, so answers do not; memory for the packed copy comes on top of a mapped
 * file, whose pages the system may then drop.  A packed model serves; it is not trained, saved or
 * quantized.
 *
 * Thread: one owner, as the model. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_MODEL_PACK_H
#define TN_MODEL_MODEL_PACK_H
#include "base/progress.h"
#include "model/transformer.h"

/* Bytes of the packed copies of every matrix that has such a layout. */
int64_t tn_model_pack_bytes(const tn_model *model);
/* Packs them, on the pool.  A failure leaves the model whole, some matrices packed and others not.
 */
TN_NODISCARD tn_status tn_model_pack(tn_model *model, tn_pool *pool, tn_error *err);

#endif
