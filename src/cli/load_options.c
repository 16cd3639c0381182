/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/load_options.h"

#include <stdlib.h>
#include <unistd.h>

/* $XDG_CACHE_HOME/tenon/packed, or ~/.cache/tenon/packed; false: neither is known. */
static bool find_cache_folder(char *out, size_t size) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  int length = -1;
  if (cache && cache[0] == '/')
    length = snprintf(out, size, "%s/tenon/packed", cache);
  else if (home && home[0] == '/')
    length = snprintf(out, size, "%s/.cache/tenon/packed", home);
  return length > 0 && (size_t)length < size;
}

bool tn_kv_word_is_good(const char *word) {
  tn_dtype dtype;
  tn_error err;
  if (tn_kv_dtype_of_word(&dtype, NULL, word, &err) == TN_OK) return true;
  tn_cli_usage_error("--kv %s: must be " TN_KV_WORDS, word);
  return false;
}

void tn_load_options_init(tn_load_options *out, int32_t threads, bool quiet, bool no_cache) {
  /* Where nobody watches, a line for each model that was opened would only fill the log. */
  out->progress = tn_cli_progress(quiet || !isatty(STDERR_FILENO));
  bool known = find_cache_folder(out->cache_folder, sizeof out->cache_folder);
  out->model = (tn_model_options){.pool = tn_cli_pool(threads),
                                  .progress = &out->progress,
                                  .packed = true,
                                  .cached = !no_cache,
                                  .cache_folder = known ? out->cache_folder : NULL};
}
