/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mapped.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { MAPPINGS = 256, PATH_BYTES = 240 };

/* Filled under the lock, start last; the handler, which may take no lock, sees whole ones. */
static struct mapping {
  _Atomic uintptr_t start; /* 0: free */
  size_t bytes;
  char path[PATH_BYTES]; /* of a long one the end */
} mappings[MAPPINGS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int exit_code;

static void fill(struct mapping *m, const void *data, size_t bytes, const char *path) {
  size_t length = strlen(path);
  if (length >= PATH_BYTES) path += length - (PATH_BYTES - 1);
  memcpy(m->path, path, strlen(path) + 1);
  m->bytes = bytes;
  atomic_store(&m->start, (uintptr_t)data);
}

void tn_mapped_note(const void *data, size_t bytes, const char *path) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MAPPINGS; i++)
    if (atomic_load(&mappings[i].start) == 0) {
      fill(&mappings[i], data, bytes, path);
      break;
    }
  pthread_mutex_unlock(&lock);
}

void tn_mapped_forget(const void *data) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MAPPINGS; i++)
    if (atomic_load(&mappings[i].start) == (uintptr_t)data) atomic_store(&mappings[i].start, 0);
  pthread_mutex_unlock(&lock);
}

/* ---- what a signal handler may do ---- */

static void say(const char *text) {
  ssize_t written = write(STDERR_FILENO, text, strlen(text));
  (void)written; /* there is nobody left to tell */
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context) {
  uintptr_t at = (uintptr_t)info->si_addr;
  (void)context;
  for (int i = 0; i < MAPPINGS; i++) {
    uintptr_t start = atomic_load(&mappings[i].start);
    if (start == 0 || at < start || at - start >= mappings[i].bytes) continue;
    say("\nerror: ");
    say(mappings[i].path);
    say(": was cut short, or its disk failed, while it was in use\n"
        "hint: put a new file into its place by a rename (mv), not by writing over it\n");
    _exit(exit_code);
  }
  signal(signal_number, SIG_DFL); /* the instruction runs again, and ends the process */
}

void tn_mapped_explain_cuts(int code) {
  struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
  exit_code = code;
  sigaction(SIGBUS, &action, NULL);
}
