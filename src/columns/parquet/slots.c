/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/slots.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/form.h"
#include "columns/parquet/interner.h"

enum { VIEW_BYTES = 16, VIEW_INLINE_MAX = 12 };

void tn_parquet_slots_start(tn_parquet_slots *s, const tn_parquet_leaf *leaf) {
  *s = (tn_parquet_slots){.leaf = leaf};
}

void tn_parquet_slots_clear(tn_parquet_slots *s) {
  tn_parquet_bytes_clear(&s->valid);
  tn_parquet_bytes_clear(&s->values);
  tn_parquet_bytes_clear(&s->data);
  *s = (tn_parquet_slots){0};
}

/* `length` counts what is reserved here, so that growth doubles. */
static tn_status grow(tn_parquet_bytes *bytes, size_t want, bool zero, tn_error *err) {
  if (want <= bytes->length) return TN_OK;
  size_t before = bytes->capacity;
  TN_TRY(tn_parquet_bytes_reserve(bytes, want - bytes->length, err));
  if (zero && bytes->capacity > before) memset(bytes->data + before, 0, bytes->capacity - before);
  bytes->length = want;
  return TN_OK;
}

tn_status tn_parquet_slots_reserve(tn_parquet_slots *s, int64_t extra, tn_error *err) {
  int64_t slots = s->count + extra;
  bool bytes = tn_parquet_slots_are_bytes(s->leaf), bits = s->leaf->form == TN_PARQUET_FORM_BITS;
  size_t width = (size_t)(bytes ? 4 : s->leaf->width), want;
  if (s->leaf->max_def > 0) TN_TRY(grow(&s->valid, tn_bits_bytes(slots), true, err));
  if (bits || s->leaf->form == TN_PARQUET_FORM_NULL) {
    return bits ? grow(&s->values, tn_bits_bytes(slots), true, err) : TN_OK;
  }
  if (!tn_mul_size((size_t)slots + bytes, width, &want)) {
    return tn_fail(err, TN_ERR_LIMIT, "%lld values of %zu bytes", (long long)slots, width);
  }
  bool first = !s->values.data;
  if (first) tn_parquet_spare_take(s->spare, &s->values, want);
  TN_TRY(grow(&s->values, want, false, err));
  if (!bytes) return TN_OK;
  if (first) tn_store_u32(s->values.data, 0);
  return s->data.data ? TN_OK : tn_parquet_bytes_reserve(&s->data, 0, err);
}

/* ---- nulls: the values stand densely and move to their slots, last first ----------------------
 */

#define SPREAD(type)                                           \
  do {                                                         \
    type *to = (type *)(void *)s->values.data + row;           \
    for (int64_t i = rows - 1, left = count; left <= i; i--) { \
      type bit = (type)tn_bit_get(valid, row + i);             \
      left -= (int64_t)bit;                                    \
      to[i] = (type)(to[left] & (type)(0 - bit));              \
    }                                                          \
  } while (0)

static void spread_wide(uint8_t *values, size_t width, const uint8_t *valid, int64_t row,
                        int64_t rows, int64_t count) {
  uint8_t *to = values + (size_t)row * width;
  for (int64_t i = rows - 1; count <= i; i--) {
    if (tn_bit_get(valid, row + i)) {
      count--;
      memmove(to + (size_t)i * width, to + (size_t)count * width, width);
    } else {
      memset(to + (size_t)i * width, 0, width);
    }
  }
}

static void spread_bits(uint8_t *bits, const uint8_t *valid, int64_t row, int64_t rows,
                        int64_t count) {
  for (int64_t i = rows - 1; count <= i; i--) {
    bool is_valid = tn_bit_get(valid, row + i);
    if (is_valid) count--;
    tn_bit_put(bits, row + i, is_valid && tn_bit_get(bits, row + count));
  }
}

/* ends[0..count) are the dense values' ends, ends[-1] is where they start. */
static void spread_ends(int32_t *ends, const uint8_t *valid, int64_t row, int64_t rows,
                        int64_t count) {
  for (int64_t i = rows - 1; count <= i; i--) {
    ends[i] = ends[count - 1]; /* a null ends where the value before it ends */
    if (tn_bit_get(valid, row + i)) count--;
  }
}

static void spread(tn_parquet_slots *s, int64_t rows, int64_t count) {
  const uint8_t *valid = s->valid.data;
  int64_t row = s->count;
  if (tn_parquet_slots_are_bytes(s->leaf)) {
    spread_ends(tn_parquet_slots_ends(s), valid, row, rows, count);
    return;
  }
  switch (s->leaf->width) {
    case 0:
      if (s->leaf->form == TN_PARQUET_FORM_BITS) {
        spread_bits(s->values.data, valid, row, rows, count);
      }
      break;
    case 1:
      SPREAD(uint8_t);
      break;
    case 2:
      SPREAD(uint16_t);
      break;
    case 4:
      SPREAD(uint32_t);
      break;
    case 8:
      SPREAD(uint64_t);
      break;
    default:
      spread_wide(s->values.data, (size_t)s->leaf->width, valid, row, rows, count);
  }
}

