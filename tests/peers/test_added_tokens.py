# SPDX-License-Identifier: Apache-2.0
"""A tokenizer whose added tokens have ids above the model's, as Gemma 3's <image_soft_token>: the model
runs, as it does in transformers, and a text that holds such a token is refused by name."""
import json
import shutil

import pytest
from tokenizers import AddedToken, Tokenizer

from test_run import greedy
from test_serve import serving

IMAGE, AUDIO = "<image_soft_token>", "<audio>"


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    """<audio> is no special token: it is recognised in any text."""
    folder = tmp_path_factory.mktemp("added") / "model"
    shutil.copytree(tiny_model, folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    tokenizer.add_special_tokens([AddedToken(IMAGE, special=True)])
    tokenizer.add_tokens([AddedToken(AUDIO)])
    assert [tokenizer.token_to_id(t) for t in (IMAGE, AUDIO)] == [size, size + 1]
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 40)
    (folder / "bad.txt").write_text("the quick brown fox hears <audio> and jumps")
    (folder / "image.txt").write_text(f"the quick brown fox sees {IMAGE} and jumps")
    return folder, size


def names(line, token, id, size):
    return token in line and f"id {id}" in line and f"vocab_size is {size}" in line


def test_run(tenon, model):
    folder, size = model
    count, want = greedy(folder, "the quick brown", 24)
    got = tenon.json("run", folder, "--raw", "-p", "the quick brown", "-n", 24, "--temperature", 0)
    assert got["text"] == want and got["prompt_tokens"] == count
    # nearly every token is as likely as the other: none of them may be one that the model lacks
    tenon.json("run", folder, "--raw", "-p", "the", "-n", 400, "--temperature", 2, "--top-p", 1)
    assert names(tenon.fails("run", folder, "--raw", "-p", f"a {IMAGE}"), IMAGE, size, size)
    assert names(tenon.fails("run", folder, "-p", f"a {AUDIO}"), AUDIO, size + 1, size)


def test_serve(tenon, model, tmp_path):
    folder, size = model
    with serving(tenon, folder, tmp_path) as server:
        assert server.post("/v1/completions", {"prompt": "the quick", "max_tokens": 4})[0] == 200
        for path, body, param in (
                ("completions", {"prompt": f"a {IMAGE}"}, "prompt"),
                ("chat/completions", {"messages": [{"role": "user", "content": AUDIO}]}, "messages")):
            status, answer = server.post(f"/v1/{path}", {**body, "max_tokens": 4})
            assert (status, answer["error"]["param"]) == (400, param), answer
            token, id = (IMAGE, size) if param == "prompt" else (AUDIO, size + 1)
            assert names(answer["error"]["message"], token, id, size), answer
        answer = server.post("/v1/completions", {"prompt": "a", "max_tokens": 4, "response_format":
                                                 {"type": "json_object"}})
        assert answer[0] == 200, answer


def test_eval_and_quantize(tenon, model, tmp_path):
    folder, size = model
    assert tenon.json("eval", "perplexity", folder, "--data", folder / "text.txt", "--window", 64)["perplexity"] > 1
    for text, token, id in (("bad.txt", AUDIO, size + 1), ("image.txt", IMAGE, size)):
        line = tenon.fails("eval", "perplexity", folder, "--data", folder / text, "--window", 64)
        assert names(line, token, id, size)
        item = {"context": "the quick", "choices": ["brown", f"red {token}"], "answer": 0}
        (tmp_path / "bad.jsonl").write_text(json.dumps(item) + "\n")
        assert names(tenon.fails("eval", "choices", folder, "--data", tmp_path / "bad.jsonl"), token, id, size)
    words = ("--to", "int8", "--group", 32, "--samples", 4, "--tokens", 32, "--data")
    tenon("quantize", folder, tmp_path / "q", *words, folder / "text.txt")
    assert tenon.json("eval", "perplexity", tmp_path / "q", "--data", folder / "text.txt", "--window", 64)["perplexity"] > 1
    line = tenon.fails("quantize", folder, tmp_path / "r", *words, folder / "bad.txt")
    assert names(line, AUDIO, size + 1, size)


def test_gguf_holds_what_the_model_has(tenon, model, tmp_path):
    folder, size = model
    tenon("quantize", folder, tmp_path / "m.gguf", "--to", "f32", "--format", "gguf")
    words = ("--raw", "-p", "the quick brown", "-n", 8, "--temperature", 0)
    assert tenon.json("run", tmp_path / "m.gguf", *words)["text"] == tenon.json("run", folder, *words)["text"]


def test_embed(tenon, model):
    folder, size = model
    assert len(tenon.json("model", "embed", folder, "--text", "the quick brown")["embeddings"]) == 1
    line = tenon.fails("model", "embed", folder, "--text", "a", "--text", f"a {IMAGE}")
    assert names(line, IMAGE, size, size) and "text 2" in line


def test_train_from_such_a_model(tenon, model, tmp_path):
    """The data may not hold such a token either."""
    folder, size = model
    for text, steps in (("text.txt", 2), ("bad.txt", 0)):
        tokens = tmp_path / text
        (tmp_path / "long.txt").write_text((folder / text).read_text() * 20)
        tenon("feed", "pack", "--tokenizer", folder, "--out", tokens, tmp_path / "long.txt")
        (tmp_path / "run.yaml").write_text(f"""\
run: {tmp_path / "run"}
steps: 2
init: {folder}
data: {{tokens: {tokens}, tokenizer: {folder}/tokenizer.json, validation_share: 0}}
batch: {{sequences: 2, tokens: 16}}
""")
        if steps:
            tenon("train", tmp_path / "run.yaml")
        else:
            line = tenon.fails("train", tmp_path / "run.yaml", "--set", f"run={tmp_path / 'other'}")
            assert f"holds id {size + 1}" in line and f"knows {size}" in line
    text = folder / "text.txt"
    assert tenon.json("eval", "perplexity", tmp_path / "run", "--data", text, "--window", 16)["perplexity"] > 1


def test_inspect_counts_them(tenon, model):
    assert "does not have 2 of its added tokens" in tenon("models", "inspect", model[0]).stdout
