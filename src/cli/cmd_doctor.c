/* cmd_doctor.c - `tenon doctor`: what this machine has, what is missing, what is slow.
 *
 * Nothing here is needed to run: every line is read off the machine or measured on the spot. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <yaml.h>
#include <zstd.h>

#include "base/clock.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/gpu_probe.h"
#include "kernels/ops.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define GPUS_MAX     16
#define FEATURES_MAX 12

typedef struct library {
  const char *name, *version, *what_for;
} library;

typedef struct report {
  char cpu[96];
  const char *features[FEATURES_MAX];
  int32_t feature_count, cpus;
  int64_t memory_bytes, memory_free_bytes, disk_free_bytes;
  char kernel[200], pcre_version[32];
  tn_gpu gpus[GPUS_MAX];
  int32_t gpu_count;
  const char *gpu_why;
  bool nvcc;
  library libraries[5];
  int32_t ops_by_ref;
  double gflops_one, gflops_all, read_gbs; /* measured */
} report;

/* ---- reading the machine ---- */
/* The value of "key : value" in a small /proc file; false when there is none. */
static bool proc_value(const char *path, const char *key, char *out, size_t room) {
  tn_strbuf text = {0};
  bool found = false;
  if (tn_file_read(path, 1 << 22, &text, NULL) == TN_OK) {
    tn_str rest = tn_strbuf_view(&text);
    while (rest.data && !found) {
      tn_str line = tn_str_cut(&rest, '\n');
      if (!tn_str_starts(line, tn_str_of(key))) continue;
      tn_str_cut(&line, ':');
      line = tn_str_trim(line);
      snprintf(out, room, "%.*s", TN_STR_ARG(line));
      found = true;
    }
  }
  tn_strbuf_clear(&text);
  return found;
}

static int64_t proc_kib(const char *key) {
  char text[64];
  int64_t kib = 0;
  if (!proc_value("/proc/meminfo", key, text, sizeof text)) return 0;
  tn_str rest = tn_str_of(text);
  return tn_str_to_i64(tn_str_cut(&rest, ' '), &kib) ? kib : 0;
}

static void read_features(report *r) {
#if defined(__x86_64__)
#define FEATURE(name) \
  if (__builtin_cpu_supports(name)) r->features[r->feature_count++] = name
  FEATURE("avx2");
  FEATURE("fma");
  FEATURE("avx512f");
  FEATURE("avx512bw");
  FEATURE("avx512vl");
  FEATURE("avx512vnni");
  FEATURE("avx512bf16");
#undef FEATURE
  if (tn_ops_cpu("amx")) r->features[r->feature_count++] = "amx";
#endif
}

static bool program_on_path(const char *name) {
  tn_str rest = tn_str_of(getenv("PATH"));
  while (rest.data) {
    tn_str folder = tn_str_cut(&rest, ':');
    char path[512];
    snprintf(path, sizeof path, "%.*s/%s", TN_STR_ARG(folder), name);
    if (access(path, X_OK) == 0) return true;
  }
  return false;
}

static void read_machine(report *r) {
  if (!proc_value("/proc/cpuinfo", "model name", r->cpu, sizeof r->cpu))
    snprintf(r->cpu, sizeof r->cpu, "unknown");
  read_features(r);
  r->cpus = tn_cpu_count();
  r->memory_bytes = proc_kib("MemTotal") * 1024;
  r->memory_free_bytes = proc_kib("MemAvailable") * 1024;
  struct statvfs disk;
  if (statvfs(".", &disk) == 0)
    r->disk_free_bytes = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
  struct utsname name;
  if (uname(&name) == 0)
    snprintf(r->kernel, sizeof r->kernel, "%s %s %s", name.sysname, name.release, name.machine);
  r->gpu_count = tn_gpu_probe(r->gpus, GPUS_MAX, &r->gpu_why);
  r->nvcc = program_on_path("nvcc");
}

static void read_libraries(report *r) {
  pcre2_config(PCRE2_CONFIG_VERSION, r->pcre_version);
  r->libraries[0] = (library){"libmicrohttpd", MHD_get_version(), "HTTP server"};
  r->libraries[1] =
      (library){"libcurl", curl_version_info(CURLVERSION_NOW)->version, "HTTP client"};
  r->libraries[2] = (library){"zstd", ZSTD_versionString(), "Parquet codec"};
  r->libraries[3] = (library){"pcre2", r->pcre_version, "pre-tokenizer patterns"};
  r->libraries[4] = (library){"libyaml", yaml_get_version_string(), "run configuration"};
}

