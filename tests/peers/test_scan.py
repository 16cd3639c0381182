# SPDX-License-Identifier: Apache-2.0
"""Predicates judged by DuckDB, and pruning judged by not pruning: the same rows with statistics, page index
and Bloom filters as without."""
import datetime
import decimal
import json
import random

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

EPOCH = datetime.datetime(2024, 1, 1)
WORDS = ["", "a", "apple", "apples", "banana", "Äpfel", "zebra", "it's", "100%", "x_y", "apple\u00e9" * 20]


def random_table(rng, rows, nan=False):
    """Columns that wander, so that row groups and pages differ, with nulls, some of them in runs."""
    def column(type_, make):
        values, nulls = [], rng.choice([0, 0.02, 0.5])
        for row in range(rows):
            values.append(None if rng.random() < nulls or (row // 50) % 7 == 3 and nulls else make(row))
        return pa.array(values, type_)

    def real(row):
        return float("nan") if nan and rng.random() < 0.1 else round(row / 100 + rng.random(), 3)

    return pa.table({
        "i": column(pa.int64(), lambda row: row // 10 * 7 - 500 + rng.randrange(20)),
        "k": column(pa.int32(), lambda row: rng.randrange(10) * 1000 + row // 200),
        "u": column(pa.uint64(), lambda row: rng.randrange(1 << 40) + (row << 50)),
        "f": column(pa.float64(), real),
        "e": column(pa.float32(), lambda row: row / 4),
        "s": column(pa.string(), lambda row: rng.choice(WORDS) + str(row // 100)),
        "t": column(pa.string(), lambda row: "%05d" % (row * 3)),
        "d": column(pa.date32(), lambda row: (EPOCH + datetime.timedelta(days=row // 5)).date()),
        "ts": column(pa.timestamp("us"), lambda row: EPOCH + datetime.timedelta(seconds=row * 61.5)),
        "b": column(pa.bool_(), lambda row: (row // 150) % 2 == 0),
        "dec": column(pa.decimal128(12, 2), lambda row: decimal.Decimal(row * 25 - 1000) / 100),
        "big": column(pa.decimal128(30, 4), lambda row: decimal.Decimal(row * 10**20 - 10**22) / 10000),
        "o": column(pa.struct([("x", pa.int32()), ("l", pa.list_(pa.int64()))]),
                    lambda row: {"x": None if row % 9 == 0 else row // 4, "l": [row, None]}),
    })


def literal(rng, table, name):
    """A value of the column, or one near it, as both languages write it."""
    value = rng.choice([v for v in table[name].to_pylist() if v is not None and v == v])
    if name in ("i", "k", "u"):
        return str(max(0, value + rng.choice([0, 0, 1, -3])) if name == "u" else value + rng.choice([0, 0, 1, -3]))
    if name in ("f", "e"):
        return repr(value)
    if name in ("dec", "big"):
        return str(value + rng.choice([0, decimal.Decimal("0.01")]))
    if name == "ts":
        return f"'{value.isoformat(sep=' ')}'"
    return "'" + str(value).replace("'", "''") + "'"


def condition(rng, table, depth=0):
    kind = rng.randrange(10 if depth < 3 else 7)
    name = rng.choice([c for c in table.column_names if c not in ("b", "o")])
    if kind <= 2:
        return f"{name} {rng.choice(['=', '<>', '<', '<=', '>', '>='])} {literal(rng, table, name)}"
    if kind == 3:
        return f"{name} {rng.choice(['', 'not '])}in ({', '.join(literal(rng, table, name) for _ in range(3))})"
    if kind == 4:
        return f"{name} {rng.choice(['', 'not '])}between {literal(rng, table, name)} and {literal(rng, table, name)}"
    if kind == 5:
        return f"{rng.choice(table.column_names)} is {rng.choice(['', 'not '])}null"
    if kind == 6:
        return rng.choice(["b", "not b", "s like 'apple%'", "s like '%a%1'", "s ilike 'A_%'", "i + k > 500",
                           "i < k", "f * 2 > e", "t like '00%'", "s not like '%e%'", "d < ts", "o.x < 100", "o.x is null", "o is null", "dec > f", "big < dec", "o.x in (3, 50, 51)"])
    if kind == 7:
        return f"not ({condition(rng, table, depth + 1)})"
    return f"({condition(rng, table, depth + 1)} {rng.choice(['and', 'or'])} {condition(rng, table, depth + 1)})"


def write_parquet(rng, table, path):
    bloom = rng.choice([None, {"s": {}, "k": {}, "t": {}, "i": {}}])
    pq.write_table(table, path, row_group_size=rng.choice([100, 333, 5000]), max_rows_per_page=rng.choice([20, 50]),
                   write_batch_size=10, write_page_index=rng.choice([True, True, False]),
                   use_dictionary=rng.choice([True, False]), bloom_filter_options=bloom,
                   data_page_version=rng.choice(["1.0", "2.0"]), store_decimal_as_integer=rng.choice([True, False]))


def write_arrow(table, path):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def rows_of(tenon, path, where, *more):
    done = tenon("data", "scan", path, "--where", where, "--as", "jsonl", "--select", "t,i,s", "-q", *more)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_duckdb_selects_the_same_rows(tenon, tmp_path):
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(4):
        rows = table = random_table(rng, rng.choice([300, 1000]))  # DuckDB finds `rows` by its name
        write_parquet(rng, table, tmp_path / "t.parquet")
        write_arrow(table, tmp_path / "t.arrow")
        for _ in range(25):
            where = condition(rng, table)
            expected = duckdb.sql(f"select t, i, s from rows where {where}").fetchall()
            for path in (tmp_path / "t.parquet", tmp_path / "t.arrow"):
                found = [(r["t"], r["i"], r["s"]) for r in rows_of(tenon, path, where)]
                assert found == expected, (path, where)


def test_pruning_changes_nothing(tenon, tmp_path):
    """NaN, which DuckDB orders and we do not; and every reason to leave something out."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    saved = 0
    for _ in range(6):
        table = random_table(rng, 1000, nan=True)
        write_parquet(rng, table, tmp_path / "t.parquet")
        write_arrow(table, tmp_path / "t.arrow")
        for _ in range(25):
            where = condition(rng, table)
            assert rows_of(tenon, tmp_path / "t.parquet", where) == rows_of(tenon, tmp_path / "t.arrow", where), where
            report = tenon.json("data", "scan", tmp_path / "t.parquet", "--where", where, "--count")
            saved += sum(report[f"bytes_by_{why}"] for why in ("statistics", "bloom", "index")) > 0
    assert saved > 20


@pytest.fixture
def sorted_file(tmp_path):
    table = pa.table({"id": range(100000), "word": ["w%d" % (i % 1000 * 2) for i in range(100000)],
                      "pad": [str(i) * 10 for i in range(100000)]})
    path = tmp_path / "sorted.parquet"
    pq.write_table(table, path, row_group_size=10000, max_rows_per_page=1000, write_batch_size=100,
                   write_page_index=True, bloom_filter_options={"word": {}}, use_dictionary=False)
    return path


def test_each_way_of_reading_less_is_counted(tenon, sorted_file):
    def report(where, *more):
        return tenon.json("data", "scan", sorted_file, "--where", where, *more)

    few = report("id between 25000 and 25010")
    assert [row["id"] for row in few["rows"]] == list(range(25000, 25011))
    assert few["row_groups"] == 10 and few["row_groups_by_statistics"] == 9
    assert few["pages_by_index"] == 3 * 9 and few["rows_evaluated"] == 1000
    assert few["bytes_read"] + few["bytes_never_read"] == few["bytes_file"]
    assert few["bytes_read"] < few["bytes_file"] / 20
    none = report("word = 'w7'", "--count")  # within the bounds, but odd ones are not there
    assert none["row_groups_by_bloom"] == 10 and none["rows_evaluated"] == 0 and none["rows_selected"] == 0
    assert report("word = 'w8'", "--count")["rows_selected"] == 100
    assert report("id < 0", "--count")["row_groups_by_statistics"] == 10
    one = report("id = 5", "--select", "id")
    assert one["rows"] == [{"id": 5}] and one["bytes_read"] < few["bytes_read"]


def test_outputs(tenon, sorted_file, tmp_path):
    where = ("--where", "id in (7, 50000)", "--select", "word,id")
    done = tenon("data", "scan", sorted_file, *where, "--as", "csv")
    assert done.stdout == "word,id\nw14,7\nw0,50000\n" and "never read" in done.stderr
    assert tenon("data", "scan", sorted_file, *where, "--as", "jsonl", "-q").stdout == \
        '{"word":"w14","id":7}\n{"word":"w0","id":50000}\n'
    assert tenon("data", "scan", sorted_file, *where, "--count", "-q").stdout == "2\n"
    assert "w14" in tenon("data", "scan", sorted_file, *where).stdout
    for suffix in ("parquet", "arrow", "csv", "jsonl"):
        out = tmp_path / f"out.{suffix}"
        tenon("data", "scan", sorted_file, *where, "--out", out)
        again = tenon.json("data", "scan", out)
        assert again["rows"] == [{"word": "w14", "id": 7}, {"word": "w0", "id": 50000}]
    assert len(tenon.json("data", "scan", sorted_file, "--limit", 3)["rows"]) == 3
    assert tenon.json("data", "scan", sorted_file, sorted_file, "--where", "id < 2", "--count")["rows_selected"] == 4


def test_mistakes(tenon, sorted_file):
    assert 'did you mean "id"?' in tenon.fails("data", "scan", sorted_file, "--where", "idd = 1")
    assert "numbers go without quotes" in tenon.fails("data", "scan", sorted_file, "--where", "id = '1'")
    assert "character 6" in tenon.fails("data", "scan", sorted_file, "--where", "id > and")
    assert "no column" in tenon.fails("data", "scan", sorted_file, "--select", "nothing")
    assert "--as wants" in tenon.fails("data", "scan", sorted_file, "--as", "xml", code=2)
    assert "--limit wants a number from 0 on" in tenon.fails("data", "scan", sorted_file, "--limit", -1, code=2)
    assert tenon("data", "scan", sorted_file, "--limit", 0, "--count", "-q").stdout == "0\n"


@pytest.mark.parametrize("format_", ["parquet", "csv", "jsonl", "arrow"])
def test_columns_of_the_path(tenon, tmp_path, format_):
    """Partitioned by land and year, judged by DuckDB over the whole table."""
    whole = pa.table({"id": range(2000), "land": [["DE", "FR", "a/b", None][i % 4] for i in range(2000)],
                      "year": [2020 + i % 3 for i in range(2000)], "s": [f"v{i % 50}" for i in range(2000)]})
    pq.write_table(whole, tmp_path / "t.parquet")
    tenon("data", "convert", tmp_path / "t.parquet", tmp_path / "by", "--partition-by", "land,year",
          "--out-format", format_)
    read = {}
    for where in ["land = 'DE' and id < 100", "land is null and year > 2020", "year in (2020, 2022) or s = 'v7'",
                  "not (land like 'a%') and id > 1900", "land = 'DE' or land = 'FR' and s = 'v1'", "year > 2030"]:
        done = tenon.json("data", "scan", tmp_path / "by", "--where", where, "--select", "year,id,land")
        got = sorted((r["id"], r["land"], r["year"]) for r in done["rows"])
        want = duckdb.sql(f"select id, land, year from whole where {where} order by id").fetchall()
        assert got == want, where
        read[where] = done["bytes_read"]
    if format_ == "parquet":
        assert read["land = 'DE' and id < 100"] < read["year in (2020, 2022) or s = 'v7'"]
    assert tenon("data", "head", tmp_path / "by", "--columns", "land", "-n1").stdout.split()[:2] == ["land", "string"]
    assert tenon("data", "scan", tmp_path / "by", "--count", "--quiet").stdout == "2000\n"


def test_several_text_files_are_one_table(tenon, tmp_path):
    (tmp_path / "a.csv").write_text("id,x\n1,1\n2,2\n")
    (tmp_path / "b.csv").write_text("x,id,y\n2.5,3,q\n")
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    done = tenon.json("data", "scan", *files, "--union-by-name", "--where", "x > 1")
    assert done["rows"] == [{"id": 2, "x": 2.0, "y": None}, {"id": 3, "x": 2.5, "y": "q"}]
    tenon("data", "convert", *files, tmp_path / "o.parquet", "--union-by-name")
    assert pq.read_table(tmp_path / "o.parquet").to_pydict() == {
        "id": [1, 2, 3], "x": [1.0, 2.0, 2.5], "y": [None, None, "q"]}
    shown = tenon.json("data", "head", *files, "--union-by-name", "--columns", "y,id")
    assert shown["rows"] == [{"y": None, "id": 1}, {"y": None, "id": 2}, {"y": "q", "id": 3}]
    assert "b.csv" in tenon.fails("data", "scan", *files)
    (tmp_path / "u" / "k=1").mkdir(parents=True)
    (tmp_path / "u" / "k=2").mkdir()
    (tmp_path / "a.csv").rename(tmp_path / "u/k=1/a.csv")
    (tmp_path / "b.csv").rename(tmp_path / "u/k=2/b.csv")
    done = tenon.json("data", "scan", tmp_path / "u", "--union-by-name", "--where", "k = 2 or id = 1")
    assert done["rows"] == [{"id": 1, "x": 1.0, "y": None, "k": 1}, {"id": 3, "x": 2.5, "y": "q", "k": 2}]
