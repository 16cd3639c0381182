/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/map.h"
#include "model/safetensors.h"
#include "model/safetensors_sum.h"

enum { CHUNK_ELEMENTS = 64 * 1024 }; /* converted at a time */

typedef struct writer {
  const char *path;
  const tn_named_tensor *tensors;
  int64_t count;
  bool rounds; /* real tensors are written as `dtype` */
  tn_dtype dtype;
  int64_t *order; /* file order -> place in tensors */
  uint64_t *sums; /* in file order */
  void *chunk;    /* CHUNK_ELEMENTS of at most 8 bytes */
} writer;

static tn_dtype dtype_in_file(const writer *w, const tn_tensor *t) {
  return w->rounds && tn_dtype_is_real(t->dtype) ? w->dtype : t->dtype;
}

static int64_t bytes_in_file(const writer *w, const tn_tensor *t) {
  return tn_tensor_count(t) * tn_dtype_bytes(dtype_in_file(w, t));
}

/* ---- the bytes of a tensor, in chunks, to whoever takes them ---- */

typedef tn_status (*take_bytes)(void *context, const void *bytes, size_t count, tn_error *err);

static void convert(void *out, tn_dtype to, const void *in, tn_dtype from, int64_t start,
                    int64_t count) {
  if (to == TN_BF16 && from == TN_F32) { /* the common case by far: saving a trained model */
    const float *x = (const float *)in + start;
    uint16_t *y = out;
    for (int64_t i = 0; i < count; i++) y[i] = tn_f32_to_bf16(x[i]);
    return;
  }
  for (int64_t i = 0; i < count; i++)
    tn_element_set(out, to, i, tn_element_get(in, from, start + i));
}

static tn_status give_tensor(const writer *w, const tn_tensor *t, take_bytes take, void *context,
                             tn_error *err) {
  tn_dtype to = dtype_in_file(w, t);
  int64_t count = tn_tensor_count(t);
  if (count == 0) return TN_OK;
  if (to == t->dtype) return take(context, tn_tensor_data(t), (size_t)tn_tensor_bytes(t), err);
  for (int64_t at = 0; at < count; at += CHUNK_ELEMENTS) {
    int64_t n = count - at < CHUNK_ELEMENTS ? count - at : CHUNK_ELEMENTS;
    convert(w->chunk, to, tn_tensor_data(t), t->dtype, at, n);
    TN_TRY(take(context, w->chunk, (size_t)(n * tn_dtype_bytes(to)), err));
  }
  return TN_OK;
}

static tn_status take_into_sum(void *context, const void *bytes, size_t count, tn_error *err) {
  XXH64_update(context, bytes, count);
  return TN_OK;
}

static tn_status take_into_sink(void *context, const void *bytes, size_t count, tn_error *err) {
  return tn_sink_write(context, bytes, count, err);
}

static tn_status make_sums(writer *w, tn_error *err) {
  XXH64_state_t *state = XXH64_createState();
  if (!state) return tn_fail_memory(err, "a checksum", sizeof(void *));
  tn_status status = TN_OK;
  for (int64_t i = 0; i < w->count && status == TN_OK; i++) {
    XXH64_reset(state, 0);
    status = give_tensor(w, &w->tensors[w->order[i]].tensor, take_into_sum, state, err);
    w->sums[i] = XXH64_digest(state);
  }
  XXH64_freeState(state);
  return status;
}

/* ---- the header ---- */

static void write_digits(tn_json_writer *j, uint64_t sum) {
  char digits[TN_SUM_DIGITS + 1];
  snprintf(digits, sizeof digits, "%016" PRIx64, sum);
  tn_json_cstr(j, digits);
}

