# SPDX-License-Identifier: Apache-2.0
"""What a Parquet file says about its values, read without any Parquet library, against the values themselves.

The footer, column index and offset index are Thrift compact structs; `parse` gives one as {field id: value}.
`wrong_bounds` recomputes minimum, maximum, nulls and page starts from the table that was written.
"""
import decimal
import fractions
import struct

import pyarrow as pa
import pyarrow.parquet as pq

from values import UNITS, plain_column

UNITS_BY_NAME = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


# ---- Thrift compact protocol ----------------------------------------------------------------------------
class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def zigzag(self):
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def value(self, kind):
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind == 7:
            self.at += 8
            return struct.unpack("<d", self.data[self.at - 8:self.at])[0]
        if kind == 8:
            size = self.varint()
            self.at += size
            return bytes(self.data[self.at - size:self.at])
        if kind in (9, 10):
            head = self.byte()
            count = self.varint() if head >> 4 == 15 else head >> 4
            if head & 15 in (1, 2):
                return [self.byte() == 1 for _ in range(count)]
            return [self.value(head & 15) for _ in range(count)]
        assert kind == 12, kind
        return self.struct()

    def struct(self):
        fields, last = {}, 0
        while head := self.byte():
            last = last + (head >> 4) if head >> 4 else self.zigzag()
            fields[last] = self.value(head & 15)
        return fields


def parse(data, at=0):
    return Reader(data, at).struct()


def footer(data):
    size = struct.unpack("<I", data[-8:-4])[0]
    return parse(data, len(data) - 8 - size)


# ---- leaf values, one entry a level ---------------------------------------------------------------------
def leaves(type_, values):
    """[(leaf type, [entries of each row])]: null and empty lists are one entry None, as levels have it."""
    if isinstance(type_, pa.BaseExtensionType):
        return leaves(type_.storage_type, values)
    if pa.types.is_dictionary(type_):
        return leaves(type_.value_type, values)
    if pa.types.is_struct(type_):
        found = []
        for index, field in enumerate(type_):
            found += leaves(field.type, [None if v is None else v[index] for v in values])
        return found
    if pa.types.is_map(type_):
        return _repeated(pa.struct([pa.field("key", type_.key_type), pa.field("value", type_.item_type)]),
                         values)
    if hasattr(type_, "value_type") and pa.types.is_nested(type_):
        return _repeated(type_.value_type, values)
    return [(type_, [[v] for v in values])]


def _repeated(item_type, values):
    flat, sizes = [], []
    for items in values:
        items = items if items else [None]
        flat += items
        sizes.append(len(items))
    found = []
    for leaf, entries in leaves(item_type, flat):
        rows, at = [], 0
        for size in sizes:
            rows.append([entry for part in entries[at:at + size] for entry in part])
            at += size
        found.append((leaf, rows))
    return found


# ---- what a bound means ---------------------------------------------------------------------------------
def comparable(type_, value):
    """A leaf of values.plain as something that orders as Parquet orders it; None for NaN."""
    if pa.types.is_floating(type_):
        if value == "nan":
            return None
        form = {16: "He", 32: "If", 64: "Qd"}[type_.bit_width]
        return struct.unpack("<" + form[1], struct.pack("<" + form[0], value))[0]
    return value


def decode(bound, column):
    """A bound's bytes by the column's physical and logical type."""
    physical, logical = column.physical_type, column.logical_type
    kind = logical.type
    if physical == "BOOLEAN":
        return bound[0] == 1
    if physical in ("INT32", "INT64"):
        signed = not (kind == "INT" and '"isSigned": false' in logical.to_json().replace("isSigned\":false",
                                                                                         'isSigned": false'))
        value = int.from_bytes(bound, "little", signed=signed)
        if kind in ("TIMESTAMP", "TIME"):
            unit = next(unit for name, unit in UNITS_BY_NAME.items() if name in logical.to_json())
            return fractions.Fraction(value, unit)
        return _unscaled(value, column) if kind == "DECIMAL" else value
    if physical in ("FLOAT", "DOUBLE"):
        return struct.unpack("<f" if physical == "FLOAT" else "<d", bound)[0]
    if kind == "DECIMAL":
        return _unscaled(int.from_bytes(bound, "big", signed=True), column)
    return struct.unpack("<e", bound)[0] if kind == "FLOAT16" else bound