/* ---- measuring ---- */
#define PROBE_SIZE       512
#define PROBE_READ_BYTES ((size_t)256 << 20)

/* GFLOP/s of the linear row on a square problem; the best of a few runs. */
static double measure_linear(tn_pool *pool) {
  const int64_t shape[2] = {PROBE_SIZE, PROBE_SIZE};
  const size_t bytes = (size_t)PROBE_SIZE * PROBE_SIZE * 4;
  tn_device *cpu = tn_device_cpu();
  tn_stream *stream = NULL;
  tn_buffer *buffers[3] = {0};
  tn_linear_args args = {0};
  tn_tensor *tensors[3] = {&args.y, &args.x, &args.w};
  double best = 0;
  tn_status status = tn_stream_open(cpu, pool, &stream, NULL);
  for (int i = 0; i < 3 && status == TN_OK; i++) {
    status = tn_buffer_new(&buffers[i], bytes, NULL);
    if (status == TN_OK) status = tn_tensor_view(tensors[i], buffers[i], 0, TN_F32, 2, shape, NULL);
  }
  for (int run = 0; run < 8 && status == TN_OK; run++) {
    int64_t start_us = tn_time_us();
    status = tn_ops_for(cpu)->linear(stream, &args, NULL);
    double seconds = (double)(tn_time_us() - start_us + 1) / 1e6;
    double rate = 2.0 * PROBE_SIZE * PROBE_SIZE * PROBE_SIZE / seconds / 1e9;
    if (status == TN_OK && rate > best) best = rate;
  }
  for (int i = 0; i < 3; i++) tn_buffer_drop(buffers[i]);
  tn_stream_close(stream);
  return best;
}

/* One thread reading memory that no cache holds, GB/s. */
static double measure_read(void) {
  uint64_t *words = tn_alloc_aligned(PROBE_READ_BYTES);
  if (!words) return 0;
  const size_t count = PROBE_READ_BYTES / sizeof *words;
  for (size_t i = 0; i < count; i += 512) words[i] = i; /* touches every page */
  double best = 0;
  volatile uint64_t keep = 0;
  for (int run = 0; run < 3; run++) {
    uint64_t sums[8] = {0};
    int64_t start_us = tn_time_us();
    for (size_t i = 0; i < count; i += 8)
      for (int k = 0; k < 8; k++) sums[k] += words[i + (size_t)k];
    double seconds = (double)(tn_time_us() - start_us + 1) / 1e6;
    for (int k = 0; k < 8; k++) keep += sums[k];
    if ((double)PROBE_READ_BYTES / seconds / 1e9 > best)
      best = (double)PROBE_READ_BYTES / seconds / 1e9;
  }
  tn_free(words);
  return best;
}

static void measure(report *r) {
  for (int32_t op = 0; op < TN_OP_COUNT; op++)
    r->ops_by_ref += strcmp(tn_op_source(tn_device_cpu(), (tn_op_id)op), "ref") == 0;
  r->gflops_one = measure_linear(NULL);
  r->gflops_all = measure_linear(tn_cli_pool(0));
  r->read_gbs = measure_read();
}

/* ---- showing it ---- */
static void print_bytes(const char *label, int64_t bytes, const char *after) {
  tn_strbuf text = {0};
  tn_strbuf_add_bytes_human(&text, (double)bytes);
  printf("  %-12s %s%s\n", label, text.data ? text.data : "", after);
  tn_strbuf_clear(&text);
}

static void print_ops(void) {
  printf("\noperations (the implementation each one runs)\n");
  for (int32_t op = 0; op < TN_OP_COUNT; op++)
    printf("  %-24s %s\n", tn_op_describe((tn_op_id)op)->name,
           tn_op_source(tn_device_cpu(), (tn_op_id)op));
}

/* The manual page of operations, as Markdown, out of ops.def. */
static const char *role_word(tn_op_role role) {
  static const char *const words[] = {"out", "added to", "changed in place", "in"};
  return words[role];
}
static const char *kind_word(tn_op_kind kind) {
  static const char *const words[] = {
      [TN_KIND_REAL] = "real",   [TN_KIND_WEIGHT] = "weight", [TN_KIND_STAT] = "statistic",
      [TN_KIND_INDEX] = "int32", [TN_KIND_CACHE] = "cache",   [TN_KIND_SCALE] = "scale",
      [TN_KIND_GAIN] = "gain"};
  return words[kind];
}

