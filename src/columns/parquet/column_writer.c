/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/column_writer.h"

#include "columns/parquet/bits.h"
#include "columns/parquet/levels.h"

enum {
  SLICE_ROWS = 2048,          /* added at once; bounds the scratch */
  TRIAL_VALUES = 16384,       /* then the dictionary must have shown repetition */
  PLAIN_GROUPS = 15,          /* how long a useless dictionary is not tried again */
  SETTLED_GROUPS = 15,        /* how long the choice of an encoding stands */
  SAMPLE_BYTES = 128 << 10,   /* of values, to choose by */
  PAGE_BYTES_LIMIT = 1 << 30, /* what waits for a page never passes this by more than one row */
};

typedef tn_parquet_column_writer column_writer;

/* ---- life ------------------------------------------------------------------------------------ */

static int32_t forced_encoding(tn_parquet_encode encode) { /* -1: chosen by trial */
  static const int32_t encodings[TN_PARQUET_ENCODE_COUNT] = {
      [TN_PARQUET_ENCODE_AUTO] = -1,
      [TN_PARQUET_ENCODE_PLAIN] = TN_PARQUET_PLAIN,
      [TN_PARQUET_ENCODE_DICTIONARY] = TN_PARQUET_PLAIN,
      [TN_PARQUET_ENCODE_RLE] = TN_PARQUET_RLE,
      [TN_PARQUET_ENCODE_DELTA] = TN_PARQUET_DELTA_BINARY_PACKED,
      [TN_PARQUET_ENCODE_DELTA_LENGTH] = TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY,
      [TN_PARQUET_ENCODE_DELTA_PREFIX] = TN_PARQUET_DELTA_BYTE_ARRAY,
      [TN_PARQUET_ENCODE_SPLIT] = TN_PARQUET_BYTE_STREAM_SPLIT,
  };
  return encodings[encode];
}

tn_status tn_parquet_column_writer_init(column_writer *w, const tn_parquet_write_leaf *leaf,
                                        const tn_parquet_write_options *options,
                                        const tn_parquet_column_options *special, tn_error *err) {
  tn_parquet_encode encode = special ? special->encoding : TN_PARQUET_ENCODE_AUTO;
  *w = (column_writer){.leaf = leaf, .options = options, .encode = encode, .last_encoding = -1};
  if (special && special->bloom) {
    w->bloom_probability = special->bloom_probability ? special->bloom_probability : 0.01;
    if (leaf->store.physical == TN_PARQUET_BOOLEAN) {
      return tn_fail(err, TN_ERR_ARGUMENT, "column \"%s\": booleans have no Bloom filter",
                     leaf->name);
    }
  }
  w->packing = (tn_parquet_packing){(int32_t)options->codec, options->level, options->no_crc};
  w->slice_rows = SLICE_ROWS;
  bool possible = encode == TN_PARQUET_ENCODE_AUTO ||
                  tn_parquet_can_encode(leaf->store.physical, forced_encoding(encode));
  if (encode == TN_PARQUET_ENCODE_DICTIONARY && leaf->store.physical == TN_PARQUET_BOOLEAN) {
    possible = false;
  }
  if (!possible) {
    return tn_fail(err, TN_ERR_ARGUMENT, "column \"%s\": %s values cannot be encoded as %s",
                   leaf->name, tn_parquet_physical_name(leaf->store.physical),
                   tn_parquet_encode_name(encode));
  }
  w->interner.width = leaf->store.width;
  w->interner.bytes_max = (size_t)options->dictionary_bytes;
  if (leaf->step_count > 0) {
    w->def_counts = tn_alloc((size_t)leaf->max_def + 1, sizeof *w->def_counts);
    w->rep_counts = tn_alloc((size_t)leaf->max_rep + 1, sizeof *w->rep_counts);
    if (!w->def_counts || !w->rep_counts) return tn_fail_memory(err, "counts of levels", 0);
  }
  tn_parquet_column_writer_start(w);
  return TN_OK;
}

static void drop_pages(column_writer *w) {
  for (int64_t i = 0; i < w->page_count; i++) tn_parquet_page_clear(&w->pages[i]);
  w->page_count = w->pages_packed = 0;
}

