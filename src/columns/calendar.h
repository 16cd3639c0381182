/* calendar.h - days and civil dates of the proleptic Gregorian calendar.
 *
 * Day 0 is 1970-01-01.  Years are shifted to begin in March, so that the leap day is the last day
 * of a year and month lengths follow one linear formula. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_CALENDAR_H
#define TN_COLUMNS_CALENDAR_H
#include <stdbool.h>
#include <stdint.h>

typedef struct tn_date {
  int64_t year;
  int32_t month, day; /* from 1 */
} tn_date;

static inline int64_t tn_floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0);
}

static inline bool tn_date_valid(int64_t year, int32_t month, int32_t day) {
  static const int8_t days[13] = {0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1 || day > days[month]) return false;
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month != 2 || day <= 28 || leap;
}

static inline int64_t tn_date_to_days(int64_t year, int32_t month, int32_t day) {
  int64_t y = month > 2 ? year : year - 1;
  int64_t era = tn_floor_div(y, 400); /* 400 years are always 146,097 days */
  int64_t year_of_era = y - era * 400;
  int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
  int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468; /* 719,468 days from 0000-03-01 to 1970-01-01 */
}

static inline tn_date tn_date_of_days(int64_t days) {
  int64_t shifted = days + 719468;
  int64_t era = tn_floor_div(shifted, 146097);
  int64_t doe = shifted - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  int64_t mp = (5 * doy + 2) / 153;
  tn_date date = {.day = (int32_t)(doy - (153 * mp + 2) / 5 + 1)};
  date.month = (int32_t)(mp < 10 ? mp + 3 : mp - 9);
  date.year = yoe + era * 400 + (date.month <= 2);
  return date;
}

#endif
