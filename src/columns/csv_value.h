/* csv_value.h - what a piece of text may be: bool, integer, real, date, time or timestamp.
 *
 * Two uses: tn_csv_kinds says which types fit a text (inference narrows a column's set by it), and
 * the tn_csv_to_* functions make values.  The rules are strict so that nothing is lost on the way:
 * "007" and
 * "+49" are text, an integer that int64 cannot hold is text, a time with digits below a microsecond
 * is text.  Declared types are read with `lenient`: there the caller has said what it is.
 *
 * Texts must be readable for 16 bytes beyond their end.  Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CSV_VALUE_H
#define TN_COLUMNS_CSV_VALUE_H
#include "base/str.h"

enum {
  TN_CSV_BOOL = 1,
  TN_CSV_INT = 2,
  TN_CSV_REAL = 4,
  TN_CSV_DATE = 8,
  TN_CSV_TIME = 16,     /* without a zone; a date counts too */
  TN_CSV_TIME_UTC = 32, /* "Z" or an offset */
  TN_CSV_CLOCK = 64,    /* a time of day */
  TN_CSV_TEXT = 128,
  TN_CSV_ALL = 255,
  TN_CSV_FRACTION = 256, /* REAL, and written like one: with a point or an exponent */
  TN_CSV_HUGE = 512,     /* REAL, but written as an integer beyond int64 */
};
uint32_t tn_csv_kinds(tn_str text); /* always has TN_CSV_TEXT */

bool tn_csv_to_bool(tn_str text, bool *out); /* true, True, TRUE, false, False, FALSE */
bool tn_csv_to_i64(tn_str text, bool lenient, int64_t *out);
bool tn_csv_to_f64(tn_str text, bool lenient, double *out);
bool tn_csv_to_date(tn_str text, int64_t *days); /* YYYY-MM-DD */
/* YYYY-MM-DD[(T| )hh:mm[:ss[.f...]][Z|(+|-)hh[:]mm]] in units of 1/per_second; false too when the
 * text is finer than the unit or does not fit int64. */
bool tn_csv_to_time(tn_str text, int64_t per_second, int64_t *out, bool *has_zone);
/* hh:mm[:ss[.f...]] in units of 1/per_second since midnight. */
bool tn_csv_to_clock(tn_str text, int64_t per_second, int64_t *out);
/* [-]PT[<n>H][<n>M][<n>[.f...]S] in units of 1/per_second; each n may have a sign of its own. */
bool tn_csv_to_duration(tn_str text, int64_t per_second, int64_t *out);

#endif
