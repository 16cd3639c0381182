/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/parquet/crypt.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "columns/parquet/crypt_keys.h"

enum { IV_BYTES = 16, AAD_SUFFIX_MAX = 7 };
#define USES_MAX ((uint64_t)1 << 32) /* modules a key may encrypt: NIST SP 800-38D, 8.3 */

/* ---- ciphers --------------------------------------------------------------------------------- */

void tn_parquet_cipher_of(tn_parquet_cipher *cipher, tn_parquet_crypt *crypt,
                          const struct tn_parquet_secret *secret) {
  tn_parquet_cipher_clear(cipher);
  *cipher = (tn_parquet_cipher){.crypt = crypt, .secret = secret};
}

void tn_parquet_cipher_clear(tn_parquet_cipher *cipher) {
  EVP_CIPHER_CTX_free(cipher->gcm);
  EVP_CIPHER_CTX_free(cipher->ctr);
  *cipher = (tn_parquet_cipher){0};
}

static const EVP_CIPHER *cipher_type(bool ctr, size_t key_bytes) {
  switch (key_bytes) {
    case 16:
      return ctr ? EVP_aes_128_ctr() : EVP_aes_128_gcm();
    case 24:
      return ctr ? EVP_aes_192_ctr() : EVP_aes_192_gcm();
    default:
      return ctr ? EVP_aes_256_ctr() : EVP_aes_256_gcm();
  }
}

/* libcrypto says little about why; of these calls only the tag's check may fail on bad input. */
static tn_status library_failed(const char *what, tn_error *err) {
  return tn_fail(err, TN_ERR_MEMORY, "out of memory or a failing libcrypto: %s", what);
}

/* A context that has its key; the nonce is set for every module. */
static tn_status context_of(tn_parquet_cipher *cipher, bool ctr, EVP_CIPHER_CTX **out,
                            tn_error *err) {
  EVP_CIPHER_CTX **place = ctr ? &cipher->ctr : &cipher->gcm;
  if (!*place) {
    const struct tn_parquet_secret *secret = cipher->secret;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (!context) return tn_fail_memory(err, "a cipher", sizeof *cipher);
    if (!EVP_CipherInit_ex(context, cipher_type(ctr, secret->bytes), NULL, secret->key, NULL, 1)) {
      EVP_CIPHER_CTX_free(context);
      return library_failed("a key", err);
    }
    *place = context;
  }
  *out = *place;
  return TN_OK;
}

/* ---- additional authenticated data ------------------------------------------------------------
 */

static void put_ordinal(uint8_t *suffix, size_t *at, int64_t ordinal) {
  suffix[(*at)++] = (uint8_t)ordinal;
  suffix[(*at)++] = (uint8_t)(ordinal >> 8);
}

static bool counts_pages(int module) {
  return module == TN_PARQUET_MODULE_DATA_PAGE || module == TN_PARQUET_MODULE_DATA_HEADER;
}

/* Kind, row group, column, page: as many of them as the module has. */
static size_t aad_suffix(const tn_parquet_cipher *cipher, int module, int64_t page,
                         uint8_t suffix[AAD_SUFFIX_MAX]) {
  size_t count = 0;
  suffix[count++] = (uint8_t)module;
  if (module == TN_PARQUET_MODULE_FOOTER) return count;
  put_ordinal(suffix, &count, cipher->group);
  put_ordinal(suffix, &count, cipher->column);
  if (counts_pages(module)) put_ordinal(suffix, &count, page);
  return count;
}

static tn_status check_ordinals(const tn_parquet_cipher *cipher, int64_t page, tn_error *err) {
  const struct {
    const char *what;
    int64_t value;
  } ordinals[] = {{"row group", cipher->group}, {"column", cipher->column}, {"page", page}};
  for (int i = 0; i < 3; i++) {
    if (ordinals[i].value >= 0 && ordinals[i].value <= TN_PARQUET_ORDINAL_MAX) continue;
    return tn_fail(err, TN_ERR_LIMIT, "encryption counts %ss up to %d, this is number %lld",
                   ordinals[i].what, TN_PARQUET_ORDINAL_MAX, (long long)ordinals[i].value);
  }
  return TN_OK;
}

bool tn_parquet_crypt_is_bare(const tn_parquet_crypt *crypt) {
  return crypt->aad.length == 0 && !crypt->plain_footer;
}

