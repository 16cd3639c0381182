/* crypt.h - modular encryption: every page, header, index and filter is a module of its own.
 *
 *     AES-GCM:  length (4 bytes) | nonce (12) | ciphertext | tag (16)
 *     AES-CTR:  length (4 bytes) | nonce (12) | ciphertext                  pages of AES_GCM_CTR_V1
 *
 * A module's tag also covers its place in the file (AAD: the file's own bytes, kind of module, row
 * group, column, page), so that modules cannot be exchanged for one another.  The footer is a
 * module too ("PARE"), or plain and signed.  Format: Encryption.md of parquet-format.
 *
 * A tn_parquet_crypt belongs to a file: its algorithm and its keys; it does not change after it was
 * made, except for a counter.  A tn_parquet_cipher is one key at work for one column chunk. Thread:
 * a crypt may be used by any, a cipher belongs to one at a time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_COLUMNS_PARQUET_CRYPT_H
#define TN_COLUMNS_PARQUET_CRYPT_H
#include "columns/parquet/bytes.h"
#include "columns/parquet/metadata.h"
#include "columns/parquet/parquet.h"

enum { /* what a module is, as it goes into its AAD */
       TN_PARQUET_MODULE_FOOTER,
       TN_PARQUET_MODULE_COLUMN_META,
       TN_PARQUET_MODULE_DATA_PAGE,
       TN_PARQUET_MODULE_DICTIONARY_PAGE,
       TN_PARQUET_MODULE_DATA_HEADER,
       TN_PARQUET_MODULE_DICTIONARY_HEADER,
       TN_PARQUET_MODULE_COLUMN_INDEX,
       TN_PARQUET_MODULE_OFFSET_INDEX,
       TN_PARQUET_MODULE_BLOOM_HEADER,
       TN_PARQUET_MODULE_BLOOM_BITS
};

enum {
  TN_PARQUET_LENGTH_BYTES = 4,
  TN_PARQUET_NONCE_BYTES = 12,
  TN_PARQUET_TAG_BYTES = 16,
  TN_PARQUET_SIGNATURE_BYTES = TN_PARQUET_NONCE_BYTES + TN_PARQUET_TAG_BYTES,
  /* what a GCM module is longer than its content */
  TN_PARQUET_MODULE_EXTRA = TN_PARQUET_LENGTH_BYTES + TN_PARQUET_SIGNATURE_BYTES,
  TN_PARQUET_ORDINAL_MAX = INT16_MAX /* row groups, columns, and pages of a chunk */
};

typedef struct tn_parquet_crypt tn_parquet_crypt;
void tn_parquet_crypt_free(tn_parquet_crypt *crypt); /* wipes the keys */
/* DuckDB's own way (2.0): no identifier of the file, no AAD, every column encrypted without saying
 * so, page sizes without the encryption's share.  Such files are read, not written. */
bool tn_parquet_crypt_is_bare(const tn_parquet_crypt *crypt);

/* ---- one chunk's modules --------------------------------------------------------------------- */

typedef struct tn_parquet_cipher { /* all zero is valid for clear */
  tn_parquet_crypt *crypt;
  const struct tn_parquet_secret *secret;
  struct evp_cipher_ctx_st *gcm, *ctr; /* made when first needed */
  int64_t group, column;
} tn_parquet_cipher;

/* Of a column chunk; its crypt must outlive it.  TN_ERR_NOT_FOUND: the column's key is not known,
 * named with its metadata. */
TN_NODISCARD tn_status tn_parquet_cipher_start(tn_parquet_cipher *cipher, tn_parquet_crypt *crypt,
                                               int64_t group, int64_t column, tn_error *err);
void tn_parquet_cipher_clear(tn_parquet_cipher *cipher);

/* The module at the start of `data`: its plain content replaces that of `out`, *used is the
 * module's length.  `page` counts the chunk's data pages from 0 and means nothing for other
 * modules. TN_ERR_CHECKSUM: the key does not fit or the bytes were changed. */
TN_NODISCARD tn_status tn_parquet_decrypt(tn_parquet_cipher *cipher, int module, int64_t page,
                                          const uint8_t *data, size_t count, tn_parquet_bytes *out,
                                          size_t *used, tn_error *err);
/* Appends the module to `out`. */
TN_NODISCARD tn_status tn_parquet_encrypt(tn_parquet_cipher *cipher, int module, int64_t page,
                                          const void *data, size_t count, tn_parquet_bytes *out,
                                          tn_error *err);

/* ---- reading a file -------------------------------------------------------------------------- */

/* The bytes of an encrypted footer ("PARE"): opens it.  *plain is what tn_parquet_footer_parse
 * takes. */
TN_NODISCARD tn_status tn_parquet_crypt_open_footer(tn_parquet_crypt **out, const uint8_t *bytes,
                                                    size_t count, int64_t base,
                                                    const tn_parquet_keys *keys, tn_buffer **plain,
                                                    tn_error *err);
/* A plain footer with encrypted columns; with a footer key its signature is verified.  `bytes` are
 * those the footer was parsed from, and what stands behind it. */
TN_NODISCARD tn_status tn_parquet_crypt_open_plain(tn_parquet_crypt **out,
                                                   const tn_parquet_footer *footer,
                                                   const uint8_t *bytes, size_t count,
                                                   const tn_parquet_keys *keys, tn_error *err);
/* Finds the columns' keys and decrypts metadata that stand apart.  Chunks whose key is known are no
 * longer `elsewhere`. `names`: the dotted path of each leaf. */
TN_NODISCARD tn_status tn_parquet_crypt_open_columns(tn_parquet_crypt *crypt,
                                                     tn_parquet_footer *footer, tn_arena *arena,
                                                     const char *const *names, int64_t count,
                                                     const tn_parquet_keys *keys, tn_error *err);

/* ---- writing a file -------------------------------------------------------------------------- */

/* The strings of `options` are copied. */
TN_NODISCARD tn_status tn_parquet_crypt_new(tn_parquet_crypt **out,
                                            const tn_parquet_encryption *options,
                                            const char *const *names, int64_t count, tn_error *err);
bool tn_parquet_crypt_has(const tn_parquet_crypt *crypt, int64_t column); /* is it encrypted? */
/* "PARE" or "PAR1": what such a file begins and ends with. */
const char *tn_parquet_crypt_magic(const tn_parquet_crypt *crypt);
/* Everything between the last row group's bytes and the footer's length: the footer, its chunks'
 * metadata encrypted where their keys differ, with what must stand before or behind it.  Changes
 * the footer's chunks and groups. */
TN_NODISCARD tn_status tn_parquet_crypt_footer(tn_parquet_crypt *crypt, tn_parquet_footer *footer,
                                               tn_arena *arena, tn_strbuf *out, tn_error *err);

#endif
