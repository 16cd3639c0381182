/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/interner.h"

/* Probes a value may take before the interner calls itself full: keys made to collide cost no more.
 */
enum { SLOT_BITS_MIN = 10, PROBES_MAX = 512 };
static const uint64_t MIX = 0x9e3779b97f4a7c15u, MIX_2 = 0xd6e8feb86659fd93u;

void tn_parquet_interner_reset(tn_parquet_interner *in) {
  if (in->slots) memset(in->slots, 0, sizeof *in->slots << in->slot_bits);
  in->count = 0;
  in->values.length = 0;
  in->starts.length = 0;
}

void tn_parquet_interner_clear(tn_parquet_interner *in) {
  tn_parquet_bytes_clear(&in->values);
  tn_parquet_bytes_clear(&in->starts);
  tn_free(in->slots);
  in->slots = NULL;
  in->slot_bits = 0;
  in->count = 0;
}

static inline size_t home_of(const tn_parquet_interner *in, uint32_t tag) {
  return (size_t)((tag * MIX) >> (64 - in->slot_bits));
}

static inline uint32_t tag_of_64(uint64_t key) {
  key = (key ^ key >> 32) * MIX_2;
  return (uint32_t)(key >> 32);
}

static inline uint32_t tag_of_bytes(const char *p, size_t length) {
  uint64_t hash = length * MIX_2, last = 0;
  const char *end = p + length;
  for (; end - p > 8; p += 8) {
    hash = (hash ^ tn_load_u64(p)) * MIX;
    hash ^= hash >> 29;
  }
  if (length >= 8) {
    last = tn_load_u64(end - 8);
  } else if (length >= 4) {
    last = (uint64_t)tn_load_u32(p) << 32 | tn_load_u32(end - 4);
  } else if (length > 0) {
    last = (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[length / 2] << 8 |
           (uint8_t)p[length - 1];
  }
  return tag_of_64((hash ^ last) * MIX);
}

/* At most half full. */
static tn_status make_room(tn_parquet_interner *in, tn_error *err) {
  if (in->slots && in->count < (uint32_t)1 << (in->slot_bits - 1)) return TN_OK;
  int32_t old_bits = in->slot_bits, bits = in->slots ? old_bits + 1 : SLOT_BITS_MIN;
  size_t old_size = in->slots ? (size_t)1 << old_bits : 0, size = (size_t)1 << bits;
  uint64_t *old = in->slots, *slots = tn_alloc(size, sizeof *slots);
  if (!slots) return tn_fail_memory(err, "a dictionary's hash table", size * sizeof *slots);
  in->slots = slots;
  in->slot_bits = bits;
  for (size_t i = 0; i < old_size; i++) {
    if (!old[i]) continue;
    size_t at = home_of(in, (uint32_t)(old[i] >> 32));
    while (slots[at]) at = (at + 1) & (size - 1);
    slots[at] = old[i];
  }
  tn_free(old);
  return TN_OK;
}

static tn_status add_fixed(tn_parquet_interner *in, const void *value, tn_error *err) {
  if (in->values.length + (size_t)in->width > in->bytes_max) return TN_FULL;
  TN_TRY(tn_parquet_bytes_append(&in->values, value, (size_t)in->width, err));
  in->count++;
  return make_room(in, err);
}

static tn_status intern_32(tn_parquet_interner *in, const uint32_t *values, int64_t count,
                           uint32_t *indices, tn_error *err) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t key = values[i];
    size_t mask = ((size_t)1 << in->slot_bits) - 1, at = home_of(in, key);
    int probes = 0;
    while (in->slots[at] && (uint32_t)(in->slots[at] >> 32) != key) {
      at = (at + 1) & mask;
      if (++probes > PROBES_MAX) return TN_FULL;
    }
    if (!in->slots[at]) {
      in->slots[at] = (uint64_t)key << 32 | (in->count + 1);
      indices[i] = in->count;
      tn_status status = add_fixed(in, &key, err);
      if (status != TN_OK) return status;
    } else {
      indices[i] = (uint32_t)in->slots[at] - 1;
    }
  }
  return TN_OK;
}

