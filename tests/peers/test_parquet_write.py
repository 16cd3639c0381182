# SPDX-License-Identifier: Apache-2.0
"""What the Parquet writer writes, read by pyarrow, DuckDB and arrow-rs (arro3): every type that Parquet
can hold, every encoding and layout, statistics and page index, the training profile.
"""
import datetime
import decimal
import pathlib
import random
import re
import sys
import uuid

import arro3.io
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python")]
import tenon as library  # noqa: E402

SEED = 20261126
ROWS = 3000
# What DuckDB shows as something else (maps as dicts, 256-bit decimals as doubles, durations as numbers) or
# needs a time zone library for.
NOT_FOR_DUCKDB = {"map", "d256", "duration", "ts_zone", "list_map"}


def every_type(seed, rows=ROWS):
    rng = random.Random(seed)

    def some(make, share=0.2):
        return None if rng.random() < share else make()

    def column(make, type_):
        return pa.array([some(make) for _ in range(rows)], type_)

    def several(make, limit=4):
        return [make() for _ in range(rng.randrange(limit))]

    def number():
        return some(lambda: rng.randrange(-100, 100))

    def text():
        return "".join(rng.choice("abé€😀\" ,") for _ in range(rng.randrange(30)))

    def scaled(digits, scale):
        return decimal.Decimal(rng.randrange(-10**digits + 1, 10**digits)).scaleb(-scale)

    with decimal.localcontext() as context:
        context.prec = 80
        columns = {
            "bool": column(lambda: rng.random() < .5, pa.bool_()),
            **{f"{sign}int{bits}": column(lambda s=sign, b=bits: rng.randrange(
                0 if s else -(1 << b - 1), 1 << b - (not s)), getattr(pa, f"{sign}int{bits}")())
               for sign in ("", "u") for bits in (8, 16, 32, 64)},
            "half": column(lambda: rng.randrange(-1000, 1000) / 8, pa.float16()),
            "float": column(lambda: rng.randrange(-10**6, 10**6) / 8, pa.float32()),
            "double": column(rng.random, pa.float64()),
            "string": column(text, pa.string()),
            "large": column(text, pa.large_string()),
            "view": column(text, pa.string_view()),
            "binary": column(lambda: rng.randbytes(rng.randrange(20)), pa.binary()),
            "fixed": column(lambda: rng.randbytes(7), pa.binary(7)),
            "uuid": pa.array([some(lambda: uuid.UUID(int=rng.getrandbits(128)).bytes)
                              for _ in range(rows)], pa.uuid()),
            "d9": column(lambda: scaled(9, 3), pa.decimal128(9, 3)),
            "d18": column(lambda: scaled(18, 3), pa.decimal128(18, 3)),
            "d38": column(lambda: scaled(38, 10), pa.decimal128(38, 10)),
            "d256": column(lambda: scaled(70, 3), pa.decimal256(70, 3)),
            "date": column(lambda: datetime.date(2020, 1, 1) +
                           datetime.timedelta(rng.randrange(-9999, 9999)), pa.date32()),
            "date64": column(lambda: datetime.date(2020, 1, 1) +
                             datetime.timedelta(rng.randrange(-9999, 9999)), pa.date64()),
            "time_s": column(lambda: rng.randrange(86400), pa.time32("s")),
            "time_us": column(lambda: rng.randrange(86400 * 10**6), pa.time64("us")),
            "ts_s": column(lambda: rng.randrange(-10**9, 10**9), pa.timestamp("s")),
            "ts_us": column(lambda: rng.randrange(-10**15, 10**15), pa.timestamp("us")),
            "ts_ns": column(lambda: rng.randrange(-10**15, 10**15) * 1000, pa.timestamp("ns")),
            "ts_zone": column(lambda: rng.randrange(10**12), pa.timestamp("ms", "Europe/Berlin")),
            "duration": column(lambda: rng.randrange(10**9), pa.duration("ms")),
            "null": pa.nulls(rows),
            "dict": column(lambda: rng.choice("abc"), pa.string()).dictionary_encode(),
            "list": column(lambda: several(number), pa.list_(pa.int64())),
            "lists": column(lambda: several(lambda: some(lambda: several(number))),
                            pa.large_list(pa.list_(pa.int32()))),
            "list_view": column(lambda: several(number), pa.list_view(pa.int16())),
            "fixed_list": column(lambda: [rng.random() for _ in range(3)], pa.list_(pa.float64(), 3)),
            "list_dict": column(lambda: several(lambda: rng.choice("xyz")),
                                pa.list_(pa.dictionary(pa.int8(), pa.string()))),
            "struct": column(lambda: {"a": number(), "b": some(text)},
                             pa.struct([("a", pa.int16()), ("b", pa.string())])),
            "list_struct": column(lambda: several(lambda: some(lambda: {"a": [number()], "b": text()})),
                                  pa.list_(pa.struct([("a", pa.list_(pa.int8())), ("b", pa.string())]))),
            "map": column(lambda: [(str(i), number()) for i in range(rng.randrange(4))],
                          pa.map_(pa.string(), pa.int64())),
            "list_map": column(lambda: several(lambda: [("k", [number()])]),
                               pa.list_(pa.map_(pa.string(), pa.list_(pa.int64())))),
            "runs": pa.RunEndEncodedArray.from_arrays(
                pa.array([rows // 3, rows // 3 * 2, rows], pa.int32()), pa.array(["a", None, "c"])),
        }
    return pa.table(columns)


def check_readers(table, path):
    mine = {name: table[name].to_pylist() for name in table.column_names}
    theirs = pq.read_table(path, page_checksum_verification=True)
    rust = pa.table(arro3.io.read_parquet(str(path)).read_all())
    for name in table.column_names:
        assert theirs[name].to_pylist() == mine[name], ("pyarrow", name)
        assert rust[name].to_pylist() == mine[name], ("arro3", name)
        if name in NOT_FOR_DUCKDB:
            continue
        with duckdb.connect() as connection:
            rows = connection.sql(f"select \"{name}\" from '{path}'").fetchall()
        values = mine[name]
        if name == "uuid":
            values = [None if v is None else v if isinstance(v, uuid.UUID) else uuid.UUID(bytes=v)
                      for v in values]
        assert [row[0] for row in rows] == values, ("duckdb", name)


@pytest.mark.parametrize("options", [
    {}, {"codec": "uncompressed", "row_group_rows": 700}, {"codec": "snappy", "page_bytes": 400},
    {"codec": "gzip", "data_page_version": 2}, {"data_page_version": 2, "page_bytes": 3000},
    {"no_dictionary": True, "page_rows": 50}, {"profile": "training"},
    {"no_page_index": True, "no_crc": True}, {"dictionary_bytes": 300},
], ids=str)
def test_every_type_is_read_by_others(tmp_path, options):
    table = every_type(SEED)
    path = tmp_path / "t.parquet"
    library.write(path, table, **options)
    check_readers(table, path)


def test_types_come_back(tmp_path):
    """pyarrow finds the Arrow schema and restores what Parquet itself has no word for."""
    table = every_type(SEED, 50)
    path = tmp_path / "t.parquet"
    library.write(path, table)
    got = pq.read_schema(path)
    changed = {"ts_s": pa.timestamp("ms"), "time_s": pa.time32("ms"), "date64": pa.date32(),
               "runs": pa.string()}
    for field in table.schema:
        want = changed.get(field.name, field.type)
        assert got.field(field.name).type in (want, field.type), field.name
    assert b"ARROW:schema" not in (got.metadata or {})
    library.write(path, table, no_arrow_schema=True)
    assert pq.read_schema(path).field("duration").type == pa.int64()
    assert pq.read_schema(path).field("large").type == pa.string()


@pytest.mark.parametrize("column, encoding", [
    ("int32", "delta_binary_packed"), ("uint64", "delta_binary_packed"), ("double", "byte_stream_split"),
    ("float", "byte_stream_split"), ("string", "delta_length_byte_array"),
    ("string", "delta_byte_array"), ("binary", "plain"), ("list", "delta_binary_packed"),
    ("fixed", "delta_byte_array"), ("d38", "byte_stream_split"), ("int64", "byte_stream_split"),
    ("bool", "rle"), ("string", "dictionary"), ("d9", "dictionary"),
])
@pytest.mark.parametrize("version", [1, 2])
def test_every_encoding(tmp_path, column, encoding, version):
    table = every_type(SEED + 1).select([column])
    path = tmp_path / "t.parquet"
    library.write(path, table, encodings=f"{column}={encoding}", data_page_version=version, page_bytes=5000)
    used = pq.ParquetFile(path).metadata.row_group(0).column(0).encodings
    assert {"dictionary": "RLE_DICTIONARY"}.get(encoding, encoding.upper()) in used
    assert pq.read_table(path)[column].to_pylist() == table[column].to_pylist()
    rust = pa.table(arro3.io.read_parquet(str(path)).read_all())
    assert rust[column].to_pylist() == table[column].to_pylist()


def test_what_arrow_has_no_type_for(tenon, tmp_path):
    instants = [0, -1, 10**15 + 7, None, -62135596800 * 10**6, 5]
    table = pa.table({"s": ["b", "a", None, "b", "", "é"], "b": [b"x", b"", None, b"\0", b"y", b"x"],
                      "d": pa.array(["p", "q", None, "p", "q", "q"]).dictionary_encode(),
                      "us": pa.array(instants, pa.timestamp("us")),
                      "ms": pa.array([v and v // 1000 for v in instants], pa.timestamp("ms", "UTC")),
                      "s_": pa.array([v and v // 10**6 for v in instants], pa.timestamp("s")),
                      "ns": pa.array([1, -1, 86400 * 10**9, None, -86400 * 10**9, 7], pa.timestamp("ns"))})
    path, again = tmp_path / "t.parquet", tmp_path / "again.parquet"
    library.write(path, table, store_as="s=enum,b=bson,d=enum,us=int96,ms=int96,s_=int96,ns=int96")
    columns = {c.name: c for c in pq.ParquetFile(path).schema}
    assert {n: str(columns[n].logical_type) for n in "sbd"} == {"s": "Enum", "b": "BSON", "d": "Enum"}
    assert all(columns[n].physical_type == "INT96" for n in ("us", "ms", "s_", "ns"))
    # timestamps of every unit are the same instants to pyarrow, DuckDB, and ourselves
    read = pq.read_table(path, coerce_int96_timestamp_unit="us")
    library.write(tmp_path / "duck.parquet", table.drop_columns("b"), store_as="us=int96,ms=int96,s_=int96")
    for name in ("us", "ms", "s_"):
        scale = {"us": 1, "ms": 1000, "s_": 10**6}[name]
        want = [v and v // scale * scale for v in instants]
        assert read[name].cast(pa.int64()).to_pylist() == want
        theirs = duckdb.sql(f"select epoch_us({name}) from '{tmp_path}/duck.parquet'").fetchall()
        assert [row[0] for row in theirs] == want
    assert pq.read_table(path)["ns"].cast(pa.int64()).to_pylist() == table["ns"].cast(pa.int64()).to_pylist()
    ours = pa.table(library.open(path, int96="us"))
    assert ours["us"].cast(pa.int64()).to_pylist() == instants
    assert ours["s"].to_pylist() == table["s"].to_pylist() and ours["b"].to_pylist() == table["b"].to_pylist()
    # what the columns were is kept on the way through Arrow
    tenon("data", "convert", path, again, "--int96", "us")
    columns = {c.name: c for c in pq.ParquetFile(again).schema}
    assert [str(columns[n].logical_type) for n in "sbd"] == ["Enum", "BSON", "Enum"]
    for option, words in [("us=enum", "only text can be stored as enum"), ("s=int96", "only timestamps"),
                          ("s=bson", "only binary"), ("nobody=enum", "nobody"), ("s=text", "enum bson int96")]:
        assert words in tenon.fails("data", "convert", path, tmp_path / "no.parquet", "--int96", "us",
                                    "--store-as", option)
    late = pa.table({"t": pa.array([2**62], pa.timestamp("s"))})
    with pytest.raises(library.Error, match="INT96"):
        library.write(tmp_path / "late.parquet", late, store_as="t=int96")


def test_encodings_are_chosen(tmp_path):
    """Numbers that rise, random doubles and text without repetition: no dictionary, and not PLAIN."""
    rng = random.Random(SEED)
    rows = 40000
    table = pa.table({"id": pa.array(range(rows)), "x": pa.array([rng.random() for _ in range(rows)]),
                      "t": pa.array([f"{rng.getrandbits(60):x}"[:rng.randrange(3, 15)] + " words" for _ in range(rows)]),
                      "c": pa.array([rng.choice(["DE", "FR"]) for _ in range(rows)])})
    path = tmp_path / "t.parquet"
    library.write(path, table)
    group = pq.ParquetFile(path).metadata.row_group(0)
    used = [set(group.column(i).encodings) - {"RLE"} for i in range(4)]
    assert used == [{"DELTA_BINARY_PACKED"}, {"BYTE_STREAM_SPLIT"}, {"DELTA_LENGTH_BYTE_ARRAY"},
                    {"PLAIN", "RLE_DICTIONARY"}]
    check_readers(table, path)


def test_statistics(tmp_path):
    table = every_type(SEED + 2)
    path = tmp_path / "t.parquet"
    library.write(path, table)
    group = pq.ParquetFile(path).metadata.row_group(0)
    flat = [name for name in table.column_names if not pa.types.is_nested(table.schema.field(name).type)]
    at = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for name in flat:
        stats = at[name].statistics
        values = [v for v in table[name].to_pylist() if v is not None]
        assert stats.null_count == ROWS - len(values), name
        if name in ("null", "uuid", "half", "d38", "d256"):
            continue
        if name == "date64" or name.startswith(("ts_", "time_", "duration")):
            continue
        assert stats.has_min_max, name
        assert (stats.min, stats.max) == (min(values), max(values)), name


def test_pages_are_skipped(tmp_path):
    """DuckDB and arrow-rs find rows by statistics; the page index has every page of a fixed number of rows."""
    rows = 100_000
    table = pa.table({"id": pa.array(range(rows)), "s": pa.array([f"v{i:06d}" for i in range(rows)])})
    path = tmp_path / "t.parquet"
    library.write(path, table, profile="training", page_rows=64, row_group_rows=20000)
    metadata = pq.ParquetFile(path).metadata
    assert metadata.num_row_groups == 6 and metadata.row_group(0).num_rows == 20000 // 64 * 64
    assert metadata.row_group(0).column(0).has_offset_index
    assert metadata.row_group(0).column(0).has_column_index
    with duckdb.connect() as connection:
        assert connection.sql(f"select s from '{path}' where id = 77777").fetchall() == [("v077777",)]
    check_readers(table, path)


def test_metadata(tmp_path):
    table = every_type(SEED, 10).select(["int32"]).replace_schema_metadata({"mine": "1"})
    path = tmp_path / "t.parquet"
    library.write(path, table, metadata="k=v", sorted="int32 desc nulls first")
    file = pq.ParquetFile(path)
    assert file.schema_arrow.metadata == {b"mine": b"1"}
    assert {k: v for k, v in file.metadata.metadata.items() if k != b"ARROW:schema"} == {
        b"mine": b"1", b"k": b"v"}
    assert file.metadata.created_by.startswith("tenon version")
    assert file.metadata.row_group(0).sorting_columns == (
        pq.SortingColumn(0, descending=True, nulls_first=True),)


@pytest.mark.parametrize("option,value,said", [
    ("metadata", "=", "option metadata wants KEY=VALUE, got '='"),
    ("metadata", "a=1,=2", "option metadata wants KEY=VALUE, got '=2'"),
    ("metadata", "a=1,b=2,a=3", 'metadata: key "a" is given twice'),
    ("bloom", "a,b,a", 'option bloom names column "a" twice'),
    ("encodings", "a=plain,b=plain,a=auto", 'option encodings names column "a" twice'),
    ("store_as", "b=enum,b=enum", 'option store_as names column "b" twice'),
])
def test_options_that_say_nothing_or_too_much(tmp_path, option, value, said):
    with pytest.raises(Exception, match=re.escape(said)):
        library.write(tmp_path / "t.parquet", pa.table({"a": [1], "b": ["x"]}), **{option: value})
    assert not (tmp_path / "t.parquet").exists()


def test_unions_are_refused(tmp_path):
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])])
    with pytest.raises(library.Error, match="\"u\": sparse_union has no place in Parquet"):
        library.write(tmp_path / "t.parquet", pa.table({"u": union}))
    assert not (tmp_path / "t.parquet").exists()
