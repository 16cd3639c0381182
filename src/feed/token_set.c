/* token_set.c - the reading side of shard.h: all shards of a folder as one run of mapped tokens. */
/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "columns/ipc.h"
#include "feed/shard.h"
#include "feed/shard_index.h"

#define INDEX_BYTES_MAX ((size_t)256 << 20)

typedef struct mapped_shard {
  ArrowArray batch; /* keeps the mapping alive; released in a set of an array */
  const int32_t *tokens;
  int64_t start, count; /* place in the whole run */
} mapped_shard;

struct tn_token_set {
  tn_shard_index index;
  mapped_shard *shards; /* [index.shard_count] */
  int32_t *array;       /* of tn_token_set_of_array */
  uint64_t hash;
};

/* ---- opening
 * ------------------------------------------------------------------------------------- */
static tn_status check_batch(const ArrowSchema *schema, const ArrowArray *batch,
                             const tn_shard_entry *entry, tn_error *err) {
  if (schema->n_children != 1 || strcmp(schema->children[0]->name, TN_SHARD_COLUMN) != 0 ||
      strcmp(schema->children[0]->format, "i") != 0)
    return tn_fail(err, TN_ERR_DATA, "expected one int32 column \"" TN_SHARD_COLUMN "\"");
  if (batch->children[0]->null_count != 0)
    return tn_fail(err, TN_ERR_DATA, "%lld null tokens", (long long)batch->children[0]->null_count);
  if (batch->length != entry->tokens || batch->children[0]->length != entry->tokens)
    return tn_fail(err, TN_ERR_DATA, "%lld tokens, the index says %lld", (long long)batch->length,
                   (long long)entry->tokens);
  return TN_OK;
}

static tn_status map_batch(tn_ipc_file *file, mapped_shard *shard, const tn_shard_entry *entry,
                           tn_error *err) {
  if (tn_ipc_file_batches(file) != 1)
    return tn_fail(err, TN_ERR_DATA, "%lld batches, expected 1",
                   (long long)tn_ipc_file_batches(file));
  ArrowSchema schema = {0};
  TN_TRY(tn_ipc_file_schema(file, &schema, err));
  tn_status status = tn_ipc_file_batch(file, 0, &shard->batch, err);
  if (status == TN_OK) status = check_batch(&schema, &shard->batch, entry, err);
  tn_schema_clear(&schema);
  TN_TRY(status);
  const ArrowArray *column = shard->batch.children[0];
  shard->tokens = (const int32_t *)column->buffers[1] + column->offset;
  shard->count = entry->tokens;
  return TN_OK;
}

static tn_status verify_shard(const mapped_shard *shard, const tn_shard_entry *entry,
                              tn_error *err) {
  uint64_t hash = XXH64(shard->tokens, (size_t)shard->count * sizeof *shard->tokens, 0);
  if (hash == entry->hash) return TN_OK;
  return tn_fail(err, TN_ERR_CHECKSUM, "tokens hash to %016llx, the index says %016llx",
                 (unsigned long long)hash, (unsigned long long)entry->hash);
}

static tn_status open_shard(mapped_shard *shard, const char *path, const tn_shard_entry *entry,
                            bool verify, tn_error *err) {
  tn_source *source;
  tn_ipc_file *file = NULL;
  TN_TRY(tn_source_open_file(&source, path, err));
  tn_status status = tn_ipc_file_open(&file, source, err);
  if (status != TN_OK) return status; /* names the file itself */
  status = map_batch(file, shard, entry, err);
  if (status == TN_OK && verify) status = verify_shard(shard, entry, err);
  tn_ipc_file_close(file);
  return status == TN_OK ? TN_OK : tn_error_context(err, status, "%s", path);
}

