# SPDX-License-Identifier: Apache-2.0
"""Parquet between Tenon, pyarrow and DuckDB: each reads what the others wrote, value by value.

`tenon data convert in.parquet out.parquet` reads with our reader and writes with our writer, so a table that
pyarrow makes and pyarrow reads back went through both.
"""
import datetime
import math
import random
import struct

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SEED = 20261124
TYPES = {
    "bool": pa.bool_(), "int8": pa.int8(), "uint8": pa.uint8(), "int16": pa.int16(),
    "uint16": pa.uint16(), "int32": pa.int32(), "uint32": pa.uint32(), "int64": pa.int64(),
    "uint64": pa.uint64(), "float": pa.float32(), "double": pa.float64(), "string": pa.string(),
    "binary": pa.binary(), "date": pa.date32(), "ts_ms": pa.timestamp("ms"),
    "ts_us": pa.timestamp("us"), "ts_ns": pa.timestamp("ns"),
    "ts_utc": pa.timestamp("us", "UTC"),
}
CODECS = ["uncompressed", "snappy", "gzip", "zstd"]


def random_value(rng, type_):
    if pa.types.is_boolean(type_):
        return rng.random() < 0.5
    if pa.types.is_integer(type_):
        bits, unsigned = type_.bit_width, pa.types.is_unsigned_integer(type_)
        low = 0 if unsigned else -(1 << (bits - 1))
        return rng.choice([low, low + (1 << bits) - 1, rng.randrange(low, low + (1 << bits))])
    if pa.types.is_floating(type_):
        value = rng.choice([0.0, -0.0, math.inf, -math.inf, math.nan, rng.gauss(0, 1e6)])
        return struct.unpack("f", struct.pack("f", value))[0] if type_ == pa.float32() else value
    if pa.types.is_string(type_):
        return "".join(rng.choice("abcdé€😀 ,\"\n") for _ in range(rng.randrange(80)))
    if pa.types.is_binary(type_):
        return rng.randbytes(rng.randrange(90))
    if pa.types.is_date(type_):
        return datetime.date(1970, 1, 1) + datetime.timedelta(rng.randrange(-100000, 100000))
    unit = {"ms": 10**3, "us": 10**6, "ns": 10**9}[type_.unit]
    return rng.randrange(-5 * 10**9 * unit, 5 * 10**9 * unit)


def random_column(rng, type_, rows, nulls, distinct):
    pool = [random_value(rng, type_) for _ in range(distinct)] if distinct else None
    values = [None if rng.random() < nulls else
              rng.choice(pool) if pool else random_value(rng, type_) for _ in range(rows)]
    if pa.types.is_timestamp(type_):
        return pa.array(values, pa.int64()).cast(type_)
    return pa.array(values, type_)


def random_table(rng, rows, nulls=0.2, distinct=0, required=False):
    fields = [pa.field(name, type_, nullable=not required) for name, type_ in TYPES.items()]
    columns = [random_column(rng, type_, rows, 0 if required else nulls, distinct)
               for type_ in TYPES.values()]
    return pa.table(columns, schema=pa.schema(fields))


