# SPDX-License-Identifier: Apache-2.0
"""Variant values that others made, read as parquet-format's VariantEncoding.md says.

    cases.json with files beside it    each case's Parquet file holds the values of its .variant.bin files, or is
                                       refused where the case has an error_message; where notes leave it
                                       open, either
    data_dictionary.json               X.metadata and X.value, put into a Parquet file by us and read as JSON,
                                       are the value of X
"""
import base64
import datetime
import functools
import json
import math
import pathlib
import re
import struct
import tempfile
import uuid

import pyarrow as pa

import tenon
from files import below
from values import REFUSALS

NUMBERS = {3: "<b", 4: "<h", 5: "<i", 6: "<q", 7: "<d", 11: "<i", 12: "<q", 13: "<q", 14: "<f", 17: "<q",
           18: "<q", 19: "<q"}


def unsigned(data, at, size):
    return int.from_bytes(data[at:at + size], "little")


class Decoder:
    """A metadata's names; value() gives (type, value) of the bytes at a place, and where it ends."""

    def __init__(self, metadata):
        size = (metadata[0] >> 6) + 1
        count = unsigned(metadata, 1, size)
        offsets = [unsigned(metadata, 1 + size * (1 + i), size) for i in range(count + 1)]
        text = 1 + size * (count + 2)
        self.names = [metadata[text + a:text + b].decode() for a, b in zip(offsets, offsets[1:])]
        self.bytes = text + offsets[-1]

    def value(self, data, at=0):
        kind, rest = data[at] & 3, data[at] >> 2
        if kind == 0:
            return self.scalar(data, at + 1, rest)
        if kind == 1:
            return "string", bytes(data[at + 1:at + 1 + rest])
        return self.object(data, at + 1, rest) if kind == 2 else self.array(data, at + 1, rest)

    def scalar(self, data, at, type_):
        if type_ <= 2:
            return ("null", None) if type_ == 0 else ("bool", type_ == 1)
        if type_ in NUMBERS:
            form = NUMBERS[type_]
            raw = bytes(data[at:at + struct.calcsize(form)])
            return type_, raw  # exact, NaN too
        if type_ in (8, 9, 10):
            size = 4 << (type_ - 8)
            return type_, (data[at], int.from_bytes(data[at + 1:at + 1 + size], "little", signed=True))
        if type_ in (15, 16):
            size = unsigned(data, at, 4)
            return "binary" if type_ == 15 else "string", bytes(data[at + 4:at + 4 + size])
        assert type_ == 20, type_
        return "uuid", uuid.UUID(bytes=bytes(data[at:at + 16]))

    def object(self, data, at, rest):
        offset_size, id_size, wide = (rest & 3) + 1, (rest >> 2 & 3) + 1, 4 if rest >> 4 & 1 else 1
        count = unsigned(data, at, wide)
        ids, offsets = at + wide, at + wide + count * id_size
        values = offsets + (count + 1) * offset_size
        return "object", {self.names[unsigned(data, ids + i * id_size, id_size)]:
                          self.value(data, values + unsigned(data, offsets + i * offset_size, offset_size))
                          for i in range(count)}

    def array(self, data, at, rest):
        offset_size, wide = (rest & 3) + 1, 4 if rest >> 2 & 1 else 1
        count = unsigned(data, at, wide)
        offsets = at + wide
        values = offsets + (count + 1) * offset_size
        return "array", [self.value(data, values + unsigned(data, offsets + i * offset_size, offset_size))
                         for i in range(count)]


def decoded(metadata, value):
    return Decoder(metadata).value(value)


def of_bin(path):
    data = path.read_bytes()
    decoder = Decoder(data)
    return decoder.value(data, decoder.bytes)


def rows_of(path):
    """Our reading of the column `var`, decoded; None for null."""
    column = pa.table(tenon.open(path))["var"].combine_chunks()
    storage = column.storage if isinstance(column, pa.ExtensionArray) else column
    return [None if row is None else decoded(row["metadata"], row["value"]) for row in storage.to_pylist()]


def check_case(folder, case):
    path = folder / case["parquet_file"]
    names = case.get("variant_files", [case["variant_file"]] if "variant_file" in case else None)
    try:
        got = rows_of(path)
    except REFUSALS as refusal:
        return None if "error_message" in case or "notes" in case else f"refused: {refusal}"
    if names is None:
        return f"was read: {got!r:.120}; expected: {case['error_message']}"
    want = [None if name is None else of_bin(folder / name) for name in names]
    return None if got == want else f"{got!r:.140} instead of {want!r:.140}"


def same_json(got, want):
    if isinstance(want, float) or isinstance(got, float):
        return isinstance(got, (int, float)) and math.isclose(got, want, rel_tol=1e-7)
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and \
            all(same_json(got[key], want[key]) for key in want)
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(same_json, got, want))
    return got == want or (isinstance(want, str) and isinstance(got, str) and same_text(got, want))


def same_text(got, want):
    """Times are the same instant in whatever zone and spelling (the dictionary has one fraction behind a
    colon); binary is base64."""
    def moment(text):
        text = re.sub(r"^(\d\d:\d\d:\d\d):", r"\1.", text).replace("Z", "+00:00")
        text = re.sub(r"\.(\d+)", lambda m: "." + m.group(1).ljust(6, "0")[:6], text)
        time = re.match(r"\d\d:\d\d", text)
        return (datetime.time if time else datetime.datetime).fromisoformat(text)
    try:
        return moment(got) == moment(want)
    except ValueError:
        pass
    try:
        return base64.b64decode(got, validate=True) == base64.b64decode(want, validate=True)
    except ValueError:
        return False


def check_pair(folder, name, want):
    struct_type = pa.struct([pa.field("metadata", pa.binary(), nullable=False),
                             pa.field("value", pa.binary(), nullable=False)])
    field = pa.field("var", struct_type, metadata={"ARROW:extension:name": "arrow.parquet.variant"})
    row = {"metadata": (folder / f"{name}.metadata").read_bytes(),
           "value": (folder / f"{name}.value").read_bytes()}
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "pair.parquet"
        tenon.write(path, pa.table([pa.array([row], struct_type)], schema=pa.schema([field])))
        column = pa.table(tenon.open(path, variant_json=True))["var"].combine_chunks()
        text = (column.storage if isinstance(column, pa.ExtensionArray) else column)[0].as_py()
        again = rows_of(path)[0]
    if again != decoded(row["metadata"], row["value"]):
        return f"came back as {again!r:.150}"
    got = json.loads(text)
    return None if same_json(got, want) else f"{got!r:.140} instead of {want!r:.140}"


def cases(root, heavy=False):
    for path in below(root, lambda p: p.name == "cases.json"):
        for case in json.loads(path.read_text()):
            if "parquet_file" in case:
                yield ("variant, shredded", f"{path.parent.name}/{case['parquet_file']}",
                       functools.partial(check_case, path.parent, case))
    for path in below(root, lambda p: p.name == "data_dictionary.json"):
        text = re.sub(r",(\s*[}\]])", r"\1", path.read_text())  # theirs ends in a comma that JSON has not
        for name, want in json.loads(text).items():
            if (path.parent / f"{name}.value").exists():
                yield "variant", f"{path.parent.name}/{name}", functools.partial(check_pair, path.parent, name, want)