def _unscaled(value, column):
    with decimal.localcontext(decimal.Context(prec=90)):
        return decimal.Decimal(value).scaleb(-column.scale)


def wrong_range(type_, entries, low, high, exact, where):
    """Words when low and high do not bound the entries, or are not the tightest while they claim to be."""
    values = [comparable(type_, e) for e in entries if e is not None]
    values = [v for v in values if v is not None]
    if not values:
        return None
    least, most = min(values), max(values)
    if low > least or high < most:
        return f"{where}: bounds {low!r} {high!r} but values from {least!r} to {most!r}"
    if exact[0] and low != least or exact[1] and high != most:
        return f"{where}: bounds {low!r} {high!r} said exact, values from {least!r} to {most!r}"
    return None


# ---- a whole file ---------------------------------------------------------------------------------------
def wrong_bounds(path, table):
    data = path.read_bytes()
    raw, meta = footer(data), pq.read_metadata(path)
    columns = [leaf for index, field in enumerate(table.schema)
               for leaf in leaves(field.type, plain_column(table.column(index)))]
    if len(columns) != meta.num_columns:
        return f"{meta.num_columns} leaf columns instead of {len(columns)}"
    begin = 0
    for group in range(meta.num_row_groups):
        rows = meta.row_group(group).num_rows
        for c, (type_, entries) in enumerate(columns):
            part = entries[begin:begin + rows]
            where = f"row group {group}, {meta.schema.column(c).path}"
            wrong = (wrong_chunk(raw[4][group][1][c], meta.schema.column(c), type_, part, where) or
                     wrong_pages(data, raw[4][group][1][c], meta.schema.column(c), type_, part, where))
            if wrong:
                return wrong
        begin += rows
    return None if begin == table.num_rows else f"{begin} rows instead of {table.num_rows}"


def wrong_chunk(chunk, column, type_, rows, where):
    flat = [entry for row in rows for entry in row]
    inner = chunk[3]
    if inner[5] != len(flat):
        return f"{where}: {inner[5]} values instead of {len(flat)}"
    stats = inner.get(12)
    if stats is None:
        return None if pa.types.is_null(type_) or not flat else f"{where}: no statistics"
    nulls = sum(entry is None for entry in flat)
    if stats.get(3, nulls) != nulls:
        return f"{where}: null count {stats[3]} instead of {nulls}"
    if 5 not in stats or 6 not in stats:
        return None
    return wrong_range(type_, flat, decode(stats[6], column), decode(stats[5], column),
                       (stats.get(8, False), stats.get(7, False)), where)


def wrong_pages(data, chunk, column, type_, rows, where):
    if 4 not in chunk:
        return None
    places = parse(data, chunk[4])[1]
    starts = [place[3] for place in places] + [len(rows)]
    if starts[0] != 0 or sorted(starts) != starts:
        return f"{where}: pages begin at rows {starts}"
    if 6 not in chunk:
        return None
    index = parse(data, chunk[6])
    if len(index[1]) != len(places):
        return f"{where}: {len(index[1])} pages in the column index, {len(places)} in the offset index"
    lows, highs = [], []
    for page, is_null in enumerate(index[1]):
        flat = [entry for row in rows[starts[page]:starts[page + 1]] for entry in row]
        nulls = sum(entry is None for entry in flat)
        here = f"{where}, page {page}"
        if 5 in index and index[5][page] != nulls:
            return f"{here}: null count {index[5][page]} instead of {nulls}"
        if is_null != (nulls == len(flat)):
            return f"{here}: null page {is_null}, {nulls} of {len(flat)} are"
        if is_null:
            continue
        low, high = decode(index[2][page], column), decode(index[3][page], column)
        lows.append(low), highs.append(high)
        wrong = wrong_range(type_, flat, low, high, (False, False), here)
        if wrong:
            return wrong
    order = index[4]
    for bounds in (lows, highs):
        if order == 1 and sorted(bounds) != bounds or order == 2 and sorted(bounds)[::-1] != bounds:
            return f"{where}: boundary order {order}, but {bounds!r:.200}"
    return None
