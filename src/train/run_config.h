/* run_config.h - what one training run shall do: a YAML file, checked into a struct.
 *
 * Every key is one row of a table in run_config.c (path, type, limits, default), and the file and
 * the command line's `--set optimizer.lr=0.001` go through the same rows.  A key that no row knows,
 * a wrong type and a value outside its limits are TN_ERR_DATA with "file:line: key: ...", the limit
 * and the nearest known key.  Nothing is half read: after TN_OK every rule between keys holds too.
 *
 * Keys marked as `maths` decide which numbers the run computes; a checkpoint records them, and
 * tn_run_config_compare refuses to go on under others.
 *
 * Thread: one owner; a config does not change after reading. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TRAIN_RUN_CONFIG_H
#define TN_TRAIN_RUN_CONFIG_H
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/config.h"
#include "train/schedule.h"

enum { TN_RUN_KEYS_MAX = 64 };

typedef enum tn_text_level { TN_LEVEL_CHARACTER, TN_LEVEL_BYTE } tn_text_level;
typedef enum tn_sample_order { TN_SAMPLES_SHUFFLE, TN_SAMPLES_RANDOM } tn_sample_order;

typedef struct tn_run_config { /* all zero is a valid empty config; clear frees */
  const char *run;             /* output folder */
  const char *init;            /* Hugging Face folder to start from; NULL: new weights */
  int64_t seed, threads, steps;
  int32_t precision; /* 0: fp32 */
  struct {           /* the vocabulary comes from the data */
    int64_t hidden_size, layers, heads, kv_heads, head_dim, intermediate_size, positions_max;
    double rope_theta, norm_eps;
    bool tied;
  } model;
  struct {
    const char *tokens, *tokenizer; /* folder of shards; file or folder with tokenizer.json */
    const char *text;               /* or: one text file */
    int32_t level;                  /* tn_text_level */
    int32_t order;                  /* tn_sample_order */
    double validation_share;        /* the last part of the tokens */
  } data;
  struct {
    int64_t sequences, tokens, accumulate;
  } batch;
  struct {
    double lr, lr_min, weight_decay, beta1, beta2, eps, clip; /* clip 0: none */
    int64_t warmup_steps;
    int32_t schedule; /* tn_schedule_kind */
  } optimizer;
  struct {
    int64_t every, batches; /* every 0: only at the end; batches 0: the whole validation part */
  } evaluate;
  struct {
    int64_t every, keep; /* every 0: only at the end; keep 0: all */
  } checkpoint;

  const char *name;               /* of the file, for messages */
  int32_t lines[TN_RUN_KEYS_MAX]; /* private: a key's line; 0 default, -1 from --set */
  tn_arena arena;                 /* private: the strings above */
} tn_run_config;

/* Paths inside are relative to the current folder.  `sets`: "key.path=value", applied after the
 * file. */
TN_NODISCARD tn_status tn_run_config_read(tn_run_config *out, const char *path,
                                          const char *const *sets, int32_t set_count,
                                          tn_error *err);
/* The same from text; `name` stands for the file in messages. */
TN_NODISCARD tn_status tn_run_config_parse(tn_run_config *out, const char *name, tn_str text,
                                           const char *const *sets, int32_t set_count,
                                           tn_error *err);
void tn_run_config_clear(tn_run_config *config);

/* The model's shape for a vocabulary; not for a config with `init`. */
TN_NODISCARD tn_status tn_run_config_model(const tn_run_config *config, int64_t vocab_size,
                                           int64_t eos_id, tn_model_config *out, tn_error *err);
tn_schedule tn_run_config_schedule(const tn_run_config *config);

/* The whole config with all defaults, as YAML that reads back to the same config. */
void tn_run_config_write(const tn_run_config *config, tn_strbuf *yaml);
/* The keys that decide the numbers, as one JSON object of strings: {"batch.tokens": "64", ...}. */
void tn_run_config_write_maths(const tn_run_config *config, tn_json_writer *w);
TN_NODISCARD tn_status tn_run_config_hash(const tn_run_config *config, uint64_t *out,
                                          tn_error *err); /* of those */
/* Against such an object: TN_ERR_ARGUMENT names the first key that differs, with both values. */
TN_NODISCARD tn_status tn_run_config_compare(const tn_run_config *config, const tn_json *maths,
                                             tn_error *err);
#endif
