/* tokenizer_split.c - see tokenizer_split.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"
#include "model/tokenizer_pattern.h"

/* PCRE2's own count of backtracking steps a match; ordinary patterns use a handful. */
#define MATCH_STEPS_MAX     20000000
#define JIT_STACK_BYTES_MIN (32 * 1024)
#define JIT_STACK_BYTES_MAX (1024 * 1024)

const tn_str tn_split_gpt2 = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    sizeof("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+") -
        1,
};

typedef struct split_pattern {
  pcre2_code *quick, *exact; /* see tokenizer_pattern.h */
} split_pattern;

struct tn_splitter {
  split_pattern patterns[TN_SPLIT_PATTERNS_MAX];
  int32_t count;
  pcre2_general_context *memory;
};

struct tn_split_scratch {
  pcre2_general_context *memory;
  pcre2_match_context *context;
  pcre2_match_data *match;
  pcre2_jit_stack *stack;
};

static void *take_memory(PCRE2_SIZE bytes, void *context) {
  return tn_alloc(bytes, 1);
}
static void give_memory(void *ptr, void *context) {
  tn_free(ptr);
}

/* ---- making
 * -------------------------------------------------------------------------------------- */
static tn_status compile_text(const tn_splitter *s, tn_str text, pcre2_code **out, tn_error *err) {
  pcre2_compile_context *context = pcre2_compile_context_create(s->memory);
  if (!context) return tn_fail_memory(err, "a pattern's compile context", 0);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE at = 0;
  *out = pcre2_compile((PCRE2_SPTR)text.data, text.length,
                       PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code,
                       &at, context);
  pcre2_compile_context_free(context);
  if (!*out && code == PCRE2_ERROR_HEAP_FAILED)
    return tn_fail_memory(err, "a pattern", text.length);
  if (!*out) {
    PCRE2_UCHAR words[160] = "";
    pcre2_get_error_message(code, words, sizeof words);
    return tn_fail(err, TN_ERR_DATA, "translated byte %zu: %s", (size_t)at, (const char *)words);
  }
  /* Without a JIT (another CPU, no executable memory) the interpreter does the same work slower. */
  pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
  return TN_OK;
}

