# SPDX-License-Identifier: Apache-2.0
"""One task of bench_columns.py done by a peer in a fresh process: columns_peer.py PEER TASK THREADS FILE [OUT].

Prints one JSON line: rows, wall and CPU seconds of the task alone (start of Python and imports left out, in
the peer's favour), and what the task found.
"""
import json
import os
import random
import resource
import sys
import time

PEER, TASK, THREADS, FILE = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
OUT = sys.argv[5] if len(sys.argv) > 5 else None
ROW_GROUP = 1 << 20  # pyarrow's default for a table that is written whole
SUMS = ("count(*), sum(id), max(ts), sum(user_id), sum(price), sum(qty), sum(ratio), "
        "sum(strlen(country)), sum(strlen(status)), sum(flag::int), sum(strlen(text))")


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def duck():
    import duckdb
    db = duckdb.connect()
    db.execute(f"set threads={THREADS}")

    def rows_of(query):
        return db.execute(query).fetchone()[0]

    return {
        "csv_parquet": lambda: rows_of(f"copy (from '{FILE}') to '{OUT}' (format parquet, codec zstd)"),
        "csv_scan": lambda: rows_of(f"select {SUMS} from '{FILE}'"),
        "parquet_scan": lambda: rows_of(f"select {SUMS} from '{FILE}'"),
        "one_column": lambda: rows_of(f"select count(*), sum(ratio) from '{FILE}'"),
        "jsonl_scan": lambda: rows_of(f"select {SUMS} from read_json('{FILE}', format='newline_delimited')"),
    }


def arrow():
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet as pq
    pa.set_cpu_count(THREADS)
    pa.set_io_thread_count(THREADS)
    threads = THREADS > 1

    def read_csv():
        return pa.csv.open_csv(FILE, read_options=pa.csv.ReadOptions(use_threads=threads))

    def count(batches):
        return sum(batch.num_rows for batch in batches)

    def csv_parquet():
        reader = read_csv()
        rows, waiting = 0, []

        def write(writer):
            writer.write_table(pa.Table.from_batches(waiting))
            waiting.clear()

        with pq.ParquetWriter(OUT, reader.schema, compression="zstd") as writer:
            for batch in reader:
                waiting.append(batch)
                rows += batch.num_rows
                if sum(b.num_rows for b in waiting) >= ROW_GROUP:  # a table makes row groups of its own
                    write(writer)
            if waiting:
                write(writer)
        return rows

    def parquet(crc, columns=None):
        file = pq.ParquetFile(FILE, page_checksum_verification=crc)
        return count(file.iter_batches(batch_size=65536, use_threads=threads, columns=columns))

    def one_column():
        file = pq.ParquetFile(FILE)
        return sum(1 for batch in file.iter_batches(batch_size=65536, use_threads=threads,
                                                    columns=["ratio"])
                   if pc.sum(batch.column(0)).is_valid) and file.metadata.num_rows

    def jsonl_scan():
        options = pa.json.ReadOptions(use_threads=threads)
        if hasattr(pa.json, "open_json"):
            return count(pa.json.open_json(FILE, read_options=options))
        return pa.json.read_json(FILE, read_options=options).num_rows

    return {"csv_parquet": csv_parquet, "csv_scan": lambda: count(read_csv()),
            "parquet_scan": lambda: parquet(crc=True), "parquet_scan_no_crc": lambda: parquet(crc=False),
            "one_column": one_column, "jsonl_scan": jsonl_scan}


def random_rows():
    """One row, all columns, from pyarrow's default layout: the row group that holds it, then a slice."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    pa.set_cpu_count(THREADS)
    file = pq.ParquetFile(FILE)
    starts = [0]
    for group in range(file.num_row_groups):
        starts.append(starts[-1] + file.metadata.row_group(group).num_rows)
    rng, times = random.Random(7), []
    for _ in range(12):
        row = rng.randrange(starts[-1])
        begin = time.perf_counter()
        group = next(g for g in range(file.num_row_groups) if row < starts[g + 1])
        one = file.read_row_group(group, use_threads=THREADS > 1).slice(row - starts[group], 1)
        times.append(time.perf_counter() - begin)
        assert one["id"][0].as_py() == row
    times = sorted(times[2:])
    return {"p50_us": times[len(times) // 2] * 1e6, "p99_us": times[-1] * 1e6}


def main():
    if TASK == "random_rows":
        print(json.dumps(random_rows()))
        return
    task = {"duckdb": duck, "pyarrow": arrow}[PEER]()[TASK]
    wall, before = time.perf_counter(), cpu()
    rows = task()
    done = {"rows": rows, "wall": time.perf_counter() - wall, "cpu": cpu() - before}
    if OUT:
        done["bytes"] = os.path.getsize(OUT)
    print(json.dumps(done))


main()
