/* The rows of ops.def as data, and the tables that a device runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/ops.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "kernels/check.h"
#include "kernels/cpu/amx.h"
#include "kernels/cpu/cpu.h"

/* ---- rows as data ---- */

/* `args` names the row's struct for T and S; an empty entry at the end keeps lists without items
 * legal. */
const tn_op_info *tn_op_describe(tn_op_id op) {
  switch (op) {
#define TN_GRAD(forward, backward)
#define T(role, name, kind, dims) \
  {#name, TN_ROLE_##role, TN_KIND_##kind, dims, offsetof(args, name)},
#define S(type, name, example) {#name, #type, example, offsetof(args, name)},
#define COUNT(list)            ((int32_t)(sizeof(list) / sizeof(list)[0]) - 1)
#define TN_OP(name, summary, tensors, scalars)                                               \
  case TN_OP_##name: {                                                                       \
    typedef tn_##name##_args args;                                                           \
    static const tn_op_tensor_info t[] = {tensors{NULL, TN_ROLE_IN, TN_KIND_REAL, NULL, 0}}; \
    static const tn_op_scalar_info s[] = {scalars{NULL, NULL, 0, 0}};                        \
    _Static_assert(COUNT(t) <= TN_OP_TENSORS_MAX && sizeof(args) <= TN_OP_ARGS_MAX, #name);  \
    static const tn_op_info info = {#name, summary, t, COUNT(t), s, COUNT(s), sizeof(args)}; \
    return &info;                                                                            \
  }
#include "kernels/ops.def"
#undef TN_OP
#undef COUNT
#undef S
#undef T
#undef TN_GRAD
    case TN_OP_COUNT:
      break;
  }
  return NULL;
}

const tn_grad_info *tn_grad_list(int32_t *count) {
  static const tn_grad_info list[] = {
#define TN_OP(name, summary, tensors, scalars)
#define TN_GRAD(forward, backward) {TN_OP_##forward, TN_OP_##backward},
#include "kernels/ops.def"
#undef TN_GRAD
#undef TN_OP
  };
  *count = (int32_t)(sizeof list / sizeof list[0]);
  return list;
}

/* ---- which rows the CPU runs ---- */

static const struct isa {
  const char *name;
  const tn_ops *rows;
} isas[] = {{"amx", &tn_cpu_rows_amx}, /* best first */
            {"avx512bf16", &tn_cpu_rows_avx512bf16},
            {"avx512vnni", &tn_cpu_rows_avx512vnni},
            {"avx512", &tn_cpu_rows_avx512},
            {"avx2", &tn_cpu_rows_avx2},
            {"plain", &tn_cpu_rows_plain},
            {"plain_bytes", &tn_cpu_rows_plain_bytes}};
#define ISA_COUNT ((int32_t)(sizeof isas / sizeof isas[0]))

/* __builtin_cpu_supports asks CPUID and whether the system saves the registers (XGETBV).  F16C is
 * not asked for: clang 14 does not know the word, and every CPU with AVX2 has it. */
static bool cpu_has(const char *isa) {
  if (strcmp(isa, "plain") == 0 || strcmp(isa, "plain_bytes") == 0) return true;
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("bmi2");
  if (strcmp(isa, "avx2") == 0) return avx2;
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512vl");
  bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  if (strcmp(isa, "avx512vnni") == 0) return vnni;
  bool bf16 = vnni && __builtin_cpu_supports("avx512bf16");
  if (strcmp(isa, "avx512bf16") == 0) return bf16;
  if (strcmp(isa, "amx") == 0) return bf16 && tn_amx_here();
  return avx512;
#else
  return false;
#endif
}

static int32_t best_isa; /* tn_ops_limit's */

static struct {
  tn_ops rows;                     /* what runs, unchecked */
  const char *source[TN_OP_COUNT]; /* where it comes from */
  tn_ops isa_rows[ISA_COUNT];      /* one instruction set laid over ref/ */
  bool isa_here[ISA_COUNT];
} cpu;

static void lay_over(tn_ops *rows, const tn_ops *better, const char *source) {
#define TN_GRAD(forward, backward)
#define TN_OP(name, summary, tensors, scalars)     \
  if (better->name) {                              \
    rows->name = better->name;                     \
    if (source) cpu.source[TN_OP_##name] = source; \
  }
#include "kernels/ops.def"
#undef TN_OP
#undef TN_GRAD
}

static bool has_rows(const tn_ops *rows) {
  static const tn_ops none;
  return memcmp(rows, &none, sizeof none) != 0;
}

static void fill_cpu(void) {
  lay_over(&cpu.rows, tn_ops_ref(), "ref");
  for (int32_t i = ISA_COUNT - 1; i >= 0; i--) {
    cpu.isa_here[i] = i >= best_isa && has_rows(isas[i].rows) && cpu_has(isas[i].name);
    if (!cpu.isa_here[i]) continue;
    cpu.isa_rows[i] = *tn_ops_ref();
    lay_over(&cpu.isa_rows[i], isas[i].rows, NULL);
    lay_over(&cpu.rows, isas[i].rows, isas[i].name);
  }
}

static void cpu_once(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill_cpu);
}

const char *tn_ops_isa(int32_t i) {
  return i < ISA_COUNT ? isas[i].name : NULL;
}

const tn_ops *tn_ops_cpu(const char *isa) {
  cpu_once();
  for (int32_t i = 0; i < ISA_COUNT; i++)
    if (strcmp(isa, isas[i].name) == 0 && cpu.isa_here[i]) return &cpu.isa_rows[i];
  return NULL;
}

bool tn_ops_limit(const char *isa) {
  for (int32_t i = 0; i < ISA_COUNT; i++)
    if (strcmp(isa, isas[i].name) == 0) {
      best_isa = i;
      return true;
    }
  return false;
}

/* ---- the checked table ---- */

static tn_status check_call(tn_op_id op, tn_stream *stream, const void *args, tn_error *err) {
  const tn_op_info *info = tn_op_describe(op);
  if (!stream) return tn_fail(err, TN_ERR_ARGUMENT, "%s: no stream", info->name);
  TN_TRY(tn_op_check(op, args, err));
  const tn_tensor *first = (const tn_tensor *)((const char *)args + info->tensors[0].offset);
  if (first->buffer->device && first->buffer->device->kind != TN_CPU)
    return tn_fail(err, TN_ERR_ARGUMENT, "%s: %s is on %s, the stream on the CPU", info->name,
                   info->tensors[0].name, first->buffer->device->name);
  return tn_op_check_indices(op, args, err);
}

#define TN_GRAD(forward, backward)
#define TN_OP(name, summary, tensors, scalars)                                     \
  static tn_status checked_##name(tn_stream *stream, const tn_##name##_args *args, \
                                  tn_error *err) {                                 \
    TN_TRY(check_call(TN_OP_##name, stream, args, err));                           \
    return cpu.rows.name(stream, args, err);                                       \
  }
#include "kernels/ops.def"
#undef TN_OP

static const tn_ops checked_rows = {
#define TN_OP(name, summary, tensors, scalars) .name = checked_##name,
#include "kernels/ops.def"
#undef TN_OP
};
#undef TN_GRAD

const tn_ops *tn_ops_for(const tn_device *device) {
  if (device->kind != TN_CPU) return NULL;
  cpu_once();
  return &checked_rows;
}

const char *tn_op_source(const tn_device *device, tn_op_id op) {
  if (device->kind != TN_CPU || (uint32_t)op >= TN_OP_COUNT) return "none";
  cpu_once();
  return cpu.source[op];
}
