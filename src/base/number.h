/* number.h - decimal text to binary and back, for str, json and metrics alike.
 *
 * Both directions are exact: reading is correctly rounded (IEEE 754, ties to even), writing gives
 * the shortest text that reads back to the same double.  The locale never matters.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_NUMBER_H
#define TN_BASE_NUMBER_H
#include "base/str.h"

/* digits with a decimal exponent: value = digits[0..] * 10^exponent, where the digits are those of
 * `whole` followed by those of `fraction`. */
typedef struct tn_decimal {
  bool negative;
  tn_str whole, fraction; /* decimal digits only */
  int64_t exponent;       /* the written one; the fraction's length is not yet taken off */
  uint64_t mantissa;      /* all digits as one integer, when !mantissa_overflow */
  bool mantissa_overflow;
} tn_decimal;

/* Correctly rounded; +-inf beyond the range of double, +-0 below it. */
double tn_decimal_to_f64(const tn_decimal *decimal);

enum { TN_F64_TEXT_BYTES = 32 };
/* Shortest decimal text of a finite value, e.g. "0.1", "1e+22", "-0"; NUL-terminated.  Returns its
 * length. */
int tn_f64_to_text(double value, char out[TN_F64_TEXT_BYTES]);
/* The same of a float: what reads back, rounded to float, as that. */
int tn_f32_to_text(float value, char out[TN_F64_TEXT_BYTES]);

#endif
