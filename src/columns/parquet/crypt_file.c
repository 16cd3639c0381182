/* Footers and keys of encrypted files. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "columns/parquet/crypt_keys.h"

enum { UNIQUE_BYTES = 8, AAD_BYTES_MAX = 1 << 20, METADATA_SHOWN = 120 };

void tn_parquet_crypt_free(tn_parquet_crypt *crypt) {
  if (!crypt) return;
  for (int64_t i = 0; i < crypt->column_count; i++) {
    OPENSSL_cleanse(crypt->columns[i].key, sizeof crypt->columns[i].key);
  }
  OPENSSL_cleanse(crypt->footer.key, sizeof crypt->footer.key);
  tn_arena_clear(&crypt->arena);
  tn_free(crypt);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static tn_str keep(tn_parquet_crypt *crypt, tn_str s) {
  char *copy = s.data ? tn_arena_strndup(&crypt->arena, s.data, s.length) : NULL;
  return (tn_str){copy, copy ? s.length : 0};
}

static tn_status set_key(struct tn_parquet_secret *secret, const void *key, size_t bytes,
                         tn_error *err) {
  if (bytes != 16 && bytes != 24 && bytes != TN_PARQUET_KEY_BYTES_MAX) {
    return tn_fail(err, TN_ERR_ARGUMENT, "%s%s: a key of %zu bytes; AES has 16, 24 or 32",
                   secret->column ? "column " : "the footer", secret->column ? secret->column : "",
                   bytes);
  }
  memcpy(secret->key, key, bytes);
  secret->bytes = bytes;
  return TN_OK;
}

/* The key of a field above a leaf serves the leaf too. */
static bool names_leaf(const char *field, const char *leaf) {
  size_t length = strlen(field);
  return strncmp(field, leaf, length) == 0 && (leaf[length] == '\0' || leaf[length] == '.');
}

static const tn_parquet_column_key *named_key(const tn_parquet_column_key *keys, int32_t count,
                                              const char *leaf) {
  const tn_parquet_column_key *best = NULL;
  for (int32_t i = 0; i < count; i++) {
    if (!names_leaf(keys[i].column, leaf)) continue;
    if (!best || strlen(keys[i].column) > strlen(best->column)) best = &keys[i];
  }
  return best;
}

static tn_status ask_key(struct tn_parquet_secret *secret, const tn_parquet_keys *keys,
                         tn_error *err) {
  uint8_t key[TN_PARQUET_KEY_BYTES_MAX] = {0};
  size_t bytes = 0;
  tn_status status = keys->find(keys->context, secret->column, secret->metadata, key, &bytes, err);
  if (status == TN_OK && bytes > sizeof key) bytes = 0;
  if (status == TN_OK) status = set_key(secret, key, bytes, err);
  OPENSSL_cleanse(key, sizeof key);
  return status == TN_END ? TN_OK : status;
}

/* Leaves the secret without a key where none is known. */
static tn_status find_footer_key(tn_parquet_crypt *crypt, const tn_parquet_keys *keys,
                                 tn_error *err) {
  if (!keys) return TN_OK;
  if (keys->footer.length) {
    return set_key(&crypt->footer, keys->footer.data, keys->footer.length, err);
  }
  return keys->find ? ask_key(&crypt->footer, keys, err) : TN_OK;
}

static tn_status find_column_key(tn_parquet_crypt *crypt, struct tn_parquet_secret *secret,
                                 const tn_parquet_keys *keys, tn_error *err) {
  if (secret->encryption == TN_PARQUET_FOOTER_KEY) {
    memcpy(secret->key, crypt->footer.key, sizeof secret->key);
    secret->bytes = crypt->footer.bytes;
    return TN_OK;
  }
  if (!keys) return TN_OK;
  const tn_parquet_column_key *named = named_key(keys->columns, keys->column_count, secret->column);
  if (named) return set_key(secret, named->key.data, named->key.length, err);
  return keys->find ? ask_key(secret, keys, err) : TN_OK;
}

/* What a file says about a key, as far as people can read it. */
static void show_metadata(tn_str metadata, char out[METADATA_SHOWN + 1]) {
  size_t count = metadata.length < METADATA_SHOWN ? metadata.length : METADATA_SHOWN;
  for (size_t i = 0; i < count; i++) {
    char c = metadata.data[i];
    out[i] = c >= ' ' && c <= '~' ? c : '.';
  }
  out[count] = '\0';
}

