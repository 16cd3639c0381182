# SPDX-License-Identifier: Apache-2.0
"""libtenon.so through ctypes: where it lies, its functions, its errors, PyCapsules of Arrow streams."""
import ctypes
import json
import os
import pathlib

STREAM_NAME = b"arrow_array_stream"
SCHEMA_NAME = b"arrow_schema"


class Error(RuntimeError):
    """What the library reported; `status` is its name: "malformed data", "not found" ..."""

    def __init__(self, text, status):
        super().__init__(text)
        self.status = status


class _CError(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("text", ctypes.c_char * 500)]


class ArrowArrayStream(ctypes.Structure):
    _fields_ = [("get_schema", ctypes.c_void_p), ("get_next", ctypes.c_void_p),
                ("get_last_error", ctypes.c_void_p), ("release", ctypes.c_void_p),
                ("private_data", ctypes.c_void_p)]


def _find():
    here = pathlib.Path(__file__).resolve()
    places = [os.environ.get("TENON_LIBRARY"), here.parents[2] / "build/release/libtenon.so",
              "libtenon.so"]
    for place in places:
        if place and (str(place) == "libtenon.so" or pathlib.Path(place).exists()):
            return ctypes.CDLL(str(place))
    raise ImportError("libtenon.so is missing: make builds it, TENON_LIBRARY names another place")


LIB = _find()
_P, _I64, _TEXT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p


def _declare(name, result, *arguments):
    function = getattr(LIB, name)
    function.restype, function.argtypes = result, arguments
    return function


_declare("tn_version", _TEXT)
_declare("tn_status_text", _TEXT, ctypes.c_int)
_declare("tn_capsule_new", _P)
_declare("tn_capsule_drop", None, _P)
_declare("tn_columns_option", _TEXT, ctypes.c_int32, ctypes.c_int32, _P)
_declare("tn_columns_open", ctypes.c_int, _P, _TEXT, _P, _P)
_declare("tn_columns_write", ctypes.c_int, _TEXT, _P, _P, _P)
_declare("tn_columns_parquet_open", ctypes.c_int, _P, _TEXT, _P, _P)
_declare("tn_columns_parquet_close", None, _P)
_declare("tn_columns_parquet_rows", _I64, _P)
_declare("tn_columns_parquet_scan", ctypes.c_int, _P, _P, _P)
_declare("tn_columns_parquet_take", ctypes.c_int, _P, _P, _I64, _P, _P)


def call(name, *arguments):
    """Calls a function whose last parameter is the error; anything but TN_OK raises Error."""
    error = _CError()
    status = getattr(LIB, name)(*arguments, ctypes.byref(error))
    if status != 0:
        raise Error(error.text.decode(errors="replace"), LIB.tn_status_text(status).decode())


def option_names(writing):
    names = []
    while name := LIB.tn_columns_option(int(writing), len(names), None):
        names.append(name.decode())
    return names


def options(values):
    """{"columns": ["a"], "no_header": True} -> the NULL-terminated array that the library takes."""
    texts = []
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif isinstance(value, (list, tuple)):
            value = json.dumps(list(value))
        elif isinstance(value, dict):
            value = json.dumps(value)
        texts += [key.encode(), os.fsencode(value) if isinstance(value, os.PathLike)
                  else str(value).encode()]
    return (_TEXT * (len(texts) + 1))(*texts, None)


# ---- PyCapsules (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html) ----------
_new = ctypes.PYFUNCTYPE(ctypes.py_object, _P, _TEXT, _P)(("PyCapsule_New", ctypes.pythonapi))
_pointer_of = ctypes.PYFUNCTYPE(_P, ctypes.py_object, _TEXT)(
    ("PyCapsule_GetPointer", ctypes.pythonapi))
_destructor = ctypes.cast(LIB.tn_capsule_free, _P)


def capsule(name, fill):
    """A PyCapsule whose struct fill(address) has filled."""
    address = LIB.tn_capsule_new()
    if not address:
        raise MemoryError(name)
    try:
        fill(address)
        return _new(address, name, _destructor)
    except BaseException:
        LIB.tn_capsule_drop(address)
        raise


def capsule_pointer(held, name):
    return _pointer_of(held, name)


def release(struct):
    if struct.release:
        ctypes.CFUNCTYPE(None, _P)(struct.release)(ctypes.addressof(struct))
