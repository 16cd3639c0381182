/* tokenizer_regex.c - see tokenizer_regex.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "model/tokenizer_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/mem.h"
#include "model/tokenizer_pattern.h"

/* PCRE2's own count of backtracking steps a match; ordinary patterns use a handful. */
#define MATCH_STEPS_MAX     20000000
#define JIT_STACK_BYTES_MIN (32 * 1024)
#define JIT_STACK_BYTES_MAX (1024 * 1024)

struct tn_regex {
  pcre2_general_context *memory;
  pcre2_code *quick, *exact; /* see tokenizer_pattern.h */
};

struct tn_regex_scratch {
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
static tn_status compile_text(const tn_regex *r, tn_str text, pcre2_code **out, tn_error *err) {
  pcre2_compile_context *context = pcre2_compile_context_create(r->memory);
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

static tn_status compile(const tn_regex *r, tn_str pattern, bool exact, pcre2_code **out,
                         tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_pattern_translate(pattern, exact, &text, err);
  if (status == TN_OK) status = compile_text(r, tn_strbuf_view(&text), out, err);
  tn_strbuf_clear(&text);
  return status;
}

static tn_status compile_both(tn_regex *r, tn_str pattern, tn_error *err) {
  if (pattern.length == 0 || pattern.length > TN_REGEX_BYTES_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%zu bytes, limit 1 to %d", pattern.length,
                   TN_REGEX_BYTES_MAX);
  r->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
  if (!r->memory) return tn_fail_memory(err, "a pattern's context", 0);
  TN_TRY(compile(r, pattern, false, &r->quick, err));
  return compile(r, pattern, true, &r->exact, err);
}

tn_status tn_regex_new(tn_regex **out, tn_str pattern, tn_error *err) {
  tn_regex *r = tn_alloc(1, sizeof *r);
  if (!r) return tn_fail_memory(err, "a pattern", sizeof *r);
  tn_status status = compile_both(r, pattern, err);
  if (status != TN_OK) {
    tn_regex_free(r);
    return tn_error_context(err, status, "pattern");
  }
  *out = r;
  return TN_OK;
}

void tn_regex_free(tn_regex *r) {
  if (!r) return;
  pcre2_code_free(r->quick);
  pcre2_code_free(r->exact);
  pcre2_general_context_free(r->memory);
  tn_free(r);
}

tn_status tn_regex_scratch_new(tn_regex_scratch **out, tn_error *err) {
  tn_regex_scratch *scratch = tn_alloc(1, sizeof *scratch);
  if (!scratch) return tn_fail_memory(err, "a match scratch", sizeof *scratch);
  scratch->memory = pcre2_general_context_create(take_memory, give_memory, NULL);
  if (scratch->memory) {
    scratch->context = pcre2_match_context_create(scratch->memory);
    scratch->match = pcre2_match_data_create(1, scratch->memory);
    /* NULL where there is no JIT. */
    scratch->stack = pcre2_jit_stack_create(JIT_STACK_BYTES_MIN, JIT_STACK_BYTES_MAX, NULL);
  }
  if (!scratch->context || !scratch->match) {
    tn_regex_scratch_free(scratch);
    return tn_fail_memory(err, "a match scratch", JIT_STACK_BYTES_MIN);
  }
  pcre2_set_match_limit(scratch->context, MATCH_STEPS_MAX);
  if (scratch->stack) pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
  *out = scratch;
  return TN_OK;
}

void tn_regex_scratch_free(tn_regex_scratch *scratch) {
  if (!scratch) return;
  pcre2_jit_stack_free(scratch->stack);
  pcre2_match_data_free(scratch->match);
  pcre2_match_context_free(scratch->context);
  pcre2_general_context_free(scratch->memory);
  tn_free(scratch);
}

/* ---- searching
 * ----------------------------------------------------------------------------------- */
bool tn_regex_needs_exact(tn_str text) {
  const uint8_t *bytes = (const uint8_t *)text.data;
  for (size_t at = 0; at < text.length;) {
    if (bytes[at] < 0xE0) { /* the first such character is U+0897 */
      at++;
      continue;
    }
    uint32_t code = 0;
    int length = tn_utf8_decode(bytes + at, text.length - at, &code);
    if (tn_pattern_needs_exact(code)) return true;
    at += (size_t)(length ? length : 1);
  }
  return false;
}

static tn_status match_failed(int code, size_t at, tn_error *err) {
  if (code == PCRE2_ERROR_NOMEMORY || code == PCRE2_ERROR_HEAPLIMIT)
    return tn_fail_memory(err, "matching a pattern", 0);
  PCRE2_UCHAR words[160] = "";
  pcre2_get_error_message(code, words, sizeof words);
  return tn_fail(err, TN_ERR_LIMIT, "pattern gave up at byte %zu: %s", at, (const char *)words);
}

tn_status tn_regex_find(const tn_regex *r, tn_regex_scratch *scratch, bool exact, tn_str text,
                        size_t at, size_t *start, size_t *end, tn_error *err) {
  const pcre2_code *code = exact ? r->exact : r->quick;
  PCRE2_SPTR data = (PCRE2_SPTR)(text.data ? text.data : "");
  int found = pcre2_match(code, data, text.length, at, PCRE2_NO_UTF_CHECK, scratch->match,
                          scratch->context);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter keeps its frames on the heap */
    found = pcre2_match(code, data, text.length, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                        scratch->match, scratch->context);
  if (found == PCRE2_ERROR_NOMATCH) return TN_END;
  if (found < 0) return match_failed(found, at, err);
  const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(scratch->match);
  *start = ends[0];
  *end = ends[1];
  if (*end < *start || *start < at) /* \K can do that */
    return tn_fail(err, TN_ERR_UNSUPPORTED, "pattern matches backwards at byte %zu", at);
  return TN_OK;
}

tn_status tn_regex_next(const tn_regex *r, tn_regex_scratch *scratch, bool exact, tn_str text,
                        tn_regex_walk *walk, size_t *start, size_t *end, tn_error *err) {
  while (walk->at <= text.length) {
    tn_status status = tn_regex_find(r, scratch, exact, text, walk->at, start, end, err);
    if (status != TN_OK) return status;
    if (*start < *end || !walk->has_last || walk->last_end != *end) {
      walk->at = walk->last_end = *end;
      walk->has_last = true;
      return TN_OK;
    }
    int length = walk->at < text.length
                     ? tn_utf8_length((const uint8_t *)text.data + walk->at, text.length - walk->at)
                     : 1;
    walk->at += (size_t)(length ? length : 1);
  }
  return TN_END;
}
