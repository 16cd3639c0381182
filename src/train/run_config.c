/* SPDX-License-Identifier: Apache-2.0 */
#include "train/run_config.h"

#include <stdio.h>

#include "base/io.h"
#include "base/map.h"
#include "base/number.h"
#include "train/yaml.h"

enum { FILE_BYTES_MAX = 1 << 20, TEXT_BYTES_MAX = 4096 };

typedef enum key_kind { KEY_TEXT, KEY_INT, KEY_REAL, KEY_BOOL, KEY_CHOICE } key_kind;

typedef struct key_row {
  const char *path;
  key_kind kind;
  size_t offset;
  double fallback, min, max; /* INT limits stay below 2^53, so that they are exact here */
  const char *choices;       /* CHOICE: "cosine|linear|constant", value = place */
  bool maths;                /* decides which numbers the run computes */
} key_row;

#define AT(field) offsetof(tn_run_config, field)
#define INTEGER(path, field, fallback, min, max, maths) \
  { path, KEY_INT, AT(field), fallback, min, max, NULL, maths }
#define REAL(path, field, fallback, min, max, maths) \
  { path, KEY_REAL, AT(field), fallback, min, max, NULL, maths }
#define TEXT(path, field, maths) \
  { path, KEY_TEXT, AT(field), 0, 0, 0, NULL, maths }
#define CHOICE(path, field, choices, maths) \
  { path, KEY_CHOICE, AT(field), 0, 0, 0, choices, maths }

/* Where the data lies is no maths: the checkpoint records the hash of the tokens themselves. */
static const key_row keys[] = {
    TEXT("run", run, false),
    TEXT("init", init, true),
    INTEGER("seed", seed, 1337, 0, 9007199254740992.0, true),
    INTEGER("threads", threads, 0, 0, 1024, false),
    INTEGER("steps", steps, 0, 1, 1e9, false),
    CHOICE("precision", precision, "fp32", true),
    INTEGER("model.hidden_size", model.hidden_size, 0, 2, 65536, true),
    INTEGER("model.layers", model.layers, 0, 1, 1024, true),
    INTEGER("model.heads", model.heads, 0, 1, 1024, true),
    INTEGER("model.kv_heads", model.kv_heads, 0, 1, 1024, true),
    INTEGER("model.head_dim", model.head_dim, 0, 2, 1024, true),
    INTEGER("model.intermediate_size", model.intermediate_size, 0, 1, 1048576, true),
    INTEGER("model.positions_max", model.positions_max, 0, 1, 16777216, true),
    REAL("model.rope_theta", model.rope_theta, 10000, 1, 1e12, true),
    REAL("model.norm_eps", model.norm_eps, 1e-5, 1e-12, 0.1, true),
    {"model.tied", KEY_BOOL, AT(model.tied), 1, 0, 1, NULL, true},
    TEXT("data.tokens", data.tokens, false),
    TEXT("data.tokenizer", data.tokenizer, false),
    TEXT("data.text", data.text, false),
    CHOICE("data.level", data.level, "character|byte", false),
    CHOICE("data.order", data.order, "shuffle|random", true),
    REAL("data.validation_share", data.validation_share, 0.05, 0, 0.5, true),
    INTEGER("batch.sequences", batch.sequences, 0, 1, 65536, true),
    INTEGER("batch.tokens", batch.tokens, 0, 1, 16777216, true),
    INTEGER("batch.accumulate", batch.accumulate, 1, 1, 65536, true),
    REAL("optimizer.lr", optimizer.lr, 1e-3, 1e-12, 10, true),
    REAL("optimizer.lr_min", optimizer.lr_min, 0, 0, 10, true),
    INTEGER("optimizer.warmup_steps", optimizer.warmup_steps, 0, 0, 1e9, true),
    CHOICE("optimizer.schedule", optimizer.schedule, "cosine|linear|constant", true),
    REAL("optimizer.weight_decay", optimizer.weight_decay, 0.1, 0, 1, true),
    REAL("optimizer.beta1", optimizer.beta1, 0.9, 0, 0.999999, true),
    REAL("optimizer.beta2", optimizer.beta2, 0.95, 0, 0.999999, true),
    REAL("optimizer.eps", optimizer.eps, 1e-8, 1e-30, 1, true),
    REAL("optimizer.clip", optimizer.clip, 1, 0, 1e6, true),
    INTEGER("evaluate.every", evaluate.every, 0, 0, 1e9, false),
    INTEGER("evaluate.batches", evaluate.batches, 0, 0, 1e9, false),
    INTEGER("checkpoint.every", checkpoint.every, 0, 0, 1e9, false),
    INTEGER("checkpoint.keep", checkpoint.keep, 3, 0, 1e6, false),
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };
_Static_assert((int)KEY_COUNT <= (int)TN_RUN_KEYS_MAX, "tn_run_config.lines is too short");