static tn_status intern_64(tn_parquet_interner *in, const uint64_t *values, int64_t count,
                           uint32_t *indices, tn_error *err) {
  for (int64_t i = 0; i < count; i++) {
    uint64_t key = values[i], slot;
    uint32_t tag = tag_of_64(key);
    size_t mask = ((size_t)1 << in->slot_bits) - 1, at = home_of(in, tag);
    int probes = 0;
    while ((slot = in->slots[at]) != 0) {
      if ((uint32_t)(slot >> 32) == tag &&
          tn_load_u64(in->values.data + ((size_t)(uint32_t)slot - 1) * 8) == key) {
        break;
      }
      at = (at + 1) & mask;
      if (++probes > PROBES_MAX) return TN_FULL;
    }
    if (!slot) {
      in->slots[at] = (uint64_t)tag << 32 | (in->count + 1);
      indices[i] = in->count;
      tn_status status = add_fixed(in, &key, err);
      if (status != TN_OK) return status;
    } else {
      indices[i] = (uint32_t)slot - 1;
    }
  }
  return TN_OK;
}

/* Any other width. */
static tn_status intern_wide(tn_parquet_interner *in, const uint8_t *values, int64_t count,
                             uint32_t *indices, tn_error *err) {
  size_t width = (size_t)in->width;
  for (int64_t i = 0; i < count; i++) {
    const uint8_t *key = values + (size_t)i * width;
    uint32_t tag = tag_of_bytes((const char *)key, width);
    uint64_t slot;
    size_t mask = ((size_t)1 << in->slot_bits) - 1, at = home_of(in, tag);
    int probes = 0;
    while ((slot = in->slots[at]) != 0) {
      if ((uint32_t)(slot >> 32) == tag &&
          memcmp(in->values.data + ((size_t)(uint32_t)slot - 1) * width, key, width) == 0) {
        break;
      }
      at = (at + 1) & mask;
      if (++probes > PROBES_MAX) return TN_FULL;
    }
    if (!slot) {
      in->slots[at] = (uint64_t)tag << 32 | (in->count + 1);
      indices[i] = in->count;
      tn_status status = add_fixed(in, key, err);
      if (status != TN_OK) return status;
    } else {
      indices[i] = (uint32_t)slot - 1;
    }
  }
  return TN_OK;
}

tn_status tn_parquet_intern_fixed(tn_parquet_interner *in, const void *values, int64_t count,
                                  uint32_t *indices, tn_error *err) {
  TN_TRY(make_room(in, err));
  if (in->width == 4) return intern_32(in, values, count, indices, err);
  if (in->width == 8) return intern_64(in, values, count, indices, err);
  return intern_wide(in, values, count, indices, err);
}

tn_str tn_parquet_interner_str(const tn_parquet_interner *in, uint32_t index) {
  const uint8_t *p = in->values.data + tn_load_u32(in->starts.data + (size_t)index * 4);
  return (tn_str){(const char *)p + 4, tn_load_u32(p)};
}

static tn_status add_bytes(tn_parquet_interner *in, tn_str value, tn_error *err) {
  size_t want = in->values.length;
  if (!tn_add_size(want, value.length + 4, &want) || want > in->bytes_max) return TN_FULL;
  uint32_t start = (uint32_t)in->values.length, length = (uint32_t)value.length;
  TN_TRY(tn_parquet_bytes_append(&in->starts, &start, sizeof start, err));
  TN_TRY(tn_parquet_bytes_append(&in->values, &length, sizeof length, err));
  TN_TRY(tn_parquet_bytes_append(&in->values, value.data, value.length, err));
  in->count++;
  return make_room(in, err);
}

tn_status tn_parquet_intern_bytes(tn_parquet_interner *in, const tn_str *values, int64_t count,
                                  uint32_t *indices, tn_error *err) {
  TN_TRY(make_room(in, err));
  for (int64_t i = 0; i < count; i++) {
    tn_str key = values[i];
    uint32_t tag = tag_of_bytes(key.data, key.length);
    uint64_t slot;
    size_t mask = ((size_t)1 << in->slot_bits) - 1, at = home_of(in, tag);
    int probes = 0;
    while ((slot = in->slots[at]) != 0) {
      if ((uint32_t)(slot >> 32) == tag &&
          tn_str_equal(tn_parquet_interner_str(in, (uint32_t)slot - 1), key)) {
        break;
      }
      at = (at + 1) & mask;
      if (++probes > PROBES_MAX) return TN_FULL;
    }
    if (!slot) {
      in->slots[at] = (uint64_t)tag << 32 | (in->count + 1);
      indices[i] = in->count;
      tn_status status = add_bytes(in, key, err);
      if (status != TN_OK) return status;
    } else {
      indices[i] = (uint32_t)slot - 1;
    }
  }
  return TN_OK;
}
