/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/encoder_inputs.h"

#include "base/io.h"
#include "model/encoder_text.h"

enum { TEXT_BYTES_MAX = 256 << 20 };

void tn_encoder_inputs_clear(tn_encoder_inputs *in) {
  for (size_t i = 0; i < in->text_count; i++) tn_encoding_clear(&in->texts[i]);
  tn_free(in->texts);
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

tn_status tn_encoder_inputs_add_text(tn_encoder_inputs *in, const tn_tokenizer *t, tn_str text,
                                     const tn_str *pair, tn_encoder *encoder, tn_error *err) {
  const tn_encoder_form *form = tn_encoder_form_of(encoder);
  TN_TRY(
      tn_grow((void **)&in->texts, &in->text_capacity, in->text_count + 1, sizeof *in->texts, err));
  TN_TRY(tn_grow((void **)&in->items, &in->capacity, in->count + 1, sizeof *in->items, err));
  tn_encoding *e = &in->texts[in->text_count];
  *e = (tn_encoding){0};
  in->text_count++;
  TN_TRY(tn_encoder_tokenize(t, text, pair, form->tokens_max, e, err));
  if (e->ids.count == 0)
    return tn_fail(err, TN_ERR_DATA,
                   "text %zu has no tokens, and the tokenizer puts none around it", in->text_count);
  tn_status status =
      tn_tokenizer_check_ids(t, e->ids.items, e->ids.count,
                             tn_model_config_of(tn_encoder_model(encoder))->vocab_size, err);
  if (status != TN_OK) return tn_error_context(err, status, "text %zu", in->text_count);
  in->items[in->count++] = (tn_encoder_input){.ids = e->ids.items,
                                              .types = form->untyped ? NULL : e->type_ids.items,
                                              .count = (int64_t)e->ids.count};
  return TN_OK;
}

/* ---- texts --------------------------------------------------------------------------------------
 */
void tn_text_list_clear(tn_text_list *list) {
  tn_strbuf_clear(&list->file);
  tn_free(list->items);
  *list = (tn_text_list){0};
}

static tn_status add_item(tn_text_list *list, tn_str text, tn_error *err) {
  TN_TRY(
      tn_grow((void **)&list->items, &list->capacity, list->count + 1, sizeof *list->items, err));
  list->items[list->count++] = text;
  return TN_OK;
}

static tn_status add_lines(tn_text_list *list, tn_error *err) {
  tn_str rest = tn_strbuf_view(&list->file);
  while (rest.data && rest.length > 0) {
    tn_str line = tn_str_cut(&rest, '\n');
    if (tn_str_ends(line, TN_STR("\r"))) line.length--;
    TN_TRY(add_item(list, line, err));
  }
  return TN_OK;
}

tn_status tn_text_list_read(tn_text_list *list, const tn_option_list *texts, const char *path,
                            tn_error *err) {
  for (int32_t i = 0; i < texts->count; i++)
    TN_TRY(add_item(list, tn_str_of(texts->items[i]), err));
  if (!path) return TN_OK;
  TN_TRY(tn_file_read(path, TEXT_BYTES_MAX, &list->file, err));
  return add_lines(list, err);
}