void tn_parquet_slots_add(tn_parquet_slots *s, int64_t slots, int64_t values) {
  if (values < slots) spread(s, slots, values);
  s->count += slots;
  s->nulls += slots - values;
}

/* ---- finishing ------------------------------------------------------------------------------- */

typedef struct finished { /* buffers of the array to be */
  tn_buffer *buffers[4];
  int64_t count;
  ArrowArray dictionary; /* released: none */
} finished;

static const int32_t *ends_of(const tn_parquet_slots *s) {
  return (const int32_t *)(const void *)s->values.data;
}

static tn_status widen_ends(tn_parquet_slots *s, tn_error *err) {
  tn_parquet_bytes wide = {0};
  size_t bytes = ((size_t)s->count + 1) * 8;
  TN_TRY(tn_parquet_bytes_reserve(&wide, bytes, err));
  int64_t *to = (int64_t *)(void *)wide.data;
  for (int64_t i = 0; i <= s->count; i++) to[i] = ends_of(s)[i];
  wide.length = bytes;
  tn_parquet_bytes_clear(&s->values);
  s->values = wide;
  return TN_OK;
}

/* One data buffer holds every byte; a view of at most 12 bytes holds them itself. */
static tn_status make_views(tn_parquet_slots *s, tn_error *err) {
  tn_parquet_bytes views = {0};
  size_t bytes = (size_t)s->count * VIEW_BYTES;
  TN_TRY(tn_parquet_bytes_reserve(&views, bytes, err));
  memset(views.data, 0, bytes);
  for (int64_t i = 0; i < s->count; i++) {
    uint8_t *view = views.data + i * VIEW_BYTES;
    int32_t start = ends_of(s)[i], length = ends_of(s)[i + 1] - start;
    tn_store_u32(view, (uint32_t)length);
    memcpy(view + 4, s->data.data + start, length > VIEW_INLINE_MAX ? 4 : (size_t)length);
    if (length > VIEW_INLINE_MAX) tn_store_u32(view + 12, (uint32_t)start);
  }
  views.length = bytes;
  tn_parquet_bytes_clear(&s->values);
  s->values = views;
  return TN_OK;
}

static tn_status make_decimals(tn_parquet_slots *s, tn_error *err) {
  tn_parquet_bytes out = {0};
  size_t width = (size_t)s->leaf->width, bytes = (size_t)s->count * width;
  bool good = true;
  TN_TRY(tn_parquet_bytes_reserve(&out, bytes, err));
  for (int64_t i = 0; i < s->count; i++) {
    int32_t start = ends_of(s)[i], length = ends_of(s)[i + 1] - start;
    good &= tn_parquet_big_to_little(s->data.data + start, (size_t)length,
                                     out.data + (size_t)i * width, width);
  }
  out.length = bytes;
  tn_parquet_bytes_clear(&s->values);
  s->values = out;
  if (good) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "among %lld values one is beyond the range of %s",
                 (long long)s->count, s->leaf->text);
}

/* ---- dictionaries: each distinct value once, in the order in which they come -------------------
 */

enum { INTERN_AT_ONCE = 256, INTERN_KEPT_BYTES = 1 << 20 };

static tn_status intern_all(const tn_parquet_slots *s, tn_parquet_interner *in, uint32_t *indices,
                            tn_error *err) {
  tn_str values[INTERN_AT_ONCE];
  uint32_t found[INTERN_AT_ONCE];
  int64_t at[INTERN_AT_ONCE];
  for (int64_t i = 0; i < s->count;) {
    size_t n = 0;
    for (; i < s->count && n < INTERN_AT_ONCE; i++) {
      if (s->nulls && !tn_bit_get(s->valid.data, i)) continue;
      int32_t start = ends_of(s)[i];
      values[n] = (tn_str){(const char *)s->data.data + start, (size_t)(ends_of(s)[i + 1] - start)};
      at[n++] = i;
    }
    tn_status status = tn_parquet_intern_bytes(in, values, (int64_t)n, found, err);
    if (status != TN_OK) {
      return status == TN_FULL ? tn_fail(err, TN_ERR_LIMIT, "a dictionary beyond 2 GiB") : status;
    }
    for (size_t k = 0; k < n; k++) indices[at[k]] = found[k];
  }
  return TN_OK;
}

static tn_status dictionary_values(const tn_parquet_slots *s, const tn_parquet_interner *in,
                                   ArrowArray *out, tn_error *err) {
  tn_parquet_leaf leaf = *s->leaf;
  tn_parquet_slots values;
  leaf.dictionary = false;
  leaf.max_def = 0;
  tn_parquet_slots_start(&values, &leaf);
  tn_status status = tn_parquet_slots_reserve(&values, in->count, err);
  for (uint32_t i = 0; i < in->count && status == TN_OK; i++) {
    tn_str v = tn_parquet_interner_str(in, i);
    status = tn_parquet_bytes_append(&values.data, v.data, v.length, err);
    tn_parquet_slots_ends(&values)[i] = (int32_t)values.data.length;
  }
  if (status == TN_OK) {
    tn_parquet_slots_add(&values, in->count, in->count);
    status = tn_parquet_slots_finish(&values, out, err);
  }
  tn_parquet_slots_clear(&values);
  return status;
}

