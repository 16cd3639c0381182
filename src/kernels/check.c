/* The shape check: binds the sizes of a call to the dims of its row in ops.def. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/check.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/pack.h"

#define NAMES_MAX   16
#define TENSORS_MAX 12

typedef struct size_name {
  tn_str name;
  int64_t value;
  const char *from; /* the tensor that fixed it */
} size_name;

typedef struct check {
  const tn_op_info *info;
  const void *args;
  size_name names[NAMES_MAX];
  int32_t name_count;
  tn_error *err;
} check;

static const tn_tensor *tensor_of(const check *c, int32_t i) {
  return (const tn_tensor *)((const char *)c->args + c->info->tensors[i].offset);
}

/* A SCALE or a GAIN that the call leaves out. */
static bool is_absent(const check *c, int32_t i) {
  tn_op_kind kind = c->info->tensors[i].kind;
  return (kind == TN_KIND_SCALE || kind == TN_KIND_GAIN) && !tensor_of(c, i)->buffer;
}

static size_name *find_name(check *c, tn_str name) {
  for (int32_t i = 0; i < c->name_count; i++)
    if (tn_str_equal(c->names[i].name, name)) return &c->names[i];
  return NULL;
}

static void bind_name(check *c, tn_str name, int64_t value, const char *from) {
  c->names[c->name_count++] = (size_name){name, value, from};
}

static void add_tensor(tn_strbuf *text, const tn_tensor *t) {
  if ((uint32_t)t->dtype < TN_DTYPE_COUNT && t->rank >= 0 && t->rank <= TN_RANK_MAX)
    tn_tensor_describe(t, text);
  else
    tn_strbuf_addf(text, "not a tensor (type %d, rank %d)", (int)t->dtype, (int)t->rank);
}

/* "rmsnorm: weight is float32[129], wants [C] with C = 128 (from x)" */
static tn_status fail_shape(check *c, int32_t i, tn_str dim) {
  const tn_op_tensor_info *want = &c->info->tensors[i];
  tn_strbuf text = {0};
  tn_strbuf_addf(&text, "%s: %s is ", c->info->name, want->name);
  add_tensor(&text, tensor_of(c, i));
  tn_strbuf_addf(&text, ", wants [%s]", want->dims);
  const char *join = " with ";
  for (tn_str rest = dim; rest.length > 0; join = ", ") {
    size_name *known = find_name(c, tn_str_cut(&rest, '*'));
    if (!known || known->from == want->name) continue;
    tn_strbuf_addf(&text, "%s%.*s = %" PRId64, join, TN_STR_ARG(known->name), known->value);
    if (known->from) tn_strbuf_addf(&text, " (from %s)", known->from);
  }
  tn_status status = text.failed ? tn_fail_memory(c->err, "an error message", 256)
                                 : tn_fail(c->err, TN_ERR_ARGUMENT, "%s", text.data);
  tn_strbuf_clear(&text);
  return status;
}

static int32_t rank_of_dims(const char *dims) {
  int32_t rank = 1;
  for (; *dims; dims++) rank += *dims == ' ';
  return rank;
}

/* Of a contiguous tensor, packed or in rows. */
static int64_t bytes_of(const tn_tensor *t) {
  return t->layout ? tn_pack_bytes(t->dtype, t->shape[0], t->shape[1]) : tn_tensor_bytes(t);
}

static bool reaches_past_buffer(const tn_tensor *t) {
  uint64_t bytes = (uint64_t)bytes_of(t);
  return t->offset_bytes < 0 || (uint64_t)t->offset_bytes > t->buffer->bytes ||
         bytes > t->buffer->bytes - (uint64_t)t->offset_bytes;
}