static tn_status no_key(const struct tn_parquet_secret *secret, const char *what, tn_error *err) {
  char shown[METADATA_SHOWN + 1];
  show_metadata(secret->metadata, shown);
  if (!shown[0]) return tn_fail(err, TN_ERR_NOT_FOUND, "%s, and no key for it was given", what);
  return tn_fail(err, TN_ERR_NOT_FOUND,
                 "%s, and no key for it was given; the file says of that key: %s", what, shown);
}

tn_status tn_parquet_cipher_start(tn_parquet_cipher *cipher, tn_parquet_crypt *crypt, int64_t group,
                                  int64_t column, tn_error *err) {
  tn_parquet_cipher_clear(cipher);
  if (!crypt || column >= crypt->column_count) {
    return tn_fail(err, TN_ERR_NOT_FOUND, "it is encrypted, and the file names no algorithm");
  }
  const struct tn_parquet_secret *secret = &crypt->columns[column];
  if (secret->bytes == 0) {
    bool own = secret->encryption == TN_PARQUET_COLUMN_KEY;
    return no_key(
        secret,
        own ? "it is encrypted with a key of its own" : "it is encrypted with the footer's key",
        err);
  }
  tn_parquet_cipher_of(cipher, crypt, secret);
  cipher->group = group;
  cipher->column = column;
  return TN_OK;
}

/* ---- reading --------------------------------------------------------------------------------- */

static tn_status set_aad(tn_parquet_crypt *crypt, tn_str prefix, tn_str unique, tn_error *err) {
  if (prefix.length > AAD_BYTES_MAX || unique.length > AAD_BYTES_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "an AAD prefix of %zu bytes, limit %d",
                   prefix.length + unique.length, AAD_BYTES_MAX);
  }
  char *aad = tn_arena_alloc(&crypt->arena, prefix.length + unique.length, 1);
  if (!aad) return tn_fail_memory(err, "an AAD", prefix.length + unique.length);
  if (prefix.length) memcpy(aad, prefix.data, prefix.length);
  if (unique.length) memcpy(aad + prefix.length, unique.data, unique.length);
  crypt->aad = (tn_str){aad, prefix.length + unique.length};
  return TN_OK;
}

static tn_status choose_prefix(const tn_parquet_algorithm *a, const tn_parquet_keys *keys,
                               tn_str *out, tn_error *err) {
  tn_str given = keys ? keys->aad_prefix : (tn_str){0};
  *out = a->aad_prefix.length ? a->aad_prefix : given;
  if (a->supply_prefix && !given.length) {
    return tn_fail(err, TN_ERR_NOT_FOUND,
                   "the file was encrypted with an AAD prefix that it does not hold, and none was "
                   "given");
  }
  if (a->aad_prefix.length && given.length && !tn_str_equal(a->aad_prefix, given)) {
    return tn_fail(err, TN_ERR_ARGUMENT, "the file's AAD prefix is another than the one given");
  }
  return TN_OK;
}

static tn_status new_crypt(tn_parquet_crypt **out, const tn_parquet_algorithm *algorithm,
                           tn_str footer_metadata, const tn_parquet_keys *keys, tn_error *err) {
  tn_str prefix;
  TN_TRY(choose_prefix(algorithm, keys, &prefix, err));
  tn_parquet_crypt *crypt = tn_alloc(1, sizeof *crypt);
  if (!crypt) return tn_fail_memory(err, "a file's keys", sizeof *crypt);
  crypt->algorithm.kind = algorithm->kind;
  tn_status status = set_aad(crypt, prefix, algorithm->aad_unique, err);
  crypt->footer.metadata = keep(crypt, footer_metadata);
  if (status == TN_OK) status = find_footer_key(crypt, keys, err);
  if (status == TN_OK && crypt->arena.failed) status = tn_fail_memory(err, "a file's keys", 0);
  if (status == TN_OK) {
    *out = crypt;
    return TN_OK;
  }
  tn_parquet_crypt_free(crypt);
  return status;
}

