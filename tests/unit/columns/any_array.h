/* any_array.h - schemas from one line of text, and random arrays of any type.
 *
 *     any_open(&a, "+s{id!=l;tags=+l{item=u};color=c@{u};price=d:10,2}");
 *
 * name=format, "!" behind the name: required; children in braces, divided by ";"; a dictionary's
 * values behind "@".  Formats are those of the Arrow C Data Interface.  Values are a pure function
 * of the seed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_TESTS_ANY_ARRAY_H
#define TN_TESTS_ANY_ARRAY_H
#include "base/random.h"
#include "columns/schema.h"
#include "columns_test.h"

/* Every type of the columnar format, also inside one another. */
static const char any_type[] =
    "+s{n=n;b=b;i8=c;u8=C;i16=s;u16=S;i32=i;u32=I;i64!=l;u64=L;f16=e;f32=f;f64=g;"
    "str=u;bin=z;lstr=U;lbin=Z;vstr=vu;vbin=vz;fix=w:3;fix0=w:0;"
    "d32=d:7,2,32;d64=d:17,3,64;d128=d:30,5;d256=d:70,10,256;dneg=d:5,-3;"
    "date32=tdD;date64=tdm;ts=tts;tm=ttm;tu=ttu;tn=ttn;"
    "ss=tss:;sm=tsm:UTC;su=tsu:+02:30;sn=tsn:Europe/Berlin;"
    "Ds=tDs;Dm=tDm;Du=tDu;Dn=tDn;iM=tiM;iD=tiD;iN=tin;"
    "dict=c@{u};rdict!=i@{d:9,2};ddict=S@{+l{item=i}};"
    "list=+l{item=l};llist=+L{item!=u};vlist=+vl{item=f};lvlist=+vL{item=vu};"
    "flist=+w:2{item=s};rflist!=+w:3{item!=b};zlist=+w:0{item=i};"
    "map=+m{entries!=+s{key!=u;value=l}};imap=+m{entries!=+s{key!=i;value=+l{item=b}}};"
    "st=+s{a=i;b!=u;c=+s{d!=z;e=+l{item!=+s{f=g}}}};nost=+s{};"
    "du=+ud:5,7{i=i;s=u};su_=+us:0,3,1{a=l;b!=z;c=+s{x=b}};"
    "ree=+r{run_ends!=i;values=u};ree16!=+r{run_ends!=s;values!=d:6,1};"
    "lree=+l{item=+r{run_ends!=l;values=+w:2{item=i}}};ldict=+l{item=s@{vz}}}";

typedef struct any_array {
  ArrowSchema schema;
  tn_arena arena;
  tn_field *field;
} any_array;

static inline void any_schema_at(ArrowSchema *out, const char **text);

/* "{a=i;b=u}" */
static inline void any_children(ArrowSchema *out, const char **text) {
  int64_t count = 0, depth = 0;
  for (const char *p = *text; *p; p++) {
    if (*p == '{') depth++;
    if (*p == '}' && --depth == 0) break;
    if (depth == 1 && (*p == ';' || (*p == '{' && p[1] != '}'))) count++;
  }
  OK(tn_schema_add_children(out, count, &problem));
  for (int64_t i = 0; i < count; i++) {
    (*text)++;
    any_schema_at(out->children[i], text);
  }
  *text += count ? 1 : 2;
}

static inline void any_schema_at(ArrowSchema *out, const char **text) {
  char name[64], format[64];
  const char *equal = strchr(*text, '=');
  size_t length = (size_t)(equal - *text);
  bool required = length && equal[-1] == '!';
  snprintf(name, sizeof name, "%.*s", (int)(length - required), *text);
  size_t end = strcspn(equal + 1, "{};@");
  snprintf(format, sizeof format, "%.*s", (int)end, equal + 1);
  OK(tn_schema_init(out, format, name, required ? 0 : ARROW_FLAG_NULLABLE, &problem));
  *text = equal + 1 + end;
  if (**text == '{') any_children(out, text);
  if (**text != '@') return;
  OK(tn_schema_add_dictionary(out, &problem));
  char values[256] = "=";
  const char *close = *text + 1, *at = values;
  int depth = 0;
  do {
    depth += (*close == '{') - (*close == '}');
    close++;
  } while (depth);
  snprintf(values + 1, sizeof values - 1, "%.*s", (int)(close - *text - 3), *text + 2);
  any_schema_at(out->dictionary, &at);
  *text = close;
}

