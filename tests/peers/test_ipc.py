# SPDX-License-Identifier: Apache-2.0
"""Arrow IPC files: ours read by pyarrow, pyarrow's and the Arrow project's golden files read by us."""
import random

import pyarrow as pa
import pyarrow.ipc
import pytest

TYPES = {
    "bool": pa.bool_(), "int8": pa.int8(), "uint8": pa.uint8(), "int16": pa.int16(), "uint16": pa.uint16(),
    "int32": pa.int32(), "uint32": pa.uint32(), "int64": pa.int64(), "uint64": pa.uint64(),
    "float": pa.float32(), "double": pa.float64(), "string": pa.string(), "binary": pa.binary(),
    "date": pa.date32(), "ms": pa.timestamp("ms"), "us": pa.timestamp("us"), "ns": pa.timestamp("ns"),
    "utc": pa.timestamp("us", tz="UTC"),
}


def random_value(rng, type_):
    if pa.types.is_boolean(type_):
        return rng.random() < 0.5
    if pa.types.is_integer(type_):
        bits = type_.bit_width
        low = 0 if pa.types.is_unsigned_integer(type_) else -(1 << (bits - 1))
        return rng.randrange(low, low + (1 << bits))
    if pa.types.is_floating(type_):
        return float(rng.randrange(-1000, 1000)) / 8
    if pa.types.is_string(type_):
        return rng.choice(["", "x", "é∑", "long " * 20])
    if pa.types.is_binary(type_):
        return rng.randbytes(rng.randrange(12))
    return rng.randrange(-10000, 30000) if pa.types.is_date(type_) else rng.randrange(-10**15, 10**15)


def random_table(rng, rows, nulls):
    columns = {}
    for name, type_ in TYPES.items():
        values = [None if rng.random() < nulls else random_value(rng, type_) for _ in range(rows)]
        columns[name] = pa.array(values, type_)
    return pa.table(columns)


