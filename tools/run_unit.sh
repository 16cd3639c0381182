#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs unit test programs one after the other and ends with 'N passed, M failed'.
# A fuzz target gets the folder of its corpus.
# A program that ends without cmocka's own summary (a crash, a sanitizer report) counts as one failure.
set -u
passed=0 failed=0
log=$(mktemp); trap 'rm -f "$log"' EXIT
for program in "$@"; do
  corpus=()
  case "$program" in */fuzz/*) corpus=("tests/fuzz/corpus/$(basename "$program")") ;; esac
  "$program" "${corpus[@]}" >"$log" 2>&1; rc=$?
  p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test(s)\..*/\1/p' "$log" | tail -1)
  f=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test(s), listed below:.*/\1/p' "$log" | tail -1)
  p=${p:-0} f=${f:-0}
  if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then f=1; fi
  passed=$((passed + p)) failed=$((failed + f))
  if [ "$f" -gt 0 ]; then
    echo "FAIL $program (exit $rc)"; grep -vE '^\[( RUN      |       OK |==========)\]' "$log" | tail -60
  else
    echo "ok   $program ($p)"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