static tn_status check_tensor(check *c, int32_t i) {
  const tn_op_tensor_info *want = &c->info->tensors[i];
  const tn_tensor *t = tensor_of(c, i);
  const char *op = c->info->name;
  if (is_absent(c, i)) return TN_OK;
  if (!t->buffer) return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s has no buffer", op, want->name);
  if ((uint32_t)t->dtype >= TN_DTYPE_COUNT || t->rank != rank_of_dims(want->dims))
    return fail_shape(c, i, (tn_str){0});
  for (int32_t d = 0; d < t->rank; d++)
    if (t->shape[d] < 0) return fail_shape(c, i, (tn_str){0});
  if (t->layout && (want->kind != TN_KIND_WEIGHT || t->layout != TN_LAYOUT_PANELS ||
                    tn_pack_bytes(t->dtype, 1, t->shape[1]) <= 0))
    return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s is %s in the packed layout %d, wants rows", op,
                   want->name, tn_dtype_name(t->dtype), (int)t->layout);
  if (!tn_tensor_is_contiguous(t))
    return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s is not contiguous", op, want->name);
  if (reaches_past_buffer(t))
    return tn_fail(c->err, TN_ERR_ARGUMENT,
                   "%s: %s, %" PRId64 " bytes at byte %" PRId64 ", reaches past its buffer of %zu",
                   op, want->name, bytes_of(t), t->offset_bytes, t->buffer->bytes);
  if (t->buffer->device != tensor_of(c, 0)->buffer->device)
    return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s and %s are on different devices", op,
                   want->name, c->info->tensors[0].name);
  return TN_OK;
}

static tn_status check_dtype(check *c, int32_t i, tn_dtype stat) {
  const tn_op_tensor_info *want = &c->info->tensors[i];
  tn_dtype dtype = tensor_of(c, i)->dtype;
  if (want->kind == TN_KIND_REAL || want->kind == TN_KIND_GAIN) {
    if (tn_dtype_is_real(dtype) || is_absent(c, i)) return TN_OK;
    return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s is %s, wants a floating type", c->info->name,
                   want->name, tn_dtype_name(dtype));
  }
  if (want->kind == TN_KIND_WEIGHT) {
    if (tn_dtype_is_weight(dtype)) return TN_OK;
    return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s is %s, wants a type of weights", c->info->name,
                   want->name, tn_dtype_name(dtype));
  }
  if (want->kind == TN_KIND_CACHE) {
    if (tn_dtype_is_real(dtype) || dtype == TN_I8 || dtype == TN_F8_E4M3) return TN_OK;
    return tn_fail(c->err, TN_ERR_ARGUMENT,
                   "%s: %s is %s, wants a floating type, int8 or float8_e4m3fn", c->info->name,
                   want->name, tn_dtype_name(dtype));
  }
  tn_dtype wanted = want->kind == TN_KIND_INDEX   ? TN_I32
                    : want->kind == TN_KIND_SCALE ? TN_F32
                                                  : stat;
  if (dtype == wanted || is_absent(c, i)) return TN_OK;
  return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s is %s, wants %s", c->info->name, want->name,
                 tn_dtype_name(dtype), tn_dtype_name(wanted));
}

/* The first CACHE of codes goes with the first SCALE, and so on. */
static tn_status check_scales(check *c) {
  int32_t scale = 0;
  for (int32_t i = 0; i < c->info->tensor_count; i++) {
    if (c->info->tensors[i].kind != TN_KIND_CACHE) continue;
    while (c->info->tensors[scale].kind != TN_KIND_SCALE) scale++;
    if (!tn_dtype_is_real(tensor_of(c, i)->dtype) && is_absent(c, scale))
      return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s is %s and wants %s, which has no buffer",
                     c->info->name, c->info->tensors[i].name, tn_dtype_name(tensor_of(c, i)->dtype),
                     c->info->tensors[scale].name);
    scale++;
  }
  return TN_OK;
}

/* Statistics are float64 where the reals are. */
static tn_dtype stat_dtype(const check *c) {
  for (int32_t i = 0; i < c->info->tensor_count; i++)
    if (c->info->tensors[i].kind == TN_KIND_REAL && tensor_of(c, i)->dtype == TN_F64) return TN_F64;
  return TN_F32;
}

