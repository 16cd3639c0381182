/* jinja.h - the template language in which models ship their chat format, in a sandbox.
 *
 * A template is compiled once and rendered against a JSON object of variables.  The language is the
 * part of Jinja2 (https://jinja.palletsprojects.com/en/stable/templates) that chat templates use,
 * in the environment that Hugging Face transformers gives them: trim_blocks, lstrip_blocks, loop
 * controls, generation blocks, tojson without escapes, raise_exception, strftime_now, namespace,
 * range.  Python's rules hold for printing, truth, comparison, slices and string methods; text is
 * counted in characters, not bytes.
 *
 * A template can reach its variables and nothing else: no file, no include, no attribute of the
 * host.  Steps, output, memory, depth and iterations are bounded, so a hostile one ends with an
 * error.
 *
 * Thread: a compiled template is immutable; render from any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_JINJA_H
#define TN_MODEL_JINJA_H
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

typedef struct tn_jinja tn_jinja;

typedef struct tn_jinja_options { /* zero: the default */
  int64_t steps_max;              /* nodes evaluated and items touched; default 5,000,000 */
  int64_t output_bytes_max;       /* default 16 MiB */
  int64_t memory_bytes_max;       /* default 64 MiB */
  int64_t time_us;                /* what strftime_now shows; 0: the clock */
} tn_jinja_options;

/* Errors name the template, the line and what was expected; what the language has and this does not
 * (include, import, extends, block, do) is TN_ERR_UNSUPPORTED by name, an unknown filter or test
 * TN_ERR_DATA.  `source` is copied. */
TN_NODISCARD tn_status tn_jinja_compile(tn_jinja **out, const char *name, tn_str source,
                                        tn_error *err);
void tn_jinja_free(tn_jinja *jinja); /* NULL is fine */
/* Appends to *out.  `variables` is an object.  A template's own raise_exception is
 * TN_ERR_ARGUMENT with its words; breaking a limit TN_ERR_LIMIT; anything that jinja2 would raise
 * TN_ERR_DATA. */
TN_NODISCARD tn_status tn_jinja_render(const tn_jinja *jinja, const tn_json *variables,
                                       const tn_jinja_options *options, tn_strbuf *out,
                                       tn_error *err);

#endif
