/* jsonl_parse.h - one pass over a block of JSON objects: into columns, or into a shape.
 *
 * A block holds whole records: cut behind a newline (or, where records span lines, behind a record;
 * in one big array, behind a comma).  Nothing is built between text and columns.  Inference and
 * parsing share the lexer; both are compiled twice, plain and for AVX2, and chosen at run time.
 *
 * Whoever calls must leave TN_JSONL_PADDING zero bytes readable behind a block: a zero byte ends
 * every token, so that the lexer need not look at the end.  Thread: one a walk. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_JSONL_PARSE_H
#define TN_COLUMNS_JSONL_PARSE_H
#include "columns/bad_rows.h"
#include "columns/jsonl_column.h"

enum { TN_JSONL_PADDING = 64, TN_JSONL_REASON_BYTES = 160 };

typedef struct tn_jsonl_fault {
  tn_status status; /* TN_OK: none */
  const uint8_t *at;
  bool incomplete;           /* the block ended inside a record */
  bool misfit;               /* well-formed JSON that its column does not take */
  const tn_jsonl_node *node; /* of a misfit */
  char reason[TN_JSONL_REASON_BYTES];
} tn_jsonl_fault;

typedef struct tn_jsonl_bad { /* what was left out or made null */
  int64_t from, bytes;        /* the record in the block */
  const tn_jsonl_node *node;  /* NULL: the whole record */
  bool skipped;
  char reason[TN_JSONL_REASON_BYTES];
} tn_jsonl_bad;

typedef struct tn_jsonl_walk {
  const uint8_t *begin, *at, *end;
  bool array;       /* items of one array: commas between, ']' at the end */
  bool first, last; /* blocks of an array */
  int32_t depth_max;
  tn_on_error on_error;
  tn_jsonl_fault fault;
  const uint8_t *record; /* the one being read */
  int64_t rows;
  tn_strbuf scratch; /* unescaped keys */
  tn_jsonl_bad *bad; /* bad_count of them */
  size_t bad_count, bad_capacity;
  const tn_jsonl_tree *tree; /* parsing */
  tn_jsonl_column *columns;
  bool closed;     /* an unknown key is an error (the schema was sampled) */
  tn_strbuf rest;  /* unknown members of the record */
  tn_arena *arena; /* inference */
  tn_jsonl_shape *shape;
  bool dates;
} tn_jsonl_walk;

typedef struct tn_jsonl_engine {
  const char *name;                /* "avx2", "plain" */
  bool (*parse)(tn_jsonl_walk *w); /* false: w->fault says why; rows before it are complete */
  bool (*infer)(tn_jsonl_walk *w);
  /* For tests: bit i of the result: byte i of 32 ends a plain run of a string (quote, backslash,
   * control character); bit i of *high: it is above 0x7F.  Copies the 32 bytes. */
  uint32_t (*look)(const uint8_t *from, uint8_t *to, uint32_t *high);
} tn_jsonl_engine;

extern const tn_jsonl_engine tn_jsonl_plain, tn_jsonl_avx2;
const tn_jsonl_engine *tn_jsonl_engine_best(void);

/* ---- what the two share: rare or slow enough for one copy ---- */
bool tn_jsonl_expected(tn_jsonl_walk *w, const uint8_t *at, const char *what);
bool tn_jsonl_fail(tn_jsonl_walk *w, const uint8_t *at, tn_status status, const char *reason);
bool tn_jsonl_no_memory(tn_jsonl_walk *w);
bool tn_jsonl_unknown_key(tn_jsonl_walk *w, const uint8_t *at, tn_str key);
/* Sets the fault of a well-formed value that `node` does not take. */
bool tn_jsonl_misfit(tn_jsonl_walk *w, const tn_jsonl_node *node, tn_str value);
/* Notes a record that is left out, or a value made null, by the fault. */
bool tn_jsonl_note_bad(tn_jsonl_walk *w, const uint8_t *record_end, bool skipped);
/* Moves *at behind an escape sequence (it stands on the backslash). */
bool tn_jsonl_skip_escape(tn_jsonl_walk *w, const uint8_t **at);
/* The text of a checked string; writes at most `bytes` bytes. Returns how many. */
size_t tn_jsonl_unescape(const uint8_t *from, size_t bytes, uint8_t *to);
/* JSON text without white space outside strings; the same. */
size_t tn_jsonl_minify(const uint8_t *from, size_t bytes, uint8_t *to);
void tn_jsonl_walk_clear(tn_jsonl_walk *w); /* its own memory: scratch, bad, rest */

#endif