static bool is_product(tn_str dim) {
  return memchr(dim.data, '*', dim.length) != NULL;
}

static tn_status bind_single(check *c, int32_t i, int32_t d, tn_str dim) {
  int64_t size = tensor_of(c, i)->shape[d];
  size_name *known = find_name(c, dim);
  if (!known) {
    bind_name(c, dim, size, c->info->tensors[i].name);
    return TN_OK;
  }
  return known->value == size ? TN_OK : fail_shape(c, i, dim);
}

/* "Hkv*G" with Hkv known fixes G; with both known it must fit. */
static tn_status bind_product(check *c, int32_t i, int32_t d, tn_str dim) {
  int64_t size = tensor_of(c, i)->shape[d], product = 1;
  tn_str unknown = {0};
  for (tn_str rest = dim; rest.length > 0;) {
    tn_str name = tn_str_cut(&rest, '*');
    size_name *known = find_name(c, name);
    if (!known) {
      unknown = name;
    } else if (__builtin_mul_overflow(product, known->value, &product)) {
      return fail_shape(c, i, dim);
    }
  }
  if (unknown.length == 0) return product == size ? TN_OK : fail_shape(c, i, dim);
  if (product == 0 ? size != 0 : size % product != 0) return fail_shape(c, i, dim);
  bind_name(c, unknown, product == 0 ? 0 : size / product, c->info->tensors[i].name);
  return TN_OK;
}

static tn_status bind_tensor(check *c, int32_t i, bool products) {
  tn_str rest = tn_str_of(c->info->tensors[i].dims);
  for (int32_t d = 0; rest.length > 0; d++) {
    tn_str dim = tn_str_cut(&rest, ' ');
    if (is_product(dim) != products) continue;
    TN_TRY(products ? bind_product(c, i, d, dim) : bind_single(c, i, d, dim));
  }
  return TN_OK;
}

/* Inputs name the sizes, outputs must follow: messages then blame what a caller got wrong. */
static tn_status bind_sizes(check *c) {
  bind_name(c, TN_STR("one"), 1, NULL);
  for (int32_t products = 0; products < 2; products++)
    for (int32_t role = TN_ROLE_IN; role >= TN_ROLE_OUT; role--)
      for (int32_t i = 0; i < c->info->tensor_count; i++)
        if ((int32_t)c->info->tensors[i].role == role && !is_absent(c, i))
          TN_TRY(bind_tensor(c, i, products != 0));
  return TN_OK;
}

static bool overlap(const tn_tensor *a, const tn_tensor *b) {
  const char *a0 = tn_tensor_data(a), *b0 = tn_tensor_data(b);
  int64_t a_bytes = bytes_of(a), b_bytes = bytes_of(b);
  return a_bytes > 0 && b_bytes > 0 && a0 < b0 + b_bytes && b0 < a0 + a_bytes;
}

/* What is written overlaps nothing else; a row that works in place takes an input as its output,
 * the very same elements. */
static tn_status check_overlap(check *c) {
  bool in_place = strstr(c->info->summary, "in place") != NULL;
  for (int32_t i = 0; i < c->info->tensor_count; i++) {
    if (c->info->tensors[i].role == TN_ROLE_IN || is_absent(c, i)) continue;
    for (int32_t j = 0; j < c->info->tensor_count; j++) {
      const tn_tensor *a = tensor_of(c, i), *b = tensor_of(c, j);
      if (i == j || is_absent(c, j) || !overlap(a, b)) continue;
      bool same = tn_tensor_data(a) == tn_tensor_data(b) && a->dtype == b->dtype &&
                  tn_tensor_count(a) == tn_tensor_count(b);
      if (in_place && same && c->info->tensors[j].role == TN_ROLE_IN) continue;
      return tn_fail(c->err, TN_ERR_ARGUMENT, "%s: %s and %s overlap in memory", c->info->name,
                     c->info->tensors[i].name, c->info->tensors[j].name);
    }
  }
  return TN_OK;
}

