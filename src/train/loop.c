/* SPDX-License-Identifier: Apache-2.0 */
#include "train/loop.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "train/loss_plot.h"
#include "train/run_folder.h"
#include "train/trainer.h"

typedef struct loop {
  const tn_run_config *config;
  const tn_train_options *options;
  tn_train_result *result;
  tn_run_folder folder;
  tn_trainer *trainer;
  tn_loss_log *log;
  int64_t validated_step;
  bool stopping;
} loop;

static bool asked_to_stop(void *context) {
  loop *l = context;
  const tn_train_watch *watch = &l->options->watch;
  if (watch->stop && watch->stop(watch->context)) l->stopping = true;
  return l->stopping;
}

static int64_t step_of(const loop *l) {
  return tn_trainer_state(l->trainer)->step;
}

/* ---- files of the run
 * -------------------------------------------------------------------------------- */

static tn_status write_config(loop *l, tn_error *err) {
  tn_strbuf path = {0}, text = {0};
  tn_run_config_write(l->config, &text);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = tn_run_folder_file(&l->folder, "config.yaml", &path, err);
  if (status == TN_OK) status = tn_file_write_atomic(path.data, tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status draw(loop *l, tn_error *err) {
  tn_strbuf path = {0}, svg = {0};
  tn_loss_plot_write(tn_loss_log_training(l->log), tn_loss_log_validations(l->log), l->config->run,
                     &svg);
  tn_status status = tn_strbuf_check(&svg, err);
  if (status == TN_OK) status = tn_run_folder_file(&l->folder, "loss.svg", &path, err);
  if (status == TN_OK) status = tn_file_write_atomic(path.data, tn_strbuf_view(&svg), err);
  tn_strbuf_clear(&svg);
  tn_strbuf_clear(&path);
  return status;
}

/* Training is not worth less without its picture: that only makes a note. */
static void draw_or_note(loop *l) {
  tn_error err = {0};
  const tn_train_watch *watch = &l->options->watch;
  if (draw(l, &err) != TN_OK && watch->noted) watch->noted(watch->context, err.text);
}

static tn_status save_checkpoint(loop *l, tn_error *err) {
  int64_t started_us = tn_time_us(), step = step_of(l);
  TN_TRY(tn_loss_log_sync(l->log, err));
  tn_checkpoint checkpoint = tn_trainer_checkpoint(l->trainer);
  TN_TRY(tn_checkpoint_save(l->config->run, &checkpoint, err));
  l->result->saved_step = step;
  TN_TRY(tn_checkpoint_prune(l->config->run, l->config->checkpoint.keep, err));
  const tn_train_watch *watch = &l->options->watch;
  tn_strbuf folder = {0};
  tn_status status = tn_checkpoint_path(&folder, l->config->run, step, err);
  if (status == TN_OK && watch->saved)
    watch->saved(watch->context, step, folder.data, (double)(tn_time_us() - started_us) / 1e6);
  tn_strbuf_clear(&folder);
  return status;
}

static tn_status save(loop *l, tn_error *err) {
  if (l->result->saved_step == step_of(l)) return TN_OK;
  tn_status status = save_checkpoint(l, err);
  if (status == TN_OK) {
    draw_or_note(l);
    return TN_OK;
  }
  return tn_error_context(err, status, "saving step %lld", (long long)step_of(l));
}

/* ---- opening
 * ------------------------------------------------------------------------------------------ */

/* Says which earlier checkpoint is whole, when the chosen one is not. */
static void find_whole(loop *l, int64_t step, tn_status status) {
  if (status != TN_ERR_CHECKSUM && status != TN_ERR_DATA && status != TN_ERR_NOT_FOUND) return;
  tn_strbuf path = {0};
  bool damaged = tn_checkpoint_path(&path, l->config->run, step, NULL) == TN_OK &&
                 tn_checkpoint_verify(path.data, NULL) != TN_OK;
  tn_strbuf_clear(&path);
  int64_t whole;
  if (damaged && tn_checkpoint_newest_whole(l->config->run, step, &whole, NULL) == TN_OK)
    l->result->whole_step = whole;
}

static tn_status open_trainer(loop *l, int64_t step, tn_error *err) {
  if (step < 0) return tn_trainer_new(&l->trainer, l->config, l->options->pool, NULL, err);
  tn_strbuf path = {0};
  tn_status status = tn_checkpoint_path(&path, l->config->run, step, err);
  if (status == TN_OK)
    status = tn_trainer_new(&l->trainer, l->config, l->options->pool, path.data, err);
  if (status != TN_OK) find_whole(l, step, status);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status open_log(loop *l, tn_error *err) {
  tn_strbuf path = {0};
  tn_status status = tn_run_folder_file(&l->folder, "log.jsonl", &path, err);
  if (status == TN_OK) status = tn_loss_log_open(&l->log, path.data, step_of(l), err);
  tn_strbuf_clear(&path);
  if (status != TN_OK) return status;
  const tn_loss_curve *validations = tn_loss_log_validations(l->log);
  l->validated_step = -1;
  if (validations->count) {
    const tn_loss_point *last = &validations->points[validations->count - 1];
    l->validated_step = last->step;
    l->result->validation_loss = last->loss;
  }
  return TN_OK;
}

/* Nothing on disk changes before data and model are there and the chosen checkpoint is found whole.
 */
static tn_status open_run(loop *l, tn_error *err) {
  int64_t step = -1;
  TN_TRY(tn_run_folder_open(&l->folder, l->config->run, err));
  if (!l->options->fresh) TN_TRY(tn_run_folder_choose(&l->folder, l->options->from, &step, err));
  TN_TRY(open_trainer(l, step, err));
  if (l->options->fresh) TN_TRY(tn_run_folder_empty(&l->folder, err));
  if (l->options->from) TN_TRY(tn_checkpoint_go_back(l->config->run, step, err));
  /* What a kill between the last save and its tidying left undone. */
  TN_TRY(tn_checkpoint_prune(l->config->run, l->config->checkpoint.keep, err));
  TN_TRY(open_log(l, err));
  l->result->saved_step = step;
  l->result->start_step = l->result->step = step_of(l);
  tn_tensor flat = tn_model_flat(tn_trainer_model(l->trainer));
  l->result->parameters = tn_tensor_count(&flat);
  return write_config(l, err);
}

/* ---- running
 * ------------------------------------------------------------------------------------------ */

static tn_status validate(loop *l, tn_error *err) {
  double loss;
  tn_status status = tn_trainer_evaluate(l->trainer, asked_to_stop, l, &loss, err);
  if (status == TN_END) return TN_OK;
  if (status != TN_OK) return status;
  l->result->validation_loss = loss;
  l->validated_step = step_of(l);
  const tn_train_watch *watch = &l->options->watch;
  if (watch->validated) watch->validated(watch->context, step_of(l), loss);
  return tn_loss_log_validation(l->log, step_of(l), loss, err);
}

static void add_to_result(loop *l, const tn_step_record *record, int64_t tokens) {
  tn_train_result *r = l->result;
  double seconds = (double)tokens / record->tokens_per_second;
  r->step = record->step;
  r->loss = record->loss;
  r->loss_average = record->loss_average;
  r->tokens += tokens;
  r->step_seconds += seconds;
  r->wait_seconds += record->wait_share * seconds;
}

static tn_status show_progress(loop *l, const tn_step_record *record, tn_error *err) {
  tn_progress *p = l->options->progress;
  if (!p) return TN_OK;
  int used = snprintf(p->note, sizeof p->note, "step %lld of %lld, loss %.3f",
                      (long long)record->step, (long long)l->config->steps, record->loss);
  if (isfinite(l->result->validation_loss) && used > 0 && (size_t)used < sizeof p->note)
    snprintf(p->note + used, sizeof p->note - (size_t)used, ", validation %.3f",
             l->result->validation_loss);
  tn_status status = tn_progress_at(p, l->result->tokens, err);
  if (status != TN_ERR_INTERRUPTED) return status;
  l->stopping = true;
  return TN_OK;
}

static tn_status step_once(loop *l, tn_error *err) {
  tn_step_record record = {0};
  int64_t tokens = tn_trainer_state(l->trainer)->tokens;
  TN_TRY(tn_trainer_step(l->trainer, &record, err));
  add_to_result(l, &record, tn_trainer_state(l->trainer)->tokens - tokens);
  record.seconds_left = (double)(l->config->steps - record.step) * l->result->step_seconds /
                        (double)(record.step - l->result->start_step);
  TN_TRY(tn_loss_log_step(l->log, &record, err));
  const tn_train_watch *watch = &l->options->watch;
  if (watch->stepped) watch->stepped(watch->context, &record);
  return show_progress(l, &record, err);
}

static bool is_due(const loop *l, int64_t every) {
  int64_t step = step_of(l);
  return step >= l->config->steps || (every > 0 && step % every == 0);
}

/* A stop during validation ends that, not the run's state: the step is done and can be saved. */
static tn_status validate_if_due(loop *l, tn_error *err) {
  if (!is_due(l, l->config->evaluate.every) || l->validated_step == step_of(l)) return TN_OK;
  tn_status status = validate(l, err);
  return status == TN_ERR_INTERRUPTED ? TN_OK : status;
}

static tn_status run_steps(loop *l, tn_error *err) {
  while (step_of(l) < l->config->steps && !asked_to_stop(l)) {
    TN_TRY(step_once(l, err));
    TN_TRY(validate_if_due(l, err));
    if (is_due(l, l->config->checkpoint.every)) TN_TRY(save(l, err));
  }
  /* Stopped in the last validation of an earlier call: it is still owed. */
  if (step_of(l) >= l->config->steps && !l->stopping) TN_TRY(validate_if_due(l, err));
  return TN_OK;
}

static tn_status stop_here(loop *l, tn_error *err) {
  if (step_of(l) > l->result->start_step) TN_TRY(save(l, err));
  return tn_fail(err, TN_ERR_INTERRUPTED, "%s: stopped at step %lld of %lld", l->config->run,
                 (long long)step_of(l), (long long)l->config->steps);
}

static tn_status run(loop *l, tn_error *err) {
  const tn_train_watch *watch = &l->options->watch;
  TN_TRY(open_run(l, err));
  if (watch->begun) watch->begun(watch->context, l->result->start_step, l->result->parameters);
  int64_t steps = l->config->steps - l->result->start_step;
  int64_t step_tokens =
      l->config->batch.sequences * l->config->batch.tokens * l->config->batch.accumulate;
  if (steps > 0) tn_progress_begin(l->options->progress, "train", "tokens", steps * step_tokens);
  tn_status status = run_steps(l, err);
  if (steps > 0) tn_progress_end(l->options->progress);
  if (status == TN_OK && l->stopping) return stop_here(l, err);
  if (status == TN_OK && l->result->tokens > 0) draw_or_note(l);
  return status;
}

tn_status tn_train_run(const tn_run_config *config, const tn_train_options *options,
                       tn_train_result *result, tn_error *err) {
  *result = (tn_train_result){
      .loss = NAN,
      .loss_average = NAN,
      .validation_loss = NAN,
      .saved_step = -1,
      .whole_step = -1,
  };
  loop l = {.config = config, .options = options, .result = result, .folder.lock = -1};
  tn_status status = run(&l, err);
  tn_loss_log_close(l.log);
  tn_trainer_free(l.trainer);
  tn_run_folder_close(&l.folder);
  return status;
}
