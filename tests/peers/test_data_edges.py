# SPDX-License-Identifier: Apache-2.0
"""`tenon data` at the edges: what one format has and another has not, wrong options, closed pipes, many folders."""
import base64
import json
import math
import pathlib
import re
import signal
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def write_csv(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "s": ["x", "y", None], "l": [[1], [], None]}), path)
    return path


# ---- bytes and numbers that a text format has not -------------------------------------------------------
BYTES = [b"\xff\x00\x01", b"", None, "größe".encode(), b"a,b"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view(),
                                  pa.dictionary(pa.int32(), pa.binary())])
def test_binary_in_csv(tenon, tmp_path, kind):
    column = pa.array(BYTES, pa.binary())
    column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column.cast(kind)
    with pa.ipc.new_file(tmp_path / "t.arrow", pa.schema({"b": column.type, "i": pa.int64()})) as out:
        out.write_table(pa.table({"b": column, "i": range(5)}))
    for words, code in (([], lambda b: base64.b64encode(b).decode()), (["--binary", "hex"], bytes.hex)):
        tenon("data", "convert", tmp_path / "t.arrow", tmp_path / "t.csv", *words)
        tenon("data", "convert", tmp_path / "t.csv", tmp_path / "back.parquet", "--schema", "b: string, i: int64")
        got = pq.read_table(tmp_path / "back.parquet")["b"].to_pylist()
        assert got == [None if b is None else code(b) for b in BYTES]
    said = tenon.fails("data", "convert", tmp_path / "t.arrow", tmp_path / "t.csv", "--binary", "text")
    assert '"b", row 0' in said and "base64" in said
    assert "base64, hex, text" in tenon.fails("data", "convert", tmp_path / "t.arrow", tmp_path / "t.csv",
                                              "--binary", "octal")


def test_binary_that_is_text(tenon, tmp_path):
    pq.write_table(pa.table({"b": pa.array([b"one", "größe".encode(), b'"'], pa.binary())}), tmp_path / "t.parquet")
    tenon("data", "convert", tmp_path / "t.parquet", tmp_path / "t.csv", "--binary", "text")
    assert (tmp_path / "t.csv").read_text() == 'b\none\ngröße\n""""\n'


def test_numbers_that_json_has_not_are_counted(tenon, tmp_path):
    values = [1.5, math.nan, math.inf, None, -math.inf]
    pq.write_table(pa.table({"x": values, "l": [[math.nan, 1.0]] * 5}), tmp_path / "t.parquet")
    done = tenon("data", "convert", tmp_path / "t.parquet", tmp_path / "t.jsonl")
    assert "8 numbers are null in JSON" in done.stderr
    assert [json.loads(row)["x"] for row in (tmp_path / "t.jsonl").open()] == [1.5, None, None, None, None]
    assert tenon.json("data", "convert", tmp_path / "t.parquet", tmp_path / "t.jsonl")["not_finite_nulled"] == 8
    assert "5 numbers are null" in tenon("data", "convert", tmp_path / "t.parquet", tmp_path / "t.csv").stderr
    assert "8 numbers are null" in tenon("data", "head", "--json", tmp_path / "t.parquet").stderr
    assert "null in JSON" not in tenon("data", "convert", tmp_path / "t.parquet", tmp_path / "t.arrow").stderr


def test_a_table_without_rows_in_json_lines(tenon, tmp_path):
    source = write_csv(tmp_path / "h.csv", "a,b\n")
    assert "2 columns are lost" in tenon("data", "convert", source, tmp_path / "o.jsonl").stderr
    assert "lost" not in tenon("data", "convert", source, tmp_path / "o.parquet").stderr
    assert pq.read_schema(tmp_path / "o.parquet").names == ["a", "b"]


def test_an_empty_csv_says_what_is_missing(tenon, tmp_path):
    said = tenon.fails("data", "convert", write_csv(tmp_path / "e.csv", ""), tmp_path / "o.parquet")
    assert "no row of column names" in said and "e.csv" in said
    tenon("data", "convert", tmp_path / "e.csv", tmp_path / "o.parquet", "--schema", "a: int64, b: string")
    got = pq.read_table(tmp_path / "o.parquet")
    assert (got.num_rows, [str(f.type) for f in got.schema]) == (0, ["int64", "string"])


