/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/unfinished.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/io.h"
#include "base/json.h"
#include "kernels/ops.h"

enum { RUN_BYTES_MAX = 1 << 20 };

struct tn_unfinished {
  char *folder;
  tn_strbuf made; /* the first of its parents that was not there */
  int fd;         /* holds the lock; -1: none */
  bool is_mine;   /* to be removed when it holds no layer */
  int64_t layers, resumed;
  char run[20];
};

/* ---- what a run is known by ---- */

static void put(tn_json_writer *j, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put(tn_json_writer *j, const char *key, const char *format, ...) {
  char text[200];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  tn_json_key(j, key);
  tn_json_cstr(j, text);
}

static void put_method(tn_json_writer *j, const tn_quantize_options *o) {
  static const char *const methods[] = {"rtn", "awq", "gptq"};
  put(j, "method", "%s", methods[o->method]);
  if (o->smooth) put(j, "smooth", "%.17g", o->smooth_strength);
  if (o->method != TN_QUANTIZE_GPTQ) return;
  put(j, "damping", "%.17g", o->gptq.damping);
  put(j, "order", "%s", o->gptq.by_activation ? "large inputs first" : "natural");
  put(j, "ranges", "%s", o->gptq.search ? "searched" : "largest");
  put(j, "passes", "%" PRId32, o->gptq.passes);
  put(j, "aim", "%s", o->aim ? "yes" : "no");
}

static void put_grid(tn_json_writer *j, const tn_quantize_options *o) {
  const tn_grid *g = &o->grid;
  put(j, "codes", "%s", g->is_float ? "fp8" : g->bits == 4 ? "int4" : "int8");
  put(j, "zero points", "%s", g->symmetric ? "no" : "yes");
  if (g->group > 0)
    put(j, "group", "%" PRId64, g->group);
  else
    put(j, "group", "channel");
  put(j, "scales", "%s", o->half_scales ? "float16" : "as weights");
}

static void put_ignored(tn_json_writer *j, const tn_quantize_options *o) {
  char key[32];
  for (int32_t i = 0; i < o->ignore_count; i++) {
    snprintf(key, sizeof key, "ignore %" PRId32, i + 1);
    tn_json_key(j, key);
    tn_json_cstr(j, o->ignore[i]);
  }
}

tn_status tn_unfinished_describe(tn_strbuf *out, const tn_quantize_options *options,
                                 const tn_weight_source *source, const tn_calibration_text *text,
                                 tn_error *err) {
  size_t bytes = (size_t)(text->samples * text->tokens) * sizeof *text->ids;
  tn_json_writer j = {.out = out, .indent = 2};
  tn_json_begin_object(&j);
  put(&j, "tenon", "%s", TENON_VERSION);
  put(&j, "kernels", "%s", tn_op_source(tn_device_cpu(), TN_OP_linear));
  put_grid(&j, options);
  put_method(&j, options);
  put_ignored(&j, options);
  put(&j, "samples", "%" PRId64 " of %" PRId64 " tokens", text->samples, text->tokens);
  put(&j, "text", "%016" PRIx64, (uint64_t)XXH64(text->ids, bytes, 0));
  put(&j, "model", "%016" PRIx64, tn_weight_source_content(source));
  tn_json_end_object(&j);
  tn_strbuf_add_char(out, '\n');
  return tn_strbuf_check(out, err);
}

/* ---- names ---- */

static tn_status path_in(const char *folder, const char *name, tn_strbuf *out, tn_error *err) {
  tn_strbuf_reset(out);
  tn_strbuf_addf(out, "%s/%s", folder, name);
  return tn_strbuf_check(out, err);
}

static tn_status layer_path(const char *folder, int64_t layer, tn_strbuf *out, tn_error *err) {
  char name[48];
  snprintf(name, sizeof name, "layer-%" PRId64 ".safetensors", layer);
  return path_in(folder, name, out, err);
}

static tn_status count_layers(const char *folder, int64_t *layers, tn_error *err) {
  tn_strbuf path = {0};
  tn_status status = layer_path(folder, *layers = 0, &path, err);
  while (status == TN_OK && tn_file_exists(path.data))
    status = layer_path(folder, ++*layers, &path, err);
  tn_strbuf_clear(&path);
  return status;
}

/* What a write that was cut off leaves: ".layer-3.safetensors.<more>.tmp" (base/sink.c). */
static bool is_temporary(tn_str name) {
  return tn_str_ends(name, TN_STR(".tmp")) &&
         (tn_str_starts(name, TN_STR(".layer-")) || tn_str_starts(name, TN_STR(".run.json.")));
}

static bool is_known(tn_str name) {
  return tn_str_is(name, ".") || tn_str_is(name, "..") || tn_str_is(name, "run.json") ||
         tn_str_is(name, "model") || is_temporary(name) ||
         (tn_str_starts(name, TN_STR("layer-")) && tn_str_ends(name, TN_STR(".safetensors")));
}

/* The folder will be removed as a whole: nothing of anybody else's may lie in it. */
static tn_status check_content(const tn_unfinished *u, tn_error *err) {
  DIR *dir = opendir(u->folder);
  if (!dir) return tn_fail_errno(err, errno, "%s: cannot open", u->folder);
  tn_status status = TN_OK;
  for (struct dirent *at; status == TN_OK && (at = readdir(dir));) {
    tn_str name = tn_str_of(at->d_name);
    if (is_temporary(name)) (void)!unlinkat(dirfd(dir), at->d_name, 0);
    if (!is_known(name))
      status = tn_fail(err, TN_ERR_DATA, "%s/%s is no part of a quantization that was stopped",
                       u->folder, at->d_name);
  }
  closedir(dir);
  return status;
}

/* ---- whose it is ---- */

static tn_status compare(const char *folder, const tn_json *is, const tn_json *wanted,
                         tn_error *err) {
  for (const tn_json *w = wanted->first; w; w = w->next) {
    char key[32];
    snprintf(key, sizeof key, "%.*s", TN_STR_ARG(w->key));
    const tn_json *i = tn_json_get(is, key);
    if (i && i->kind == TN_JSON_STRING && tn_str_equal(i->text, w->text)) continue;
    tn_str text = i && i->kind == TN_JSON_STRING ? i->text : TN_STR("none");
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "%s: %s was \"%.*s\" when it was begun, now it is \"%.*s\"", folder, key,
                   TN_STR_ARG(text), TN_STR_ARG(w->text));
  }
  if (is->count == wanted->count) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "%s: was begun with more options than now", folder);
}

