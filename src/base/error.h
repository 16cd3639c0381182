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
#include "tenon/tenon.h" /* tn_status, tn_error, tn_status_text */

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

/* The only control-flow macro: returns from the caller when expr is not TN_OK. */
#define TN_TRY(expr)                                    \
  do {                                                  \
    tn_status tn_try_status_ = (expr);                  \
    if (tn_try_status_ != TN_OK) return tn_try_status_; \
  } while (0)

#endif
