/* args.c - the words of a command line: options, --help, and what to say when they are wrong. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdlib.h>

#include "cli/cli.h"

/* ---- nearest word: Levenshtein distance over short words ---- */
#define WORD_MAX 48

static int32_t word_distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  if (n >= WORD_MAX || m >= WORD_MAX) return WORD_MAX;
  int32_t row[WORD_MAX + 1];
  for (size_t j = 0; j <= m; j++) row[j] = (int32_t)j;
  for (size_t i = 1; i <= n; i++) {
    int32_t diagonal = row[0];
    row[0] = (int32_t)i;
    for (size_t j = 1; j <= m; j++) {
      int32_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      int32_t insert = row[j - 1] + 1, erase = row[j] + 1;
      int32_t best = insert < erase ? insert : erase;
      row[j] = best < substitute ? best : substitute;
    }
  }
  return row[m];
}

/* Remembers the closest candidate; useful only when at most a third of the word is wrong. */
typedef struct nearest {
  const char *word;
  int32_t distance;
} nearest;

static void nearest_offer(nearest *n, const char *wanted, const char *candidate) {
  /* A word cut short ("conv") is as near as one slip. */
  bool prefix = strlen(wanted) >= 2 && strncmp(candidate, wanted, strlen(wanted)) == 0;
  int32_t d = prefix ? 1 : word_distance(wanted, candidate);
  if (n->word && d >= n->distance) return;
  n->word = candidate;
  n->distance = d;
}
static const char *nearest_word(const nearest *n, const char *wanted) {
  return n->word && n->distance <= (int32_t)strlen(wanted) / 3 + 1 ? n->word : NULL;
}
const char *tn_cli_nearest(const char *wanted, const char *const *candidates, int32_t count) {
  nearest n = {0};
  for (int32_t i = 0; i < count; i++) nearest_offer(&n, wanted, candidates[i]);
  return nearest_word(&n, wanted);
}

/* ---- messages ---- */

void tn_cli_print_quoting(FILE *to, tn_str text) {
  const uint8_t *at = (const uint8_t *)text.data, *end = at + text.length;
  while (at < end) {
    int bytes = tn_utf8_length(at, (size_t)(end - at));
    bool c1 = bytes == 2 && at[0] == 0xc2 && at[1] < 0xa0; /* U+0080 to 9F */
    bool control = at[0] == 0x7f || (at[0] < ' ' && at[0] != '\n' && at[0] != '\t');
    if (bytes == 0 || c1 || control)
      fprintf(to, "\\x%02x", at[c1]);
    else
      fwrite(at, 1, (size_t)bytes, to);
    at += bytes > 0 ? bytes : 1;
  }
}

int tn_cli_fail(const tn_error *err, const char *hint) {
  if (err->status == TN_ERR_IO && tn_cli_reader_gone()) return TN_EXIT_PIPE;
  const char *text = err->text[0] ? err->text : tn_status_text(err->status);
  fputs("error: ", stderr);
  tn_cli_print_quoting(stderr, tn_str_of(text));
  putc('\n', stderr);
  if (hint) fprintf(stderr, "hint: %s\n", hint);
  if (err->status == TN_ERR_INTERRUPTED) return TN_EXIT_INTERRUPTED;
  return TN_EXIT_FAILED;
}

int tn_cli_usage_error(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  return TN_EXIT_USAGE;
}

static void print_help(const tn_usage *u) {
  printf("%s\n\nusage: %s\n", u->about, u->words);
  printf("\noptions:\n");
  for (const tn_option *o = u->options; o && o->name; o++) {
    char left[64], letter[8] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s%s %s", letter, o->name, o->value ? o->value : "");
    printf("  %-30s %s\n", left, o->help);
  }
  printf("  %-30s %s\n", "-h, --help", "this text");
  if (u->example) printf("\nexample:\n  %s\n", u->example);
}

static int wrong_usage(const tn_usage *u, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int wrong_usage(const tn_usage *u, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, args);
  fprintf(stderr, "\nusage: %s\n", u->words);
  va_end(args);
  return TN_EXIT_USAGE;
}

/* ---- values ---- */
static bool parse_scaled(const char *text, int64_t *out) {
  static const struct {
    const char *suffix;
    int64_t factor;
  } units[] = {{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"k", 1000},
               {"K", 1000},      {"M", 1000000},   {"G", 1000000000}};
  tn_str s = tn_str_of(text);
  int64_t factor = 1;
  for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
    tn_str suffix = tn_str_of(units[i].suffix);
    if (!tn_str_ends(s, suffix)) continue;
    s.length -= suffix.length;
    factor = units[i].factor;
    break;
  }
  int64_t value;
  return tn_str_to_i64(s, &value) && !__builtin_mul_overflow(value, factor, out);
}

