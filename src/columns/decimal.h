/* decimal.h - Arrow's decimals of 32 to 256 bits: an integer that stands for value / 10^scale.
 *
 * All widths are held as one 256-bit two's complement number, least significant word first, which
 * is also how Arrow stores the 256-bit ones; Parquet stores big-endian bytes.  Everything here is
 * exact: what would lose a digit or overflow is refused.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_DECIMAL_H
#define TN_COLUMNS_DECIMAL_H
#include "base/str.h"

enum {
  TN_DECIMAL_WORDS = 4,
  TN_DECIMAL_DIGITS_MAX = 76, /* the precision that 256 bits always hold */
};

typedef struct tn_decimal_value {
  uint64_t words[TN_DECIMAL_WORDS];
} tn_decimal_value;

static inline bool tn_decimal_negative(const tn_decimal_value *v) {
  return v->words[TN_DECIMAL_WORDS - 1] >> 63;
}
tn_decimal_value tn_decimal_of_i64(int64_t value);
/* Little-endian, as an Arrow array holds it: `bits` is 32, 64, 128 or 256. */
tn_decimal_value tn_decimal_load(const void *bytes, int32_t bits);
/* False when the value does not fit so many bits; nothing is written then. */
bool tn_decimal_store(const tn_decimal_value *v, int32_t bits, void *out);
/* Big-endian two's complement of any length (0 bytes: 0).  False: does not fit. */
bool tn_decimal_from_be(tn_str bytes, tn_decimal_value *out);
bool tn_decimal_to_be(const tn_decimal_value *v, size_t count, uint8_t *out);

int tn_decimal_compare(const tn_decimal_value *a, const tn_decimal_value *b); /* same scale */
int32_t tn_decimal_digits(const tn_decimal_value *v); /* of the magnitude; 0 has 1 */
/* The same number at another scale; false when digits would be lost or 76 are exceeded. */
bool tn_decimal_rescale(const tn_decimal_value *v, int32_t from_scale, int32_t to_scale,
                        tn_decimal_value *out);

/* "-12.30" with scale 2: always `scale` digits behind the point; a negative scale gives zeros in
 * front of none. */
void tn_decimal_text(const tn_decimal_value *v, int32_t scale, tn_strbuf *out);
/* Reads "12.3", "-.5", "1.5e3": false when it is no such number, needs more digits behind the point
 * than `scale`, or more than `precision` digits. */
bool tn_decimal_parse(tn_str text, int32_t precision, int32_t scale, tn_decimal_value *out);

#endif
