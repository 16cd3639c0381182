# SPDX-License-Identifier: Apache-2.0
"""Arrow IPC: ours read by pyarrow, pyarrow's and the Arrow project's golden files read by us."""
import datetime
import decimal
import functools
import os
import pathlib
import random
import sys
import threading

import pyarrow as pa
import pyarrow.ipc
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
import arrow_json  # noqa: E402

FLAT = [pa.null(), pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(),
        pa.int64(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.binary(),
        pa.large_string(), pa.large_binary(), pa.string_view(), pa.binary_view(), pa.binary(5),
        pa.decimal32(7, 2), pa.decimal64(18, 0), pa.decimal128(38, 10), pa.decimal256(76, -3), pa.date32(),
        pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.timestamp("s"),
        pa.timestamp("ms", "UTC"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns"), pa.duration("s"),
        pa.duration("ns"), pa.month_day_nano_interval()]


def random_bytes(rng):
    return rng.choice(["", "x", "é∑", "longer than a view holds " * 2])


def random_value(rng, type_):
    t = pa.types
    if t.is_null(type_) or rng.random() < 0.15:
        return None
    if t.is_boolean(type_):
        return rng.random() < 0.5
    if t.is_integer(type_):
        low = 0 if t.is_unsigned_integer(type_) else -(1 << (type_.bit_width - 1))
        return rng.randrange(low, low + (1 << type_.bit_width))
    if t.is_floating(type_):
        return float(rng.randrange(-1000, 1000)) / 8
    if type_ in (pa.string(), pa.large_string(), pa.string_view()):
        return random_bytes(rng)
    if t.is_fixed_size_binary(type_):
        return rng.randbytes(type_.byte_width)
    if type_ in (pa.binary(), pa.large_binary(), pa.binary_view()):
        return random_bytes(rng).encode() + b"\xff"
    if t.is_decimal(type_):
        return decimal.Decimal(rng.randrange(-10**6, 10**6)).scaleb(-type_.scale)
    if t.is_date64(type_):
        return datetime.date(1970, 1, 1) + datetime.timedelta(days=rng.randrange(-9999, 9999))
    if type_ == pa.month_day_nano_interval():
        return (rng.randrange(99), rng.randrange(-99, 99), rng.randrange(10**15))
    if t.is_time(type_):
        return rng.randrange(86400)
    if t.is_temporal(type_):
        return rng.randrange(-10**4, 10**4)
    if t.is_map(type_):
        return [(rng.choice("kl"), random_value(rng, type_.item_type)) for _ in range(rng.randrange(3))]
    if t.is_struct(type_):
        return {field.name: random_value(rng, field.type) for field in type_}
    if t.is_fixed_size_list(type_):
        return [random_value(rng, type_.value_type) for _ in range(type_.list_size)]
    return [random_value(rng, type_.value_type) for _ in range(rng.randrange(4))]


def random_type(rng, depth):
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(FLAT)
    inner = random_type(rng, depth - 1)
    return rng.choice([pa.list_, pa.large_list, lambda t: pa.list_(t, 2), pa.list_view, pa.large_list_view,
                       lambda t: pa.map_(pa.string(), t),
                       lambda t: pa.struct([("a", t), pa.field("b", pa.int16())])])(inner)


def random_array(rng, type_, rows):
    return pa.array([random_value(rng, type_) for _ in range(rows)], type_)


def random_columns(rng, rows):
    columns = {f"flat {i}": random_array(rng, t, rows) for i, t in enumerate(FLAT)}
    for i in range(8):
        columns[f"nested {i}"] = random_array(rng, random_type(rng, 3), rows)
    words = pa.array(["a", None, "b", "a longer word than twelve"])
    picks = [None if rng.random() < 0.2 else rng.randrange(len(words)) for _ in range(rows)]
    columns["dictionary"] = pa.DictionaryArray.from_arrays(pa.array(picks, pa.uint16()), words)
    ends = sorted(rng.sample(range(1, rows), min(3, rows - 1)) + [rows]) if rows else []
    columns["runs"] = pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()),
                                                        random_array(rng, pa.int64(), len(ends)))
    codes = pa.array([rng.choice([5, 9]) for _ in range(rows)], pa.int8())
    members = [random_array(rng, pa.int32(), rows), random_array(rng, pa.string(), rows)]
    columns["sparse"] = pa.UnionArray.from_sparse(codes, members, type_codes=[5, 9])
    columns["dense"] = pa.UnionArray.from_dense(codes, pa.array(range(rows), pa.int32()), members,
                                                type_codes=[5, 9])
    return pa.table(columns)


