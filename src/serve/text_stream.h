/* text_stream.h - from tokens' bytes to text that can be sent.
 *
 * A token may end in the middle of a character, and a stop string may begin in one token and end in
 * a later one.  The stream holds back exactly the bytes that could still turn out to belong to
 * either:
 *
 *     bytes in:   ... said Emma. \n U s | e r :          stop "\nUser:"
 *     sent:       ... said Emma.        held back until it is the stop, or cannot become it
 *
 * What it hands out is always valid UTF-8 (a byte that cannot be part of a character becomes
 * U+FFFD), and its concatenation does not depend on how the bytes were cut.  Thread: one owner. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_SERVE_TEXT_STREAM_H
#define TN_SERVE_TEXT_STREAM_H
#include "base/str.h"

enum { TN_STOPS_MAX = 8, TN_STOP_BYTES_MAX = 1024 };

typedef struct tn_text_stream { /* all zero is valid: no stop strings */
  tn_str stops[TN_STOPS_MAX];   /* borrowed, none empty */
  int32_t stop_count;
  bool stopped;   /* a stop string has come; later bytes are ignored */
  tn_strbuf held; /* private */
} tn_text_stream;

/* Takes bytes; appends the text that is certain to `out`.  The stop string and what follows it
 * never come out. */
TN_NODISCARD tn_status tn_text_stream_feed(tn_text_stream *s, tn_str bytes, tn_strbuf *out,
                                           tn_error *err);
/* No more bytes: appends what was held back. */
TN_NODISCARD tn_status tn_text_stream_finish(tn_text_stream *s, tn_strbuf *out, tn_error *err);
void tn_text_stream_clear(tn_text_stream *s);

#endif
