#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job, start to end: rows -> columns, text -> tokens, training, serving.
# Every stage is a `tenon` command that is printed before it runs; repeat it with files of your own.
set -euo pipefail
cd "$(dirname "$0")/.."
started=$(date +%s)
bold=$'\033[1m' plain=$'\033[0m'; [ -t 1 ] || bold='' plain=''

stage() { printf '\n%s== %s ==%s\n' "$bold" "$1" "$plain"; }
run() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; "$@"; }

stage "Set-up and build"
tools/setup.sh demo
make -s -j"$(nproc)"
tenon=build/release/tenon
work=build/demo
mkdir -p "$work"
PATH="$PWD/build/release:$PATH"
run tenon doctor

stage "1. Rows to columns: Debian's own package index"
run tools/corpus.py packages "$work/packages.csv"
run tenon data convert "$work/packages.csv" "$work/packages.parquet"
run tenon data inspect "$work/packages.parquet" --groups 1
run tenon data bench "$work/packages.csv" "$work/packages.parquet" --column installed_kib
echo "The same rows, but a reader of one column touches only that column's bytes."

stage "2. Text to tokens: Jane Austen and the King James Bible"
run tools/corpus.py books "$work/books.csv" build/corpus
run tenon data convert "$work/books.csv" "$work/books.parquet"
run tenon tokenizer train "$work/books.parquet" --column text --vocab-size 4096 \
  --out "$work/tokenizer"
run tenon feed pack "$work/books.parquet" --column text --tokenizer "$work/tokenizer" \
  --out "$work/tokens" --force
run tenon feed bench "$work/tokens"

stage "3. Train a small Llama (Ctrl-C saves; the same command goes on)"
run tenon train examples/austen.yaml

stage "4. Serve it, OpenAI-compatible"
printf '\n%s$ tenon serve runs/austen --port 0 --port-file %s &%s\n' "$bold" "$work/port" "$plain"
rm -f "$work/port"
tenon serve runs/austen --port 0 --port-file "$work/port" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
for _ in $(seq 300); do [ -s "$work/port" ] && break; kill -0 "$server"; sleep 0.1; done
url="http://127.0.0.1:$(cat "$work/port")"
run tenon bench serve "$url" --stream-one --prompt "It is a truth universally acknowledged, that" \
  --max-tokens 120 --temperature 0.8 --seed 7
run tenon bench serve "$url" --concurrency 16 --requests 16 \
  --prompt "And it came to pass in those days, that" --max-tokens 64
printf '\nStopping the server with SIGTERM: running requests finish first.\n'
kill -TERM "$server"
wait "$server"
trap - EXIT

printf '\n%sDone in %d s: raw rows to a served model.%s\n' "$bold" $(($(date +%s) - started)) "$plain"
echo "The model is in runs/austen (Hugging Face layout); \`tenon serve runs/austen\` serves it again."