static void print_manual(void) {
  printf(
      "# Operations\n\n"
      "Made by `make docs` from `src/kernels/ops.def`; change that file, not this one.\n\n"
      "*real*: float32, float64, float16 or bfloat16. *statistic*: float32 (float64 where the "
      "reals "
      "are).\n*weight*: a real, float8 or quantized blocks. *cache*: a real, int8 or "
      "float8_e4m3fn; "
      "*scale*: float32,\nof the cache beside it, left out where that is a real. *gain*: a real, "
      "or "
      "left out.\nAll tensors are contiguous, outermost dimension first; one name is one size "
      "throughout "
      "an operation.\n");
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    const tn_op_info *info = tn_op_describe((tn_op_id)op);
    printf("\n## %s\n\n%s.\n\n| argument | role | kind | shape |\n| --- | --- | --- | --- |\n",
           info->name, info->summary);
    for (int32_t i = 0; i < info->tensor_count; i++)
      printf("| %s | %s | %s | [%s] |\n", info->tensors[i].name, role_word(info->tensors[i].role),
             kind_word(info->tensors[i].kind), info->tensors[i].dims);
    for (int32_t i = 0; i < info->scalar_count; i++)
      printf("| %s | in | %s | |\n", info->scalars[i].name, info->scalars[i].type);
  }
  int32_t count;
  const tn_grad_info *grads = tn_grad_list(&count);
  printf("\n## Gradients\n\n| forward | backward |\n| --- | --- |\n");
  for (int32_t i = 0; i < count; i++)
    printf("| %s | %s |\n", tn_op_describe(grads[i].forward)->name,
           tn_op_describe(grads[i].backward)->name);
}

static void print_advice(const report *r) {
  printf("\nwhat is missing or slow\n");
  int32_t found = 0;
  if (r->gpu_count == 0) found++, printf("  - GPU: %s; everything runs on the CPU\n", r->gpu_why);
  if (r->gpu_count > 0 && !r->nvcc)
    found++, printf("  - nvcc is not on the PATH, so kernels for this GPU cannot be built\n");
  if (r->ops_by_ref > 0)
    found++, printf("  - %d of %d operations run the plain reference (--ops lists them)\n",
                    r->ops_by_ref, TN_OP_COUNT);
  if (r->memory_free_bytes < (int64_t)2 << 30)
    found++, printf("  - less than 2 GiB of memory is free\n");
  if (r->disk_free_bytes < (int64_t)2 << 30)
    found++, printf("  - less than 2 GiB of disk is free in this folder\n");
  if (r->cpus > 1 && r->gflops_all < 1.3 * r->gflops_one)
    found++,
        printf("  - %d threads are only %.1f times as fast as one: other work on this machine?\n",
               r->cpus, r->gflops_one > 0 ? r->gflops_all / r->gflops_one : 0);
  if (!found) printf("  nothing\n");
}

static void print_report(const report *r, bool ops) {
  printf("Tenon %s on %s\n\nmachine\n", TENON_VERSION, r->kernel);
  printf("  %-12s %s, %d usable\n", "CPU", r->cpu, r->cpus);
  printf("  %-12s", "features");
  for (int32_t i = 0; i < r->feature_count; i++) printf(" %s", r->features[i]);
  printf("%s\n", r->feature_count ? "" : " none that Tenon uses");
  print_bytes("memory", r->memory_bytes, "");
  print_bytes("  free", r->memory_free_bytes, "");
  print_bytes("disk free", r->disk_free_bytes, " here");
  for (int32_t i = 0; i < r->gpu_count && i < GPUS_MAX; i++)
    printf("  %-12s %s, compute %d.%d, %.0f GiB\n", "GPU", r->gpus[i].name, r->gpus[i].major,
           r->gpus[i].minor, (double)r->gpus[i].memory_bytes / (1 << 30));
  if (r->gpu_count == 0) printf("  %-12s none\n", "GPU");
  printf("  %-12s %s\n", "nvcc", r->nvcc ? "found" : "not found");
  printf("\nmeasured just now\n");
  printf("  %-12s %.0f GFLOP/s one thread, %.0f with %d (linear, %dx%dx%d)\n", "float32",
         r->gflops_one, r->gflops_all, r->cpus, PROBE_SIZE, PROBE_SIZE, PROBE_SIZE);
  printf("  %-12s %.1f GB/s read, one thread\n", "memory", r->read_gbs);
  printf("\nlibraries\n");
  for (size_t i = 0; i < sizeof r->libraries / sizeof r->libraries[0]; i++)
    printf("  %-14s %-24s %s\n", r->libraries[i].name, r->libraries[i].version,
           r->libraries[i].what_for);
  if (ops) print_ops();
  print_advice(r);
}

