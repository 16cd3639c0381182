# SPDX-License-Identifier: Apache-2.0
"""Modular encryption against pyarrow and DuckDB, both ways, and against the files of parquet-testing."""
import base64
import json
import pathlib
import random
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

import tenon as tn  # noqa: E402

REFUSED = (tn.Error, OSError, pa.ArrowException)  # by name, or inside a stream that pyarrow reads

KEYS = {16: b"0123456789abcdef", 24: b"0123456789abcdef01234567",
        32: b"0123456789abcdef0123456789abcdef"}


@pytest.fixture(scope="module")
def table():
    rng = random.Random(7)
    n = 20_000
    return pa.table({
        "i": pa.array([rng.randrange(1 << 40) for _ in range(n)], pa.int64()),
        "s": pa.array([None if rng.random() < 0.1 else f"name {rng.randrange(500)}" for _ in range(n)]),
        "x": pa.array([rng.random() for _ in range(n)], pa.float64()),
        "l": pa.array([[rng.randrange(9) for _ in range(rng.randrange(4))] for _ in range(n)],
                      pa.list_(pa.int32())),
    })


def key_file(path, **keys):
    """A key file of ours; bytes become hexadecimal digits."""
    def plain(value):
        if isinstance(value, bytes):
            return value.hex()
        return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else value
    path.write_text(json.dumps(plain(keys)))
    return str(path)


def read(path, **options):
    return pa.table(tn.open(path, format="parquet", **options))


@pytest.mark.parametrize("size", KEYS)
@pytest.mark.parametrize("algorithm", ["AES_GCM_V1", "AES_GCM_CTR_V1"])
@pytest.mark.parametrize("plain_footer", [False, True])
@pytest.mark.parametrize("page_version", ["1.0", "2.0"])
def test_pyarrow_writes_we_read(table, tmp_path, size, algorithm, plain_footer, page_version):
    path = tmp_path / "t.parquet"
    properties = pe.create_encryption_properties(KEYS[size], encryption_algorithm=algorithm,
                                                 plaintext_footer=plain_footer)
    pq.write_table(table, path, encryption_properties=properties, row_group_size=7000,
                   data_page_size=4096, data_page_version=page_version, write_page_index=True)
    keys = key_file(tmp_path / "keys.json", footer=KEYS[size])
    assert read(path, key_file=keys) == table
    wrong = key_file(tmp_path / "wrong.json", footer=KEYS[size][::-1])
    with pytest.raises(REFUSED, match="key is another one"):
        read(path, key_file=wrong)
    with pytest.raises(REFUSED, match="no key for it was given"):
        read(path)


@pytest.mark.parametrize("stored", [False, True])
def test_aad_prefix(table, tmp_path, stored):
    path = tmp_path / "t.parquet"
    properties = pe.create_encryption_properties(KEYS[16], aad_prefix=b"table-7",
                                                 store_aad_prefix=stored)
    pq.write_table(table, path, encryption_properties=properties)
    keys = key_file(tmp_path / "keys.json", footer=KEYS[16], aad_prefix="table-7")
    assert read(path, key_file=keys) == table
    without = key_file(tmp_path / "without.json", footer=KEYS[16])
    if stored:
        assert read(path, key_file=without) == table
    else:
        with pytest.raises(REFUSED, match="AAD prefix"):
            read(path, key_file=without)


class Kms(pe.KmsClient):
    """Wraps nothing, and remembers every key."""

    wrapped = {}

    def __init__(self, _config):
        super().__init__()

    def wrap_key(self, key_bytes, master_key_identifier):
        self.wrapped[master_key_identifier] = key_bytes
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key, _master_key_identifier):
        return base64.b64decode(wrapped_key)


