/* value.h - one value of an array of any type: where it is, what it is, and how it reads.
 *
 * Generic and not the fastest; hot loops go to the buffers themselves.  Arrays must be valid
 * (columns/validate.h checks foreign ones); rows count from the array's own offset.
 *
 * Text is what CSV and a table on a screen show:
 *     null             nothing                    list, struct, map    JSON
 *     bool             true, false                float                the shortest that reads back
 *     date             2024-02-29                 timestamp            2024-02-29T12:30:00.250
 *     time             12:30:00.250               duration, interval   PT1.5S, P14M, P1M2DT0.5S
 *     decimal          12.30                      text, binary         as stored
 * A fraction of a second has 3, 6 or 9 digits, or is left out when 0.  A timestamp with a time zone
 * of a fixed offset is shown in that ("+02:30"), every other as the instant in UTC ("Z").
 *
 * JSON has exact numbers for integers and decimals, null for what is not finite, text for dates,
 * times and intervals (as above), base64 for binary.  A struct is an object; a map whose keys are
 * text is an object too, another map a list of [key, value]; a union's value stands alone.
 *
 * Thread: any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_VALUE_H
#define TN_COLUMNS_VALUE_H
#include "base/json.h"
#include "columns/type.h"

/* A place in an array.  tn_value_find follows dictionaries, run ends and unions to the array that
 * holds the value in one of the other layouts; false when there is a null on the way. */
typedef struct tn_value {
  const tn_field *field;
  const ArrowArray *array;
  int64_t row;
} tn_value;
bool tn_value_find(tn_value *v);
/* The same, but stops at a union; then the value that the union has there. */
bool tn_value_find_union(tn_value *v);
tn_value tn_value_of_union(const tn_value *v);
bool tn_value_is_null(const tn_field *field, const ArrowArray *array, int64_t row);

/* ---- of a value that is not null; dictionaries and the like are followed ---- */
/* Text and binary of every layout, fixed-size too; of another fixed-width type its bytes. */
tn_str tn_value_bytes(const tn_field *field, const ArrowArray *array, int64_t row);
/* Of integers, dates, times, timestamps, durations, months and bool; a decimal's lowest 64 bits,
 * unscaled; a real number cut to what int64 holds; 0 of any other.  A uint64 as its bits. */
int64_t tn_value_i64(const tn_field *field, const ArrowArray *array, int64_t row);
/* The index itself of a dictionary-encoded value that is not null. */
int64_t tn_value_index(const tn_field *field, const ArrowArray *array, int64_t row);
/* Of every number; decimals correctly rounded. */
double tn_value_f64(const tn_field *field, const ArrowArray *array, int64_t row);
/* Items of a list or map of any layout: `count` rows from *from of child 0. */
int64_t tn_value_items(const tn_field *field, const ArrowArray *array, int64_t row, int64_t *from);

/* ---- text; both append and leave failures in the buffer's sticky flag ---- */
void tn_value_text(const tn_field *field, const ArrowArray *array, int64_t row, tn_strbuf *out);
void tn_value_json(tn_json_writer *w, const tn_field *field, const ArrowArray *array, int64_t row);
void tn_value_add_hex(tn_strbuf *out, tn_str bytes); /* lower case */
void tn_value_add_base64(tn_strbuf *out, tn_str bytes);

/* The offset of a fixed time zone ("+02:30", "-0800", "UTC", "Z") in seconds; false: a name. */
bool tn_zone_offset(tn_str zone, int64_t *seconds);

#endif
