#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Columns against DuckDB and pyarrow: the same work on the same files in one run, alternating.

    make bench-columns                        1 GB, three rounds
    bench/bench_columns.py --quick            100 MB, one round
    bench/bench_columns.py --large            also CSV -> Parquet of 8 GB, for the peak memory
    bench/bench_columns.py --tasks csv_scan   some tasks only

What each side does:
  csv_parquet   CSV, types inferred, to Parquet with zstd at each one's default level
  csv_scan      every field of the CSV parsed into typed columns.  Ours and DuckDB add each column up,
                pyarrow only makes the batches
  parquet_scan  every value of our zstd file, the same way; ours verifies page checksums, pyarrow once with
                and once without (page_checksum_verification), DuckDB has no such setting
  one_column    `ratio` alone, summed
  jsonl_scan    every value of the same rows as JSON lines
  random_rows   one row, all columns, at random of 10 million: our training profile with the file open (warm)
                against pyarrow's default layout with the file open

Every run is a fresh process.  CPU seconds are user + system: for ours of the whole process, for the peers of
the task alone, without starting Python.  Peak RSS is the process's.  The data lies in build/bench-data
(TENON_BENCH_DATA) and is made once.  The last line is one JSON object with every ratio: how many times less
CPU, and less time, than the better peer, and than each.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
DATA = pathlib.Path(os.environ.get("TENON_BENCH_DATA", ROOT / "build/bench-data"))
PYTHON = str(ROOT / ".venv/bin/python") if (ROOT / ".venv/bin/python").exists() else sys.executable
PEER = str(ROOT / "bench/columns_peer.py")
RANDOM_ROWS = 10_000_000


def measured(command):
    """Runs a command; wall and CPU seconds, peak RSS in MiB, and its last line as JSON if it is some."""
    begin = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"bench: {' '.join(map(str, command))} ended with {child.returncode}")
    found = {"wall": time.perf_counter() - begin, "cpu": usage.ru_utime + usage.ru_stime,
             "rss_mib": usage.ru_maxrss / 1024}
    lines = text.strip().splitlines()
    if lines and lines[-1].startswith("{"):
        found.update({key: value for key, value in json.loads(lines[-1]).items()
                      if command[0] == PYTHON or key not in ("wall", "cpu")})
    return found


# ---- data -----------------------------------------------------------------------------------------------
def made(name, make, newer_than=None):
    """DATA/name, made by make(path) when it is not there or too old; never half there."""
    path = DATA / name
    if not path.exists() or newer_than and newer_than.stat().st_mtime > path.stat().st_mtime:
        DATA.mkdir(parents=True, exist_ok=True)
        print(f"bench: making {path}", file=sys.stderr)
        part = DATA / f"part-{name}"
        make(part)
        part.rename(path)
    return path


def generated(name, *words):
    def make(path):
        with open(path, "wb") as out:
            subprocess.run([BUILD / "bench/make_table", *map(str, words)], stdout=out, check=True)
    return made(name, make)


def converted(name, source, *options):
    return made(name, lambda path: subprocess.run(
        [BUILD / "tenon", "data", "convert", "-q", *options, source, path], check=True,
        stdout=subprocess.DEVNULL), newer_than=BUILD / "tenon")


def default_layout(name, source):
    """pyarrow.parquet.write_table with its defaults: row groups of 1,048,576 rows."""
    code = ("import sys, pyarrow.csv as csv, pyarrow.parquet as pq\n"
            "pq.write_table(csv.read_csv(sys.argv[1]), sys.argv[2])")
    return made(name, lambda path: subprocess.run([PYTHON, "-c", code, source, path], check=True))


# ---- tasks ----------------------------------------------------------------------------------------------
def scan(path, threads, *options):
    return [str(BUILD / "bench/scan_table"), "--threads", str(threads), *options, str(path)]


def peer(who, task, threads, path, out=None):
    return [PYTHON, PEER, who, task, str(threads), str(path), *([str(out)] if out else [])]


