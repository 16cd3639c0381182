/* SPDX-License-Identifier: Apache-2.0 */
#include "train/loss_log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"

struct tn_loss_log {
  char *path;
  int fd;
  tn_loss_curve training, validation;
  tn_strbuf line;
};

static tn_status add_point(tn_loss_curve *curve, int64_t step, double loss, tn_error *err) {
  void *points = curve->points;
  TN_TRY(tn_grow(&points, &curve->capacity, curve->count + 1, sizeof *curve->points, err));
  curve->points = points;
  curve->points[curve->count++] = (tn_loss_point){step, loss};
  return TN_OK;
}

/* ---- reading back
 * -------------------------------------------------------------------------------- */

/* TN_END: this line and all behind it are to be cut off (beyond last_step, or torn by a crash). */
static tn_status take_line(tn_loss_log *log, tn_arena *arena, tn_str line, int64_t last_step,
                           tn_error *err) {
  tn_json *record;
  tn_arena_reset(arena);
  tn_status status = tn_json_parse(&record, arena, line, NULL, err);
  if (status == TN_ERR_MEMORY) return status;
  const tn_json *step = status == TN_OK ? tn_json_get(record, "step") : NULL;
  if (!step || !step->is_integer || step->integer > last_step) return TN_END;
  const tn_json *loss = tn_json_get(record, "loss");
  const tn_json *validation = tn_json_get(record, "validation_loss");
  if (loss && loss->kind == TN_JSON_NUMBER)
    return add_point(&log->training, step->integer, loss->number, err);
  if (validation && validation->kind == TN_JSON_NUMBER)
    return add_point(&log->validation, step->integer, validation->number, err);
  return TN_OK;
}

/* *kept: bytes of whole lines up to last_step. */
static tn_status take_lines(tn_loss_log *log, tn_str text, int64_t last_step, size_t *kept,
                            tn_error *err) {
  tn_arena arena = {0};
  tn_status status = TN_OK;
  *kept = 0;
  while (status == TN_OK && *kept < text.length) {
    tn_str rest = {text.data + *kept, text.length - *kept};
    const char *end = memchr(rest.data, '\n', rest.length);
    if (!end) break;
    tn_str line = {rest.data, (size_t)(end - rest.data)};
    status = take_line(log, &arena, line, last_step, err);
    if (status == TN_OK) *kept += line.length + 1;
  }
  tn_arena_clear(&arena);
  return status == TN_END ? TN_OK : status;
}

static tn_status read_back(tn_loss_log *log, int64_t last_step, tn_error *err) {
  tn_strbuf text = {0};
  size_t kept = 0;
  tn_status status = TN_OK;
  if (tn_file_exists(log->path)) status = tn_file_read(log->path, 0, &text, err);
  if (status == TN_OK) status = take_lines(log, tn_strbuf_view(&text), last_step, &kept, err);
  tn_strbuf_clear(&text);
  if (status != TN_OK) return status;
  log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (log->fd < 0) return tn_fail_errno(err, errno, "%s: cannot open for writing", log->path);
  if (ftruncate(log->fd, (off_t)kept) != 0)
    return tn_fail_errno(err, errno, "%s: cannot cut it to %zu bytes", log->path, kept);
  return TN_OK;
}

tn_status tn_loss_log_open(tn_loss_log **out, const char *path, int64_t last_step, tn_error *err) {
  *out = NULL;
  tn_loss_log *log = tn_alloc(1, sizeof *log);
  if (!log) return tn_fail_memory(err, "a loss log", sizeof *log);
  log->fd = -1;
  log->path = tn_strndup(path, strlen(path));
  tn_status status =
      log->path ? read_back(log, last_step, err) : tn_fail_memory(err, "a path", strlen(path) + 1);
  if (status != TN_OK) {
    tn_loss_log_close(log);
    return status;
  }
  *out = log;
  return TN_OK;
}

void tn_loss_log_close(tn_loss_log *log) {
  if (!log) return;
  if (log->fd >= 0) close(log->fd);
  tn_free(log->training.points);
  tn_free(log->validation.points);
  tn_strbuf_clear(&log->line);
  tn_free(log->path);
  tn_free(log);
}

/* ---- appending
 * ----------------------------------------------------------------------------------- */

static tn_status write_line(tn_loss_log *log, tn_error *err) {
  tn_strbuf_add_char(&log->line, '\n');
  TN_TRY(tn_strbuf_check(&log->line, err));
  for (size_t done = 0; done < log->line.length;) {
    ssize_t n = write(log->fd, log->line.data + done, log->line.length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return tn_fail_errno(err, errno, "%s: cannot append", log->path);
    done += (size_t)n;
  }
  return TN_OK;
}

static void field(tn_json_writer *w, const char *key, double value, double unit) {
  tn_json_key(w, key);
  tn_json_f64(w, unit > 0 ? round(value / unit) * unit : value);
}

tn_status tn_loss_log_step(tn_loss_log *log, const tn_step_record *r, tn_error *err) {
  tn_strbuf_reset(&log->line);
  tn_json_writer w = {.out = &log->line};
  tn_json_begin_object(&w);
  tn_json_key(&w, "step");
  tn_json_i64(&w, r->step);
  field(&w, "loss", r->loss, 0);
  field(&w, "lr", r->lr, 0);
  field(&w, "grad_norm", r->grad_norm, 0);
  field(&w, "tokens_per_s", r->tokens_per_second, 1);
  field(&w, "wait_share", r->wait_share, 1.0 / 1024);
  field(&w, "eta_s", r->seconds_left, 1);
  tn_json_end_object(&w);
  TN_TRY(write_line(log, err));
  return add_point(&log->training, r->step, r->loss, err);
}

tn_status tn_loss_log_validation(tn_loss_log *log, int64_t step, double loss, tn_error *err) {
  tn_strbuf_reset(&log->line);
  tn_json_writer w = {.out = &log->line};
  tn_json_begin_object(&w);
  tn_json_key(&w, "step");
  tn_json_i64(&w, step);
  field(&w, "validation_loss", loss, 0);
  tn_json_end_object(&w);
  TN_TRY(write_line(log, err));
  return add_point(&log->validation, step, loss, err);
}

tn_status tn_loss_log_sync(tn_loss_log *log, tn_error *err) {
  if (fsync(log->fd) == 0 || errno == EINVAL) return TN_OK;
  return tn_fail_errno(err, errno, "%s: cannot make it durable", log->path);
}

const tn_loss_curve *tn_loss_log_training(const tn_loss_log *log) {
  return &log->training;
}
const tn_loss_curve *tn_loss_log_validations(const tn_loss_log *log) {
  return &log->validation;
}
