/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/spare.h"

#include <pthread.h>

enum { BLOCKS_MAX = 256, SMALL_BYTES = 16384 }; /* small blocks stay with malloc anyway */

struct tn_parquet_spare {
  pthread_mutex_t lock;
  int64_t holders; /* the scan, and every buffer that is out */
  bool closed;
  size_t bytes, bytes_max;
  int32_t count;
  tn_parquet_bytes blocks[BLOCKS_MAX]; /* the last one given is the last */
};

tn_status tn_parquet_spare_open(tn_parquet_spare **out, size_t bytes_max, tn_error *err) {
  tn_parquet_spare *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "spare buffers", sizeof *s);
  pthread_mutex_init(&s->lock, NULL);
  s->holders = 1;
  s->bytes_max = bytes_max;
  *out = s;
  return TN_OK;
}

/* Unlocks; the last holder frees. */
static void let_go(tn_parquet_spare *s) {
  bool last = --s->holders == 0;
  pthread_mutex_unlock(&s->lock);
  if (!last) return;
  pthread_mutex_destroy(&s->lock);
  tn_free(s);
}

void tn_parquet_spare_close(tn_parquet_spare *s) {
  if (!s) return;
  pthread_mutex_lock(&s->lock);
  s->closed = true;
  for (int32_t i = 0; i < s->count; i++) tn_parquet_bytes_clear(&s->blocks[i]);
  s->count = 0;
  let_go(s);
}

/* The smallest that fits, of those the one given last: it may still be in the cache.  -1: none. */
static int32_t find_block(const tn_parquet_spare *s, size_t want) {
  int32_t best = -1;
  for (int32_t i = s->count - 1; i >= 0; i--) {
    size_t has = s->blocks[i].capacity;
    if (has < want || has / 4 > want) continue;
    if (best < 0 || has < s->blocks[best].capacity) best = i;
  }
  return best;
}

void tn_parquet_spare_take(tn_parquet_spare *s, tn_parquet_bytes *bytes, size_t want) {
  if (!s || bytes->data || want < SMALL_BYTES) return;
  pthread_mutex_lock(&s->lock);
  int32_t i = find_block(s, want + TN_PARQUET_SLACK);
  if (i >= 0) {
    *bytes = s->blocks[i];
    s->bytes -= bytes->capacity;
    s->count--;
    memmove(&s->blocks[i], &s->blocks[i + 1], (size_t)(s->count - i) * sizeof *s->blocks);
  }
  pthread_mutex_unlock(&s->lock);
}

/* What nobody took for the longest time. */
static void drop_oldest(tn_parquet_spare *s) {
  s->bytes -= s->blocks[0].capacity;
  tn_parquet_bytes_clear(&s->blocks[0]);
  memmove(&s->blocks[0], &s->blocks[1], (size_t)--s->count * sizeof *s->blocks);
}

static void give(tn_buffer *buffer) {
  tn_parquet_spare *s = buffer->owner;
  tn_parquet_bytes block = {.data = buffer->data, .capacity = tn_block_bytes(buffer->data)};
  pthread_mutex_lock(&s->lock);
  bool keep = !s->closed && block.capacity >= SMALL_BYTES && block.capacity <= s->bytes_max;
  if (keep) {
    while (s->count == BLOCKS_MAX || block.capacity > s->bytes_max - s->bytes) drop_oldest(s);
    s->blocks[s->count++] = block;
    s->bytes += block.capacity;
  }
  let_go(s);
  if (!keep) tn_free(block.data);
}

static void free_bytes(tn_buffer *buffer) {
  tn_free(buffer->data);
}

static void drop_lender(tn_buffer *buffer) {
  tn_buffer_drop(buffer->owner);
}

static tn_status wrap_borrowed(tn_parquet_bytes *bytes, tn_buffer **out, tn_error *err) {
  TN_TRY(tn_buffer_wrap(out, bytes->data, bytes->length, NULL, drop_lender, bytes->lender, err));
  *bytes = (tn_parquet_bytes){0};
  return TN_OK;
}

tn_status tn_parquet_spare_wrap(tn_parquet_spare *s, tn_parquet_bytes *bytes, tn_buffer **out,
                                tn_error *err) {
  if (bytes->lender) return wrap_borrowed(bytes, out, err);
  if (!bytes->data) TN_TRY(tn_parquet_bytes_reserve(bytes, 0, err));
  if (bytes->capacity / 2 > bytes->length + SMALL_BYTES) { /* reserved in vain: it goes back */
    uint8_t *fit = tn_realloc(bytes->data, bytes->length + TN_PARQUET_SLACK, 1);
    if (fit) bytes->data = fit;
  }
  TN_TRY(tn_buffer_wrap(out, bytes->data, bytes->length, NULL, s ? give : free_bytes, s, err));
  *bytes = (tn_parquet_bytes){0};
  if (!s) return TN_OK;
  pthread_mutex_lock(&s->lock);
  s->holders++;
  pthread_mutex_unlock(&s->lock);
  return TN_OK;
}
