# SPDX-License-Identifier: Apache-2.0
"""Random Arrow tables with nested columns, small, all from one random.Random."""
import decimal
import math
import struct

import pyarrow as pa

TEXT = "abcdefgh xyz,\"'\n\\€éß😀\u0000"
FLOATS = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.5, -2.25, 1e300, 5e-324]


def flat_types(rng):
    unit = rng.choice(["s", "ms", "us", "ns"])
    narrow = rng.randrange(1, 39)
    wide = rng.randrange(39, 77)
    return [
        pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(),
        pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(),
        pa.large_binary(), pa.binary(rng.randrange(1, 20)), pa.date32(), pa.time32(rng.choice(["s", "ms"])),
        pa.time64(rng.choice(["us", "ns"])), pa.timestamp(unit), pa.timestamp(unit, "UTC"),
        pa.timestamp("us", "Europe/Berlin"), pa.decimal128(narrow, rng.randrange(0, narrow + 1)),
        pa.decimal256(wide, rng.randrange(0, wide + 1)), pa.string_view(), pa.binary_view(), pa.null(),
        pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.int64()),
    ]


def random_field(rng, name, depth):
    type_ = random_type(rng, depth + 1)
    return pa.field(name, type_, nullable=rng.random() < 0.8 or pa.types.is_null(type_))


def random_type(rng, depth=0):
    shape = rng.random()
    if depth >= 3 or shape < (0.55 if depth == 0 else 0.7):
        return rng.choice(flat_types(rng))
    kind = rng.randrange(5)
    if kind == 0:
        return pa.list_(random_field(rng, "item", depth))
    if kind == 1:
        return pa.large_list(random_type(rng, depth + 1))
    if kind == 2:
        return pa.list_(random_type(rng, depth + 1), rng.randrange(1, 4))
    if kind == 3:
        key = rng.choice([pa.string(), pa.int32(), pa.int64(), pa.date32()])
        return pa.map_(key, random_type(rng, depth + 1))
    return pa.struct([random_field(rng, f"f{i}", depth) for i in range(rng.randrange(1, 4))])


def _integer(rng, bits, signed):
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    return rng.choice([low, high, rng.randrange(low, high + 1), rng.randrange(0, 50)])


def random_value(rng, type_):
    if pa.types.is_boolean(type_):
        return rng.random() < 0.5
    if pa.types.is_integer(type_):
        return _integer(rng, type_.bit_width, pa.types.is_signed_integer(type_))
    if pa.types.is_floating(type_):
        value = rng.choice(FLOATS + [rng.gauss(0, 1000)] * 6)
        if type_.bit_width == 64:
            return value
        if abs(value) > 60000 and math.isfinite(value):
            value = rng.gauss(0, 10)
        form = "f" if type_.bit_width == 32 else "e"
        return struct.unpack(form, struct.pack(form, value))[0]
    if pa.types.is_fixed_size_binary(type_) and not pa.types.is_decimal(type_):
        return rng.randbytes(type_.byte_width)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or type_ == pa.string_view():
        return "".join(rng.choice(TEXT) for _ in range(rng.choice([0, 1, 3, 20, 90])))
    if pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or type_ == pa.binary_view():
        return rng.randbytes(rng.choice([0, 1, 5, 40, 90]))
    if pa.types.is_decimal(type_):
        digits = rng.randrange(1, type_.precision + 1)
        value = rng.randrange(-(10 ** digits) + 1, 10 ** digits)
        with decimal.localcontext(decimal.Context(prec=80)):
            return decimal.Decimal(value).scaleb(-type_.scale)
    if pa.types.is_date32(type_):
        return rng.randrange(-20000, 40000)
    if pa.types.is_time(type_):
        per_day = {"s": 86400, "ms": 86400 * 10**3, "us": 86400 * 10**6, "ns": 86400 * 10**9}[type_.unit]
        return rng.randrange(per_day)
    if pa.types.is_timestamp(type_):
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[type_.unit]
        return rng.randrange(-2 * 10**9 * per_second, 4 * 10**9 * per_second)
    raise AssertionError(type_)


def _validity(rng, rows, nullable):
    share = rng.choice([0, 0, 0.2, 0.9]) if nullable else 0
    return [rng.random() >= share for _ in range(rows)]