/* A field of this type, named ""; without a "{...}" it is flat. */
static inline void any_open(any_array *a, const char *type) {
  char text[4096];
  const char *at = text;
  memset(a, 0, sizeof *a);
  snprintf(text, sizeof text, "=%s", type);
  any_schema_at(&a->schema, &at);
  OK(tn_field_tree(&a->field, &a->arena, &a->schema, &problem));
}

static inline void any_close(any_array *a) {
  tn_schema_clear(&a->schema);
  tn_arena_clear(&a->arena);
}

typedef struct any_random {
  uint64_t seed, index;
  int32_t null_percent, list_max;
} any_random;

static inline uint64_t any_below(any_random *r, uint64_t n) {
  return tn_random_below(r->seed, 9, r->index++, n);
}

/* Small often, wide at times; fits the type's bits. */
static inline int64_t any_i64(any_random *r, int32_t bits, bool is_signed) {
  uint64_t v = tn_random_u64(r->seed, 9, r->index++);
  if (any_below(r, 2)) v %= 100;
  if (bits >= 64) return (int64_t)v;
  if (is_signed) return (int64_t)(v << (64 - bits)) >> (64 - bits);
  return (int64_t)(v & (((uint64_t)1 << bits) - 1));
}

static inline int64_t any_in(any_random *r, int64_t from, int64_t to) {
  return from + (int64_t)any_below(r, (uint64_t)(to - from + 1));
}

static inline tn_status any_text(tn_builder *b, const tn_type *t, any_random *r, tn_error *err) {
  static const char *const words[] = {"",
                                      "a",
                                      "naïve",
                                      "exactly12by.",
                                      "thirteen byte",
                                      "a text that is longer than a view holds inline"};
  char text[64];
  if (t->id == TN_TYPE_FIXED_BINARY || (!tn_type_is_text(t->id) && any_below(r, 2))) {
    size_t length = t->id == TN_TYPE_FIXED_BINARY ? (size_t)t->size : (size_t)any_below(r, 20);
    for (size_t i = 0; i < length; i++) text[i] = (char)any_below(r, 256);
    return tn_builder_append_str(b, (tn_str){text, length}, err);
  }
  return tn_builder_append_str(b, tn_str_of(words[any_below(r, 6)]), err);
}

static inline tn_status any_decimal(tn_builder *b, const tn_type *t, any_random *r, tn_error *err) {
  uint64_t words[4] = {0}; /* random decimal digits, at most `precision` */
  for (int64_t n = any_in(r, 0, t->precision); n > 0; n--) {
    uint64_t carry = any_below(r, 10);
    for (int i = 0; i < 8; i++) { /* halves of words, so that a product fits */
      uint64_t half = (words[i / 2] >> (32 * (i % 2)) & 0xFFFFFFFF) * 10 + carry;
      words[i / 2] &= ~((uint64_t)0xFFFFFFFF << (32 * (i % 2)));
      words[i / 2] |= (half & 0xFFFFFFFF) << (32 * (i % 2));
      carry = half >> 32;
    }
  }
  if (any_below(r, 2)) { /* negated */
    uint64_t carry = 1;
    for (int i = 0; i < 4; i++) {
      words[i] = ~words[i] + carry;
      carry = carry && words[i] == 0;
    }
  }
  return tn_builder_append_str(b, (tn_str){(const char *)words, (size_t)t->bits / 8}, err);
}

static inline tn_status any_flat(tn_builder *b, const tn_type *t, any_random *r, tn_error *err) {
  static const double odd[] = {0.0, -0.0, 1.5, 0.1, -2.25, 65504, 1e-7, 100};
  if (tn_type_is_bytes(t->id)) return any_text(b, t, r, err);
  if (tn_type_is_decimal(t->id)) return any_decimal(b, t, r, err);
  if (tn_type_is_real(t->id)) return tn_builder_append_f64(b, odd[any_below(r, 8)], err);
  if (t->id == TN_TYPE_BOOL) return tn_builder_append_i64(b, (int64_t)any_below(r, 2), err);
  if (t->id == TN_TYPE_DATE64)
    return tn_builder_append_i64(b, any_in(r, -40000, 40000) * 86400000, err);
  if (t->id == TN_TYPE_TIME32 || t->id == TN_TYPE_TIME64)
    return tn_builder_append_i64(b, any_in(r, 0, 86400 * tn_time_units_per_second(t->unit) - 1),
                                 err);
  if (t->id == TN_TYPE_INTERVAL_DAY_TIME || t->id == TN_TYPE_INTERVAL_MONTH_DAY_NANO) {
    int32_t parts[4] = {(int32_t)any_in(r, -50, 50), (int32_t)any_in(r, -50, 50), 0, 0};
    int64_t nanos = any_in(r, -1000000000000, 1000000000000);
    memcpy(&parts[2], &nanos, 8);
    return tn_builder_append_str(b, (tn_str){(const char *)parts, (size_t)t->bits / 8}, err);
  }
  bool is_signed = !tn_type_is_integer(t->id) || tn_type_is_signed(t->id);
  return tn_builder_append_i64(b, any_i64(r, t->bits, is_signed), err);
}

