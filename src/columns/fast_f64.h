/* fast_f64.h - a decimal number to the nearest double, in a few nanoseconds.
 *
 * Exact or nothing: the answer is the correctly rounded one (ties to even), or false where this way
 * cannot tell or the number is out of its range; then base/number.h has the slow way.  After
 * Daniel Lemire, "Number Parsing at a Gigabyte per Second" (2021): the mantissa times a 128-bit
 * power of five.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_FAST_F64_H
#define TN_COLUMNS_FAST_F64_H
#include <stdbool.h>
#include <stdint.h>

/* mantissa * 10^exponent */
bool tn_fast_f64(uint64_t mantissa, int32_t exponent, double *out);

#endif
