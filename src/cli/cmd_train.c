/* cmd_train.c - `tenon train CONFIG.yaml`: a training run, from the start or from where it stopped.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <unistd.h>

#include "cli/cli.h"
#include "train/loop.h"
#include "train/trainer.h"

#define STEPS_OF_FILE INT64_MIN /* --steps is not given */

typedef struct command {
  bool fresh, dry_run, json, quiet;
  const char *from;
  int64_t steps;
  tn_option_list sets;
  const char *path;
  tn_run_config config;
  bool erase_bar; /* a progress bar stands in the terminal's last line */
} command;

/* ---- talking ---- */

/* A line on stdout; the bar on stderr makes room and comes back by itself. */
static void say(const command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const command *c, const char *format, ...) {
  if (c->json || c->quiet) return;
  if (c->erase_bar) fputs("\r\033[K", stderr);
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
  fflush(stdout);
}

static bool stop(void *context) {
  return tn_cli_stop_requested();
}

static void begun(void *context, int64_t step, int64_t parameters) {
  const command *c = context;
  tn_strbuf count = {0};
  tn_strbuf_add_count_human(&count, parameters);
  if (step == 0)
    say(c, "%s: a new run, %s parameters, %lld steps", c->config.run, count.data ? count.data : "?",
        (long long)c->config.steps);
  else if (step < c->config.steps)
    say(c, "%s: going on from step %lld of %lld", c->config.run, (long long)step,
        (long long)c->config.steps);
  tn_strbuf_clear(&count);
}

static void validated(void *context, int64_t step, double loss) {
  say(context, "step %lld: validation loss %.4f", (long long)step, loss);
}

static void saved(void *context, int64_t step, const char *folder, double seconds) {
  say(context, "step %lld: saved %s in %.2f s", (long long)step, folder, seconds);
}

static void noted(void *context, const char *text) {
  const command *c = context;
  if (c->erase_bar) fputs("\r\033[K", stderr);
  fprintf(stderr, "note: %s\n", text);
}

/* ---- results ---- */

static double rate(const tn_train_result *r) {
  return r->step_seconds > 0 ? (double)r->tokens / r->step_seconds : 0;
}
static double wait_share(const tn_train_result *r) {
  return r->step_seconds > 0 ? r->wait_seconds / r->step_seconds : 0;
}

static void print_json(const command *c, const tn_train_result *r, bool stopped) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "run", c->config.run);
  tn_cli_json_i64(&j.w, "start_step", r->start_step);
  tn_cli_json_i64(&j.w, "step", r->step);
  tn_cli_json_i64(&j.w, "steps", c->config.steps);
  tn_cli_json_bool(&j.w, "stopped", stopped);
  tn_cli_json_i64(&j.w, "parameters", r->parameters);
  tn_cli_json_i64(&j.w, "tokens", r->tokens);
  tn_cli_json_f64(&j.w, "loss", r->loss);
  tn_cli_json_f64(&j.w, "loss_average", r->loss_average);
  tn_cli_json_f64(&j.w, "validation_loss", r->validation_loss);
  tn_cli_json_f64(&j.w, "step_seconds", r->step_seconds);
  tn_cli_json_f64(&j.w, "tokens_per_second", rate(r));
  tn_cli_json_f64(&j.w, "wait_share", wait_share(r));
  tn_cli_json_i64(&j.w, "saved_step", r->saved_step);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void print_summary(const command *c, const tn_train_result *r) {
  const char *run = c->config.run;
  if (r->tokens == 0) {
    say(c, "nothing to do: %s is at step %lld of %lld; more with --steps N, anew with --fresh", run,
        (long long)r->step, (long long)c->config.steps);
    return;
  }
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "trained %lld steps, ", (long long)(r->step - r->start_step));
  tn_strbuf_add_count_human(&text, r->tokens);
  tn_strbuf_add(&text, " tokens in ");
  tn_strbuf_add_duration_human(&text, r->step_seconds);
  tn_strbuf_addf(&text, " (%.0f tokens/s, %.1f %% of it waiting for data); loss %.4f", rate(r),
                 100 * wait_share(r), r->loss_average);
  if (isfinite(r->validation_loss))
    tn_strbuf_addf(&text, ", validation loss %.4f", r->validation_loss);
  if (!text.failed) say(c, "%s", text.data);
  tn_strbuf_clear(&text);
  say(c, "model %s/latest, curve %s/loss.svg, log %s/log.jsonl; try: tenon serve %s", run, run, run,
      run);
}

