# SPDX-License-Identifier: Apache-2.0
"""JSON lines judged by others: JSONTestSuite, and what Python's json, pyarrow and DuckDB make of the same
lines."""
import datetime
import decimal
import gzip
import json
import math
import random

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.json
import pytest

TEXTS = ["", "plain", "two words", 'a "quote"', "back\\slash", "new\nline", "tab\t", "ünï", "日本語", "😀",
         "\u0001control", "x" * 31, "y" * 32, "z" * 33, "]}{[,:", "long " * 40, "\u2028", "é" * 20]


def read_arrow(path):
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
    table.validate(full=True)
    return table


def suite(testdata, prefix):
    return sorted((testdata / "json/test_parsing").glob(prefix + "*.json"))


def test_json_test_suite(tenon, testdata, tmp_path):
    """Each document as the value of one row: y_ is read as Python reads it, n_ is refused."""
    path = tmp_path / "t.jsonl"
    good, bad = suite(testdata, "y_"), suite(testdata, "n_")
    assert len(good) >= 95 and len(bad) >= 180
    for file in good:
        path.write_bytes(b'{"v":' + file.read_bytes() + b"}\n")
        done = tenon("data", "convert", path, tmp_path / "out.jsonl", "--no-dates", check=False)
        assert done.returncode == 0, (file.name, done.stderr)
        if "null_in_key" in file.name or "nonCharacterInUTF-8" in file.name:
            continue
        expected = json.loads(path.read_bytes())
        assert json.loads((tmp_path / "out.jsonl").read_bytes()) == plain(expected), file.name
    for file in bad:
        path.write_bytes(b'{"v":' + file.read_bytes() + b"}\n")
        done = tenon("data", "convert", path, tmp_path / "out.jsonl", check=False)
        assert done.returncode == 1 and done.stderr.startswith("error: "), (file.name, done.stdout)