static int32_t find_key(const char *path) {
  for (int32_t i = 0; i < KEY_COUNT; i++)
    if (strcmp(keys[i].path, path) == 0) return i;
  return -1;
}

static void *field_of(tn_run_config *c, const key_row *key) {
  return (char *)c + key->offset;
}
static const void *field_at(const tn_run_config *c, const key_row *key) {
  return (const char *)c + key->offset;
}

/* ---- messages ---------------------------------------------------------------------------------
 */
/* "austen.yaml:12: optimizer.lr", "--set optimizer.lr", "austen.yaml: optimizer.lr" */
enum { PLACE_BYTES = 320 };
static const char *place_of(const tn_run_config *c, int32_t line, const char *path,
                            char out[PLACE_BYTES]) {
  if (line < 0)
    snprintf(out, PLACE_BYTES, "--set %s", path);
  else if (line > 0)
    snprintf(out, PLACE_BYTES, "%s:%d: %s", c->name, line, path);
  else
    snprintf(out, PLACE_BYTES, "%s: %s", c->name, path);
  return out;
}

static tn_status fail_key(const tn_run_config *c, const char *path, tn_error *err,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));
/* About a key that is already in the config. */
static tn_status fail_key(const tn_run_config *c, const char *path, tn_error *err,
                          const char *format, ...) {
  char place[PLACE_BYTES], text[PLACE_BYTES];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return tn_fail(err, TN_ERR_DATA, "%s: %s", place_of(c, c->lines[find_key(path)], path, place),
                 text);
}

/* Letters to insert, delete or replace to make b of a (Levenshtein), for short words. */
static int32_t edit_distance(const char *a, const char *b) {
  enum { WORD_MAX = TN_YAML_PATH_BYTES };
  int32_t row[WORD_MAX + 1];
  int32_t length = (int32_t)strlen(b);
  for (int32_t j = 0; j <= length; j++) row[j] = j;
  for (int32_t i = 1; a[i - 1]; i++) {
    int32_t diagonal = row[0];
    row[0] = i;
    for (int32_t j = 1; j <= length; j++) {
      int32_t replace = diagonal + (a[i - 1] != b[j - 1]);
      int32_t step = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
      diagonal = row[j];
      row[j] = replace < step ? replace : step;
    }
  }
  return row[length];
}

static const char *nearest_key(const char *path) {
  int32_t best = 0, best_distance = INT32_MAX;
  for (int32_t i = 0; i < KEY_COUNT; i++) {
    int32_t distance = edit_distance(path, keys[i].path);
    if (distance < best_distance) best = i, best_distance = distance;
  }
  return keys[best].path;
}

/* The keys beside an unknown one: "optimizer has lr, lr_min, ...". */
static void list_section(const char *path, char *out, size_t bytes) {
  const char *dot = strchr(path, '.');
  size_t length = dot ? (size_t)(dot - path) + 1 : 0, used = 0;
  out[0] = '\0';
  for (int32_t i = 0; dot && i < KEY_COUNT; i++) {
    if (strncmp(keys[i].path, path, length) != 0) continue;
    int wrote =
        used ? snprintf(out + used, bytes - used, ", %s", keys[i].path + length)
             : snprintf(out, bytes, "; %.*s has %s", (int)length - 1, path, keys[i].path + length);
    if (wrote < 0 || (size_t)wrote >= bytes - used) return;
    used += (size_t)wrote;
  }
}