static tn_status compare_run(const tn_unfinished *u, const char *path, tn_str about,
                             tn_error *err) {
  tn_arena arena = {0};
  tn_strbuf text = {0};
  tn_json *is = NULL, *wanted = NULL;
  tn_status status = tn_file_read(path, RUN_BYTES_MAX, &text, err);
  if (status == TN_OK) {
    status = tn_json_parse(&is, &arena, tn_strbuf_view(&text), NULL, err);
    if (status == TN_OK && is->kind != TN_JSON_OBJECT)
      status = tn_fail(err, TN_ERR_DATA, "not a JSON object");
    if (status != TN_OK) tn_error_context(err, status, "%s", path);
  }
  if (status == TN_OK) status = tn_json_parse(&wanted, &arena, about, NULL, err);
  if (status == TN_OK) status = compare(u->folder, is, wanted, err);
  tn_strbuf_clear(&text);
  tn_arena_clear(&arena);
  return status;
}

/* Layers without run.json are of nobody knows what. */
static tn_status begin(const tn_unfinished *u, const char *path, tn_str about, tn_error *err) {
  if (u->layers == 0) return tn_file_write_atomic(path, about, err);
  return tn_fail(err, TN_ERR_DATA, "%s: %" PRId64 " layers, and no run.json that says of what",
                 u->folder, u->layers);
}

static tn_status fail_exists(const char *folder, int64_t layers, tn_error *err) {
  return tn_fail(err, TN_ERR_EXISTS,
                 "%s holds %" PRId64 " finished layer%s of a quantization that was stopped", folder,
                 layers, layers == 1 ? "" : "s");
}

