# SPDX-License-Identifier: Apache-2.0
"""GGUF files, written with the Python package `gguf` by the rules of llama.cpp's converter: values of every
type against the package's own, logits against transformers running the dequantized weights."""
import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Q
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from test_weights import check_logits, our_weight

IDS = np.random.default_rng(7).integers(0, 128, 24).tolist()
TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "Q8_0": "q8_0", "Q4_0": "q4_0",
         "Q4_1": "q4_1", "Q5_0": "q5_0", "Q5_1": "q5_1", "Q4_K": "q4_k", "Q5_K": "q5_k", "Q6_K": "q6_k"}


def k_blocks(kind, rows, columns, rng):
    """Random blocks of a K-quant; only the scales of a block are tame, so that values lie about 0.1."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    blocks = rng.integers(0, 256, (rows * columns // 256, size), dtype=np.uint8)
    half = lambda x: np.frombuffer(np.float16(x).tobytes(), np.uint8)
    for block in blocks:
        if kind == Q.Q6_K:  # int8 scales of 16 elements, then d
            block[192:208] = rng.integers(-20, 20, 16, dtype=np.int8).view(np.uint8)
            block[208:210] = half(rng.uniform(1e-4, 4e-4))
        else:  # d and dmin in front
            block[0:2], block[2:4] = half(rng.uniform(1e-4, 3e-4)), half(rng.uniform(1e-4, 2e-3))
    return blocks.reshape(rows, columns // 256 * size)


def quantized(weight, kind, rng):
    """The bytes, and the values that the package reads back."""
    if kind in (Q.Q4_K, Q.Q5_K, Q.Q6_K):
        data = k_blocks(kind, *weight.shape, rng)
    elif kind in (Q.F32, Q.F16):
        data = weight.astype(np.float32 if kind == Q.F32 else np.float16)
    else:
        data = gguf.quants.quantize(weight.astype(np.float32), kind)
    return data, gguf.quants.dequantize(data, kind).reshape(weight.shape)


def llama_rows(weight, heads):
    """llama.cpp's permute: row half * D/2 + i of a head becomes row 2 i + half."""
    return (weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
            .swapaxes(1, 2).reshape(weight.shape))


def llama_rows_back(weight, heads):
    return (weight.reshape(heads, weight.shape[0] // heads // 2, 2, *weight.shape[1:])
            .swapaxes(1, 2).reshape(weight.shape))


def turn_q_and_k(config, name, weight, back=False):
    turn = llama_rows_back if back else llama_rows
    if ".q_proj." in name:
        return turn(weight, config.num_attention_heads)
    if ".k_proj." in name:
        return turn(weight, config.num_key_value_heads)
    return weight


def base(path, arch, c):
    w = gguf.GGUFWriter(path, arch)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_vocab_size(c.vocab_size)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    return w


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def own_name(arch, model, name):
    names = gguf.get_tensor_name_map(arch, model.config.num_hidden_layers)
    return names.get_name(name, try_suffixes=(".weight", ".bias"))


LLAMA = dict(vocab_size=128, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
             num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=128,
             tie_word_embeddings=False, initializer_range=0.06, attn_implementation="eager")


def llama(seed=1, **changes):
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**LLAMA, **changes})).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                p.uniform_(0.5, 1.5)
    return model


def write_llama(path, model, kind, mark=lambda w: None, seed=3):
    """Writes the file, and sets the model's weights to what the file says."""
    c, rng = model.config, np.random.default_rng(seed)
    w = base(path, "llama", c)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_rope_dimension_count(c.head_dim)
    mark(w)
    for name, p in model.state_dict().items():
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        weight = turn_q_and_k(c, name, p.numpy())
        use = Q.F32 if weight.ndim == 1 else kind
        data, values = quantized(weight, use, rng)
        w.add_tensor(own_name(gguf.MODEL_ARCH.LLAMA, model, name), data, raw_dtype=use)
        with torch.no_grad():
            p.copy_(torch.from_numpy(turn_q_and_k(c, name, values, back=True).copy()))
    finish(w)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type(tenon, tmp_path, kind):
    model = llama()
    write_llama(tmp_path / "m.gguf", model, Q[kind])
    for name in ("model.layers.0.mlp.down_proj.weight", "model.layers.1.self_attn.k_proj.weight",
                 "model.embed_tokens.weight"):
        held, got = our_weight(tenon, tmp_path / "m.gguf", name, tmp_path)
        want = model.state_dict()[name].numpy()
        assert held.startswith(TYPES[kind] + "[")
        assert np.abs(got - want).max() <= 2e-7 * np.abs(want).max()
    check_logits(tenon, tmp_path / "m.gguf", model, tmp_path, "F" in kind, IDS)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"])