/* The header's own sum comes first, so that its digits have a known place. */
static void write_metadata(const writer *w, tn_json_writer *j, const char *const *metadata,
                           int32_t pairs) {
  tn_json_key(j, TN_ST_METADATA);
  tn_json_begin_object(j);
  tn_json_key(j, TN_SUM_HEADER);
  write_digits(j, 0);
  for (int32_t i = 0; i < pairs; i++) {
    tn_json_key(j, metadata[2 * i]);
    tn_json_cstr(j, metadata[2 * i + 1]);
  }
  tn_strbuf key = {0};
  for (int64_t i = 0; i < w->count; i++) {
    tn_strbuf_reset(&key);
    tn_strbuf_addf(&key, TN_SUM_PREFIX "%s", w->tensors[w->order[i]].name);
    if (key.failed) j->out->failed = true;
    tn_json_key_str(j, tn_strbuf_view(&key));
    write_digits(j, w->sums[i]);
  }
  tn_strbuf_clear(&key);
  tn_json_end_object(j);
}

static void write_entry(const writer *w, tn_json_writer *j, const tn_named_tensor *named,
                        int64_t *at) {
  const tn_tensor *t = &named->tensor;
  tn_json_key(j, named->name);
  tn_json_begin_object(j);
  tn_json_key(j, "dtype");
  tn_json_cstr(j, tn_dtype_safetensors_name(dtype_in_file(w, t)));
  tn_json_key(j, "shape");
  tn_json_begin_array(j);
  for (int32_t d = 0; d < t->rank; d++) tn_json_i64(j, t->shape[d]);
  tn_json_end_array(j);
  tn_json_key(j, "data_offsets");
  tn_json_begin_array(j);
  tn_json_i64(j, *at);
  *at += bytes_in_file(w, t);
  tn_json_i64(j, *at);
  tn_json_end_array(j);
  tn_json_end_object(j);
}

static void seal_header(tn_strbuf *header) {
  char digits[TN_SUM_DIGITS + 1];
  int64_t place = tn_str_find(tn_strbuf_view(header), TN_STR("\"" TN_SUM_HEADER "\":\""));
  if (place < 0) return; /* only when memory ran out on the way */
  snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH64(header->data, header->length, 0));
  memcpy(header->data + place + sizeof("\"" TN_SUM_HEADER "\":\"") - 1, digits, TN_SUM_DIGITS);
}

static tn_status make_header(const writer *w, const char *const *metadata, int32_t pairs,
                             tn_strbuf *header, tn_error *err) {
  tn_json_writer j = {.out = header};
  int64_t at = 0;
  tn_json_begin_object(&j);
  write_metadata(w, &j, metadata, pairs);
  for (int64_t i = 0; i < w->count; i++) write_entry(w, &j, &w->tensors[w->order[i]], &at);
  tn_json_end_object(&j);
  while (!header->failed && (header->length + TN_ST_LENGTH_BYTES) % TN_ST_HEADER_ALIGNED != 0)
    tn_strbuf_add_char(header, ' ');
  TN_TRY(tn_strbuf_check(header, err));
  if (header->length > TN_ST_HEADER_MAX)
    return tn_fail(err, TN_ERR_LIMIT, "%s: header wants %zu bytes, limit %d", w->path,
                   header->length, TN_ST_HEADER_MAX);
  seal_header(header);
  return TN_OK;
}

/* ---- guards and order ---- */

static tn_status check_tensor(const writer *w, const tn_named_tensor *named, tn_map *seen,
                              tn_error *err) {
  const tn_tensor *t = &named->tensor;
  if (!named->name || tn_str_is(tn_str_of(named->name), TN_ST_METADATA))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: a tensor cannot be named \"%s\"", w->path,
                   named->name ? named->name : "(null)");
  if (!t->buffer || t->buffer->device || !tn_tensor_is_contiguous(t))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: tensor \"%s\" is not contiguous host memory", w->path,
                   named->name);
  if (!tn_utf8_valid(tn_str_of(named->name)))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: a tensor's name is not valid UTF-8", w->path);
  if (tn_map_get(seen, tn_str_of(named->name), NULL))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: tensor \"%s\" is given twice", w->path, named->name);
  return tn_map_put(seen, tn_str_of(named->name), 1, err);
}

