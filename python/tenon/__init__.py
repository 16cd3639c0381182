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

from ._lib import (LIB, SCHEMA_NAME, STREAM_NAME, ArrowArrayStream, Error, call, capsule,
                   capsule_pointer, option_names, options as _options, release as _release)

__version__ = LIB.tn_version().decode()
__all__ = ["Error", "ParquetFile", "Table", "open", "read_options", "write", "write_options"]


def read_options():
    return option_names(writing=False)


def write_options():
    return option_names(writing=True)


class _Streams:
    """What gives Arrow streams: _fill(address) makes a fresh one there."""

    def __arrow_c_stream__(self, requested_schema=None):
        return capsule(STREAM_NAME, self._fill)

    def __arrow_c_schema__(self):
        return capsule(SCHEMA_NAME, self._fill_schema)

    def _fill_schema(self, address):
        stream = ArrowArrayStream()
        self._fill(ctypes.addressof(stream))
        get_schema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(
            stream.get_schema)
        last_error = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)(stream.get_last_error)
        try:
            if get_schema(ctypes.addressof(stream), address) != 0:
                text = last_error(ctypes.addressof(stream)) or b"no schema"
                raise Error(text.decode(errors="replace"), "malformed data")
        finally:
            _release(stream)


class Table(_Streams):
    """A table in a file; every stream taken from it reads the file afresh."""

    def __init__(self, path, options):
        self.path, self.options = os.fspath(path), dict(options)

    def __repr__(self):
        return f"tenon.Table({self.path!r})"

    def _fill(self, address):
        call("tn_columns_open", address, os.fsencode(self.path), _options(self.options))


def open(path, **options):
    """A table in a file.  What is wrong with path or options shows here, what is wrong further inside when
    it is read."""
    table, stream = Table(path, options), ArrowArrayStream()
    table._fill(ctypes.addressof(stream))
    _release(stream)
    return table


def write(path, stream, **options):
    """Writes anything that has __arrow_c_stream__; the file appears only when it is whole."""
    held = stream.__arrow_c_stream__()
    call("tn_columns_write", os.fsencode(path), capsule_pointer(held, STREAM_NAME),
         _options(options))


class _Rows(_Streams):
    def __init__(self, file, rows):
        self._of, self._numbers = file, (ctypes.c_int64 * len(rows))(*rows)

    def _fill(self, address):
        call("tn_columns_parquet_take", self._of._file, self._numbers, len(self._numbers), address)


class ParquetFile(_Streams):
    """A Parquet file held open: its footer is parsed once."""

    def __init__(self, path, **options):
        self._file = ctypes.c_void_p()
        call("tn_columns_parquet_open", ctypes.byref(self._file), os.fsencode(path),
             _options(options))

    def __len__(self):
        return LIB.tn_columns_parquet_rows(self._file)

    def _fill(self, address):
        call("tn_columns_parquet_scan", self._file, address)

    def take(self, rows):
        """The rows of these numbers, which ascend; with a page index only their pages are read."""
        return _Rows(self, rows)

    def __del__(self):
        if getattr(self, "_file", None):
            LIB.tn_columns_parquet_close(self._file)
