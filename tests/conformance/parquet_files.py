# SPDX-License-Identifier: Apache-2.0
"""Every .parquet below a folder: read with the right values, or refused, by rules and not by names of files.

    below a folder "bad..."          refused, unless pyarrow reads it: then the values must be the same
    "corrupt-checksum" in the name   refused, as a checksum mismatch
    "malformed" in the name          either; when it is read, with pyarrow's values
    X_expect.csv beside X.parquet    the values are those
    INT96 and a list of microseconds in X.md   the values are those
    below a folder "...fuzz..."      either, but no crash and no hang
    every other                      the values are those of pyarrow; where that fails, of arro3 or DuckDB

What is read is also written by us, to Parquet and to an Arrow file, and pyarrow must read the same values
from both.
"""
import csv
import pathlib
import re
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq

import tenon
from files import below
from values import REFUSALS, difference, plain_column

HEAVY_BYTES = 512 << 20


class Skip(Exception):
    pass


def ours(path):
    return pa.table(tenon.open(path, format="parquet"))


def is_fuzz(path):
    """A file without extension among the fuzzers' finds."""
    return "fuzz" in path.parent.name and path.parent.parent.name == "parquet" and path.suffix != ".md"


def metadata(path):
    try:
        return pq.read_metadata(path)
    except Exception:
        return None


def uncompressed_bytes(path):
    data = metadata(path)
    return 0 if data is None else sum(data.row_group(g).total_byte_size for g in range(data.num_row_groups))


def by_pyarrow(path):
    return pq.ParquetFile(path, page_checksum_verification=True).read()


def by_others(path):
    import arro3.io
    import duckdb
    try:
        return pa.table(arro3.io.read_parquet(path))
    except BaseException:  # arro3 panics on some files
        return duckdb.sql(f"select * from '{path}'").to_arrow_table()


def is_refused(path):
    try:
        table = ours(path)
    except REFUSALS as error:
        return None if str(error) and "memory" not in str(error) else f"refused with {error!r}"
    return f"was read: {table.num_rows} rows"


def int96_columns(path):
    data = metadata(path)
    return [] if data is None else [data.schema.column(c).name for c in range(data.num_columns)
                                    if data.schema.column(c).physical_type == "INT96"]


def int96_differs(path, mine, name):
    """INT96 in microseconds: as X.md beside the file lists them (a line of one number or null a row), else as
    pyarrow reads them, which wraps where a value goes further than 64 bits of nanoseconds."""
    notes = path.with_suffix(".md")
    lines = [line.split(",") for line in notes.read_text().splitlines()] if notes.exists() else []
    listed = [line for line in lines if len(line) == mine.num_rows and
              all(re.fullmatch(r"\s*(-?\d+|null)\s*", word) for word in line)]
    if listed:
        theirs = [None if word.strip() == "null" else int(word) for word in listed[0]]
    else:
        theirs = pq.ParquetFile(path, coerce_int96_timestamp_unit="us").read([name]).column(0).cast(
            pa.int64()).to_pylist()
    ours = [None if v is None else int(v * 10**6 // 1) for v in plain_column(mine[name])]
    return next((f"{name}[{row}]: {a} us instead of {b}" for row, (a, b) in enumerate(zip(ours, theirs))
                 if a != b), None)


def agrees(path):
    mine = ours(path)
    try:
        theirs = by_pyarrow(path)
    except Exception:
        theirs = by_others(path)
    for name in int96_columns(path):
        if name in mine.column_names:
            wrong = int96_differs(path, mine, name)
            if wrong:
                return wrong
    odd = [name for name in int96_columns(path) if name in theirs.column_names]
    return difference(mine.drop_columns(odd), theirs.drop_columns(odd)) or written_again(mine)


def written_again(table):
    """Words when pyarrow does not find the same values in what we write of the table."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = pathlib.Path(folder) / "again.parquet"
            tenon.write(path, table)
            wrong = difference(by_pyarrow(path), table)
            if wrong:
                return f"written to Parquet: {wrong}"
            path = pathlib.Path(folder) / "again.arrow"
            tenon.write(path, table)
            wrong = difference(pa.ipc.open_file(path).read_all(), table)
            return f"written to Arrow: {wrong}" if wrong else None
        except REFUSALS as error:
            return f"could not be written: {error}"


def expected_values(path, expect):
    """X_expect.csv: text beside our values; an empty cell is null or empty."""
    with open(expect, newline="") as file:
        rows = list(csv.reader(file))
    mine = ours(path)
    names = [name.strip() for name in rows[0]]
    if [name.strip().rstrip(":") for name in mine.column_names] != names:
        return f"columns {mine.column_names} instead of {names}"
    if mine.num_rows != len(rows) - 1:
        return f"{mine.num_rows} rows instead of {len(rows) - 1}"
    for at, name in enumerate(names):
        for row, value in enumerate(plain_column(mine.column(at))):
            text = rows[row + 1][at] if at < len(rows[row + 1]) else ""
            shown = "" if value is None else value.decode() if isinstance(value, bytes) else str(value)
            if shown != text:
                return f"{name}[{row}]: {shown!r} instead of {text!r}"
    return agrees(path)


def check(path, folders):
    if any(folder.startswith("bad") for folder in folders):
        try:
            theirs = by_pyarrow(path)
        except Exception:
            return is_refused(path)
        return difference(ours(path), theirs)
    if "corrupt-checksum" in path.name:
        try:
            return f"was read: {ours(path).num_rows} rows"
        except REFUSALS as error:
            return None if "checksum" in str(error) or "CRC" in str(error) else f"refused with {error!r}"
    if "malformed" in path.name or any("fuzz" in folder for folder in folders):
        try:
            mine = ours(path)
        except REFUSALS:
            return None
        if any("fuzz" in folder for folder in folders):
            return None
        return difference(mine, by_pyarrow(path))
    expect = path.with_name(path.stem + "_expect.csv")
    return expected_values(path, expect) if expect.exists() else agrees(path)


def check_heavy(path):
    """Too large for Python objects: rows and the bytes of every text, batch by batch, against pyarrow."""
    def sums(batches):
        rows = size = 0
        for batch in batches:
            rows += batch.num_rows
            size += batch.nbytes
        return rows, size // (1 << 20)
    mine = sums(pa.RecordBatchReader.from_stream(tenon.open(path, batch_rows=1)))
    theirs = sums(pq.ParquetFile(path).iter_batches(batch_size=1))
    return None if mine == theirs else f"(rows, MiB) {mine} instead of {theirs}"


def cases(root, heavy=False):
    """Yields (kind, name, check); check() returns None or what is wrong, or raises Skip."""
    for path in below(root, lambda p: p.suffix == ".parquet" or is_fuzz(p)):
        folders = path.relative_to(root).parts[:-1]
        if "shredded_variant" in folders:
            continue  # its own rules
        kind = "parquet, refused" if any(f.startswith("bad") for f in folders) or \
            "corrupt-checksum" in path.name else \
            "parquet, fuzz" if any("fuzz" in f for f in folders) else "parquet"

        def one(path=path, folders=folders, kind=kind):
            if kind == "parquet" and uncompressed_bytes(path) > HEAVY_BYTES:
                if not heavy:
                    raise Skip("over 512 MiB of values: --heavy reads it")
                return check_heavy(path)
            return check(path, folders)
        yield kind, str(path.relative_to(root)), one
