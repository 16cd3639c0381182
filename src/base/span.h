/* span.h - what happened when: named intervals for traces.
 *
 * A recorder keeps the last `capacity` spans in a ring and writes them as Chrome trace JSON.  A
 * NULL recorder costs one branch.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_SPAN_H
#define TN_BASE_SPAN_H
#include "base/str.h"

typedef struct tn_spans tn_spans;

TN_NODISCARD tn_status tn_spans_new(tn_spans **out, int32_t capacity, tn_error *err);
void tn_spans_free(tn_spans *spans);
/* `name` must be a string literal; `id` ties the spans of one request or step together. */
void tn_span_add(tn_spans *spans, const char *name, uint64_t id, int64_t start_us, int64_t end_us);
void tn_spans_write_chrome(const tn_spans *spans, tn_strbuf *out);

#endif