def convert_runs(source, threads):
    out = {who: DATA / f"out-{who}.parquet" for who in ("tenon", "duckdb", "pyarrow")}
    runs = {"tenon": [str(BUILD / "tenon"), "data", "convert", "--json", "--threads", str(threads),
                      str(source), str(out["tenon"])],
            **{who: peer(who, "csv_parquet", threads, source, out[who])
               for who in ("duckdb", "pyarrow")}}
    return runs, out


def alternate(runs, rounds, after=None):
    """Every run once a round, in turn; medians."""
    found = {who: [] for who in runs}
    for _ in range(rounds):
        for who, command in runs.items():
            found[who].append(measured(command))
            if after:
                after(who, found[who][-1])
    return {who: {key: statistics.median(run[key] for run in many) if isinstance(value, float)
                  else value for key, value in many[-1].items()} for who, many in found.items()}


class Report:
    def __init__(self):
        self.ratios = {}
        print(f"{'task':<14} {'threads':>7}  {'who':<16} {'CPU s':>8} {'wall s':>8} {'RSS MiB':>8}  note")

    def row(self, task, threads, who, run, note=""):
        print(f"{task:<14} {threads:>7}  {who:<16} {run['cpu']:>8.2f} {run['wall']:>8.2f} "
              f"{run['rss_mib']:>8.0f}  {note}", flush=True)

    def compare(self, task, threads, runs, notes=None, extra=None):
        rows = {run.get("rows") for run in runs.values() if run.get("rows") is not None}
        if len(rows) > 1:
            raise SystemExit(f"bench: {task}: not the same rows everywhere: {rows}")
        for who, run in runs.items():
            self.row(task, threads, who, run, (notes or {}).get(who, ""))
        ours, peers = runs["tenon"], {who: run for who, run in runs.items() if who != "tenon"}
        for key in ("cpu", "wall"):
            best = min(run[key] for run in peers.values())
            self.ratios[f"{task}_{key}_{threads}"] = round(best / max(ours[key], 1e-9), 2)
            for who, run in peers.items():
                name = who.replace(", ", "_").replace(" ", "_").lower()
                self.ratios[f"{task}_{key}_{threads}_{name}"] = round(run[key] / max(ours[key], 1e-9), 2)
        self.ratios.update(extra or {})
        print(f"{'':<14} {'':>7}  {'ratio':<16} {self.ratios[f'{task}_cpu_{threads}']:>7.2f}x "
              f"{self.ratios[f'{task}_wall_{threads}']:>7.2f}x", flush=True)


def csv_parquet(report, csv, threads, rounds, name="csv_parquet"):
    runs, out = convert_runs(csv, threads)
    size = {}
    done = alternate(runs, rounds, lambda who, run: size.__setitem__(who, out[who].stat().st_size))
    for path in out.values():
        path.unlink()
    report.compare(name, threads, done, {who: f"{size[who] / 1e6:.1f} MB" for who in size}, {
        f"{name}_size_{threads}": round(size["tenon"] / min(size["duckdb"], size["pyarrow"]), 3),
        f"{name}_rss_mib_{threads}": round(done["tenon"]["rss_mib"], 1)})


def chunk_bytes(path, column):
    """Bytes of the column's chunks and of the footer, by pyarrow's reading of the file.  In a process of its
    own: a child's peak RSS begins with that of the process that starts it, so this one stays small."""
    code = ("import sys, pyarrow.parquet as pq\n"
            "m = pq.read_metadata(sys.argv[1])\n"
            "chunks = [m.row_group(g).column(c) for g in range(m.num_row_groups) "
            "for c in range(m.num_columns)]\n"
            "print(sum(c.total_compressed_size for c in chunks if c.path_in_schema == sys.argv[2])"
            " + m.serialized_size + 8)")
    return int(subprocess.run([PYTHON, "-c", code, path, column], check=True, capture_output=True).stdout)


def one_column(report, parquet, threads, rounds):
    done = alternate({"tenon": scan(parquet, threads, "--columns", "ratio"),
                      **{who: peer(who, "one_column", threads, parquet)
                         for who in ("duckdb", "pyarrow")}}, rounds)
    read, needed = done["tenon"]["bytes_read"], chunk_bytes(parquet, "ratio")
    report.compare("one_column", threads, done,
                   {"tenon": f"{read:,} bytes read; the column's chunks and footer have {needed:,}"},
                   {"one_column_bytes_over_needed": round(read / needed, 3)})


