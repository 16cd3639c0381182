/* error.h - how every fallible call of Tenon reports what went wrong.
 *
 * A call returns a tn_status; the words are in the caller's own tn_error, always the last
 * parameter, NULL allowed.  Nothing is allocated, so out-of-memory can be reported too, and
 * nothing is global, so any thread may fail at any time.
 *
 * A message names the thing, the number and the unit:
 *     "part-3.parquet: page at byte 4096 wants 1.2 GiB, limit 1 GiB"
 * A caller may put context before a message (tn_error_context), never replace it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_ERROR_H
#define TN_BASE_ERROR_H

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

#define TN_NODISCARD __attribute__((warn_unused_result))

/* Fills *err (when not NULL) and returns `status`, so that a guard is one line:
 *     if (rows < 0) return tn_fail(err, TN_ERR_DATA, "%s: %lld rows", name, rows); */
tn_status tn_fail(tn_error *err, tn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like tn_fail, followed by ": " and the text of `errnum`; ENOMEM becomes TN_ERR_MEMORY, ENOENT
 * TN_ERR_NOT_FOUND, EINTR TN_ERR_INTERRUPTED, everything else TN_ERR_IO. */
tn_status tn_fail_errno(tn_error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<formatted>: " before the message of an error that a callee reported; returns `status`. */
tn_status tn_error_context(tn_error *err, tn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* TN_ERR_MEMORY, naming what was wanted and how many bytes. */
tn_status tn_fail_memory(tn_error *err, const char *what, unsigned long long bytes);

const char *tn_status_text(tn_status status); /* "malformed data"; never NULL */

/* The only control-flow macro: returns from the caller when expr is not TN_OK. */
#define TN_TRY(expr)                                    \
  do {                                                  \
    tn_status tn_try_status_ = (expr);                  \
    if (tn_try_status_ != TN_OK) return tn_try_status_; \
  } while (0)

#endif
