# SPDX-License-Identifier: Apache-2.0
"""Arrow data as plain Python whose == means the same values, and what differs when they are not.

Types are compared by what they mean: string and large_string, list and large_list, a dictionary and its
values, a view and what it views are the same.  Floats are equal by their bits (any NaN equals any NaN),
times are exact fractions of a second, whatever their unit.
"""
import fractions
import struct

import pyarrow as pa

import tenon

# How a refusal reaches Python: on opening from us, while reading through the stream's own errors.
REFUSALS = (tenon.Error, pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
FLOATS = {16: ("<e", "<H"), 32: ("<f", "<I"), 64: ("<d", "<Q")}


def plain(array):
    """The values of an Array, one Python object a row."""
    type_ = array.type
    if isinstance(type_, pa.BaseExtensionType):
        return plain(array.storage)
    if pa.types.is_dictionary(type_):
        values = plain(array.dictionary)  # below a null struct an index may point nowhere
        return [None if i is None or i >= len(values) else values[i] for i in array.indices.to_pylist()]
    if pa.types.is_run_end_encoded(type_):
        return _run_ends(array)
    if pa.types.is_struct(type_):
        return _struct(array)
    if pa.types.is_map(type_):
        return _lists(array, plain(array.keys), plain(array.items))
    if pa.types.is_fixed_size_list(type_):
        return _fixed_lists(array)
    if pa.types.is_list_view(type_) or pa.types.is_large_list_view(type_):
        items = plain(array.values)
        return [None if null else items[o:o + n] for o, n, null in zip(
            array.offsets.to_pylist(), array.sizes.to_pylist(), array.is_null().to_pylist())]
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _lists(array, plain(array.values))
    if pa.types.is_union(type_):
        return _union(array)
    return _flat(array)


def _flat(array):
    type_ = array.type
    if pa.types.is_floating(type_):
        form, bits = FLOATS[type_.bit_width]
        return [None if v is None else "nan" if v != v else
                struct.unpack(bits, struct.pack(form, float(v)))[0] for v in array.to_pylist()]
    if pa.types.is_timestamp(type_) or pa.types.is_duration(type_):
        return [None if v is None else fractions.Fraction(v, UNITS[type_.unit])
                for v in array.cast(pa.int64()).to_pylist()]
    if pa.types.is_time(type_):
        width = pa.int32() if type_.bit_width == 32 else pa.int64()
        return [None if v is None else fractions.Fraction(v, UNITS[type_.unit])
                for v in array.cast(width).to_pylist()]
    if pa.types.is_date32(type_):
        return array.cast(pa.int32()).to_pylist()
    if pa.types.is_date64(type_):
        return [None if v is None else fractions.Fraction(v, 86400000)
                for v in array.cast(pa.int64()).to_pylist()]
    if type_ in (pa.string(), pa.large_string(), pa.string_view()):  # not every file's text is UTF-8
        return array.cast(pa.binary_view() if type_ == pa.string_view() else
                          pa.large_binary() if type_ == pa.large_string() else
                          pa.binary()).to_pylist()
    return array.to_pylist()


def _struct(array):
    names = [field.name for field in array.type]
    columns = [plain(array.field(i)) for i in range(len(names))]
    return [None if null else tuple(column[row] for column in columns)
            for row, null in enumerate(array.is_null().to_pylist())]


def _lists(array, *columns):
    offsets, nulls = array.offsets.to_pylist(), array.is_null().to_pylist()
    items = columns[0] if len(columns) == 1 else list(zip(*columns))
    return [None if nulls[row] else list(items[offsets[row]:offsets[row + 1]])
            for row in range(len(array))]


def _fixed_lists(array):
    size, items = array.type.list_size, plain(array.values)
    start = array.offset * size if len(items) >= (array.offset + len(array)) * size else 0
    return [None if null else items[start + row * size:start + (row + 1) * size]
            for row, null in enumerate(array.is_null().to_pylist())]


def _union(array):
    codes, children = array.type_codes.to_pylist(), {}
    for index, code in enumerate(array.type.type_codes):
        children[code] = plain(array.field(index))
    if array.type.mode == "dense":
        return [(code, children[code][at]) for code, at in zip(codes, array.offsets.to_pylist())]
    return [(code, children[code][row]) for row, code in enumerate(codes)]


def _run_ends(array):
    values, ends = plain(array.values), array.run_ends.to_pylist()
    rows, run = [], 0
    for row in range(array.offset, array.offset + len(array)):
        while ends[run] <= row:
            run += 1
        rows.append(values[run])
    return rows


def plain_column(column):
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return [value for chunk in chunks for value in plain(chunk)]


def difference(got, want):
    """None when two Tables hold the same names and values, else words for the first difference."""
    if got.column_names != want.column_names:
        return f"columns {got.column_names[:20]} instead of {want.column_names[:20]}"
    if got.num_rows != want.num_rows:
        return f"{got.num_rows} rows instead of {want.num_rows}"
    for index, name in enumerate(want.column_names):
        ours, theirs = plain_column(got.column(index)), plain_column(want.column(index))
        for row, (a, b) in enumerate(zip(ours, theirs)):
            if a != b:
                return (f"{name}[{row}]: {a!r:.80} instead of {b!r:.80} ({got.schema.field(index).type}"
                        f" against {want.schema.field(index).type})")
    return None