static void json_report(const report *r) {
  tn_cli_json j;
  tn_cli_json_begin(&j);
  tn_json_writer *w = &j.w;
  tn_json_begin_object(w);
  tn_cli_json_text(w, "version", TENON_VERSION);
  tn_cli_json_text(w, "kernel", r->kernel);
  tn_cli_json_text(w, "cpu", r->cpu);
  tn_cli_json_i64(w, "cpus", r->cpus);
  tn_json_key(w, "features"), tn_json_begin_array(w);
  for (int32_t i = 0; i < r->feature_count; i++) tn_json_cstr(w, r->features[i]);
  tn_json_end_array(w);
  tn_cli_json_i64(w, "memory_bytes", r->memory_bytes);
  tn_cli_json_i64(w, "memory_free_bytes", r->memory_free_bytes);
  tn_cli_json_i64(w, "disk_free_bytes", r->disk_free_bytes);
  tn_json_key(w, "gpus"), tn_json_begin_array(w);
  for (int32_t i = 0; i < r->gpu_count && i < GPUS_MAX; i++) {
    tn_json_begin_object(w);
    tn_cli_json_text(w, "name", r->gpus[i].name);
    tn_cli_json_i64(w, "compute_major", r->gpus[i].major);
    tn_cli_json_i64(w, "compute_minor", r->gpus[i].minor);
    tn_cli_json_i64(w, "memory_bytes", r->gpus[i].memory_bytes);
    tn_json_end_object(w);
  }
  tn_json_end_array(w);
  tn_cli_json_bool(w, "nvcc", r->nvcc);
  tn_cli_json_f64(w, "linear_gflops_one_thread", r->gflops_one);
  tn_cli_json_f64(w, "linear_gflops_all_threads", r->gflops_all);
  tn_cli_json_f64(w, "memory_read_gb_s", r->read_gbs);
  tn_json_key(w, "libraries"), tn_json_begin_object(w);
  for (size_t i = 0; i < sizeof r->libraries / sizeof r->libraries[0]; i++)
    tn_json_key(w, r->libraries[i].name), tn_json_cstr(w, r->libraries[i].version);
  tn_json_end_object(w);
  tn_json_key(w, "operations"), tn_json_begin_object(w);
  for (int32_t op = 0; op < TN_OP_COUNT; op++) {
    tn_json_key(w, tn_op_describe((tn_op_id)op)->name);
    tn_json_cstr(w, tn_op_source(tn_device_cpu(), (tn_op_id)op));
  }
  tn_json_end_object(w);
  tn_json_end_object(w);
  tn_cli_json_finish(&j);
}

static int run_doctor(int argc, char **argv) {
  bool json = false, ops = false, manual = false;
  const tn_option options[] = {
      {"--ops", 0, TN_OPTION_FLAG, &ops, NULL, "list which implementation every operation runs"},
      {"--manual", 0, TN_OPTION_FLAG, &manual, NULL, "print the manual of operations (Markdown)"},
      {"--json", 0, TN_OPTION_FLAG, &json, NULL, "everything as one JSON object"},
      {0}};
  const tn_usage usage = {
      .words = "tenon doctor [options]",
      .about =
          "Says what this machine has, measures it for a second, and names what is missing\n"
          "or slow.",
      .example = "tenon doctor --ops",
      .options = options,
      .words_min = 0,
      .words_max = 0};
  int32_t words;
  int code = tn_args(&usage, argc, argv, &words);
  if (code >= 0) return code;
  if (manual) {
    print_manual();
    return 0;
  }
  report *r = tn_alloc(1, sizeof *r);
  if (!r) return TN_EXIT_FAILED;
  read_machine(r);
  read_libraries(r);
  measure(r);
  if (json)
    json_report(r);
  else
    print_report(r, ops);
  tn_free(r);
  return 0;
}
const tn_command tn_command_doctor = {"doctor", "what this machine has, what is missing or slow",
                                      run_doctor};
