/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/data_paths.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "columns/table.h"

enum { FOLDER_DEPTH_MAX = 32 };

static tn_status add_path(data_paths *p, const char *path, tn_error *err) {
  TN_TRY(tn_grow((void **)&p->items, &p->capacity, (size_t)p->count + 1, sizeof *p->items, err));
  char *copy = tn_strndup(path, strlen(path));
  if (!copy) return tn_fail_memory(err, path, strlen(path));
  p->items[p->count++] = copy;
  return TN_OK;
}

static bool is_table(const char *path, bool any) {
  tn_table_format format;
  return any || tn_table_format_of(path, &format, NULL) == TN_OK;
}

static int compare_paths(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Files and folders whose names begin with . or _ are not data (temporary files, _SUCCESS). */
static tn_status add_folder(data_paths *p, const char *folder, bool any, int32_t depth,
                            tn_error *err) {
  if (depth > FOLDER_DEPTH_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: folders are nested deeper than %d", folder,
                   FOLDER_DEPTH_MAX);
  DIR *dir = opendir(folder);
  if (!dir) return tn_fail_errno(err, errno, "%s: cannot list", folder);
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  for (struct dirent *entry; status == TN_OK && (entry = readdir(dir));) {
    if (entry->d_name[0] == '.' || entry->d_name[0] == '_') continue;
    tn_strbuf_reset(&path);
    tn_strbuf_addf(&path, "%s%s%s", folder, tn_str_ends(tn_str_of(folder), TN_STR("/")) ? "" : "/",
                   entry->d_name);
    status = tn_strbuf_check(&path, err);
    if (status != TN_OK) break;
    if (tn_dir_exists(path.data))
      status = add_folder(p, path.data, any, depth + 1, err);
    else if (is_table(path.data, any))
      status = add_path(p, path.data, err);
  }
  tn_strbuf_clear(&path);
  closedir(dir);
  return status;
}

static tn_status add_matches(data_paths *p, const char *word, tn_error *err) {
  glob_t found = {0};
  int code = glob(word, GLOB_BRACE | GLOB_TILDE, NULL, &found);
  tn_status status = TN_OK;
  for (size_t i = 0; code == 0 && i < found.gl_pathc && status == TN_OK; i++)
    if (!tn_dir_exists(found.gl_pathv[i])) status = add_path(p, found.gl_pathv[i], err);
  globfree(&found);
  if (code == GLOB_NOSPACE) return tn_fail_memory(err, word, strlen(word));
  if (code != 0 && code != GLOB_NOMATCH)
    return tn_fail(err, TN_ERR_IO, "%s: cannot list what matches", word);
  return status;
}

tn_status data_paths_add(data_paths *p, const char *word, bool any, tn_error *err) {
  int64_t before = p->count;
  bool pattern = strpbrk(word, "*?[{") && !tn_file_exists(word);
  if (tn_dir_exists(word)) {
    TN_TRY(add_folder(p, word, any, 0, err));
    if (p->count == before)
      return tn_fail(err, TN_ERR_NOT_FOUND, "%s: a folder without a table in it", word);
    const char *below = p->items[before] + strlen(word), *mark = strchr(below, '=');
    p->hive = p->hive || (mark && strchr(mark, '/'));
  } else if (pattern) {
    TN_TRY(add_matches(p, word, err));
    if (p->count == before) return tn_fail(err, TN_ERR_NOT_FOUND, "%s: nothing matches", word);
  } else if (strcmp(word, "-") == 0 && !any) {
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "-: standard input has no extension that tells its format; --format NAME does "
                   "(csv, tsv, parquet, arrow, arrows, jsonl)");
  } else if (strcmp(word, "-") != 0 && !tn_file_exists(word)) {
    return tn_fail_errno(err, ENOENT, "%s", word);
  } else {
    TN_TRY(add_path(p, word, err));
  }
  qsort(p->items + before, (size_t)(p->count - before), sizeof *p->items, compare_paths);
  return TN_OK;
}

tn_status data_paths_formats(const data_paths *p, const char *name, uint32_t *out, tn_error *err) {
  *out = 0;
  for (int64_t i = 0; i < p->count; i++) {
    tn_table_format format;
    TN_TRY(tn_table_format_chosen(p->items[i], name, &format, err));
    *out |= 1u << format;
  }
  return TN_OK;
}

void data_paths_clear(data_paths *p) {
  for (int64_t i = 0; i < p->count; i++) tn_free(p->items[i]);
  tn_free(p->items);
  *p = (data_paths){0};
}

bool data_paths_hold(const data_paths *p, const char *out) {
  struct stat target, input;
  if (stat(out, &target) != 0 || !S_ISREG(target.st_mode)) return false;
  for (int64_t i = 0; i < p->count; i++)
    if (stat(p->items[i], &input) == 0 && input.st_dev == target.st_dev &&
        input.st_ino == target.st_ino)
      return true;
  return false;
}
