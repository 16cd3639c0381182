# SPDX-License-Identifier: Apache-2.0
"""The integration JSON of the Arrow project, and Arrow arrays, as plain Python that == compares.

    table = Document.load("generated_nested.json.gz")     what a file must hold
    got = arrow_table(pyarrow_reader)                     what a reader gave

Both are ([field, ...], metadata, [batch, ...]): a field is a dict of everything the format says of it, a
batch a list of columns, a column a list of one exact value a row.  Values are those of the format, not of a
time zone or a unit: a timestamp is its integer, a float its bits, a decimal its unscaled integer, a struct a
tuple, a map a list of pairs, a union (type code, value); dictionaries and run ends are resolved, and their
index and run-end types are part of the field.

The JSON format: https://arrow.apache.org/docs/format/Integration.html
"""
import ctypes
import gzip
import json
import struct

import pyarrow as pa

FLOATS = {"HALF": ("<e", "<H"), "SINGLE": ("<f", "<I"), "DOUBLE": ("<d", "<Q")}
UNITS = {"SECOND": "s", "MILLISECOND": "ms", "MICROSECOND": "us", "NANOSECOND": "ns"}
NAN = "nan"


def float_bits(value, precision):
    form, bits = FLOATS[precision]
    value = float(value)
    return NAN if value != value else struct.unpack(bits, struct.pack(form, value))[0]


# ---- fields of the JSON --------------------------------------------------------------------------
def json_type(field):
    """One type as a tuple: its name, then its parameters."""
    type_ = field["type"]
    name = type_["name"]
    if name == "int":
        return ("int" if type_["isSigned"] else "uint", type_["bitWidth"])
    if name == "floatingpoint":
        return ("float", type_["precision"])
    if name == "decimal":
        return ("decimal", type_["precision"], type_["scale"], type_.get("bitWidth", 128))
    if name == "date":
        return ("date", type_["unit"])
    if name == "time":
        return ("time", UNITS[type_["unit"]], type_["bitWidth"])
    if name == "timestamp":
        return ("timestamp", UNITS[type_["unit"]], type_.get("timezone") or None)
    if name == "duration":
        return ("duration", UNITS[type_["unit"]])
    if name == "interval":
        return ("interval", type_["unit"])
    if name == "fixedsizebinary":
        return ("fixedsizebinary", type_["byteWidth"])
    if name == "fixedsizelist":
        return ("fixedsizelist", type_["listSize"])
    if name == "map":
        return ("map", bool(type_["keysSorted"]))
    if name == "union":
        return ("union", type_["mode"], tuple(type_["typeIds"]))
    return (name,)


def json_metadata(pairs):
    return {pair["key"]: pair["value"] for pair in pairs or []}


def json_field(field):
    out = {"name": field["name"], "nullable": field["nullable"], "type": json_type(field),
           "metadata": json_metadata(field.get("metadata")),
           "children": [json_field(child) for child in field.get("children") or []]}
    encoding = field.get("dictionary")
    if encoding:
        index = encoding["indexType"]
        out["index"] = ("int" if index["isSigned"] else "uint", index["bitWidth"])
        out["ordered"] = bool(encoding.get("isOrdered"))
    return out