def test_pyarrow_column_keys(table, tmp_path):
    path = tmp_path / "t.parquet"
    factory = pe.CryptoFactory(Kms)
    config = pe.EncryptionConfiguration("kf", column_keys={"ki": ["i"], "kl": ["l.list.element"]},
                                        double_wrapping=False)
    with pq.ParquetWriter(path, table.schema, encryption_properties=factory.file_encryption_properties(
            pe.KmsConnectionConfig(), config)) as writer:
        writer.write_table(table, row_group_size=6000)
    keys = key_file(tmp_path / "keys.json", footer=Kms.wrapped["kf"],
                    columns={"i": Kms.wrapped["ki"], "l": Kms.wrapped["kl"]})
    assert read(path, key_file=keys) == table
    some = key_file(tmp_path / "some.json", footer=Kms.wrapped["kf"])
    assert read(path, key_file=some, columns=["s", "x"]) == table.select(["s", "x"])
    with pytest.raises(REFUSED, match='column "i.*key of its own'):
        read(path, key_file=some)


def test_duckdb_writes_we_read(tmp_path):
    path = tmp_path / "t.parquet"
    db = duckdb.connect()
    db.execute("SET force_mbedtls_unsafe = 'true'")
    db.execute(f"PRAGMA add_parquet_key('kf', '{KEYS[16].decode()}')")
    db.execute(f"COPY (SELECT range AS a, 'x' || range % 97 AS b FROM range(30000)) TO '{path}' "
               "(FORMAT parquet, ENCRYPTION_CONFIG {footer_key: 'kf'})")
    got = read(path, key_file=key_file(tmp_path / "keys.json", footer=KEYS[16]))
    assert got.column("a").to_pylist() == list(range(30000))
    assert got.column("b").to_pylist() == [f"x{i % 97}" for i in range(30000)]


@pytest.mark.parametrize("size", KEYS)
@pytest.mark.parametrize("ctr", [False, True])
@pytest.mark.parametrize("plain_footer", [False, True])
def test_we_write_pyarrow_reads(table, tmp_path, size, ctr, plain_footer):
    path = tmp_path / "t.parquet"
    keys = key_file(tmp_path / "keys.json", footer=KEYS[size], ctr=ctr, plain_footer=plain_footer,
                    aad_prefix="table-7")
    tn.write(path, table, key_file=keys, row_group_rows=7000, page_bytes=4096)
    assert path.read_bytes()[:4] == (b"PAR1" if plain_footer else b"PARE")
    properties = pe.create_decryption_properties(KEYS[size])
    assert pq.read_table(path, decryption_properties=properties) == table
    assert read(path, key_file=keys) == table
    assert b"name 1" not in path.read_bytes()


def test_we_write_duckdb_reads(table, tmp_path):
    path = tmp_path / "t.parquet"
    keys = key_file(tmp_path / "keys.json", footer=KEYS[16])
    tn.write(path, table.select(["i", "s", "x"]), key_file=keys)
    db = duckdb.connect()
    db.execute(f"PRAGMA add_parquet_key('kf', '{KEYS[16].decode()}')")
    got = db.execute(f"SELECT * FROM read_parquet('{path}', encryption_config = {{footer_key: 'kf'}})")
    assert got.to_arrow_table().to_pydict() == table.select(["i", "s", "x"]).to_pydict()


def key_material(master, key, is_footer):
    """What pyarrow expects as key metadata, with the key wrapped by the Kms above."""
    material = {"keyMaterialType": "PKMT1", "internalStorage": True, "isFooterKey": is_footer,
                "masterKeyID": master, "doubleWrapping": False,
                "wrappedDEK": base64.b64encode(key).decode()}
    if is_footer:
        material |= {"kmsInstanceID": "DEFAULT", "kmsInstanceURL": "DEFAULT"}
    return json.dumps(material)


