/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/bloom.h"

#include <math.h>
#include <xxhash.h>

#include "columns/parquet/file.h"
#include "columns/parquet/thrift.h"

enum { WORDS = 8, HEADER_BYTES_MAX = 256 };

static const uint32_t salt[WORDS] = {0x47b6137bu, 0x44974d91u, 0x8824ad5bu, 0xa2b7289du,
                                     0x705495c7u, 0x2df1424bu, 0x9efc4947u, 0x5c6bfb31u};

uint64_t tn_parquet_bloom_hash(const void *value, size_t bytes) {
  return XXH64(value, bytes, 0);
}

int64_t tn_parquet_bloom_bytes(int64_t distinct, double probability) {
  int64_t bytes = TN_PARQUET_BLOOM_BLOCK;
  if (!(probability > 0)) probability = 1e-9; /* a NaN too */
  if (probability >= 1 || distinct < 1) return bytes;
  double bits = -(double)WORDS * (double)distinct / log(1 - pow(probability, 1.0 / WORDS));
  while (bytes < TN_PARQUET_BLOOM_BYTES_MAX && (double)bytes * 8 < bits) bytes *= 2;
  return bytes;
}

/* ---- building and probing -------------------------------------------------------------------- */

tn_status tn_parquet_bloom_init(tn_parquet_bloom *bloom, int64_t bytes, tn_error *err) {
  if (bytes <= 0 || bytes % TN_PARQUET_BLOOM_BLOCK != 0 || bytes > TN_PARQUET_BLOOM_BYTES_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT, "a Bloom filter of %lld bytes", (long long)bytes);
  }
  uint8_t *own = tn_alloc((size_t)bytes, 1);
  if (!own) return tn_fail_memory(err, "a Bloom filter", (unsigned long long)bytes);
  *bloom = (tn_parquet_bloom){
      .bits = own, .blocks = bytes / TN_PARQUET_BLOOM_BLOCK, .own = own, .buffer = NULL};
  return TN_OK;
}

void tn_parquet_bloom_clear(tn_parquet_bloom *bloom) {
  tn_free(bloom->own);
  tn_buffer_drop(bloom->buffer);
  *bloom = (tn_parquet_bloom){0};
}

static size_t block_at(const tn_parquet_bloom *bloom, uint64_t hash) {
  return (size_t)((hash >> 32) * (uint64_t)bloom->blocks >> 32) * TN_PARQUET_BLOOM_BLOCK;
}

void tn_parquet_bloom_insert(tn_parquet_bloom *bloom, uint64_t hash) {
  uint8_t *block = bloom->own + block_at(bloom, hash);
  for (int i = 0; i < WORDS; i++) {
    uint32_t bit = (uint32_t)1 << ((uint32_t)hash * salt[i] >> 27);
    tn_store_u32(block + 4 * i, tn_load_u32(block + 4 * i) | bit);
  }
}

bool tn_parquet_bloom_probe(const tn_parquet_bloom *bloom, uint64_t hash) {
  const uint8_t *block = bloom->bits + block_at(bloom, hash);
  uint32_t missing = 0;
  for (int i = 0; i < WORDS; i++) {
    uint32_t bit = (uint32_t)1 << ((uint32_t)hash * salt[i] >> 27);
    missing |= ~tn_load_u32(block + 4 * i) & bit;
  }
  return missing == 0;
}

/* A random hash is found in a block with the product of its words' shares of set bits. */
static double block_estimate(const uint8_t *block, const uint8_t *other) {
  double product = 1;
  for (int i = 0; i < WORDS; i++) {
    uint32_t word = tn_load_u32(block + 4 * i) | tn_load_u32(other + 4 * i);
    product *= (double)__builtin_popcount(word) / 32;
  }
  return product;
}

/* `fold` blocks seen as one. */
static double estimate(const tn_parquet_bloom *bloom, int64_t fold) {
  double sum = 0;
  for (int64_t i = 0; i < bloom->blocks; i += fold) {
    const uint8_t *block = bloom->bits + i * TN_PARQUET_BLOOM_BLOCK;
    sum += block_estimate(block, block + (fold - 1) * TN_PARQUET_BLOOM_BLOCK);
  }
  return sum * (double)fold / (double)bloom->blocks;
}

double tn_parquet_bloom_estimate(const tn_parquet_bloom *bloom) {
  return bloom->blocks ? estimate(bloom, 1) : 1;
}