# ---- values of the JSON --------------------------------------------------------------------------
class Document:
    """A whole integration file."""

    def __init__(self, content):
        self.schema = content["schema"]
        self.batches = content["batches"]
        self.dictionary_columns = {d["id"]: d["data"]["columns"][0] for d in content.get("dictionaries") or []}
        self.dictionary_values = {}

    @classmethod
    def load(cls, path):
        opened = gzip.open if str(path).endswith(".gz") else open
        with opened(path, "rt", encoding="utf-8") as text:
            return cls(json.load(text))

    def fields(self):
        return [json_field(field) for field in self.schema["fields"]]

    def metadata(self):
        return json_metadata(self.schema.get("metadata"))

    def table(self):
        fields = self.schema["fields"]
        return (self.fields(), self.metadata(),
                [[self.column(f, c) for f, c in zip(fields, batch["columns"], strict=True)]
                 for batch in self.batches])

    def dictionary(self, field):
        id_ = field["dictionary"]["id"]
        if id_ not in self.dictionary_values:
            plain = {key: value for key, value in field.items() if key != "dictionary"}
            self.dictionary_values[id_] = self.column(plain, self.dictionary_columns[id_])
        return self.dictionary_values[id_]

    def column(self, field, column):
        """One value a row of a field's column object."""
        if field.get("dictionary"):
            values = self.dictionary(field)
            return self.with_nulls(column, [values[int(i)] if valid else None for i, valid in
                                            zip(column["DATA"], validity(column), strict=True)])
        handler = getattr(self, "json_" + field["type"]["name"], None)
        values = handler(field, column) if handler else self.json_scalar(field, column)
        return self.with_nulls(column, values)

    @staticmethod
    def with_nulls(column, values):
        return [value if valid else None for value, valid in zip(values, validity(column), strict=True)]

    def children(self, field, column):
        return [self.column(f, c) for f, c in
                zip(field["children"], column["children"], strict=True)]

    def json_null(self, field, column):
        return [None] * column["count"]

    def json_scalar(self, field, column):
        return [json_value(field["type"], value) for value in column["DATA"]]

    def json_binaryview(self, field, column):
        text = field["type"]["name"] == "utf8view"
        buffers = [bytes.fromhex(data) for data in column["VARIADIC_DATA_BUFFERS"]]
        return [view_value(view, buffers, text) for view in column["VIEWS"]]

    json_utf8view = json_binaryview

    def json_list(self, field, column):
        (items,) = self.children(field, column)
        offsets = [int(offset) for offset in column["OFFSET"]]
        return [items[a:b] for a, b in zip(offsets, offsets[1:])]

    json_largelist = json_list
    json_map = json_list

    def json_listview(self, field, column):
        (items,) = self.children(field, column)
        return [items[int(a):int(a) + int(n)] for a, n in zip(column["OFFSET"], column["SIZE"])]

    json_largelistview = json_listview

    def json_fixedsizelist(self, field, column):
        (items,) = self.children(field, column)
        size = field["type"]["listSize"]
        return [items[row * size:(row + 1) * size] for row in range(column["count"])]

    def json_struct(self, field, column):
        children = self.children(field, column)
        return [tuple(child[row] for child in children) for row in range(column["count"])]

    def json_union(self, field, column):
        children = dict(zip(field["type"]["typeIds"], self.children(field, column), strict=True))
        codes = column["TYPE_ID"]
        places = column["OFFSET"] if field["type"]["mode"] == "DENSE" else range(column["count"])
        return [(code, children[code][int(at)]) for code, at in zip(codes, places, strict=True)]

    def json_runendencoded(self, field, column):
        ends, values = self.children(field, column)
        return run_values(ends, values, 0, column["count"])


def validity(column):
    """A field that cannot be null may do without VALIDITY."""
    return column.get("VALIDITY") or [1] * column["count"]


def view_value(view, buffers, text):
    if "INLINED" in view:
        value = view["INLINED"] if text else bytes.fromhex(view["INLINED"])
    else:
        start = view["OFFSET"]
        value = buffers[view["BUFFER_INDEX"]][start:start + view["SIZE"]]
        assert value[:4] == bytes.fromhex(view["PREFIX_HEX"])
        if text:
            value = value.decode()
    assert len(value.encode() if text else value) == view["SIZE"]
    return value


def json_value(type_, value):
    name = type_["name"]
    if name == "floatingpoint":
        return float_bits(value, type_["precision"])
    if name in ("binary", "largebinary", "fixedsizebinary"):
        return bytes.fromhex(value)
    if name in ("utf8", "largeutf8"):
        return value
    if name == "bool":
        return bool(value)
    if name == "interval" and type_["unit"] == "DAY_TIME":
        return (value["days"], value["milliseconds"])
    if name == "interval" and type_["unit"] == "MONTH_DAY_NANO":
        return (value["months"], value["days"], int(value["nanoseconds"]))
    return int(value)


def run_values(ends, values, first, count):
    rows, run = [], 0
    for row in range(first, first + count):
        while ends[run] <= row:
            run += 1
        rows.append(values[run])
    return rows


# ---- fields of the C Data Interface, which is where they lose nothing -----------------------------
class CSchema(ctypes.Structure):
    pass


CSchema._fields_ = [("format", ctypes.c_char_p), ("name", ctypes.c_char_p),
                    ("metadata", ctypes.c_void_p), ("flags", ctypes.c_int64),
                    ("n_children", ctypes.c_int64),
                    ("children", ctypes.POINTER(ctypes.POINTER(CSchema))),
                    ("dictionary", ctypes.POINTER(CSchema)), ("release", ctypes.c_void_p),
                    ("private_data", ctypes.c_void_p)]