def bits_of(column):
    """Values as something whose equality is equality of bits (NaN, -0.0)."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_floating(column.type):
        whole = column.fill_null(0.0).to_numpy(zero_copy_only=False)
        return [None if null else bits for null, bits in
                zip(column.is_null().to_pylist(), whole.view(f"i{whole.itemsize}").tolist())]
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        width = pa.int32() if pa.types.is_date(column.type) else pa.int64()
        return column.cast(width).to_pylist()
    return column.to_pylist()


def assert_same(got, want, types=True):
    assert got.column_names == want.column_names
    assert got.num_rows == want.num_rows
    for name in want.column_names:
        if types:
            assert got.schema.field(name).type == want.schema.field(name).type, name
        assert bits_of(got[name].cast(want[name].type)) == bits_of(want[name]), name


def duck_table(query):
    result = duckdb.sql(query).arrow()
    return result.read_all() if hasattr(result, "read_all") else result


@pytest.fixture
def rng(request):
    seed = f"{SEED} {request.node.name}"
    print("seed", seed)
    return random.Random(seed)


# ---- theirs by us, ours by them -----------------------------------------------------------------------
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", CODECS)
def test_pyarrow_through_tenon(tenon, tmp_path, rng, codec, version, dictionary):
    table = random_table(rng, 3000, distinct=40 if dictionary else 0)
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False, use_dictionary=dictionary,
                   compression="none" if codec == "uncompressed" else codec, version="2.6",
                   data_page_version=version, data_page_size=1500, row_group_size=1100,
                   write_page_checksum=True)
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet", "--codec", codec)
    ours = pq.read_table(tmp_path / "out.parquet", page_checksum_verification=True)
    assert_same(ours, table)
    assert all(pq.read_metadata(tmp_path / "out.parquet").row_group(0).column(c).compression ==
               codec.upper() for c in range(len(TYPES)))


@pytest.mark.parametrize("codec,rows,nulls,distinct", [
    *((codec, *shape) for codec in CODECS for shape in
      [(0, 0, 0), (1, 0, 0), (1, 1, 0), (2000, 0.5, 3), (2000, 1, 0)]), ("zstd", 30000, 0.1, 0)])
def test_ours_by_both(tenon, tmp_path, rng, codec, rows, nulls, distinct):
    table = random_table(rng, rows, nulls, distinct)
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False, version="2.6")
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet", "--codec", codec,
          "--row-group-rows", 7000)
    ours = pq.read_table(tmp_path / "out.parquet", page_checksum_verification=True)
    assert_same(ours, table)
    duck = duck_table(f"select * from '{tmp_path}/out.parquet'")
    assert_same(duck, table, types=False)


def test_required_columns(tenon, tmp_path, rng):
    table = random_table(rng, 500, required=True)
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False, version="2.6")
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet")
    ours = pq.read_table(tmp_path / "out.parquet")
    assert_same(ours, table)
    assert all(not field.nullable for field in ours.schema)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("distinct", [0, 20])
def test_duckdb_by_us(tenon, tmp_path, rng, codec, distinct):
    source = random_table(rng, 4000, distinct=distinct)
    duckdb.sql(f"copy source to '{tmp_path}/in.parquet' "
               f"(format parquet, codec '{codec}', row_group_size 2048)")
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet")
    ours = pq.read_table(tmp_path / "out.parquet")
    theirs = pq.read_table(tmp_path / "in.parquet")
    assert_same(ours.cast(theirs.schema), theirs, types=False)
    assert_same(ours, source, types=False)


def test_int96_and_small_units(tenon, tmp_path):
    stamps = [0, 1, -1, 1700000000123456789, None, -(2**62)]
    table = pa.table({"ts": pa.array(stamps, pa.timestamp("ns"))})
    pq.write_table(table, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True)
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert_same(pq.read_table(tmp_path / "out.parquet"), table)
    table = pa.table({"ts": pa.array([0, -5, 1700000000123, None], pa.timestamp("ms", "UTC")),
                      "id": pa.array([b"0123456789abcdef"] * 4, pa.binary(16))})
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False)
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet")
    got = pq.read_table(tmp_path / "out.parquet")
    assert got["ts"].to_pylist() == table["ts"].to_pylist()
    assert got["id"].to_pylist() == table["id"].to_pylist()


def test_head_shows_the_values(tenon, tmp_path, rng):
    table = random_table(rng, 50).select(["int64", "uint64", "bool", "string", "date"])
    pq.write_table(table, tmp_path / "in.parquet")
    shown = tenon.json("data", "head", tmp_path / "in.parquet", "-n", 50)
    want = [{**row, "date": row["date"] and row["date"].isoformat()} for row in table.to_pylist()]
    assert shown["rows"] == want


# ---- what the footer says ---------------------------------------------------------------------------
def expected_range(column):
    values = [v for v in bits_of(column) if v is not None]
    if pa.types.is_floating(column.type):
        values = [v for v in column.to_pylist() if v is not None and not math.isnan(v)]
    return (min(values), max(values)) if values else None


@pytest.mark.parametrize("distinct", [0, 10])
def test_statistics(tenon, tmp_path, rng, distinct):
    table = random_table(rng, 4000, nulls=0.3, distinct=distinct)
    short = {"string": pa.array([None if v is None else v[:12] for v in
                                 table["string"].to_pylist()], pa.string()),
             "binary": pa.array([None if v is None else v[:60] for v in
                                 table["binary"].to_pylist()], pa.binary())}
    for name, column in short.items():
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False, version="2.6")
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet",
          "--row-group-rows", 1500)
    meta = pq.read_metadata(tmp_path / "out.parquet")
    assert [meta.row_group(g).num_rows for g in range(meta.num_row_groups)] == [1500, 1500, 1000]
    reread = pq.read_table(tmp_path / "out.parquet")
    for g in range(meta.num_row_groups):
        rows = reread.slice(g * 1500, meta.row_group(g).num_rows)
        for c, name in enumerate(table.column_names):
            chunk, column = meta.row_group(g).column(c), rows[name].combine_chunks()
            assert chunk.num_values == len(column)
            assert chunk.statistics.null_count == column.null_count, name
            want = expected_range(column)
            assert chunk.statistics.has_min_max == (want is not None), name
            if want is None:
                continue
            if pa.types.is_temporal(column.type):
                low, high = chunk.statistics.min_raw, chunk.statistics.max_raw
            else:
                low, high = chunk.statistics.min, chunk.statistics.max
            assert (low, high) == want, name
            if pa.types.is_floating(column.type) and want[0] == 0:
                assert math.copysign(1, low) < 0
            if pa.types.is_floating(column.type) and want[1] == 0:
                assert math.copysign(1, high) > 0


def test_statistics_of_long_strings_prune_right(tenon, tmp_path):
    texts = ["é" * 50 + tail for tail in ("a", "b", "")] + ["z" * 100]
    table = pa.table({"s": texts, "n": list(range(4))})
    pq.write_table(table, tmp_path / "in.parquet")
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet",
          "--row-group-rows", 1)
    for text in texts:
        found = duck_table(f"select n from '{tmp_path}/out.parquet' where s = '{text}'")
        assert found["n"].to_pylist() == [texts.index(text)]
        found = pq.read_table(tmp_path / "out.parquet", filters=[("s", "=", text)])
        assert found["n"].to_pylist() == [texts.index(text)]


def test_inspect_agrees_with_pyarrow(tenon, tmp_path, rng):
    table = random_table(rng, 3000, distinct=30)
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False, version="2.6")
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet",
          "--row-group-rows", 2000)
    for path in (tmp_path / "in.parquet", tmp_path / "out.parquet"):
        shown, meta = tenon.json("data", "inspect", path), pq.read_metadata(path)
        assert shown["rows"] == meta.num_rows
        assert len(shown["row_groups"]) == meta.num_row_groups
        for g, group in enumerate(shown["row_groups"]):
            assert group["rows"] == meta.row_group(g).num_rows
            for c, chunk in enumerate(group["chunks"]):
                theirs = meta.row_group(g).column(c)
                assert chunk["compressed_bytes"] == theirs.total_compressed_size
                assert chunk["uncompressed_bytes"] == theirs.total_uncompressed_size
                assert chunk["values"] == theirs.num_values
                assert chunk["nulls"] == theirs.statistics.null_count
                assert set(chunk["encodings"].split()) == set(theirs.encodings)


def test_types_for_old_readers(tenon, tmp_path, rng):
    pq.write_table(random_table(rng, 10), tmp_path / "in.parquet", version="2.6")
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "out.parquet")
    schema = pq.ParquetFile(tmp_path / "out.parquet").schema
    converted = {schema.column(c).name: schema.column(c).converted_type for c in range(len(TYPES))}
    assert converted == {
        "bool": "NONE", "int8": "INT_8", "uint8": "UINT_8", "int16": "INT_16",
        "uint16": "UINT_16", "int32": "NONE", "uint32": "UINT_32", "int64": "NONE",
        "uint64": "UINT_64", "float": "NONE", "double": "NONE", "string": "UTF8",
        "binary": "NONE", "date": "DATE", "ts_ms": "NONE", "ts_us": "NONE", "ts_ns": "NONE",
        "ts_utc": "TIMESTAMP_MICROS"}


# ---- what cannot be read ------------------------------------------------------------------------------
def test_damaged_pages_are_refused(tenon, tmp_path, rng):
    pq.write_table(random_table(rng, 300), tmp_path / "in.parquet", store_schema=False)
    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "good.parquet", "--codec",
          "uncompressed")
    good = (tmp_path / "good.parquet").read_bytes()
    chunk = pq.read_metadata(tmp_path / "good.parquet").row_group(0).column(7)
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    end = start + chunk.total_compressed_size
    for place in (end - 1, end - 100):
        bad = bytearray(good)
        bad[place] ^= 4
        (tmp_path / "bad.parquet").write_bytes(bad)
        error = tenon.fails("data", "convert", tmp_path / "bad.parquet", tmp_path / "out.parquet")
        assert "checksum" in error and '"int64"' in error and "byte" in error
        with pytest.raises(OSError, match="CRC"):
            pq.read_table(tmp_path / "bad.parquet", page_checksum_verification=True)
    for cut in (0, 3, 11, 100, len(good) // 2, len(good) - 1):
        (tmp_path / "bad.parquet").write_bytes(good[:cut])
        error = tenon.fails("data", "convert", tmp_path / "bad.parquet", tmp_path / "out.parquet")
        assert "bad.parquet" in error
    assert not (tmp_path / "out.parquet").exists()