/* Half as many blocks: a hash's block number is halved, so neighbours fall together. */
static void fold_once(tn_parquet_bloom *bloom) {
  bloom->blocks /= 2;
  for (int64_t i = 0; i < bloom->blocks; i++) {
    uint8_t *to = bloom->own + i * TN_PARQUET_BLOOM_BLOCK;
    const uint8_t *from = bloom->own + 2 * i * TN_PARQUET_BLOOM_BLOCK;
    for (int k = 0; k < TN_PARQUET_BLOOM_BLOCK; k += 8) {
      tn_store_u64(to + k, tn_load_u64(from + k) | tn_load_u64(from + TN_PARQUET_BLOOM_BLOCK + k));
    }
  }
}

void tn_parquet_bloom_fold(tn_parquet_bloom *bloom, double probability) {
  while (bloom->own && bloom->blocks % 2 == 0 && estimate(bloom, 2) <= probability) {
    fold_once(bloom);
  }
}

/* ---- the header ------------------------------------------------------------------------------ */

void tn_parquet_bloom_header_write(const tn_parquet_bloom *bloom, tn_strbuf *out) {
  tn_thrift_writer writer = {.out = out}, *w = &writer;
  tn_thrift_write_begin(w);
  tn_thrift_write_i32(w, 1, (int32_t)(bloom->blocks * TN_PARQUET_BLOOM_BLOCK));
  for (int16_t id = 2; id <= 4; id++) { /* split block, XXH64, uncompressed: each the only choice */
    tn_thrift_write_struct(w, id);
    tn_thrift_write_begin(w);
    tn_thrift_write_empty(w, 1);
    tn_thrift_write_end(w);
  }
  tn_thrift_write_end(w);
}

/* The number of a union's member, 0: none. */
static int16_t parse_choice(tn_thrift_reader *r, const tn_thrift_field *field) {
  int16_t choice = 0;
  tn_thrift_field f;
  if (!tn_thrift_is_struct(r, field)) return 0;
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    choice = f.id;
    tn_thrift_skip(r, &f);
  }
  return choice;
}

static tn_status check_header(int64_t bytes, const int16_t choices[3], tn_error *err) {
  static const char *const what[3] = {"algorithm", "hash", "compression"};
  for (int i = 0; i < 3; i++) {
    if (choices[i] == 1) continue;
    return tn_fail(err, TN_ERR_UNSUPPORTED, "a Bloom filter of %s number %d is not supported",
                   what[i], choices[i]);
  }
  if (bytes > TN_PARQUET_BLOOM_BYTES_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "a Bloom filter of %lld bytes, limit %d", (long long)bytes,
                   TN_PARQUET_BLOOM_BYTES_MAX);
  }
  if (bytes > 0 && bytes % TN_PARQUET_BLOOM_BLOCK == 0) return TN_OK;
  return tn_fail(err, TN_ERR_DATA, "a Bloom filter of %lld bytes, not whole blocks of %d",
                 (long long)bytes, TN_PARQUET_BLOOM_BLOCK);
}

tn_status tn_parquet_bloom_header_parse(const void *data, size_t count, int64_t base,
                                        int64_t *bytes, size_t *used, tn_error *err) {
  int16_t choices[3] = {0};
  tn_thrift_reader reader, *r = &reader;
  tn_thrift_field f;
  *bytes = 0;
  tn_thrift_reader_init(r, data, count, base, err);
  tn_thrift_begin(r, &f);
  while (tn_thrift_next(r, &f)) {
    if (f.id == 1) {
      *bytes = tn_thrift_i32(r, &f);
    } else if (f.id >= 2 && f.id <= 4) {
      choices[f.id - 2] = parse_choice(r, &f);
    } else {
      tn_thrift_skip(r, &f);
    }
  }
  *used = r->at;
  TN_TRY(r->status);
  return check_header(*bytes, choices, err);
}

tn_status tn_parquet_bloom_view(tn_parquet_bloom *out, const void *data, size_t count, int64_t base,
                                tn_error *err) {
  int64_t bytes = 0;
  size_t used = 0;
  TN_TRY(tn_parquet_bloom_header_parse(data, count, base, &bytes, &used, err));
  if ((size_t)bytes > count - used) {
    return tn_fail(err, TN_ERR_DATA, "a Bloom filter of %lld bytes, only %zu are there",
                   (long long)bytes, count - used);
  }
  *out = (tn_parquet_bloom){.bits = (const uint8_t *)data + used,
                            .blocks = bytes / TN_PARQUET_BLOOM_BLOCK};
  return TN_OK;
}

/* ---- a file's -------------------------------------------------------------------------------- */