/* A dictionary begins with those of the batches before: values are found faster than entered, and
 * who writes the dictionaries has only values to add.  As all of it goes out with each batch, one
 * that is large, also beside the batch, begins anew. */
static tn_status make_dictionary(tn_parquet_slots *s, ArrowArray *dictionary, tn_error *err) {
  tn_parquet_interner own = {0}, *in = s->interner ? s->interner : &own;
  if (in->values.length > INTERN_KEPT_BYTES || in->count / 2 > s->count)
    tn_parquet_interner_reset(in);
  in->bytes_max = INT32_MAX;
  tn_parquet_bytes indices = {0};
  size_t bytes = (size_t)s->count * sizeof(uint32_t);
  TN_TRY(tn_parquet_bytes_reserve(&indices, bytes, err));
  memset(indices.data, 0, bytes);
  indices.length = bytes;
  tn_status status = intern_all(s, in, (uint32_t *)(void *)indices.data, err);
  if (status == TN_OK) status = dictionary_values(s, in, dictionary, err);
  tn_parquet_interner_clear(&own);
  tn_parquet_bytes_clear(&s->values);
  tn_parquet_bytes_clear(&s->data);
  s->values = indices;
  return status;
}

/* ---- the array ------------------------------------------------------------------------------- */

static tn_status shape(tn_parquet_slots *s, finished *f, tn_error *err) {
  f->count = 2;
  if (s->leaf->dictionary) return make_dictionary(s, &f->dictionary, err);
  if (s->leaf->form == TN_PARQUET_FORM_BIG_BYTES) return make_decimals(s, err);
  if (s->leaf->form != TN_PARQUET_FORM_BYTES) return TN_OK;
  f->count = 3;
  switch (s->leaf->type.layout) {
    case TN_LAYOUT_LARGE_BYTES:
      return widen_ends(s, err);
    case TN_LAYOUT_VIEW:
      f->count = 4;
      return make_views(s, err);
    default:
      return TN_OK;
  }
}

static tn_status wrap_all(tn_parquet_slots *s, finished *f, tn_error *err) {
  bool has_data = f->count > 2;
  int64_t data_bytes = (int64_t)s->data.length;
  if (s->nulls && s->leaf->nullable)
    TN_TRY(tn_parquet_spare_wrap(NULL, &s->valid, &f->buffers[0], err));
  TN_TRY(tn_parquet_spare_wrap(s->spare, &s->values, &f->buffers[1], err));
  if (has_data) TN_TRY(tn_parquet_spare_wrap(s->spare, &s->data, &f->buffers[2], err));
  if (f->count < 4) return TN_OK;
  TN_TRY(tn_buffer_new(&f->buffers[3], sizeof data_bytes, err)); /* sizes of a view's buffers */
  memcpy(f->buffers[3]->data, &data_bytes, sizeof data_bytes);
  return TN_OK;
}

static tn_status build(tn_parquet_slots *s, finished *f, ArrowArray *out, tn_error *err) {
  tn_parquet_bytes *values = &s->values;
  if (s->leaf->is_key && s->nulls) return tn_fail(err, TN_ERR_DATA, "a map has a null key");
  if (s->leaf->form == TN_PARQUET_FORM_NULL) {
    return tn_array_make(out, &(tn_array_parts){.length = s->count, .null_count = s->count}, err);
  }
  TN_TRY(tn_parquet_slots_reserve(s, 0, err));
  values->length = s->leaf->form == TN_PARQUET_FORM_BITS ? tn_bits_bytes(s->count)
                   : tn_parquet_slots_are_bytes(s->leaf)
                       ? ((size_t)s->count + 1) * 4
                       : (size_t)s->count * (size_t)s->leaf->width;
  s->valid.length = s->leaf->max_def ? tn_bits_bytes(s->count) : 0;
  TN_TRY(shape(s, f, err));
  TN_TRY(wrap_all(s, f, err));
  tn_array_parts parts = {.length = s->count,
                          .null_count = s->leaf->nullable ? s->nulls : 0,
                          .buffers = f->buffers,
                          .buffer_count = f->count,
                          .dictionary = s->leaf->dictionary ? &f->dictionary : NULL};
  return tn_array_make(out, &parts, err);
}

tn_status tn_parquet_slots_finish(tn_parquet_slots *s, ArrowArray *out, tn_error *err) {
  finished f = {0};
  tn_status status = build(s, &f, out, err);
  for (int64_t i = 0; i < 4; i++) tn_buffer_drop(f.buffers[i]);
  tn_array_clear(&f.dictionary);
  tn_parquet_slots_clear(s);
  return status;
}