static tn_status compile(const tn_splitter *s, tn_str pattern, bool exact, pcre2_code **out,
                         tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_pattern_translate(pattern, exact, &text, err);
  if (status == TN_OK) status = compile_text(s, tn_strbuf_view(&text), out, err);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status add_pattern(tn_splitter *s, tn_str pattern, tn_error *err) {
  if (pattern.length == 0 || pattern.length > TN_SPLIT_PATTERN_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%zu bytes, limit 1 to %d", pattern.length,
                   TN_SPLIT_PATTERN_BYTES_MAX);
  split_pattern *p = &s->patterns[s->count++];
  TN_TRY(compile(s, pattern, false, &p->quick, err));
  return compile(s, pattern, true, &p->exact, err);
}

tn_status tn_splitter_new(tn_splitter **out, const tn_str *patterns, int32_t count, tn_error *err) {
  if (count < 0 || count > TN_SPLIT_PATTERNS_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%d split patterns, limit %d", count, TN_SPLIT_PATTERNS_MAX);
  tn_splitter *s = tn_alloc(1, sizeof *s);
  if (!s) return tn_fail_memory(err, "a splitter", sizeof *s);
  tn_status status = TN_OK;
  s->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
  if (!s->memory) status = tn_fail_memory(err, "a splitter's context", 0);
  for (int32_t i = 0; i < count && status == TN_OK; i++) {
    status = add_pattern(s, patterns[i], err);
    if (status != TN_OK) status = tn_error_context(err, status, "split pattern %d", i + 1);
  }
  if (status != TN_OK) {
    tn_splitter_free(s);
    return status;
  }
  *out = s;
  return TN_OK;
}

void tn_splitter_free(tn_splitter *s) {
  if (!s) return;
  for (int32_t i = 0; i < s->count; i++) {
    pcre2_code_free(s->patterns[i].quick);
    pcre2_code_free(s->patterns[i].exact);
  }
  pcre2_general_context_free(s->memory);
  tn_free(s);
}

tn_status tn_split_scratch_new(tn_split_scratch **out, tn_error *err) {
  tn_split_scratch *scratch = tn_alloc(1, sizeof *scratch);
  if (!scratch) return tn_fail_memory(err, "a split scratch", sizeof *scratch);
  scratch->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
  if (scratch->memory) {
    scratch->context = pcre2_match_context_create(scratch->memory);
    scratch->match = pcre2_match_data_create(1, scratch->memory);
    /* NULL where there is no JIT. */
    scratch->stack = pcre2_jit_stack_create(JIT_STACK_BYTES_MIN, JIT_STACK_BYTES_MAX, NULL);
  }
  if (!scratch->context || !scratch->match) {
    tn_split_scratch_free(scratch);
    return tn_fail_memory(err, "a split scratch", JIT_STACK_BYTES_MIN);
  }
  pcre2_set_match_limit(scratch->context, MATCH_STEPS_MAX);
  if (scratch->stack) pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
  *out = scratch;
  return TN_OK;
}

void tn_split_scratch_free(tn_split_scratch *scratch) {
  if (!scratch) return;
  pcre2_jit_stack_free(scratch->stack);
  pcre2_match_data_free(scratch->match);
  pcre2_match_context_free(scratch->context);
  pcre2_general_context_free(scratch->memory);
  tn_free(scratch);
}

/* ---- running
 * -------------------------------------------------------------------------------------- */
typedef struct split_run {
  const tn_splitter *splitter;
  tn_split_scratch *scratch;
  bool exact;
  tn_split_fn fn;
  void *context;
} split_run;

static tn_status split_step(const split_run *run, int32_t step, tn_str text, tn_error *err);

static tn_status emit(const split_run *run, int32_t step, tn_str text, size_t start, size_t end,
                      tn_error *err) {
  if (start == end) return TN_OK;
  return split_step(run, step + 1, (tn_str){text.data + start, end - start}, err);
}

static tn_status match_failed(int code, size_t at, tn_error *err) {
  if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT)
    return tn_fail_memory(err, "matching a split pattern", 0);
  PCRE2_UCHAR words[160] = "";
  pcre2_get_error_message(code, words, sizeof words);
  return tn_fail(err, TN_ERR_LIMIT, "split pattern gave up at byte %zu: %s", at,
                 (const char *)words);
}

static int match_at(const split_run *run, const pcre2_code *code, tn_str text, size_t at) {
  tn_split_scratch *scratch = run->scratch;
  int found = pcre2_match(code, (PCRE2_SPTR)text.data, text.length, at, PCRE2_NO_UTF_CHECK,
                          scratch->match, scratch->context);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its frames on the heap */
    found = pcre2_match(code, (PCRE2_SPTR)text.data, text.length, at,
                        PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch->match, scratch->context);
  return found;
}

/* Matches and the gaps between them are pieces alike ("Isolated"). */
static tn_status split_step(const split_run *run, int32_t step, tn_str text, tn_error *err) {
  if (step == run->splitter->count) return run->fn(run->context, text, err);
  const split_pattern *pattern = &run->splitter->patterns[step];
  const pcre2_code *code = run->exact ? pattern->exact : pattern->quick;
  size_t piece = 0, at = 0; /* where the open gap starts; where to search on */
  while (at < text.length) {
    int found = match_at(run, code, text, at);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) return match_failed(found, at, err);
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(run->scratch->match);
    size_t start = ends[0], end = ends[1];
    if (end < start || start < at) /* \K can do that */
      return tn_fail(err, TN_ERR_UNSUPPORTED, "split pattern matches backwards at byte %zu", at);
    TN_TRY(emit(run, step, text, piece, start, err));
    TN_TRY(emit(run, step, text, start, end, err));
    piece = end;
    at = end;
    if (start == end && end < text.length) {
      int length = tn_utf8_length((const uint8_t *)text.data + end, text.length - end);
      at = end + (size_t)(length ? length : 1);
    }
  }
  return emit(run, step, text, piece, text.length, err);
}

/* Bytes from `text` on that are valid UTF-8; *exact is set when one of its characters asks for it.
 */
static size_t valid_stretch(tn_str text, bool *exact) {
  const uint8_t *bytes = (const uint8_t *)text.data;
  size_t at = 0;
  while (at < text.length) {
    if (bytes[at] < 0x80) {
      at++;
      continue;
    }
    uint32_t code;
    int length = tn_utf8_decode(bytes + at, text.length - at, &code);
    if (!length) break;
    if (code >= 0x897 && !*exact) *exact = tn_pattern_needs_exact(code);
    at += (size_t)length;
  }
  return at;
}

static size_t invalid_stretch(tn_str text) {
  const uint8_t *bytes = (const uint8_t *)text.data;
  size_t at = 0;
  while (at < text.length && tn_utf8_length(bytes + at, text.length - at) == 0) at++;
  return at;
}

tn_status tn_splitter_run(const tn_splitter *s, tn_split_scratch *scratch, tn_str text,
                          tn_split_fn fn, void *context, tn_error *err) {
  while (text.length) {
    split_run run = {s, scratch, false, fn, context};
    size_t valid = valid_stretch(text, &run.exact);
    if (valid) TN_TRY(split_step(&run, 0, (tn_str){text.data, valid}, err));
    text.data += valid;
    text.length -= valid;
    size_t invalid = invalid_stretch(text);
    if (invalid) TN_TRY(fn(context, (tn_str){text.data, invalid}, err));
    text.data += invalid;
    text.length -= invalid;
  }
  return TN_OK;
}
