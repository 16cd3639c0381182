/* tenon.h - what every public header of libtenon shares: status, error, version.
 *
 * Every fallible call returns a tn_status, 0 is TN_OK; the words are in the caller's own tn_error,
 * always the last parameter, NULL allowed.  Nothing is allocated for an error and nothing is
 * global, so any thread may fail at any time.
 *
 * A message names the thing, the number and the unit:
 *     "part-3.parquet: page at byte 4096 wants 1.2 GiB, limit 1 GiB"
 *
 * ABI: numbers of statuses and the size of tn_error stay; new statuses come at the end. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_TENON_H
#define TENON_TENON_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TENON_VERSION "0.1.0"
#define TN_API        __attribute__((visibility("default")))

/* The first four are answers without a message; the others always fill the tn_error. */
#define TN_STATUS_LIST(X)                                                                         \
  X(TN_OK, "ok")                                                                                  \
  X(TN_FULL, "full")   /* no room now; ask again later */                                         \
  X(TN_AGAIN, "again") /* not ready yet */                                                        \
  X(TN_END, "end")     /* no more items */                                                        \
  X(TN_ERR_MEMORY, "out of memory")                                                               \
  X(TN_ERR_ARGUMENT, "invalid argument") /* the caller asked for something that makes no sense */ \
  X(TN_ERR_DATA, "malformed data")       /* bytes from outside break their format */              \
  X(TN_ERR_CHECKSUM, "checksum mismatch")                                                         \
  X(TN_ERR_LIMIT, "limit exceeded")                                                               \
  X(TN_ERR_UNSUPPORTED, "not supported")                                                          \
  X(TN_ERR_NOT_FOUND, "not found")                                                                \
  X(TN_ERR_EXISTS, "already exists")                                                              \
  X(TN_ERR_IO, "input/output error")                                                              \
  X(TN_ERR_INTERRUPTED, "interrupted")                                                            \
  X(TN_ERR_DEVICE, "device error")

typedef enum tn_status {
#define X(id, text) id,
  TN_STATUS_LIST(X)
#undef X
} tn_status;

#define TN_ERROR_TEXT_BYTES 500

typedef struct tn_error {
  tn_status status;
  char text[TN_ERROR_TEXT_BYTES]; /* NUL-terminated, "" when status is TN_OK */
} tn_error;

TN_API const char *tn_version(void);                 /* "0.1.0" */
TN_API const char *tn_status_text(tn_status status); /* "malformed data"; never NULL */

#ifdef __cplusplus
}
#endif
#endif