# ---- options --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("out, words, says", [
    ("o.parquet", ["--level", 99], "zstd has levels -131072 to 22"),
    ("o.parquet", ["--codec", "snappy", "--level", 1], "snappy has no levels"),
    ("o.parquet", ["--codec", "gzip", "--level", 13], "gzip has levels 1 to 12"),
    ("o.arrow", ["--level", 3], "without a codec"),
    ("o.arrow", ["--codec", "lz4", "--level", 99], "lz4 has levels 1 to 12"),
    ("o.csv.gz", ["--compression-level", 99], "gzip has no level 99"),
    ("o.csv", ["--compression-level", 1], ".gz or .zst"),
    ("o.parquet", ["--row-group-rows", 0], "a number from 1 on, got '0'"),
    ("o.parquet", ["--data-page-version", 3], "1 to 2, got '3'"),
    ("o.parquet", ["--threads", -1], "a number from 0 on, got '-1'"),
    ("o.csv", ["--codec", "zstd"], "--codec is of Parquet, Arrow; "),
    ("o.jsonl", ["--row-group-rows", 5], "--row-group-rows is of Parquet; "),
    ("o.parquet", ["--out-separator", ";"], "--out-separator is of CSV; "),
    ("o.parquet", ["--separator", ";"], "--separator is of CSV; "),
    ("o.csv", ["--schema", "id: int64"], "--schema is of CSV, JSON lines; "),
    ("-", [], "--out-format NAME"),
])
def test_options_that_do_nothing_are_refused(tenon, table, tmp_path, out, words, says):
    target = out if out == "-" else tmp_path / out
    assert says in tenon.fails("data", "convert", table, target, *words)
    assert not (tmp_path / out).exists()


def test_writing_options_without_a_place_to_write(tenon, table, tmp_path):
    assert "--codec is of writing" in tenon.fails("data", "scan", table, "--codec", "zstd")
    assert "--codec is of Parquet, Arrow" in tenon.fails("data", "scan", table, "--as", "csv", "--codec", "zstd")
    tenon("data", "scan", table, "--out", tmp_path / "o.parquet", "--codec", "snappy")


def test_numbers_of_partitions(tenon, table, tmp_path):
    for words in (["--partition-rows", 0], ["--partition-rows", -1], ["--open-max", 0]):
        assert "want a positive number" in tenon.fails("data", "convert", table, tmp_path / "o", *words, code=2)
    (tmp_path / "file").write_text("x")
    done = tenon("data", "convert", table, tmp_path / "file", "--partition-rows", 2, "-f", check=False)
    assert "is a file; a folder of parts was asked for" in done.stderr and "--force" not in done.stderr
    assert (tmp_path / "file").read_text() == "x"


def test_columns_of_one_name_in_json_lines(tenon, tmp_path):
    source = write_csv(tmp_path / "t.csv", "a,b,a\n1,2,3\n")
    assert 'several columns are named "a"' in tenon("data", "convert", source, tmp_path / "o.jsonl").stderr
    assert "named" not in tenon("data", "convert", source, tmp_path / "o.parquet").stderr


def test_names_with_commas_are_selected(tenon, tmp_path):
    source = write_csv(tmp_path / "t.csv", 'id,"price, USD"\n1,2\n')
    for words in (["scan", "-q", "-s"], ["scan", "-q", "--columns"], ["head", "--columns"]):
        got = tenon("data", words[0], *words[1:], '["price, USD"]', source).stdout.split()
        assert got == ["price,", "USD", "int64", "2"]


def test_a_failure_shows_no_table(tenon, tmp_path):
    source = write_csv(tmp_path / "t.csv", "a\nx\n")
    for command in ("head", "scan"):
        done = tenon("data", command, source, "--schema", "a: int64", check=False)
        assert done.returncode == 1 and done.stdout == "" and '"x" is no int64' in done.stderr


def test_words_of_head(tenon, table):
    assert "--rows wants a number from 0 on" in tenon.fails("data", "head", "-n", -1, table, code=2)
    assert len(tenon("data", "head", "-n1", table).stdout.splitlines()) == 3
    assert "no option '-z1'" in tenon.fails("data", "head", "-z1", table, code=2)
    assert 'no column "ids" among 3: id, s, l' in tenon.fails("data", "head", table, "--columns", "ids")
    assert "--format NAME" in tenon.fails("data", "head", "-", stdin=table.open("rb"))
    assert "--separator is of CSV" in tenon.fails("data", "head", table, "--separator", ";")


