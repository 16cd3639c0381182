# SPDX-License-Identifier: Apache-2.0
"""`tenon quantize --resume`: a run that was killed, interrupted, or out of disk goes on behind its last
finished layer, and what comes out is, byte for byte, what an uninterrupted run writes."""
import os
import resource
import signal
import subprocess
import time

import pytest

from test_quantize import random_model

LAYERS = 4
WAYS = [
    ("--to", "int4", "--method", "gptq", "--group", "32"),
    ("--to", "int4", "--method", "awq", "--group", "32", "--asymmetric"),
    ("--to", "int8", "--method", "gptq", "--smooth"),
    ("--to", "int8", "--method", "gptq", "--smooth", "--ignore", "layers.0.", "--ignore", "layers.2."),
    ("--to", "fp8", "--method", "rtn", "--kv", "fp8"),
    ("--to", "int4", "--format", "gguf"),
]


@pytest.fixture(scope="module")
def model(tenon, tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("model"), tenon, num_hidden_layers=LAYERS,
                        head_dim=16, dtype="bfloat16")


def words_of(model, out, *more):
    return ["quantize", model, out, "--data", model / "text.txt", "--samples", 96, "--eval-tokens", 128, *more]


def content(out):
    if out.is_file():
        return out.read_bytes()
    return sorted((p.name, p.read_bytes()) for p in out.iterdir())


def layers_in(folder):
    return len(list(folder.glob("layer-*.safetensors"))) if folder.exists() else 0


