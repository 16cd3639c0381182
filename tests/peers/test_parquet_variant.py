# SPDX-License-Identifier: Apache-2.0
"""Variant and geospatial columns against DuckDB and pyarrow, and against the cases of parquet-testing."""
import json
import math
import pathlib
import random
import re
import struct
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import TESTDATA

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

import tenon as tn  # noqa: E402

REFUSED = (tn.Error, OSError, pa.ArrowException)  # by name, or inside a stream that pyarrow reads

VARIANT = {"ARROW:extension:name": "arrow.parquet.variant", "ARROW:extension:metadata": ""}
STORAGE = pa.struct([pa.field("metadata", pa.binary(), False), pa.field("value", pa.binary(), False)])


def read(path, **options):
    return pa.table(tn.open(path, **options))


# ---- values --------------------------------------------------------------------------------------

def random_json(rng, depth=0):
    kind = rng.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return None
    if kind == 1:
        return rng.random() < 0.5
    if kind == 2:
        return rng.randrange(-10**rng.randrange(1, 16), 10**rng.randrange(1, 16))
    if kind == 3:
        return round(rng.uniform(-1e6, 1e6), 3)
    if kind == 4:
        return "".join(rng.choice("ab\u00e9\U0001f600 ") for _ in range(rng.randrange(90)))
    if kind == 5:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(5))]
    return {rng.choice("abcdefgh"): random_json(rng, depth + 1) for _ in range(rng.randrange(5))}


@pytest.mark.parametrize("seed", range(4))
def test_duckdb_writes_we_read(tmp_path, seed):
    """DuckDB shreds what it writes; what comes out is the value that went in."""
    rng = random.Random(seed)
    rows = [random_json(rng) for _ in range(400)]
    if seed % 2:  # much alike: shredded deeply
        rows = [{"id": i, "tags": [f"t{i % 7}"], "at": {"x": i / 4}} for i in range(400)] + rows[:5]
    source, path = tmp_path / "t.json", tmp_path / "t.parquet"
    source.write_text("\n".join(json.dumps({"v": row}) for row in rows))
    db = duckdb.connect()
    db.execute(f"COPY (SELECT (v::JSON)::VARIANT AS v FROM read_json('{source}', columns = {{v: 'JSON'}})) "
               f"TO '{path}' (FORMAT parquet)")
    got = [None if text is None else json.loads(text)
           for text in read(path, variant_json=True).column("v").to_pylist()]
    assert got == rows
    binary = read(path)
    assert binary.schema.field("v").type == STORAGE
    assert binary.schema.field("v").metadata[b"ARROW:extension:name"] == b"arrow.parquet.variant"


def test_we_write_duckdb_and_pyarrow_read(tmp_path):
    """{"a": 1, "b": [true]}, "hi", null, 42 by hand."""
    metadata = b"\x11\x03\x00\x01\x02\x03abc"
    values = [b"\x02\x02\x00\x01\x05\x00\x07\x03\x01\x00\x01\x04\x0c\x01", b"\x09hi", None, b"\x0c\x2a"]
    rows = [None if v is None else {"metadata": metadata, "value": v} for v in values]
    schema = pa.schema([pa.field("v", STORAGE, metadata=VARIANT)])
    table = pa.table([pa.array(rows, STORAGE)], schema=schema)
    path = tmp_path / "t.parquet"
    tn.write(path, table)
    assert "Variant(1)" in str(pq.ParquetFile(path).schema)
    assert pq.read_table(path).column("v").to_pylist() == rows
    assert duckdb.execute(f"SELECT v FROM '{path}'").fetchall() == [
        ({"a": 1, "b": [True]},), ("hi",), (None,), (42,)]
    assert read(path).equals(table)
    assert read(path, variant_json=True).column("v").to_pylist() == ['{"a":1,"b":[true]}', '"hi"', None, "42"]


def test_other_shapes_are_refused(tmp_path):
    field = pa.field("v", pa.struct([("metadata", pa.binary()), ("typed_value", pa.int64())]), metadata=VARIANT)
    with pytest.raises(REFUSED, match="struct<metadata: binary, value: binary>"):
        tn.write(tmp_path / "t.parquet", pa.table([pa.array([], field.type)], schema=pa.schema([field])))


# ---- parquet-testing -----------------------------------------------------------------------------

def folders(name):
    return sorted(p for p in pathlib.Path(TESTDATA).rglob(name) if p.is_dir())


def cases():
    return [(folder, case) for folder in folders("shredded_variant")
            for case in json.loads((folder / "cases.json").read_text()) if "parquet_file" in case]


@pytest.mark.parametrize("folder,case", cases(), ids=lambda c: c.get("case_number") if isinstance(c, dict) else "")
def test_shredded_cases(folder, case):
    """Byte for byte what the other implementation made of the same values."""
    path = folder / case["parquet_file"]
    if "error_message" in case:
        with pytest.raises(REFUSED):
            read(path)
        return
    files = case.get("variant_files") or [case["variant_file"]]
    rows = read(path).column("var").to_pylist()
    assert len(rows) == len(files)
    for row, file in zip(rows, files):
        want = None if file is None else (folder / file).read_bytes()
        assert (None if row is None else row["metadata"] + row["value"]) == want


def plain_stamp(text):
    return re.sub(r"[T ]", " ", text)


