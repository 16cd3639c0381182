/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/data_options.h"

static const tn_table_option *find_key(const tn_table_option *list, int32_t count,
                                       const char *key) {
  for (int32_t i = 0; i < count; i++)
    if (strcmp(list[i].key, key) == 0) return &list[i];
  return NULL;
}

static void add_row(data_options *o, const tn_table_option *option, bool writes, bool prefixed) {
  int32_t at = o->count;
  if (at + 1 >= DATA_OPTIONS_MAX) return; /* a test counts them */
  snprintf(o->names[at], sizeof o->names[at], "--%s%s", prefixed ? "out-" : "", option->key);
  for (char *c = o->names[at]; *c; c++)
    if (*c == '_') *c = '-';
  bool flag = option->kind == TN_TABLE_FLAG;
  o->rows[at] = (tn_option){.name = o->names[at],
                            .kind = flag ? TN_OPTION_FLAG : TN_OPTION_TEXT,
                            .target = flag ? (void *)&o->flags[at] : (void *)&o->texts[at],
                            .value = option->value,
                            .help = option->help};
  o->options[at] = option;
  o->writes[at] = writes;
  o->count++;
}

void data_options_init(data_options *o, const tn_option *own, bool reads, bool writes) {
  int32_t reading = 0, writing = 0;
  const tn_table_option *read = tn_table_read_option_list(&reading);
  const tn_table_option *write = tn_table_write_option_list(&writing);
  *o = (data_options){0};
  for (; own->name; own++) o->rows[o->count++] = *own;
  o->own = o->count;
  for (int32_t i = 0; reads && i < reading; i++) add_row(o, &read[i], false, false);
  for (int32_t i = 0; writes && i < writing; i++) {
    bool both = reads && find_key(read, reading, write[i].key);
    if (both && strcmp(write[i].key, "threads") == 0) continue;
    add_row(o, &write[i], true, both);
  }
}

void data_options_clear(data_options *o) {
  tn_arena_clear(&o->arena);
}

/* The text of an option that was given; NULL: it was not. */
static const char *given(const data_options *o, int32_t at) {
  return o->rows[at].kind == TN_OPTION_FLAG ? (o->flags[at] ? "true" : NULL) : o->texts[at];
}

tn_status data_options_read(data_options *o, tn_table_read_options *read, tn_error *err) {
  for (int32_t i = o->own; i < o->count; i++)
    if (given(o, i) && !o->writes[i])
      TN_TRY(tn_table_read_option(read, &o->arena, o->options[i]->key, given(o, i), err));
  return TN_OK;
}

tn_status data_options_write(data_options *o, tn_table_write_options *write, tn_error *err) {
  for (int32_t i = o->own; i < o->count; i++) {
    bool threads = o->options[i] && strcmp(o->options[i]->key, "threads") == 0;
    if (given(o, i) && (o->writes[i] || threads))
      TN_TRY(tn_table_write_option(write, &o->arena, o->options[i]->key, given(o, i), err));
  }
  return TN_OK;
}

tn_status data_options_check(const data_options *o, bool writing, uint32_t formats,
                             const char *path, tn_error *err) {
  for (int32_t i = o->own; i < o->count; i++)
    if (given(o, i) && o->writes[i] == writing)
      TN_TRY(tn_table_option_check(o->options[i], o->names[i], formats, path, err));
  return TN_OK;
}

tn_status data_options_refuse_writing(const data_options *o, const char *why, tn_error *err) {
  for (int32_t i = o->own; i < o->count; i++)
    if (given(o, i) && o->writes[i])
      return tn_fail(err, TN_ERR_ARGUMENT, "option %s is of writing; %s", o->names[i], why);
  return TN_OK;
}