static bool put_aad(EVP_CIPHER_CTX *context, const tn_parquet_cipher *cipher, int module,
                    int64_t page) {
  uint8_t suffix[AAD_SUFFIX_MAX];
  int done, count = (int)aad_suffix(cipher, module, page, suffix);
  tn_str aad = cipher->crypt->aad;
  if (tn_parquet_crypt_is_bare(cipher->crypt)) return true;
  if (aad.length &&
      !EVP_CipherUpdate(context, NULL, &done, (const uint8_t *)aad.data, (int)aad.length)) {
    return false;
  }
  return EVP_CipherUpdate(context, NULL, &done, suffix, count);
}

/* ---- one module ------------------------------------------------------------------------------ */

static bool is_page(int module) {
  return module == TN_PARQUET_MODULE_DATA_PAGE || module == TN_PARQUET_MODULE_DICTIONARY_PAGE;
}

static bool uses_ctr(const tn_parquet_cipher *cipher, int module) {
  return cipher->crypt->algorithm.kind == TN_PARQUET_AES_GCM_CTR && is_page(module);
}

static tn_status crypt_ctr(tn_parquet_cipher *cipher, bool encrypt, const uint8_t *nonce,
                           const uint8_t *from, size_t count, uint8_t *to, tn_error *err) {
  EVP_CIPHER_CTX *context = NULL;
  uint8_t iv[IV_BYTES] = {0};
  int done = 0;
  memcpy(iv, nonce, TN_PARQUET_NONCE_BYTES);
  iv[IV_BYTES - 1] = 1; /* the counter starts at 1, big-endian */
  TN_TRY(context_of(cipher, true, &context, err));
  if (!EVP_CipherInit_ex(context, NULL, NULL, NULL, iv, encrypt) ||
      !EVP_CipherUpdate(context, to, &done, from, (int)count)) {
    return library_failed("AES-CTR", err);
  }
  return TN_OK;
}

static tn_status start_gcm(tn_parquet_cipher *cipher, bool encrypt, const uint8_t *nonce,
                           int module, int64_t page, EVP_CIPHER_CTX **context, tn_error *err) {
  TN_TRY(context_of(cipher, false, context, err));
  if (!EVP_CipherInit_ex(*context, NULL, NULL, NULL, nonce, encrypt) ||
      !put_aad(*context, cipher, module, page)) {
    return library_failed("AES-GCM", err);
  }
  return TN_OK;
}

static tn_status open_gcm(tn_parquet_cipher *cipher, int module, int64_t page, const uint8_t *nonce,
                          const uint8_t *from, size_t count, uint8_t *to, tn_error *err) {
  EVP_CIPHER_CTX *context = NULL;
  uint8_t tag[TN_PARQUET_TAG_BYTES];
  int done = 0;
  TN_TRY(start_gcm(cipher, false, nonce, module, page, &context, err));
  memcpy(tag, from + count, sizeof tag);
  if (count && !EVP_CipherUpdate(context, to, &done, from, (int)count)) {
    return library_failed("AES-GCM", err);
  }
  if (!EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, sizeof tag, tag)) {
    return library_failed("AES-GCM's tag", err);
  }
  if (EVP_CipherFinal_ex(context, to + done, &done)) return TN_OK;
  return tn_fail(err, TN_ERR_CHECKSUM,
                 "it does not decrypt: the key is another one, or the bytes were changed");
}

static tn_status seal_gcm(tn_parquet_cipher *cipher, int module, int64_t page, const uint8_t *nonce,
                          const uint8_t *from, size_t count, uint8_t *to, tn_error *err) {
  EVP_CIPHER_CTX *context = NULL;
  int done = 0, last = 0;
  TN_TRY(start_gcm(cipher, true, nonce, module, page, &context, err));
  if ((count && !EVP_CipherUpdate(context, to, &done, from, (int)count)) ||
      !EVP_CipherFinal_ex(context, to + done, &last) ||
      !EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TN_PARQUET_TAG_BYTES, to + count)) {
    return library_failed("AES-GCM", err);
  }
  return TN_OK;
}

tn_status tn_parquet_decrypt(tn_parquet_cipher *cipher, int module, int64_t page,
                             const uint8_t *data, size_t count, tn_parquet_bytes *out, size_t *used,
                             tn_error *err) {
  bool ctr = uses_ctr(cipher, module);
  size_t extra = ctr ? TN_PARQUET_NONCE_BYTES : TN_PARQUET_SIGNATURE_BYTES;
  size_t length = count < TN_PARQUET_LENGTH_BYTES ? 0 : tn_load_u32(data);
  if (length < extra || length > count - TN_PARQUET_LENGTH_BYTES || length > INT32_MAX) {
    return tn_fail(err, TN_ERR_DATA, "an encrypted module of %zu bytes where %zu are", length,
                   count);
  }
  TN_TRY(check_ordinals(cipher, counts_pages(module) ? page : 0, err));
  const uint8_t *nonce = data + TN_PARQUET_LENGTH_BYTES, *from = nonce + TN_PARQUET_NONCE_BYTES;
  size_t content = length - extra;
  out->length = 0;
  TN_TRY(tn_parquet_bytes_reserve(out, content, err));
  *used = TN_PARQUET_LENGTH_BYTES + length;
  TN_TRY(ctr ? crypt_ctr(cipher, false, nonce, from, content, out->data, err)
             : open_gcm(cipher, module, page, nonce, from, content, out->data, err));
  out->length = content;
  return TN_OK;
}

