# SPDX-License-Identifier: Apache-2.0
"""`tenon data` and the Python module: formats into each other, folders, partitions, interruptions, what is shown."""
import gzip
import json
import pathlib
import random
import signal
import subprocess
import sys
import time
import xml.dom.minidom

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/conformance"), str(ROOT / "python")]

import tenon as library  # noqa: E402
from values import difference  # noqa: E402


def small_table(rows=500, seed=1):
    rng = random.Random(seed)
    return pa.table({
        "id": pa.array(range(rows), pa.int64()),
        "land": [rng.choice(["DE", "FR", "a/b c", None]) for _ in range(rows)],
        "price": [None if rng.random() < 0.1 else rng.randrange(10**6) / 100 for _ in range(rows)],
        "ok": [rng.random() < 0.5 for _ in range(rows)],
        "text": [rng.choice(["", "x,y", 'say "x"', "two\nlines", "größe"]) for _ in range(rows)],
    })


def read_any(path):
    name = path.name
    if ".parquet" in name:
        return pq.read_table(path)
    if ".arrows" in name:
        return pa.ipc.open_stream(pa.OSFile(str(path))).read_all()
    if ".arrow" in name:
        return pa.ipc.open_file(pa.OSFile(str(path))).read_all()
    return pa.table(library.open(path))


FORMS = ["t.csv", "t.tsv", "t.jsonl", "t.parquet", "t.arrow", "t.arrows", "t.feather", "t.jsonl.gz",
         "t.csv.gz", "t.csv.zst", "t.ndjson.zst"]


@pytest.mark.parametrize("form", FORMS)
def test_every_format_and_back(tenon, tmp_path, form):
    table = small_table()
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False)
    out = tmp_path / form
    tenon("data", "convert", tmp_path / "in.parquet", out)
    tenon("data", "convert", out, tmp_path / "back.parquet")
    assert not difference(pq.read_table(tmp_path / "back.parquet"), table)
    if not any(part in form for part in (".csv", ".tsv", "json", "feather")):
        assert not difference(read_any(out), table)
    if form.endswith(".gz"):
        assert gzip.open(out).read()


def test_many_inputs(tenon, tmp_path):
    whole = small_table()
    for index in range(5):
        pq.write_table(whole.slice(index * 100, 100), tmp_path / f"part-{index}.parquet", store_schema=False)
    for words in ([tmp_path / f"part-{i}.parquet" for i in range(5)], [f"{tmp_path}/part-?.parquet"],
                  [tmp_path]):
        out = tmp_path.parent / "whole.arrow"
        done = tenon.json("data", "convert", *words, out)
        assert (done["rows"], done["files_in"]) == (500, 5)
        assert not difference(read_any(out), whole)
    assert "nothing matches" in tenon.fails("data", "convert", f"{tmp_path}/*.csv", tmp_path / "o.csv")
    assert "No such file" in tenon.fails("data", "convert", tmp_path / "no.csv", tmp_path / "o.csv")
    pq.write_table(pa.table({"id": ["x"]}), tmp_path / "part-9.parquet")
    assert "part-9" in tenon.fails("data", "convert", f"{tmp_path}/*.parquet", tmp_path / "o.csv")


def test_types_over_many_text_files(tenon, tmp_path):
    (tmp_path / "a.csv").write_text("id,x,d\n1,1,2024-01-01\n")
    (tmp_path / "b.csv").write_text("id,x,d\n2,1.5,no date\n")
    (tmp_path / "c.csv").write_text("id,x,d\n3,,\n")
    tenon("data", "convert", f"{tmp_path}/*.csv", tmp_path / "out.parquet")
    got = pq.read_table(tmp_path / "out.parquet")
    assert [str(f.type) for f in got.schema] == ["int64", "double", "string"]
    assert got.to_pydict() == {"id": [1, 2, 3], "x": [1, 1.5, None], "d": ["2024-01-01", "no date", None]}


def test_a_wider_type_far_behind_the_sample(tenon, tmp_path):
    """The sample says int64; the file is read again with the types of all rows, and nothing is lost."""
    with open(tmp_path / "in.csv", "w") as out:
        out.write("a,b\n")
        for row in range(1_200_000):
            out.write(f"{row},{row % 10}\n")
        out.write("x,1.5\n")
    done = tenon("data", "convert", tmp_path / "in.csv", tmp_path / "out.parquet")
    got = pq.read_table(tmp_path / "out.parquet")
    assert got.num_rows == 1_200_001 and [str(f.type) for f in got.schema] == ["string", "double"], done.stderr
    assert got.slice(1_199_999).to_pydict() == {"a": ["1199999", "x"], "b": [9, 1.5]}