static tn_status open_footer(tn_parquet_crypt *crypt, const uint8_t *bytes, size_t count,
                             tn_buffer **plain, tn_error *err) {
  tn_parquet_cipher cipher = {0};
  tn_parquet_bytes content = {0};
  size_t used = 0;
  if (crypt->footer.bytes == 0) return no_key(&crypt->footer, "the footer is encrypted", err);
  tn_parquet_cipher_of(&cipher, crypt, &crypt->footer);
  tn_status status =
      tn_parquet_decrypt(&cipher, TN_PARQUET_MODULE_FOOTER, 0, bytes, count, &content, &used, err);
  if (status == TN_OK && used != count) {
    status = tn_fail(err, TN_ERR_DATA, "%zu bytes behind the encrypted footer", count - used);
  }
  if (status == TN_OK) status = tn_buffer_new(plain, content.length, err);
  if (status == TN_OK && content.length) memcpy((*plain)->data, content.data, content.length);
  tn_parquet_bytes_clear(&content);
  tn_parquet_cipher_clear(&cipher);
  return status;
}

tn_status tn_parquet_crypt_open_footer(tn_parquet_crypt **out, const uint8_t *bytes, size_t count,
                                       int64_t base, const tn_parquet_keys *keys, tn_buffer **plain,
                                       tn_error *err) {
  tn_parquet_file_crypto head;
  tn_parquet_crypt *crypt = NULL;
  TN_TRY(tn_parquet_file_crypto_parse(&head, bytes, count, base, err));
  TN_TRY(new_crypt(&crypt, &head.algorithm, head.key_metadata, keys, err));
  tn_status status =
      open_footer(crypt, bytes + head.parsed_bytes, count - head.parsed_bytes, plain, err);
  if (status == TN_OK) {
    *out = crypt;
    return TN_OK;
  }
  tn_parquet_crypt_free(crypt);
  return status;
}

static tn_status verify(tn_parquet_crypt *crypt, const tn_parquet_footer *footer,
                        const uint8_t *bytes, size_t count, tn_error *err) {
  tn_parquet_cipher cipher = {0};
  if (crypt->footer.bytes == 0) return TN_OK;
  if (count - footer->parsed_bytes != TN_PARQUET_SIGNATURE_BYTES) {
    return tn_fail(err, TN_ERR_DATA, "%zu bytes behind the footer, a signature has %d",
                   count - footer->parsed_bytes, TN_PARQUET_SIGNATURE_BYTES);
  }
  tn_parquet_cipher_of(&cipher, crypt, &crypt->footer);
  tn_status status = tn_parquet_signature_check(&cipher, bytes, footer->parsed_bytes,
                                                bytes + footer->parsed_bytes, err);
  tn_parquet_cipher_clear(&cipher);
  return status;
}

tn_status tn_parquet_crypt_open_plain(tn_parquet_crypt **out, const tn_parquet_footer *footer,
                                      const uint8_t *bytes, size_t count,
                                      const tn_parquet_keys *keys, tn_error *err) {
  tn_parquet_crypt *crypt = NULL;
  /* Without keys the plain columns can be read, whatever prefix the others want. */
  tn_parquet_algorithm algorithm = footer->algorithm;
  if (!keys) algorithm.supply_prefix = false;
  TN_TRY(new_crypt(&crypt, &algorithm, footer->signing_key_metadata, keys, err));
  crypt->plain_footer = true;
  tn_status status = verify(crypt, footer, bytes, count, err);
  if (status == TN_OK) {
    *out = crypt;
    return TN_OK;
  }
  tn_parquet_crypt_free(crypt);
  return status;
}

static void mark_columns(const tn_parquet_crypt *crypt, tn_parquet_footer *footer) {
  if (!tn_parquet_crypt_is_bare(crypt)) return;
  for (int64_t g = 0; g < footer->group_count; g++) {
    for (int64_t c = 0; c < footer->groups[g].chunk_count; c++) {
      tn_parquet_chunk_meta *chunk = &footer->groups[g].chunks[c];
      if (chunk->encryption == TN_PARQUET_PLAINTEXT) chunk->encryption = TN_PARQUET_FOOTER_KEY;
    }
  }
}