static int stopped(const command *c, const tn_train_result *r) {
  if (c->json) print_json(c, r, true);
  if (r->saved_step == r->step)
    say(c, "stopped at step %lld of %lld and saved; the same command goes on from there",
        (long long)r->step, (long long)c->config.steps);
  else
    say(c, "stopped before the first step; nothing was changed");
  return TN_EXIT_INTERRUPTED;
}

static int failed(const command *c, const tn_train_result *r, const tn_error *err) {
  char hint[512] = "";
  if (r->whole_step >= 0)
    snprintf(hint, sizeof hint,
             "step-%06lld is whole; go on from it with: tenon train %s --from step-%06lld",
             (long long)r->whole_step, c->path, (long long)r->whole_step);
  else if (err->status == TN_ERR_ARGUMENT)
    snprintf(hint, sizeof hint,
             "this would not be the run in %s any more: give another with --set run=FOLDER, or "
             "start over with --fresh (removes its checkpoints)",
             c->config.run);
  else if (err->status == TN_ERR_DATA && strncmp(err->text, "step ", 5) == 0)
    snprintf(hint, sizeof hint,
             "training diverged: a lower optimizer.lr, more optimizer.warmup_steps or a smaller "
             "optimizer.clip may help");
  else if (r->saved_step >= 0)
    snprintf(hint, sizeof hint, "step-%06lld is whole; the same command goes on from it",
             (long long)r->saved_step);
  return tn_cli_fail(err, hint[0] ? hint : NULL);
}

/* ---- --dry-run ---- */

static void print_plan_json(const command *c, const tn_trainer *t) {
  const tn_corpus *corpus = tn_trainer_corpus(t);
  tn_trainer_memory m = tn_trainer_memory_of(t);
  const tn_run_config *config = &c->config;
  int64_t step_tokens = config->batch.sequences * config->batch.tokens * config->batch.accumulate;
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_begin_object(&j.w);
  tn_cli_json_text(&j.w, "run", config->run);
  tn_cli_json_i64(&j.w, "parameters",
                  tn_model_config_parameters(tn_model_config_of(tn_trainer_model(t))));
  tn_cli_json_i64(&j.w, "vocab_size", corpus->vocab_size);
  tn_cli_json_i64(&j.w, "train_tokens", corpus->train_tokens);
  tn_cli_json_i64(&j.w, "validation_tokens", corpus->validation_tokens);
  tn_cli_json_i64(&j.w, "tokens_per_step", step_tokens);
  tn_cli_json_i64(&j.w, "steps", config->steps);
  tn_cli_json_f64(&j.w, "epochs",
                  (double)(step_tokens * config->steps) / (double)corpus->train_tokens);
  tn_cli_json_i64(&j.w, "memory_bytes", m.weights + m.gradients + m.moments + m.activations);
  tn_json_end_object(&j.w);
  tn_cli_json_finish(&j);
}

static void add_memory(tn_strbuf *out, const tn_trainer *t) {
  tn_trainer_memory m = tn_trainer_memory_of(t);
  const struct {
    const char *name;
    int64_t bytes;
  } parts[] = {{"weights", m.weights},
               {"gradients", m.gradients},
               {"optimizer", m.moments},
               {"activations", m.activations}};
  tn_strbuf_add(out, "# memory: ");
  tn_strbuf_add_bytes_human(out, (double)(m.weights + m.gradients + m.moments + m.activations));
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    tn_strbuf_addf(out, "%s%s ", i ? ", " : " = ", parts[i].name);
    tn_strbuf_add_bytes_human(out, (double)parts[i].bytes);
  }
  tn_strbuf_add_char(out, '\n');
}

static void print_plan(const command *c, const tn_trainer *t) {
  const tn_run_config *config = &c->config;
  const tn_corpus *corpus = tn_trainer_corpus(t);
  int64_t step_tokens = config->batch.sequences * config->batch.tokens * config->batch.accumulate;
  tn_strbuf text = {0};
  tn_run_config_write(config, &text);
  tn_strbuf_add(&text, "# parameters: ");
  tn_strbuf_add_count_human(&text,
                            tn_model_config_parameters(tn_model_config_of(tn_trainer_model(t))));
  tn_strbuf_addf(&text, ", vocabulary %lld\n# data: ", (long long)corpus->vocab_size);
  tn_strbuf_add_count_human(&text, corpus->train_tokens);
  tn_strbuf_add(&text, " tokens for training, ");
  tn_strbuf_add_count_human(&text, corpus->validation_tokens);
  tn_strbuf_add(&text, " for validation\n# a step: ");
  tn_strbuf_add_count_human(&text, step_tokens);
  tn_strbuf_addf(&text, " tokens; all %lld steps: %.2f times the training tokens\n",
                 (long long)config->steps,
                 (double)step_tokens * (double)config->steps / (double)corpus->train_tokens);
  add_memory(&text, t);
  if (!text.failed) fputs(text.data, stdout);
  tn_strbuf_clear(&text);
}

