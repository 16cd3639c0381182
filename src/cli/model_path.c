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

/* The first part of a split file stands for all of them. */
static bool is_later_part(tn_str name) {
  int64_t of = tn_str_find(name, TN_STR("-of-"));
  return of >= 5 && memcmp(name.data + of - 5, "00001", 5) != 0;
}

/* GGUF files in the folder; the name of one of them. */
static int32_t count_ggufs(const char *folder, tn_strbuf *name) {
  DIR *dir = opendir(folder);
  int32_t count = 0;
  for (struct dirent *d; dir && (d = readdir(dir));) {
    tn_str is = tn_str_of(d->d_name);
    if (!tn_str_ends(is, TN_STR(".gguf")) || is_later_part(is)) continue;
    tn_strbuf_reset(name);
    tn_strbuf_add_str(name, is);
    count++;
  }
  if (dir) closedir(dir);
  return count;
}

static tn_status find_gguf(const char *folder, tn_strbuf *out, tn_error *err) {
  tn_strbuf name = {0};
  int32_t count = count_ggufs(folder, &name);
  tn_status status = tn_strbuf_check(&name, err);
  if (status == TN_OK && count == 0)
    status = tn_fail(err, TN_ERR_NOT_FOUND,
                     "%s: neither a model (config.json, or a .gguf file) nor a run with a "
                     "checkpoint (latest/config.json)",
                     folder);
  if (status == TN_OK && count > 1)
    status = tn_fail(err, TN_ERR_ARGUMENT, "%s: holds more than one GGUF file, name one of them",
                     folder);
  if (status == TN_OK) tn_strbuf_addf(out, "%s/%s", folder, name.data);
  tn_strbuf_clear(&name);
  return status == TN_OK ? tn_strbuf_check(out, err) : status;
}

tn_status tn_model_path(const char *folder, tn_strbuf *out, tn_error *err) {
  bool here, latest = false;
  tn_strbuf_reset(out);
  TN_TRY(holds_config(folder, "", &here, err));
  if (tn_file_exists(folder) && !tn_dir_exists(folder)) here = true; /* a GGUF file */
  if (!here) TN_TRY(holds_config(folder, "latest/", &latest, err));
  if (!here && !latest && !tn_dir_exists(folder))
    return tn_fail(err, TN_ERR_NOT_FOUND, "%s: no such %s", folder,
                   tn_str_ends(tn_str_of(folder), TN_STR(".gguf")) ? "file" : "folder");
  if (!here && !latest) return find_gguf(folder, out, err);
  tn_strbuf_addf(out, "%s%s", folder, here ? "" : "/latest");
  return tn_strbuf_check(out, err);
}

static bool names_one(const char *text, const char *const *words, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (strstr(text, words[i])) return true;
  return false;
}

const char *tn_model_hint(const tn_error *err) {
  static const char *const parts[] = {"has no tensor", "-of-000"};
  static const char *const files[] = {"config.json", "tokenizer.json", "model.safetensors",
                                      "no such folder"};
  if (err->status != TN_ERR_NOT_FOUND) return NULL;
  if (names_one(err->text, parts, sizeof parts / sizeof *parts))
    return "the weights are not all there, or are of another model: fetch or make them again";
  if (names_one(err->text, files, sizeof files / sizeof *files))
    return "a model folder holds config.json, model.safetensors and tokenizer.json; `tenon train` "
           "makes one";
  return NULL;
}
