/* crypt_keys.h - the inside of a tn_parquet_crypt (private to crypt*.c). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_CRYPT_KEYS_H
#define TN_COLUMNS_PARQUET_CRYPT_KEYS_H
#include <stdatomic.h>

#include "columns/parquet/crypt.h"

enum { TN_PARQUET_KEY_BYTES_MAX = 32 };

struct tn_parquet_secret {
  uint8_t key[TN_PARQUET_KEY_BYTES_MAX];
  size_t bytes;       /* 0: not known, or not needed */
  uint8_t encryption; /* of a column: TN_PARQUET_PLAINTEXT ... */
  tn_str metadata;
  const char *column; /* for messages */
};

struct tn_parquet_crypt {
  tn_arena arena; /* what the strings below view */
  tn_parquet_algorithm algorithm;
  tn_str aad; /* prefix and the file's own bytes: the AAD of every module begins with it */
  struct tn_parquet_secret footer;
  struct tn_parquet_secret *columns; /* one a leaf */
  int64_t column_count;
  _Atomic uint64_t uses;
  bool plain_footer;
};

/* A cipher with this key and no place: for the footer. */
void tn_parquet_cipher_of(tn_parquet_cipher *cipher, tn_parquet_crypt *crypt,
                          const struct tn_parquet_secret *secret);
TN_NODISCARD tn_status tn_parquet_signature_check(tn_parquet_cipher *cipher, const uint8_t *footer,
                                                  size_t count, const uint8_t *signature,
                                                  tn_error *err);
TN_NODISCARD tn_status tn_parquet_signature_make(tn_parquet_cipher *cipher, const void *footer,
                                                 size_t count,
                                                 uint8_t signature[TN_PARQUET_SIGNATURE_BYTES],
                                                 tn_error *err);

#endif
