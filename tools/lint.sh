#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The rules that a machine can check: layers, headers alone, banned calls, format.  Prints file:line
# for each offence and ends with 1 when there was one.
set -u
cd "$(dirname "$0")/.."
bad=0
report() { [ -z "$1" ] || { printf '%s\n' "$1"; bad=1; }; }
sources=$(git ls-files -co --exclude-standard 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' 'bench/*.c' \
  'include/*.h')
ours=$(printf '%s\n' "$sources" | grep '^src/')

# 1. Layers: an include names room/file.h, and only a room that src/LAYERS allows.
report "$(printf '%s\n' "$ours" | xargs awk '
  BEGIN {
    while ((getline line < "src/LAYERS") > 0) {
      if (line ~ /^#/ || line !~ /:/) continue
      room = line; sub(/:.*/, "", room); sub(/^[^:]*:/, "", line)
      known[room] = 1; allowed[room] = " " room line " "
    }
  }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    split(FILENAME, path, "/"); room = path[2]
    target = $0; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
    if (target !~ /\//) { print FILENAME ":" FNR ": include \"" target "\" must name its room"; next }
    sub(/\/.*/, "", target)
    if (target == "tenon") next
    if (!(room in known)) print FILENAME ":" FNR ": room " room " is not in src/LAYERS"
    else if (index(allowed[room], " " target " ") == 0)
      print FILENAME ":" FNR ": " room " may not include " target
  }')"

# 2. Every header compiles alone.
for header in $(printf '%s\n' "$sources" | grep '\.h$'); do
  flags=
  case "$header" in *_avx512*.h) flags=-march=x86-64-v4 ;; *_avx2*.h) flags=-march=x86-64-v3 ;; esac
  out=$(${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wno-unused-parameter -Isrc -Iinclude $flags -fsyntax-only \
    -x c "$header" 2>&1 | grep -E 'error|warning' | grep -v 'pragma once')
  report "$out"
done

# 3. Banned calls: unbounded strings everywhere; printing, ending the program and the raw heap outside
#    the places that own them.
report "$(printf '%s\n' "$sources" | xargs grep -nE \
  '(^|[^_[:alnum:]])(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|alloca)[[:space:]]*\(' \
  | sed 's/$/   <- banned call/')"
report "$(printf '%s\n' "$ours" | grep -v '^src/cli/' | xargs grep -nE \
  '(^|[^_[:alnum:]])(printf|puts|putchar|perror|exit|_exit|abort|vprintf)[[:space:]]*\(|fprintf[[:space:]]*\(std' \
  | sed 's/$/   <- a library neither prints nor ends the program/')"
report "$(printf '%s\n' "$ours" | grep -v '^src/base/mem.c' | xargs grep -nE \
  '(^|[^_[:alnum:]>.])(malloc|calloc|realloc|strdup|strndup|aligned_alloc|posix_memalign)[[:space:]]*\(' \
  | sed 's/$/   <- the heap is base\/mem.h/')"
report "$(printf '%s\n' "$sources" | xargs grep -nE '\b(TO''DO|FIX''ME|XX''X)\b' | sed 's/$/   <- leftover/')"
report "$(printf '%s\n' "$sources" | while read -r f; do
  head -40 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$f: no SPDX line"; done)"

# 4. Format: clang-format 14 (Debian 12) and the .clang-format of this folder.
if command -v clang-format >/dev/null; then
  report "$(printf '%s\n' "$sources" | xargs clang-format --dry-run -Werror 2>&1 | grep 'error:' | head -20)"
else
  echo "lint: clang-format is not installed, format not checked"
fi
for script in tools/*.sh .ci/run; do report "$(bash -n "$script" 2>&1)"; done
[ "$bad" -eq 0 ] && echo "lint: clean"
exit "$bad"
