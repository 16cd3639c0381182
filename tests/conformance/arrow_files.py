# SPDX-License-Identifier: Apache-2.0
"""Arrow IPC below a folder: read with the right values, or refused, by rules and not by names of files.

    X.json.gz beside X.stream, X.arrow_file   both read with the values, types and metadata of the JSON; written
                                              again as file and stream, lz4 and zstd, pyarrow reads the same
    below a folder "...compatibility..."      refused: it says it is of a version to come
    without extension in a folder "arrow-ipc-..."  fuzzers' finds: either, but no crash and no hang
"""
import functools
import itertools
import pathlib
import tempfile

import pyarrow as pa
import pyarrow.ipc

import tenon
from arrow_json import Document, arrow_table, difference
from values import REFUSALS

FORMS = [("arrow", "uncompressed"), ("arrow", "zstd"), ("arrows", "uncompressed"), ("arrows", "lz4")]


def ours(path):
    """What we read, with the schema as we give it."""
    table = tenon.open(path, format="arrow")
    return arrow_table(pa.RecordBatchReader.from_stream(table), table)


def theirs(path):
    """What pyarrow reads of a file or a stream."""
    with pa.OSFile(str(path)) as source:
        if source.read(6) != b"ARROW1":
            source.seek(0)
            return arrow_table(pa.ipc.open_stream(source))
        reader = pa.ipc.open_file(source)
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        return arrow_table(pa.RecordBatchReader.from_batches(reader.schema, batches))


def golden(path, document):
    return difference(ours(path), Document.load(document).table())


def written(path, document, form, codec):
    want = Document.load(document).table()
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / f"again.{form}"
        tenon.write(out, tenon.open(path, format="arrow"), codec=codec)
        return difference(theirs(out), want, exact=False) or difference(ours(out), want)


def refused(path):
    try:
        ours(path)
    except REFUSALS:
        return None
    return "is read, but is of a version to come"


def either(path):
    try:
        for _ in pa.RecordBatchReader.from_stream(tenon.open(path, format="arrow")):
            pass
    except REFUSALS:
        pass
    return None


def cases(root, heavy):
    for document in sorted(root.rglob("*.json.gz")):
        for suffix in (".stream", ".arrow_file"):
            path = document.with_name(document.name[:-len(".json.gz")] + suffix)
            if not path.exists():
                continue
            name = str(path.relative_to(root))
            yield "arrow golden", name, functools.partial(golden, path, document)
            for form, codec in FORMS:
                yield ("arrow written", f"{name} to {form} {codec}",
                       functools.partial(written, path, document, form, codec))
    for path in sorted(itertools.chain(root.rglob("*.arrow"), root.rglob("arrow-ipc-*/*"))):
        name = str(path.relative_to(root))
        if path.suffix == ".arrow" and "compatibility" in path.parent.name:
            yield "arrow to come", name, functools.partial(refused, path)
        elif path.is_file() and path.parent.name.startswith("arrow-ipc-") and path.suffix != ".md":
            yield "arrow fuzz", name, functools.partial(either, path)
