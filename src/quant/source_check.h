/* source_check.h - are the weights of a model numbers?  A NaN or an infinity among them would
 * become a code like any other, and the quantized model would look healthy.
 *
 * Thread: a pure function of the files. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_QUANT_SOURCE_CHECK_H
#define TN_QUANT_SOURCE_CHECK_H
#include "model/transformer.h"
#include "model/weight_source.h"

/* Looks at every element of every float32, float16 and bfloat16 tensor that the model has; the
 * first that is no finite number is TN_ERR_DATA with file, tensor and place.  `source` is what the
 * model was opened from. */
TN_NODISCARD tn_status tn_source_check(const tn_model *model, tn_weight_source *source,
                                       tn_error *err);
#endif