static tn_status fail_unknown(const tn_run_config *c, const tn_yaml_scalar *s, tn_error *err) {
  char place[PLACE_BYTES], section[240];
  list_section(s->path, section, sizeof section);
  return tn_fail(err, TN_ERR_DATA, "%s: no such key; nearest is %s%s",
                 place_of(c, s->line, s->path, place), nearest_key(s->path), section);
}

/* ---- one value --------------------------------------------------------------------------------
 */
static const char *const kind_wants[] = {"text", "a whole number", "a number", "true or false",
                                         "one of"};

static bool parse_bool(tn_str text, bool *out) {
  *out = tn_str_is(text, "true");
  return *out || tn_str_is(text, "false");
}

static bool parse_choice(const char *choices, tn_str text, int32_t *out) {
  tn_str rest = tn_str_of(choices);
  for (*out = 0; rest.length; (*out)++)
    if (tn_str_equal(tn_str_cut(&rest, '|'), text)) return true;
  return false;
}

static tn_status fail_range(const char *place, const key_row *key, tn_str text, tn_error *err) {
  char min[TN_F64_TEXT_BYTES], max[TN_F64_TEXT_BYTES];
  if (key->kind == KEY_INT) {
    snprintf(min, sizeof min, "%.0f", key->min);
    snprintf(max, sizeof max, "%.0f", key->max);
  } else {
    tn_f64_to_text(key->min, min);
    tn_f64_to_text(key->max, max);
  }
  return tn_fail(err, TN_ERR_DATA, "%s: %.*s is outside its limits, %s to %s", place,
                 TN_STR_ARG(text), min, max);
}

static tn_status fail_type(const char *place, const key_row *key, const tn_yaml_scalar *s,
                           tn_error *err) {
  int shown = s->text.length > 60 ? 60 : (int)s->text.length;
  return tn_fail(err, TN_ERR_DATA, "%s: wants %s%s%s, has %s%.*s%s", place, kind_wants[key->kind],
                 key->choices ? " " : "", key->choices ? key->choices : "", s->quoted ? "\"" : "",
                 shown, s->text.data, s->quoted ? "\"" : "");
}

static tn_status set_text(tn_run_config *c, const key_row *key, const char *place,
                          const tn_yaml_scalar *s, tn_error *err) {
  if (s->text.length == 0 || s->text.length > TEXT_BYTES_MAX ||
      memchr(s->text.data, 0, s->text.length))
    return tn_fail(err, TN_ERR_DATA, "%s: %zu bytes of text, wants 1 to %d without NUL", place,
                   s->text.length, TEXT_BYTES_MAX);
  char *copy = tn_arena_strndup(&c->arena, s->text.data, s->text.length);
  if (!copy) return tn_fail_memory(err, place, s->text.length + 1);
  *(const char **)field_of(c, key) = copy;
  return TN_OK;
}

static tn_status set_number(tn_run_config *c, const key_row *key, const char *place,
                            const tn_yaml_scalar *s, tn_error *err) {
  int64_t integer = 0;
  double real = 0;
  bool whole = key->kind == KEY_INT;
  if (s->quoted || !(whole ? tn_str_to_i64(s->text, &integer) : tn_str_to_f64(s->text, &real)))
    return fail_type(place, key, s, err);
  double value = whole ? (double)integer : real;
  if (!(value >= key->min && value <= key->max)) return fail_range(place, key, s->text, err);
  if (whole)
    *(int64_t *)field_of(c, key) = integer;
  else
    *(double *)field_of(c, key) = real;
  return TN_OK;
}

