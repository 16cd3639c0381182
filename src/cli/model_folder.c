/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/model_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "model/side_files.h"

/* ---- what may be replaced ---- */

/* What a model folder holds; anything else is somebody's own. */
static bool is_model_file(tn_str name) {
  static const char *const endings[] = {".json",  ".safetensors", ".jinja",         ".model",
                                        ".jsonl", "README.md",    ".gitattributes", ".tenon"};
  for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
    if (tn_str_ends(name, tn_str_of(endings[i]))) return true;
  return tn_side_files_know(name);
}

static tn_status check_content(const char *folder, tn_error *err) {
  DIR *dir = opendir(folder);
  if (!dir) return tn_fail_errno(err, errno, "%s: cannot open", folder);
  tn_status status = TN_OK;
  bool has_config = false, has_more = false;
  for (struct dirent *at; status == TN_OK && (at = readdir(dir));) {
    tn_str name = tn_str_of(at->d_name);
    if (tn_str_is(name, ".") || tn_str_is(name, "..")) continue;
    has_config = has_config || tn_str_is(name, "config.json");
    has_more = true;
    if (!is_model_file(name))
      status =
          tn_fail(err, TN_ERR_EXISTS,
                  "%s/%s is no part of a model, so its folder is not replaced; remove it first",
                  folder, at->d_name);
  }
  closedir(dir);
  if (status == TN_OK && has_more && !has_config)
    status = tn_fail(err, TN_ERR_EXISTS,
                     "%s holds no config.json: no model, so it is not replaced; remove it first",
                     folder);
  return status;
}

bool tn_is_same_place(const char *a, const char *b) {
  struct stat x, y;
  return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool is_parent(const char *folder, const char *file) {
  char parent[PATH_MAX] = ".";
  const char *slash = strrchr(file, '/');
  if (slash) snprintf(parent, sizeof parent, "%.*s", (int)(slash - file) + 1, file);
  return tn_is_same_place(parent, folder);
}

bool tn_lies_in(const char *file, const char *folder) {
  char real[PATH_MAX];
  return is_parent(folder, file) || (realpath(file, real) && is_parent(folder, real));
}

tn_status tn_input_check(const char *out, const char *input, tn_error *err) {
  if (tn_is_same_place(out, input))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s is an input (%s): OUT must be another", out, input);
  if (!tn_lies_in(input, out)) return TN_OK; /* what lies in a folder goes with it */
  return tn_fail(err, TN_ERR_ARGUMENT, "%s holds an input (%s): OUT must be another", out, input);
}

tn_status tn_model_folder_check(const char *out, bool force, const char *model, const char *source,
                                tn_error *err) {
  bool folder = tn_dir_exists(out);
  if (!folder && !tn_file_exists(out)) return TN_OK;
  if (!force) return tn_fail(err, TN_ERR_EXISTS, "%s is there already", out);
  if (tn_is_same_place(out, model) || (source && tn_is_same_place(out, source)))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s is the model that is read: OUT must be another", out);
  if (!folder)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s is a file, and a folder is to be written", out);
  return check_content(out, err);
}

/* ---- writing ---- */

/* Gives the finished folder its name.  One that is there and may be replaced changes places with it
 * first, so that at any moment one of the two is whole; file systems that cannot do that lose the
 * old one first. */
static tn_status take_place(const char *part, const char *out, bool replace, tn_error *err) {
  if (!replace || !tn_dir_exists(out)) {
    if (rename(part, out) == 0) return TN_OK;
    return tn_fail_errno(err, errno, "%s: cannot be renamed to %s", part, out);
  }
  if (renameat2(AT_FDCWD, part, AT_FDCWD, out, RENAME_EXCHANGE) == 0)
    return tn_dir_remove(part, err);
  if (errno != EINVAL && errno != ENOSYS)
    return tn_fail_errno(err, errno, "%s: cannot be renamed to %s", part, out);
  TN_TRY(tn_dir_remove(out, err));
  if (rename(part, out) == 0) return TN_OK;
  return tn_fail_errno(err, errno, "%s: cannot be renamed to %s", part, out);
}

/* The folder that `out` lies in; empty where that is the working directory or the root. */
static void parent_of(const char *out, tn_strbuf *parent) {
  const char *slash = strrchr(out, '/');
  if (slash && slash > out) tn_strbuf_addf(parent, "%.*s", (int)(slash - out), out);
}

/* A folder beside `out` that nobody else has, with the rights that mkdir would give. */
static tn_status make_part(tn_strbuf *part, const char *out, tn_error *err) {
  mode_t mask = umask(0);
  umask(mask);
  tn_strbuf_addf(part, "%s.part-XXXXXX", out);
  TN_TRY(tn_strbuf_check(part, err));
  if (!mkdtemp(part->data)) return tn_fail_errno(err, errno, "%s: cannot be made", part->data);
  if (chmod(part->data, 0777 & ~mask) == 0) return TN_OK;
  return tn_fail_errno(err, errno, "%s: its rights cannot be set", part->data);
}

/* The caller's folder, empty. */
static tn_status clear_part(tn_strbuf *part, const char *named, tn_error *err) {
  tn_strbuf_add(part, named);
  TN_TRY(tn_strbuf_check(part, err));
  if (tn_dir_exists(named)) TN_TRY(tn_dir_remove(named, err));
  return tn_dir_make(named, err);
}

static tn_status fill_part(const char *out, bool replace, const char *named,
                           tn_model_folder_fill fill, void *context, tn_error *err) {
  tn_strbuf part = {0};
  tn_status status = named ? clear_part(&part, named, err) : make_part(&part, out, err);
  if (status == TN_OK) status = fill(context, part.data, err);
  if (status == TN_OK) status = take_place(part.data, out, replace, err);
  if (status != TN_OK && part.data && tn_dir_exists(part.data))
    (void)!tn_dir_remove(part.data, NULL);
  tn_strbuf_clear(&part);
  return status;
}

tn_status tn_model_folder_write(const char *out, bool replace, const char *part,
                                tn_model_folder_fill fill, void *context, tn_error *err) {
  tn_strbuf parent = {0}, made = {0};
  parent_of(out, &parent);
  tn_status status = tn_strbuf_check(&parent, err);
  if (status == TN_OK && parent.length > 0) status = tn_dir_make_new(parent.data, &made, err);
  if (status == TN_OK) status = fill_part(out, replace, part, fill, context, err);
  if (status != TN_OK && parent.length > 0) tn_dir_unmake(parent.data, &made);
  tn_strbuf_clear(&parent);
  tn_strbuf_clear(&made);
  return status;
}
