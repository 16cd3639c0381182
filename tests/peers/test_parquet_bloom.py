# SPDX-License-Identifier: Apache-2.0
"""Bloom filters against DuckDB, both ways, and against a filter that parquet-mr made."""
import pathlib
import random
import struct
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

import tenon as tn  # noqa: E402



def filters(path):
    """duckdb's own account: which row groups may hold the value."""
    db = duckdb.connect()
    return lambda column, value: [row[0] for row in db.execute(
        f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', '{column}', {value})").fetchall()]


@pytest.fixture(scope="module")
def table():
    rng = random.Random(3)
    n = 30_000
    return pa.table({"i": pa.array([rng.randrange(1 << 40) * 2 for _ in range(n)], pa.int64()),
                     "n": pa.array([rng.randrange(1 << 20) * 2 for _ in range(n)], pa.int32()),
                     "x": pa.array([rng.randrange(1 << 30) / 2 for _ in range(n)], pa.float64()),
                     "s": pa.array([f"key {rng.randrange(1 << 30) * 2}" for _ in range(n)])})


def test_duckdb_probes_ours(table, tmp_path):
    path = tmp_path / "t.parquet"
    tn.write(path, table, bloom=table.column_names, row_group_rows=10_000)
    probe = filters(path)
    for column in table.column_names:
        values = table.column(column).to_pylist()
        literal = (lambda v: f"'{v}'") if column == "s" else {
            "i": lambda v: f"{v}::BIGINT", "n": lambda v: f"{v}::INTEGER", "x": lambda v: f"{v}::DOUBLE"}[column]
        for row in range(0, 30_000, 1499):
            assert probe(column, literal(values[row]))[row // 10_000] is False
        absent = [f"key {k}" if column == "s" else k for k in range(1, 801, 2)]
        if column == "x":
            absent = [k + 0.25 for k in absent]
        excluded = [e for v in absent for e in probe(column, literal(v))]
        assert len(excluded) == 3 * len(absent)
        assert sum(excluded) > 0.97 * len(excluded)


def test_we_probe_duckdbs(table, tmp_path, tenon):
    """A value that is not there costs no row group, though it lies between the bounds."""
    path = tmp_path / "t.parquet"
    db = duckdb.connect()
    db.register("t", table)
    db.execute(f"COPY (SELECT s FROM t UNION ALL SELECT s FROM t) TO '{path}' "
               "(FORMAT parquet, ROW_GROUP_SIZE 20000, DICTIONARY_SIZE_LIMIT 100000)")
    file = pq.ParquetFile(path)
    assert file.metadata.num_row_groups > 1
    for value, rows in ((table.column("s")[17].as_py(), 2), ("key 7", 0)):
        got = tenon("data", "scan", path, "--where", f's = "{value}"', "--select", "s", "--as", "csv").stdout
        assert got.count(value) == rows
    report = tenon.json("data", "scan", path, "--where", 's = "key 7"')
    assert report["row_groups_by_bloom"] == file.metadata.num_row_groups, report
