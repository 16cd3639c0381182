/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/source_check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { RUN = 4096 };

/* An exponent of ones alone: infinity or NaN.  Where there is none, which is nearly always, the
 * runs are gone through without a branch in them. */

static bool has_special_32(const uint8_t *at, int64_t count) {
  uint32_t found = 0;
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, at + i * 4, 4);
    found |= (uint32_t)((bits & 0x7f800000u) == 0x7f800000u);
  }
  return found;
}

static bool has_special_16(const uint8_t *at, int64_t count, uint16_t mask) {
  uint16_t found = 0;
  for (int64_t i = 0; i < count; i++) {
    uint16_t bits;
    memcpy(&bits, at + i * 2, 2);
    found |= (uint16_t)((bits & mask) == mask);
  }
  return found;
}

static bool has_special(tn_dtype dtype, const uint8_t *at, int64_t count) {
  if (dtype == TN_F32) return has_special_32(at, count);
  return has_special_16(at, count, dtype == TN_F16 ? 0x7c00 : 0x7f80);
}

/* -1: all are finite. */
static int64_t find_special(const tn_tensor *t) {
  const uint8_t *data = tn_tensor_data(t);
  int64_t count = tn_tensor_count(t), width = tn_dtype_bytes(t->dtype);
  for (int64_t from = 0; from < count; from += RUN) {
    int64_t run = count - from < RUN ? count - from : RUN;
    if (!has_special(t->dtype, data + from * width, run)) continue;
    while (!has_special(t->dtype, data + from * width, 1)) from++;
    return from;
  }
  return -1;
}

static tn_status fail_at(const tn_weight *w, const char *name, int64_t at, tn_error *err) {
  const tn_tensor *t = &w->tensor;
  const char *data = tn_tensor_data(t);
  int64_t columns = t->rank > 1 ? tn_tensor_count(t) / t->shape[0] : 1;
  char place[64];
  float value;
  uint16_t half;
  if (t->dtype == TN_F32) {
    memcpy(&value, data + at * 4, 4);
  } else {
    memcpy(&half, data + at * 2, 2);
    value = t->dtype == TN_F16 ? tn_f16_to_f32(half) : tn_bf16_to_f32(half);
  }
  if (t->rank > 1)
    snprintf(place, sizeof place, "[%" PRId64 ", %" PRId64 "]", at / columns, at % columns);
  else
    snprintf(place, sizeof place, "[%" PRId64 "]", at);
  return tn_fail(err, TN_ERR_DATA, "%s: \"%s\": element %s is %s, weights must be finite numbers",
                 w->path, name, place,
                 isnan(value) ? "nan"
                 : value > 0  ? "inf"
                              : "-inf");
}

/* A part of a fused tensor, "qkv_proj.weight[1]", is looked at with the first part. */
static tn_status check_named(tn_weight_source *source, const char *name, tn_error *err) {
  char whole[256];
  tn_weight w;
  const char *part = strrchr(name, '[');
  if (part && strcmp(part, "[0]") != 0) return TN_OK;
  snprintf(whole, sizeof whole, "%.*s", part ? (int)(part - name) : (int)strlen(name), name);
  if (!tn_weight_source_has(source, whole)) return TN_OK; /* whoever needs it says so */
  TN_TRY(tn_weight_source_find(source, whole, &w, err));
  bool known = w.tensor.dtype == TN_F32 || w.tensor.dtype == TN_F16 || w.tensor.dtype == TN_BF16;
  int64_t at = known ? find_special(&w.tensor) : -1;
  tn_status status = at < 0 ? TN_OK : fail_at(&w, whole, at, err);
  tn_weight_clear(&w);
  return status;
}

tn_status tn_source_check(const tn_model *model, tn_weight_source *source, tn_error *err) {
  int64_t count;
  const tn_parameter *p = tn_model_parameters(model, &count);
  for (int64_t i = 0; i < count; i++) TN_TRY(check_named(source, p[i].name, err));
  return TN_OK;
}
