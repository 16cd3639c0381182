/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/answer.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"

enum { WAIT_US = 50000 };

/* What both threads see. */
typedef struct making {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  tn_strbuf fresh; /* not yet taken */
  tn_finish finish;
  tn_error error;
  int64_t sampled, first_us; /* first_us: when the first token came */
  bool unwanted;
} making;

/* ---- on the engine's thread ---- */

static bool is_wanted(void *context) {
  making *m = context;
  pthread_mutex_lock(&m->lock);
  bool wanted = !m->unwanted;
  pthread_mutex_unlock(&m->lock);
  return wanted;
}

static void on_event(void *context, const tn_engine_event *event) {
  making *m = context;
  pthread_mutex_lock(&m->lock);
  if (event->sample && m->first_us == 0) m->first_us = tn_time_us();
  m->sampled = event->sampled;
  tn_strbuf_add_str(&m->fresh, event->text);
  if (event->finish == TN_FINISH_ERROR)
    (void)tn_fail(&m->error, TN_ERR_DATA, "%s", event->error ? event->error : "the engine failed");
  m->finish = event->finish;
  pthread_cond_signal(&m->changed);
  pthread_mutex_unlock(&m->lock);
}

/* ---- on the caller's ---- */

/* Moves what is new into *out; true: the answer has ended. */
static bool take(making *m, tn_strbuf *out) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += WAIT_US * 1000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  pthread_mutex_lock(&m->lock);
  if (m->fresh.length == 0 && m->finish == TN_FINISH_NONE)
    pthread_cond_timedwait(&m->changed, &m->lock, &until);
  tn_strbuf swap = *out;
  *out = m->fresh;
  m->fresh = swap;
  m->fresh.length = 0;
  if (tn_cli_stop_requested()) m->unwanted = true;
  bool ended = m->finish != TN_FINISH_NONE;
  pthread_mutex_unlock(&m->lock);
  return ended;
}

static tn_status watch(tn_answer *out, making *m, void (*show)(tn_str text), tn_error *err) {
  tn_strbuf fresh = {0};
  bool ended = false;
  while (!ended) {
    ended = take(m, &fresh);
    tn_strbuf_add_str(&out->text, tn_strbuf_view(&fresh));
    if (show) show(tn_strbuf_view(&fresh));
  }
  bool failed = fresh.failed || out->text.failed;
  tn_strbuf_clear(&fresh);
  if (m->finish == TN_FINISH_ERROR) return tn_fail(err, m->error.status, "%s", m->error.text);
  return failed ? tn_fail_memory(err, "an answer", 1) : TN_OK;
}

tn_status tn_answer_run(tn_answer *out, tn_engine *engine, tn_generation *generation,
                        void (*show)(tn_str text), tn_error *err) {
  making m = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  generation->wanted = is_wanted;
  generation->event = on_event;
  generation->context = &m;
  out->text.length = 0;
  int64_t start = tn_time_us();
  tn_status status = tn_engine_submit(engine, generation, 1, err);
  if (status == TN_OK) status = watch(out, &m, show, err);
  out->prompt_tokens = generation->count;
  out->sampled = m.sampled;
  out->first_us = m.first_us ? m.first_us - start : 0;
  out->total_us = tn_time_us() - start;
  out->finish = m.finish;
  tn_strbuf_clear(&m.fresh);
  return status;
}

void tn_answer_clear(tn_answer *a) {
  tn_strbuf_clear(&a->text);
  *a = (tn_answer){0};
}

const char *tn_finish_name(tn_finish finish) {
  switch (finish) {
    case TN_FINISH_STOP:
      return "stop";
    case TN_FINISH_LENGTH:
      return "length";
    case TN_FINISH_GONE:
      return "stopped";
    default:
      return "error";
  }
}