void tn_parquet_column_writer_clear(column_writer *w) {
  drop_pages(w);
  tn_free(w->pages);
  tn_free(w->def_counts);
  tn_free(w->rep_counts);
  tn_parquet_interner_clear(&w->interner);
  tn_parquet_waiting_clear(&w->waiting);
  tn_parquet_shred_clear(&w->shred);
  tn_parquet_bytes_clear(&w->indices);
  tn_parquet_bytes_clear(&w->body);
  tn_parquet_bytes_clear(&w->room);
  tn_parquet_bytes_clear(&w->gathered);
  tn_parquet_bytes_clear(&w->hashes);
  tn_parquet_bytes_clear(&w->places);
  tn_parquet_bytes_clear(&w->replay);
}

static bool wants_dictionary(column_writer *w) {
  const tn_parquet_store *store = &w->leaf->store;
  if (store->physical == TN_PARQUET_BOOLEAN || store->put == TN_PARQUET_PUT_NONE) return false;
  if (w->encode != TN_PARQUET_ENCODE_AUTO) return w->encode == TN_PARQUET_ENCODE_DICTIONARY;
  if (w->options->no_dictionary) return false;
  if (w->plain_groups == 0) return true;
  w->plain_groups--;
  return false;
}

void tn_parquet_column_writer_start(column_writer *w) {
  drop_pages(w);
  tn_parquet_interner_reset(&w->interner);
  tn_parquet_waiting_reset(&w->waiting);
  w->indices.length = w->hashes.length = 0;
  w->rows = w->values = w->nulls = w->plain_bytes = w->byte_array_bytes = 0;
  w->encodings = 0;
  w->has_dictionary = w->overflowed = false;
  w->in_dictionary = wants_dictionary(w);
  w->encoding = forced_encoding(w->encode);
  if (w->encoding < 0 && w->settled_groups > 0) {
    w->settled_groups--;
    w->encoding = w->last_encoding;
  }
  tn_parquet_stats_start(&w->stats, &w->leaf->store);
  tn_parquet_stats_start(&w->page_stats, &w->leaf->store);
  if (!w->def_counts) return;
  memset(w->def_counts, 0, ((size_t)w->leaf->max_def + 1) * sizeof *w->def_counts);
  memset(w->rep_counts, 0, ((size_t)w->leaf->max_rep + 1) * sizeof *w->rep_counts);
}

