/* thrift.h - the Thrift compact protocol, as far as Parquet uses it.
 *
 *     field header: (id delta << 4 | type), or 0x0type and a zigzag id; 0x00 ends a struct
 *     integers: zigzag varints; strings: varint length, bytes; lists: (count << 4 | type) ...
 *
 * https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.  The reader is
 * sticky: after the first malformed byte every call gives zero or false and `status` tells, so a
 * parser is straight code with one check at the end.  Strings are views of the input; no call
 * allocates; work and depth are bounded by the input's length and TN_THRIFT_DEPTH_MAX. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_THRIFT_H
#define TN_COLUMNS_PARQUET_THRIFT_H
#include "base/str.h"

#define TN_THRIFT_DEPTH_MAX 24

enum {
  TN_THRIFT_STOP = 0,
  TN_THRIFT_TRUE = 1,
  TN_THRIFT_FALSE = 2,
  TN_THRIFT_BYTE = 3,
  TN_THRIFT_I16 = 4,
  TN_THRIFT_I32 = 5,
  TN_THRIFT_I64 = 6,
  TN_THRIFT_DOUBLE = 7,
  TN_THRIFT_BINARY = 8,
  TN_THRIFT_LIST = 9,
  TN_THRIFT_SET = 10,
  TN_THRIFT_MAP = 11,
  TN_THRIFT_STRUCT = 12,
  TN_THRIFT_UUID = 13,
};

typedef struct tn_thrift_reader {
  const uint8_t *data;
  size_t size, at;
  int64_t base; /* the file's byte that data[0] is, for messages */
  int32_t depth;
  tn_status status; /* sticky */
  tn_error *err;
} tn_thrift_reader;

typedef struct tn_thrift_field {
  int16_t id;
  uint8_t type;
} tn_thrift_field;

void tn_thrift_reader_init(tn_thrift_reader *r, const void *data, size_t size, int64_t base,
                           tn_error *err);
/* Enters a struct; then tn_thrift_next gives its fields until it returns false (end or error). */
void tn_thrift_begin(tn_thrift_reader *r, tn_thrift_field *field);
bool tn_thrift_next(tn_thrift_reader *r, tn_thrift_field *field);
/* Values of the current field; another type than asked for is an error. */
bool tn_thrift_bool(tn_thrift_reader *r, const tn_thrift_field *field);
int8_t tn_thrift_byte(tn_thrift_reader *r, const tn_thrift_field *field);
int16_t tn_thrift_i16(tn_thrift_reader *r, const tn_thrift_field *field);
int32_t tn_thrift_i32(tn_thrift_reader *r, const tn_thrift_field *field);
int64_t tn_thrift_i64(tn_thrift_reader *r, const tn_thrift_field *field);
double tn_thrift_double(tn_thrift_reader *r, const tn_thrift_field *field);
tn_str tn_thrift_binary(tn_thrift_reader *r, const tn_thrift_field *field);
bool tn_thrift_is_struct(tn_thrift_reader *r, const tn_thrift_field *field); /* else an error */
/* Number of elements, each of `element_type` (TN_THRIFT_TRUE: booleans, which writers mark by
 * either boolean type); never more than there are bytes left. */
uint32_t tn_thrift_list(tn_thrift_reader *r, const tn_thrift_field *field, uint8_t element_type);
/* One element of a list (element values have no header); a struct element is read by begin. */
int32_t tn_thrift_element_i32(tn_thrift_reader *r);
int64_t tn_thrift_element_i64(tn_thrift_reader *r);
bool tn_thrift_element_bool(tn_thrift_reader *r);
tn_str tn_thrift_element_binary(tn_thrift_reader *r);
/* A field that is a member of a C struct.  type: TN_THRIFT_I32, TN_THRIFT_I64 or TN_THRIFT_TRUE (a
 * bool), which the member is as well. */
typedef struct tn_thrift_member {
  int16_t id;
  uint8_t type;
  uint16_t at; /* offsetof */
} tn_thrift_member;
/* The current field into its member of *out; one that is none of them is skipped. */
void tn_thrift_take(tn_thrift_reader *r, const tn_thrift_field *field,
                    const tn_thrift_member *members, int32_t count, void *out);
/* A whole struct of such fields. */
void tn_thrift_take_all(tn_thrift_reader *r, const tn_thrift_member *members, int32_t count,
                        void *out);
void tn_thrift_skip(tn_thrift_reader *r, const tn_thrift_field *field);
/* Reports malformed content that only the caller can see, at the current place. */
void tn_thrift_fail(tn_thrift_reader *r, const char *what, int64_t value);

typedef struct tn_thrift_writer {
  tn_strbuf *out;
  int32_t depth;
  int16_t last[TN_THRIFT_DEPTH_MAX];
} tn_thrift_writer;

void tn_thrift_write_begin(tn_thrift_writer *w); /* a struct's fields follow */
void tn_thrift_write_end(tn_thrift_writer *w);
void tn_thrift_write_bool(tn_thrift_writer *w, int16_t id, bool value);
void tn_thrift_write_byte(tn_thrift_writer *w, int16_t id, int8_t value);
void tn_thrift_write_i32(tn_thrift_writer *w, int16_t id, int32_t value);
void tn_thrift_write_i64(tn_thrift_writer *w, int16_t id, int64_t value);
void tn_thrift_write_i16(tn_thrift_writer *w, int16_t id, int16_t value);
void tn_thrift_write_double(tn_thrift_writer *w, int16_t id, double value);
void tn_thrift_write_binary(tn_thrift_writer *w, int16_t id, tn_str value);
/* The field header of a nested struct; tn_thrift_write_begin follows. */
void tn_thrift_write_struct(tn_thrift_writer *w, int16_t id);
/* A struct without a field: what a union's member often is. */
void tn_thrift_write_empty(tn_thrift_writer *w, int16_t id);
/* The header of a list; its elements follow: structs by begin and end, or those below. */
void tn_thrift_write_list(tn_thrift_writer *w, int16_t id, uint8_t element_type, uint32_t count);
void tn_thrift_write_element_i32(tn_thrift_writer *w, int32_t value);
void tn_thrift_write_element_i64(tn_thrift_writer *w, int64_t value);
void tn_thrift_write_element_bool(tn_thrift_writer *w, bool value);
void tn_thrift_write_element_binary(tn_thrift_writer *w, tn_str value);

#endif
