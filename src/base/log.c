/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

enum { TEXT_BYTES = 2048, LEVEL_OFF = TN_LOG_ERROR + 1 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static tn_log_sink current_sink;
static void *current_context;
static _Atomic int level_from = LEVEL_OFF; /* read without the lock, so that silence is cheap */

void tn_log_to(tn_log_sink sink, void *context, tn_log_level level_min) {
  pthread_mutex_lock(&lock);
  current_sink = sink;
  current_context = context;
  atomic_store(&level_from, sink ? (int)level_min : LEVEL_OFF);
  pthread_mutex_unlock(&lock);
}

void tn_log(tn_log_level level, const char *room, const char *format, ...) {
  if ((int)level < atomic_load_explicit(&level_from, memory_order_relaxed)) return;
  char text[TEXT_BYTES];
  va_list args;
  va_start(args, format);
  if (vsnprintf(text, sizeof text, format, args) < 0) text[0] = '\0';
  va_end(args);
  pthread_mutex_lock(&lock);
  if (current_sink) current_sink(current_context, level, room, text);
  pthread_mutex_unlock(&lock);
}

const char *tn_log_level_name(tn_log_level level) {
  static const char *const names[] = {"debug", "info", "warn", "error"};
  return (unsigned)level < sizeof names / sizeof *names ? names[level] : "unknown";
}