@pytest.mark.parametrize("words", [["head", "-n", "100000"], ["scan"], ["scan", "--as", "csv"],
                                   ["convert", "--quiet", "--out-format", "csv"]])
def test_a_pipe_that_nobody_reads(tenon, tmp_path, words):
    pq.write_table(pa.table({"id": range(100_000)}), tmp_path / "t.parquet")
    end = ["-"] if words[0] == "convert" else []
    child = subprocess.Popen([str(tenon.path), "data", *words, str(tmp_path / "t.parquet"), *end],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read()
    assert child.wait(timeout=60) == 141 and "error" not in said, said


# ---- damaged values, many folders -----------------------------------------------------------------------
def test_a_value_that_does_not_fit_names_its_file(tenon, tmp_path):
    """A decimal128(5, 2) whose bytes say more than five digits: found when it is written."""
    column = pa.Array.from_buffers(pa.decimal128(5, 2), 1, [None, pa.py_buffer((10**30).to_bytes(16, "little"))])
    with pa.ipc.new_file(tmp_path / "in.arrow", pa.schema({"d": column.type})) as out:
        out.write_batch(pa.record_batch({"d": column}))
    said = tenon.fails("data", "convert", tmp_path / "in.arrow", tmp_path / "o.parquet")
    assert "in.arrow: " in said and 'column "d"' in said


def test_stop_among_many_folders(tenon, tmp_path):
    """One batch of 40,000 values is 40,000 files: the second Ctrl-C must not be needed."""
    pq.write_table(pa.table({"k": range(40_000), "v": range(40_000)}), tmp_path / "t.parquet")
    child = subprocess.Popen([str(tenon.path), "data", "convert", str(tmp_path / "t.parquet"), str(tmp_path / "out"),
                              "--partition-by", "k"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not any(tmp_path.glob(".out.part-*/k=5*")) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    made = sum(1 for _ in tmp_path.glob(".out.part-*/*"))
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130 and 0 < made < 20_000, said
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"], said


@pytest.mark.parametrize("words", [["convert", "in.jsonl", "out.parquet"], ["scan", "in.jsonl", "--count"],
                                   ["convert", "in.csv", "out.parquet", "--infer-all"], ["head", "in.jsonl"]])
def test_stop_while_types_are_found(tenon, tmp_path, words):
    name = words[1]
    line = '{"a": 1, "b": "some text that is no number"}\n' if name.endswith("jsonl") else "1,some text\n"
    (tmp_path / name).write_text(("" if name.endswith("jsonl") else "a,b\n") + line * 2_000_000)
    child = subprocess.Popen([str(tenon.path), "data", *words, "--threads", "1"], cwd=tmp_path,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    def listens():  # to SIGINT; and the child is no longer a Python that is about to become tenon
        status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
        return status.startswith("Name:\ttenon") and int(re.search(r"SigCgt:\t(\w+)", status)[1], 16) & 2

    while not listens():
        time.sleep(0.001)
    time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    if child.returncode == 0 or "100%" in said:
        pytest.skip("it was faster than the signal")
    assert child.returncode == 130 and ("interrupted" in said or "stopped" in said), said
    assert not (tmp_path / "out.parquet").exists()


# ---- errors that say what to do ---------------------------------------------------------------------------

def test_a_missing_folder_is_named(tenon, table, tmp_path):
    assert f"the folder {tmp_path}/no/such does not exist" in tenon.fails(
        "data", "convert", table, tmp_path / "no" / "such" / "out.arrow")


def test_types_that_differ_are_both_named(tenon, table, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"id": [1], "s": ["x"], "l": pa.array([[1.5]], pa.list_(pa.float64()))}), other)
    said = tenon.fails("data", "convert", table, other, tmp_path / "out.parquet")
    assert f'{other}: column "l" is list<element: double>, in {table} it is list<element: int64>' in said
    for name, kind in (("plain", pa.int64()), ("packed", pa.dictionary(pa.int8(), pa.int64()))):
        with pa.ipc.new_file(tmp_path / f"{name}.arrow", pa.schema({"i": kind})) as out:
            out.write_table(pa.table({"i": pa.array([7], kind)}))
    said = tenon.fails("data", "convert", tmp_path / "plain.arrow", tmp_path / "packed.arrow", tmp_path / "out.arrow")
    assert '"i" is dictionary<values=int64, indices=int8>, in ' in said and said.rstrip().endswith("it is int64")
