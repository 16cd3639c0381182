#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what Tenon needs on Debian 12, by package name, and says what and why.
#
#   tools/setup.sh build   compiler and libraries            (make)
#   tools/setup.sh demo    ... and the demo's texts          (make demo)
#   tools/setup.sh test    ... and test tools and real peers (make test)
#
# A second run installs nothing.  Without root (or sudo) it prints the command to run instead.
set -euo pipefail
cd "$(dirname "$0")/.."

# package | why
BUILD="
gcc|the C compiler
make|the build
libc6-dev|C headers
libmicrohttpd-dev|HTTP server of tenon serve
libcurl4-openssl-dev|HTTP client of tenon bench serve
libzstd-dev|Parquet codec zstd
libsnappy-dev|Parquet codec snappy
liblz4-dev|Arrow IPC and Parquet codec LZ4
libbrotli-dev|Parquet codec brotli
libdeflate-dev|Parquet codec gzip and page CRC
libssl-dev|Parquet encryption (AES)
zlib1g-dev|gzip input of CSV and JSONL, as a stream
libpcre2-dev|pre-tokenizer patterns
libutf8proc-dev|tokenizers: normal forms, character classes
libxxhash-dev|checksums of weights and shards, Parquet Bloom filters
libyaml-dev|run configuration
libedit-dev|line editing in tenon run
"
DEMO="
python3|makes the demo's CSV files
bible-kjv|text: the King James Bible (program)
bible-kjv-text|text: the King James Bible
"
TEST="
libcmocka-dev|unit tests in C
python3-venv|Python environment for tests with real peers
clang|fuzzers (libFuzzer)
libclang-rt-14-dev|sanitizer runtimes for clang
clang-format|make lint
"

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else
    echo "setup: these packages need root; please run:  $*" >&2
    exit 1
  fi
}

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_missing() {
  local missing=() package why
  while IFS='|' read -r package why; do
    [ -n "$package" ] || continue
    installed "$package" || { echo "setup: $package - $why"; missing+=("$package"); }
  done <<<"$1"
  [ "${#missing[@]}" -gt 0 ] || return 0
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# The peers that tests talk to, pinned; tests/requirements.txt says what each is for.
install_peers() {
  local stamp=.venv/installed
  if [ -f "$stamp" ] && cmp -s "$stamp" tests/requirements.txt; then return 0; fi
  echo "setup: .venv - Python peers of tests/requirements.txt (pyarrow, duckdb, torch, ...)"
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
  cp tests/requirements.txt "$stamp"
}

# The novels come from a package that is unpacked, not installed: installing it would pull in R.
fetch_novels() {
  [ -d build/corpus/usr ] && return 0
  echo "setup: r-cran-janeaustenr - text: six Jane Austen novels (unpacked, not installed)"
  mkdir -p build/corpus
  [ -n "$(apt-cache show r-cran-janeaustenr 2>/dev/null)" ] || as_root apt-get update -qq
  (cd build/corpus && apt-get download -qq -o APT::Sandbox::User="" r-cran-janeaustenr &&
     dpkg-deb -x r-cran-janeaustenr_*.deb . && rm r-cran-janeaustenr_*.deb)
}

# The package index that the demo turns into a table.
fetch_index() {
  local files
  files=$(apt-get indextargets --format '$(FILENAME)' 'Created-By: Packages' 2>/dev/null || true)
  for file in $files; do [ -e "$file" ] && return 0; done
  echo "setup: apt-get update - the package index, rows for the demo"
  as_root apt-get update -qq
}

case "${1:-}" in
  build) install_missing "$BUILD" ;;
  demo) install_missing "$BUILD$DEMO"; fetch_novels; fetch_index ;;
  test) install_missing "$BUILD$DEMO$TEST"; fetch_novels; fetch_index; install_peers ;;
  *) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