def write(path, table, chunk=None, **options):
    with pa.OSFile(str(path), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as w:
            w.write_table(table, max_chunksize=chunk)


def read(path):
    with pa.OSFile(str(path)) as source:
        plain = pa.ipc.open_file(source).read_all()
    plain.validate(full=True)
    with pa.memory_map(str(path)) as source:
        mapped = pa.ipc.open_file(source).read_all()
        assert mapped.equals(plain)
    return plain


@pytest.mark.parametrize("rows, nulls, chunk", [(1, 0, None), (1000, 0, None), (1000, 0.2, 77), (64, 1, 10), (0, 0, None)])
def test_pyarrow_to_us_and_back(tenon, tmp_path, rows, nulls, chunk):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    table = random_table(random.Random(seed), rows, nulls)
    write(tmp_path / "theirs.arrow", table, chunk)
    tenon("data", "convert", tmp_path / "theirs.arrow", tmp_path / "ours.arrow")
    ours = read(tmp_path / "ours.arrow")
    assert ours.schema.equals(table.schema)
    assert ours.equals(table)


def test_slices_are_read(tenon, tmp_path):
    table = random_table(random.Random(3), 500, 0.3)
    for start in (1, 7, 8, 13):
        write(tmp_path / "theirs.arrow", table.slice(start, 100))
        tenon("data", "convert", tmp_path / "theirs.arrow", tmp_path / "ours.arrow")
        assert read(tmp_path / "ours.arrow").equals(table.slice(start, 100))


def test_metadata_and_nullability_survive(tenon, tmp_path):
    schema = pa.schema([pa.field("k", pa.int32(), nullable=False, metadata={"unit": "m"}),
                        pa.field("v", pa.string())], metadata={"a": "1", "b": ""})
    write(tmp_path / "theirs.arrow", pa.table({"k": [1, 2], "v": ["x", None]}, schema=schema))
    tenon("data", "convert", tmp_path / "theirs.arrow", tmp_path / "ours.arrow")
    assert read(tmp_path / "ours.arrow").schema.equals(schema, check_metadata=True)


def test_head_shows_values(tenon, tmp_path):
    write(tmp_path / "t.arrow", pa.table({"i": [1, None, 3], "s": ["a", "", None]}))
    shown = tenon.json("data", "head", tmp_path / "t.arrow", "-n", "2")
    assert shown["rows"] == [{"i": 1, "s": "a"}, {"i": None, "s": ""}]


@pytest.mark.parametrize("name, array, word", [
    ("tags", pa.array([[1], [2]]), "list"),
    ("city", pa.array(["a", "a"]).dictionary_encode(), "dictionary"),
    ("when", pa.array([1, 2], pa.timestamp("us", tz="Europe/Berlin")), "Europe/Berlin"),
    ("half", pa.array([1, 2], pa.float16()), "floating point"),
    ("wide", pa.array(["a", "b"], pa.large_string()), "large utf8"),
    ("money", pa.array([1, 2], pa.decimal128(10, 2)), "decimal"),
])
def test_other_types_are_named(tenon, tmp_path, name, array, word):
    write(tmp_path / "t.arrow", pa.table({"ok": [1, 2], name: array}))
    message = tenon.fails("data", "convert", tmp_path / "t.arrow", tmp_path / "out.csv")
    assert f'"{name}"' in message and word in message and "t.arrow" in message
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_files_are_named(tenon, tmp_path, codec):
    write(tmp_path / "t.arrow", pa.table({"i": list(range(1000))}), compression=codec)
    assert codec in tenon.fails("data", "convert", tmp_path / "t.arrow", tmp_path / "out.csv")


def test_truncated_and_foreign_files(tenon, tmp_path):
    write(tmp_path / "t.arrow", random_table(random.Random(5), 100, 0.1))
    whole = (tmp_path / "t.arrow").read_bytes()
    (tmp_path / "cut.arrow").write_bytes(whole[:len(whole) // 2])
    assert "truncated" in tenon.fails("data", "head", tmp_path / "cut.arrow")
    (tmp_path / "not.arrow").write_bytes(b"PAR1" + bytes(100))
    assert "ARROW1" in tenon.fails("data", "head", tmp_path / "not.arrow")


def known(type_):
    return type_ in TYPES.values()


def test_golden_files_of_the_arrow_project(tenon, testdata, tmp_path):
    """A whole file gives pyarrow's values or one error naming a column; its columns of our types, asked for by
    name, give pyarrow's values also where the others are nested, dictionaries, decimals."""
    files = sorted((testdata / "arrow").glob("**/*.arrow_file"))
    assert files
    columns_read = {}
    for path in files:
        (tmp_path / "in.arrow").write_bytes(path.read_bytes())
        out = tmp_path / "out.arrow"
        with pa.OSFile(str(path)) as source:
            theirs = pa.ipc.open_file(source).read_all()
        done = tenon("data", "convert", tmp_path / "in.arrow", out, check=False)
        if all(known(t) for t in theirs.schema.types):
            assert done.returncode == 0 and read(out).equals(theirs), path
        else:
            errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            assert done.returncode == 1 and len(errors) == 1, (path, done.stderr)
            assert 'column "' in errors[0], errors
            assert not out.exists()
        names = theirs.schema.names
        ours = [f.name for f in theirs.schema if known(f.type) and names.count(f.name) == 1]
        if ours:
            tenon("data", "convert", "--columns", ",".join(reversed(ours)), tmp_path / "in.arrow", out)
            assert read(out).equals(theirs.select(list(reversed(ours)))), path
            out.unlink()
            columns_read[path.stem] = columns_read.get(path.stem, 0) + len(ours)
    print(f"{len(files)} golden files; columns read:", columns_read)
    present = {path.stem for path in files}
    assert columns_read["generated_primitive"] >= 24
    assert {"generated_primitive_no_batches", "generated_primitive_zerolength"} & present <= set(columns_read)


def test_a_choice_of_columns(tenon, tmp_path):
    table = pa.table({"a": [1, 2], "tags": pa.array([[1, 2], []]), "s": ["x", None],
                      "city": pa.array(["p", "q"]).dictionary_encode(), "b": [True, None]})
    write(tmp_path / "t.arrow", table)
    tenon("data", "convert", "--columns", "b,s,a", tmp_path / "t.arrow", tmp_path / "out.arrow")
    assert read(tmp_path / "out.arrow").equals(table.select(["b", "s", "a"]))
    assert '"nope"' in tenon.fails("data", "convert", "--columns", "a,nope", tmp_path / "t.arrow", tmp_path / "o.csv")
    assert "list" in tenon.fails("data", "convert", "--columns", "tags", tmp_path / "t.arrow", tmp_path / "o.csv")