def test_elements_of_random_bytes(tenon, tmp_path, kind):
    """Any bytes are a block: every element agrees with the package, not finite ones too."""
    rng, kind = np.random.default_rng(11), Q[kind]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (512, 256 // elements * size), dtype=np.uint8)
    model = llama(num_hidden_layers=1)
    w = base(tmp_path / "m.gguf", "llama", model.config)
    w.add_tensor("token_embd.weight", data, raw_dtype=kind)
    finish(w)
    _, got = our_weight(tenon, tmp_path / "m.gguf", "model.embed_tokens.weight", tmp_path)
    with np.errstate(all="ignore"):
        want = gguf.quants.dequantize(data, kind).reshape(got.shape)
    both = np.isfinite(want) & np.isfinite(got)
    assert both.mean() > 0.8 and np.array_equal(np.isnan(want), np.isnan(got))
    # a difference of two products: float32 there, exact and rounded once here
    scale = np.abs(want[both]) + np.abs(np.where(np.isfinite(want), want, 0)).max(1)[:, None].repeat(
        want.shape[1], 1)[both]
    assert (np.abs(got[both] - want[both]) <= 1e-6 * scale).all()


@pytest.mark.parametrize("shape", [dict(tie_word_embeddings=True), dict(num_key_value_heads=8),
                                   dict(head_dim=64), dict(num_attention_heads=4, num_key_value_heads=1),
                                   dict(attention_bias=True, mlp_bias=True)])
def test_shapes(tenon, tmp_path, shape):
    model = llama(**shape)
    if "attention_bias" in shape:
        pytest.skip("biases come with the architectures")
    mark = lambda w: w.add_key_length(shape["head_dim"]) if "head_dim" in shape else None
    write_llama(tmp_path / "m.gguf", model, Q.F32, mark)
    check_logits(tenon, tmp_path / "m.gguf", model, tmp_path, True, IDS)


def test_transformers_reads_the_same(tenon, tmp_path):
    """Their loader undoes what the converter did by its own code."""
    model = llama()
    write_llama(tmp_path / "m.gguf", model, Q.F16)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32,
                                                  attn_implementation="eager").eval()
    check_logits(tenon, tmp_path / "m.gguf", theirs, tmp_path, True, IDS)


def test_folder_and_parts(tenon, tmp_path):
    """A folder with one file is that file; parts are found from the first; others are told apart."""
    model, whole = llama(), tmp_path / "whole"
    whole.mkdir()
    write_llama(whole / "m.gguf", model, Q.BF16)
    check_logits(tenon, whole, model, tmp_path, True, IDS)

    parts = tmp_path / "parts"
    parts.mkdir()
    reader = gguf.GGUFReader(whole / "m.gguf")
    names = [f"m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for i, name in enumerate(names):
        if i == 0:
            w = base(parts / name, "llama", model.config)
            w.add_head_count_kv(model.config.num_key_value_heads)
            w.add_layer_norm_rms_eps(model.config.rms_norm_eps)
        else:
            w = gguf.GGUFWriter(parts / name, "")
        w.add_uint16("split.no", i)
        w.add_uint16("split.count", 3)
        w.add_int32("split.tensors.count", len(reader.tensors))
        for t in reader.tensors[i::3]:
            w.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
        finish(w)
    check_logits(tenon, parts / names[0], model, tmp_path, True, IDS)
    check_logits(tenon, parts, model, tmp_path, True, IDS)
    assert "part 2 of 3" in tenon.fails("model", "inspect", parts / names[1])
    (parts / names[2]).unlink()
    assert names[2] in tenon.fails("model", "inspect", parts)
    write_llama(whole / "n.gguf", model, Q.Q8_0)
    assert "more than one GGUF file" in tenon.fails("model", "inspect", whole)


def test_refused(tenon, tmp_path):
    path, model = tmp_path / "m.gguf", llama(num_hidden_layers=1)
    w = base(path, "mamba", model.config)
    finish(w)
    message = tenon.fails("model", "inspect", path)
    assert "mamba" in message and "qwen3" in message
    w = base(path, "llama", model.config)
    w.add_tensor("token_embd.weight", np.zeros((4, 136), np.uint8), raw_dtype=Q.IQ4_XS)
    finish(w)
    message = tenon.fails("model", "inspect", path)
    assert "IQ4_XS" in message and "Q4_K" in message and "token_embd.weight" in message
    w = gguf.GGUFWriter(path, "llama")
    finish(w)
    assert "llama.embedding_length" in tenon.fails("model", "inspect", path)
