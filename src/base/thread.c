/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* A run is open from when the caller posts it until the caller finds no item left.  A worker counts
 * itself in before it looks at the job, which is only possible while the run is open; the caller
 * then waits for those who are inside.  A worker that wakes too late is simply not waited for. */
enum { OPEN = 1 << 30, INSIDE_MASK = OPEN - 1, SPIN_NS = 4000, PAUSES_A_LOOK = 16 };
enum { NONE, STARTED, FINISHING };

/* How many items this thread is inside of: it may not wait for the run of one of them. */
static _Thread_local int32_t depth;

typedef struct worker {
  struct tn_pool *pool;
  pthread_t id;
  int32_t index;
} worker;

struct tn_pool {
  int32_t threads; /* with the caller */
  int32_t running; /* without */
  worker *workers;
  atomic_bool busy;
  _Atomic uint32_t started_job; /* NONE, STARTED or FINISHING; a futex for those who wait */
  /* the job: written while nobody is inside */
  tn_pool_fn fn;
  void *context;
  int64_t count;
  _Alignas(64) _Atomic int64_t next;
  _Alignas(64) _Atomic uint32_t state; /* OPEN, number of workers inside; the caller's futex */
  _Alignas(64) _Atomic uint32_t epoch; /* changes with every run; the workers' futex */
  _Atomic int32_t sleepers;
  atomic_bool quit;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int32_t count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_cpu(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Waits a few microseconds for *word to become something else than `value`. */
static bool spin_until_changed(_Atomic uint32_t *word, uint32_t value) {
  int64_t until_ns = now_ns() + SPIN_NS;
  do {
    for (int i = 0; i < PAUSES_A_LOOK; i++) {
      if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
      pause_cpu();
    }
  } while (now_ns() < until_ns);
  return false;
}

static void work(tn_pool *pool, int32_t index) {
  int64_t item, count = pool->count;
  depth++;
  while ((item = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < count)
    pool->fn(pool->context, item, index);
  depth--;
}

static bool enter(tn_pool *pool) {
  uint32_t state = atomic_load(&pool->state);
  while (state & OPEN)
    if (atomic_compare_exchange_weak(&pool->state, &state, state + 1)) return true;
  return false;
}

static void leave(tn_pool *pool) {
  if (atomic_fetch_sub(&pool->state, 1) == 1)
    futex_wake(&pool->state, 1); /* closed, and empty now */
}

static void wait_for_epoch(tn_pool *pool, uint32_t seen) {
  if (spin_until_changed(&pool->epoch, seen)) return;
  /* The caller changes epoch and then looks at sleepers, we the other way round: one of us sees
   * the other. */
  atomic_fetch_add(&pool->sleepers, 1);
  while (atomic_load(&pool->epoch) == seen) futex_wait(&pool->epoch, seen);
  atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *argument) {
  worker *self = argument;
  tn_pool *pool = self->pool;
  uint32_t seen = 0;
  for (;;) {
    wait_for_epoch(pool, seen);
    seen = atomic_load(&pool->epoch);
    if (atomic_load(&pool->quit)) return NULL;
    if (!enter(pool)) continue;
    work(pool, self->index);
    leave(pool);
  }
}

static void announce(tn_pool *pool, int64_t wanted) {
  atomic_fetch_add(&pool->epoch, 1);
  if (atomic_load(&pool->sleepers) > 0)
    futex_wake(&pool->epoch, wanted > INT_MAX ? INT_MAX : (int32_t)wanted);
}

/* Signals belong to the program's own threads: workers start with all of them blocked. */
static int start_worker(tn_pool *pool, int32_t index) {
  worker *w = &pool->workers[index - 1];
  *w = (worker){.pool = pool, .index = index};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int reason = pthread_create(&w->id, NULL, worker_main, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return reason;
}

tn_status tn_pool_new(tn_pool **out, int32_t threads, tn_error *err) {
  enum { THREADS_MAX = 4096 };
  if (threads < 0 || threads > THREADS_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "a pool of %d threads, limit %d", threads, THREADS_MAX);
  if (threads == 0) threads = tn_cpu_count();
  tn_pool *pool = tn_alloc_aligned(sizeof *pool);
  if (!pool) return tn_fail_memory(err, "a thread pool", sizeof *pool);
  pool->threads = threads;
  pool->workers = tn_alloc((size_t)threads, sizeof *pool->workers);
  if (!pool->workers) {
    tn_pool_free(pool);
    return tn_fail_memory(err, "a thread pool", (size_t)threads * sizeof *pool->workers);
  }
  while (pool->running < threads - 1) {
    int reason = start_worker(pool, pool->running + 1);
    if (reason) {
      int32_t at = pool->running + 1;
      tn_pool_free(pool);
      return tn_fail_errno(err, reason, "cannot start thread %d of %d", at, threads - 1);
    }
    pool->running++;
  }
  *out = pool;
  return TN_OK;
}

void tn_pool_free(tn_pool *pool) {
  if (!pool) return;
  tn_pool_finish(pool);
  atomic_store(&pool->quit, true);
  announce(pool, INT_MAX);
  for (int32_t i = 0; i < pool->running; i++) pthread_join(pool->workers[i].id, NULL);
  tn_free(pool->workers);
  tn_free(pool);
}

int32_t tn_pool_threads(const tn_pool *pool) {
  return pool ? pool->threads : 1;
}

static void run_inline(int64_t count, tn_pool_fn fn, void *context) {
  for (int64_t item = 0; item < count; item++) fn(context, item, 0);
}

static void wait_for_workers(tn_pool *pool) {
  uint32_t state = atomic_fetch_and(&pool->state, INSIDE_MASK) & INSIDE_MASK;
  while (state) {
    if (!spin_until_changed(&pool->state, state)) futex_wait(&pool->state, state);
    state = atomic_load(&pool->state);
  }
}

static void post(tn_pool *pool, int64_t count, tn_pool_fn fn, void *context) {
  pool->fn = fn;
  pool->context = context;
  pool->count = count;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store(&pool->state, OPEN);
}

void tn_pool_run(tn_pool *pool, int64_t count, tn_pool_fn fn, void *context) {
  if (pool && depth == 0) tn_pool_finish(pool);
  if (!pool || pool->threads == 1 || count <= 1 || atomic_exchange(&pool->busy, true)) {
    run_inline(count, fn, context);
    return;
  }
  post(pool, count, fn, context);
  announce(pool, count - 1);
  work(pool, 0);
  wait_for_workers(pool);
  atomic_store(&pool->busy, false);
}

bool tn_pool_start(tn_pool *pool, int64_t count, tn_pool_fn fn, void *context) {
  if (!pool || pool->threads == 1 || depth > 0) return false;
  tn_pool_finish(pool);
  if (atomic_exchange(&pool->busy, true)) return false;
  post(pool, count, fn, context);
  atomic_store(&pool->started_job, STARTED);
  announce(pool, count);
  return true;
}

void tn_pool_finish(tn_pool *pool) {
  uint32_t state = STARTED;
  if (!pool) return;
  if (atomic_compare_exchange_strong(&pool->started_job, &state, FINISHING)) {
    work(pool, 0);
    wait_for_workers(pool);
    atomic_store(&pool->started_job, NONE);
    futex_wake(&pool->started_job, INT_MAX);
    atomic_store(&pool->busy, false);
    return;
  }
  while (state == FINISHING) {
    futex_wait(&pool->started_job, FINISHING);
    state = atomic_load(&pool->started_job);
  }
}