ORDERED, NULLABLE, KEYS_SORTED = 1, 2, 4
LETTERS = {"s": "s", "m": "ms", "u": "us", "n": "ns"}
FORMATS = {"n": ("null",), "b": ("bool",), "c": ("int", 8), "C": ("uint", 8), "s": ("int", 16),
           "S": ("uint", 16), "i": ("int", 32), "I": ("uint", 32), "l": ("int", 64), "L": ("uint", 64),
           "e": ("float", "HALF"), "f": ("float", "SINGLE"), "g": ("float", "DOUBLE"),
           "z": ("binary",), "Z": ("largebinary",), "u": ("utf8",), "U": ("largeutf8",),
           "vz": ("binaryview",), "vu": ("utf8view",), "tdD": ("date", "DAY"), "tdm": ("date", "MILLISECOND"),
           "tiM": ("interval", "YEAR_MONTH"), "tiD": ("interval", "DAY_TIME"),
           "tin": ("interval", "MONTH_DAY_NANO"), "+l": ("list",), "+L": ("largelist",),
           "+vl": ("listview",), "+vL": ("largelistview",), "+s": ("struct",), "+r": ("runendencoded",)}


def c_type(schema):
    """As json_type."""
    form = schema.format.decode()
    if form in FORMATS:
        return FORMATS[form]
    head, _, rest = form.partition(":")
    if head == "+m":
        return ("map", bool(schema.flags & KEYS_SORTED))
    if head == "w":
        return ("fixedsizebinary", int(rest))
    if head == "+w":
        return ("fixedsizelist", int(rest))
    if head == "d":
        numbers = [int(number) for number in rest.split(",")]
        return ("decimal", *numbers) if len(numbers) == 3 else ("decimal", *numbers, 128)
    if head in ("+ud", "+us"):
        return ("union", "DENSE" if head == "+ud" else "SPARSE", tuple(map(int, rest.split(","))) if rest else ())
    if head.startswith("tt"):
        return ("time", LETTERS[head[2]], 32 if head[2] in "sm" else 64)
    if head.startswith("tD"):
        return ("duration", LETTERS[head[2]])
    if head.startswith("ts"):
        return ("timestamp", LETTERS[head[2]], rest or None)
    raise TypeError(f"Arrow format {form}")


def c_metadata(address):
    if not address:
        return {}
    at, pairs = address + 4, {}

    def text():
        nonlocal at
        length = ctypes.c_int32.from_address(at).value
        at += 4 + length
        return ctypes.string_at(at - length, length).decode()

    for _ in range(ctypes.c_int32.from_address(address).value):
        key = text()
        pairs[key] = text()
    return pairs


def c_children(schema):
    return [c_field(schema.children[i].contents) for i in range(schema.n_children)]


def c_field(schema):
    typed = schema.dictionary.contents if schema.dictionary else schema
    out = {"name": schema.name.decode(), "nullable": bool(schema.flags & NULLABLE),
           "metadata": c_metadata(schema.metadata), "type": c_type(typed), "children": c_children(typed)}
    if schema.dictionary:
        out["index"] = c_type(schema)
        out["ordered"] = bool(schema.flags & ORDERED)
    return out


def c_schema(schema):
    """Fields and metadata of anything with __arrow_c_schema__."""
    capsule = schema.__arrow_c_schema__()
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    root = CSchema.from_address(get(capsule, b"arrow_schema"))
    return c_children(root), c_metadata(root.metadata)


# ---- values of pyarrow, from the buffers themselves ----------------------------------------------
INTERVALS = {pa.lib.Type_INTERVAL_MONTHS: "YEAR_MONTH", pa.lib.Type_INTERVAL_DAY_TIME: "DAY_TIME",
             pa.lib.Type_INTERVAL_MONTH_DAY_NANO: "MONTH_DAY_NANO"}
PRECISIONS = {16: "HALF", 32: "SINGLE", 64: "DOUBLE"}


def bits(buffer, first, count):
    if buffer is None:
        return [1] * count
    data = memoryview(buffer)
    return [(data[i >> 3] >> (i & 7)) & 1 for i in range(first, first + count)]


def array_validity(array):
    buffers = array.buffers()
    type_ = array.type
    if pa.types.is_null(type_):
        return [0] * len(array)
    if pa.types.is_union(type_) or pa.types.is_run_end_encoded(type_):
        return [1] * len(array)
    return bits(buffers[0], array.offset, len(array))


