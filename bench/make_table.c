/* make_table.c - the table that bench_columns.py measures on: mixed columns, the same bytes every
 * time.
 *
 *     make_table [--jsonl] --bytes 1000000000 > table.csv         (or --rows N)
 *
 * id (counting), ts (seconds, rising), user_id (below 2,000,000), price (2 % null), qty (1 to 12),
 * ratio (17 digits), country (40), status (5), flag, text (6 to 14 of 4,096 words, rank by rank
 * rarer; one in ten quoted, with a comma and a quote inside).  Random numbers: splitmix64. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 4096, COUNTRIES = 40, STATUSES = 5, ROW_MAX = 2048, BUFFER = 1 << 20 };

static uint64_t state = 20240601;

static uint64_t next_random(void) {
  uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static uint64_t below(uint64_t limit) {
  __extension__ typedef unsigned __int128 wide;
  return (uint64_t)(((wide)next_random() * limit) >> 64);
}

static double unit(void) {
  return (double)(next_random() >> 11) * 0x1p-53;
}

static char words[WORDS][16];
static uint16_t rank_of[1 << 14]; /* a log-uniform rank for each of 16,384 equal chances */

static void make_words(void) {
  static const char *const parts[16] = {"ba", "co", "du", "fe", "gi", "ha", "jo", "ku",
                                        "le", "mi", "na", "po", "ru", "se", "ti", "vo"};
  for (int w = 0; w < WORDS; w++) {
    int many = w < 16 ? 1 : w < 256 ? 2 : 3;
    for (int p = 0; p < many; p++) memcpy(words[w] + 2 * p, parts[(w >> (4 * p)) & 15], 2);
    words[w][2 * many] = (char)('a' + w % 26);
  }
  for (int i = 0; i < 1 << 14; i++)
    rank_of[i] = (uint16_t)(pow(WORDS, (i + 0.5) / (1 << 14)) - 0.999999);
}

/* ---- a row, as text in `out` ---- */
static char *put(char *out, const char *text) {
  size_t length = strlen(text);
  memcpy(out, text, length);
  return out + length;
}

static char *put_number(char *out, uint64_t value) {
  char digits[20];
  int count = 0;
  do digits[count++] = (char)('0' + value % 10);
  while (value /= 10);
  while (count) *out++ = digits[--count];
  return out;
}

static char *put_two(char *out, unsigned value) {
  *out++ = (char)('0' + value / 10);
  *out++ = (char)('0' + value % 10);
  return out;
}

/* Seconds from 2024-01-01 00:00:00 on, through years of 12 months of 28 days: valid, and rising. */
static char *put_time(char *out, uint64_t seconds) {
  uint64_t day = seconds / 86400, of_day = seconds % 86400;
  out = put_number(out, 2024 + day / 336);
  *out++ = '-';
  out = put_two(out, (unsigned)(day / 28 % 12 + 1));
  *out++ = '-';
  out = put_two(out, (unsigned)(day % 28 + 1));
  *out++ = ' ';
  out = put_two(out, (unsigned)(of_day / 3600));
  *out++ = ':';
  out = put_two(out, (unsigned)(of_day / 60 % 60));
  *out++ = ':';
  return put_two(out, (unsigned)(of_day % 60));
}

static char *put_text(char *out, bool jsonl) {
  bool quoted = below(10) == 0;
  const char *quote = jsonl ? "\\\"" : "\"\"";
  if (quoted || jsonl) *out++ = '"';
  uint64_t count = 6 + below(9), marked = quoted ? 1 + below(count - 2) : count;
  for (uint64_t w = 0; w < count; w++) {
    const char *word = words[rank_of[next_random() >> 50]];
    if (w) *out++ = ' ';
    if (w == marked) out = put(out, quote);
    out = put(out, word);
    if (w == marked) out = put(put(out, quote), ",");
  }
  if (quoted || jsonl) *out++ = '"';
  return out;
}

typedef struct row_style {
  bool jsonl;
  const char *names[10]; /* what stands before each value */
} row_style;

static char *put_row(char *out, const row_style *s, uint64_t id, uint64_t *seconds) {
  static const char *const statuses[STATUSES] = {"new", "paid", "shipped", "delivered", "returned"};
  const char *quote = s->jsonl ? "\"" : "";
  *seconds += below(8);
  out = put_number(put(out, s->names[0]), id);
  out = put(put_time(put(put(out, s->names[1]), quote), *seconds), quote);
  out = put_number(put(out, s->names[2]), below(2000000));
  out = put(out, s->names[3]);
  uint64_t cents = below(100000);
  if (below(50) == 0) {
    if (s->jsonl) out = put(out, "null");
  } else {
    out = put_two(put(put_number(out, cents / 100), "."), (unsigned)(cents % 100));
  }
  out = put_number(put(out, s->names[4]), 1 + below(12));
  out = put(out, s->names[5]);
  out += snprintf(out, 32, "%.17g", unit());
  uint64_t country = below(COUNTRIES);
  out = put(put(out, s->names[6]), quote);
  *out++ = (char)('A' + country / 8 * 5);
  *out++ = (char)('A' + country % 8 * 3);
  out = put(put(put(out, quote), s->names[7]), quote);
  out = put(put(out, statuses[below(STATUSES)]), quote);
  out = put(put(out, s->names[8]), below(2) ? "true" : "false");
  out = put_text(put(out, s->names[9]), s->jsonl);
  return put(out, s->jsonl ? "}\n" : "\n");
}

static const row_style csv_style = {false, {"", ",", ",", ",", ",", ",", ",", ",", ",", ","}};
static const row_style json_style = {
    true,
    {"{\"id\":", ",\"ts\":", ",\"user_id\":", ",\"price\":", ",\"qty\":", ",\"ratio\":",
     ",\"country\":", ",\"status\":", ",\"flag\":", ",\"text\":"}};

static int usage(void) {
  fputs("usage: make_table [--jsonl] --bytes N | --rows N > table\n", stderr);
  return 2;
}

int main(int argc, char **argv) {
  uint64_t bytes_max = 0, rows_max = 0;
  const row_style *style = &csv_style;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--jsonl") == 0)
      style = &json_style;
    else if (i + 1 < argc && strcmp(argv[i], "--bytes") == 0)
      bytes_max = strtoull(argv[++i], NULL, 10);
    else if (i + 1 < argc && strcmp(argv[i], "--rows") == 0)
      rows_max = strtoull(argv[++i], NULL, 10);
    else
      return usage();
  }
  if (!bytes_max == !rows_max) return usage();
  make_words();
  static char buffer[BUFFER + ROW_MAX];
  char *at = buffer;
  uint64_t written = 0, seconds = 0;
  if (!style->jsonl) at = put(at, "id,ts,user_id,price,qty,ratio,country,status,flag,text\n");
  for (uint64_t id = 0;; id++) {
    uint64_t have = written + (uint64_t)(at - buffer);
    bool last = rows_max ? id == rows_max : have >= bytes_max;
    if (at - buffer >= BUFFER || last) {
      if (fwrite(buffer, 1, (size_t)(at - buffer), stdout) != (size_t)(at - buffer)) return 1;
      written = have;
      at = buffer;
    }
    if (last) break;
    at = put_row(at, style, id, &seconds);
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