def test_our_column_keys(table, tmp_path):
    path = tmp_path / "t.parquet"
    keys = key_file(tmp_path / "keys.json", footer=KEYS[16],
                    columns={"i": KEYS[16][::-1], "l": KEYS[32], "x": ""},
                    ids={"": key_material("kf", KEYS[16], True),
                         "i": key_material("ki", KEYS[16][::-1], False),
                         "l": key_material("kl", KEYS[32], False)})
    tn.write(path, table, key_file=keys)
    assert read(path, key_file=keys) == table
    properties = pe.CryptoFactory(Kms).file_decryption_properties(pe.KmsConnectionConfig())
    assert pq.read_table(path, decryption_properties=properties) == table


@pytest.mark.parametrize("plain_footer", [False, True])
def test_scan_takes_the_keys(tenon, tmp_path, plain_footer):
    path = tmp_path / "t.parquet"
    keys = key_file(tmp_path / "keys.json", footer=KEYS[16], columns={"s": KEYS[32]}, plain_footer=plain_footer)
    tn.write(path, pa.table({"i": range(1000), "s": [f"n{i}" for i in range(1000)]}), key_file=keys)
    words = ["data", "scan", "-q", "--as", "csv", "--where", "s = 'n7' or i = 999", path]
    assert tenon(*words, "--key-file", keys).stdout == "i,s\n7,n7\n999,n999\n"
    assert "no key" in tenon.fails(*words)
    assert tenon("data", "scan", "-q", "--count", "--key-file", keys, path).stdout == "1000\n"


def suite_files():
    from conftest import TESTDATA
    return sorted(pathlib.Path(TESTDATA).rglob("*.parquet.encrypted"))


def suite_keys(size):
    digits = "01234567890123456789012345678901"
    of = lambda n: (digits[1:] + digits[:1])[:size - 1] + str(n)
    columns = ["double_field", "float_field"] + (
        [] if size == 16 else ["boolean_field", "int32_field", "ba_field", "flba_field",
                               "int64_field", "int96_field"])
    first = 0 if size == 16 else 2
    return digits[:size].encode(), {c: of(first + i).encode() for i, c in enumerate(columns)}


@pytest.mark.parametrize("path", suite_files(), ids=lambda p: f"{p.parent.name}-{p.name}")
def test_parquet_testing(path, tmp_path):
    """Keys and values as parquet-testing/data/README.md and its generators say."""
    if "external_key_material" in path.name:
        with pytest.raises(REFUSED, match="key"):
            read(path)
        return
    footer, columns = suite_keys(32 if path.parent.name == "aes256" else 16)
    prefix = {"aad_prefix": "tester"} if "aad" in path.name else {}
    keys = key_file(tmp_path / "keys.json", footer=footer, columns=columns, **prefix)
    if "int96_field" in tn_names(path, keys):  # no dates of this era
        with pytest.raises(Exception, match="option int96 us reads microseconds"):
            read(path, key_file=keys)
    table = read(path, key_file=keys, int96="us")
    instants = table["int96_field"].cast(pa.int64()).to_pylist() if "int96_field" in table.column_names else []
    assert instants == [(i + 2 - 2440588) * 86_400_000_000 + ((i + 1 << 32) + i) // 1000 for i in range(len(instants))]
    got = table.drop_columns([n for n in table.column_names if n == "int96_field"]).to_pydict()
    rows = len(got["double_field"])
    if "bloom" in path.name:
        assert got["double_field"] == [i + 0.5 for i in range(rows)]
        assert got["name"] == [f"name_{i}" for i in range(rows)]
        return
    assert rows == 50
    assert got["boolean_field"] == [i % 2 == 0 for i in range(50)]
    assert got["double_field"] == pytest.approx([i * 1.1111111 for i in range(50)])
    assert got["float_field"] == pytest.approx([i * 1.1 for i in range(50)], rel=1e-6)
    assert got["int64_field"] == [[2 * i * 10**12, (2 * i + 1) * 10**12] for i in range(50)]
    assert got["ba_field"] == [None if i % 2 else f"parquet{i:03}".encode() for i in range(50)]


def tn_names(path, keys):
    return pa.schema(tn.open(path, format="parquet", key_file=keys)).names