def write(path, table, chunk=None, **options):
    make = pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink:
        with make(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as w:
            w.write_table(table, max_chunksize=chunk)


def read(path):
    if path.suffix == ".arrows":
        with pa.OSFile(str(path)) as source:
            plain = pa.ipc.open_stream(source).read_all()
        plain.validate(full=True)
        return plain
    with pa.OSFile(str(path)) as source:
        plain = pa.ipc.open_file(source).read_all()
    plain.validate(full=True)
    with pa.memory_map(str(path)) as source:
        assert same(pa.ipc.open_file(source).read_all(), plain)
    return plain


def values(table):
    return [[value for chunk in column.chunks for value in arrow_json.arrow_values(chunk)]
            for column in table.columns]


def same(a, b):
    return a.schema.equals(b.schema, check_metadata=True) and values(a) == values(b)


@pytest.mark.parametrize("theirs, options", [
    (".arrow", {}), (".arrow", {"compression": "zstd"}), (".arrows", {"compression": "lz4"}), (".arrows", {}),
    (".arrows", {"use_legacy_format": True})])
@pytest.mark.parametrize("ours", [".arrow", ".arrows"])
@pytest.mark.parametrize("rows, chunk", [(1, None), (300, 77), (0, None)])
def test_pyarrow_to_us_and_back(tenon, tmp_path, theirs, options, ours, rows, chunk):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    table = random_columns(random.Random(seed), rows)
    write(tmp_path / f"theirs{theirs}", table, chunk, **options)
    tenon("data", "convert", tmp_path / f"theirs{theirs}", tmp_path / f"ours{ours}")
    assert same(read(tmp_path / f"ours{ours}"), table)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
@pytest.mark.parametrize("suffix", [".arrow", ".arrows"])
def test_pyarrow_reads_what_we_compress(tenon, tmp_path, codec, suffix):
    table = random_columns(random.Random(9), 2000)
    write(tmp_path / "theirs.arrow", table)
    plain, packed = tmp_path / f"plain{suffix}", tmp_path / f"packed{suffix}"
    tenon("data", "convert", tmp_path / "theirs.arrow", plain)
    tenon("data", "convert", "--codec", codec, tmp_path / "theirs.arrow", packed)
    assert same(read(packed), table)
    assert packed.stat().st_size < plain.stat().st_size


def test_unions_of_the_version_before(tenon, tmp_path):
    """V4 gave unions a validity bitmap."""
    rng = random.Random(4)
    table = random_columns(rng, 50).select(["sparse", "dense", "flat 3", "dictionary"])
    write(tmp_path / "theirs.arrows", table, metadata_version=pa.ipc.MetadataVersion.V4)
    tenon("data", "convert", tmp_path / "theirs.arrows", tmp_path / "ours.arrow")
    assert same(read(tmp_path / "ours.arrow"), table)


def test_slices_are_read(tenon, tmp_path):
    table = random_columns(random.Random(3), 500)
    for start in (1, 7, 8, 13):
        write(tmp_path / "theirs.arrow", table.slice(start, 100))
        tenon("data", "convert", tmp_path / "theirs.arrow", tmp_path / "ours.arrow")
        assert same(read(tmp_path / "ours.arrow"), table.slice(start, 100))


def chunked(lists):
    """One chunk a list of words, each with a dictionary of its own."""
    return pa.table({"w": pa.chunked_array([pa.array(words).dictionary_encode() for words in lists])})


@pytest.mark.parametrize("deltas", [True, False])
def test_dictionaries_change_in_a_stream(tenon, tmp_path, deltas):
    table = chunked([["a", "b"], ["a", "b", "c"], ["a"], ["z", "y"], ["z", "y", "x"]])
    write(tmp_path / "theirs.arrows", table, emit_dictionary_deltas=deltas)
    tenon("data", "convert", tmp_path / "theirs.arrows", tmp_path / "ours.arrows")
    back = read(tmp_path / "ours.arrows")
    assert back["w"].to_pylist() == table["w"].to_pylist()
    tenon("data", "convert", tmp_path / "theirs.arrows", tmp_path / "ours.arrow")
    back = read(tmp_path / "ours.arrow")
    assert back["w"].to_pylist() == table["w"].to_pylist()
    assert back["w"].chunk(back["w"].num_chunks - 1).dictionary.to_pylist() == ["a", "b", "c", "z", "y", "x"]


def test_an_ordered_dictionary_keeps_its_order_in_a_file(tenon, tmp_path):
    """What joins without a contradiction does; what does not is an error, and fits into a stream."""
    def write_sizes(name, *lists):
        chunks = [pa.DictionaryArray.from_arrays(pa.array(range(len(v)), pa.int8()), pa.array(v), ordered=True)
                  for v in lists]
        write(tmp_path / name, pa.table({"size": pa.chunked_array(chunks)}))
        return tmp_path / name

    good = write_sizes("good.arrows", ["S", "M", "L"], ["S", "L"], ["M", "L", "XL"])
    tenon("data", "convert", good, tmp_path / "good.arrow")
    back = read(tmp_path / "good.arrow")["size"]
    assert back.type.ordered and back.to_pylist() == ["S", "M", "L", "S", "L", "M", "L", "XL"]
    bad = write_sizes("bad.arrows", ["S", "L"], ["S", "M", "L"])
    message = tenon.fails("data", "convert", bad, tmp_path / "bad.arrow")
    assert 'column "size": an ordered dictionary whose values come in another order' in message
    tenon("data", "convert", bad, tmp_path / "bad2.arrows")
    assert read(tmp_path / "bad2.arrows")["size"].to_pylist() == ["S", "L", "S", "M", "L"]


def test_a_dictionary_grows_in_a_file(tenon, tmp_path):
    table = chunked([["a", "b"], ["a", "b", "c"], ["a"]])
    write(tmp_path / "theirs.arrows", table)
    tenon("data", "convert", tmp_path / "theirs.arrows", tmp_path / "ours.arrow")
    assert read(tmp_path / "ours.arrow")["w"].to_pylist() == table["w"].to_pylist()


def test_metadata_and_nullability_survive(tenon, tmp_path):
    schema = pa.schema([pa.field("k", pa.int32(), nullable=False, metadata={"unit": "m"}),
                        pa.field("v", pa.string()),
                        pa.field("e", pa.binary(16), metadata={"ARROW:extension:name": "my.own",
                                                               "ARROW:extension:metadata": "x=1"})],
                       metadata={"a": "1", "b": ""})
    write(tmp_path / "theirs.arrow", pa.table({"k": [1, 2], "v": ["x", None], "e": [b"0" * 16, None]}, schema=schema))
    for suffix in (".arrow", ".arrows"):
        tenon("data", "convert", tmp_path / "theirs.arrow", tmp_path / f"ours{suffix}")
        assert read(tmp_path / f"ours{suffix}").schema.equals(schema, check_metadata=True)


def test_head_shows_values(tenon, tmp_path):
    write(tmp_path / "t.arrow", pa.table({"i": [1, None, 3], "s": ["a", "", None]}))
    shown = tenon.json("data", "head", tmp_path / "t.arrow", "-n", "2")
    assert shown["rows"] == [{"i": 1, "s": "a"}, {"i": None, "s": ""}]


def test_a_stream_from_a_pipe(tenon, tmp_path):
    table = random_columns(random.Random(6), 400)
    write(tmp_path / "theirs.arrows", table, 50)
    data, pipe = (tmp_path / "theirs.arrows").read_bytes(), tmp_path / "pipe.arrows"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[data])
    writer.start()
    tenon("data", "convert", pipe, tmp_path / "ours.arrow")
    writer.join()
    assert same(read(tmp_path / "ours.arrow"), table)