static tn_status read_plain(tn_parquet_bloom *out, tn_parquet_file *file,
                            const tn_parquet_chunk_meta *chunk, tn_error *err) {
  int64_t at = chunk->bloom_offset, room = file->data_end - at, bytes = 0;
  size_t used = 0;
  const uint8_t *data;
  tn_buffer *head = NULL;
  if (room > HEADER_BYTES_MAX) room = HEADER_BYTES_MAX;
  TN_TRY(file->source->view_at(file->source, at, (size_t)room, &head, &data, err));
  tn_status status = tn_parquet_bloom_header_parse(data, (size_t)room, at, &bytes, &used, err);
  tn_buffer_drop(head);
  TN_TRY(status);
  at += (int64_t)used;
  if (bytes > file->data_end - at) {
    return tn_fail(err, TN_ERR_DATA, "a Bloom filter of %lld bytes, the file has %lld for it",
                   (long long)bytes, (long long)(file->data_end - at));
  }
  TN_TRY(file->source->view_at(file->source, at, (size_t)bytes, &out->buffer, &out->bits, err));
  out->blocks = bytes / TN_PARQUET_BLOOM_BLOCK;
  return TN_OK;
}

/* Header and bits are modules one behind the other. */
static tn_status open_modules(tn_parquet_bloom *out, tn_parquet_cipher *cipher, const uint8_t *data,
                              size_t room, tn_parquet_bytes *plain, tn_error *err) {
  size_t head_used = 0, used = 0, parsed;
  int64_t bytes = 0;
  TN_TRY(tn_parquet_decrypt(cipher, TN_PARQUET_MODULE_BLOOM_HEADER, 0, data, room, plain,
                            &head_used, err));
  TN_TRY(tn_parquet_bloom_header_parse(plain->data, plain->length, 0, &bytes, &parsed, err));
  TN_TRY(tn_parquet_decrypt(cipher, TN_PARQUET_MODULE_BLOOM_BITS, 0, data + head_used,
                            room - head_used, plain, &used, err));
  if ((int64_t)plain->length != bytes) {
    return tn_fail(err, TN_ERR_DATA, "%zu bytes, its header says %lld", plain->length,
                   (long long)bytes);
  }
  TN_TRY(tn_parquet_bloom_init(out, bytes, err));
  memcpy(out->own, plain->data, plain->length);
  return TN_OK;
}

static tn_status read_encrypted(tn_parquet_bloom *out, tn_parquet_file *file, int64_t group,
                                int64_t column, tn_error *err) {
  const tn_parquet_chunk_meta *chunk = &file->footer.groups[group].chunks[column];
  int64_t most = TN_PARQUET_BLOOM_BYTES_MAX + HEADER_BYTES_MAX + 2 * TN_PARQUET_MODULE_EXTRA;
  int64_t room = file->data_end - chunk->bloom_offset;
  if (room > most) room = most;
  if (chunk->bloom_bytes > 0 && chunk->bloom_bytes < room) room = chunk->bloom_bytes;
  const uint8_t *data;
  tn_buffer *buffer = NULL;
  tn_parquet_cipher cipher = {0};
  tn_parquet_bytes plain = {0};
  TN_TRY(tn_parquet_cipher_start(&cipher, file->crypt,
                                 tn_parquet_group_ordinal(&file->footer, group), column, err));
  tn_status status =
      file->source->view_at(file->source, chunk->bloom_offset, (size_t)room, &buffer, &data, err);
  if (status == TN_OK) status = open_modules(out, &cipher, data, (size_t)room, &plain, err);
  tn_buffer_drop(buffer);
  tn_parquet_bytes_clear(&plain);
  tn_parquet_cipher_clear(&cipher);
  return status;
}

tn_status tn_parquet_bloom_read(tn_parquet_bloom *out, tn_parquet_file *file, int64_t group,
                                int64_t column, tn_error *err) {
  const tn_parquet_chunk_meta *chunk = &file->footer.groups[group].chunks[column];
  *out = (tn_parquet_bloom){0};
  if (chunk->elsewhere || chunk->bloom_offset == 0) return TN_END;
  tn_status status = TN_OK;
  if (chunk->bloom_offset < 4 || chunk->bloom_offset >= file->data_end) {
    status = tn_fail(err, TN_ERR_DATA, "it begins at byte %lld, the data end at byte %lld",
                     (long long)chunk->bloom_offset, (long long)file->data_end);
  } else if (chunk->encryption != TN_PARQUET_PLAINTEXT) {
    status = read_encrypted(out, file, group, column, err);
  } else {
    status = read_plain(out, file, chunk, err);
  }
  if (status == TN_OK) return TN_OK;
  tn_parquet_bloom_clear(out);
  return tn_error_context(err, status, "%s: row group %lld: column \"%s\": Bloom filter",
                          file->source->name, (long long)group, file->leaves[column].name);
}
