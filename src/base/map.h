/* map.h - a hash map from byte strings to 64-bit values.
 *
 * Open addressing; keys are copied into the map.  Iteration order is insertion order, so that
 * whatever is written from a map is the same on every run.  Nothing can be removed: users so far
 * only build and look up.  Thread: one owner; concurrent tn_map_get is fine while nobody puts. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_BASE_MAP_H
#define TN_BASE_MAP_H
#include "base/mem.h"
#include "base/str.h"

typedef struct tn_map_entry {
  tn_str key;
  uint64_t value;
  uint64_t hash; /* private */
} tn_map_entry;

typedef struct tn_map { /* all zero is a valid empty map */
  tn_map_entry *entries;
  size_t count, capacity;
  uint32_t *slots; /* private: entry index + 1, 0 empty */
  size_t slot_count;
  tn_arena keys;
} tn_map;

/* Sets key to value; TN_ERR_MEMORY leaves the map unchanged. */
TN_NODISCARD tn_status tn_map_put(tn_map *map, tn_str key, uint64_t value, tn_error *err);
bool tn_map_get(const tn_map *map, tn_str key, uint64_t *value); /* value may be NULL */
/* Of many keys at once: the memory of one is fetched while others are looked for, which is several
 * times as fast where the map is larger than the caches.  TN_MAP_NONE for a key that is not there.
 */
#define TN_MAP_NONE UINT64_MAX
void tn_map_get_many(const tn_map *map, const tn_str *keys, size_t count, uint64_t *values);
void tn_map_clear(tn_map *map);
uint64_t tn_hash_bytes(const void *data, size_t bytes, uint64_t seed); /* fast, not cryptographic */

#endif
