#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz_run.sh SECONDS PROGRAM...: runs each fuzzer on its corpus (tests/fuzz/corpus/<name>, seeds only;
# findings and new inputs go to build/).  Ends with 'N passed, M failed'.
set -u
seconds=$1; shift
passed=0 failed=0
for program in "$@"; do
  name=$(basename "$program")
  work="$(dirname "$program")/work/$name"; mkdir -p "$work"
  seeds=(); [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
  if "$program" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
      -artifact_prefix="$work/finding-" "$work" "${seeds[@]}" >"$work.log" 2>&1; then
    passed=$((passed + 1))
    echo "ok   $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work.log") inputs, no finding"
  else
    failed=$((failed + 1))
    echo "FAIL $name: see $work.log"; tail -30 "$work.log"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