tn_status tn_op_check(tn_op_id op, const void *args, tn_error *err) {
  check c = {.info = tn_op_describe(op), .args = args, .err = err};
  for (int32_t i = 0; i < c.info->tensor_count; i++) TN_TRY(check_tensor(&c, i));
  tn_dtype stat = stat_dtype(&c);
  for (int32_t i = 0; i < c.info->tensor_count; i++) TN_TRY(check_dtype(&c, i, stat));
  TN_TRY(check_scales(&c));
  TN_TRY(bind_sizes(&c));
  return check_overlap(&c);
}

/* ---- the values of index tensors, where the host can read them ---- */

static tn_status check_range(const char *op, const char *name, const tn_tensor *index, int64_t min,
                             int64_t end, tn_error *err) {
  const int32_t *values = tn_tensor_data(index);
  int64_t count = tn_tensor_count(index);
  for (int64_t i = 0; i < count; i++)
    if (values[i] < min || values[i] >= end)
      return tn_fail(err, TN_ERR_ARGUMENT,
                     "%s: %s[%" PRId64 "] is %d, wants %" PRId64 " to %" PRId64, op, name, i,
                     values[i], min, end - 1);
  return TN_OK;
}

#define ANY_BELOW_ZERO INT32_MIN /* "below 0: skip" */

static tn_status check_blocks(const tn_attention_paged_args *a, tn_error *err) {
  const int32_t *table = tn_tensor_data(&a->block_table);
  const int32_t *sequence = tn_tensor_data(&a->row_sequence);
  const int32_t *position = tn_tensor_data(&a->row_position);
  int64_t blocks = a->k_cache.shape[0], block_tokens = a->v_cache.shape[2];
  int64_t per_sequence = a->block_table.shape[1];
  for (int64_t r = 0; r < a->row_sequence.shape[0]; r++) {
    const int32_t *row = table + sequence[r] * per_sequence;
    int64_t first = a->window > 0 ? (int64_t)position[r] + 1 - a->window : 0;
    for (int64_t j = first > 0 ? first / block_tokens : 0; j <= position[r] / block_tokens; j++)
      if (row[j] < 0 || row[j] >= blocks)
        return tn_fail(err, TN_ERR_ARGUMENT,
                       "attention_paged: block_table[%d][%" PRId64 "] is %d, wants 0 to %" PRId64
                       " (row %" PRId64 " reads up to token %d)",
                       sequence[r], j, row[j], blocks - 1, r, position[r]);
  }
  return TN_OK;
}

static tn_status check_paged(const tn_attention_paged_args *a, tn_error *err) {
  int64_t tokens = a->block_table.shape[1] * a->v_cache.shape[2];
  TN_TRY(check_range("attention_paged", "row_sequence", &a->row_sequence, 0,
                     a->block_table.shape[0], err));
  TN_TRY(check_range("attention_paged", "row_position", &a->row_position, 0, tokens, err));
  return check_blocks(a, err);
}

static tn_status check_rope(const char *op, const tn_tensor *positions, const tn_tensor *table,
                            int64_t D, tn_error *err) {
  if (table->shape[1] > D)
    return tn_fail(err, TN_ERR_ARGUMENT,
                   "%s: table turns %" PRId64 " values of a head, a head has %" PRId64, op,
                   table->shape[1], D);
  return check_range(op, "positions", positions, 0, table->shape[0], err);
}

static tn_status check_activation(const char *op, int32_t activation, tn_error *err) {
  if (activation >= 0 && activation < TN_ACT_COUNT) return TN_OK;
  return tn_fail(err, TN_ERR_ARGUMENT, "%s: activation is %d, wants 0 to %d", op, activation,
                 TN_ACT_COUNT - 1);
}

