# SPDX-License-Identifier: Apache-2.0
"""`tenon quantize --format gguf`: the file as the Python package `gguf` and transformers read it, and here."""
import json

import pytest

from test_quantize import model, perplexity, random_model, run, tensors  # noqa: F401 - model is a fixture

GGUF_WAYS = [
    ("--to", "int4", "--method", "rtn"),
    ("--to", "int4", "--method", "awq", "--asymmetric"),
    ("--to", "int4", "--method", "gptq"),
    ("--to", "int8", "--method", "gptq"),
]


def gguf_tensors(path):
    """name -> values, as the package `gguf` reads them."""
    import gguf
    reader = gguf.GGUFReader(path)
    return reader, {t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(
        tuple(reversed([int(d) for d in t.shape]))) for t in reader.tensors}


def half_split(weight, heads):
    """llama.cpp's order of q and k rows back to Hugging Face's."""
    return (weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
            .swapaxes(1, 2).reshape(weight.shape))


@pytest.mark.parametrize("words", GGUF_WAYS, ids=" ".join)
def test_gguf_holds_the_weights_whose_perplexity_was_printed(tenon, model, tmp_path, words):
    import torch
    from transformers import AutoModelForCausalLM
    got = run(tenon, model, tmp_path / "out.gguf", *words, "--format", "gguf")
    assert got["bytes_after"] == (tmp_path / "out.gguf").stat().st_size
    reader, values = gguf_tensors(tmp_path / "out.gguf")
    peer = AutoModelForCausalLM.from_pretrained(model)
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
             "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm"}
    state = peer.state_dict()
    for layer in range(2):
        for theirs, ours in names.items():
            value = values[f"blk.{layer}.{ours}.weight"]
            heads = {"attn_q": 4, "attn_k": 2}.get(ours)
            state[f"model.layers.{layer}.{theirs}.weight"] = torch.tensor(
                half_split(value, heads) if heads else value)
    # embedding and head are int8 in the file; the figure printed is of the linears alone
    assert abs(values["token_embd.weight"] - state["model.embed_tokens.weight"].numpy()).max() < 0.01
    peer.load_state_dict(state)
    peer.save_pretrained(tmp_path / "peer")
    (tmp_path / "peer/tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
    theirs = perplexity(tmp_path / "peer")
    assert abs(theirs - got["perplexity_after"]) < 1e-3 * theirs
    assert {t.tensor_type.name for t in reader.tensors} == {
        "F32", "Q8_0", "Q4_1" if "--asymmetric" in words else "Q4_0" if "int4" in words else "Q8_0"}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_gguf_keeps_what_is_ignored(tenon, tmp_path, dtype):
    import torch
    (tmp_path / "model").mkdir()
    model = random_model(tmp_path / "model", tenon, dtype=dtype, tie_word_embeddings=False)
    out, theirs, kind = tmp_path / "x.gguf", tensors(model), {"float32": "F32", "float16": "F16",
                                                             "bfloat16": "BF16"}[dtype]
    run(tenon, model, out, "--format", "gguf", "--ignore", "layers.0.", "--ignore", "down_proj", "--ignore",
        "lm_head")
    reader, values = gguf_tensors(out)
    types = {t.name: t.tensor_type.name for t in reader.tensors if len(t.shape) == 2}
    assert types.pop("token_embd.weight") == "Q8_0" and types.pop("output.weight") == kind
    assert len(types) == 14 and all(t == (kind if "blk.0." in name or "ffn_down" in name else "Q4_0")
                                    for name, t in types.items())
    for layer in range(2):
        name = f"model.layers.{layer}.mlp.down_proj.weight"
        assert torch.equal(torch.tensor(values[f"blk.{layer}.ffn_down.weight"]), theirs[name].float())
    query = torch.tensor(half_split(values["blk.0.attn_q.weight"], 4))
    assert torch.equal(query, theirs["model.layers.0.self_attn.q_proj.weight"].float())
    tenon("eval", "perplexity", out, "--data", model / "text.txt", "--tokens", 200)


@pytest.mark.parametrize("to", ["f32", "f16", "bf16"])
def test_gguf_opens_here_and_in_transformers(tenon, model, tmp_path, to):
    import numpy
    import torch
    from transformers import AutoModelForCausalLM
    folder = tmp_path / "gguf"
    folder.mkdir()
    said = tenon("quantize", model, folder / "model.gguf", "--to", to, "--format", "gguf").stdout
    assert f"model.gguf: {to}; weights" in said and "perplexity" not in said
    ids = list(range(3, 40))
    words = ["model", "logits", "--ids", ",".join(map(str, ids)), "--out", tmp_path / "l.npy"]
    tenon(*words, model)
    source = numpy.load(tmp_path / "l.npy")
    tenon(*words, folder)
    ours = numpy.load(tmp_path / "l.npy")
    assert abs(ours - source).mean() < {"f32": 1e-5, "f16": 0.02, "bf16": 0.15}[to]
    peer = AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf", dtype=torch.float32)
    with torch.no_grad():
        assert abs(peer(torch.tensor([ids])).logits[0].numpy() - ours).max() < 1e-3


def test_gguf_carries_the_tokenizer(tenon, model, tmp_path):
    import gguf
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "model" / name).write_bytes((model / name).read_bytes())
    (tmp_path / "model/tokenizer_config.json").write_text(json.dumps(
        {"add_bos_token": False, "chat_template": "{{ messages[0].content }}"}))
    tenon("quantize", tmp_path / "model", tmp_path / "t.gguf", "--to", "f16", "--format", "gguf")
    reader = gguf.GGUFReader(tmp_path / "t.gguf")
    field = lambda name: reader.get_field(name).contents()
    source = json.loads((model / "tokenizer.json").read_text())
    tokens = field("tokenizer.ggml.tokens")
    assert len(tokens) == 304
    for token, place in source["model"]["vocab"].items():
        assert tokens[place] == token
    merges = [m if isinstance(m, str) else " ".join(m) for m in source["model"]["merges"]]
    assert field("tokenizer.ggml.merges") == merges
    assert field("tokenizer.ggml.model") == "gpt2" and field("tokenizer.ggml.pre") == "gpt-2"
    types = field("tokenizer.ggml.token_type")
    assert types[303] == 5 and types[5] == 1  # rows beyond the vocabulary are unused
    assert all(types[t["id"]] == 3 for t in source["added_tokens"])
    assert field("tokenizer.ggml.eos_token_id") == 0
    assert field("tokenizer.ggml.add_bos_token") is False
    assert field("tokenizer.chat_template") == "{{ messages[0].content }}"


