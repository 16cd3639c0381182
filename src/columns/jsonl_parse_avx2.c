/* SPDX-License-Identifier: Apache-2.0 */
#include "columns/jsonl_parse.h"

#if defined(__AVX2__)
#define ENGINE      tn_jsonl_avx2
#define ENGINE_NAME "avx2"
#include "columns/jsonl_parse.inc"
#else
const tn_jsonl_engine tn_jsonl_avx2 = {0};
#endif