static tn_status open_shards(tn_token_set *set, const char *folder, bool verify, tn_error *err) {
  set->shards = tn_alloc(set->index.shard_count, sizeof *set->shards);
  if (!set->shards)
    return tn_fail_memory(err, "shards", set->index.shard_count * sizeof *set->shards);
  tn_strbuf path = {0};
  tn_status status = TN_OK;
  int64_t start = 0;
  for (size_t i = 0; i < set->index.shard_count && status == TN_OK; i++) {
    tn_strbuf_reset(&path);
    tn_strbuf_addf(&path, "%s/%s", folder, set->index.shards[i].file);
    status = tn_strbuf_check(&path, err);
    if (status == TN_OK)
      status = open_shard(&set->shards[i], path.data, &set->index.shards[i], verify, err);
    set->shards[i].start = start;
    start += set->shards[i].count;
  }
  tn_strbuf_clear(&path);
  return status;
}

static tn_status read_index(tn_token_set *set, const char *folder, tn_error *err) {
  tn_strbuf path = {0}, text = {0};
  tn_strbuf_addf(&path, "%s/index.json", folder);
  tn_status status = tn_strbuf_check(&path, err);
  if (status == TN_OK) status = tn_file_read(path.data, INDEX_BYTES_MAX, &text, err);
  if (status == TN_OK) {
    status = tn_shard_index_parse(&set->index, tn_strbuf_view(&text), err);
    if (status != TN_OK) status = tn_error_context(err, status, "%s", path.data);
  }
  tn_strbuf_clear(&path);
  tn_strbuf_clear(&text);
  return status;
}

/* Names the content: every shard's hash and length, in order, and what reads them. */
static uint64_t set_hash(const tn_shard_index *index) {
  XXH64_state_t state;
  XXH64_reset(&state, 0);
  for (size_t i = 0; i < index->shard_count; i++) {
    XXH64_update(&state, &index->shards[i].hash, sizeof index->shards[i].hash);
    XXH64_update(&state, &index->shards[i].tokens, sizeof index->shards[i].tokens);
  }
  XXH64_update(&state, &index->vocab_size, sizeof index->vocab_size);
  XXH64_update(&state, &index->tokenizer_hash, sizeof index->tokenizer_hash);
  return XXH64_digest(&state);
}

tn_status tn_token_set_open(tn_token_set **out, const char *folder, bool verify, tn_error *err) {
  tn_token_set *set = tn_alloc(1, sizeof *set);
  if (!set) return tn_fail_memory(err, "a token set", sizeof *set);
  tn_status status = read_index(set, folder, err);
  if (status == TN_OK) status = open_shards(set, folder, verify, err);
  if (status != TN_OK) {
    tn_token_set_close(set);
    return status;
  }
  set->hash = set_hash(&set->index);
  *out = set;
  return TN_OK;
}

static tn_status set_array(tn_token_set *set, const int32_t *ids, int64_t count, int64_t vocab_size,
                           tn_error *err) {
  if (count < 0 || count > TN_SET_TOKENS_MAX || vocab_size < 1 || vocab_size > TN_VOCAB_SIZE_MAX)
    return tn_fail(err, TN_ERR_ARGUMENT, "%lld tokens of a vocabulary of %lld", (long long)count,
                   (long long)vocab_size);
  tn_shard_index *index = &set->index;
  TN_TRY(tn_grow((void **)&index->shards, &index->shard_capacity, 1, sizeof *index->shards, err));
  set->array = tn_alloc((size_t)count, sizeof *set->array);
  set->shards = tn_alloc(1, sizeof *set->shards);
  if (!set->array || !set->shards) return tn_fail_memory(err, "tokens", (size_t)count * 4);
  if (count) memcpy(set->array, ids, (size_t)count * sizeof *ids);
  set->shards[0] = (mapped_shard){.tokens = set->array, .count = count};
  index->shards[0] = (tn_shard_entry){
      .file = "memory", .tokens = count, .hash = XXH64(set->array, (size_t)count * 4, 0)};
  index->shard_count = 1;
  index->tokens = count;
  index->documents = -1;
  index->eos_id = -1;
  index->vocab_size = vocab_size;
  return TN_OK;
}

