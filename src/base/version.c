/* SPDX-License-Identifier: Apache-2.0 */
#include "tenon/tenon.h"

const char *tn_version(void) {
  return TENON_VERSION;
}
