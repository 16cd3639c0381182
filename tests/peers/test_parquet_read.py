# SPDX-License-Identifier: Apache-2.0
"""Parquet of pyarrow and DuckDB in every codec, encoding, page version and nesting, read by us: the same
values, and in pyarrow's case the same types."""
import decimal
import pathlib
import random
import sys
import threading

import arro3.io
import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests/conformance")]

import tenon as library  # noqa: E402
from values import difference  # noqa: E402

SEED = 20261126
CODECS = ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]
FLAT = [pa.bool_(), pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64(), pa.float16(),
        pa.float32(), pa.float64(), pa.string(), pa.binary(), pa.large_string(), pa.string_view(),
        pa.binary(5), pa.decimal32(7, 2), pa.decimal64(15, 3), pa.decimal128(30, 4),
        pa.decimal256(60, 9), pa.date32(), pa.time32("ms"), pa.time64("ns"), pa.timestamp("ms"),
        pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns", "+02:30"), pa.duration("s"),
        pa.null()]


def random_value(rng, type_, depth=0):
    if rng.random() < 0.15:
        return None
    if pa.types.is_struct(type_):
        return {field.name: random_value(rng, field.type, depth + 1) for field in type_}
    if pa.types.is_map(type_):
        keys = {random_key(rng, type_.key_type) for _ in range(rng.randrange(4))}
        return [(key, random_value(rng, type_.item_type, depth + 1)) for key in keys]
    if pa.types.is_fixed_size_list(type_):
        return [random_value(rng, type_.value_type, depth + 1) for _ in range(type_.list_size)]
    if pa.types.is_nested(type_):
        return [random_value(rng, type_.value_type, depth + 1) for _ in range(rng.randrange(4))]
    if pa.types.is_null(type_):
        return None
    return random_flat(rng, type_)


def random_key(rng, type_):
    return f"k{rng.randrange(50)}" if pa.types.is_string(type_) else rng.randrange(50)


def random_flat(rng, type_):
    if pa.types.is_boolean(type_):
        return rng.random() < 0.5
    if pa.types.is_decimal(type_):
        digits = rng.randrange(10 ** rng.randrange(1, type_.precision + 1))
        return decimal.Decimal(digits).scaleb(-type_.scale, decimal.Context(prec=80))
    if pa.types.is_floating(type_):
        return rng.choice([0.0, -0.0, 1.5, -2.25, 1024.0])
    if pa.types.is_fixed_size_binary(type_):
        return rng.randbytes(type_.byte_width)
    if type_ in (pa.binary(), pa.large_binary()):
        return rng.randbytes(rng.randrange(20))
    if type_ in (pa.string(), pa.large_string(), pa.string_view()):
        return rng.choice(["", "a", "naïve", "exactly12by.", "a longer text than a view holds"])
    if pa.types.is_temporal(type_):
        return rng.randrange(80000)
    bits, unsigned = type_.bit_width, pa.types.is_unsigned_integer(type_)
    low = 0 if unsigned else -(1 << (bits - 1))
    return rng.choice([low, low + (1 << bits) - 1, rng.randrange(100)])


def random_type(rng, depth=0):
    kind = rng.randrange(9) if depth < 3 else 0
    if kind < 3:
        inner = [t for t in FLAT if t != pa.string_view()]  # pyarrow cannot write those in lists
        return rng.choice(inner if depth else FLAT)
    if kind == 3:
        return pa.struct([(f"f{i}", random_type(rng, depth + 1)) for i in range(rng.randrange(1, 4))])
    if kind == 4:
        return pa.map_(rng.choice([pa.string(), pa.int32()]), random_type(rng, depth + 1))
    if kind == 5:
        return pa.list_(random_type(rng, depth + 1), 2)
    if kind == 6:
        return pa.large_list(random_type(rng, depth + 1))
    if kind == 7 and depth == 0:
        return pa.list_view(random_type(rng, 3))
    return pa.list_(random_type(rng, depth + 1))


def array_of(values, type_):
    return pa.array(values, type_)


def read(path, **options):
    return pa.table(library.open(path, format="parquet", **options))


def by_pyarrow(path, written):
    """What pyarrow reads, or where it cannot read what it wrote itself, what was written."""
    try:
        return pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError):
        return written