def stop(tenon, words, kept, layers, number):
    """Sends the signal once so many layers are there."""
    with subprocess.Popen([str(tenon.path), *map(str, words)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as running:
        wanted, deadline = str(kept / f"layer-{layers - 1}.safetensors"), time.monotonic() + 60
        while not os.path.exists(wanted) and running.poll() is None and time.monotonic() < deadline:
            pass
        running.send_signal(number)
        errors = running.communicate(timeout=60)[1]
    return running.returncode, errors


@pytest.fixture(scope="module")
def whole(tenon, model, tmp_path_factory):
    """What each way writes when nothing happens to it, once."""
    made = {}

    def make(words):
        if words not in made:
            out = tmp_path_factory.mktemp("whole") / "out"
            assert tenon.json(*words_of(model, out, *words))["layers_resumed"] == 0
            assert [p.name for p in out.parent.iterdir()] == ["out"]
            made[words] = content(out)
        return made[words]
    return make


@pytest.mark.parametrize("words", WAYS, ids=" ".join)
def test_killed_after_each_layer_in_turn(tenon, model, whole, tmp_path, words):
    out, kept = tmp_path / "out", tmp_path / "out.unfinished"
    kills = 0
    for layers in range(1, LAYERS):
        code, _ = stop(tenon, words_of(model, out, *words, *(["--resume"] if layers > 1 else [])), kept,
                       layers, signal.SIGKILL)
        if code == 0:
            break  # it was faster than the kill
        kills += 1
        assert code == -signal.SIGKILL and not out.exists()
        assert layers_in(kept) >= layers
    assert kills > 0
    if not out.exists():
        there = layers_in(kept)
        # the number of threads is no part of what a run is
        done = tenon.json(*words_of(model, out, *words, "--resume", "--threads", 1))
        assert done["layers_resumed"] == there >= LAYERS - 1
    assert content(out) == whole(words)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_interrupted(tenon, model, whole, tmp_path):
    out, kept, words = tmp_path / "new/out", tmp_path / "new/out.unfinished", WAYS[0]
    code, errors = stop(tenon, words_of(model, out, *words), kept, 1, signal.SIGINT)
    assert code == 130 and "--resume" in errors, errors
    there = layers_in(kept)
    assert there >= 1
    # without --resume it is named, and nothing happens to it
    refused = tenon(*words_of(model, out, *words), check=False)
    assert refused.returncode == 1 and "--resume goes on with it" in refused.stderr
    assert f"out.unfinished holds {there} finished layer" in refused.stderr
    for force in ((), ("--force",)):
        assert "out.unfinished" in tenon.fails(*words_of(model, out, *words, *force))
    assert layers_in(kept) == there
    assert tenon.json(*words_of(model, out, *words, "--resume"))["layers_resumed"] == there
    assert content(out) == whole(words)


def test_other_words_are_refused(tenon, model, whole, tmp_path):
    out, kept, words = tmp_path / "out", tmp_path / "out.unfinished", WAYS[0]
    code, _ = stop(tenon, words_of(model, out, *words), kept, 2, signal.SIGKILL)
    assert code == -signal.SIGKILL
    before = content(kept)
    for more, error in [(("--group", "64"), 'group was "32"'), (("--damping", "0.02"), "damping was"),
                        (("--no-aim",), 'aim was "yes"'), (("--samples", "8"), "samples was"),
                        (("--natural-order",), "order was"), (("--ignore", "down"), "ignore 1 was"),
                        (("--method", "awq"), 'method was "gptq" when it was begun, now it is "awq"')]:
        assert error in tenon.fails(*words_of(model, out, *words, "--resume", *more))
    other = tmp_path / "other.txt"
    other.write_text((model / "text.txt").read_text().replace("meadow", "garden"))
    assert "was" in tenon.fails("quantize", model, out, "--data", other, "--samples", 96, *words, "--resume")
    (tmp_path / "model").mkdir()
    changed = random_model(tmp_path / "model", tenon, num_hidden_layers=LAYERS, dtype="float16")
    assert "model was" in tenon.fails(*words_of(model, out, *words, "--resume")[:1], changed,
                                      *words_of(model, out, *words, "--resume")[2:])
    assert [c for c in content(kept) if not c[0].startswith(".")] == [c for c in before if not c[0].startswith(".")]
    tenon(*words_of(model, out, *words, "--resume", "--quiet"))
    assert content(out) == whole(words)


def limit(count):
    def set_limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (count, count))
    return set_limit


def test_full_disk(tenon, model, whole, tmp_path):
    """A limit on file size stands in for the full disk."""
    out, kept, words = tmp_path / "out", tmp_path / "out.unfinished", WAYS[2]
    tenon.fails(*words_of(model, out, *words), preexec_fn=limit(10000))
    assert list(tmp_path.iterdir()) == []  # no layer was done
    sizes = dict(whole(words))
    fits = len(sizes["model.safetensors"]) - 1  # layers do, the result does not
    done = tenon(*words_of(model, out, *words), check=False, preexec_fn=limit(fits))
    assert done.returncode == 1 and "model.safetensors" in done.stderr and "--resume" in done.stderr
    assert sorted(p.name for p in kept.iterdir()) == [f"layer-{i}.safetensors" for i in range(LAYERS)] + ["run.json"]
    assert tenon.json(*words_of(model, out, *words, "--resume"))["layers_resumed"] == LAYERS
    assert content(out) == whole(words)


def test_damaged_layer(tenon, model, whole, tmp_path):
    out, kept, words = tmp_path / "out", tmp_path / "out.unfinished", WAYS[0]
    code, _ = stop(tenon, words_of(model, out, *words), kept, 2, signal.SIGKILL)
    assert code == -signal.SIGKILL
    file = kept / "layer-1.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    done = tenon(*words_of(model, out, *words, "--resume"), check=False)
    assert done.returncode == 1 and "layer-1.safetensors" in done.stderr and "remove that file" in done.stderr
    file.unlink()
    assert tenon.json(*words_of(model, out, *words, "--resume"))["layers_resumed"] == 1
    assert content(out) == whole(words)


def test_what_a_kill_leaves_of_the_result_goes(tenon, model, whole, tmp_path):
    out, kept, words = tmp_path / "out", tmp_path / "out.unfinished", WAYS[0]
    stop(tenon, words_of(model, out, *words), kept, 1, signal.SIGKILL)
    (kept / "model").mkdir()
    (kept / "model/half.safetensors").write_bytes(b"half")
    tenon(*words_of(model, out, *words, "--resume"))
    assert content(out) == whole(words)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_is_nobody_elses(tenon, model, tmp_path):
    out, mine = tmp_path / "out", tmp_path / "out.unfinished/thesis.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    assert "thesis.txt" in tenon.fails(*words_of(model, out, "--group", 32, "--resume"))
    assert mine.read_text() == "precious"
    tenon("quantize", model, out, "--group", 32)  # nothing is calibrated: it has no use for the folder
    assert mine.read_text() == "precious"


def test_resume_of_nothing(tenon, model, whole, tmp_path):
    tenon.fails("quantize", model, tmp_path / "out", "--group", 32, "--resume", code=2)
    assert tenon.json(*words_of(model, tmp_path / "out", *WAYS[0], "--resume"))["layers_resumed"] == 0
    assert content(tmp_path / "out") == whole(WAYS[0])