tn_status tn_op_check_indices(tn_op_id op, const void *args, tn_error *err) {
  const union {
    const void *any;
    const tn_embed_args *embed;
    const tn_embed_backward_args *embed_backward;
    const tn_take_columns_args *take_columns;
    const tn_rope_args *rope;
    const tn_rope_backward_args *rope_backward;
    const tn_kv_write_args *kv_write;
    const tn_rope_kv_write_args *heads;
    const tn_attention_paged_args *paged;
    const tn_activate_args *activate;
    const tn_activate_backward_args *activate_backward;
    const tn_glu_args *glu;
    const tn_glu_backward_args *glu_backward;
    const tn_route_order_args *route_order;
    const tn_route_combine_args *route_combine;
    const tn_cross_entropy_args *loss;
    const tn_cross_entropy_backward_args *loss_backward;
    const tn_linear_cross_entropy_args *linear_loss;
    const tn_linear_cross_entropy_backward_args *linear_loss_backward;
  } a = {args};
  const char *name = tn_op_describe(op)->name;
  switch (op) {
    case TN_OP_embed:
      return check_range(name, "ids", &a.embed->ids, 0, a.embed->table.shape[0], err);
    case TN_OP_embed_backward:
      return check_range(name, "ids", &a.embed_backward->ids, 0, a.embed_backward->dtable.shape[0],
                         err);
    case TN_OP_take_columns:
      return check_range(name, "order", &a.take_columns->order, 0, a.take_columns->x.shape[1], err);
    case TN_OP_rope:
      return check_rope(name, &a.rope->positions, &a.rope->table, a.rope->x.shape[2], err);
    case TN_OP_rope_backward:
      return check_rope(name, &a.rope_backward->positions, &a.rope_backward->table,
                        a.rope_backward->dy.shape[2], err);
    case TN_OP_kv_write:
      return check_range(name, "slots", &a.kv_write->slots, ANY_BELOW_ZERO,
                         a.kv_write->v_cache.shape[0] * a.kv_write->v_cache.shape[2], err);
    case TN_OP_rope_kv_write:
      TN_TRY(check_rope(name, &a.heads->positions, &a.heads->table, a.heads->q.shape[2], err));
      return check_range(name, "slots", &a.heads->slots, ANY_BELOW_ZERO,
                         a.heads->v_cache.shape[0] * a.heads->v_cache.shape[2], err);
    case TN_OP_attention_paged:
      return check_paged(a.paged, err);
    case TN_OP_activate:
      return check_activation(name, a.activate->activation, err);
    case TN_OP_activate_backward:
      return check_activation(name, a.activate_backward->activation, err);
    case TN_OP_glu:
      return check_activation(name, a.glu->activation, err);
    case TN_OP_glu_backward:
      return check_activation(name, a.glu_backward->activation, err);
    case TN_OP_route_order:
      return check_range(name, "experts", &a.route_order->experts, ANY_BELOW_ZERO,
                         a.route_order->counts.shape[0], err);
    case TN_OP_route_combine:
      return check_range(name, "places", &a.route_combine->places, ANY_BELOW_ZERO,
                         a.route_combine->y.shape[0], err);
    case TN_OP_cross_entropy:
      return check_range(name, "targets", &a.loss->targets, ANY_BELOW_ZERO, a.loss->logits.shape[1],
                         err);
    case TN_OP_cross_entropy_backward:
      return check_range(name, "targets", &a.loss_backward->targets, ANY_BELOW_ZERO,
                         a.loss_backward->logits.shape[1], err);
    case TN_OP_linear_cross_entropy:
      return check_range(name, "targets", &a.linear_loss->targets, ANY_BELOW_ZERO,
                         a.linear_loss->w.shape[0], err);
    case TN_OP_linear_cross_entropy_backward:
      return check_range(name, "targets", &a.linear_loss_backward->targets, ANY_BELOW_ZERO,
                         a.linear_loss_backward->w.shape[0], err);
    default:
      return TN_OK;
  }
}
