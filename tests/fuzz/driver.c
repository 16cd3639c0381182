/* driver.c - runs a fuzz target without a fuzzer, so that its corpus is a plain test.
 *
 *     fuzz_json FOLDER ...    every file of the folders, then seeded mutations of each
 *
 * A finding ends the program (a sanitizer's report, a crash, a failed check); otherwise the last
 * line is the one that cmocka prints, for tools/run_unit.sh. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/map.h"
#include "base/random.h"

#define MUTATIONS       64
#define INPUT_BYTES_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t inputs_run;

static void run_once(const uint8_t *data, size_t size) {
  /* An exact-size copy, so that one byte too far is seen by ASan. */
  uint8_t *copy = tn_alloc(size ? size : 1, 1);
  if (!copy) return;
  memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  tn_free(copy);
  inputs_run++;
}

/* Mutation m of an input: some flipped bytes, or a cut. */
static void run_mutation(const tn_strbuf *input, uint64_t stream, uint64_t m) {
  uint8_t *copy = tn_alloc(input->length, 1);
  if (!copy) return;
  memcpy(copy, input->data, input->length);
  size_t size = input->length;
  uint64_t flips = 1 + tn_random_below(1, stream, m * 16, 4);
  for (uint64_t i = 0; i < flips; i++)
    copy[tn_random_below(2, stream, m * 16 + i, size)] =
        (uint8_t)tn_random_u64(3, stream, m * 16 + i);
  if (m % 4 == 3) size = (size_t)tn_random_below(4, stream, m, size);
  run_once(copy, size);
  tn_free(copy);
}

static void run_file(const char *path) {
  tn_strbuf input = {0};
  if (tn_file_read(path, INPUT_BYTES_MAX, &input, NULL) == TN_OK) {
    run_once((const uint8_t *)(input.data ? input.data : ""), input.length);
    uint64_t stream = tn_hash_bytes(input.data, input.length, 0);
    for (uint64_t m = 0; m < MUTATIONS && input.length > 0; m++) run_mutation(&input, stream, m);
  }
  tn_strbuf_clear(&input);
}

static void run_folder(const char *folder) {
  DIR *dir = opendir(folder);
  if (!dir) return;
  for (struct dirent *entry; (entry = readdir(dir));) {
    char path[4096];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) run_file(path);
  }
  closedir(dir);
}

int main(int argc, char **argv) {
  run_once((const uint8_t *)"", 0);
  for (int i = 1; i < argc; i++) run_folder(argv[i]);
  printf("%lld inputs\n[  PASSED  ] 1 test(s).\n", (long long)inputs_run);
  return 0;
}