static tn_status set_value(tn_run_config *c, const tn_yaml_scalar *s, tn_error *err) {
  int32_t index = find_key(s->path);
  if (index < 0) return fail_unknown(c, s, err);
  const key_row *key = &keys[index];
  char place[PLACE_BYTES];
  place_of(c, s->line, s->path, place);
  c->lines[index] = s->line;
  switch (key->kind) {
    case KEY_TEXT:
      return set_text(c, key, place, s, err);
    case KEY_INT:
    case KEY_REAL:
      return set_number(c, key, place, s, err);
    case KEY_BOOL:
      if (!s->quoted && parse_bool(s->text, (bool *)field_of(c, key))) return TN_OK;
      break;
    case KEY_CHOICE:
      if (parse_choice(key->choices, s->text, (int32_t *)field_of(c, key))) return TN_OK;
      break;
  }
  return fail_type(place, key, s, err);
}

static tn_status visit_scalar(void *context, const tn_yaml_scalar *scalar, tn_error *err) {
  return set_value(context, scalar, err);
}

static tn_status apply_set(tn_run_config *c, const char *set, tn_error *err) {
  tn_str rest = tn_str_of(set);
  tn_str path = tn_str_trim(tn_str_cut(&rest, '='));
  if (!rest.data || path.length == 0 || path.length >= TN_YAML_PATH_BYTES)
    return tn_fail(err, TN_ERR_DATA, "--set %s: wants key.path=value", set);
  char name[TN_YAML_PATH_BYTES];
  memcpy(name, path.data, path.length);
  name[path.length] = '\0';
  return set_value(c, &(tn_yaml_scalar){.path = name, .text = tn_str_trim(rest), .line = -1}, err);
}

static void set_defaults(tn_run_config *c) {
  for (int32_t i = 0; i < KEY_COUNT; i++) {
    void *field = field_of(c, &keys[i]);
    if (keys[i].kind == KEY_INT) *(int64_t *)field = (int64_t)keys[i].fallback;
    if (keys[i].kind == KEY_REAL) *(double *)field = keys[i].fallback;
    if (keys[i].kind == KEY_BOOL) *(bool *)field = keys[i].fallback != 0;
  }
}

/* ---- rules between keys -------------------------------------------------------------------------
 */
static tn_status require(const tn_run_config *c, const char *path, tn_error *err) {
  if (c->lines[find_key(path)] != 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: %s is missing", c->name, path);
}

static tn_status check_model(const tn_run_config *c, tn_error *err) {
  for (int32_t i = 0; c->init && i < KEY_COUNT; i++)
    if (strncmp(keys[i].path, "model.", 6) == 0 && c->lines[i] != 0)
      return fail_key(c, keys[i].path, err,
                      "init already gives the model's shape; write one of the two");
  if (c->init) return TN_OK;
  static const char *const needed[] = {"model.hidden_size", "model.layers", "model.heads",
                                       "model.intermediate_size"};
  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) TN_TRY(require(c, needed[i], err));
  if (c->batch.tokens > c->model.positions_max)
    return fail_key(c, "batch.tokens", err, "%lld tokens, limit model.positions_max = %lld",
                    (long long)c->batch.tokens, (long long)c->model.positions_max);
  tn_model_config shape;
  return tn_run_config_model(c, 1, -1, &shape, err);
}

static tn_status check_data(const tn_run_config *c, tn_error *err) {
  if (c->data.tokens && c->data.text)
    return fail_key(c, "data.text", err, "data.tokens is given too; write one of the two");
  if (!c->data.tokens && !c->data.text)
    return tn_fail(err, TN_ERR_DATA, "%s: data.tokens or data.text is missing", c->name);
  if (c->data.text && c->data.tokenizer)
    return fail_key(c, "data.tokenizer", err,
                    "data.text makes its own vocabulary; for a tokenizer give data.tokens");
  return TN_OK;
}