def random_rows(report, rows):
    source = generated(f"rows-{rows}.csv", "--rows", rows)
    ours = converted(f"training-{rows}.parquet", source, "--profile", "training")
    theirs = default_layout(f"default-layout-{rows}.parquet", source)
    mine = measured([str(BUILD / "bench/random_rows"), str(ours)])
    other = measured(peer("pyarrow", "random_rows", 1, theirs))
    for who, run in (("tenon", mine), ("pyarrow", other)):
        print(f"{'random_rows':<14} {1:>7}  {who:<16} {'':>8} {'':>8} {run['rss_mib']:>8.0f}  "
              f"p50 {run['p50_us']:.0f} us, p99 {run['p99_us']:.0f} us"
              + (f", of CPU time {run['p99_cpu_us']:.0f} us" if "p99_cpu_us" in run else ""))
    report.ratios["random_row_p50_us"] = round(mine["p50_us"], 1)
    report.ratios["random_row_p99_us"] = round(mine["p99_us"], 1)
    report.ratios["random_row_p99_cpu_us"] = round(mine["p99_cpu_us"], 1)
    report.ratios["random_row"] = round(other["p50_us"] / mine["p50_us"], 1)


def main():
    about = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    about.add_argument("--quick", action="store_true", help="100 MB, one round")
    about.add_argument("--large", action="store_true", help="also 8 GB of CSV -> Parquet")
    about.add_argument("--rounds", type=int, default=0)
    about.add_argument("--bytes", type=int, default=0)
    about.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    about.add_argument("--tasks", nargs="*", default=["csv_parquet", "csv_scan", "parquet_scan",
                                                      "one_column", "jsonl_scan", "random_rows"])
    o = about.parse_args()
    size = o.bytes or (10**8 if o.quick else 10**9)
    rounds = o.rounds or (1 if o.quick else 3)
    csv = generated(f"table-{size}.csv", "--bytes", size)
    report = Report()
    for threads in o.threads:
        if "csv_parquet" in o.tasks:
            csv_parquet(report, csv, threads, rounds)
        if "csv_scan" in o.tasks:
            report.compare("csv_scan", threads, alternate(
                {"tenon": scan(csv, threads), **{who: peer(who, "csv_scan", threads, csv)
                                                 for who in ("duckdb", "pyarrow")}}, rounds))
        if "parquet_scan" in o.tasks:
            parquet = converted(f"table-{size}.parquet", csv)
            report.compare("parquet_scan", threads, alternate(
                {"tenon": scan(parquet, threads), "duckdb": peer("duckdb", "parquet_scan", threads, parquet),
                 "pyarrow": peer("pyarrow", "parquet_scan", threads, parquet),
                 "pyarrow, no CRC": peer("pyarrow", "parquet_scan_no_crc", threads, parquet)}, rounds))
        if "one_column" in o.tasks:
            one_column(report, converted(f"table-{size}.parquet", csv), threads, rounds)
        if "jsonl_scan" in o.tasks:
            rows = sum(chunk.count(b"\n") for chunk in iter(
                lambda f=open(csv, "rb"): f.read(1 << 24), b"")) - 1
            jsonl = generated(f"table-{size}.jsonl", "--jsonl", "--rows", rows)
            report.compare("jsonl_scan", threads, alternate(
                {"tenon": scan(jsonl, threads), **{who: peer(who, "jsonl_scan", threads, jsonl)
                                                   for who in ("duckdb", "pyarrow")}}, rounds))
    if "random_rows" in o.tasks:
        random_rows(report, 10**6 if o.quick else RANDOM_ROWS)
    if o.large:
        large = generated("table-8000000000.csv", "--bytes", 8 * 10**9)
        csv_parquet(report, large, 2, 1, "csv_parquet_8gb")
    print(json.dumps(report.ratios))


main()
