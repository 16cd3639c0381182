/* thread.h - a pool for loops whose items are independent.
 *
 * tn_pool_run hands items 0..count-1 out by an atomic counter (tn_pool_run_near: by one for each
 * thread), the calling thread works too, and it returns when all are done.  Waiting threads spin
 * briefly, then sleep in a futex, so that foreign load on the machine does not collapse it.  Which
 * thread runs an item is not fixed: results must not depend on it.
 *
 * A run may also be started and finished later: the other threads work while the caller does
 * something else.  Whatever is run or started next on the pool finishes it first.
 *
 * Thread: one caller at a time (a nested or concurrent run executes its items inline, all
 * as worker 0: memory that is kept by worker must belong to the run, not to the pool). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_THREAD_H
#define TN_BASE_THREAD_H
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct tn_pool tn_pool;
typedef void (*tn_pool_fn)(void *context, int64_t item, int32_t worker); /* worker: 0..threads-1 */

/* `threads` counts the caller; 0: one a CPU that this process may use. */
TN_NODISCARD tn_status tn_pool_new(tn_pool **out, int32_t threads, tn_error *err);
void tn_pool_free(tn_pool *pool);
int32_t tn_pool_threads(const tn_pool *pool); /* NULL: 1 */
/* pool NULL: runs every item on the calling thread. */
void tn_pool_run(tn_pool *pool, int64_t count, tn_pool_fn fn, void *context);
/* Hands items to the other threads and returns.  False: they have to be run, nothing was started
 * (pool NULL or of one thread, in use by another thread, or called by an item). */
TN_NODISCARD bool tn_pool_start(tn_pool *pool, int64_t count, tn_pool_fn fn, void *context);
/* Returns when every item of what was started is done, and works on those that are left.  Nothing
 * started: returns at once.  Not from an item of that run. */
void tn_pool_finish(tn_pool *pool);
/* Items [first, first + count) of a run. */
typedef void (*tn_pool_near_fn)(void *context, int64_t first, int64_t count, int32_t worker);
/* How many neighbours a thread takes at a time: up to `most`, fewer when less is left, in multiples
 * of `least` but at the end of the items.  1 <= least <= most. */
typedef struct tn_pool_grain {
  int64_t least, most;
} tn_pool_grain;
/* Like tn_pool_run, for items that want to stay with their neighbours: each thread walks through a
 * stretch of its own, so that what an item asks for ahead is its thread's next one.  A thread that
 * is done takes the half behind of what another has left. */
void tn_pool_run_near(tn_pool *pool, int64_t count, tn_pool_grain grain, tn_pool_near_fn fn,
                      void *context);
int32_t tn_cpu_count(void); /* CPUs that this process may use (affinity, cgroup quota) */

#endif
