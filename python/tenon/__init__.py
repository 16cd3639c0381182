# SPDX-License-Identifier: Apache-2.0
"""Tenon's columns from Python: tables in files as Arrow streams, without a copy and without a build step.

    import pyarrow as pa, tenon
    table = pa.table(tenon.open("trips.csv"))
    tenon.write("trips.parquet", tenon.open("trips.csv"), codec="zstd")

Any library that speaks the Arrow PyCapsule interface (pyarrow, DuckDB, Polars, arro3) takes what `open`
gives and gives what `write` takes.  `read_options()` and `write_options()` name the options.
"""
import ctypes
import os

from ._lib import (LIB, SCHEMA_NAME, STREAM_NAME, ArrowArrayStream, ArrowSchema, Error, call, capsule,
                   capsule_pointer, option_names, options as _options, release as _release)

__version__ = LIB.tn_version().decode()
__all__ = ["Error", "ParquetFile", "Table", "open", "read_options", "write", "write_options"]


def read_options():
    return option_names(writing=False)


def write_options():
    return option_names(writing=True)


class _Streams:
    """What gives Arrow streams: `_stream()` makes a fresh one."""

    def __arrow_c_stream__(self, requested_schema=None):
        return capsule(self._stream(), STREAM_NAME)

    def __arrow_c_schema__(self):
        stream, schema = self._stream(), ArrowSchema()
        get_schema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(
            stream.get_schema)
        try:
            if get_schema(ctypes.addressof(stream), ctypes.addressof(schema)) != 0:
                last = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(stream.get_last_error)
                text = last(ctypes.addressof(stream)) or b"no schema"
                raise Error(text.decode(errors="replace"), "malformed data")
        finally:
            _release(stream)
        return capsule(schema, SCHEMA_NAME)


class Table(_Streams):
    """A table in a file; every stream taken from it reads the file afresh."""

    def __init__(self, path, options):
        self.path, self.options = os.fspath(path), dict(options)

    def __repr__(self):
        return f"tenon.Table({self.path!r})"

    def _stream(self):
        stream = ArrowArrayStream()
        call("tn_columns_open", ctypes.byref(stream), os.fsencode(self.path),
             _options(self.options))
        return stream


def open(path, **options):
    """A table in a file.  What is wrong with path or options shows here, what is wrong further inside when
    it is read."""
    table = Table(path, options)
    _release(table._stream())
    return table


def write(path, stream, **options):
    """Writes anything that has __arrow_c_stream__; the file appears only when it is whole."""
    held = stream.__arrow_c_stream__()
    call("tn_columns_write", os.fsencode(path), capsule_pointer(held, STREAM_NAME),
         _options(options))


class ParquetFile(_Streams):
    """A Parquet file held open: its footer is parsed once."""

    def __init__(self, path, **options):
        self._file = ctypes.c_void_p()
        call("tn_columns_parquet_open", ctypes.byref(self._file), os.fsencode(path),
             _options(options))

    def __len__(self):
        return LIB.tn_columns_parquet_rows(self._file)

    def _stream(self):
        stream = ArrowArrayStream()
        call("tn_columns_parquet_scan", self._file, ctypes.byref(stream))
        return stream

    def __del__(self):
        if getattr(self, "_file", None):
            LIB.tn_columns_parquet_close(self._file)