def plain(value):
    """What a row looks like after the way through columns of one type: numbers of a list are all real when one
    is, and members that some object of a list has, all have."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list) and value and all(isinstance(v, dict) or v is None for v in value):
        keys = {k: None for v in value if v for k in v}
        return [None if v is None else {**keys, **{k: plain(x) for k, x in v.items()}} for v in value]
    return [plain(v) for v in value] if isinstance(value, list) else value


# ---- random tables with a schema -----------------------------------------------------------------------------

def random_type(rng, depth=0):
    kind = rng.choice(["int", "real", "bool", "text"] + (["list", "struct"] if depth < 3 else []))
    if kind == "list":
        return ("list", random_type(rng, depth + 1))
    if kind == "struct":
        return ("struct", {f"k{i}" + rng.choice(["", "é", ' "q"']): random_type(rng, depth + 1)
                           for i in range(rng.randrange(1, 4))})
    return (kind,)


def random_value(rng, type_, full=False):
    if not full and rng.random() < 0.15:
        return None
    if type_[0] == "int":
        return rng.choice([0, 1, -1, rng.randrange(-10**6, 10**6), rng.randrange(-2**63, 2**63)])
    if type_[0] == "real":
        return rng.choice([0.5, -1.25, rng.random(), rng.random() * 10.0**rng.randrange(-300, 300), 0.1 + 0.2])
    if type_[0] == "bool":
        return rng.random() < 0.5
    if type_[0] == "text":
        return rng.choice(TEXTS)
    if type_[0] == "list":
        return [random_value(rng, type_[1], full) for _ in range(rng.randrange(1 if full else 0, 4))]
    return {k: random_value(rng, t, full) for k, t in type_[1].items() if full or rng.random() < 0.8}


def filled(value, type_):
    """Members that are missing are null."""
    if value is None or type_[0] not in ("list", "struct"):
        return value
    if type_[0] == "list":
        return [filled(v, type_[1]) for v in value]
    return {k: filled(value.get(k), t) for k, t in type_[1].items()}


def write_rows(rng, rows, path):
    separators = rng.choice([(",", ":"), (", ", ": "), (" ,\t", " : ")])
    lines = [json.dumps(row, ensure_ascii=rng.random() < 0.5, separators=separators) for row in rows]
    path.write_text(rng.choice(["\n", "\r\n", "\n\n"]).join(lines) + rng.choice(["", "\n"]), encoding="utf-8")


def random_rows(rng):
    type_ = ("struct", {f"c{i}": random_type(rng) for i in range(rng.randrange(1, 6))})
    # the first row has every key, so that the order of columns is the schema's; pyarrow wants no nulls there
    rows = [random_value(rng, type_, full=True)]
    rows += [random_value(rng, type_) or {} for _ in range(rng.randrange(0, 300))]
    return type_, rows


def test_random_rows_come_back(tenon, tmp_path):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(30):
        type_, rows = random_rows(rng)
        write_rows(rng, rows, tmp_path / "in.jsonl")
        tenon("data", "convert", tmp_path / "in.jsonl", tmp_path / "out.arrow")
        expected = [filled(row, type_) for row in rows]
        ours = read_arrow(tmp_path / "out.arrow")
        assert ours.to_pylist() == expected
        tenon("data", "convert", tmp_path / "out.arrow", tmp_path / "again.jsonl")
        assert [json.loads(line) for line in open(tmp_path / "again.jsonl", encoding="utf-8")] == expected


def test_pyarrow_reads_the_same(tenon, tmp_path):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(20):
        _, rows = random_rows(rng)
        write_rows(rng, rows, tmp_path / "in.jsonl")
        tenon("data", "convert", tmp_path / "in.jsonl", tmp_path / "out.arrow")
        theirs = pa.json.read_json(tmp_path / "in.jsonl")
        ours = read_arrow(tmp_path / "out.arrow")
        assert ours.schema.equals(theirs.schema), (ours.schema, theirs.schema)
        assert ours.to_pylist() == theirs.to_pylist()


def test_duckdb_reads_the_same(tenon, tmp_path):
    rng = random.Random(7)
    rows = [{"id": i, "x": rng.random(), "s": rng.choice(TEXTS), "ok": rng.random() < 0.5,
             "tags": [rng.choice("abc") for _ in range(rng.randrange(3))], "at": {"x": i, "y": None if i % 3 else "q"}}
            for i in range(500)]
    write_rows(rng, rows, tmp_path / "in.jsonl")
    tenon("data", "convert", tmp_path / "in.jsonl", tmp_path / "out.arrow")
    theirs = duckdb.sql(f"select * from read_json('{tmp_path}/in.jsonl', format='newline_delimited')")
    names = [c[0] for c in theirs.description]
    assert read_arrow(tmp_path / "out.arrow").to_pylist() == [dict(zip(names, row)) for row in theirs.fetchall()]
    # and DuckDB reads what we write
    tenon("data", "convert", tmp_path / "out.arrow", tmp_path / "again.jsonl")
    again = duckdb.sql(f"select * from read_json('{tmp_path}/again.jsonl', format='newline_delimited')")
    assert again.fetchall() == theirs.fetchall()


# ---- what others do not do -----------------------------------------------------------------------------------

def test_types_hold_for_the_whole_file(tenon, tmp_path):
    """What comes after any sample: late keys, late reals, late texts, big integers."""
    rows = [{"a": i, "b": i, "c": i} for i in range(200_000)]
    rows[-1] = {"a": 0.5, "b": "x", "c": 2**64, "late": {"k": [1]}}
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    tenon("data", "convert", path, tmp_path / "out.arrow")
    table = read_arrow(tmp_path / "out.arrow")
    assert table.schema.field("a").type == pa.float64() and table.schema.field("b").type == pa.string()
    assert table["c"][-1].as_py() == str(2**64) and table["c"][5].as_py() == "5"
    assert table["late"][-1].as_py() == {"k": [1]} and table["late"].null_count == 199_999
    one = (tmp_path / "out.arrow").read_bytes()
    for threads in (1, 2, 5):
        tenon("data", "convert", path, tmp_path / "again.arrow", "--threads", threads)
        assert (tmp_path / "again.arrow").read_bytes() == one


def test_compressed_and_array_files(tenon, tmp_path):
    rows = [{"a": i, "b": [str(i)]} for i in range(3000)]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (tmp_path / "c.ndjson").write_text("".join(json.dumps(row, indent=2) for row in rows))
    for name in ("a.json", "b.jsonl.gz", "c.ndjson"):
        tenon("data", "convert", tmp_path / name, tmp_path / "out.arrow")
        assert read_arrow(tmp_path / "out.arrow").to_pylist() == rows, name


def test_every_arrow_type_is_written(tenon, tmp_path):
    day = datetime.date(2024, 2, 29)
    at = datetime.datetime(2024, 2, 29, 12, 30, 0, 250000)
    columns = {
        "i8": (pa.array([1, None], pa.int8()), [1, None]),
        "u64": (pa.array([2**64 - 1, 0], pa.uint64()), [2**64 - 1, 0]),
        "f32": (pa.array([0.1, None], pa.float32()), [0.1, None]),
        "f16": (pa.array([0.5, 1.0], pa.float16()), [0.5, 1.0]),
        "nan": (pa.array([math.nan, math.inf]), [None, None]),
        "dec": (pa.array([decimal.Decimal("12.30"), None], pa.decimal128(30, 2)), [12.3, None]),
        "day": (pa.array([day, None]), ["2024-02-29", None]),
        "at": (pa.array([at, None], pa.timestamp("us")), ["2024-02-29T12:30:00.250000", None]),
        "utc": (pa.array([at, None], pa.timestamp("ms", "UTC")), ["2024-02-29T12:30:00.250Z", None]),
        "view": (pa.array(["a long text of a view array", None], pa.string_view()),
                 ["a long text of a view array", None]),
        "big": (pa.array(["x\ny", None], pa.large_string()), ["x\ny", None]),
        "dict": (pa.array(["p", None]).dictionary_encode(), ["p", None]),
        "bin": (pa.array([b"\x00\xff", None]), ["AP8=", None]),
        "list": (pa.array([[1, None], None], pa.large_list(pa.int32())), [[1, None], None]),
        "map": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), [{"k": 1}, None]),
        "struct": (pa.array([{"x": None}, None], pa.struct([("x", pa.bool_())])), [{"x": None}, None]),
        "null": (pa.nulls(2), [None, None]),
    }
    table = pa.table({name: array for name, (array, _) in columns.items()})
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    tenon("data", "convert", tmp_path / "t.arrow", tmp_path / "t.jsonl")
    rows = [json.loads(line) for line in open(tmp_path / "t.jsonl", encoding="utf-8")]
    assert rows == [{name: values[i] for name, (_, values) in columns.items()} for i in range(2)]


@pytest.mark.parametrize("text, part", [
    ('{"a":1}\n{"a":2,}\n', "line 2 (byte 15): expected a key in quotes"),
    ('{"a":1}\n[1]\n', "line 2 (byte 8): expected '{': a row is a JSON object"),
    ('{"a":"\\ud800"}', "a high surrogate without a low one"),
    ('{"a":1', "is the file truncated?"),
])
def test_mistakes_are_named(tenon, tmp_path, text, part):
    (tmp_path / "t.jsonl").write_text(text)
    assert part in tenon.fails("data", "convert", tmp_path / "t.jsonl", tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()
