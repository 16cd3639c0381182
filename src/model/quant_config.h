/* quant_config.h - what quantization_config in config.json says about packed weights.
 *
 * Which modules are packed, and into how many groups, follows from the tensors that the files hold
 * (weight_packed.h): targets and ignore lists need no reading.  Read here is what tensors do not
 * say: the method, the bits of a code, how zero points are stored, the shape of blocks.  Methods
 * and formats that Tenon does not know are refused by name.
 *
 * Thread: a plain value. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TN_MODEL_QUANT_CONFIG_H
#define TN_MODEL_QUANT_CONFIG_H
#include "base/json.h"
#include "tensor/dtype.h"

typedef enum tn_quant_method {
  TN_QUANT_NONE,
  TN_QUANT_AWQ,        /* gemm layout, 4 bits */
  TN_QUANT_GPTQ,       /* 2, 3, 4 and 8 bits */
  TN_QUANT_COMPRESSED, /* compressed-tensors: pack-, int- and float-quantized */
  TN_QUANT_FP8,        /* float8 with a scale a tensor, a row or a block of 128 x 128 */
} tn_quant_method;

enum { TN_QUANT_GROUPS_MAX = 16 };

typedef struct tn_quant_config { /* all zero: not quantized */
  tn_quant_method method;
  int32_t bits;                         /* AWQ, GPTQ; the first group of compressed-tensors */
  int32_t bits_of[TN_QUANT_GROUPS_MAX]; /* compressed-tensors: of each of its config groups */
  int32_t group_count;
  int64_t group_size;                /* -1: a whole row; 0: not said */
  bool zeros_minus_one;              /* GPTQ's first format stores a zero point less one */
  bool activations;                  /* the file wants activations quantized too; not done here */
  int64_t block_rows, block_columns; /* float8 in blocks; 0: not said */
  tn_dtype kv_dtype; /* compressed-tensors' kv_cache_scheme: I8 or F8_E4M3; F32: none */
} tn_quant_config;

/* `config`: the whole of config.json; `name` is for messages.  No quantization_config: all zero. */
TN_NODISCARD tn_status tn_quant_config_parse(tn_quant_config *out, tn_str config, const char *name,
                                             tn_error *err);
/* "AWQ, 4 bits, groups of 128"; "" when not quantized */
void tn_quant_config_describe(const tn_quant_config *config, tn_strbuf *out);

#endif