def test_gguf_of_llama_3_scaling_and_qwen(tenon, tmp_path):
    import numpy
    for kind, more in (("qwen2", {}), ("llama", {"rope_parameters": {
            "rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16}})):
        folder, out = tmp_path / kind, tmp_path / f"{kind}-gguf"
        folder.mkdir()
        out.mkdir()
        random_model(folder, tenon, kind, **more)
        tenon("quantize", folder, out / "m.gguf", "--to", "f32", "--format", "gguf")
        words = ["model", "logits", "--ids", ",".join(map(str, range(3, 40))), "--out", tmp_path / "l.npy"]
        tenon(*words, folder)
        want = numpy.load(tmp_path / "l.npy")
        tenon(*words, out)
        assert abs(numpy.load(tmp_path / "l.npy") - want).max() < 1e-3


@pytest.mark.parametrize("to, tied", [("q4_k_m", False), ("q4_k_m", True), ("q6_k", False)])
def test_gguf_k_quants(tenon, tmp_path, to, tied):
    """The mixture of types that llama.cpp's quantize has; as the package `gguf` and transformers read it."""
    import numpy
    import torch
    from transformers import AutoModelForCausalLM
    folder, out = tmp_path / "m", tmp_path / "gguf"
    folder.mkdir()
    out.mkdir()
    random_model(folder, tenon, hidden_size=256, intermediate_size=512, num_hidden_layers=8, head_dim=64,
                 initializer_range=0.08, tie_word_embeddings=tied)
    got = tenon.json("quantize", folder, out / "m.gguf", "--to", to, "--format", "gguf", "--eval", folder / "text.txt",
                     "--eval-tokens", 640)
    measured = tenon.json("eval", "perplexity", out / "m.gguf", "--data", folder / "text.txt", "--tokens", 640)
    assert got["perplexity_after"] == measured["perplexity"] != got["perplexity_before"]
    reader, values = gguf_tensors(out / "m.gguf")
    kinds = {t.name: t.tensor_type.name for t in reader.tensors}
    six = {f"blk.{layer}.{name}.weight" for layer in (0, 3, 6, 7) for name in ("attn_v", "ffn_down")}
    six |= {"token_embd.weight" if tied else "output.weight"}
    for name, kind in kinds.items():
        assert kind == ("F32" if "norm" in name else "Q6_K" if to == "q6_k" or name in six else "Q4_K"), name
    plain = tmp_path / "plain.gguf"
    tenon("quantize", folder, plain, "--to", "f32", "--format", "gguf")
    for name, want in gguf_tensors(plain)[1].items():
        error = numpy.linalg.norm(values[name] - want) / numpy.linalg.norm(want)
        assert error <= {"F32": 0, "Q4_K": 0.08, "Q6_K": 0.02}[kinds[name]], (name, error)
    ids = list(range(3, 40))
    tenon("model", "export", out / "m.gguf", tmp_path / "hf", "--dtype", "f32")  # whose inputs are not rounded to int8
    tenon("model", "logits", "--ids", ",".join(map(str, ids)), "--out", tmp_path / "l.npy", tmp_path / "hf")
    ours = numpy.load(tmp_path / "l.npy")
    peer = AutoModelForCausalLM.from_pretrained(out, gguf_file="m.gguf", dtype=torch.float32)
    with torch.no_grad():
        theirs = peer(torch.tensor([ids])).logits[0].numpy()
    assert abs(ours - theirs).max() < 1e-3


def test_gguf_replaces_no_file_of_the_model(tenon, model, tmp_path):
    words = ("--to", "bf16", "--format", "gguf", "--force")
    (tmp_path / "link").symlink_to(model / "model.safetensors")
    before = (model / "model.safetensors").read_bytes()
    for out in (model / "model.safetensors", tmp_path / "link", model / "config.json"):
        assert f"{out} is a file of the model that is read" in tenon.fails("quantize", model, out, *words)
    assert (model / "model.safetensors").read_bytes() == before
    (tmp_path / "mine").mkdir()
    mine = random_model(tmp_path / "mine", tenon)
    weights = (mine / "model.safetensors").rename(tmp_path / "blob")
    (mine / "model.safetensors").symlink_to(weights)  # as the hub's cache has it
    assert "file of the model" in tenon.fails("quantize", mine, mine / "model.safetensors", *words)
    for _ in range(2):
        tenon("quantize", mine, mine / "x.gguf", *words)


def test_gguf_refuses_by_name(tenon, model, tmp_path):
    out = tmp_path / "x.gguf"
    words = ("quantize", model, out, "--format", "gguf")
    assert "groups of 32" in tenon.fails(*words, "--group", "64", code=2)
    assert "no --data" in tenon.fails(*words, "--to", "q4_k_m", "--data", model / "text.txt", code=2)
    assert "zero points for int4 only" in tenon.fails(*words, "--to", "q6_k", "--asymmetric", code=2)
    assert "q6_k" in tenon.fails("quantize", model, out, "--to", "q6_k", code=2)
    assert "fp8" in tenon.fails(*words, "--to", "fp8", code=2)
    assert "--kv" in tenon.fails(*words, "--to", "int8", "--kv", "fp8", "--data", model / "text.txt", code=2)
    (tmp_path / "gemma").mkdir()
    gemma = random_model(tmp_path / "gemma", tenon, "gemma2")
    assert "Llama, Mistral" in tenon.fails("quantize", gemma, out, "--format", "gguf")
    assert not out.exists()


def test_gpt_neox_is_quantized_from_a_folder(tenon, tmp_path):
    """A GGUF file has its q, k and v apart, as no Hugging Face folder does."""
    import test_gguf
    source = tmp_path / "neox.gguf"
    made, arch, _ = test_gguf.make("gptneox")

    def mark(w):
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre("gpt-2")
        w.add_token_list(["a", "b", "ab"] + [chr(256 + i) for i in range(made.config.vocab_size - 3)])
        w.add_token_types([1] * made.config.vocab_size)
        w.add_token_merges(["a b"])

    test_gguf.write_any(source, made, arch, mark)
    assert "not from a GGUF file" in tenon.fails("quantize", source, tmp_path / "out", "--group", "32")
    assert not (tmp_path / "out").exists()
