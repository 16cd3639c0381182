/* queue.h - a bounded queue of pointers between threads.
 *
 * Any number of producers and consumers.  A closed queue takes nothing more but gives out what it
 * holds; then takers get TN_END. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_QUEUE_H
#define TN_BASE_QUEUE_H
#include <stdint.h>

#include "base/error.h"

typedef struct tn_queue tn_queue;

TN_NODISCARD tn_status tn_queue_new(tn_queue **out, int32_t capacity, tn_error *err);
void tn_queue_free(tn_queue *queue); /* the items still inside are the caller's business */
/* timeout_us: 0 does not wait, -1 waits for ever.  TN_FULL: no room in time; TN_END: closed. */
tn_status tn_queue_put(tn_queue *queue, void *item, int64_t timeout_us);
/* TN_AGAIN: nothing came in time; TN_END: closed and empty. */
tn_status tn_queue_take(tn_queue *queue, void **item, int64_t timeout_us);
void tn_queue_close(tn_queue *queue);
int32_t tn_queue_count(tn_queue *queue);

#endif