def check(path, table, types=True):
    got = read(path)
    assert difference(got, table) is None
    if types:
        for ours, theirs in zip(got.schema, pq.read_schema(path)):
            if not pa.types.is_dictionary(theirs.type):  # ours always have int32 indices
                assert ours.type == theirs.type, ours.name
                assert ours.nullable == theirs.nullable


@pytest.mark.parametrize("number", range(60))
def test_random_tables_of_pyarrow(tmp_path, number):
    rng = random.Random(f"{SEED} {number}")
    rows = rng.choice([0, 1, 30, 400])
    columns = {}
    for i in range(rng.randrange(1, 6)):
        type_ = random_type(rng)
        columns[f"c{i}"] = array_of([random_value(rng, type_) for _ in range(rows)], type_)
    table = pa.table(columns)
    kept = rng.random() < 0.7
    views = "string_view" in str(table.schema)  # pyarrow cannot cut these
    pq.write_table(table, tmp_path / "t.parquet", compression=rng.choice(CODECS),
                   data_page_version=rng.choice(["1.0", "2.0"]), store_schema=kept,
                   data_page_size=rng.choice([1, 100, 1 << 20]),
                   write_batch_size=1024 if views else 7,
                   row_group_size=1000 if views else rng.choice([13, 1000]),
                   use_dictionary=rng.random() < 0.5,
                   write_page_checksum=True, write_page_index=rng.random() < 0.5)
    check(tmp_path / "t.parquet", by_pyarrow(tmp_path / "t.parquet", table))


ENCODINGS = {
    "DELTA_BINARY_PACKED": [pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.timestamp("us"),
                            pa.decimal128(9, 2), pa.decimal128(17, 2)],
    "BYTE_STREAM_SPLIT": [pa.int8(), pa.int32(), pa.int64(), pa.float16(), pa.float32(),
                          pa.float64(), pa.binary(7), pa.decimal128(30, 4), pa.decimal256(60, 9)],
    "DELTA_LENGTH_BYTE_ARRAY": [pa.string(), pa.binary(), pa.string_view()],
    "DELTA_BYTE_ARRAY": [pa.string(), pa.binary(), pa.binary(7), pa.decimal128(30, 4)],
    "PLAIN": FLAT[:-1],
    "RLE": [pa.bool_()],
}


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings(tmp_path, encoding, version):
    rng = random.Random(f"{SEED} {encoding}")
    for nulls in (True, False):
        for type_ in ENCODINGS[encoding]:
            values = [random_value(rng, type_) if nulls else random_flat(rng, type_)
                      for _ in range(2000)]
            table = pa.table({"a": array_of(values, type_),
                              "l": array_of([values[i:i + i % 4] for i in range(2000)],
                                            pa.list_(type_))})
            pq.write_table(table, tmp_path / "t.parquet", use_dictionary=False,
                           column_encoding={"a": encoding, "l.list.element": encoding},
                           data_page_version=version, data_page_size=500, write_batch_size=50,
                           store_decimal_as_integer=pa.types.is_decimal(type_) and type_.precision <= 18)
            chunk = pq.read_metadata(tmp_path / "t.parquet").row_group(0).column(0)
            assert encoding in chunk.encodings
            check(tmp_path / "t.parquet", table)


@pytest.mark.parametrize("codec", CODECS)
def test_codecs(tmp_path, codec):
    rng = random.Random(f"{SEED} {codec}")
    table = pa.table({"t": [rng.choice(["same", "other", None, "x" * 5000]) for _ in range(3000)],
                      "r": [rng.random() for _ in range(3000)]})
    pq.write_table(table, tmp_path / "t.parquet", compression=codec, use_dictionary=False)
    check(tmp_path / "t.parquet", table)


def test_extension_types_and_metadata(tmp_path):
    uuid = pa.array([b"0123456789abcdef", None], pa.binary(16))
    table = pa.table({"u": pa.ExtensionArray.from_storage(pa.uuid(), uuid),
                      "j": pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a":1}', None])),
                      "d": pa.array(["x", "x"]).dictionary_encode()})
    table = table.replace_schema_metadata({"who": "us"})
    for kept in (True, False):
        pq.write_table(table, tmp_path / "t.parquet", store_schema=kept)
        got = read(tmp_path / "t.parquet")
        assert got.schema.metadata == ({b"who": b"us"} if kept else None)
        assert got.schema.field("u").type == pa.uuid()
        assert got.schema.field("j").type == pa.json_()
        assert pa.types.is_dictionary(got.schema.field("d").type) == kept
        assert difference(got, table) is None


