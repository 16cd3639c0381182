# SPDX-License-Identifier: Apache-2.0
"""Random nested tables through Parquet: what we write is read by pyarrow, DuckDB and arrow-rs (arro3), what
they write is read by us; statistics and page index are recomputed from the values.

TENON_SEED=N repeats a run, TENON_DIFFERENTIAL=N changes the number of files (2,000 and more in `make test`).
A failure names the file's own seed: TENON_SEED=N TENON_DIFFERENTIAL_ONLY=that-seed runs it alone.
"""
import os
import pathlib
import random
import sys

import arro3.io
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/conformance"), str(ROOT / "python")]

import tenon  # noqa: E402
from parquet_truth import wrong_bounds  # noqa: E402
from random_tables import random_table, types_within  # noqa: E402
from values import REFUSALS, difference  # noqa: E402

SEED = int(os.environ.get("TENON_SEED", random.SystemRandom().randrange(1 << 32)))
FILES = int(os.environ.get("TENON_DIFFERENTIAL", 2040))
ONLY = os.environ.get("TENON_DIFFERENTIAL_ONLY")
CODECS = ["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"]


def seeds(name, share):
    """The seeds of one test's files."""
    print("seed", SEED)
    for index in range(int(FILES * share)):
        seed = f"{SEED}/{name}/{index}"
        if not ONLY or ONLY == seed:
            yield seed, random.Random(seed)


def check(seed, what, wrong):
    assert not wrong, f"TENON_SEED={SEED} TENON_DIFFERENTIAL_ONLY={seed}: {what}: {wrong}"


def ours(path, seed, what):
    """Our reading; a refusal names the file's seed."""
    try:
        return pa.table(tenon.open(path))
    except REFUSALS as refusal:
        raise AssertionError(f"TENON_SEED={SEED} TENON_DIFFERENTIAL_ONLY={seed}: {what}: {refusal}") from None


def kept(table, allows):
    """The columns all of whose types a peer knows; None: no column is left."""
    names = [f.name for f in table.schema if all(allows(t) for t in types_within(f.type))]
    return table.select(names) if names else None


# ---- what each peer cannot do ---------------------------------------------------------------------------
def duckdb_knows(type_):
    if pa.types.is_decimal(type_):
        return type_.precision <= 38
    if pa.types.is_timestamp(type_):  # with a zone it has microseconds, and years to 294246 only
        return type_.tz is None or type_.unit != "ns"
    if pa.types.is_time(type_):
        return type_.unit != "ns"
    return not pa.types.is_float16(type_) and not pa.types.is_null(type_)


def duckdb_writes(type_):
    """Of null lists of fixed size DuckDB 2.0 writes levels for items that it leaves out; pyarrow refuses
    them as we do."""
    return duckdb_knows(type_) and not pa.types.is_dictionary(type_) and \
        not pa.types.is_fixed_size_list(type_)


def arro3_knows(type_):
    return not pa.types.is_null(type_) and not pa.types.is_dictionary(type_)


# ---- ours by all of them --------------------------------------------------------------------------------
def write_options(rng):
    options = {"codec": rng.choice(CODECS), "row_group_rows": rng.choice([3, 50, 1000]),
               "page_bytes": rng.choice([200, 2000, 1 << 20]), "threads": rng.choice([1, 1, 2])}
    if rng.random() < 0.3:
        options["no_dictionary"] = True
    known = tenon.write_options()
    more = {"data_page_version": rng.choice([1, 2]), "page_rows": rng.choice([7, 40, 20000])}
    options.update({key: value for key, value in more.items() if key in known})
    if "profile" in known and rng.random() < 0.2:
        options["profile"] = "training"
    return options


def read_by_duckdb(path, names):
    columns = ", ".join(f'"{name}"' for name in names)
    return duckdb.sql(f"select {columns} from '{path}'").to_arrow_table()


def pyarrow_reads(path, table, scratch):
    """What differs in pyarrow's reading.  It cannot read null structs over lists of fixed size, not even those
    that it has written itself: of such a table there is nothing to compare.  Where it cannot write the table
    either (slices of view types), its message alone tells."""
    try:
        return difference(pq.read_table(path, page_checksum_verification=True), table)
    except pa.ArrowInvalid as refusal:
        try:
            pq.write_table(table, scratch)
        except pa.ArrowNotImplementedError:
            return None if "Expected all lists to be of size" in str(refusal) else str(refusal)
        try:
            pq.read_table(scratch)
        except pa.ArrowInvalid:
            return None
        raise


