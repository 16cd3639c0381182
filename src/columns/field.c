/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/type.h"

/* Where a field lies, for messages: the chain of fields above it. */
typedef struct place {
  const struct place *above;
  const char *name;
  int32_t depth;
} place;

static void add_path(tn_strbuf *out, const place *at) {
  if (!at) return;
  if (at->above && at->above->depth > 0) {
    add_path(out, at->above);
    tn_strbuf_add_char(out, '.');
  }
  tn_strbuf_add(out, at->name);
}

static tn_status in_place(tn_error *err, tn_status status, const place *at) {
  tn_strbuf path = {0};
  add_path(&path, at);
  status = tn_error_context(err, status, "column \"%.200s\"", path.data ? path.data : "");
  tn_strbuf_clear(&path);
  return status;
}

static int64_t children_of(const tn_type *t) { /* -1: any number */
  if (tn_layout_is_list(t->layout)) return 1;
  switch (t->layout) {
    case TN_LAYOUT_STRUCT:
      return -1;
    case TN_LAYOUT_DENSE_UNION:
    case TN_LAYOUT_SPARSE_UNION:
      return t->code_count;
    case TN_LAYOUT_RUN_END:
      return 2;
    default:
      return 0;
  }
}

static tn_status check_children(const ArrowSchema *s, const tn_type *t, tn_error *err) {
  int64_t want = children_of(t);
  if (s->n_children < 0 || (want >= 0 && s->n_children != want) ||
      (s->n_children > 0 && !s->children))
    return tn_fail(err, TN_ERR_DATA, "a %s with %lld children, expected %lld", tn_type_name(t->id),
                   (long long)s->n_children, (long long)want);
  return TN_OK;
}

/* What only the finished children show. */
static tn_status check_nested(const tn_field *f, tn_error *err) {
  if (f->type.id == TN_TYPE_MAP) {
    const tn_field *entries = &f->children[0];
    if (entries->type.id != TN_TYPE_STRUCT || entries->child_count != 2)
      return tn_fail(err, TN_ERR_DATA, "a map whose entries are not a struct of key and value");
  }
  if (f->type.id == TN_TYPE_RUN_END) {
    tn_type_id ends = f->children[0].type.id;
    if (ends != TN_TYPE_INT16 && ends != TN_TYPE_INT32 && ends != TN_TYPE_INT64)
      return tn_fail(err, TN_ERR_DATA, "run ends of type %s", tn_type_name(ends));
  }
  if (f->dictionary && !tn_type_is_integer(f->type.id))
    return tn_fail(err, TN_ERR_DATA, "dictionary indices of type %s", tn_type_name(f->type.id));
  return TN_OK;
}

static tn_status build(tn_field *out, tn_arena *arena, const ArrowSchema *s, const place *above,
                       tn_error *err) {
  place at = {above, s->name ? s->name : "", above ? above->depth + 1 : 0};
  if (at.depth > TN_FIELD_DEPTH_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "Arrow schema: nested deeper than %d", TN_FIELD_DEPTH_MAX);
  *out = (tn_field){.name = at.name, .schema = s, .nullable = s->flags & ARROW_FLAG_NULLABLE};
  tn_status status = tn_type_parse(s->format, &out->type, err);
  if (status == TN_OK) status = check_children(s, &out->type, err);
  if (status != TN_OK) return in_place(err, status, &at);
  out->child_count = s->n_children;
  out->children = tn_arena_alloc(arena, (size_t)s->n_children, sizeof *out->children);
  if (s->dictionary) out->dictionary = tn_arena_alloc(arena, 1, sizeof *out->dictionary);
  if (!out->children || (s->dictionary && !out->dictionary))
    return tn_fail_memory(err, "an Arrow schema's fields", (size_t)s->n_children * sizeof *out);
  for (int64_t i = 0; i < s->n_children; i++)
    TN_TRY(build(&out->children[i], arena, s->children[i], &at, err));
  if (s->dictionary) TN_TRY(build(out->dictionary, arena, s->dictionary, &at, err));
  status = check_nested(out, err);
  return status == TN_OK ? TN_OK : in_place(err, status, &at);
}

tn_status tn_field_tree(tn_field **out, tn_arena *arena, const ArrowSchema *schema, tn_error *err) {
  tn_field *root = tn_arena_alloc(arena, 1, sizeof *root);
  if (!root) return tn_fail_memory(err, "an Arrow schema's fields", sizeof *root);
  TN_TRY(build(root, arena, schema, NULL, err));
  *out = root;
  return TN_OK;
}

/* ---- text ---- */
static const char *const unit_names[] = {"s", "ms", "us", "ns"};

static void add_children(const tn_field *f, tn_strbuf *out) {
  tn_strbuf_add_char(out, '<');
  for (int64_t i = 0; i < f->child_count; i++) {
    const tn_field *child = &f->children[i];
    tn_strbuf_addf(out, "%s%s: ", i ? ", " : "", child->name);
    tn_field_text(child, out);
    if (!child->nullable) tn_strbuf_add(out, " not null");
    bool is_union = f->type.code_count > 0;
    if (is_union) tn_strbuf_addf(out, "=%d", f->type.codes[i]);
  }
  tn_strbuf_add_char(out, '>');
}

static void add_map(const tn_field *f, tn_strbuf *out) {
  const tn_field *entries = &f->children[0];
  tn_strbuf_add(out, "map<");
  tn_field_text(&entries->children[0], out);
  tn_strbuf_add(out, ", ");
  tn_field_text(&entries->children[1], out);
  tn_strbuf_add_char(out, '>');
}

void tn_field_text(const tn_field *f, tn_strbuf *out) {
  const tn_type *t = &f->type;
  if (f->dictionary) {
    tn_strbuf_add(out, "dictionary<values=");
    tn_field_text(f->dictionary, out);
    tn_strbuf_addf(out, ", indices=%s>", tn_type_name(t->id));
    return;
  }
  if (t->id == TN_TYPE_MAP) {
    add_map(f, out);
    return;
  }
  tn_strbuf_add(out, tn_type_name(t->id));
  if (tn_type_is_decimal(t->id)) tn_strbuf_addf(out, "(%d, %d)", t->precision, t->scale);
  if (t->id == TN_TYPE_FIXED_BINARY) tn_strbuf_addf(out, "[%d]", t->size);
  if (t->id == TN_TYPE_TIME32 || t->id == TN_TYPE_TIME64 || t->id == TN_TYPE_DURATION)
    tn_strbuf_addf(out, "[%s]", unit_names[t->unit]);
  if (t->id == TN_TYPE_TIMESTAMP) {
    tn_strbuf_addf(out, "[%s", unit_names[t->unit]);
    if (t->timezone.length) tn_strbuf_addf(out, ", tz=%.*s", TN_STR_ARG(t->timezone));
    tn_strbuf_add_char(out, ']');
  }
  if (tn_type_is_nested(t->id)) add_children(f, out);
  if (t->id == TN_TYPE_FIXED_LIST) tn_strbuf_addf(out, "[%d]", t->size);
}