def test_field_metadata(tmp_path):
    schema = pa.schema([pa.field("a", pa.int32(), nullable=False, metadata={"unit": "m"}),
                        pa.field("b", pa.struct([pa.field("c", pa.string(), metadata={"k": "v"})]))])
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": [{"c": "x"}]}, schema=schema),
                   tmp_path / "t.parquet")
    got = read(tmp_path / "t.parquet").schema
    assert got.field("a").metadata == {b"unit": b"m"} and not got.field("a").nullable
    assert got.field("b").type.field("c").metadata == {b"k": b"v"}


def test_projection_into_structs(tmp_path):
    table = pa.table({"x": [1, 2], "s": [{"a": 1, "b": [{"c": 5, "d": "q"}]}, None]})
    pq.write_table(table, tmp_path / "t.parquet")
    got = read(tmp_path / "t.parquet", columns="s.b.list.element.d,x,s.a")
    assert got.column_names == ["s", "x"]
    assert got["s"].to_pylist() == [{"a": 1, "b": [{"d": "q"}]}, None]


@pytest.mark.parametrize("number", range(20))
def test_random_tables_of_duckdb(tmp_path, number):
    rng = random.Random(f"{SEED} duck {number}")
    rows, columns = rng.choice([1, 100, 5000]), {}
    plain = [pa.bool_(), pa.int8(), pa.int32(), pa.int64(), pa.float64(), pa.string(), pa.date32(),
             pa.timestamp("us"), pa.decimal128(30, 4), pa.decimal128(9, 2)]
    for i in range(4):
        inner = rng.choice(plain)
        type_ = rng.choice([inner, pa.list_(inner), pa.struct([("a", inner), ("b", pa.list_(inner))]),
                            pa.map_(pa.string(), inner), pa.list_(pa.list_(inner))])
        columns[f"c{i}"] = array_of([random_value(rng, type_) for _ in range(rows)], type_)
    source = pa.table(columns)  # noqa: F841
    version = rng.choice(["V1", "V2"])
    duckdb.sql(f"copy source to '{tmp_path}/t.parquet' (format parquet, row_group_size 2048, "
               f"codec '{rng.choice(['snappy', 'zstd', 'gzip', 'lz4_raw', 'brotli'])}', "
               f"parquet_version '{version}')")
    check(tmp_path / "t.parquet", by_pyarrow(tmp_path / "t.parquet", source))


def arrow_file_of(path):
    """As pyarrow reads it, and arrow-rs must."""
    read = pa.feather.read_table(path)
    assert pa.table(arro3.io.read_ipc(str(path)).read_all()).to_pydict() == read.to_pydict()
    return read


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows,group,distinct", [(70000, 70000, 50), (4, 2, 4), (30000, 1000, 900)])
def test_dictionaries_become_one_arrow_file(tenon, tmp_path, rows, group, distinct, threads):
    """A file of Arrow has one dictionary a column: what a batch has more goes behind."""
    rng = random.Random(SEED)
    values = [f"{rng.randrange(distinct)}" * 3 if rng.random() > 0.1 else None for _ in range(rows)]
    words = pa.dictionary(pa.int32(), pa.string())
    table = pa.table({"c": pa.array(values).dictionary_encode(),
                      "l": pa.array([[v, v] if v else None for v in values], pa.list_(words))})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=group)
    tenon("data", "convert", tmp_path / "t.parquet", tmp_path / "t.arrow", "--threads", threads)
    read = arrow_file_of(tmp_path / "t.arrow")
    assert read.schema.field("c").type == words
    assert read["c"].to_pylist() == values and read["l"].to_pylist() == table["l"].to_pylist()


def dictionary_values(table, column):
    return max(len(chunk.dictionary) for chunk in table[column].chunks)