tn_status tn_token_set_of_array(tn_token_set **out, const int32_t *ids, int64_t count,
                                int64_t vocab_size, tn_error *err) {
  tn_token_set *set = tn_alloc(1, sizeof *set);
  if (!set) return tn_fail_memory(err, "a token set", sizeof *set);
  tn_status status = set_array(set, ids, count, vocab_size, err);
  if (status != TN_OK) {
    tn_token_set_close(set);
    return status;
  }
  set->hash = set_hash(&set->index);
  *out = set;
  return TN_OK;
}

void tn_token_set_close(tn_token_set *set) {
  if (!set) return;
  for (size_t i = 0; set->shards && i < set->index.shard_count; i++)
    tn_array_clear(&set->shards[i].batch);
  tn_free(set->shards);
  tn_free(set->array);
  tn_shard_index_clear(&set->index);
  tn_free(set);
}

/* ---- asking
 * ---------------------------------------------------------------------------------------- */
int64_t tn_token_set_count(const tn_token_set *set) {
  return set->index.tokens;
}
int64_t tn_token_set_vocab_size(const tn_token_set *set) {
  return set->index.vocab_size;
}
int32_t tn_token_set_eos(const tn_token_set *set) {
  return set->index.eos_id;
}
uint64_t tn_token_set_hash(const tn_token_set *set) {
  return set->hash;
}
uint64_t tn_token_set_tokenizer_hash(const tn_token_set *set) {
  return set->index.tokenizer_hash;
}
int64_t tn_token_set_documents(const tn_token_set *set) {
  return set->index.documents;
}
int64_t tn_token_set_shards(const tn_token_set *set) {
  return (int64_t)set->index.shard_count;
}

const int32_t *tn_token_set_shard(const tn_token_set *set, int64_t shard, int64_t *count,
                                  const char **file) {
  if (shard < 0 || shard >= (int64_t)set->index.shard_count) return NULL;
  *count = set->shards[shard].count;
  if (file) *file = set->index.shards[shard].file;
  return set->shards[shard].tokens;
}

static size_t shard_of(const tn_token_set *set, int64_t token) {
  size_t low = 0, high = set->index.shard_count;
  while (high - low > 1) {
    size_t middle = (low + high) / 2;
    if (set->shards[middle].start <= token)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* A damaged shard must not reach an embedding table's rows; the check costs less than the copy. */
static tn_status copy_checked(const tn_token_set *set, size_t shard, int64_t at, int64_t count,
                              int32_t *out, tn_error *err) {
  const int32_t *from = set->shards[shard].tokens + at;
  uint32_t highest = 0;
  for (int64_t i = 0; i < count; i++) {
    out[i] = from[i];
    if ((uint32_t)out[i] > highest) highest = (uint32_t)out[i];
  }
  if (highest < set->index.vocab_size) return TN_OK;
  int64_t bad = 0;
  while ((uint32_t)out[bad] < set->index.vocab_size) bad++;
  return tn_fail(err, TN_ERR_DATA, "%s: token %lld has id %d, vocabulary %lld",
                 set->index.shards[shard].file, (long long)(at + bad), out[bad],
                 (long long)set->index.vocab_size);
}

tn_status tn_token_set_read(const tn_token_set *set, int64_t start, int64_t count, int32_t *out,
                            tn_error *err) {
  if (start < 0 || count < 0 || count > set->index.tokens || start > set->index.tokens - count)
    return tn_fail(err, TN_ERR_ARGUMENT, "%lld tokens from %lld on, the set has %lld",
                   (long long)count, (long long)start, (long long)set->index.tokens);
  for (size_t shard = shard_of(set, start); count > 0; shard++) {
    int64_t at = start - set->shards[shard].start;
    int64_t here = set->shards[shard].count - at;
    if (here > count) here = count;
    TN_TRY(copy_checked(set, shard, at, here, out, err));
    out += here;
    start += here;
    count -= here;
  }
  return TN_OK;
}