def items(array, form, which=1, extra=0):
    """What struct's `form` finds in a buffer, one tuple a row (and `extra` more)."""
    buffer, size = array.buffers()[which], struct.calcsize(form)
    count = len(array) + extra
    if len(array) == 0 or size == 0:
        return [()] * len(array)
    data = memoryview(buffer)[array.offset * size:(array.offset + count) * size]
    return list(struct.iter_unpack(form, data))


def first_of(rows):
    return [row[0] for row in rows]


def bytes_values(array, large, text):
    if len(array) == 0:
        return []
    offsets = first_of(items(array, "<q" if large else "<i", extra=1))
    data = memoryview(array.buffers()[2] or b"")
    rows = [bytes(data[a:b]) for a, b in zip(offsets, offsets[1:])]
    return [row.decode() if text and valid else row for row, valid in zip(rows, array_validity(array))]


def view_values(array, text):
    buffers = [memoryview(buffer) for buffer in array.buffers()[2:]]
    rows = []
    for (raw,), valid in zip(items(array, "16s"), array_validity(array)):
        size, number, start = struct.unpack("<i4xii", raw)
        if not valid:
            rows.append(None)
            continue
        value = raw[4:4 + size] if size <= 12 else bytes(buffers[number][start:start + size])
        assert size <= 12 or value[:4] == raw[4:8]
        rows.append(value.decode() if text else value)
    return rows


INTEGERS = {8: "b", 16: "h", 32: "i", 64: "q"}


def scalar_values(array):
    type_, t = array.type, pa.types
    if t.is_null(type_):
        return [None] * len(array)
    if t.is_boolean(type_):
        return [bool(bit) for bit in bits(array.buffers()[1], array.offset, len(array))]
    if t.is_floating(type_):
        form = FLOATS[PRECISIONS[type_.bit_width]][0]
        return [float_bits(row[0], PRECISIONS[type_.bit_width]) for row in items(array, form)]
    if t.is_decimal(type_):
        return [int.from_bytes(row[0], "little", signed=True)
                for row in items(array, f"{type_.bit_width // 8}s")]
    if t.is_fixed_size_binary(type_):
        return [row[0] if row else b"" for row in items(array, f"{type_.byte_width}s")]
    if type_.id in INTERVALS:
        return {"YEAR_MONTH": lambda: first_of(items(array, "<i")),
                "DAY_TIME": lambda: items(array, "<ii"),
                "MONTH_DAY_NANO": lambda: items(array, "<iiq")}[INTERVALS[type_.id]]()
    if type_ in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
        return bytes_values(array, type_ in (pa.large_string(), pa.large_binary()),
                            type_ in (pa.string(), pa.large_string()))
    if type_ in (pa.string_view(), pa.binary_view()):
        return view_values(array, type_ == pa.string_view())
    form = INTEGERS[type_.bit_width]
    return first_of(items(array, "<" + (form.upper() if t.is_unsigned_integer(type_) else form)))


def list_values(array, rows):
    t, type_ = pa.types, array.type
    if t.is_fixed_size_list(type_):
        start = array.offset * type_.list_size
        return [rows[start + i * type_.list_size:start + (i + 1) * type_.list_size]
                for i in range(len(array))]
    large = t.is_large_list(type_) or t.is_large_list_view(type_)
    if t.is_list_view(type_) or t.is_large_list_view(type_):
        form = "<q" if large else "<i"
        return [rows[a:a + n] for a, n in zip(first_of(items(array, form)),
                                              first_of(items(array, form, which=2)))]
    if len(array) == 0:
        return []
    offsets = first_of(items(array, "<q" if large else "<i", extra=1))
    return [rows[a:b] for a, b in zip(offsets, offsets[1:])]


def union_values(array):
    type_ = array.type
    children = {code: arrow_values(array.field(i)) for i, code in enumerate(type_.type_codes)}
    codes = first_of(items(array, "<b"))
    places = first_of(items(array, "<i", which=2)) if type_.mode == "dense" else range(len(array))
    return [(code, children[code][at]) for code, at in zip(codes, places)]