static tn_status new_nonce(tn_parquet_cipher *cipher, uint8_t *nonce, tn_error *err) {
  if (atomic_fetch_add(&cipher->crypt->uses, 1) >= USES_MAX) {
    return tn_fail(err, TN_ERR_LIMIT, "a key encrypts at most %llu modules",
                   (unsigned long long)USES_MAX);
  }
  if (RAND_bytes(nonce, TN_PARQUET_NONCE_BYTES) == 1) return TN_OK;
  return tn_fail(err, TN_ERR_IO, "libcrypto has no random bytes");
}

tn_status tn_parquet_encrypt(tn_parquet_cipher *cipher, int module, int64_t page, const void *data,
                             size_t count, tn_parquet_bytes *out, tn_error *err) {
  bool ctr = uses_ctr(cipher, module);
  size_t extra = ctr ? TN_PARQUET_NONCE_BYTES : TN_PARQUET_SIGNATURE_BYTES;
  if (count > INT32_MAX - TN_PARQUET_MODULE_EXTRA) {
    return tn_fail(err, TN_ERR_LIMIT, "an encrypted module of %zu bytes, limit %d", count,
                   INT32_MAX - TN_PARQUET_MODULE_EXTRA);
  }
  TN_TRY(check_ordinals(cipher, counts_pages(module) ? page : 0, err));
  TN_TRY(tn_parquet_bytes_reserve(out, TN_PARQUET_LENGTH_BYTES + extra + count, err));
  uint8_t *at = out->data + out->length, *nonce = at + TN_PARQUET_LENGTH_BYTES;
  uint8_t *to = nonce + TN_PARQUET_NONCE_BYTES;
  tn_store_u32(at, (uint32_t)(extra + count));
  TN_TRY(new_nonce(cipher, nonce, err));
  TN_TRY(ctr ? crypt_ctr(cipher, true, nonce, data, count, to, err)
             : seal_gcm(cipher, module, page, nonce, data, count, to, err));
  out->length += TN_PARQUET_LENGTH_BYTES + extra + count;
  return TN_OK;
}

/* ---- signatures ------------------------------------------------------------------------------ */

/* The footer is encrypted with the nonce that the file tells, and its tag compared. */
tn_status tn_parquet_signature_check(tn_parquet_cipher *cipher, const uint8_t *footer, size_t count,
                                     const uint8_t *signature, tn_error *err) {
  tn_parquet_bytes sealed = {0};
  TN_TRY(tn_parquet_bytes_reserve(&sealed, count + TN_PARQUET_TAG_BYTES, err));
  tn_status status =
      seal_gcm(cipher, TN_PARQUET_MODULE_FOOTER, 0, signature, footer, count, sealed.data, err);
  if (status == TN_OK && CRYPTO_memcmp(sealed.data + count, signature + TN_PARQUET_NONCE_BYTES,
                                       TN_PARQUET_TAG_BYTES) != 0) {
    status = tn_fail(err, TN_ERR_CHECKSUM,
                     "its signature does not fit: the footer key is another one, or the footer was "
                     "changed");
  }
  tn_parquet_bytes_clear(&sealed);
  return status;
}

tn_status tn_parquet_signature_make(tn_parquet_cipher *cipher, const void *footer, size_t count,
                                    uint8_t signature[TN_PARQUET_SIGNATURE_BYTES], tn_error *err) {
  tn_parquet_bytes sealed = {0};
  tn_status status =
      tn_parquet_encrypt(cipher, TN_PARQUET_MODULE_FOOTER, 0, footer, count, &sealed, err);
  if (status == TN_OK) {
    memcpy(signature, sealed.data + TN_PARQUET_LENGTH_BYTES, TN_PARQUET_NONCE_BYTES);
    memcpy(signature + TN_PARQUET_NONCE_BYTES, sealed.data + sealed.length - TN_PARQUET_TAG_BYTES,
           TN_PARQUET_TAG_BYTES);
  }
  tn_parquet_bytes_clear(&sealed);
  return status;
}
