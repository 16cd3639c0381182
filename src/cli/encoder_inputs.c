/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/encoder_inputs.h"

#include "base/io.h"

enum { TEXT_BYTES_MAX = 256 << 20 };

void tn_encoder_inputs_clear(tn_encoder_inputs *in) {
  tn_free(in->items);
  tn_arena_clear(&in->arena);
  *in = (tn_encoder_inputs){0};
}

static tn_status parse_numbers(tn_arena *arena, const char *option, const char *text, int32_t **out,
                               int64_t *count, tn_error *err) {
  size_t commas = 0;
  for (const char *c = text; *c; c++) commas += *c == ',';
  *out = tn_arena_alloc(arena, (commas + 1) * sizeof **out, sizeof **out);
  if (!*out) return tn_fail_memory(err, "tokens", (commas + 1) * sizeof **out);
  *count = 0;
  for (tn_str rest = tn_str_of(text); rest.data;) {
    tn_str word = tn_str_cut(&rest, ',');
    int64_t value;
    if (!tn_str_to_i64(word, &value) || value < 0 || value > INT32_MAX)
      return tn_fail(err, TN_ERR_ARGUMENT, "%s: '%.*s' is not a number from 0 to %d", option,
                     TN_STR_ARG(word), INT32_MAX);
    (*out)[(*count)++] = (int32_t)value;
  }
  return TN_OK;
}

tn_status tn_encoder_inputs_add_ids(tn_encoder_inputs *in, const tn_option_list *ids,
                                    const tn_option_list *types, tn_error *err) {
  if (types->count != 0 && types->count != ids->count)
    return tn_fail(err, TN_ERR_ARGUMENT, "--types is given %d times, --ids %d times", types->count,
                   ids->count);
  for (int32_t i = 0; i < ids->count; i++) {
    int32_t *numbers, *kinds = NULL;
    int64_t count, kind_count;
    TN_TRY(parse_numbers(&in->arena, "--ids", ids->items[i], &numbers, &count, err));
    if (types->count != 0) {
      TN_TRY(parse_numbers(&in->arena, "--types", types->items[i], &kinds, &kind_count, err));
      if (kind_count != count)
        return tn_fail(err, TN_ERR_ARGUMENT, "--types has %lld numbers, --ids %lld",
                       (long long)kind_count, (long long)count);
    }
    TN_TRY(tn_grow((void **)&in->items, &in->capacity, in->count + 1, sizeof *in->items, err));
    in->items[in->count++] = (tn_encoder_input){.ids = numbers, .types = kinds, .count = count};
  }
  return TN_OK;
}

tn_status tn_encoder_inputs_read_lines(tn_encoder_inputs *in, const char *path, tn_str **lines,
                                       size_t *count, tn_error *err) {
  tn_strbuf text = {0};
  tn_status status = tn_file_read(path, TEXT_BYTES_MAX, &text, err);
  char *kept = NULL;
  size_t ends = 1;
  for (size_t i = 0; status == TN_OK && i < text.length; i++) ends += text.data[i] == '\n';
  if (status == TN_OK) {
    kept = tn_arena_strndup(&in->arena, text.data ? text.data : "", text.length);
    *lines = tn_arena_alloc(&in->arena, ends * sizeof **lines, sizeof(void *));
    if (!kept || !*lines) status = tn_fail_memory(err, path, text.length);
  }
  *count = 0;
  tn_str rest = {kept, text.length};
  while (status == TN_OK && rest.data && rest.length > 0) {
    tn_str line = tn_str_cut(&rest, '\n');
    if (tn_str_ends(line, TN_STR("\r"))) line.length--;
    if (line.length > 0) (*lines)[(*count)++] = line;
  }
  tn_strbuf_clear(&text);
  return status;
}
