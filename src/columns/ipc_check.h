/* ipc_check.h - whether an array that came from outside is safe to touch.
 *
 * Whoever reads a value later trusts offsets, views, codes, run ends and indices: each is checked
 * here against the bytes and the children that there are.  What a value means (UTF-8, dates) is
 * not.
 *
 * Thread: any; nothing is shared. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_IPC_CHECK_H
#define TN_COLUMNS_IPC_CHECK_H
#include "columns/ipc_buffer.h"
#include "columns/type.h"

/* Buffers are those of the C Data Interface, `count` of them, the sizes of views not counted.  NULL
 * when all is well, else what is wrong. */
const char *tn_ipc_check_array(const tn_field *field, int64_t rows, int64_t nulls,
                               const tn_ipc_bytes *buffers, int64_t count,
                               const ArrowArray *children, const ArrowArray *dictionary);

#endif