static inline tn_status any_append(tn_builder *b, const tn_field *f, any_random *r, tn_error *err);

/* A value, or of a run-end array a run of several. */
static inline tn_status any_append_run(tn_builder *b, const tn_field *f, any_random *r,
                                       tn_error *err) {
  if (f->type.layout != TN_LAYOUT_RUN_END) return any_append(b, f, r, err);
  TN_TRY(any_append(tn_builder_child(b, 1), &f->children[1], r, err));
  return tn_builder_append_run(b, any_in(r, 1, 4), err);
}

/* One random value of any type. */
static inline tn_status any_append(tn_builder *b, const tn_field *f, any_random *r, tn_error *err) {
  const tn_type *t = &f->type;
  bool null = (int32_t)any_below(r, 100) < r->null_percent;
  if (f->nullable && (null || t->id == TN_TYPE_NULL)) return tn_builder_append_null(b, err);
  if (f->dictionary) {
    tn_builder *values = tn_builder_dictionary(b);
    if (tn_builder_length(values) < 5) {
      TN_TRY(any_append(values, f->dictionary, r, err));
      if (f->dictionary->type.id == TN_TYPE_LIST) TN_TRY(tn_builder_append_null(values, err));
    }
    return tn_builder_append_i64(b, any_in(r, 0, tn_builder_length(values) - 1), err);
  }
  if (!tn_type_is_nested(t->id)) return any_flat(b, t, r, err);
  if (t->layout == TN_LAYOUT_STRUCT) {
    for (int64_t i = 0; i < f->child_count; i++)
      TN_TRY(any_append(tn_builder_child(b, i), &f->children[i], r, err));
    return tn_builder_end_struct(b, err);
  }
  if (t->layout == TN_LAYOUT_DENSE_UNION || t->layout == TN_LAYOUT_SPARSE_UNION) {
    int64_t child = any_in(r, 0, f->child_count - 1);
    TN_TRY(any_append(tn_builder_child(b, child), &f->children[child], r, err));
    return tn_builder_append_union(b, child, err);
  }
  if (t->layout == TN_LAYOUT_RUN_END) {
    TN_TRY(any_append(tn_builder_child(b, 1), &f->children[1], r, err));
    return tn_builder_append_run(b, 1, err);
  }
  int64_t items = t->id == TN_TYPE_FIXED_LIST ? t->size : any_in(r, 0, r->list_max);
  for (int64_t i = 0; i < items; i++)
    TN_TRY((t->id == TN_TYPE_FIXED_LIST ? any_append : any_append_run)(tn_builder_child(b, 0),
                                                                       &f->children[0], r, err));
  return tn_builder_end_list(b, err);
}

static inline tn_status any_column(ArrowArray *out, const tn_field *f, any_random *r, int64_t rows,
                                   tn_error *err) {
  tn_builder *b;
  memset(out, 0, sizeof *out);
  TN_TRY(tn_builder_new_field(&b, f, err));
  tn_status status = TN_OK;
  while (status == TN_OK && tn_builder_length(b) < rows) status = any_append_run(b, f, r, err);
  if (status == TN_OK) {
    tn_builder_cut(b, rows);
    status = tn_builder_finish(b, out, err);
  }
  tn_builder_free(b);
  return status;
}

/* `rows` random values of any type; of a struct a record batch, column by column. */
static inline tn_status any_make(ArrowArray *out, const tn_field *f, any_random *r, int64_t rows,
                                 tn_error *err) {
  if (f->type.layout != TN_LAYOUT_STRUCT) return any_column(out, f, r, rows, err);
  ArrowArray columns[128] = {{0}};
  tn_status status = TN_OK;
  memset(out, 0, sizeof *out);
  for (int64_t i = 0; status == TN_OK && i < f->child_count; i++)
    status = any_column(&columns[i], &f->children[i], r, rows, err);
  if (status == TN_OK) status = tn_batch_new(out, columns, f->child_count, rows, err);
  for (int64_t i = 0; i < f->child_count; i++) tn_array_clear(&columns[i]);
  return status;
}

#endif
