#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test.sh [MODE]: everything that proves Tenon, set-up included; ends with 'N passed, M failed'.
#
# MODE release (the default): lint, unit tests, fuzz corpora, and end-to-end tests with real peers.
# MODE asan, ubsan, tsan, debug: the unit tests built that way, and the program's own end-to-end tests
# with the same build where a sanitizer can watch them.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-release}
tools/setup.sh test
export TENON_TESTDATA=${TENON_TESTDATA:-$(realpath -m ../shared/testdata)}
[ -d "$TENON_TESTDATA" ] || echo "test: no folder $TENON_TESTDATA (TENON_TESTDATA): its tests are skipped"
make -s -j"$(nproc)" MODE="$mode" all unit-programs
[ "$mode" = release ] || make -s -j"$(nproc)" library # Python loads none that wants a sanitizer's runtime
export TENON="$PWD/build/$mode/tenon"

passed=0 failed=0 skipped=0
log=$(mktemp); trap 'rm -f "$log"' EXIT
# count LABEL COMMAND...: runs it and adds up its last 'N passed[, M failed]' line.
count() {
  local label=$1 rc=0 line p f s; shift
  printf '\n== %s\n' "$label"
  "$@" 2>&1 | tee "$log" || rc=$?
  line=$(grep -E '[0-9]+ (passed|failed|skipped|error)' "$log" | tail -1 || true)
  p=$(grep -oE '[0-9]+ passed' <<<"$line" | grep -oE '[0-9]+' || echo 0)
  f=$(grep -oE '[0-9]+ failed' <<<"$line" | grep -oE '[0-9]+' || echo 0)
  s=$(grep -oE '[0-9]+ skipped' <<<"$line" | grep -oE '[0-9]+' || echo 0)
  [ "$rc" -eq 0 ] || [ "$f" -gt 0 ] || f=1
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}
lint() { if make -s lint; then echo "1 passed, 0 failed"; else echo "0 passed, 1 failed"; return 1; fi; }

[ "$mode" != release ] || count "lint" lint
count "unit tests ($mode)" make -s MODE="$mode" unit
count "fuzz corpora ($mode)" make -s MODE="$mode" corpora
conformance() {
  local rc=0
  .venv/bin/python tests/conformance/run.py "$TENON_TESTDATA" | tee "$log.cases" || rc=$?
  tail -1 "$log.cases" | sed -E 's/.*"passed": ([0-9]+), "failed": ([0-9]+), "skipped": ([0-9]+), "kinds.*/\1 passed, \2 failed, \3 skipped/'
  rm -f "$log.cases"
  return "$rc"
}

case "$mode" in
  release)
    count "conformance: files that others made" conformance
    count "end to end, with real peers" .venv/bin/python -m pytest -q tests/peers ;;
  *) count "end to end ($mode)" .venv/bin/python -m pytest -q tests/peers -m "not slow" ;;
esac

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
