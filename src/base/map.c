/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

/* Multiply-and-fold: each step takes 16 bytes through one 64 x 64 -> 128 bit product, whose halves
 * are xored.  The constants are digits of pi, made odd. */
enum { SLOTS_MIN = 16, GET_AT_ONCE = 64 };
static const uint64_t mix_a = 0x243F6A8885A308D3u, mix_b = 0x13198A2E03707345u;

static uint64_t fold(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 wide;
  wide product = (wide)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const uint8_t *at, size_t bytes) {
  uint64_t word = 0;
  memcpy(&word, at, bytes);
  return word;
}

uint64_t tn_hash_bytes(const void *data, size_t bytes, uint64_t seed) {
  const uint8_t *at = data;
  uint64_t hash = fold(seed ^ mix_a, bytes ^ mix_b);
  size_t left = bytes;
  for (; left >= 16; left -= 16, at += 16)
    hash = fold(load(at, 8) ^ hash ^ mix_a, load(at + 8, 8) ^ mix_b) + hash;
  uint64_t low = 0, high = 0;
  if (left) {
    low = load(at, left < 8 ? left : 8);
    if (left > 8) high = load(at + 8, left - 8);
  }
  return fold(fold(low ^ hash ^ mix_a, high ^ mix_b) ^ mix_b, hash ^ mix_a);
}

/* The slot that holds the key, or the empty one where it belongs.  slot_count is a power of two and
 * never full. */
static size_t find_slot(const tn_map *map, tn_str key, uint64_t hash) {
  size_t mask = map->slot_count - 1;
  for (size_t slot = hash & mask;; slot = (slot + 1) & mask) {
    if (map->slots[slot] == 0) return slot;
    const tn_map_entry *entry = &map->entries[map->slots[slot] - 1];
    if (entry->hash == hash && tn_str_equal(entry->key, key)) return slot;
  }
}

static tn_status grow_slots(tn_map *map, tn_error *err) {
  size_t count = map->slot_count ? map->slot_count * 2 : SLOTS_MIN;
  uint32_t *slots = tn_alloc(count, sizeof *slots);
  if (!slots) return tn_fail_memory(err, "the slots of a map", count * sizeof *slots);
  for (size_t i = 0; i < map->count; i++) {
    size_t slot = map->entries[i].hash & (count - 1);
    while (slots[slot]) slot = (slot + 1) & (count - 1);
    slots[slot] = (uint32_t)i + 1;
  }
  tn_free(map->slots);
  map->slots = slots;
  map->slot_count = count;
  return TN_OK;
}

/* Everything that can fail comes before the first change that a reader could see. */
static tn_status insert(tn_map *map, tn_str key, uint64_t hash, uint64_t value, tn_error *err) {
  if (map->count >= UINT32_MAX - 1)
    return tn_fail(err, TN_ERR_LIMIT, "a map holds %zu keys, limit %u", map->count, UINT32_MAX - 1);
  if ((map->count + 1) * 4 > map->slot_count * 3) TN_TRY(grow_slots(map, err));
  void *entries = map->entries;
  TN_TRY(tn_grow(&entries, &map->capacity, map->count + 1, sizeof *map->entries, err));
  map->entries = entries;
  char *copy = tn_arena_strndup(&map->keys, key.data, key.length);
  if (!copy) return tn_fail_memory(err, "a key of a map", key.length);
  map->slots[find_slot(map, key, hash)] = (uint32_t)map->count + 1;
  map->entries[map->count++] =
      (tn_map_entry){.key = {copy, key.length}, .value = value, .hash = hash};
  return TN_OK;
}

tn_status tn_map_put(tn_map *map, tn_str key, uint64_t value, tn_error *err) {
  uint64_t hash = tn_hash_bytes(key.data, key.length, 0);
  if (map->slot_count) {
    uint32_t entry = map->slots[find_slot(map, key, hash)];
    if (entry) {
      map->entries[entry - 1].value = value;
      return TN_OK;
    }
  }
  return insert(map, key, hash, value, err);
}

bool tn_map_get(const tn_map *map, tn_str key, uint64_t *value) {
  if (map->count == 0) return false;
  uint32_t entry = map->slots[find_slot(map, key, tn_hash_bytes(key.data, key.length, 0))];
  if (entry == 0) return false;
  if (value) *value = map->entries[entry - 1].value;
  return true;
}

/* The likely entry of each key, step by step for all of them: slot, entry, key. */
static void fetch(const tn_map *map, const uint64_t *hashes, size_t count) {
  const tn_map_entry *likely[GET_AT_ONCE];
  size_t mask = map->slot_count - 1;
  for (size_t i = 0; i < count; i++) __builtin_prefetch(&map->slots[hashes[i] & mask]);
  for (size_t i = 0; i < count; i++) {
    uint32_t entry = map->slots[hashes[i] & mask];
    likely[i] = entry ? &map->entries[entry - 1] : map->entries;
    __builtin_prefetch(likely[i]);
  }
  for (size_t i = 0; i < count; i++) __builtin_prefetch(likely[i]->key.data);
}

void tn_map_get_many(const tn_map *map, const tn_str *keys, size_t count, uint64_t *values) {
  uint64_t hashes[GET_AT_ONCE];
  for (size_t from = 0; from < count; from += GET_AT_ONCE) {
    size_t n = count - from < GET_AT_ONCE ? count - from : GET_AT_ONCE;
    for (size_t i = 0; i < n; i++)
      hashes[i] = tn_hash_bytes(keys[from + i].data, keys[from + i].length, 0);
    if (map->count > 0) fetch(map, hashes, n);
    for (size_t i = 0; i < n; i++) {
      uint32_t entry = map->count > 0 ? map->slots[find_slot(map, keys[from + i], hashes[i])] : 0;
      values[from + i] = entry ? map->entries[entry - 1].value : TN_MAP_NONE;
    }
  }
}

void tn_map_clear(tn_map *map) {
  tn_free(map->entries);
  tn_free(map->slots);
  tn_arena_clear(&map->keys);
  *map = (tn_map){0};
}
