/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/fast_f64.h"

#include <string.h>

#include "base/number_powers.h"

enum { POWER_MAX = 308, EXACT_MAX = 55, MANTISSA_BITS = 52, BIAS = 1023 };
__extension__ typedef unsigned __int128 wide;

/* Two exact doubles give a correctly rounded product or quotient (Clinger 1990). */
static bool by_double(uint64_t mantissa, int32_t exponent, double *out) {
  static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (mantissa > (uint64_t)1 << 53 || exponent < -22 || exponent > 22) return false;
  double value = (double)mantissa;
  *out = exponent < 0 ? value / power[-exponent] : value * power[exponent];
  return true;
}

bool tn_fast_f64(uint64_t mantissa, int32_t exponent, double *out) {
  if (by_double(mantissa, exponent, out)) return true;
  if (mantissa == 0 || exponent < TN_POWER_MIN || exponent > POWER_MAX) return false;
  /* The table is rounded up, this way wants powers above one cut. */
  const uint64_t *power = tn_powers_of_ten[exponent - TN_POWER_MIN], cut = exponent > EXACT_MAX;
  const uint64_t low = power[1] - cut, high = power[0] - (cut > power[1]);
  const int shift = __builtin_clzll(mantissa);
  const uint64_t w = mantissa << shift;
  wide product = (wide)w * high;
  uint64_t top = (uint64_t)(product >> 64), bottom = (uint64_t)product;
  if ((top & 0x1ff) == 0x1ff) { /* the part that was cut off may carry into what counts */
    uint64_t more = (uint64_t)(((wide)w * low) >> 64);
    bottom += more;
    top += bottom < more;
    if (bottom == UINT64_MAX && (exponent < -27 || exponent > EXACT_MAX)) return false;
  }
  const int upper = (int)(top >> 63);
  uint64_t rounded = top >> (upper + 64 - MANTISSA_BITS - 3);
  /* floor(exponent * log2(10)) in integers */
  int32_t power2 = ((217706 * exponent) >> 16) + 63 + upper - shift + BIAS;
  if (power2 <= 0 || power2 >= 2046) return false;
  /* Exactly half way: the product is exact, and the tie goes to the even neighbour. */
  if (bottom <= 1 && exponent >= -4 && exponent <= 23 && (rounded & 3) == 1 &&
      rounded << (upper + 64 - MANTISSA_BITS - 3) == top)
    rounded &= ~(uint64_t)1;
  rounded = (rounded + (rounded & 1)) >> 1;
  if (rounded >= (uint64_t)2 << MANTISSA_BITS) {
    rounded = (uint64_t)1 << MANTISSA_BITS;
    power2++;
  }
  const uint64_t bits = (rounded & ~((uint64_t)1 << MANTISSA_BITS)) | (uint64_t)power2
                                                                          << MANTISSA_BITS;
  memcpy(out, &bits, sizeof bits);
  return true;
}
