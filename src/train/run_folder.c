/* SPDX-License-Identifier: Apache-2.0 */
#include "train/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

tn_status tn_run_folder_file(const tn_run_folder *folder, const char *name, tn_strbuf *out,
                             tn_error *err) {
  tn_strbuf_reset(out);
  tn_strbuf_addf(out, "%s/%s", folder->path, name);
  return tn_strbuf_check(out, err);
}

static tn_status take_lock(tn_run_folder *folder, const char *path, tn_error *err) {
  folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (folder->lock < 0) return tn_fail_errno(err, errno, "%s: cannot open the lock", path);
  if (flock(folder->lock, LOCK_EX | LOCK_NB) == 0) return TN_OK;
  if (errno == EWOULDBLOCK)
    return tn_fail(err, TN_ERR_EXISTS, "%s: another process is training in this folder",
                   folder->path);
  return tn_fail_errno(err, errno, "%s: cannot lock", path);
}

tn_status tn_run_folder_open(tn_run_folder *out, const char *path, tn_error *err) {
  *out = (tn_run_folder){.path = path, .lock = -1};
  TN_TRY(tn_dir_make(path, err));
  tn_strbuf name = {0};
  tn_status status = tn_run_folder_file(out, ".lock", &name, err);
  if (status == TN_OK) status = take_lock(out, name.data, err);
  tn_strbuf_clear(&name);
  if (status != TN_OK) tn_run_folder_close(out);
  return status;
}

void tn_run_folder_close(tn_run_folder *folder) {
  if (folder->lock >= 0) close(folder->lock);
  folder->lock = -1;
}

tn_status tn_run_folder_empty(const tn_run_folder *folder, tn_error *err) {
  static const char *const files[] = {"latest", "log.jsonl", "loss.svg"};
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  for (size_t i = 0; i < sizeof files / sizeof files[0] && status == TN_OK; i++) {
    status = tn_run_folder_file(folder, files[i], &path, err);
    if (status == TN_OK && unlink(path.data) != 0 && errno != ENOENT)
      status = tn_fail_errno(err, errno, "%s: cannot remove", path.data);
  }
  if (status == TN_OK) status = tn_run_folder_file(folder, "checkpoints", &path, err);
  if (status == TN_OK && tn_dir_exists(path.data)) status = tn_dir_remove(path.data, err);
  tn_strbuf_clear(&path);
  return status;
}

static int64_t parse_from(const char *from) {
  tn_str text = tn_str_of(from);
  while (text.length > 1 && text.data[text.length - 1] == '/') text.length--;
  for (size_t i = text.length; i-- > 0;) {
    if (text.data[i] != '/') continue;
    text = (tn_str){text.data + i + 1, text.length - i - 1};
    break;
  }
  if (tn_str_starts(text, TN_STR("step-"))) text = (tn_str){text.data + 5, text.length - 5};
  int64_t step;
  return tn_str_to_i64(text, &step) && step >= 0 ? step : -1;
}

static tn_status fail_unknown(const tn_run_folder *folder, const char *from,
                              const tn_checkpoint_list *list, tn_error *err) {
  tn_strbuf names = {0};
  for (size_t i = 0; i < list->count; i++)
    tn_strbuf_addf(&names, "%sstep-%06lld", i ? ", " : "", (long long)list->steps[i]);
  tn_status status =
      tn_fail(err, TN_ERR_NOT_FOUND, "%s: no checkpoint %s; there %s %.300s", folder->path, from,
              list->count == 1 ? "is" : "are", names.length ? names.data : "none");
  tn_strbuf_clear(&names);
  return status;
}

tn_status tn_run_folder_choose(const tn_run_folder *folder, const char *from, int64_t *step,
                               tn_error *err) {
  tn_checkpoint_list list;
  TN_TRY(tn_checkpoint_list_read(&list, folder->path, err));
  tn_status status = TN_OK;
  *step = list.count ? list.steps[list.count - 1] : -1;
  if (from) {
    int64_t wanted = parse_from(from);
    bool found = false;
    for (size_t i = 0; i < list.count && !found; i++) found = list.steps[i] == wanted;
    if (!found) status = fail_unknown(folder, from, &list, err);
    *step = wanted;
  }
  tn_checkpoint_list_clear(&list);
  return status;
}
