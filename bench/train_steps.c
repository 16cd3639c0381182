/* train_steps - training steps, timed on command: what bench_train.py runs for our side.
 *
 *     train_steps MODEL BATCHES SEQUENCES TOKENS THREADS
 *
 * MODEL is a Hugging Face folder, BATCHES a file of int32 [n][SEQUENCES][TOKENS + 1], taken one a
 * step and then from the start again.  Each line of standard input, a learning rate, is one step
 * (forward, backward, clipping at 1, AdamW with weight decay 0.1 of matrices),
 * answered with one JSON line: the loss before the step, seconds of wall and of CPU time. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/mem.h"
#include "bench.h"
#include "train/optimizer.h"

static struct {
  int64_t sequences, tokens, batches, step;
  int32_t *data, *ids, *targets;
  tn_pool *pool;
  tn_stream *stream;
  tn_model *model;
  tn_train_pass *pass;
  tn_optimizer *optimizer;
  tn_tensor grads;
  tn_buffer *grad_buffer;
} run;

static void read_batches(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f || fseek(f, 0, SEEK_END)) die("no file of batches");
  int64_t bytes = ftell(f), one = run.sequences * (run.tokens + 1) * (int64_t)sizeof(int32_t);
  run.batches = bytes / one;
  if (run.batches == 0 || bytes % one) die("the file of batches does not hold whole batches");
  run.data = tn_alloc((size_t)bytes, 1);
  run.ids = tn_alloc((size_t)one, 1);
  run.targets = tn_alloc((size_t)one, 1);
  rewind(f);
  if (!run.data || !run.ids || !run.targets ||
      fread(run.data, 1, (size_t)bytes, f) != (size_t)bytes)
    die("the file of batches cannot be read");
  fclose(f);
}

static tn_status open_run(const char *folder, int32_t threads, tn_error *err) {
  const tn_optimizer_options options = {
      .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .clip = 1};
  TN_TRY(tn_pool_new(&run.pool, threads, err));
  TN_TRY(tn_stream_open(tn_device_cpu(), run.pool, &run.stream, err));
  TN_TRY(tn_model_open_trainable(&run.model, folder, tn_device_cpu(), err));
  TN_TRY(tn_train_pass_new(&run.pass, run.model, run.stream, run.sequences, run.tokens, err));
  TN_TRY(tn_optimizer_new(&run.optimizer, run.model, run.stream, &options, err));
  tn_tensor flat = tn_model_flat(run.model);
  TN_TRY(
      tn_device_buffer_new(tn_device_cpu(), &run.grad_buffer, (size_t)tn_tensor_bytes(&flat), err));
  return tn_tensor_view(&run.grads, run.grad_buffer, 0, TN_F32, 1, flat.shape, err);
}

static void next_batch(void) {
  int64_t B = run.sequences, T = run.tokens;
  const int32_t *from = run.data + run.step % run.batches * B * (T + 1);
  for (int64_t b = 0; b < B; b++)
    for (int64_t t = 0; t < T; t++) {
      run.ids[b * T + t] = from[b * (T + 1) + t];
      run.targets[b * T + t] = from[b * (T + 1) + t + 1];
    }
}

static tn_status step(double lr, double *loss, tn_error *err) {
  double norm;
  TN_TRY(tn_train_pass_forward(run.pass, run.ids, run.targets, loss, NULL, err));
  TN_TRY(tn_train_pass_backward(run.pass, &run.grads, 1, true, err));
  TN_TRY(tn_optimizer_step(run.optimizer, &run.grads, ++run.step, lr, &norm, err));
  return tn_stream_synchronize(run.stream, err);
}

int main(int argc, char **argv) {
  tn_error err = {0};
  char line[64];
  if (argc != 6) die("usage: train_steps MODEL BATCHES SEQUENCES TOKENS THREADS");
  int64_t threads;
  if (!tn_str_to_i64(tn_str_of(argv[3]), &run.sequences) ||
      !tn_str_to_i64(tn_str_of(argv[4]), &run.tokens) ||
      !tn_str_to_i64(tn_str_of(argv[5]), &threads) || run.sequences < 1 || run.tokens < 1)
    die("SEQUENCES, TOKENS and THREADS are numbers");
  read_batches(argv[2]);
  if (open_run(argv[1], (int32_t)threads, &err)) die(err.text);
  printf("ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    double loss = 0, lr;
    line[strcspn(line, "\n")] = 0;
    if (!tn_str_to_f64(tn_str_of(line), &lr)) die("a line is a learning rate");
    next_batch();
    double wall = wall_s(), cpu = cpu_s();
    if (step(lr, &loss, &err)) die(err.text);
    printf("{\"loss\": %.9g, \"wall\": %.6f, \"cpu\": %.6f}\n", loss, wall_s() - wall,
           cpu_s() - cpu);
    fflush(stdout);
  }
  tn_optimizer_free(run.optimizer);
  tn_train_pass_free(run.pass);
  tn_model_free(run.model);
  tn_buffer_drop(run.grad_buffer);
  tn_stream_close(run.stream);
  tn_pool_free(run.pool);
  tn_free(run.data);
  tn_free(run.ids);
  tn_free(run.targets);
  return 0;
}