static int set_option(const tn_usage *u, const tn_option *o, const char *value) {
  switch (o->kind) {
    case TN_OPTION_FLAG:
      *(bool *)o->target = true;
      return -1;
    case TN_OPTION_TEXT:
      *(const char **)o->target = value;
      return -1;
    case TN_OPTION_INT:
      if (parse_scaled(value, o->target)) return -1;
      return wrong_usage(u, "%s wants a whole number (suffixes k, M, G, KiB, MiB, GiB), got '%s'",
                         o->name, value);
    case TN_OPTION_COUNT:
      if (parse_scaled(value, o->target) && *(int64_t *)o->target > 0) return -1;
      return wrong_usage(u,
                         "%s wants a whole number, 1 or more (suffixes k, M, G, KiB, MiB, GiB), "
                         "got '%s'",
                         o->name, value);
    case TN_OPTION_REAL:
      if (tn_str_to_f64(tn_str_of(value), o->target)) return -1;
      return wrong_usage(u, "%s wants a number, got '%s'", o->name, value);
    case TN_OPTION_LIST:
      break;
  }
  tn_option_list *list = o->target;
  int32_t room = (int32_t)(sizeof list->items / sizeof list->items[0]);
  if (list->count == room) return wrong_usage(u, "%s more than %d times", o->name, room);
  list->items[list->count++] = value;
  return -1;
}

static const tn_option *find_option(const tn_option *options, tn_str word) {
  for (const tn_option *o = options; o && o->name; o++) {
    if (tn_str_is(word, o->name)) return o;
    if (o->letter && word.length == 2 && word.data[0] == '-' && word.data[1] == o->letter) return o;
  }
  return NULL;
}

static int unknown_option(const tn_usage *u, tn_str word) {
  char text[WORD_MAX];
  snprintf(text, sizeof text, "%.*s", TN_STR_ARG(word));
  nearest n = {0};
  for (const tn_option *o = u->options; o && o->name; o++) nearest_offer(&n, text, o->name);
  const char *near = nearest_word(&n, text);
  if (near) return wrong_usage(u, "no option '%s'; did you mean %s?", text, near);
  return wrong_usage(u, "no option '%s'; --help lists them", text);
}

int tn_args(const tn_usage *u, int argc, char **argv, int32_t *count) {
  int32_t words = 0;
  bool options_end = false;
  for (int i = 1; i < argc; i++) {
    char *word = argv[i];
    if (options_end || word[0] != '-' || word[1] == '\0') {
      argv[++words] = word;
      continue;
    }
    if (strcmp(word, "--") == 0) {
      options_end = true;
      continue;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
      print_help(u);
      return 0;
    }
    tn_str name = tn_str_of(word);
    const char *value = NULL;
    int64_t equals = name.length > 2 && word[1] == '-' ? tn_str_find(name, TN_STR("=")) : -1;
    if (equals > 0) {
      value = word + equals + 1;
      name.length = (size_t)equals;
    }
    const tn_option *o = find_option(u->options, name);
    if (!o && word[1] != '-' && (o = find_option(u->options, (tn_str){word, 2}))) {
      if (o->kind == TN_OPTION_FLAG) return unknown_option(u, name);
      value = word + 2; /* -n1 */
    }
    if (!o) return unknown_option(u, name);
    if (o->kind == TN_OPTION_FLAG && value) return wrong_usage(u, "%s takes no value", o->name);
    if (o->kind != TN_OPTION_FLAG && !value) {
      if (i + 1 == argc) return wrong_usage(u, "%s wants a value: %s", o->name, o->value);
      value = argv[++i];
    }
    int code = set_option(u, o, value);
    if (code >= 0) return code;
  }
  if (words < u->words_min) return wrong_usage(u, "too few words: %d given", words);
  if (u->words_max >= 0 && words > u->words_max)
    return wrong_usage(u, "'%s' is one word too many", argv[u->words_max + 1]);
  *count = words;
  return -1;
}

/* ---- commands with subcommands ---- */
int tn_dispatch(const char *command, const char *about, const tn_subcommand *subs, int argc,
                char **argv) {
  const char *wanted = argc > 1 ? argv[1] : NULL;
  bool help = wanted && (strcmp(wanted, "--help") == 0 || strcmp(wanted, "-h") == 0);
  for (const tn_subcommand *s = subs; wanted && s->name; s++)
    if (strcmp(wanted, s->name) == 0) return s->run(argc - 1, argv + 1);
  if (wanted && !help) {
    nearest n = {0};
    for (const tn_subcommand *s = subs; s->name; s++) nearest_offer(&n, wanted, s->name);
    const char *near = nearest_word(&n, wanted);
    if (near)
      return tn_cli_usage_error("no subcommand '%s' in tenon %s; did you mean '%s'?", wanted,
                                command, near);
    return tn_cli_usage_error("no subcommand '%s' in tenon %s; `tenon %s --help` lists them",
                              wanted, command, command);
  }
  FILE *out = help ? stdout : stderr;
  fprintf(out, "%s\n\nusage: tenon %s SUBCOMMAND ...\n\n", about, command);
  for (const tn_subcommand *s = subs; s->name; s++)
    fprintf(out, "  %-10s %s\n", s->name, s->summary);
  fprintf(out, "\nexample:\n  tenon %s %s --help\n", command, subs[0].name);
  return help ? 0 : TN_EXIT_USAGE;
}

int tn_cli_float_type(const char *name, tn_dtype *out) {
  bool wide = strcmp(name, "f32") == 0;
  if (!wide && strcmp(name, "bf16") != 0)
    return tn_cli_usage_error("--dtype is '%s', must be f32 or bf16", name);
  *out = wide ? TN_F32 : TN_BF16;
  return -1;
}
