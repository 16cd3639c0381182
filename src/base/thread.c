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
enum { OPEN = 1 << 30, INSIDE_MASK = OPEN - 1, SPIN_NS = 30000, PAUSES_A_LOOK = 16 };
enum { NONE, STARTED, FINISHING };

/* How many items this thread is inside of: it may not wait for the run of one of them. */
static _Thread_local int32_t depth;

typedef struct worker {
  struct tn_pool *pool;
  pthread_t id;
  int32_t index;
} worker;

/* Items that a thread has in front of it: the first in the lower half, the end in the upper one, so
 * that whoever takes some sees both. */
typedef struct stretch {
  _Alignas(64) _Atomic uint64_t items;
} stretch;

struct tn_pool {
  int32_t threads; /* with the caller */
  int32_t running; /* without */
  worker *workers;
  stretch *stretches; /* [threads] */
  atomic_bool busy;
  _Atomic uint32_t started_job; /* NONE, STARTED or FINISHING; a futex for those who wait */
  /* the job: written while nobody is inside */
  tn_pool_fn fn; /* NULL: near */
  tn_pool_near_fn near;
  tn_pool_grain grain;
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

/* Waits some microseconds for *word to become something else than `value`. */
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

/* ---- stretches ---- */

static uint64_t items_of(int64_t first, int64_t end) {
  return (uint64_t)end << 32 | (uint64_t)first;
}
static int64_t first_of(uint64_t items) {
  return (int64_t)(items & UINT32_MAX);
}
static int64_t end_of(uint64_t items) {
  return (int64_t)(items >> 32);
}

static void set_stretches(tn_pool *pool, int64_t count) {
  int64_t grains = (count + pool->grain.least - 1) / pool->grain.least, first = 0;
  for (int32_t i = 0; i < pool->threads; i++) {
    int64_t end = grains * (i + 1) / pool->threads * pool->grain.least;
    if (end > count) end = count;
    atomic_store_explicit(&pool->stretches[i].items, items_of(first, end), memory_order_relaxed);
    first = end;
  }
}

/* A quarter of what is left, so that others find something when this thread is slow. */
static int64_t grain_of(const tn_pool_grain *g, int64_t left) {
  int64_t grain = left / 4 < g->most ? left / 4 : g->most;
  grain = grain < g->least ? g->least : grain / g->least * g->least;
  return grain < left ? grain : left;
}

/* The next items of a stretch; 0: none. */
static int64_t take_front(tn_pool *pool, stretch *s, int64_t *first) {
  uint64_t items = atomic_load_explicit(&s->items, memory_order_relaxed);
  for (;;) {
    int64_t left = end_of(items) - first_of(items), count = grain_of(&pool->grain, left);
    if (left == 0) return 0;
    *first = first_of(items);
    if (atomic_compare_exchange_weak(&s->items, &items, items + (uint64_t)count)) return count;
  }
}

/* The half behind of what another has left: its first items are this thread's at once, so that they
 * are run whoever comes next, the others become its stretch. */
static int64_t take_half(tn_pool *pool, int32_t index, stretch *from, int64_t *taken) {
  uint64_t items = atomic_load_explicit(&from->items, memory_order_relaxed);
  for (;;) {
    int64_t first = first_of(items), end = end_of(items), least = pool->grain.least;
    int64_t middle = first + (end - first) / (2 * least) * least;
    int64_t count = grain_of(&pool->grain, end - middle);
    if (first == end) return 0;
    if (!atomic_compare_exchange_weak(&from->items, &items, items_of(first, middle))) continue;
    atomic_store(&pool->stretches[index].items, items_of(middle + count, end));
    *taken = middle;
    return count;
  }
}

/* What one thread has taken and not yet made its stretch, no other sees: that thread runs it. */
static int64_t take_from_others(tn_pool *pool, int32_t index, int64_t *first) {
  int64_t count = 0;
  for (int32_t i = 1; i < pool->threads && count == 0; i++)
    count = take_half(pool, index, &pool->stretches[(index + i) % pool->threads], first);
  return count;
}

static void work_near(tn_pool *pool, int32_t index) {
  int64_t first, count;
  while ((count = take_front(pool, &pool->stretches[index], &first)) > 0 ||
         (count = take_from_others(pool, index, &first)) > 0)
    pool->near(pool->context, first, count, index);
}

/* ---- runs ---- */

static void work_by_one(tn_pool *pool, int32_t index) {
  int64_t item, count = pool->count;
  while ((item = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < count)
    pool->fn(pool->context, item, index);
}

static void work(tn_pool *pool, int32_t index) {
  depth++;
  if (pool->fn)
    work_by_one(pool, index);
  else
    work_near(pool, index);
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
  pool->stretches = tn_alloc_aligned((size_t)threads * sizeof *pool->stretches);
  if (!pool->workers || !pool->stretches) {
    tn_pool_free(pool);
    return tn_fail_memory(err, "a thread pool",
                          (size_t)threads * (sizeof *pool->workers + sizeof *pool->stretches));
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
  tn_free(pool->stretches);
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

/* The caller has set the job. */
static void open_run(tn_pool *pool) {
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  atomic_store(&pool->state, OPEN);
}

static void post(tn_pool *pool, int64_t count, tn_pool_fn fn, void *context) {
  pool->fn = fn;
  pool->context = context;
  pool->count = count;
  open_run(pool);
}

static void post_near(tn_pool *pool, int64_t count, tn_pool_grain grain, tn_pool_near_fn fn,
                      void *context) {
  pool->fn = NULL;
  pool->near = fn;
  pool->grain = grain;
  pool->context = context;
  set_stretches(pool, count);
  open_run(pool);
}

/* Works on what was posted until it is done. */
static void run_posted(tn_pool *pool, int64_t others) {
  announce(pool, others);
  work(pool, 0);
  wait_for_workers(pool);
  atomic_store(&pool->busy, false);
}

/* False: the items have to be run here. */
static bool reserve(tn_pool *pool, int64_t count) {
  if (pool && depth == 0) tn_pool_finish(pool);
  return pool && pool->threads > 1 && count > 1 && !atomic_exchange(&pool->busy, true);
}

void tn_pool_run(tn_pool *pool, int64_t count, tn_pool_fn fn, void *context) {
  if (!reserve(pool, count)) {
    run_inline(count, fn, context);
    return;
  }
  post(pool, count, fn, context);
  run_posted(pool, count - 1);
}

void tn_pool_run_near(tn_pool *pool, int64_t count, tn_pool_grain grain, tn_pool_near_fn fn,
                      void *context) {
  int64_t grains = (count + grain.least - 1) / grain.least;
  if (!reserve(pool, count > UINT32_MAX ? 1 : grains)) { /* stretches are of 32 bits */
    int64_t step = grain.most / grain.least * grain.least;
    for (int64_t first = 0; first < count; first += step)
      fn(context, first, count - first < step ? count - first : step, 0);
    return;
  }
  post_near(pool, count, grain, fn, context);
  run_posted(pool, grains - 1);
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