/* How a column is encrypted, by the first row group where it is. */
static tn_status find_secret(tn_parquet_crypt *crypt, const tn_parquet_footer *footer,
                             int64_t column, const tn_parquet_keys *keys, tn_error *err) {
  struct tn_parquet_secret *secret = &crypt->columns[column];
  for (int64_t g = 0; g < footer->group_count; g++) {
    const tn_parquet_chunk_meta *chunk = &footer->groups[g].chunks[column];
    if (chunk->encryption == TN_PARQUET_PLAINTEXT) continue;
    if (secret->encryption == TN_PARQUET_PLAINTEXT) {
      secret->encryption = chunk->encryption;
      secret->metadata = keep(crypt, chunk->key_metadata);
    } else if (secret->encryption != chunk->encryption) {
      return tn_fail(err, TN_ERR_UNSUPPORTED, "column \"%s\" is encrypted in two ways",
                     secret->column);
    }
  }
  if (secret->encryption == TN_PARQUET_PLAINTEXT) return TN_OK;
  return find_column_key(crypt, secret, keys, err);
}

static tn_status open_meta(tn_parquet_cipher *cipher, tn_parquet_chunk_meta *chunk, tn_arena *arena,
                           tn_error *err) {
  tn_parquet_bytes content = {0};
  size_t used = 0;
  tn_status status = tn_parquet_decrypt(cipher, TN_PARQUET_MODULE_COLUMN_META, 0,
                                        (const uint8_t *)chunk->encrypted_meta.data,
                                        chunk->encrypted_meta.length, &content, &used, err);
  if (status == TN_OK) {
    /* Statistics are views of these bytes. */
    uint8_t *copy = tn_arena_alloc(arena, content.length, 1);
    if (copy && content.length) memcpy(copy, content.data, content.length);
    status = copy ? tn_parquet_chunk_meta_parse(chunk, arena, copy, content.length, 0, err)
                  : tn_fail_memory(err, "a column's metadata", content.length);
  }
  tn_parquet_bytes_clear(&content);
  return status;
}

static tn_status open_chunk(tn_parquet_crypt *crypt, const tn_parquet_group_meta *group,
                            int64_t ordinal, int64_t column, tn_arena *arena, tn_error *err) {
  tn_parquet_chunk_meta *chunk = &group->chunks[column];
  tn_parquet_cipher cipher = {0};
  if (chunk->encryption == TN_PARQUET_PLAINTEXT || crypt->columns[column].bytes == 0) return TN_OK;
  tn_status status = TN_OK;
  if (chunk->encrypted_meta.data) {
    status = tn_parquet_cipher_start(&cipher, crypt, ordinal, column, err);
    if (status == TN_OK) status = open_meta(&cipher, chunk, arena, err);
    tn_parquet_cipher_clear(&cipher);
    chunk->has_meta = true;
  }
  chunk->elsewhere = chunk->elsewhere && !(status == TN_OK && chunk->has_meta);
  if (status == TN_OK) return TN_OK;
  return tn_error_context(err, status, "row group %lld: column \"%s\": encrypted metadata",
                          (long long)ordinal, crypt->columns[column].column);
}

static tn_status take_names(tn_parquet_crypt *crypt, const char *const *names, int64_t count,
                            tn_error *err) {
  crypt->columns = tn_arena_alloc(&crypt->arena, (size_t)count, sizeof *crypt->columns);
  if (!crypt->columns) return tn_fail_memory(err, "a file's keys", (unsigned long long)count);
  crypt->column_count = count;
  for (int64_t i = 0; i < count; i++) {
    crypt->columns[i].column = keep(crypt, tn_str_of(names[i])).data;
  }
  if (!crypt->arena.failed) return TN_OK;
  return tn_fail_memory(err, "a file's keys", (unsigned long long)count);
}

int64_t tn_parquet_group_ordinal(const tn_parquet_footer *footer, int64_t group) {
  return footer->groups[group].has_ordinal ? footer->groups[group].ordinal : group;
}

