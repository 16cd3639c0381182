# SPDX-License-Identifier: Apache-2.0
"""Weights that are no numbers: quantizing refuses them by file, tensor and element, and no figure is made
of them."""
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_serve import Server, serving

WAYS = [("--to", "int4", "-g", 32), ("--to", "int8"), ("--to", "fp8"), ("--to", "q4_k_m", "--format", "gguf"),
        ("--to", "f32", "--format", "gguf"), ("--to", "int8", "--method", "gptq", "--data"),
        ("--to", "int8", "--method", "awq", "--data")]


@pytest.fixture
def damaged(tiny_model, tmp_path):
    """A model of this type with one element of one tensor as given."""
    def make(name, place, value, dtype=torch.float32):
        folder = tmp_path / "model"
        shutil.copytree(tiny_model, folder)
        tensors = {k: v.to(dtype) for k, v in load_file(folder / "model.safetensors").items()}
        tensors[name][place] = value
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog\n" * 40)
        return folder
    return make


@pytest.mark.parametrize("name, place, value, dtype, said", [
    ("model.layers.1.mlp.up_proj.weight", (351, 127), float("nan"), torch.float32, "[351, 127] is nan"),
    ("model.layers.3.self_attn.q_proj.weight", (0, 5), float("inf"), torch.bfloat16, "[0, 5] is inf"),
    ("model.layers.0.input_layernorm.weight", (7,), float("-inf"), torch.float16, "[7] is -inf"),
    ("model.embed_tokens.weight", (2, 100), float("nan"), torch.float16, "[2, 100] is nan"),
    ("lm_head.weight", (1, 0), float("nan"), torch.bfloat16, "[1, 0] is nan"),
])
def test_quantize_names_the_element(tenon, damaged, tmp_path, name, place, value, dtype, said):
    folder = damaged(name, place, value, dtype)
    for words in WAYS:
        more = (folder / "text.txt",) if words[-1] == "--data" else ()
        line = tenon.fails("quantize", folder, tmp_path / "out", *words, *more)
        assert f'model.safetensors: "{name}": element {said}' in line, (words, line)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["model"]


def test_no_perplexity_of_nan(tenon, damaged, tmp_path):
    folder = damaged("model.layers.1.mlp.up_proj.weight", (3, 4), float("nan"))
    line = tenon.fails("eval", "perplexity", folder, "--data", folder / "text.txt", "--window", 64)
    assert "logits behind token 0" in line
    (tmp_path / "choices.jsonl").write_text('{"context": "the", "choices": ["fox", "dog"], "answer": 0}\n')
    assert "logits behind token" in tenon.fails("eval", "choices", folder, "--data", tmp_path / "choices.jsonl")


def test_no_answer_of_nan(tenon, damaged, tmp_path):
    """One token's row of the head: neither drawn from the other tokens, nor scored as if it were not there."""
    folder = damaged("lm_head.weight", (9, 3), float("nan"))
    with serving(tenon, folder, tmp_path) as server:
        for body in ({"max_tokens": 4}, {"max_tokens": 0, "echo": True, "logprobs": 1}):
            status, answer = server.post("/v1/completions", {"prompt": "the quick", **body})
            assert status == 500 and "nan or infinity" in answer["error"]["message"], answer
        assert server.post("/v1/completions", {"prompt": "the", "max_tokens": 1})[0] == 500, "it still answers"
    assert "nan or infinity" in tenon.fails("run", folder, "--raw", "-p", "the")


def test_float16_has_an_end(tenon, damaged, tmp_path):
    folder = damaged("model.layers.1.mlp.up_proj.weight", (3, 4), -70000.0)
    line = tenon.fails("quantize", folder, tmp_path / "out.gguf", "--to", "f16", "--format", "gguf")
    assert "up_proj" in line and "-70000" in line and "65504" in line
    assert not (tmp_path / "out.gguf").exists()
    tenon("quantize", folder, tmp_path / "out.gguf", "--to", "bf16", "--format", "gguf")


def test_a_file_cut_while_served_is_named(tenon, tiny_model, tmp_path):
    """Nothing can be answered from what is gone; the end is not without a word."""
    folder = tmp_path / "cut"
    shutil.copytree(tiny_model, folder)
    server = Server(tenon, folder, tmp_path)
    try:
        os.truncate(folder / "model.safetensors", 1000)
        with pytest.raises(OSError):
            server.post("/v1/completions", {"prompt": "the quick", "max_tokens": 4})
        _, err = server.process.communicate(timeout=20)
        assert server.process.returncode == 1 and "model.safetensors: was cut short" in err, err
    finally:
        server.process.kill()
