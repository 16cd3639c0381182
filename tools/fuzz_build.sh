#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz_build.sh OUT FLAGS LIBS SOURCE...: compiles one fuzzer with clang.  Objects are shared between
# fuzzers (they lie beside OUT), ISA flags follow from the file name as in the Makefile.
set -euo pipefail
out=$1 flags=$2 libs=$3; shift 3
objects=()
# Any header may be in any source: one that changed makes all objects old.
header=$(find src include \( -name '*.h' -o -name '*.inc' -o -name '*.def' \) -printf '%T@ %p\n' | sort -n | tail -1)
header=${header#* }
for source in "$@"; do
  object="$(dirname "$out")/obj/${source%.c}.o"
  objects+=("$object")
  [ "$object" -nt "$source" ] && [ "$object" -nt "$header" ] && continue
  isa=
  case "$source" in
    *_amx.c) isa="-march=x86-64-v4 -mavx512vnni -mavx512bf16 -mamx-tile -mamx-int8 -mamx-bf16" ;;
    *_avx512bf16.c) isa="-march=x86-64-v4 -mavx512vnni -mavx512bf16" ;;
    *_avx512vnni.c) isa="-march=x86-64-v4 -mavx512vnni" ;;
    *_avx512.c) isa="-march=x86-64-v4" ;;
    *_avx2.c) isa="-march=x86-64-v3" ;;
  esac
  # Kernels parse nothing, and clang takes minutes to instrument their unrolled loops.
  instrument=$flags
  case "$source" in src/kernels/*) instrument="-std=gnu11 -O1 -pthread" ;; esac
  mkdir -p "$(dirname "$object")"
  # shellcheck disable=SC2086
  clang -Isrc -Iinclude -D_GNU_SOURCE $instrument $isa -c "$source" -o "$object"
done
# shellcheck disable=SC2086
clang $flags -o "$out" "${objects[@]}" $libs