def test_ours_by_all(tmp_path):
    path = tmp_path / "ours.parquet"
    for seed, rng in seeds("ours", 0.45):
        table, options = random_table(rng), write_options(rng)
        tenon.write(path, table, **options)
        what = f"written with {options}"
        check(seed, f"pyarrow, {what}", pyarrow_reads(path, table, tmp_path / "scratch.parquet"))
        part = kept(table, duckdb_knows)
        if part is not None:
            check(seed, f"DuckDB, {what}", difference(read_by_duckdb(path, part.column_names), part))
        part = kept(table, arro3_knows)
        if part is not None:
            theirs = pa.table(arro3.io.read_parquet(str(path))).select(part.column_names)
            check(seed, f"arrow-rs, {what}", difference(theirs, part))
        check(seed, f"ourselves, {what}", difference(ours(path, seed, what), table))
        check(seed, f"statistics, {what}", wrong_bounds(path, table))


# ---- theirs by us ---------------------------------------------------------------------------------------
ENCODINGS = {
    "DELTA_BINARY_PACKED": lambda t: pa.types.is_integer(t) and t.bit_width >= 32 or pa.types.is_timestamp(t),
    "DELTA_BYTE_ARRAY": lambda t: t in (pa.string(), pa.binary()),
    "DELTA_LENGTH_BYTE_ARRAY": lambda t: t in (pa.string(), pa.binary()),
    "BYTE_STREAM_SPLIT": lambda t: pa.types.is_floating(t) or t in (pa.int32(), pa.int64()) or
    pa.types.is_fixed_size_binary(t),
    "RLE": pa.types.is_boolean,
}


def pyarrow_options(rng, table):
    options = {"compression": rng.choice(["none", "snappy", "gzip", "zstd", "brotli", "lz4"]),
               "data_page_version": rng.choice(["1.0", "2.0"]), "version": rng.choice(["1.0", "2.4", "2.6"]),
               "row_group_size": rng.choice([5, 64, 1000]), "data_page_size": rng.choice([100, 3000, 1 << 20]),
               "write_page_index": rng.random() < 0.5, "write_page_checksum": rng.random() < 0.5,
               "store_schema": False, "use_dictionary": rng.random() < 0.5,
               "use_compliant_nested_type": rng.random() < 0.7}
    if not options["use_dictionary"]:
        choice = {f.name: name for f in table.schema for name in [rng.choice(list(ENCODINGS))]
                  if ENCODINGS[name](f.type)}
        options["column_encoding"] = choice or None
    return options


def storable(table, options):
    """Format 1.0 has no nanoseconds and rounds; then there is nothing to compare."""
    return options["version"] == "2.6" or not any(
        getattr(t, "unit", None) == "ns" for f in table.schema for t in types_within(f.type))


def test_pyarrow_by_us(tmp_path):
    path = tmp_path / "theirs.parquet"
    for seed, rng in seeds("pyarrow", 0.35):
        table = random_table(rng)
        options = pyarrow_options(rng, table)
        if not storable(table, options):
            options["version"] = "2.6"
        try:
            pq.write_table(table, path, **options)
        except pa.ArrowNotImplementedError:
            continue  # slices of view types
        what = f"pyarrow wrote with {options}"
        check(seed, what, difference(ours(path, seed, what), table))


def test_duckdb_by_us(tmp_path):
    path = tmp_path / "theirs.parquet"
    for seed, rng in seeds("duckdb", 0.1):
        rows = kept(random_table(rng), duckdb_writes)
        if rows is None:
            continue
        codec = rng.choice(["uncompressed", "snappy", "gzip", "zstd", "brotli", "lz4_raw"])
        version = rng.choice(["V1", "V2"])
        duckdb.execute(f"copy (select * from rows) to '{path}' "
                       f"(format parquet, codec {codec}, parquet_version {version}, row_group_size 2048)")
        theirs = duckdb.sql(f"select * from '{path}'").to_arrow_table()
        what = f"DuckDB wrote {codec} {version}"
        check(seed, what, difference(ours(path, seed, what), theirs))


def test_arrow_rs_by_us(tmp_path):
    path = tmp_path / "theirs.parquet"
    for seed, rng in seeds("arro3", 0.12):
        table = kept(random_table(rng), arro3_knows)
        if table is None:
            continue
        options = {"compression": rng.choice(["uncompressed", "snappy", "zstd(1)", "lz4_raw", "gzip(6)",
                                              "brotli(1)"]),
                   "writer_version": rng.choice(["parquet_1_0", "parquet_2_0"]),
                   "dictionary_enabled": rng.random() < 0.5, "max_row_group_size": rng.choice([7, 100, 1000]),
                   "bloom_filter_enabled": rng.random() < 0.3, "data_page_row_count_limit": 20}
        arro3.io.write_parquet(table, str(path), **options)
        what = f"arrow-rs wrote with {options}"
        check(seed, what, difference(ours(path, seed, what), table))


def test_number_of_files():
    if not ONLY:
        assert FILES * (0.45 + 0.35 + 0.1 + 0.12) >= 2000 or "TENON_DIFFERENTIAL" in os.environ
