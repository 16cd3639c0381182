/* forward_cpu - a model's serving pass, timed on command: what bench_cpu.py runs for our side.
 *
 *     forward_cpu MODEL THREADS [--rows] [--isa NAME]
 *                                      --rows: weights as they lie in the file, not packed
 *                                      --isa: no better kernels than these (avx512vnni, avx2 ...)
 *
 * Reads one command a line from standard input and answers each with one JSON line:
 *
 *     prefill TOKENS        one sequence from nothing, logits of its last token
 *     decode TOKENS         one token after the other behind a prefill of 64 (not timed)
 *     batch SEQUENCES STEPS so many sequences, one token each a step, behind 16 tokens each
 *
 * wall and cpu are seconds of the work alone; logits holds the first few and sum, so that two
 * programs can be seen to have run the same model. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "bench.h"
#include "kernels/ops.h"
#include "model/transformer.h"

enum { BLOCK_TOKENS = 16, ROWS_MAX = 512, SEQUENCES_MAX = 64, BLOCKS_EACH = 48, LOGITS_SHOWN = 8 };

static struct {
  tn_model *model;
  tn_pool *pool;
  tn_stream *stream;
  tn_kv_cache *kv;
  tn_forward *forward;
  int32_t ids[ROWS_MAX], positions[ROWS_MAX], sequences[ROWS_MAX], slots[ROWS_MAX];
  int32_t wanted[ROWS_MAX];
  int32_t blocks[SEQUENCES_MAX * BLOCKS_EACH];
  const float *logits;
} run;

static void open_model(const char *path, int32_t threads, bool packed) {
  tn_error err = {0};
  if (tn_pool_new(&run.pool, threads, &err)) die(err.text);
  const tn_model_options load = {.pool = run.pool, .packed = packed};
  if (tn_model_open_with(&run.model, path, tn_device_cpu(), &load, &err)) die(err.text);
  if (tn_stream_open(tn_device_cpu(), run.pool, &run.stream, &err)) die(err.text);
  if (tn_kv_cache_new(&run.kv, run.model, TN_F32, SEQUENCES_MAX * BLOCKS_EACH, BLOCK_TOKENS, &err))
    die(err.text);
  if (tn_forward_new(&run.forward, run.model, run.stream, ROWS_MAX, SEQUENCES_MAX, SEQUENCES_MAX,
                     BLOCKS_EACH, &err))
    die(err.text);
  for (int32_t i = 0; i < SEQUENCES_MAX * BLOCKS_EACH; i++) run.blocks[i] = i;
}

/* The token at a place of a sequence: what both programs feed. */
static int32_t token_at(int64_t sequence, int64_t position) {
  int64_t vocab = tn_model_config_of(run.model)->vocab_size;
  return (int32_t)((1 + sequence * 7919 + position * 104729) % vocab);
}

/* `count` tokens of each of `sequences`, from position `first` on; the last of each wants logits.
 */
static void step(int64_t sequences, int64_t first, int64_t count) {
  tn_error err = {0};
  int64_t rows = 0;
  for (int64_t s = 0; s < sequences; s++)
    for (int64_t p = first; p < first + count; p++, rows++) {
      run.ids[rows] = token_at(s, p);
      run.positions[rows] = (int32_t)p;
      run.sequences[rows] = (int32_t)s;
      run.slots[rows] = (int32_t)(s * BLOCKS_EACH * BLOCK_TOKENS + p);
      if (p == first + count - 1) run.wanted[s] = (int32_t)rows;
    }
  tn_forward_batch b = {.rows = rows,
                        .ids = run.ids,
                        .positions = run.positions,
                        .sequences = run.sequences,
                        .slots = run.slots,
                        .sequence_count = sequences,
                        .blocks_per_sequence = BLOCKS_EACH,
                        .block_table = run.blocks,
                        .logit_rows = sequences,
                        .logit_indices = run.wanted};
  if (tn_forward_run(run.forward, run.kv, &b, &run.logits, &err)) die(err.text);
}

static void report(const char *what, int64_t tokens, double wall, double cpu) {
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_json_begin_object(&w);
  tn_json_key(&w, "what"), tn_json_cstr(&w, what);
  tn_json_key(&w, "tokens"), tn_json_i64(&w, tokens);
  tn_json_key(&w, "wall"), tn_json_f64(&w, wall);
  tn_json_key(&w, "cpu"), tn_json_f64(&w, cpu);
  tn_json_key(&w, "logits");
  tn_json_begin_array(&w);
  for (int32_t i = 0; i < LOGITS_SHOWN; i++) tn_json_f64(&w, (double)run.logits[i]);
  tn_json_end_array(&w);
  tn_json_end_object(&w);
  printf("%s\n", text.data);
  fflush(stdout);
  tn_strbuf_clear(&text);
}

static void obey(const char *what, int64_t a, int64_t b) {
  bool prefill = strcmp(what, "prefill") == 0, decode = strcmp(what, "decode") == 0;
  int64_t sequences = prefill || decode ? 1 : a, steps = prefill ? 1 : decode ? a : b;
  int64_t before = prefill ? 0 : decode ? 64 : 16, count = prefill ? a : 1;
  if (sequences < 1 || sequences > SEQUENCES_MAX || count < 1 || count > ROWS_MAX || steps < 1 ||
      before + steps > BLOCKS_EACH * BLOCK_TOKENS || sequences * before > ROWS_MAX) {
    fprintf(stderr, "forward_cpu: %s is too much\n", what);
    exit(1);
  }
  if (before) step(sequences, 0, before);
  double wall = wall_s(), cpu = cpu_s();
  for (int64_t i = 0; i < steps; i++) step(sequences, before + i, count);
  wall = wall_s() - wall;
  cpu = cpu_s() - cpu;
  report(what, sequences * steps * count, wall, cpu);
}

static int64_t number(tn_str *words) {
  int64_t value = 0;
  return tn_str_to_i64(tn_str_cut(words, ' '), &value) ? value : 0;
}

int main(int argc, char **argv) {
  char line[128], what[32];
  int64_t threads;
  bool packed = true, good = argc >= 3 && tn_str_to_i64(tn_str_of(argv[2]), &threads);
  for (int i = 3; good && i < argc; i++)
    if (strcmp(argv[i], "--rows") == 0)
      packed = false;
    else
      good = strcmp(argv[i], "--isa") == 0 && ++i < argc && tn_ops_limit(argv[i]);
  if (!good || threads < 1 || threads > 1024) {
    fprintf(stderr, "usage: forward_cpu MODEL THREADS [--rows] [--isa NAME]\n");
    return 1;
  }
  open_model(argv[1], (int32_t)threads, packed);
  printf("{\"ready\": true, \"threads\": %d}\n", (int)tn_pool_threads(run.pool));
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    tn_str words = tn_str_trim(tn_str_of(line)), name = tn_str_cut(&words, ' ');
    snprintf(what, sizeof what, "%.*s", TN_STR_ARG(name));
    int64_t a = number(&words), b = number(&words);
    obey(what, a, b);
  }
  tn_forward_free(run.forward);
  tn_kv_cache_free(run.kv);
  tn_stream_close(run.stream);
  tn_model_free(run.model);
  tn_pool_free(run.pool);
  return 0;
}