static int dry_run(const command *c, tn_pool *pool) {
  tn_error err = {0};
  tn_trainer *trainer;
  if (tn_trainer_new(&trainer, &c->config, pool, NULL, &err) != TN_OK)
    return tn_cli_fail(&err, NULL);
  if (c->json)
    print_plan_json(c, trainer);
  else
    print_plan(c, trainer);
  tn_trainer_free(trainer);
  return 0;
}

/* ---- the command ---- */

static int train(command *c, tn_pool *pool) {
  tn_progress progress = tn_cli_progress(c->json || c->quiet);
  c->erase_bar = !c->json && !c->quiet && isatty(STDERR_FILENO);
  tn_train_options options = {
      .fresh = c->fresh,
      .from = c->from,
      .pool = pool,
      .progress = &progress,
      .watch = {.stop = stop,
                .begun = begun,
                .validated = validated,
                .saved = saved,
                .noted = noted,
                .context = c},
  };
  tn_train_result result;
  tn_error err = {0};
  tn_status status = tn_train_run(&c->config, &options, &result, &err);
  c->erase_bar = false;
  if (status == TN_ERR_INTERRUPTED) return stopped(c, &result);
  if (status != TN_OK) return failed(c, &result, &err);
  if (c->json)
    print_json(c, &result, false);
  else
    print_summary(c, &result);
  return 0;
}

/* The file, then each --set, then --steps. */
static tn_status read_config(command *c, tn_error *err) {
  const char *sets[sizeof c->sets.items / sizeof c->sets.items[0] + 1];
  char steps[48];
  int32_t count = c->sets.count;
  for (int32_t i = 0; i < count; i++) sets[i] = c->sets.items[i];
  if (c->steps != STEPS_OF_FILE) {
    snprintf(steps, sizeof steps, "steps=%lld", (long long)c->steps);
    sets[count++] = steps;
  }
  return tn_run_config_read(&c->config, c->path, sets, count, err);
}

static int run_command(command *c) {
  tn_error err = {0};
  if (c->fresh && c->from)
    return tn_cli_usage_error("--fresh starts over and --from goes back; give one of the two");
  if (read_config(c, &err) != TN_OK)
    return tn_cli_fail(
        &err, err.status == TN_ERR_NOT_FOUND ? "examples/ has configurations to start from" : NULL);
  tn_pool *pool = tn_cli_pool((int32_t)c->config.threads);
  int code = c->dry_run ? dry_run(c, pool) : train(c, pool);
  tn_run_config_clear(&c->config);
  return code;
}

static int run(int argc, char **argv) {
  command c = {.steps = STEPS_OF_FILE};
  const tn_option options[] = {
      {"--steps", 'n', TN_OPTION_INT, &c.steps, "N", "train up to step N instead of the file's"},
      {"--set", 's', TN_OPTION_LIST, &c.sets, "KEY=VALUE", "override a key, as optimizer.lr=0.001"},
      {"--fresh", 0, TN_OPTION_FLAG, &c.fresh, NULL,
       "start over: removes the run's checkpoints, log and plot"},
      {"--from", 0, TN_OPTION_TEXT, &c.from, "STEP",
       "go back to this checkpoint (later ones are set aside)"},
      {"--dry-run", 0, TN_OPTION_FLAG, &c.dry_run, NULL,
       "print the whole configuration, sizes and memory; train nothing"},
      {"--quiet", 'q', TN_OPTION_FLAG, &c.quiet, NULL, "errors only"},
      {"--json", 0, TN_OPTION_FLAG, &c.json, NULL, "one JSON object instead of text"},
      {0}};
  const tn_usage usage = {
      .words = "tenon train [options] CONFIG.yaml",
      .about =
          "Trains a model as CONFIG.yaml says.  A run that was stopped or killed goes on from "
          "its newest\ncheckpoint when the same command is given again; Ctrl-C saves first.",
      .example = "tenon train examples/austen.yaml --set optimizer.lr=0.002 --steps 100",
      .options = options,
      .words_min = 1,
      .words_max = 1,
  };
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  c.path = argv[1];
  return run_command(&c);
}

const tn_command tn_command_train = {"train", "train a model from a YAML file; resumes by itself",
                                     run};