def test_truncated_and_foreign_files(tenon, tmp_path):
    table = random_columns(random.Random(5), 100)
    for suffix in (".arrow", ".arrows"):
        write(tmp_path / f"t{suffix}", table)
        whole = (tmp_path / f"t{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(whole[:len(whole) // 2])
        assert "truncated" in tenon.fails("data", "head", tmp_path / f"cut{suffix}")
    (tmp_path / "not.arrow").write_bytes(b"PAR1" + bytes(100))
    assert "ARROW1" in tenon.fails("data", "head", tmp_path / "not.arrow")


def golden_files(testdata):
    documents = sorted((testdata / "arrow").glob("**/*.json.gz"))
    return [(document, document.with_name(document.name[:-len(".json.gz")] + suffix))
            for document in documents for suffix in (".stream", ".arrow_file")]


def reader_of(path):
    with open(path, "rb") as head:
        is_file = head.read(6) == b"ARROW1"
    if not is_file:
        return pa.ipc.open_stream(pa.OSFile(str(path)))
    reader = pa.ipc.open_file(pa.OSFile(str(path)))
    return pa.RecordBatchReader.from_batches(reader.schema, map(reader.get_batch, range(reader.num_record_batches)))


def test_golden_files_of_the_arrow_project(tenon, testdata, tmp_path):
    """Each is read by us, written again, and pyarrow then reads the values of the JSON beside it."""
    files = golden_files(testdata)
    assert files
    load = functools.lru_cache(maxsize=1)(lambda document: arrow_json.Document.load(document).table())
    for number, (document, path) in enumerate(files):
        (tmp_path / "in.arrow").write_bytes(path.read_bytes())
        out = tmp_path / ("out.arrow" if number % 4 < 2 else "out.arrows")
        tenon("data", "convert", tmp_path / "in.arrow", out)
        wrong = arrow_json.difference(arrow_json.arrow_table(reader_of(out)), load(document), exact=False)
        assert wrong is None, (path, wrong)
    print(f"{len(files)} golden files")


def test_a_choice_of_columns(tenon, tmp_path):
    table = random_columns(random.Random(8), 60)
    names = ["nested 3", "dictionary", "flat 17", "dense", "flat 1"]
    for suffix in (".arrow", ".arrows"):
        write(tmp_path / f"t{suffix}", table, 20)
        tenon("data", "convert", "--columns", ",".join(names), tmp_path / f"t{suffix}", tmp_path / "out.arrow")
        assert same(read(tmp_path / "out.arrow"), table.select(names))
        assert '"nope"' in tenon.fails("data", "convert", "--columns", "flat 1,nope", tmp_path / f"t{suffix}",
                                       tmp_path / "o.arrow")


def test_a_delta_that_pyarrow_does_not_read_is_said(tenon, tmp_path):
    """A dictionary of structs that hold dictionaries, from two inputs: arrow-rs reads what comes, pyarrow does not."""
    for name, words in (("a", ["x", "y"]), ("b", ["z"])):
        values = pa.StructArray.from_arrays([pa.array(words).dictionary_encode()], names=["k"])
        write(tmp_path / f"{name}.arrow", pa.table({"d": pa.DictionaryArray.from_arrays(range(len(words)), values)}))
    inputs = [tmp_path / "a.arrow", tmp_path / "b.arrow"]
    said = tenon("data", "convert", *inputs, tmp_path / "both.arrow").stderr
    assert "both.arrow: pyarrow does not read it" in said
    with pytest.raises(pa.ArrowException, match="delta"):
        read(tmp_path / "both.arrow")
    assert "pyarrow does not" not in tenon("data", "convert", inputs[0], tmp_path / "one.arrow").stderr
    assert "pyarrow does not" not in tenon("data", "convert", *inputs, tmp_path / "both.arrows").stderr
    for name, words in (("both.arrows", ["x", "y", "z"]), ("one.arrow", ["x", "y"])):
        assert read(tmp_path / name)["d"].to_pylist() == [{"k": word} for word in words]