def arrow_values(array):
    """One value a row of any pyarrow Array."""
    t, type_ = pa.types, array.type
    if isinstance(type_, pa.BaseExtensionType):
        return arrow_values(array.storage)
    if t.is_dictionary(type_):
        values = arrow_values(array.dictionary)
        return [None if i is None else values[i] for i in arrow_values(array.indices)]
    if t.is_run_end_encoded(type_):
        return run_values(arrow_values(array.run_ends), arrow_values(array.values), array.offset,
                          len(array))
    if t.is_struct(type_):
        columns = [arrow_values(array.field(i)) for i in range(type_.num_fields)]
        rows = [tuple(column[row] for column in columns) for row in range(len(array))]
    elif t.is_union(type_):
        return union_values(array)
    elif t.is_map(type_):
        entries = list(zip(arrow_values(array.keys), arrow_values(array.items)))
        if len(array) == 0:
            return []
        offsets = first_of(items(array, "<i", extra=1))
        rows = [entries[a:b] for a, b in zip(offsets, offsets[1:])]
    elif t.is_nested(type_):
        rows = list_values(array, arrow_values(array.values))
    else:
        rows = scalar_values(array)
    return [row if valid else None for row, valid in zip(rows, array_validity(array), strict=True)]


NO_CLASS = {pa.lib.Type_INTERVAL_MONTHS: (b"w:4", "<i"), pa.lib.Type_INTERVAL_DAY_TIME: (b"w:8", "<ii")}


def batch_columns(batch):
    """The values of all columns.  pyarrow has no array class for two of the interval types: those columns are
    handed to it as plain bytes, through the C Data Interface."""
    types = batch.schema.types
    if not any(type_.id in NO_CLASS for type_ in types):
        return [arrow_values(column) for column in batch.columns]
    schema, array = CSchema(), (ctypes.c_char * 80)()
    batch._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
    for i, type_ in enumerate(types):
        if type_.id in NO_CLASS:
            schema.children[i].contents.format = NO_CLASS[type_.id][0]
    batch = pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))
    columns = [arrow_values(column) for column in batch.columns]
    for i, type_ in enumerate(types):
        if type_.id in NO_CLASS:
            form = NO_CLASS[type_.id][1]
            rows = [None if raw is None else struct.unpack(form, raw) for raw in columns[i]]
            columns[i] = [row[0] if row and form == "<i" else row for row in rows]
    return columns


def arrow_table(reader, schema=None):
    """Anything with .schema that iterates over record batches, as Document.table gives it; `schema` has
    __arrow_c_schema__ and is more exact than pyarrow's own (names inside maps and run ends)."""
    fields, metadata = c_schema(schema or reader.schema)
    return fields, metadata, [batch_columns(batch) for batch in reader]


# ---- comparing -----------------------------------------------------------------------------------
def comparable(field):
    """Without what pyarrow's types do not carry: names inside maps and run ends, and their nullability."""
    out = dict(field)
    children = [comparable(child) for child in field["children"]]
    if field["type"][0] == "map":
        entries = children[0]
        children[0] = {**entries, "name": None, "children": [{**child, "name": None} for child in entries["children"]]}
    if field["type"][0] == "runendencoded":
        children = [{**child, "name": None, "nullable": None} for child in children]
    out["children"] = children
    return out


def canonical(field):
    """With the names that the format recommends inside maps: some golden streams of maps with other names lost
    those where they were made."""
    children = [canonical(child) for child in field["children"]]
    if field["type"][0] == "map":
        pair = [{**child, "name": name} for child, name in zip(children[0]["children"], ("key", "value"))]
        children = [{**children[0], "name": "entries", "children": pair}]
    return {**field, "children": children}


def difference(got, want, exact=True):
    """None, or words for the first difference between two tables; exact=False for schemas from pyarrow."""
    for a, b in zip(got[0], want[0]):
        if a not in (b, canonical(b)) if exact else comparable(a) != comparable(b):
            return f"field {a} instead of {b}"
    if len(got[0]) != len(want[0]):
        return f"{len(got[0])} columns instead of {len(want[0])}"
    if got[1] != want[1]:
        return f"metadata {got[1]} instead of {want[1]}"
    if len(got[2]) != len(want[2]):
        return f"{len(got[2])} batches instead of {len(want[2])}"
    for number, (a, b) in enumerate(zip(got[2], want[2])):
        for field, ours, theirs in zip(want[0], a, b, strict=True):
            if len(ours) != len(theirs):
                return f"batch {number}, {field['name']}: {len(ours)} rows instead of {len(theirs)}"
            for row, (x, y) in enumerate(zip(ours, theirs)):
                if x != y:
                    return f"batch {number}, {field['name']}[{row}]: {x!r:.120} instead of {y!r:.120}"
    return None