static tn_status check_tensors(const writer *w, tn_error *err) {
  tn_map seen = {0};
  tn_status status = TN_OK;
  for (int64_t i = 0; i < w->count && status == TN_OK; i++)
    status = check_tensor(w, &w->tensors[i], &seen, err);
  tn_map_clear(&seen);
  return status;
}

static tn_status check_metadata(const writer *w, const char *const *metadata, int32_t pairs,
                                tn_error *err) {
  for (int32_t i = 0; i < pairs; i++)
    if (tn_str_starts(tn_str_of(metadata[2 * i]), TN_STR("xxh64")))
      return tn_fail(err, TN_ERR_ARGUMENT, "%s: metadata \"%s\": xxh64... is for checksums",
                     w->path, metadata[2 * i]);
  return TN_OK;
}

static void order_by_width(writer *w) {
  int64_t place = 0;
  for (int32_t width = 8; width >= 1; width /= 2)
    for (int64_t i = 0; i < w->count; i++)
      if (tn_dtype_bytes(dtype_in_file(w, &w->tensors[i].tensor)) == width) w->order[place++] = i;
}

static tn_status prepare(writer *w, tn_error *err) {
  w->order = tn_alloc((size_t)w->count, sizeof *w->order);
  w->sums = tn_alloc((size_t)w->count, sizeof *w->sums);
  w->chunk = w->rounds ? tn_alloc(CHUNK_ELEMENTS, sizeof(double)) : NULL;
  if (!w->order || !w->sums || (w->rounds && !w->chunk))
    return tn_fail_memory(err, "a safetensors writer", (size_t)w->count * sizeof *w->order);
  TN_TRY(check_tensors(w, err));
  order_by_width(w);
  return make_sums(w, err);
}

static tn_status write_all(const writer *w, tn_sink *sink, tn_str header, tn_error *err) {
  uint8_t length[TN_ST_LENGTH_BYTES];
  for (int i = 0; i < TN_ST_LENGTH_BYTES; i++) length[i] = (uint8_t)(header.length >> (8 * i));
  TN_TRY(tn_sink_write(sink, length, sizeof length, err));
  TN_TRY(tn_sink_write(sink, header.data, header.length, err));
  for (int64_t i = 0; i < w->count; i++)
    TN_TRY(give_tensor(w, &w->tensors[w->order[i]].tensor, take_into_sink, sink, err));
  return tn_sink_commit(sink, err);
}

static tn_status run_writer(writer *w, const char *const *metadata, int32_t pairs, tn_error *err) {
  tn_strbuf header = {0};
  tn_sink *sink = NULL;
  tn_status status = check_metadata(w, metadata, pairs, err);
  if (status == TN_OK) status = prepare(w, err);
  if (status == TN_OK) status = make_header(w, metadata, pairs, &header, err);
  if (status == TN_OK) status = tn_sink_open_file(&sink, w->path, err);
  if (status == TN_OK) status = write_all(w, sink, tn_strbuf_view(&header), err);
  tn_sink_close(sink);
  tn_strbuf_clear(&header);
  tn_free(w->order);
  tn_free(w->sums);
  tn_free(w->chunk);
  return status;
}

tn_status tn_safetensors_write(const char *path, const tn_named_tensor *tensors, int64_t count,
                               const char *const *metadata, int32_t metadata_count, tn_error *err) {
  writer w = {.path = path, .tensors = tensors, .count = count};
  return run_writer(&w, metadata, metadata_count, err);
}

tn_status tn_safetensors_write_as(const char *path, const tn_named_tensor *tensors, int64_t count,
                                  tn_dtype dtype, const char *const *metadata,
                                  int32_t metadata_count, tn_error *err) {
  if (!tn_dtype_is_real(dtype))
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: cannot round tensors to %s", path,
                   tn_dtype_name(dtype));
  writer w = {.path = path, .tensors = tensors, .count = count, .rounds = true, .dtype = dtype};
  return run_writer(&w, metadata, metadata_count, err);
}