static tn_status check_rules(tn_run_config *c, tn_error *err) {
  static const char *const needed[] = {"run", "steps", "batch.sequences", "batch.tokens"};
  for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) TN_TRY(require(c, needed[i], err));
  if (c->model.positions_max == 0) c->model.positions_max = c->batch.tokens;
  if (c->model.kv_heads == 0) c->model.kv_heads = c->model.heads;
  TN_TRY(check_model(c, err));
  TN_TRY(check_data(c, err));
  if (c->optimizer.lr_min > c->optimizer.lr)
    return fail_key(c, "optimizer.lr_min", err, "%g is above optimizer.lr = %g",
                    c->optimizer.lr_min, c->optimizer.lr);
  return TN_OK;
}

/* ---- reading
 * ------------------------------------------------------------------------------------- */
static tn_status parse_into(tn_run_config *c, tn_str text, const char *const *sets,
                            int32_t set_count, tn_error *err) {
  TN_TRY(tn_yaml_walk(c->name, text, visit_scalar, c, err));
  for (int32_t i = 0; i < set_count; i++) TN_TRY(apply_set(c, sets[i], err));
  return check_rules(c, err);
}

tn_status tn_run_config_parse(tn_run_config *out, const char *name, tn_str text,
                              const char *const *sets, int32_t set_count, tn_error *err) {
  *out = (tn_run_config){0};
  out->name = tn_arena_strndup(&out->arena, name, strlen(name));
  if (!out->name) return tn_fail_memory(err, "the name of a config", strlen(name) + 1);
  set_defaults(out);
  tn_status status = parse_into(out, text, sets, set_count, err);
  if (status != TN_OK) tn_run_config_clear(out);
  return status;
}

tn_status tn_run_config_read(tn_run_config *out, const char *path, const char *const *sets,
                             int32_t set_count, tn_error *err) {
  *out = (tn_run_config){0};
  tn_strbuf text = {0};
  tn_status status = tn_file_read(path, FILE_BYTES_MAX, &text, err);
  if (status == TN_OK)
    status = tn_run_config_parse(out, path, tn_strbuf_view(&text), sets, set_count, err);
  tn_strbuf_clear(&text);
  return status;
}

void tn_run_config_clear(tn_run_config *config) {
  tn_arena_clear(&config->arena);
  *config = (tn_run_config){0};
}

/* ---- what follows from it
 * -------------------------------------------------------------------------- */
tn_status tn_run_config_model(const tn_run_config *c, int64_t vocab_size, int64_t eos_id,
                              tn_model_config *out, tn_error *err) {
  *out = (tn_model_config){
      .vocab_size = vocab_size,
      .hidden_size = c->model.hidden_size,
      .intermediate_size = c->model.intermediate_size,
      .layers = c->model.layers,
      .heads = c->model.heads,
      .kv_heads = c->model.kv_heads,
      .head_dim = c->model.head_dim,
      .positions_max = c->model.positions_max,
      .rope_theta = c->model.rope_theta,
      .norm_eps = c->model.norm_eps,
      .tied = c->model.tied,
      .bos_id = -1,
      .eos_id = eos_id,
  };
  tn_status status = tn_model_config_check(out, err);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s: model", c->name);
}

tn_schedule tn_run_config_schedule(const tn_run_config *c) {
  return (tn_schedule){
      .kind = (tn_schedule_kind)c->optimizer.schedule,
      .lr = c->optimizer.lr,
      .lr_min = c->optimizer.lr_min,
      .warmup_steps = c->optimizer.warmup_steps,
      .steps = c->steps,
  };
}

/* ---- writing
 * ------------------------------------------------------------------------------------- */
static void write_value(const tn_run_config *c, const key_row *key, tn_strbuf *out) {
  const void *field = field_at(c, key);
  switch (key->kind) {
    case KEY_TEXT: {
      const char *text = *(const char *const *)field;
      tn_strbuf_add(out, text ? text : "");
      return;
    }
    case KEY_INT:
      tn_strbuf_addf(out, "%lld", (long long)*(const int64_t *)field);
      return;
    case KEY_REAL: {
      char text[TN_F64_TEXT_BYTES];
      tn_f64_to_text(*(const double *)field, text);
      tn_strbuf_add(out, text);
      return;
    }
    case KEY_BOOL:
      tn_strbuf_add(out, *(const bool *)field ? "true" : "false");
      return;
    case KEY_CHOICE: {
      tn_str rest = tn_str_of(key->choices), choice = {0};
      for (int32_t i = 0; i <= *(const int32_t *)field; i++) choice = tn_str_cut(&rest, '|');
      tn_strbuf_add_str(out, choice);
      return;
    }
  }
}