@pytest.mark.parametrize("folder", folders("variant"))
def test_plain_values(folder, tmp_path):
    """Each pair of the folder as one row of a column, against the JSON beside them."""
    text = (folder / "data_dictionary.json").read_text()
    expected = json.loads(re.sub(r",\s*}\s*$", "}", text))
    names = sorted(expected)
    rows = [{"metadata": (folder / f"{n}.metadata").read_bytes(), "value": (folder / f"{n}.value").read_bytes()}
            for n in names]
    path = tmp_path / "t.parquet"
    tn.write(path, pa.table([pa.array(rows, STORAGE)], schema=pa.schema([pa.field("v", STORAGE, metadata=VARIANT)])))
    got = dict(zip(names, map(json.loads, read(path, variant_json=True).column("v").to_pylist())))
    special = {"primitive_float": lambda v: v == pytest.approx(1234567940.0, rel=1e-6),
               "primitive_time": lambda v: v == "12:33:54.123456",
               "primitive_timestamp": lambda v: v == "2025-04-16T16:34:56.780000Z",
               "primitive_timestamp_nanos": lambda v: v == "2024-11-07T12:33:54.123456789Z",
               "primitive_timestampntz": lambda v: v == "2025-04-16T12:34:56.780000",
               "object_primitive": lambda v: plain_stamp(v.pop("timestamp_field")).startswith("2025-04-16 12:34:56.78")}
    for name in names:
        if name in special:
            assert special[name](got[name]), (name, got[name])
        if name == "object_primitive":
            expected[name].pop("timestamp_field")
        if name not in special or name == "object_primitive":
            assert got[name] == expected[name], name


# ---- geospatial ----------------------------------------------------------------------------------

def wkt(wkb):
    """The text of a little-endian point, as far as these tests go."""
    order, kind, x, y = struct.unpack("<BIdd", wkb[:21])
    assert (order, kind) == (1, 1)
    return f"POINT ({x:g} {y:g})"


@pytest.mark.parametrize("crs,edges,logical", [
    (None, None, "Geometry(crs=srid:0)"),
    ("OGC:CRS84", None, "Geometry(crs=)"),
    ("EPSG:4326", None, "Geometry(crs=EPSG:4326)"),
    ("OGC:CRS84", "karney", "Geography(crs=, algorithm=karney)"),
])
def test_geometry_is_written(tmp_path, crs, edges, logical):
    extension = {k: v for k, v in {"crs": crs, "edges": edges}.items() if v}
    field = pa.field("g", pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb",
                                                 "ARROW:extension:metadata": json.dumps(extension)})
    points = [struct.pack("<BIdd", 1, 1, 3.0, 4.0), None, struct.pack("<BIdd", 1, 1, math.pi, -1.0)]
    path = tmp_path / "t.parquet"
    tn.write(path, pa.table([pa.array(points, pa.binary())], schema=pa.schema([field])))
    file = pq.ParquetFile(path)
    assert str(file.schema.column(0).logical_type) == logical
    assert not file.metadata.row_group(0).column(0).statistics.has_min_max
    got = read(path)
    assert got.column("g").to_pylist() == points
    assert got.schema.field("g").metadata[b"ARROW:extension:name"] == b"geoarrow.wkb"


@pytest.mark.parametrize("path", [p for f in folders("geospatial") for p in f.glob("geospatial*.parquet")],
                         ids=lambda p: p.name)
def test_geospatial_statistics(path, tenon):
    shown = tenon.json("data", "inspect", path)["row_groups"]
    for group, meta in zip(shown, (pq.ParquetFile(path).metadata.row_group(i) for i in range(len(shown)))):
        want = meta.column(meta.num_columns - 1).geo_statistics
        text = group["chunks"][-1].get("geospatial", "")
        if want is None or want.xmin is None:
            assert "x " not in text
            continue
        assert text.startswith(f"x {want.xmin:g} to {want.xmax:g}, y {want.ymin:g} to {want.ymax:g}")
        assert ("z " in text.split(";")[0]) == (want.zmin is not None)
        assert text.count(",") + 1 >= len(want.geospatial_types) or text.endswith("...")


@pytest.mark.parametrize("path", [p for f in folders("geospatial") for p in sorted(f.glob("*.parquet"))],
                         ids=lambda p: p.name)
def test_geospatial_files(path):
    got, want = read(path), pq.read_table(path)
    for name in want.column_names:
        assert got.column(name).to_pylist() == want.column(name).to_pylist()
    column = "geography" if "geography" in got.column_names else "geometry"
    extension = got.schema.field(column).metadata
    assert extension[b"ARROW:extension:name"] == b"geoarrow.wkb"
    crs = json.loads(extension[b"ARROW:extension:metadata"])
    if path.name == "crs-srid.parquet":
        assert crs == {"crs": "5070", "crs_type": "srid"}
    if path.name == "crs-projjson.parquet":
        # The file also keeps an Arrow schema, where its writer left the reference as it was.
        assert crs == {"crs": "projjson:projjson_epsg_5070"}
    if path.name == "crs-default.parquet":
        assert crs == {"crs": "OGC:CRS84", "crs_type": "authority_code"}
    if "wkt" in got.column_names and column == "geometry":
        for text, wkb in zip(got.column("wkt").to_pylist(), got.column(column).to_pylist()):
            if text and re.match(r"POINT \(\d", text):
                assert wkt(wkb) == text
