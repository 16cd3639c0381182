/* gguf.h - metadata and tensors of one GGUF file, version 2 or 3, little-endian.
 *
 *     "GGUF" | version | tensors | values | values: key, kind, value ... |
 *     tensors: name, dimensions, type, offset ... | padding | data, each tensor aligned
 *
 * The reader maps the file and checks everything before it hands out a view: counts against the
 * bytes that are left, every string and array against the file, names and keys against each other,
 * every tensor against the data and its neighbours.  Tensors are never copied; quantized ones have
 * the types of tensor/quant.h.  Dimensions are turned round: outermost first, as everywhere here.
 * Source: ggml's docs/gguf.md and gguf.h.
 *
 * Thread: an open file is constant; read it from any. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_GGUF_H
#define TN_MODEL_GGUF_H
#include "base/io.h"
#include "tensor/tensor.h"

typedef struct tn_gguf tn_gguf;
/* TN_ERR_DATA names file, key or tensor and what does not fit.  Tensors of a type that Tenon lacks
 * (IQ4_XS, Q2_K ...), version 1 and big-endian files: TN_ERR_UNSUPPORTED. */
TN_NODISCARD tn_status tn_gguf_open(tn_gguf **out, const char *path, tn_error *err);
void tn_gguf_close(tn_gguf *file); /* tensors handed out become invalid, strings too */
const char *tn_gguf_path(const tn_gguf *file);
bool tn_gguf_is_file(const char *path); /* begins with the four letters */

/* ---- metadata ---- */

typedef enum tn_gguf_kind { /* the numbers of the format */
                            TN_GGUF_U8,
                            TN_GGUF_I8,
                            TN_GGUF_U16,
                            TN_GGUF_I16,
                            TN_GGUF_U32,
                            TN_GGUF_I32,
                            TN_GGUF_F32,
                            TN_GGUF_BOOL,
                            TN_GGUF_STRING,
                            TN_GGUF_ARRAY,
                            TN_GGUF_U64,
                            TN_GGUF_I64,
                            TN_GGUF_F64,
                            TN_GGUF_KIND_COUNT
} tn_gguf_kind;

/* One value, or an array of `count` items of one kind; owned by the file. */
typedef struct tn_gguf_value {
  tn_str key;                         /* empty inside an array of arrays */
  bool is_array;                      /* then `kind` is that of its items */
  tn_gguf_kind kind;                  /* TN_GGUF_ARRAY: an array of arrays */
  int64_t count;                      /* of items; 1 when it is no array */
  const uint8_t *numbers;             /* private: packed, little-endian, at any address */
  const tn_str *strings;              /* [count] when kind is STRING: any bytes, not terminated */
  const struct tn_gguf_value *arrays; /* [count] when kind is ARRAY */
} tn_gguf_value;

int64_t tn_gguf_value_count(const tn_gguf *file);
const tn_gguf_value *tn_gguf_value_at(const tn_gguf *file, int64_t index); /* in file order */
const tn_gguf_value *tn_gguf_find(const tn_gguf *file, const char *key);   /* NULL: none */
const char *tn_gguf_kind_name(tn_gguf_kind kind);                          /* "uint32" */
/* Item i as a number; false when it is none, or not exactly one of the wanted type. */
bool tn_gguf_item_i64(const tn_gguf_value *value, int64_t i, int64_t *out);
bool tn_gguf_item_f64(const tn_gguf_value *value, int64_t i, double *out); /* an integer too */

/* Typed single values, as base/json.h has them.  Absent: *out keeps its value, TN_OK.  Of another
 * kind or out of range: TN_ERR_DATA naming file, key, the wanted and the found. */
TN_NODISCARD tn_status tn_gguf_get_i64(const tn_gguf *file, const char *key, int64_t min,
                                       int64_t max, int64_t *out, tn_error *err);
TN_NODISCARD tn_status tn_gguf_get_f64(const tn_gguf *file, const char *key, double *out,
                                       tn_error *err);
TN_NODISCARD tn_status tn_gguf_get_bool(const tn_gguf *file, const char *key, bool *out,
                                        tn_error *err);
TN_NODISCARD tn_status tn_gguf_get_str(const tn_gguf *file, const char *key, tn_str *out,
                                       tn_error *err);
/* An array of strings or numbers.  Absent: *out is NULL, TN_OK.  Numbers may be of any kind:
 * TN_GGUF_F64 asks for numbers, TN_GGUF_I64 for whole ones (bool is none), TN_GGUF_BOOL and
 * TN_GGUF_STRING for themselves. */
TN_NODISCARD tn_status tn_gguf_get_array(const tn_gguf *file, const char *key, tn_gguf_kind kind,
                                         const tn_gguf_value **out, tn_error *err);

/* ---- tensors ---- */

int64_t tn_gguf_count(const tn_gguf *file);
/* Name and view of the i-th tensor, in the order of the header.  The name is NUL-terminated. */
void tn_gguf_at(const tn_gguf *file, int64_t index, tn_str *name, tn_tensor *out);
/* TN_ERR_NOT_FOUND names file and tensor. */
TN_NODISCARD tn_status tn_gguf_get(const tn_gguf *file, const char *name, tn_tensor *out,
                                   tn_error *err);
bool tn_gguf_has(const tn_gguf *file, const char *name);

#endif