def _flat_array(rng, type_, rows, nullable):
    pool = [random_value(rng, type_) for _ in range(rng.choice([1, 4, 30, 200]))] if rows else []
    if rng.random() < 0.3 and (pa.types.is_integer(type_) or pa.types.is_timestamp(type_)):
        pool = sorted(pool)
        picks = [pool[row * len(pool) // max(rows, 1)] for row in range(rows)]  # runs, rising
    else:
        picks = [rng.choice(pool) for _ in range(rows)]
    values = [value if ok else None for value, ok in zip(picks, _validity(rng, rows, nullable))]
    if pa.types.is_timestamp(type_) or pa.types.is_time64(type_):
        return pa.array(values, pa.int64()).cast(type_)
    if pa.types.is_time32(type_) or pa.types.is_date32(type_):
        return pa.array(values, pa.int32()).cast(type_)
    return pa.array(values, type_)


def random_array(rng, type_, rows, nullable=True):
    if pa.types.is_null(type_):
        return pa.nulls(rows)
    if pa.types.is_dictionary(type_):
        many = rng.randrange(1, 20)
        valid = _validity(rng, rows, nullable)
        index = pa.array([rng.randrange(many) if ok else None for ok in valid], type_.index_type)
        return pa.DictionaryArray.from_arrays(
            index, random_array(rng, type_.value_type, many, nullable=False))
    if pa.types.is_struct(type_):
        valid = _validity(rng, rows, nullable)
        children = [random_array(rng, f.type, rows, f.nullable) for f in type_]
        return pa.StructArray.from_arrays(children, fields=list(type_),
                                          mask=pa.array([not ok for ok in valid], pa.bool_()))
    if pa.types.is_fixed_size_list(type_):
        valid = _validity(rng, rows, nullable)
        items = random_array(rng, type_.value_type, rows * type_.list_size, type_.value_field.nullable)
        return pa.FixedSizeListArray.from_arrays(items, type=type_,
                                                 mask=pa.array([not ok for ok in valid], pa.bool_()))
    if pa.types.is_map(type_) or pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return _list_array(rng, type_, rows, nullable)
    return _flat_array(rng, type_, rows, nullable)


def _different(rng, type_, count):
    """Keys of a map: no two alike."""
    if pa.types.is_string(type_):
        return pa.array([f"{random_value(rng, type_)}{i}" for i in range(count)], type_)
    step = rng.randrange(1, 1000)
    numbers = pa.array([i * step for i in range(count)], pa.int64())
    return numbers.cast(pa.int32()).cast(type_) if pa.types.is_date32(type_) else numbers.cast(type_)


def _list_array(rng, type_, rows, nullable):
    valid = _validity(rng, rows, nullable)
    sizes = [rng.choice([0, 1, 1, 2, 5]) if ok else 0 for ok in valid]
    offsets = [0]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    wide = pa.types.is_large_list(type_)
    offsets = pa.array(offsets, pa.int64() if wide else pa.int32())
    count = offsets[-1].as_py()
    mask = pa.array([not ok for ok in valid], pa.bool_()) if nullable and rows else None
    if pa.types.is_map(type_):
        keys = _different(rng, type_.key_type, count)
        return pa.MapArray.from_arrays(offsets, keys, random_array(rng, type_.item_type, count),
                                       type=type_, mask=mask)
    items = random_array(rng, type_.value_type, count, type_.value_field.nullable)
    maker = pa.LargeListArray if wide else pa.ListArray
    return maker.from_arrays(offsets, items, type=type_, mask=mask)


def random_table(rng, rows=None, columns=None, allow=lambda type_: True):
    rows = rng.choice([0, 1, 7, 60, 200]) if rows is None else rows
    fields, arrays = [], []
    for index in range(columns or rng.randrange(1, 7)):
        type_ = random_type(rng)
        while not allow(type_):
            type_ = random_type(rng)
        nullable = rng.random() < 0.8 or pa.types.is_null(type_)
        fields.append(pa.field(f"c{index}", type_, nullable=nullable))
        arrays.append(random_array(rng, type_, rows, nullable))
    return pa.table(arrays, schema=pa.schema(fields))


def types_within(type_):
    """The type and all types below it."""
    yield type_
    if pa.types.is_dictionary(type_):
        yield from types_within(type_.value_type)
    elif pa.types.is_map(type_):
        yield from types_within(type_.key_type)
        yield from types_within(type_.item_type)
    elif hasattr(type_, "value_type") and pa.types.is_nested(type_):
        yield from types_within(type_.value_type)
    elif pa.types.is_struct(type_):
        for field in type_:
            yield from types_within(field.type)
