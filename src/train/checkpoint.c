/* SPDX-License-Identifier: Apache-2.0 */
#include "train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/safetensors.h"
#include "train/checkpoint_state.h"

static const char temporary_prefix[] = ".saving-";
static const int64_t step_max = 999999999999;

static tn_status path_of(tn_strbuf *out, tn_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static tn_status path_of(tn_strbuf *out, tn_error *err, const char *format, ...) {
  va_list args;
  va_start(args, format);
  tn_strbuf_reset(out);
  tn_strbuf_addv(out, format, args);
  va_end(args);
  return tn_strbuf_check(out, err);
}

tn_status tn_checkpoint_path(tn_strbuf *out, const char *run, int64_t step, tn_error *err) {
  return path_of(out, err, "%s/checkpoints/step-%06lld", run, (long long)step);
}

int64_t tn_checkpoint_step(const char *name) {
  if (strncmp(name, "step-", 5) != 0 || strlen(name) < 11) return -1;
  int64_t step = 0;
  for (const char *c = name + 5; *c; c++) {
    if (*c < '0' || *c > '9' || step > step_max / 10) return -1;
    step = step * 10 + (*c - '0');
  }
  return step;
}

/* ---- saving ------------------------------------------------------------------------------------
 */

static tn_status write_moments(const char *folder, const tn_optimizer *optimizer, tn_error *err) {
  tn_strbuf path = {0};
  tn_named_tensor tensors[] = {{"optimizer.m", tn_optimizer_m(optimizer)},
                               {"optimizer.v", tn_optimizer_v(optimizer)}};
  const char *metadata[] = {"format", "pt"};
  tn_status status = path_of(&path, err, "%s/optimizer.safetensors", folder);
  if (status == TN_OK) status = tn_safetensors_write(path.data, tensors, 2, metadata, 1, err);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status write_side_file(const char *folder, const char *name, tn_str content,
                                 tn_error *err) {
  tn_strbuf path = {0};
  tn_status status = path_of(&path, err, "%s/%s", folder, name);
  if (status == TN_OK) status = tn_file_write_atomic(path.data, content, err);
  tn_strbuf_clear(&path);
  return status;
}

/* What `generate` needs to know when to stop. */
static tn_status write_generation(const char *folder, const tn_model_config *config,
                                  tn_error *err) {
  tn_strbuf text = {0};
  tn_json_writer w = {.out = &text, .indent = 1};
  tn_json_begin_object(&w);
  if (config->bos_id >= 0) {
    tn_json_key(&w, "bos_token_id");
    tn_json_i64(&w, config->bos_id);
  }
  if (config->eos_id >= 0) {
    tn_json_key(&w, "eos_token_id");
    tn_json_i64(&w, config->eos_id);
  }
  tn_json_end_object(&w);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK)
    status = write_side_file(folder, "generation_config.json", tn_strbuf_view(&text), err);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status write_content(const char *folder, const tn_checkpoint *c, tn_error *err) {
  TN_TRY(tn_dir_make(folder, err));
  TN_TRY(tn_model_save(c->model, folder, TN_F32, err));
  TN_TRY(write_moments(folder, c->optimizer, err));
  TN_TRY(write_generation(folder, tn_model_config_of(c->model), err));
  for (int32_t i = 0; i < c->file_count; i++)
    TN_TRY(write_side_file(folder, c->files[i].name, tn_strbuf_view(&c->files[i].content), err));
  TN_TRY(tn_state_file_write(folder, &c->state, c->config, err));
  return tn_dir_sync(folder, err);
}

/* A link cannot be changed in place, but a new one can be renamed over the old. */
static tn_status point_latest(const char *run, int64_t step, tn_error *err) {
  tn_strbuf link = {0}, fresh = {0}, target = {0};
  tn_status status = path_of(&link, err, "%s/latest", run);
  if (status == TN_OK) status = path_of(&fresh, err, "%s/.latest.new", run);
  if (status == TN_OK) status = path_of(&target, err, "checkpoints/step-%06lld", (long long)step);
  if (status == TN_OK) {
    unlink(fresh.data);
    if (symlink(target.data, fresh.data) != 0 || rename(fresh.data, link.data) != 0)
      status = tn_fail_errno(err, errno, "%s: cannot point it to %s", link.data, target.data);
  }
  if (status == TN_OK) status = tn_dir_sync(run, err);
  tn_strbuf_clear(&link);
  tn_strbuf_clear(&fresh);
  tn_strbuf_clear(&target);
  return status;
}

static tn_status publish(const char *temporary, const char *final, const char *parent,
                         tn_error *err) {
  if (tn_dir_exists(final))
    return tn_fail(err, TN_ERR_EXISTS, "%s: is already there; checkpoints are never overwritten",
                   final);
  if (rename(temporary, final) != 0)
    return tn_fail_errno(err, errno, "%s: cannot rename %s to it", final, temporary);
  return tn_dir_sync(parent, err);
}

tn_status tn_checkpoint_save(const char *run, const tn_checkpoint *c, tn_error *err) {
  tn_strbuf temporary = {0}, final = {0}, parent = {0};
  tn_status status = path_of(&parent, err, "%s/checkpoints", run);
  if (status == TN_OK) status = tn_checkpoint_path(&final, run, c->state.step, err);
  if (status == TN_OK)
    status = path_of(&temporary, err, "%s/%sstep-%06lld", parent.data, temporary_prefix,
                     (long long)c->state.step);
  if (status == TN_OK && tn_dir_exists(temporary.data)) status = tn_dir_remove(temporary.data, err);
  if (status == TN_OK) {
    status = write_content(temporary.data, c, err);
    if (status == TN_OK) status = publish(temporary.data, final.data, parent.data, err);
    /* The first error is the one to tell; what cannot be removed now goes at the next start. */
    if (status != TN_OK && tn_dir_exists(temporary.data) &&
        tn_dir_remove(temporary.data, NULL) != TN_OK)
      status = tn_error_context(err, status, "%s stays behind", temporary.data);
  }
  if (status == TN_OK) status = point_latest(run, c->state.step, err);
  tn_strbuf_clear(&temporary);
  tn_strbuf_clear(&final);
  tn_strbuf_clear(&parent);
  return status;
}

/* ---- loading -----------------------------------------------------------------------------------
 */

/* A checkpoint's tensor must be float32 and as large as where it goes. */
static tn_status copy_tensor(const tn_safetensors *file, const char *path, const char *name,
                             const tn_tensor *into, tn_error *err) {
  tn_tensor from;
  TN_TRY(tn_safetensors_get(file, name, &from, err));
  if (from.dtype == TN_F32 && tn_tensor_count(&from) == tn_tensor_count(into)) {
    memcpy(tn_tensor_data(into), tn_tensor_data(&from), (size_t)tn_tensor_bytes(into));
    return TN_OK;
  }
  tn_strbuf has = {0}, wants = {0};
  tn_tensor_describe(&from, &has);
  tn_tensor_describe(into, &wants);
  tn_status status = tn_strbuf_check(&wants, err);
  if (status == TN_OK) status = tn_strbuf_check(&has, err);
  if (status == TN_OK)
    status = tn_fail(err, TN_ERR_DATA, "%s: tensor %s is %s, the model wants %s", path, name,
                     has.data, wants.data);
  tn_strbuf_clear(&has);
  tn_strbuf_clear(&wants);
  return status;
}

static tn_status open_verified(tn_safetensors **out, const char *path, tn_error *err) {
  TN_TRY(tn_safetensors_open(out, path, err));
  tn_status status = tn_safetensors_verify(*out, err);
  if (status == TN_OK) return TN_OK;
  tn_safetensors_close(*out);
  *out = NULL;
  return status;
}

static tn_status load_model(const char *folder, tn_model *model, tn_error *err) {
  tn_strbuf path = {0};
  tn_safetensors *file = NULL;
  int64_t count;
  const tn_parameter *parameters = tn_model_parameters(model, &count);
  tn_status status = path_of(&path, err, "%s/model.safetensors", folder);
  if (status == TN_OK) status = open_verified(&file, path.data, err);
  for (int64_t i = 0; i < count && status == TN_OK; i++)
    status = copy_tensor(file, path.data, parameters[i].name, &parameters[i].tensor, err);
  tn_safetensors_close(file);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status load_moments(const char *folder, tn_optimizer *optimizer, tn_error *err) {
  tn_strbuf path = {0};
  tn_safetensors *file = NULL;
  tn_tensor m = tn_optimizer_m(optimizer), v = tn_optimizer_v(optimizer);
  tn_status status = path_of(&path, err, "%s/optimizer.safetensors", folder);
  if (status == TN_OK) status = open_verified(&file, path.data, err);
  if (status == TN_OK) status = copy_tensor(file, path.data, "optimizer.m", &m, err);
  if (status == TN_OK) status = copy_tensor(file, path.data, "optimizer.v", &v, err);
  tn_safetensors_close(file);
  tn_strbuf_clear(&path);
  return status;
}

tn_status tn_checkpoint_load(const char *folder, const tn_run_config *config, tn_model *model,
                             tn_optimizer *optimizer, tn_train_state *state, tn_error *err) {
  tn_state_file file;
  TN_TRY(tn_state_file_read(&file, folder, err));
  tn_status status = tn_run_config_compare(config, file.config, err);
  /* The tensors first: their message names the tensor, that of the whole file cannot. */
  if (status == TN_OK) status = load_model(folder, model, err);
  if (status == TN_OK) status = load_moments(folder, optimizer, err);
  if (status == TN_OK) status = tn_state_file_check(&file, folder, err);
  if (status == TN_OK) *state = file.state;
  tn_state_file_clear(&file);
  return status;
}

tn_status tn_checkpoint_verify(const char *folder, tn_error *err) {
  tn_state_file file;
  TN_TRY(tn_state_file_read(&file, folder, err));
  tn_status status = tn_state_file_check(&file, folder, err);
  tn_state_file_clear(&file);
  return status;
}

/* ---- the folder of checkpoints
 * ------------------------------------------------------------------- */

static int compare_steps(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static tn_status add_step(tn_checkpoint_list *list, int64_t step, tn_error *err) {
  void *steps = list->steps;
  TN_TRY(tn_grow(&steps, &list->capacity, list->count + 1, sizeof *list->steps, err));
  list->steps = steps;
  list->steps[list->count++] = step;
  return TN_OK;
}

static tn_status list_folder(tn_checkpoint_list *list, const char *path, tn_error *err) {
  DIR *folder = opendir(path);
  if (!folder && errno == ENOENT) return TN_OK;
  if (!folder) return tn_fail_errno(err, errno, "%s: cannot list", path);
  tn_status status = TN_OK;
  for (const struct dirent *e = readdir(folder); e && status == TN_OK; e = readdir(folder)) {
    int64_t step = tn_checkpoint_step(e->d_name);
    if (step >= 0) status = add_step(list, step, err);
  }
  closedir(folder);
  if (list->count > 1) qsort(list->steps, list->count, sizeof *list->steps, compare_steps);
  return status;
}

tn_status tn_checkpoint_list_read(tn_checkpoint_list *out, const char *run, tn_error *err) {
  *out = (tn_checkpoint_list){0};
  tn_strbuf path = {0};
  tn_status status = path_of(&path, err, "%s/checkpoints", run);
  if (status == TN_OK) status = list_folder(out, path.data, err);
  tn_strbuf_clear(&path);
  if (status != TN_OK) tn_checkpoint_list_clear(out);
  return status;
}

void tn_checkpoint_list_clear(tn_checkpoint_list *list) {
  tn_free(list->steps);
  *list = (tn_checkpoint_list){0};
}

/* Not by the link: a kill between the rename and the link leaves it one checkpoint behind. */
tn_status tn_checkpoint_latest(const char *run, int64_t *step, tn_error *err) {
  tn_checkpoint_list list;
  TN_TRY(tn_checkpoint_list_read(&list, run, err));
  tn_status status = list.count ? TN_OK : TN_END;
  if (list.count) *step = list.steps[list.count - 1];
  tn_checkpoint_list_clear(&list);
  return status;
}

tn_status tn_checkpoint_newest_whole(const char *run, int64_t below, int64_t *step, tn_error *err) {
  tn_checkpoint_list list;
  TN_TRY(tn_checkpoint_list_read(&list, run, err));
  tn_strbuf path = {0};
  tn_status status = TN_END;
  for (size_t i = list.count; i-- > 0 && status == TN_END;) {
    if (list.steps[i] >= below) continue;
    tn_status at = tn_checkpoint_path(&path, run, list.steps[i], err);
    if (at == TN_OK) at = tn_checkpoint_verify(path.data, NULL);
    if (at == TN_OK || at == TN_ERR_MEMORY) status = at;
    *step = list.steps[i];
  }
  tn_strbuf_clear(&path);
  tn_checkpoint_list_clear(&list);
  return status;
}

static tn_status set_aside(const char *run, int64_t step, tn_error *err) {
  tn_strbuf path = {0}, aside = {0};
  tn_status status = tn_checkpoint_path(&path, run, step, err);
  for (int32_t i = 0; i < 1000 && status == TN_OK; i++) {
    status = i == 0 ? path_of(&aside, err, "%s.set-aside", path.data)
                    : path_of(&aside, err, "%s.set-aside-%d", path.data, i);
    if (status != TN_OK || tn_dir_exists(aside.data)) continue;
    if (rename(path.data, aside.data) != 0)
      status = tn_fail_errno(err, errno, "%s: cannot rename it to %s", path.data, aside.data);
    break;
  }
  tn_strbuf_clear(&path);
  tn_strbuf_clear(&aside);
  return status;
}

tn_status tn_checkpoint_go_back(const char *run, int64_t step, tn_error *err) {
  tn_checkpoint_list list;
  TN_TRY(tn_checkpoint_list_read(&list, run, err));
  tn_status status = point_latest(run, step, err);
  for (size_t i = list.count; i-- > 0 && list.steps[i] > step && status == TN_OK;)
    status = set_aside(run, list.steps[i], err);
  tn_checkpoint_list_clear(&list);
  return status;
}

static tn_status remove_temporary(const char *parent, tn_error *err) {
  DIR *folder = opendir(parent);
  if (!folder && errno == ENOENT) return TN_OK;
  if (!folder) return tn_fail_errno(err, errno, "%s: cannot list", parent);
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  for (const struct dirent *e = readdir(folder); e && status == TN_OK; e = readdir(folder)) {
    if (strncmp(e->d_name, temporary_prefix, sizeof temporary_prefix - 1) != 0) continue;
    status = path_of(&path, err, "%s/%s", parent, e->d_name);
    if (status == TN_OK) status = tn_dir_remove(path.data, err);
  }
  closedir(folder);
  tn_strbuf_clear(&path);
  return status;
}

/* A checkpoint loses its name before its files, so that a kill in between leaves no half of one. */
static tn_status remove_checkpoint(const char *run, int64_t step, tn_error *err) {
  tn_strbuf path = {0}, doomed = {0};
  tn_status status = tn_checkpoint_path(&path, run, step, err);
  if (status == TN_OK)
    status = path_of(&doomed, err, "%s/checkpoints/%sold-%06lld", run, temporary_prefix,
                     (long long)step);
  if (status == TN_OK && rename(path.data, doomed.data) != 0)
    status = tn_fail_errno(err, errno, "%s: cannot rename it to %s", path.data, doomed.data);
  if (status == TN_OK) status = tn_dir_remove(doomed.data, err);
  tn_strbuf_clear(&path);
  tn_strbuf_clear(&doomed);
  return status;
}

tn_status tn_checkpoint_prune(const char *run, int64_t keep, tn_error *err) {
  tn_strbuf parent = {0};
  tn_status status = path_of(&parent, err, "%s/checkpoints", run);
  if (status == TN_OK) status = remove_temporary(parent.data, err);
  tn_strbuf_clear(&parent);
  if (status != TN_OK) return status;
  tn_checkpoint_list list;
  TN_TRY(tn_checkpoint_list_read(&list, run, err));
  if (list.count) status = point_latest(run, list.steps[list.count - 1], err);
  size_t excess = keep > 0 && list.count > (size_t)keep ? list.count - (size_t)keep : 0;
  for (size_t i = 0; i < excess && status == TN_OK; i++)
    status = remove_checkpoint(run, list.steps[i], err);
  tn_checkpoint_list_clear(&list);
  return status;
}
