/* number_powers.h - powers of ten to 128 bits, for writing shortest decimal text.
 *
 * Entry k - TN_POWER_MIN holds ceil(10^k / 2^(floor(log2(10^k)) - 127)): high word, low word; the
 * highest bit is set. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_NUMBER_POWERS_H
#define TN_BASE_NUMBER_POWERS_H
#include <stdint.h>

enum { TN_POWER_MIN = -292, TN_POWER_MAX = 324 };
extern const uint64_t tn_powers_of_ten[TN_POWER_MAX - TN_POWER_MIN + 1][2];

#endif