int64_t tn_parquet_column_writer_bytes(const column_writer *w) {
  size_t bytes = w->waiting.data.length + w->indices.length + w->interner.values.length;
  for (int64_t i = 0; i < w->page_count; i++) {
    bytes += w->pages[i].body.length + w->pages[i].stored.length;
  }
  return (int64_t)bytes;
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* Takes over `body`; `run` says what is in it. */
static tn_status add_page(column_writer *w, int32_t type, int32_t encoding,
                          const tn_parquet_level_run *run, int32_t rep_bytes, int32_t def_bytes,
                          tn_error *err) {
  TN_TRY(tn_grow((void **)&w->pages, &w->page_capacity, (size_t)w->page_count + 1, sizeof *w->pages,
                 err));
  tn_parquet_new_page *page = &w->pages[w->page_count++];
  *page = (tn_parquet_new_page){.rows = run->rows, .nulls = run->entries - run->values};
  page->number = w->page_count - 1 - w->has_dictionary;
  page->header = (tn_parquet_page_header){.type = type,
                                          .encoding = encoding,
                                          .values = (int32_t)run->entries,
                                          .nulls = (int32_t)page->nulls,
                                          .rows = (int32_t)run->rows,
                                          .level_bytes = def_bytes,
                                          .rep_bytes = rep_bytes};
  page->body = w->body;
  w->body = (tn_parquet_bytes){0};
  w->encodings |= 1u << encoding;
  return TN_OK;
}

static bool is_v2(const column_writer *w) {
  return w->options->data_page_version == 2;
}

static tn_status add_data_page(column_writer *w, int32_t encoding, const tn_parquet_level_run *run,
                               int32_t rep_bytes, int32_t def_bytes, const tn_parquet_stats *stats,
                               int64_t byte_array_bytes, tn_error *err) {
  int32_t type = is_v2(w) ? TN_PARQUET_PAGE_DATA_V2 : TN_PARQUET_PAGE_DATA;
  if (w->leaf->max_def || w->leaf->max_rep) w->encodings |= 1u << TN_PARQUET_RLE;
  TN_TRY(add_page(w, type, encoding, run, rep_bytes, def_bytes, err));
  w->pages[w->page_count - 1].stats = *stats;
  w->pages[w->page_count - 1].byte_array_bytes = byte_array_bytes;
  tn_parquet_stats_merge(&w->stats, stats);
  return TN_OK;
}

static tn_status put_levels(column_writer *w, int64_t from, int64_t entries, int32_t *rep_bytes,
                            int32_t *def_bytes, tn_error *err) {
  w->body.length = 0;
  return tn_parquet_waiting_put_levels(&w->waiting, w->leaf, from, entries, is_v2(w), &w->body,
                                       &w->room, rep_bytes, def_bytes, err);
}

/* ---- choosing an encoding -------------------------------------------------------------------- */

static int64_t sample_count(const column_writer *w) {
  const tn_parquet_waiting *waiting = &w->waiting;
  int64_t each = w->leaf->store.width;
  if (w->leaf->store.physical == TN_PARQUET_BYTE_ARRAY && waiting->data_values > 0) {
    each = (int64_t)waiting->data.length / waiting->data_values + 4;
  }
  int64_t n = each ? SAMPLE_BYTES / each + 1 : SAMPLE_BYTES;
  return n < waiting->data_values ? n : waiting->data_values;
}

/* Bytes that the sample takes in this encoding, after compression. */
static tn_status try_encoding(column_writer *w, int32_t encoding, int64_t count,
                              tn_parquet_packer *packer, size_t *out, tn_error *err) {
  w->body.length = packer->room.length = 0;
  TN_TRY(tn_parquet_waiting_encode(&w->waiting, &w->leaf->store, encoding, count, &w->body,
                                   &w->room, err));
  TN_TRY(tn_parquet_compress(&packer->codecs, w->packing.codec, w->packing.level, w->body.data,
                             w->body.length, &packer->room, err));
  *out = packer->room.length;
  return TN_OK;
}

static bool comes_from_dictionary(const tn_parquet_write_leaf *leaf) {
  return leaf->step_count > 0 && leaf->steps[leaf->step_count - 1].dictionary;
}

/* In order of preference at equal size.  Text that was a dictionary stays PLAIN: pyarrow, which the
 * Arrow schema tells to make a dictionary of it, cannot do that from the delta encodings.
 * BYTE_STREAM_SPLIT of integers and fixed-size binary, which not every reader knows, is only for
 * those who ask for it. */
static int32_t candidates_of(const tn_parquet_write_leaf *leaf, int32_t out[3]) {
  int32_t n = 0, physical = leaf->store.physical;
  out[n++] = TN_PARQUET_PLAIN;
  if (physical == TN_PARQUET_INT32 || physical == TN_PARQUET_INT64) {
    out[n++] = TN_PARQUET_DELTA_BINARY_PACKED;
  } else if (physical == TN_PARQUET_FLOAT || physical == TN_PARQUET_DOUBLE) {
    out[n++] = TN_PARQUET_BYTE_STREAM_SPLIT;
  } else if (physical == TN_PARQUET_BOOLEAN) {
    out[n++] = TN_PARQUET_RLE;
  } else if (physical == TN_PARQUET_BYTE_ARRAY && !comes_from_dictionary(leaf)) {
    out[n++] = TN_PARQUET_DELTA_LENGTH_BYTE_ARRAY;
    out[n++] = TN_PARQUET_DELTA_BYTE_ARRAY;
  }
  return n;
}

static tn_status choose_encoding(column_writer *w, tn_parquet_packer *packer, tn_error *err) {
  int32_t candidates[3], count = candidates_of(w->leaf, candidates);
  int64_t sample = sample_count(w);
  size_t best = SIZE_MAX;
  w->encoding = TN_PARQUET_PLAIN;
  for (int32_t i = 0; i < count && sample > 0; i++) {
    size_t bytes;
    TN_TRY(try_encoding(w, candidates[i], sample, packer, &bytes, err));
    if (best != SIZE_MAX && bytes > best - best / 50) continue; /* less than 2 % is not worth it */
    best = bytes;
    w->encoding = candidates[i];
  }
  w->last_encoding = w->encoding;
  w->settled_groups = sample > 0 ? SETTLED_GROUPS : 0;
  return TN_OK;
}

static tn_status flush_values(column_writer *w, tn_parquet_packer *packer, tn_error *err) {
  tn_parquet_waiting *waiting = &w->waiting;
  if (waiting->rows == 0) return TN_OK;
  if (w->encoding < 0) TN_TRY(choose_encoding(w, packer, err));
  int32_t rep_bytes, def_bytes;
  TN_TRY(put_levels(w, 0, waiting->entries, &rep_bytes, &def_bytes, err));
  TN_TRY(tn_parquet_waiting_encode(waiting, &w->leaf->store, w->encoding, waiting->data_values,
                                   &w->body, &w->room, err));
  tn_parquet_level_run run = {
      .rows = waiting->rows, .entries = waiting->entries, .values = waiting->values};
  int64_t bytes =
      w->leaf->store.physical == TN_PARQUET_BYTE_ARRAY ? (int64_t)waiting->data.length : 0;
  TN_TRY(add_data_page(w, w->encoding, &run, rep_bytes, def_bytes, &w->page_stats, bytes, err));
  tn_parquet_waiting_reset(waiting);
  tn_parquet_stats_start(&w->page_stats, &w->leaf->store);
  return TN_OK;
}

/* ---- dictionary pages ------------------------------------------------------------------------ */

static int32_t index_width(uint32_t count) {
  return count <= 2 ? 1 : 32 - __builtin_clz(count - 1);
}

static void see_entry(const column_writer *w, uint32_t index, tn_parquet_stats *stats,
                      int64_t *byte_array_bytes, int64_t times) {
  tn_parquet_slice one = {.count = 1};
  tn_str value;
  if (w->interner.width) {
    one.fixed = w->interner.values.data + (size_t)index * (size_t)w->interner.width;
  } else {
    value = tn_parquet_interner_str(&w->interner, index);
    one.bytes = &value;
    *byte_array_bytes += times * (int64_t)value.length;
  }
  tn_parquet_stats_see(stats, &one);
}

/* The range of a page is the range of the dictionary's values that it uses. */
static tn_status see_indices(column_writer *w, const uint32_t *indices, int64_t count,
                             tn_parquet_stats *stats, int64_t *byte_array_bytes, tn_error *err) {
  size_t bytes = ((size_t)w->interner.count + 1) * sizeof(uint32_t);
  w->room.length = 0;
  TN_TRY(tn_parquet_bytes_reserve(&w->room, bytes, err));
  memset(w->room.data, 0, bytes);
  uint32_t *times = (uint32_t *)(void *)w->room.data;
  for (int64_t i = 0; i < count; i++) times[indices[i]]++;
  for (uint32_t i = 0; i < w->interner.count; i++) {
    if (times[i]) see_entry(w, i, stats, byte_array_bytes, times[i]);
  }
  return TN_OK;
}

/* ---- the Bloom filter ------------------------------------------------------------------------ */

static tn_status add_hashes(column_writer *w, const tn_parquet_slice *s, tn_error *err) {
  if (w->bloom_probability == 0) return TN_OK;
  size_t width = (size_t)w->leaf->store.width, bytes = (size_t)s->count * sizeof(uint64_t);
  TN_TRY(tn_parquet_bytes_reserve(&w->hashes, bytes, err));
  uint64_t *to = (uint64_t *)(void *)(w->hashes.data + w->hashes.length);
  for (int64_t i = 0; i < s->count; i++) {
    to[i] = s->bytes ? tn_parquet_bloom_hash(s->bytes[i].data, s->bytes[i].length)
                     : tn_parquet_bloom_hash(s->fixed + (size_t)i * width, width);
  }
  w->hashes.length += bytes;
  return TN_OK;
}

static tn_status add_dictionary_hashes(column_writer *w, tn_error *err) {
  for (uint32_t i = 0; w->bloom_probability > 0 && i < w->interner.count; i++) {
    tn_str value;
    tn_parquet_slice one = {.count = 1};
    if (w->interner.width) {
      one.fixed = w->interner.values.data + (size_t)i * (size_t)w->interner.width;
    } else {
      value = tn_parquet_interner_str(&w->interner, i);
      one.bytes = &value;
    }
    TN_TRY(add_hashes(w, &one, err));
  }
  return TN_OK;
}

/* Made for all values as if they were distinct, then folded to what is needed. */
tn_status tn_parquet_column_writer_bloom(column_writer *w, tn_parquet_bloom *out, tn_error *err) {
  int64_t count = (int64_t)(w->hashes.length / sizeof(uint64_t));
  const uint64_t *hashes = (const uint64_t *)(const void *)w->hashes.data;
  *out = (tn_parquet_bloom){0};
  if (count == 0) return TN_OK;
  TN_TRY(tn_parquet_bloom_init(out, tn_parquet_bloom_bytes(count, w->bloom_probability), err));
  for (int64_t i = 0; i < count; i++) tn_parquet_bloom_insert(out, hashes[i]);
  tn_parquet_bloom_fold(out, w->bloom_probability);
  return TN_OK;
}

/* ---- dictionary pages, continued ------------------------------------------------------------- */

static tn_status put_dictionary(column_writer *w, tn_error *err) {
  tn_parquet_level_run run = {.entries = w->interner.count, .values = w->interner.count};
  w->body.length = 0;
  TN_TRY(
      tn_parquet_bytes_append(&w->body, w->interner.values.data, w->interner.values.length, err));
  TN_TRY(add_page(w, TN_PARQUET_PAGE_DICTIONARY, TN_PARQUET_PLAIN, &run, 0, 0, err));
  w->has_dictionary = true;
  return TN_OK;
}

static tn_status put_indices(column_writer *w, int64_t entry, const tn_parquet_level_run *run,
                             const uint32_t *indices, int32_t width, tn_error *err) {
  tn_parquet_stats stats;
  int64_t byte_array_bytes = 0;
  int32_t rep_bytes, def_bytes;
  uint8_t width_byte = (uint8_t)width;
  tn_parquet_stats_start(&stats, &w->leaf->store);
  TN_TRY(see_indices(w, indices, run->values, &stats, &byte_array_bytes, err));
  TN_TRY(put_levels(w, entry, run->entries, &rep_bytes, &def_bytes, err));
  TN_TRY(tn_parquet_bytes_append(&w->body, &width_byte, 1, err));
  TN_TRY(tn_parquet_levels_write(&w->body, indices, run->values, width, err));
  return add_data_page(w, TN_PARQUET_RLE_DICTIONARY, run, rep_bytes, def_bytes, &stats,
                       byte_array_bytes, err);
}

/* The dictionary page and the waiting indices, in pages of about page_bytes. */
static tn_status flush_dictionary(column_writer *w, tn_error *err) {
  int32_t width = index_width(w->interner.count);
  int64_t rows_max = w->options->page_rows ? w->options->page_rows : INT32_MAX;
  int64_t entries_max = w->options->page_bytes * 8 / width;
  const uint32_t *indices = (const uint32_t *)(const void *)w->indices.data;
  if (w->options->page_rows || entries_max > INT32_MAX / 2) entries_max = INT32_MAX / 2;
  w->in_dictionary = false;
  TN_TRY(put_dictionary(w, err));
  TN_TRY(add_dictionary_hashes(w, err));
  for (int64_t entry = 0; entry < w->waiting.entries;) {
    tn_parquet_level_run run =
        tn_parquet_waiting_cut(&w->waiting, w->leaf, entry, rows_max, entries_max);
    TN_TRY(put_indices(w, entry, &run, indices, width, err));
    indices += run.values;
    entry += run.entries;
  }
  w->indices.length = 0;
  tn_parquet_waiting_reset(&w->waiting);
  return TN_OK;
}

/* ---- adding values --------------------------------------------------------------------------- */

static tn_status add_values(column_writer *w, const tn_parquet_slice *s,
                            const tn_parquet_level_run *run, tn_parquet_packer *packer,
                            tn_error *err) {
  tn_parquet_waiting *waiting = &w->waiting;
  int64_t page_rows = w->options->page_rows;
  if (waiting->rows > 0 && (int64_t)waiting->data.length + s->plain_bytes > PAGE_BYTES_LIMIT) {
    TN_TRY(flush_values(w, packer, err));
  }
  tn_parquet_stats_see(&w->page_stats, s);
  TN_TRY(add_hashes(w, s, err));
  TN_TRY(tn_parquet_waiting_add_values(waiting, s, err));
  TN_TRY(tn_parquet_waiting_add_levels(waiting, w->leaf, run, err));
  int64_t bytes = (int64_t)waiting->data.length + waiting->entries / 8;
  bool full = page_rows ? waiting->rows >= page_rows : bytes >= w->options->page_bytes;
  return full ? flush_values(w, packer, err) : TN_OK;
}

/* The values of a run of indices. */
static tn_status look_up(column_writer *w, const uint32_t *indices, int64_t count,
                         tn_parquet_slice *s, tn_error *err) {
  size_t width = (size_t)w->interner.width, each = width ? width : sizeof(tn_str);
  *s = (tn_parquet_slice){.count = count};
  w->replay.length = 0;
  TN_TRY(tn_parquet_bytes_reserve(&w->replay, (size_t)count * each, err));
  if (width) {
    for (int64_t i = 0; i < count; i++) {
      memcpy(w->replay.data + (size_t)i * width, w->interner.values.data + indices[i] * width,
             width);
    }
    s->fixed = w->replay.data;
    s->plain_bytes = count * (int64_t)width;
    return TN_OK;
  }
  tn_str *strings = (tn_str *)(void *)w->replay.data;
  for (int64_t i = 0; i < count; i++) {
    strings[i] = tn_parquet_interner_str(&w->interner, indices[i]);
    s->plain_bytes += 4 + (int64_t)strings[i].length;
  }
  s->bytes = strings;
  return TN_OK;
}

/* Turns the waiting indices back into values and adds them without the dictionary. */
static tn_status replay_values(column_writer *w, const tn_parquet_waiting *old,
                               tn_parquet_packer *packer, tn_error *err) {
  const uint32_t *indices = (const uint32_t *)(const void *)w->indices.data;
  int64_t page_rows = w->options->page_rows, rows = 0;
  for (int64_t entry = 0; entry < old->entries;) {
    int64_t rows_max = SLICE_ROWS;
    if (page_rows && rows_max > page_rows - rows % page_rows)
      rows_max = page_rows - rows % page_rows;
    tn_parquet_level_run run =
        tn_parquet_waiting_cut(old, w->leaf, entry, rows_max, TN_PARQUET_SHRED_ENTRIES);
    tn_parquet_slice s;
    TN_TRY(look_up(w, indices, run.values, &s, err));
    TN_TRY(add_values(w, &s, &run, packer, err));
    indices += run.values;
    entry += run.entries;
    rows += run.rows;
  }
  return TN_OK;
}

static tn_status leave_dictionary(column_writer *w, tn_parquet_packer *packer, tn_error *err) {
  tn_parquet_waiting old = w->waiting;
  w->waiting = (tn_parquet_waiting){0};
  w->in_dictionary = false;
  tn_status status = replay_values(w, &old, packer, err);
  w->indices.length = 0;
  tn_parquet_waiting_clear(&old);
  return status;
}

static int64_t dictionary_cost(const column_writer *w) {
  int64_t count = (int64_t)(w->indices.length / sizeof(uint32_t));
  return (int64_t)w->interner.values.length + count * index_width(w->interner.count) / 8;
}

static tn_status add_indices(column_writer *w, const tn_parquet_slice *s, tn_error *err) {
  if (s->count == 0) return TN_OK;
  size_t bytes = (size_t)s->count * sizeof(uint32_t);
  TN_TRY(tn_parquet_bytes_reserve(&w->indices, bytes, err));
  uint32_t *indices = (uint32_t *)(void *)(w->indices.data + w->indices.length);
  TN_TRY(s->bytes ? tn_parquet_intern_bytes(&w->interner, s->bytes, s->count, indices, err)
                  : tn_parquet_intern_fixed(&w->interner, s->fixed, s->count, indices, err));
  w->indices.length += bytes;
  w->plain_bytes += s->plain_bytes;
  return TN_OK;
}

static bool dictionary_is_useless(const column_writer *w) {
  int64_t count = (int64_t)(w->indices.length / sizeof(uint32_t));
  return w->encode == TN_PARQUET_ENCODE_AUTO && count >= TRIAL_VALUES &&
         w->interner.count > count / 4 * 3;
}

/* Pages of a fixed number of rows cannot change in the middle of one. */
static bool worth_keeping(const column_writer *w) {
  return w->waiting.rows > 0 && !w->options->page_rows && dictionary_cost(w) < w->plain_bytes / 2;
}

static tn_status add_slice(column_writer *w, const tn_parquet_slice *s,
                           const tn_parquet_level_run *run, tn_parquet_packer *packer,
                           tn_error *err) {
  if (!w->in_dictionary) return add_values(w, s, run, packer, err);
  tn_status status = add_indices(w, s, err);
  if (status == TN_FULL) {
    w->overflowed = true;
    TN_TRY(worth_keeping(w) ? flush_dictionary(w, err) : leave_dictionary(w, packer, err));
    return add_values(w, s, run, packer, err);
  }
  TN_TRY(status);
  TN_TRY(tn_parquet_waiting_add_levels(&w->waiting, w->leaf, run, err));
  if (!dictionary_is_useless(w)) return TN_OK;
  w->plain_groups = PLAIN_GROUPS;
  return leave_dictionary(w, packer, err);
}

/* ---- from Arrow ------------------------------------------------------------------------------ */

/* The places of the set bits among [from, from + rows). */
static void places_of(const uint8_t *valid, int64_t from, int64_t rows, int64_t *out) {
  int64_t at = from, end = from + rows;
  for (; at < end && (at & 7); at++) {
    *out = at;
    out += tn_bit_get(valid, at);
  }
  for (; end - at >= 64; at += 64) {
    uint64_t word = tn_load_u64(valid + (at >> 3));
    for (; word; word &= word - 1) *out++ = at + __builtin_ctzll(word);
  }
  for (; at < end; at++) {
    if (tn_bit_get(valid, at)) *out++ = at;
  }
}

static const uint8_t no_bits[SLICE_ROWS / 8 + 8];

static tn_status load_flat(column_writer *w, const ArrowArray *a, int64_t from, int64_t rows,
                           tn_parquet_level_run *run, tn_parquet_slice *s, tn_error *err) {
  int64_t at = a->offset + from;
  bool all_null = w->leaf->store.put == TN_PARQUET_PUT_NONE;
  const uint8_t *valid = all_null || a->null_count == 0 ? NULL : a->buffers[0];
  *run = (tn_parquet_level_run){.from = at, .rows = rows, .entries = rows, .values = rows};
  if (all_null) {
    run->valid = no_bits;
    run->from = 0;
    run->values = 0;
  } else if (valid) {
    run->values = tn_bits_count(valid, at, rows);
    if (run->values < rows) run->valid = valid;
  }
  if (run->values < rows && !w->leaf->optional) {
    return tn_fail(err, TN_ERR_ARGUMENT, "%lld nulls in a column declared without nulls",
                   (long long)(rows - run->values));
  }
  const int64_t *places = NULL;
  if (run->values < rows) {
    w->places.length = 0;
    TN_TRY(tn_parquet_bytes_reserve(&w->places, ((size_t)rows + 1) * sizeof(int64_t), err));
    places = (const int64_t *)(const void *)w->places.data;
    places_of(run->valid, run->from, rows, (int64_t *)(void *)w->places.data);
  }
  return tn_parquet_gather(&w->leaf->store, a, places, at, run->values, &w->gathered, s, err);
}

static tn_status load_nested(column_writer *w, const ArrowArray *a, int64_t from, int64_t rows,
                             tn_parquet_level_run *run, tn_parquet_slice *s, tn_error *err) {
  tn_parquet_shred *shred = &w->shred;
  TN_TRY(tn_parquet_shred_rows(shred, w->leaf, a, from, rows, err));
  *run = (tn_parquet_level_run){.def = shred->def.data,
                                .rep = shred->rep.data,
                                .rows = rows,
                                .entries = shred->entries,
                                .values = shred->values};
  return tn_parquet_gather(&w->leaf->store, shred->leaf,
                           (const int64_t *)(const void *)shred->places.data, 0, shred->values,
                           &w->gathered, s, err);
}

static void count_levels(column_writer *w, const tn_parquet_level_run *run) {
  w->rows += run->rows;
  w->values += run->values;
  w->nulls += run->entries - run->values;
  if (!run->def) return;
  for (int64_t i = 0; i < run->entries; i++) w->def_counts[run->def[i]]++;
  for (int64_t i = 0; i < run->entries && w->leaf->max_rep; i++) w->rep_counts[run->rep[i]]++;
}

/* Up to `rows` rows, fewer where they are long, so that a page passes its size by no more than
 * about once.  *took says how many. */
static tn_status add_some(column_writer *w, const ArrowArray *a, int64_t from, int64_t rows,
                          tn_parquet_packer *packer, int64_t *took, tn_error *err) {
  tn_parquet_level_run run;
  tn_parquet_slice s;
  for (;;) {
    tn_status status = w->leaf->step_count ? load_nested(w, a, from, rows, &run, &s, err)
                                           : load_flat(w, a, from, rows, &run, &s, err);
    bool big = status == TN_FULL || (status == TN_OK && s.plain_bytes > w->options->page_bytes);
    if (big && rows > 1) {
      rows /= 2;
      w->slice_rows = rows;
      continue;
    }
    TN_TRY(status);
    break;
  }
  if (s.plain_bytes > INT32_MAX - (1 << 20)) {
    return tn_fail(err, TN_ERR_LIMIT, "a row of %lld bytes, limit 2 GiB", (long long)s.plain_bytes);
  }
  if (w->slice_rows < SLICE_ROWS && s.plain_bytes < w->options->page_bytes / 4 &&
      run.entries < TN_PARQUET_SHRED_ENTRIES / 4) {
    w->slice_rows *= 2;
  }
  if (s.bytes) w->byte_array_bytes += s.plain_bytes - 4 * s.count;
  *took = rows;
  count_levels(w, &run);
  return add_slice(w, &s, &run, packer, err);
}

tn_status tn_parquet_column_writer_add(column_writer *w, const ArrowArray *array, int64_t from,
                                       int64_t count, tn_parquet_packer *packer, tn_error *err) {
  int64_t page_rows = w->options->page_rows;
  while (count > 0) {
    int64_t n = count < w->slice_rows ? count : w->slice_rows, took = 0;
    if (page_rows && n > page_rows - w->rows % page_rows) n = page_rows - w->rows % page_rows;
    TN_TRY(add_some(w, array, from, n, packer, &took, err));
    from += took;
    count -= took;
  }
  return TN_OK;
}

/* ---- the end of a row group ------------------------------------------------------------------ */

tn_status tn_parquet_column_writer_finish(column_writer *w, tn_parquet_packer *packer,
                                          tn_error *err) {
  if (w->in_dictionary) {
    bool forced = w->encode == TN_PARQUET_ENCODE_DICTIONARY;
    bool keep = w->interner.count > 0 && (forced || dictionary_cost(w) < w->plain_bytes);
    TN_TRY(keep ? flush_dictionary(w, err) : leave_dictionary(w, packer, err));
  }
  return flush_values(w, packer, err);
}