def test_bad_rows_to_a_file(tenon, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,2\nx,3\n4\n5,6\n")
    words = ["data", "convert", tmp_path / "in.csv", tmp_path / "out.parquet", "--schema", "a: int64, b: int64"]
    assert "line 3" in tenon.fails(*words)
    done = tenon.json(*words, "--on-error", "skip", "--errors", tmp_path / "bad.jsonl")
    assert (done["rows"], done["rows_skipped"]) == (2, 2)
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {"a": [1, 5], "b": [2, 6]}
    bad = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [row["line"] for row in bad] == [3, 4] and bad[0]["column"] == "a" and bad[1]["row"] == "4"
    done = tenon.json(*words, "--on-error", "null")
    assert (done["rows"], done["rows_skipped"], done["values_nulled"]) == (4, 0, 2)


def test_partition_by_rows_and_by_value(tenon, tmp_path):
    table = small_table()
    pq.write_table(table, tmp_path / "in.parquet", store_schema=False)
    done = tenon.json("data", "convert", tmp_path / "in.parquet", tmp_path / "rows", "--partition-rows", 120)
    assert done["files_out"] == 5
    parts = [pq.read_table(path) for path in sorted((tmp_path / "rows").iterdir())]
    assert [part.num_rows for part in parts] == [120] * 4 + [20]
    assert not difference(pa.concat_tables(parts), table)

    tenon("data", "convert", tmp_path / "in.parquet", tmp_path / "by/", "--partition-by", "land,ok",
          "--open-max", 3)
    found = pa.dataset.dataset(tmp_path / "by", partitioning="hive").to_table().sort_by("id")
    got = found.select(["id", "price", "text"])
    assert not difference(got, table.select(["id", "price", "text"]))
    assert found["land"].to_pylist() == table["land"].to_pylist()
    assert [str(value).lower() for value in found["ok"].to_pylist()] == \
        [str(value).lower() for value in table["ok"].to_pylist()]
    tenon("data", "convert", tmp_path / "by", tmp_path / "back.arrow")
    back = read_any(tmp_path / "back.arrow").sort_by("id").select(["id", "price", "text", "land"])
    assert not difference(back, table.select(["id", "price", "text", "land"]))
    duck = duckdb.sql(f"select id, land from read_parquet('{tmp_path}/by/**/*.parquet', "
                      "hive_partitioning=true) order by id").fetchall()
    assert [land for _, land in duck] == table["land"].to_pylist()


def test_a_folder_is_replaced_only_when_told(tenon, tmp_path):
    pq.write_table(small_table(), tmp_path / "in.parquet", store_schema=False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("precious")
    words = ["data", "convert", tmp_path / "in.parquet", tmp_path / "out", "--partition-rows", 100]
    assert "not empty" in tenon.fails(*words)
    assert "out/mine.txt is no part of a table" in tenon.fails(*words, "--force")
    assert (tmp_path / "out/mine.txt").read_text() == "precious"
    (tmp_path / "out/mine.txt").unlink()
    (tmp_path / "out/sub").mkdir()
    assert "out/sub is no part of a table" in tenon.fails(*words, "--force")
    (tmp_path / "out/sub").rmdir()
    (tmp_path / "out/land=DE").mkdir()
    (tmp_path / "out/land=DE/part-0.parquet").write_text("old")
    tenon(*words, "--force")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"part-0000{i}.parquet" for i in range(5)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.parquet", "out"]


def test_an_input_is_never_the_output(tenon, tmp_path):
    pq.write_table(small_table(), tmp_path / "in.parquet")
    before = (tmp_path / "in.parquet").read_bytes()
    (tmp_path / "link.parquet").symlink_to("in.parquet")
    assert "is an input" in tenon.fails("data", "convert", tmp_path / "in.parquet", tmp_path / "link.parquet")
    assert (tmp_path / "in.parquet").read_bytes() == before


def large_csv(path, rows=400_000):
    with open(path, "w") as out:
        out.write("id,name,value\n")
        for row in range(rows):
            out.write(f"{row},name {row % 977},{row * 0.5}\n")


@pytest.mark.parametrize("words", [["out.parquet"], ["out", "--partition-rows", "1000"],
                                   ["out", "--partition-by", "name"], ["out.csv.gz"]])
def test_ctrl_c_leaves_nothing(tenon, tmp_path, words):
    large_csv(tmp_path / "in.csv")
    child = subprocess.Popen([str(tenon.path), "data", "convert", str(tmp_path / "in.csv"),
                              str(tmp_path / words[0]), *words[1:], "--threads", "1"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    if child.returncode == 0:
        pytest.skip("it was faster than the signal")
    assert child.returncode == 130, said
    assert [p.name for p in tmp_path.iterdir()] == ["in.csv"], said


def test_kill_leaves_nothing_under_the_name(tenon, tmp_path):
    large_csv(tmp_path / "in.csv")
    (tmp_path / "out.parquet").write_text("the old one")
    for delay in (0.01, 0.05, 0.1):
        child = subprocess.Popen([str(tenon.path), "data", "convert", "-q", str(tmp_path / "in.csv"),
                                  str(tmp_path / "out.parquet"), "--threads", "1"], stdout=subprocess.DEVNULL)
        time.sleep(delay)
        child.kill()
        if child.wait() == 0:
            break
        assert (tmp_path / "out.parquet").read_text() == "the old one"


def test_nested_values_are_shown(tenon, tmp_path):
    rows = [{"id": 1, "tags": ["a", "b"], "at": {"x": 1.5, "y": None}}, {"id": 2, "tags": [], "at": None}]
    (tmp_path / "n.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    shown = tenon.json("data", "head", tmp_path / "n.jsonl")
    assert shown["rows"] == rows
    assert {c["name"]: c["type"] for c in shown["columns"]} == {
        "id": "int64", "tags": "list<item: string>", "at": "struct<x: double, y: null>"}
    text = tenon("data", "head", tmp_path / "n.jsonl").stdout
    assert '["a","b"]' in text and '{"x":1.5,"y":null}' in text
    seen = tenon.json("data", "inspect", tmp_path / "n.jsonl")
    assert seen["rows"] == 2 and seen["columns"][2]["children"][0]["name"] == "x"
    assert seen["columns"][2]["nulls"] == 1
    assert "x" in tenon("data", "inspect", tmp_path / "n.jsonl").stdout


def test_the_plot_is_an_svg(tenon, tmp_path):
    table = small_table(3000)
    pa.csv.write_csv(table, tmp_path / "a.csv")
    pq.write_table(table, tmp_path / "a.parquet")
    done = tenon.json("data", "bench", tmp_path / "a.csv", tmp_path / "a.parquet", "--column", "price",
                      "--rounds", 2, "--plot", tmp_path / "b.svg")
    assert done["rows"] == 3000 and done["one_column"][1]["bytes_ratio"] > 1
    drawn = xml.dom.minidom.parse(str(tmp_path / "b.svg"))
    assert len(drawn.getElementsByTagName("rect")) == 1 + 2 * 4
    assert "in .svg" in tenon.fails("data", "bench", tmp_path / "a.csv", "--plot", tmp_path / "b.png", code=2)
    # said before anything is measured
    error = tenon.fails("data", "bench", tmp_path / "a.csv", "--plot", tmp_path / "no" / "b.svg")
    assert str(tmp_path / "no") in error and "bytes read" not in error


# ---- Python ---------------------------------------------------------------------------------------------
def test_python_reads_and_writes(tmp_path):
    table = small_table()
    library.write(tmp_path / "t.parquet", table, codec="snappy", row_group_rows=100)
    meta = pq.read_metadata(tmp_path / "t.parquet")
    assert meta.num_row_groups == 5 and meta.row_group(0).column(0).compression == "SNAPPY"
    opened = library.open(tmp_path / "t.parquet", columns=["text", "id"])
    assert pa.schema(opened).names == ["text", "id"]
    assert not difference(pa.table(opened), table.select(["text", "id"]))
    assert duckdb.sql("select count(*), sum(id) from opened").fetchall() == [(500, 499 * 250)]
    file = library.ParquetFile(tmp_path / "t.parquet")
    reader = pa.RecordBatchReader.from_stream(file)
    assert len(file) == 500
    del file
    assert not difference(reader.read_all(), table)


def test_python_errors(tmp_path):
    with pytest.raises(library.Error, match="No such file") as failed:
        library.open(tmp_path / "none.csv")
    assert failed.value.status == "not found"
    library.write(tmp_path / "t.csv", small_table())
    with pytest.raises(library.Error, match="no option 'sep'"):
        library.open(tmp_path / "t.csv", sep=";")
    with pytest.raises(library.Error, match="codec"):
        library.write(tmp_path / "t.parquet", small_table(), codec="zip")
    assert not (tmp_path / "t.parquet").exists()
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(Exception, match="line 3"):
        pa.table(library.open(tmp_path / "bad.csv", header="yes"))


def test_python_names_every_option(tmp_path):
    assert {"columns", "schema", "separator", "threads"} <= set(library.read_options())
    assert {"codec", "level", "row_group_rows"} <= set(library.write_options())


def test_a_stream_that_is_not_taken_is_freed(tmp_path):
    library.write(tmp_path / "t.csv", small_table())
    opened = library.open(tmp_path / "t.csv")
    for _ in range(2000):  # more than a process may have files open
        opened.__arrow_c_stream__()
        opened.__arrow_c_schema__()
