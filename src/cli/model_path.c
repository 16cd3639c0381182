/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/model_path.h"

#include <dirent.h>

#include "base/io.h"

static tn_status holds_config(const char *folder, const char *below, bool *holds, tn_error *err) {
  tn_strbuf path = {0};
  tn_strbuf_addf(&path, "%s/%sconfig.json", folder, below);
  tn_status status = tn_strbuf_check(&path, err);
  *holds = status == TN_OK && tn_file_exists(path.data);
  tn_strbuf_clear(&path);
  return status;
}

/* Which one, and whether there is more than one, is for the opener of weights to say. */
static bool holds_gguf(const char *folder) {
  DIR *dir = opendir(folder);
  bool holds = false;
  for (struct dirent *d; dir && !holds && (d = readdir(dir));)
    holds = tn_str_ends(tn_str_of(d->d_name), TN_STR(".gguf"));
  if (dir) closedir(dir);
  return holds;
}

tn_status tn_model_path(const char *folder, tn_strbuf *out, tn_error *err) {
  bool here, latest = false;
  TN_TRY(holds_config(folder, "", &here, err));
  if (tn_file_exists(folder) && !tn_dir_exists(folder)) here = true; /* a GGUF file */
  if (!here) TN_TRY(holds_config(folder, "latest/", &latest, err));
  if (!here && !latest) here = holds_gguf(folder);
  if (!here && !latest && !tn_dir_exists(folder))
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no such folder", folder);
  if (!here && !latest)
    return tn_fail(err, TN_ERR_NOT_FOUND,
                   "%s: neither a model (config.json, or a .gguf file) nor a run with a checkpoint "
                   "(latest/config.json)",
                   folder);
  tn_strbuf_reset(out);
  tn_strbuf_addf(out, "%s%s", folder, here ? "" : "/latest");
  return tn_strbuf_check(out, err);
}