static tn_status take(tn_unfinished *u, tn_str about, bool resume, tn_error *err) {
  tn_strbuf path = {0};
  TN_TRY(check_content(u, err));
  TN_TRY(count_layers(u->folder, &u->layers, err));
  u->resumed = u->layers;
  tn_status status = path_in(u->folder, "run.json", &path, err);
  if (status == TN_OK && !tn_file_exists(path.data))
    status = begin(u, path.data, about, err);
  else if (status == TN_OK)
    status =
        resume ? compare_run(u, path.data, about, err) : fail_exists(u->folder, u->layers, err);
  tn_strbuf_clear(&path);
  return status;
}

static tn_status lock(tn_unfinished *u, tn_error *err) {
  u->fd = open(u->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (u->fd < 0) return tn_fail_errno(err, errno, "%s: cannot open the folder", u->folder);
  if (flock(u->fd, LOCK_EX | LOCK_NB) == 0) return TN_OK;
  if (errno != EWOULDBLOCK) return TN_OK; /* a file system without locks */
  return tn_fail(err, TN_ERR_EXISTS, "%s: another process is at work in it", u->folder);
}

/* ---- life ---- */

tn_status tn_unfinished_check(const char *folder, tn_error *err) {
  int64_t layers;
  if (!tn_dir_exists(folder)) return TN_OK;
  TN_TRY(count_layers(folder, &layers, err));
  return fail_exists(folder, layers, err);
}

static tn_status open_folder(tn_unfinished *u, tn_str about, bool resume, tn_error *err) {
  if (!resume) TN_TRY(tn_unfinished_check(u->folder, err));
  TN_TRY(tn_dir_make_new(u->folder, &u->made, err));
  TN_TRY(lock(u, err));
  u->is_mine = u->made.length > 0; /* one that was there stays as it is until it is known */
  TN_TRY(take(u, about, resume, err));
  u->is_mine = true;
  return TN_OK;
}

tn_status tn_unfinished_open(tn_unfinished **out, const char *folder, tn_str about, bool resume,
                             tn_error *err) {
  tn_unfinished *u = tn_alloc(1, sizeof *u);
  if (!u) return tn_fail_memory(err, "a quantization", sizeof *u);
  u->fd = -1;
  snprintf(u->run, sizeof u->run, "%016" PRIx64, (uint64_t)XXH64(about.data, about.length, 0));
  u->folder = tn_strndup(folder, strlen(folder));
  tn_status status = u->folder ? open_folder(u, about, resume, err)
                               : tn_fail_memory(err, "a path", strlen(folder));
  if (status != TN_OK) {
    tn_unfinished_close(u);
    return status;
  }
  *out = u;
  return TN_OK;
}

/* Of a run that has no layer nothing is lost. */
static void remove_empty(tn_unfinished *u) {
  if (u->is_mine && u->layers == 0 && tn_dir_remove(u->folder, NULL) == TN_OK)
    tn_dir_unmake(u->folder, &u->made);
}

void tn_unfinished_close(tn_unfinished *u) {
  if (!u) return;
  remove_empty(u);
  if (u->fd >= 0) close(u->fd);
  tn_strbuf_clear(&u->made);
  tn_free(u->folder);
  tn_free(u);
}

/* The last layer first: a kill leaves what can still be resumed. */
tn_status tn_unfinished_remove(tn_unfinished *u, tn_error *err) {
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  u->is_mine = false;
  while (status == TN_OK && u->layers > 0) {
    status = layer_path(u->folder, --u->layers, &path, err);
    if (status == TN_OK && unlink(path.data) != 0 && errno != ENOENT)
      status = tn_fail_errno(err, errno, "%s: cannot remove", path.data);
  }
  tn_strbuf_clear(&path);
  return status == TN_OK ? tn_dir_remove(u->folder, err) : status;
}

const char *tn_unfinished_run(const tn_unfinished *u) {
  return u->run;
}

int64_t tn_unfinished_layers(const tn_unfinished *u) {
  return u->layers;
}

int64_t tn_unfinished_resumed(const tn_unfinished *u) {
  return u->resumed;
}

tn_status tn_unfinished_path(const tn_unfinished *u, int64_t layer, tn_strbuf *out, tn_error *err) {
  return layer_path(u->folder, layer, out, err);
}

void tn_unfinished_count(tn_unfinished *u) {
  u->layers++;
}
