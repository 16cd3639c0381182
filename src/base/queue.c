/* SPDX-License-Identifier: Apache-2.0 */
#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/mem.h"

struct tn_queue {
  pthread_mutex_t lock;
  pthread_cond_t has_room, has_item;
  int32_t capacity, count, head;
  bool closed;
  void **items; /* a ring: the oldest at head */
};

static bool init_locks(tn_queue *queue) {
  pthread_condattr_t monotonic;
  if (pthread_condattr_init(&monotonic) != 0) return false;
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  bool made = pthread_mutex_init(&queue->lock, NULL) == 0;
  made = made && pthread_cond_init(&queue->has_room, &monotonic) == 0;
  made = made && pthread_cond_init(&queue->has_item, &monotonic) == 0;
  pthread_condattr_destroy(&monotonic);
  return made;
}

tn_status tn_queue_new(tn_queue **out, int32_t capacity, tn_error *err) {
  if (capacity < 1)
    return tn_fail(err, TN_ERR_ARGUMENT, "a queue for %d items, wants at least 1", capacity);
  tn_queue *queue = tn_alloc(1, sizeof *queue);
  if (!queue) return tn_fail_memory(err, "a queue", sizeof *queue);
  queue->capacity = capacity;
  queue->items = tn_alloc((size_t)capacity, sizeof *queue->items);
  if (!queue->items || !init_locks(queue)) {
    tn_free(queue->items);
    tn_free(queue);
    return tn_fail_memory(err, "a queue", (size_t)capacity * sizeof(void *));
  }
  *out = queue;
  return TN_OK;
}

void tn_queue_free(tn_queue *queue) {
  if (!queue) return;
  pthread_cond_destroy(&queue->has_item);
  pthread_cond_destroy(&queue->has_room);
  pthread_mutex_destroy(&queue->lock);
  tn_free(queue->items);
  tn_free(queue);
}

static struct timespec deadline_after(int64_t timeout_us) {
  struct timespec t = {0};
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += timeout_us / 1000000;
  t.tv_nsec += timeout_us % 1000000 * 1000;
  if (t.tv_nsec >= 1000000000) {
    t.tv_sec++;
    t.tv_nsec -= 1000000000;
  }
  return t;
}

/* Sleeps until signalled; false when the time is over. */
static bool wait_on(tn_queue *queue, pthread_cond_t *condition, int64_t timeout_us,
                    const struct timespec *deadline) {
  if (timeout_us == 0) return false;
  if (timeout_us < 0) return pthread_cond_wait(condition, &queue->lock) == 0;
  return pthread_cond_timedwait(condition, &queue->lock, deadline) != ETIMEDOUT;
}

tn_status tn_queue_put(tn_queue *queue, void *item, int64_t timeout_us) {
  struct timespec deadline = {0};
  if (timeout_us > 0) deadline = deadline_after(timeout_us);
  tn_status status = TN_OK;
  pthread_mutex_lock(&queue->lock);
  bool waiting = true;
  while (!queue->closed && queue->count == queue->capacity && waiting)
    waiting = wait_on(queue, &queue->has_room, timeout_us, &deadline);
  if (queue->closed) {
    status = TN_END;
  } else if (queue->count == queue->capacity) {
    status = TN_FULL;
  } else {
    int32_t tail = (int32_t)(((int64_t)queue->head + queue->count) % queue->capacity);
    queue->items[tail] = item;
    queue->count++;
    pthread_cond_signal(&queue->has_item);
  }
  pthread_mutex_unlock(&queue->lock);
  return status;
}

tn_status tn_queue_take(tn_queue *queue, void **item, int64_t timeout_us) {
  struct timespec deadline = {0};
  if (timeout_us > 0) deadline = deadline_after(timeout_us);
  tn_status status = TN_OK;
  pthread_mutex_lock(&queue->lock);
  bool waiting = true;
  while (!queue->closed && queue->count == 0 && waiting)
    waiting = wait_on(queue, &queue->has_item, timeout_us, &deadline);
  if (queue->count == 0) {
    status = queue->closed ? TN_END : TN_AGAIN;
  } else {
    *item = queue->items[queue->head];
    queue->items[queue->head] = NULL;
    queue->head = queue->head + 1 == queue->capacity ? 0 : queue->head + 1;
    queue->count--;
    pthread_cond_signal(&queue->has_room);
  }
  pthread_mutex_unlock(&queue->lock);
  return status;
}

void tn_queue_close(tn_queue *queue) {
  pthread_mutex_lock(&queue->lock);
  queue->closed = true;
  pthread_cond_broadcast(&queue->has_room);
  pthread_cond_broadcast(&queue->has_item);
  pthread_mutex_unlock(&queue->lock);
}

int32_t tn_queue_count(tn_queue *queue) {
  pthread_mutex_lock(&queue->lock);
  int32_t count = queue->count;
  pthread_mutex_unlock(&queue->lock);
  return count;
}
