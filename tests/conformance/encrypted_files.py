# SPDX-License-Identifier: Apache-2.0
"""Encrypted Parquet files, with the keys that the README beside them, or above, tells.

    X.parquet.encrypted          read with the values of the files of the same folder that pyarrow can open (one
                                 key for all columns); and refused without keys
    "_KEY_MATERIAL_FOR_X.json"   X's keys are wrapped by a key service: skipped
"""
import functools
import json
import pathlib
import re
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

import tenon
from files import below
from parquet_files import Skip
from values import REFUSALS, difference


def key_sets(readme):
    """[{key id: bytes}] as the lists of the README have them: '* key: {0,1,...}', the characters of a text, and
    then '* key_id: "kf"'."""
    pairs = re.findall(r"\* key:\s*\{([\d,\s]+)\}\s*\n\s*\* key_id: \"(\w+)\"", readme)
    sets = []
    for digits, name in pairs:
        if not sets or name in sets[-1]:
            sets.append({})
        sets[-1][name] = "".join(digit.strip() for digit in digits.split(",")).encode()
    return sets


def prefixes(readme):
    """Names of files that are listed behind 'AAD prefix "..."'."""
    found = {}
    for prefix, names in re.findall(r'AAD prefix "(\w+)":\n((?:\d+\. .*\n)+)', readme):
        found.update({name.replace("\\", "").strip(): prefix for name in re.findall(r"\d+\. (.*)", names)})
    return found


def readme_of(path, root):
    for folder in path.parents:
        if (folder / "README.md").exists():
            return (folder / "README.md").read_text()
        if folder == root:
            break
    raise Skip("no README with keys")


def ours(path, keys, prefix, columns):
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "keys.json"
        text = {"by_id": {name: key.hex() for name, key in keys.items()},
                "footer": next(iter(keys.values())).hex()}
        if prefix:
            text["aad_prefix"] = prefix
        file.write_text(json.dumps(text))
        return pa.table(tenon.open(path, format="parquet", key_file=file, columns=columns, int96="us"))


def opened(path, root, columns):
    readme = readme_of(path, root)
    prefix = prefixes(readme).get(path.name)
    wrong = []
    for keys in key_sets(readme):
        for given in ([prefix, None] if prefix else [None]):
            try:
                return ours(path, keys, given, columns)
            except REFUSALS as refusal:
                wrong.append(str(refusal).replace(str(path), path.name))
    raise AssertionError(f"with no set of keys: {wrong}")


def truth(folder, root):
    """A table of the folder's files that one key opens.  Their INT96 are no dates of this era: microseconds."""
    for path in sorted(folder.glob("*.parquet.encrypted")):
        for keys in key_sets(readme_of(path, root)):
            try:
                decryption = pe.create_decryption_properties(next(iter(keys.values())))
                return pq.ParquetFile(path, decryption_properties=decryption,
                                      coerce_int96_timestamp_unit="us").read()
            except Exception:
                continue
    raise Skip("pyarrow opens no file of this folder")


def check(path, root):
    if (path.parent / f"_KEY_MATERIAL_FOR_{path.name}.json").exists():
        raise Skip("its keys are wrapped by a key service")
    want = truth(path.parent, root)
    try:
        mine = opened(path, root, want.column_names)
    except AssertionError as failed:
        if "no column" not in str(failed):
            raise
        mine = opened(path, root, None)
        raise Skip(f"{mine.num_rows} rows are read, but pyarrow opens no file of these columns to compare with")
    if mine.num_rows != want.num_rows:  # another table: what it begins with is the same
        rows = min(mine.num_rows, want.num_rows)
        mine, want = mine.slice(0, rows), want.slice(0, rows)
    wrong = difference(mine, want)
    if wrong:
        return wrong
    try:
        pa.table(tenon.open(path, format="parquet"))
    except REFUSALS:
        return None
    return "was read without keys"


def cases(root, heavy=False):
    for path in below(root, lambda p: p.name.endswith(".parquet.encrypted")):
        yield "parquet, encrypted", str(path.relative_to(root)), functools.partial(check, path, root)
