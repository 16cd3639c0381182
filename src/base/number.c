/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- text to double ----
 * Three ways, each exact: small mantissa and power of ten (Clinger 1990: both are exact doubles, so
 * one operation rounds once); the same in the x87's 64-bit mantissa, when its result is not so near
 * a tie that the second rounding could be wrong; and strtod of the C locale for the rest. */

static const double power_f64[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { POWER_F64_MAX = 22, POWER_WIDE_MAX = 27 };

static bool by_double(uint64_t mantissa, int64_t exponent, double *out) {
  if (mantissa > (uint64_t)1 << 53 || exponent < -POWER_F64_MAX || exponent > POWER_F64_MAX)
    return false;
  double value = (double)mantissa;
  *out = exponent < 0 ? value / power_f64[-exponent] : value * power_f64[exponent];
  return true;
}

#if LDBL_MANT_DIG == 64 && defined(__x86_64__)
static const long double power_wide[] = {1e0L,  1e1L,  1e2L,  1e3L,  1e4L,  1e5L,  1e6L,
                                         1e7L,  1e8L,  1e9L,  1e10L, 1e11L, 1e12L, 1e13L,
                                         1e14L, 1e15L, 1e16L, 1e17L, 1e18L, 1e19L, 1e20L,
                                         1e21L, 1e22L, 1e23L, 1e24L, 1e25L, 1e26L, 1e27L};

static bool by_long_double(uint64_t mantissa, int64_t exponent, double *out) {
  if (exponent < -POWER_WIDE_MAX || exponent > POWER_WIDE_MAX) return false;
  long double wide = (long double)mantissa; /* exact: 64 bits */
  wide = exponent < 0 ? wide / power_wide[-exponent] : wide * power_wide[exponent];
  uint64_t bits;
  memcpy(&bits, &wide, sizeof bits);
  uint64_t below = bits & 0x7FF; /* what the rounding to 53 bits cuts off; 0x400 is the tie */
  if (below >= 0x3FF && below <= 0x401) return false;
  *out = (double)wide;
  return true;
}
#else
static bool by_long_double(uint64_t mantissa, int64_t exponent, double *out) {
  return false;
}
#endif

static locale_t c_locale;
static void make_c_locale(void) {
  c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static double strtod_c(const char *text) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_c_locale);
  return c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
}

/* 768 significant digits decide any rounding to double (the longest tie has 767); of what is behind
 * them only whether it is zero matters. */
enum { DIGITS_MAX = 780, EXPONENT_CLAMP = 100000 };

static int64_t clamp_exponent(int64_t exponent) {
  if (exponent > EXPONENT_CLAMP) return EXPONENT_CLAMP;
  return exponent < -EXPONENT_CLAMP ? -EXPONENT_CLAMP : exponent;
}

static double by_strtod(const tn_decimal *d) {
  char text[DIGITS_MAX + 40];
  size_t used = 0, total = d->whole.length + d->fraction.length;
  int64_t dropped = 0;
  bool sticky = false;
  for (size_t i = 0; i < total; i++) {
    char c = i < d->whole.length ? d->whole.data[i] : d->fraction.data[i - d->whole.length];
    if (used == 0 && c == '0') continue;
    if (used < DIGITS_MAX) {
      text[used++] = c;
    } else {
      dropped++;
      sticky |= c != '0';
    }
  }
  if (used == 0) return 0.0;
  if (sticky) { /* stands for whatever was cut off: strictly above the digits before it */
    text[used++] = '1';
    dropped--;
  }
  int64_t exponent = d->exponent - (int64_t)d->fraction.length + dropped;
  snprintf(text + used, sizeof text - used, "e%lld", (long long)clamp_exponent(exponent));
  return strtod_c(text);
}

double tn_decimal_to_f64(const tn_decimal *decimal) {
  double value;
  int64_t exponent = decimal->exponent - (int64_t)decimal->fraction.length;
  if (decimal->mantissa_overflow || (!by_double(decimal->mantissa, exponent, &value) &&
                                     !by_long_double(decimal->mantissa, exponent, &value)))
    value = by_strtod(decimal);
  return decimal->negative ? -value : value;
}
