# SPDX-License-Identifier: Apache-2.0
"""Token shards: read by pyarrow without a copy, equal to Hugging Face's ids, whole after a kill."""
import json
import random
import signal
import subprocess
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

SEED = 20261124


@pytest.fixture(scope="session")
def corpus(testdata, tmp_path_factory):
    """Shakespeare by paragraphs, with some nulls, in several row groups."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = (testdata / "text/tinyshakespeare.txt").read_text().split("\n\n")
    rows = [None if i % 50 == 7 else row for i, row in enumerate(rows)]
    pq.write_table(pa.table({"n": range(len(rows)), "text": rows}), folder / "plays.parquet",
                   row_group_size=1500, compression="zstd")
    return folder / "plays.parquet", [row for row in rows if row is not None]


@pytest.fixture(scope="session")
def tokenizer(tenon, corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer")
    tenon("tokenizer", "train", corpus[0], "--vocab-size", 1000, "--out", out)
    return out


def pack(tenon, corpus, tokenizer, out, *options, **kwargs):
    return tenon("feed", "pack", corpus[0], "--tokenizer", tokenizer, "--out", out, *options, **kwargs)


def shard_columns(folder):
    index = json.loads((folder / "index.json").read_text())
    for shard in index["shards"]:
        with pa.memory_map(str(folder / shard["file"])) as mapped:
            before = pa.total_allocated_bytes()
            table = pa.ipc.open_file(mapped).read_all()
            assert pa.total_allocated_bytes() == before  # a view of the file, not a copy
        assert table.schema == pa.schema([pa.field("tokens", pa.int32(), nullable=False)])
        column = table.column("tokens")
        assert column.null_count == 0 and len(column) == shard["tokens"]
        yield column.to_numpy()


def test_pyarrow_sees_hugging_face_s_ids(tenon, corpus, tokenizer, tmp_path):
    out = tmp_path / "tokens"
    result = json.loads(pack(tenon, corpus, tokenizer, out, "--shard-tokens", "50k", "--json").stdout)
    theirs = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    want = [i for text in corpus[1] for i in theirs.encode(text).ids + [0]]
    columns = list(shard_columns(out))
    assert len(columns) == result["shards"] > 3
    assert all(column[-1] == 0 and len(column) <= 50000 for column in columns)
    assert np.array_equal(np.concatenate(columns), np.array(want, dtype=np.int32))
    assert result["tokens"] == len(want) and result["documents"] == len(corpus[1])
    seen = tenon.json("feed", "inspect", out, "--verify")
    assert (seen["tokens"], seen["vocab_size"], seen["eos_id"]) == (len(want), 1000, 0)
    assert seen["tokenizer_hash"] == tenon.json("tokenizer", "inspect", tokenizer)["hash"]


def test_threads_do_not_change_anything(tenon, corpus, tokenizer, tmp_path):
    for threads in (1, 2, 5):
        pack(tenon, corpus, tokenizer, tmp_path / str(threads), "--threads", threads)
    indexes = {(tmp_path / str(threads) / "index.json").read_bytes() for threads in (1, 2, 5)}
    assert len(indexes) == 1  # file names and hashes included


def test_a_finished_set_is_replaced_only_by_force(tenon, corpus, tokenizer, tmp_path):
    out = tmp_path / "tokens"
    pack(tenon, corpus, tokenizer, out)
    before = (out / "index.json").read_bytes()
    assert "index.json" in tenon.fails("feed", "pack", corpus[0], "--tokenizer", tokenizer, "--out", out)
    assert (out / "index.json").read_bytes() == before
    pack(tenon, corpus, tokenizer, out, "--shard-tokens", 20000, "--force")
    index = json.loads((out / "index.json").read_text())
    assert sorted(p.name for p in out.iterdir()) == sorted(["index.json"] + [s["file"] for s in index["shards"]])


@pytest.mark.parametrize("had_old", [False, True])
def test_kill_leaves_old_or_nothing(tenon, corpus, tokenizer, tmp_path, had_old):
    print("seed", SEED)
    rng = random.Random(SEED + had_old)
    out = tmp_path / "tokens"
    old = None
    if had_old:
        pack(tenon, corpus, tokenizer, out, "--shard-tokens", 30000)
        old = tenon.json("feed", "inspect", out, "--verify")["hash"]
    words = [str(tenon.path), "feed", "pack", str(corpus[0]), "--tokenizer", str(tokenizer), "--out", str(out),
             "--shard-tokens", "1500", "--quiet"] + (["--force"] if had_old else [])
    interrupted = 0
    for _ in range(12):
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
            # Once the first new shard is there the run is in its middle.
            seen = len(list(out.glob("*"))) if out.exists() else 0
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and running.poll() is None:
                if out.exists() and len(list(out.glob("*"))) > seen + rng.randrange(0, 60):
                    break
            running.kill()
        if running.returncode != -signal.SIGKILL:
            break  # it was faster: a whole new set, checked below
        interrupted += 1
        if had_old:
            assert tenon.json("feed", "inspect", out, "--verify")["hash"] == old
        else:
            assert not (out / "index.json").exists()
            assert "index.json" in tenon.fails("feed", "inspect", out)
    assert interrupted >= 3
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # the same command, again
    seen = tenon.json("feed", "inspect", out, "--verify")
    assert seen["hash"] != old
    assert len(list(out.iterdir())) == len(seen["shards"]) + 1  # nothing of the killed runs is left


def test_full_disk_is_one_error(tenon, corpus, tokenizer, tmp_path):
    """A limit on file size stands in for the full disk: the same refused write, without root."""
    import resource
    out = tmp_path / "tokens"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

    line = tenon.fails("feed", "pack", corpus[0], "--tokenizer", tokenizer, "--out", out, preexec_fn=limit)
    assert "tokens" in line
    assert not (out / "index.json").exists() and list(out.iterdir()) == []


def test_bench_reads_where_the_files_are_mapped(tenon, corpus, tokenizer, tmp_path):
    out = tmp_path / "tokens"
    pack(tenon, corpus, tokenizer, out, "--shard-tokens", 100000)
    result = tenon.json("feed", "bench", out, "--batch", 4, "--tokens", 64, "--seconds", 0.2)
    assert result["shards"] == result["shards_mapped"] > 1
    assert result["batches"] > 0 and result["tokens_per_second"] > 0
    assert 0 <= result["wait_share"] <= 1
    assert "mapped" in tenon("feed", "bench", out, "--tokens", 64, "--seconds", 0.1).stdout


def test_damage_is_named(tenon, corpus, tokenizer, tmp_path):
    out = tmp_path / "tokens"
    pack(tenon, corpus, tokenizer, out)
    shard = next(out.glob("*.arrow"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:])
    assert shard.name in tenon.fails("feed", "inspect", out, "--verify")
    shard.write_bytes(whole[:len(whole) // 2])
    assert shard.name in tenon.fails("feed", "inspect", out)
    shard.unlink()
    assert shard.name in tenon.fails("feed", "inspect", out)


def test_usage(tenon, corpus, tokenizer, tmp_path):
    assert "--tokenizer" in tenon.fails("feed", "pack", corpus[0], "--out", tmp_path, code=2)
    line = tenon.fails("feed", "pack", corpus[0], "--tokenizer", tmp_path / "none", "--out", tmp_path / "o")
    assert "none" in line
    assert "plays" in tenon.fails("feed", "pack", tmp_path / "plays.parquet", "--tokenizer", tokenizer, "--out",
                                  tmp_path / "o")
    line = tenon.fails("feed", "pack", corpus[0], "--tokenizer", tokenizer, "--out", tmp_path / "o", "--column", "x")
    assert "x" in line
    line = tenon.fails("feed", "pack", corpus[0], "--tokenizer", tokenizer, "--out", tmp_path / "o", "--eos", "<z>")
    assert "<z>" in line