@pytest.mark.parametrize("suffix", [".arrow", ".feather"])
def test_inputs_of_different_dictionaries_become_one_arrow_file(tenon, tmp_path, suffix):
    """Beyond 1 MiB of values, in another order in each input, some in one alone: each is there once."""
    rng = random.Random(SEED)
    shared = [rng.randbytes(300).hex() for _ in range(2500)]
    want = {"c": [], "s": []}
    for i in range(12):
        values = shared + [f"only in {i}: {k}" for k in range(20)] + [None]
        rng.shuffle(values)
        table = pa.table({"c": pa.array(values).dictionary_encode(),
                          "s": pa.array([{"d": v and v[:30]} for v in values],
                                        pa.struct([("d", pa.dictionary(pa.int32(), pa.large_string()))]))})
        pq.write_table(table, tmp_path / f"t{i:02}.parquet", row_group_size=1000)
        for column in want:
            want[column] += table[column].to_pylist()
    inputs = sorted(tmp_path.glob("*.parquet"))
    tenon("data", "convert", *inputs, tmp_path / f"out{suffix}")
    read = arrow_file_of(tmp_path / f"out{suffix}")
    assert read.to_pydict() == want
    assert dictionary_values(read, "c") == len(shared) + 12 * 20
    assert (tmp_path / f"out{suffix}").stat().st_size < 3 * len(shared) * 600
    # Inputs that take turns add nothing.
    tenon("data", "convert", *inputs[:2], *inputs[:2], tmp_path / f"turns{suffix}")
    assert dictionary_values(arrow_file_of(tmp_path / f"turns{suffix}"), "c") == len(shared) + 2 * 20


def test_dictionaries_outgrow_their_indices(tenon, tmp_path):
    """int8 counts 128 values: 100 and 28 new ones fit, one more does not; a stream may change its own."""
    names = []
    for start, count in [(0, 100), (50, 78), (128, 1)]:
        indices = pa.array(range(count), pa.int8())
        words = pa.array([f"word {start + i}" for i in range(count)])
        table = pa.table({"c": pa.DictionaryArray.from_arrays(indices, words)})
        names.append(tmp_path / f"{start}.arrow")
        with pa.ipc.new_file(str(names[-1]), table.schema) as file:
            file.write_table(table)
    tenon("data", "convert", *names[:2], tmp_path / "fits.arrow")
    read = arrow_file_of(tmp_path / "fits.arrow")
    assert read["c"].to_pylist() == [f"word {i}" for i in [*range(100), *range(50, 128)]]
    error = tenon.fails("data", "convert", *names, tmp_path / "more.arrow")
    assert 'column "c": the file\'s dictionary grows to 129 values, indices of int8 count 128' in error
    assert ".arrows" in error and not (tmp_path / "more.arrow").exists()
    tenon("data", "convert", *names, tmp_path / "more.arrows")
    with pa.ipc.open_stream(str(tmp_path / "more.arrows")) as stream:
        assert stream.read_all()["c"].to_pylist()[-1] == "word 128"


def test_dictionaries_come_back_unordered(tenon, tmp_path):
    """The order of the values is not in the Parquet file's rows, so none is claimed, and inputs join."""
    names = []
    for i, indices in enumerate([[2, 1, None, 0], [0, 2, 1, 1]]):
        sizes = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(["S", "M", "L"]), ordered=True)
        names.append(tmp_path / f"{i}.parquet")
        pq.write_table(pa.table({"c": sizes}), names[-1])
    tenon("data", "convert", *names, tmp_path / "out.arrow")
    read = arrow_file_of(tmp_path / "out.arrow")
    assert read.schema.field("c").type == pa.dictionary(pa.int32(), pa.string())
    assert read["c"].to_pylist() == ["L", "M", None, "S", "S", "L", "M", "M"]


def test_threads_of_python_share_a_reader(tmp_path):
    """Each batch comes out once, whichever thread asks."""
    rows = 40000
    pq.write_table(pa.table({"i": range(rows), "s": [str(i) * 9 for i in range(rows)]}), tmp_path / "t.parquet",
                   row_group_size=3000)
    for threads in (1, 4):
        reader = pa.RecordBatchReader.from_stream(library.open(tmp_path / "t.parquet", threads=threads, batch_rows=500))
        seen, wrong = [], []

        def take():
            try:
                while True:
                    batch = reader.read_next_batch()
                    seen.extend(batch["i"].to_pylist())
                    wrong.extend(i for i, s in zip(batch["i"].to_pylist(), batch["s"].to_pylist()) if s != str(i) * 9)
            except StopIteration:
                pass

        takers = [threading.Thread(target=take) for _ in range(4)]
        for taker in takers:
            taker.start()
        for taker in takers:
            taker.join(60)
        assert sorted(seen) == list(range(rows)) and not wrong
