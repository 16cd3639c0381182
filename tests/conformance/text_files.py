# SPDX-License-Identifier: Apache-2.0
"""CSV and JSON files that others made.

    csv/**/csvs/X.csv with json/X.json   the rows are those objects, every value as its text
    json/**/{y,n,i}_*.json               as the value of a JSON line: y_ must be read, n_ refused, i_ either
    below a folder "...fuzz..."          .csv: either, but no crash and no hang
"""
import csv
import io
import json
import pathlib
import tempfile

import pyarrow as pa

import tenon
from files import below
from values import REFUSALS


def shown(value):
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def expected_rows(path, expect):
    """The objects of the JSON file.  A value of theirs that the CSV does not hold anywhere is a slip of the
    pen: the cell as Python's csv module reads it stands instead."""
    rows = json.loads(expect.read_bytes())
    rows = [rows] if isinstance(rows, dict) else rows
    raw = path.read_bytes()
    cells = list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    for row, cell in zip(rows, cells):
        for key, value in row.items():
            if value.encode() not in raw and value.replace('"', '""').encode() not in raw:
                row[key] = cell[key]
    return rows


def check_csv(path, expect):
    table = pa.table(tenon.open(path))
    got = [{key: shown(value) for key, value in row.items()} for row in table.to_pylist()]
    want = expected_rows(path, expect)
    return None if got == want else f"{got!r:.150} instead of {want!r:.150}"


def check_json(path):
    with tempfile.TemporaryDirectory() as folder:
        line = pathlib.Path(folder) / "line.jsonl"
        line.write_bytes(b'{"value":' + path.read_bytes() + b'}\n')
        try:
            rows = pa.table(tenon.open(line)).num_rows
        except REFUSALS as error:
            return f"refused: {error}" if path.name.startswith("y_") else None
        if path.name.startswith("n_"):
            return f"was read: {rows} rows"
        return None if rows == 1 else f"{rows} rows instead of 1"


def check_fuzz(path):
    try:
        pa.table(tenon.open(path, format="csv"))
    except REFUSALS:
        pass


def cases(root, heavy=False):
    for path in below(root, lambda p: p.suffix == ".csv" and p.parent.name == "csvs"):
        expect = path.parent.parent / "json" / (path.stem + ".json")
        if expect.exists():
            yield "csv", str(path.relative_to(root)), lambda p=path, e=expect: check_csv(p, e)
    for path in below(root, lambda p: "fuzz" in p.parent.name and p.parent.parent.name == "csv"):
        yield "csv, fuzz", str(path.relative_to(root)), lambda p=path: check_fuzz(p)
    for path in below(root, lambda p: p.name[:2] in ("y_", "n_", "i_") and p.suffix == ".json"):
        yield "json", str(path.relative_to(root)), lambda p=path: check_json(p)
