/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/cpu/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* CPUID leaf 7: AMX-BF16, AMX-TILE, AMX-INT8 */
static bool cpu_has_tiles(void) {
  const uint32_t wanted = 1u << 22 | 1u << 24 | 1u << 25;
  uint32_t a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & wanted) == wanted;
}

/* Does the system save shapes and data of the tiles (XCR0)? */
static bool system_saves_tiles(void) {
  const uint32_t wanted = 1u << 17 | 1u << 18, osxsave = 1u << 27;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & osxsave)) return false;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (a & wanted) == wanted;
}

bool tn_amx_here(void) {
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
  return cpu_has_tiles() && system_saves_tiles() &&
         syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#else
bool tn_amx_here(void) {
  return false;
}
#endif
