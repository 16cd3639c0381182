/* SPDX-License-Identifier: Apache-2.0 */
/* tn_cpu_count: what affinity and the cgroup's CPU quota (versions 1 and 2) leave to this process.
 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "base/thread.h"

enum { TEXT_BYTES = 4096, PATH_BYTES = 4600, CPUS_MAX = 1 << 16 };

static int32_t affinity_count(void) {
  for (int32_t cpus = 1024; cpus <= CPUS_MAX; cpus *= 2) {
    cpu_set_t *set = CPU_ALLOC((size_t)cpus);
    if (!set) break;
    size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
    int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 && online <= CPUS_MAX ? (int32_t)online : 1;
}

/* The files of /proc and /sys are small: one read takes them whole. */
static tn_str read_text(const char *path, char text[TEXT_BYTES]) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return (tn_str){0};
  ssize_t length = read(fd, text, TEXT_BYTES);
  close(fd);
  return (tn_str){text, length > 0 ? (size_t)length : 0};
}

static int32_t cpus_of(int64_t quota_us, int64_t period_us) {
  if (quota_us <= 0 || period_us <= 0) return INT32_MAX;
  int64_t cpus = quota_us / period_us + (quota_us % period_us != 0);
  return cpus < INT32_MAX ? (int32_t)cpus : INT32_MAX;
}

/* "max 100000" or "150000 100000" */
static int32_t quota_v2(const char *directory) {
  char path[PATH_BYTES + 32], text[TEXT_BYTES];
  snprintf(path, sizeof path, "%s/cpu.max", directory);
  tn_str rest = tn_str_trim(read_text(path, text));
  tn_str first = tn_str_cut(&rest, ' ');
  int64_t quota_us, period_us;
  if (!tn_str_to_i64(first, &quota_us) || !tn_str_to_i64(rest, &period_us)) return INT32_MAX;
  return cpus_of(quota_us, period_us);
}

static int64_t read_figure(const char *directory, const char *file) {
  char path[PATH_BYTES + 32], text[TEXT_BYTES];
  snprintf(path, sizeof path, "%s/%s", directory, file);
  int64_t value;
  return tn_str_to_i64(tn_str_trim(read_text(path, text)), &value) ? value : -1;
}

static int32_t quota_v1(const char *directory) {
  return cpus_of(read_figure(directory, "cpu.cfs_quota_us"),
                 read_figure(directory, "cpu.cfs_period_us"));
}

/* The smallest quota from the group up to the root: a parent's binds its children. */
static int32_t smallest_quota(const char *root, tn_str group, int32_t (*quota)(const char *)) {
  int32_t smallest = INT32_MAX;
  for (;;) {
    char directory[PATH_BYTES];
    snprintf(directory, sizeof directory, "%s%.*s", root, TN_STR_ARG(group));
    int32_t here = quota(directory);
    if (here < smallest) smallest = here;
    if (group.length == 0) return smallest;
    do group.length--;
    while (group.length && group.data[group.length] != '/');
  }
}

static bool lists_cpu(tn_str controllers) {
  while (controllers.data)
    if (tn_str_is(tn_str_cut(&controllers, ','), "cpu")) return true;
  return false;
}

/* Lines of /proc/self/cgroup: "0::/group" (version 2) or "4:cpu,cpuacct:/group" (version 1). */
static int32_t cgroup_count(void) {
  char text[TEXT_BYTES];
  tn_str lines = read_text("/proc/self/cgroup", text);
  int32_t smallest = INT32_MAX;
  while (lines.length) {
    tn_str group = tn_str_cut(&lines, '\n');
    tn_str hierarchy = tn_str_cut(&group, ':');
    tn_str controllers = tn_str_cut(&group, ':');
    int32_t here = INT32_MAX;
    if (tn_str_is(hierarchy, "0") && controllers.length == 0)
      here = smallest_quota("/sys/fs/cgroup", group, quota_v2);
    else if (lists_cpu(controllers))
      here = smallest_quota("/sys/fs/cgroup/cpu", group, quota_v1);
    if (here < smallest) smallest = here;
  }
  return smallest;
}

int32_t tn_cpu_count(void) {
  int32_t cpus = affinity_count(), quota = cgroup_count();
  return quota < cpus ? quota : cpus;
}