/* Absent texts, and numbers whose default (0: worked out elsewhere) is outside their limits. */
static bool is_unset(const tn_run_config *c, const key_row *key) {
  const void *field = field_at(c, key);
  if (key->kind == KEY_TEXT) return *(const char *const *)field == NULL;
  if (c->init && strncmp(key->path, "model.", 6) == 0) return true;
  return key->kind == KEY_INT && (double)*(const int64_t *)field < key->min;
}

void tn_run_config_write(const tn_run_config *c, tn_strbuf *yaml) {
  const char *section = "";
  size_t section_length = 0;
  for (int32_t i = 0; i < KEY_COUNT; i++) {
    const key_row *key = &keys[i];
    if (is_unset(c, key)) continue;
    const char *dot = strchr(key->path, '.');
    size_t length = dot ? (size_t)(dot - key->path) : 0;
    if (length && (length != section_length || strncmp(section, key->path, length) != 0))
      tn_strbuf_addf(yaml, "%.*s:\n", (int)length, key->path);
    section = key->path;
    section_length = length;
    tn_strbuf_addf(yaml, "%s%s: ", dot ? "  " : "", dot ? dot + 1 : key->path);
    if (key->kind == KEY_TEXT) { /* a JSON string is a YAML string, whatever is in the path */
      tn_json_writer w = {.out = yaml};
      tn_json_cstr(&w, *(const char *const *)field_at(c, key));
    } else {
      write_value(c, key, yaml);
    }
    tn_strbuf_add_char(yaml, '\n');
  }
}

void tn_run_config_write_maths(const tn_run_config *c, tn_json_writer *w) {
  tn_strbuf value = {0};
  tn_json_begin_object(w);
  for (int32_t i = 0; i < KEY_COUNT; i++) {
    if (!keys[i].maths || is_unset(c, &keys[i])) continue;
    tn_strbuf_reset(&value);
    write_value(c, &keys[i], &value);
    tn_json_key(w, keys[i].path);
    tn_json_str(w, tn_strbuf_view(&value));
    if (value.failed) w->out->failed = true;
  }
  tn_json_end_object(w);
  tn_strbuf_clear(&value);
}

tn_status tn_run_config_hash(const tn_run_config *c, uint64_t *out, tn_error *err) {
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text};
  tn_run_config_write_maths(c, &w);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) *out = tn_hash_bytes(text.data, text.length, 0);
  tn_strbuf_clear(&text);
  return status;
}

tn_status tn_run_config_compare(const tn_run_config *c, const tn_json *maths, tn_error *err) {
  tn_status status = TN_OK;
  tn_strbuf value = {0};
  for (int32_t i = 0; i < KEY_COUNT && status == TN_OK; i++) {
    if (!keys[i].maths) continue;
    tn_str then = {0};
    const tn_json *member = tn_json_get(maths, keys[i].path);
    if (member && member->kind == TN_JSON_STRING) then = member->text;
    tn_strbuf_reset(&value);
    if (!is_unset(c, &keys[i])) write_value(c, &keys[i], &value);
    status = tn_strbuf_check(&value, err);
    if (status != TN_OK || tn_str_equal(tn_strbuf_view(&value), then)) continue;
    if (then.length == 0) then = TN_STR("absent");
    status = tn_fail(err, TN_ERR_ARGUMENT, "%s: %s is %s now and was %.*s", c->name, keys[i].path,
                     value.length ? value.data : "absent", TN_STR_ARG(then));
  }
  tn_strbuf_clear(&value);
  return status;
}