tn_status tn_parquet_crypt_open_columns(tn_parquet_crypt *crypt, tn_parquet_footer *footer,
                                        tn_arena *arena, const char *const *names, int64_t count,
                                        const tn_parquet_keys *keys, tn_error *err) {
  TN_TRY(take_names(crypt, names, count, err));
  mark_columns(crypt, footer);
  for (int64_t c = 0; c < count; c++) TN_TRY(find_secret(crypt, footer, c, keys, err));
  for (int64_t g = 0; g < footer->group_count; g++) {
    int64_t ordinal = tn_parquet_group_ordinal(footer, g);
    for (int64_t c = 0; c < count; c++) {
      TN_TRY(open_chunk(crypt, &footer->groups[g], ordinal, c, arena, err));
    }
  }
  if (!crypt->arena.failed) return TN_OK;
  return tn_fail_memory(err, "a file's keys", (unsigned long long)count);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* One column's share of the options. */
static tn_status plan_column(tn_parquet_crypt *crypt, struct tn_parquet_secret *secret,
                             const tn_parquet_encryption *options, tn_error *err) {
  const tn_parquet_column_key *named =
      named_key(options->columns, options->column_count, secret->column);
  if (!named && options->column_count > 0) return TN_OK; /* stays plain */
  if (named && named->key.length) {
    secret->encryption = TN_PARQUET_COLUMN_KEY;
    secret->metadata = keep(crypt, named->metadata);
    return set_key(secret, named->key.data, named->key.length, err);
  }
  secret->encryption = TN_PARQUET_FOOTER_KEY;
  return set_key(secret, options->footer_key.data, options->footer_key.length, err);
}

static tn_status check_columns(const tn_parquet_encryption *options, const char *const *names,
                               int64_t count, tn_error *err) {
  for (int32_t k = 0; k < options->column_count; k++) {
    bool found = false;
    for (int64_t i = 0; i < count && !found; i++) {
      found = names_leaf(options->columns[k].column, names[i]);
    }
    if (found) continue;
    return tn_fail(err, TN_ERR_ARGUMENT, "a key for column \"%s\", which is not in the schema",
                   options->columns[k].column);
  }
  return TN_OK;
}

static tn_status plan(tn_parquet_crypt *crypt, const tn_parquet_encryption *options,
                      const char *const *names, int64_t count, tn_error *err) {
  uint8_t unique[UNIQUE_BYTES];
  tn_parquet_algorithm *a = &crypt->algorithm;
  TN_TRY(check_columns(options, names, count, err));
  TN_TRY(set_key(&crypt->footer, options->footer_key.data, options->footer_key.length, err));
  TN_TRY(take_names(crypt, names, count, err));
  for (int64_t i = 0; i < count; i++) {
    TN_TRY(plan_column(crypt, &crypt->columns[i], options, err));
  }
  if (RAND_bytes(unique, sizeof unique) != 1) {
    return tn_fail(err, TN_ERR_IO, "libcrypto has no random bytes");
  }
  crypt->footer.metadata = keep(crypt, options->footer_key_metadata);
  crypt->plain_footer = options->plain_footer;
  a->kind = options->ctr_pages ? TN_PARQUET_AES_GCM_CTR : TN_PARQUET_AES_GCM;
  a->aad_prefix = keep(crypt, options->aad_prefix);
  a->aad_unique = keep(crypt, (tn_str){(const char *)unique, sizeof unique});
  a->supply_prefix = options->hide_aad_prefix && options->aad_prefix.length > 0;
  if (crypt->arena.failed) return tn_fail_memory(err, "a file's keys", sizeof *crypt);
  return set_aad(crypt, a->aad_prefix, a->aad_unique, err);
}

tn_status tn_parquet_crypt_new(tn_parquet_crypt **out, const tn_parquet_encryption *options,
                               const char *const *names, int64_t count, tn_error *err) {
  tn_parquet_crypt *crypt = tn_alloc(1, sizeof *crypt);
  if (!crypt) return tn_fail_memory(err, "a file's keys", sizeof *crypt);
  tn_status status = plan(crypt, options, names, count, err);
  if (status == TN_OK) {
    *out = crypt;
    return TN_OK;
  }
  tn_parquet_crypt_free(crypt);
  return status;
}

bool tn_parquet_crypt_has(const tn_parquet_crypt *crypt, int64_t column) {
  return crypt && column < crypt->column_count &&
         crypt->columns[column].encryption != TN_PARQUET_PLAINTEXT;
}

const char *tn_parquet_crypt_magic(const tn_parquet_crypt *crypt) {
  return crypt && !crypt->plain_footer ? "PARE" : "PAR1";
}

static tn_status seal_meta(tn_parquet_crypt *crypt, tn_parquet_chunk_meta *chunk, int64_t group,
                           int64_t column, tn_arena *arena, tn_error *err) {
  tn_parquet_cipher cipher = {0};
  tn_parquet_bytes sealed = {0};
  tn_strbuf text = {0};
  tn_parquet_chunk_meta_write(chunk, &text);
  tn_status status = tn_strbuf_check(&text, err);
  if (status == TN_OK) status = tn_parquet_cipher_start(&cipher, crypt, group, column, err);
  if (status == TN_OK) {
    status = tn_parquet_encrypt(&cipher, TN_PARQUET_MODULE_COLUMN_META, 0, text.data, text.length,
                                &sealed, err);
  }
  if (status == TN_OK) {
    char *copy = tn_arena_strndup(arena, (const char *)sealed.data, sealed.length);
    chunk->encrypted_meta = (tn_str){copy, sealed.length};
    if (!copy) status = tn_fail_memory(err, "a column's metadata", sealed.length);
  }
  tn_strbuf_clear(&text);
  tn_parquet_bytes_clear(&sealed);
  tn_parquet_cipher_clear(&cipher);
  return status;
}

/* With the footer's key in an encrypted footer the metadata need nothing of their own. */
static tn_status seal_chunk(tn_parquet_crypt *crypt, tn_parquet_chunk_meta *chunk, int64_t group,
                            int64_t column, tn_arena *arena, tn_error *err) {
  const struct tn_parquet_secret *secret = &crypt->columns[column];
  chunk->encryption = secret->encryption;
  if (secret->encryption == TN_PARQUET_PLAINTEXT) return TN_OK;
  chunk->key_metadata = secret->metadata;
  if (secret->encryption == TN_PARQUET_FOOTER_KEY && !crypt->plain_footer) return TN_OK;
  chunk->plain_meta = crypt->plain_footer;
  return seal_meta(crypt, chunk, group, column, arena, err);
}

static tn_status seal_footer(tn_parquet_crypt *crypt, tn_parquet_cipher *cipher, tn_str text,
                             tn_strbuf *out, tn_error *err) {
  tn_parquet_file_crypto head = {.algorithm = crypt->algorithm,
                                 .key_metadata = crypt->footer.metadata};
  tn_parquet_bytes sealed = {0};
  tn_parquet_file_crypto_write(&head, out);
  tn_status status =
      tn_parquet_encrypt(cipher, TN_PARQUET_MODULE_FOOTER, 0, text.data, text.length, &sealed, err);
  if (status == TN_OK) tn_strbuf_append(out, sealed.data, sealed.length);
  tn_parquet_bytes_clear(&sealed);
  return status;
}

static tn_status sign_footer(tn_parquet_cipher *cipher, tn_str text, tn_strbuf *out,
                             tn_error *err) {
  uint8_t signature[TN_PARQUET_SIGNATURE_BYTES];
  TN_TRY(tn_parquet_signature_make(cipher, text.data, text.length, signature, err));
  tn_strbuf_add_str(out, text);
  tn_strbuf_append(out, signature, sizeof signature);
  return TN_OK;
}

tn_status tn_parquet_crypt_footer(tn_parquet_crypt *crypt, tn_parquet_footer *footer,
                                  tn_arena *arena, tn_strbuf *out, tn_error *err) {
  tn_parquet_cipher cipher = {0};
  tn_strbuf text = {0};
  for (int64_t g = 0; g < footer->group_count; g++) {
    footer->groups[g].has_ordinal =
        g <= TN_PARQUET_ORDINAL_MAX; /* else nothing is encrypted there */
    footer->groups[g].ordinal = (int16_t)g;
    for (int64_t c = 0; c < footer->groups[g].chunk_count; c++) {
      TN_TRY(seal_chunk(crypt, &footer->groups[g].chunks[c], g, c, arena, err));
    }
  }
  if (crypt->plain_footer) {
    footer->algorithm = crypt->algorithm;
    footer->has_signing_key = crypt->footer.metadata.data != NULL;
    footer->signing_key_metadata = crypt->footer.metadata;
  }
  tn_parquet_footer_write(footer, &text);
  tn_status status = tn_strbuf_check(&text, err);
  tn_parquet_cipher_of(&cipher, crypt, &crypt->footer);
  if (status == TN_OK) {
    status = crypt->plain_footer ? sign_footer(&cipher, tn_strbuf_view(&text), out, err)
                                 : seal_footer(crypt, &cipher, tn_strbuf_view(&text), out, err);
  }
  tn_parquet_cipher_clear(&cipher);
  tn_strbuf_clear(&text);
  return status == TN_OK ? tn_strbuf_check(out, err) : status;
}
