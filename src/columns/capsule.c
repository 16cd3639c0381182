/* capsule.c - the destructor of Arrow PyCapsules, for python/tenon.
 *
 * It must be C: a capsule may die while a Python exception is on its way, and Python code that ran
 * then would lose it.  Python's two functions are looked up in the running process, so that the
 * library itself needs no Python.
 * https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <string.h>

#include "columns/arrow.h"
#include "tenon/columns.h"

enum { STRUCT_BYTES = 256 }; /* of any Arrow C struct, room to spare */

void *tn_capsule_new(void) {
  return tn_alloc(1, STRUCT_BYTES);
}

/* Every Arrow C struct is released through itself. */
static void release_named(const char *name, void *held) {
  if (strcmp(name, "arrow_array_stream") == 0)
    tn_stream_clear(held);
  else if (strcmp(name, "arrow_schema") == 0)
    tn_schema_clear(held);
  else if (strcmp(name, "arrow_array") == 0)
    tn_array_clear(held);
}

void tn_capsule_free(void *capsule) {
  const char *(*name_of)(void *);
  void *(*pointer_of)(void *, const char *);
  void *symbols[2] = {dlsym(RTLD_DEFAULT, "PyCapsule_GetName"),
                      dlsym(RTLD_DEFAULT, "PyCapsule_GetPointer")};
  if (!symbols[0] || !symbols[1]) return;
  memcpy(&name_of, &symbols[0], sizeof name_of);
  memcpy(&pointer_of, &symbols[1], sizeof pointer_of);
  const char *name = name_of(capsule);
  void *held = name ? pointer_of(capsule, name) : NULL;
  if (!held) return;
  release_named(name, held);
  tn_free(held);
}

void tn_capsule_drop(void *held) {
  tn_free(held);
}
