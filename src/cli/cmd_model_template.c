/* cmd_model_template.c - `tenon model template`: the prompt that a conversation becomes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"
#include "cli/cli.h"
#include "cli/cmd_model.h"
#include "model/chat_template.h"
#include "cli/model_path.h"

typedef struct words {
  const char *messages, *tools, *variables;
  bool continue_last;
} words;

static tn_status read_json(const char *path, tn_json_kind kind, tn_arena *arena, tn_strbuf *text,
                           tn_json **out, tn_error *err) {
  TN_TRY(tn_file_read(path, (size_t)64 << 20, text, err));
  tn_status status = tn_json_parse(out, arena, tn_strbuf_view(text), NULL, err);
  if (status != TN_OK) return tn_error_context(err, status, "%s", path);
  if ((*out)->kind == kind) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "%s: holds a JSON %s, expected an %s", path,
                 tn_json_kind_name((*out)->kind), tn_json_kind_name(kind));
}

static tn_status open_template(tn_chat_template **out, const char *path, tn_error *err) {
  tn_strbuf folder = {0};
  size_t length = strlen(path);
  bool file = length > 6 && strcmp(path + length - 6, ".jinja") == 0;
  tn_status status = file ? TN_OK : tn_model_path(path, &folder, err);
  if (status == TN_OK) status = tn_chat_template_open(out, file ? path : folder.data, err);
  if (status == TN_OK && !*out)
    status = tn_fail(err, TN_ERR_NOT_FOUND, "%s: no chat template in this folder", path);
  tn_strbuf_clear(&folder);
  return status;
}

static tn_status show(const char *path, const words *w, tn_error *err) {
  tn_chat_template *t = NULL;
  tn_arena arena = {0};
  tn_strbuf texts[3] = {{0}}, prompt = {0};
  tn_json *messages = NULL, *tools = NULL, *variables = NULL;
  tn_status status = open_template(&t, path, err);
  if (status == TN_OK)
    status = read_json(w->messages, TN_JSON_ARRAY, &arena, &texts[0], &messages, err);
  if (status == TN_OK && w->tools)
    status = read_json(w->tools, TN_JSON_ARRAY, &arena, &texts[1], &tools, err);
  if (status == TN_OK && w->variables)
    status = read_json(w->variables, TN_JSON_OBJECT, &arena, &texts[2], &variables, err);
  if (status == TN_OK) {
    tn_chat chat = {messages, tools, variables, w->continue_last};
    status = tn_chat_template_render(t, &chat, NULL, &prompt, err);
  }
  if (status == TN_OK && prompt.length) fwrite(prompt.data, 1, prompt.length, stdout);
  for (int i = 0; i < 3; i++) tn_strbuf_clear(&texts[i]);
  tn_strbuf_clear(&prompt);
  tn_arena_clear(&arena);
  tn_chat_template_free(t);
  return status;
}

int tn_cmd_model_template(int argc, char **argv) {
  words w = {0};
  const tn_option options[] = {
      {"--messages", 'm', TN_OPTION_TEXT, &w.messages, "FILE", "JSON array of messages (required)"},
      {"--tools", 0, TN_OPTION_TEXT, &w.tools, "FILE", "JSON array of tools"},
      {"--variables", 0, TN_OPTION_TEXT, &w.variables, "FILE",
       "JSON object of further variables (bos_token, date_string ...)"},
      {"--continue", 0, TN_OPTION_FLAG, &w.continue_last, NULL,
       "no generation prompt: the last message goes on"},
      {0}};
  const tn_usage usage = {
      .words = "tenon model template [options] DIR|FILE.jinja",
      .about =
          "Prints the prompt that a conversation becomes by the model's own chat template, byte "
          "for byte\nwhat the server feeds to the model.",
      .example = "tenon model template runs/chat --messages hello.json",
      .options = options,
      .words_min = 1,
      .words_max = 1};
  int32_t count;
  int code = tn_args(&usage, argc, argv, &count);
  if (code >= 0) return code;
  if (!w.messages) return tn_cli_usage_error("--messages FILE is missing");
  tn_error err = {0};
  return show(argv[1], &w, &err) == TN_OK ? 0 : tn_cli_fail(&err, NULL);
}
