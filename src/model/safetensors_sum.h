/* safetensors_sum.h - the names of the checksums that writer and reader of safetensors agree on.
 * Private to model/. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_SAFETENSORS_SUM_H
#define TN_MODEL_SAFETENSORS_SUM_H

#define TN_SUM_PREFIX        "xxh64:"
#define TN_SUM_HEADER        "xxh64.header"
#define TN_SUM_DIGITS        16
#define TN_ST_METADATA       "__metadata__"
#define TN_ST_HEADER_MAX     100000000 /* bytes; the limit of the reference implementation */
#define TN_ST_LENGTH_BYTES   8
#define TN_ST_HEADER_ALIGNED 64 /* header and its length fill a multiple of this */

#endif
