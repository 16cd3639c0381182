# SPDX-License-Identifier: Apache-2.0
"""GGUF files, written with the Python package `gguf` by the rules of llama.cpp's converter: values of every
type against the package's own, logits against transformers running the dequantized weights."""
import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Q
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from test_weights import check_logits, logits_of, our_logits, our_weight

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
                                   dict(head_dim=64), dict(num_attention_heads=4, num_key_value_heads=1)])
def test_shapes(tenon, tmp_path, shape):
    model = llama(**shape)
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


# ---- every architecture ----------------------------------------------------------------------------------

def small(name, **more):
    import transformers as t
    base = dict(vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=3,
                num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
                initializer_range=0.12, attn_implementation="eager", bos_token_id=1, eos_token_id=2,
                pad_token_id=0)
    config = getattr(t, name + "Config")
    if name == "GPT2":
        base = dict(vocab_size=128, n_embd=64, n_layer=3, n_head=4, n_positions=128, n_inner=96,
                    initializer_range=0.12, attn_implementation="eager", bos_token_id=1, eos_token_id=2)
    model_class = {"GPT2": "GPT2LMHeadModel", "Bert": "BertModel"}.get(name, name + "ForCausalLM")
    torch.manual_seed(5)
    model = getattr(t, model_class)(config(**{**base, **more})).eval()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "norm" in n.lower() or ".ln_" in n:
                p.uniform_(0.5, 1.5) if "gemma" not in model.config.model_type else p.uniform_(-0.5, 0.5)
            elif n.endswith("bias"):
                p.uniform_(-0.2, 0.2)
    return model


def tensors_of(arch, model):
    """The converter's tensors: name in the file and values."""
    c, kind = model.config, model.config.model_type
    for name, p in model.state_dict().items():
        w = p.float().numpy()
        if name in ("lm_head.weight", "embed_out.weight") and c.tie_word_embeddings:
            continue
        if name.endswith((".attn.bias", "masked_bias", "position_ids", "inv_freq")) or "pooler" in name:
            continue
        if kind in ("llama", "mixtral"):
            w = turn_q_and_k(c, name, w)
        if "gemma" in kind and name.endswith("norm.weight"):
            w = w + np.float32(1)
        if kind == "gpt2" and name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            w = w.T
        if "query_key_value" in name:
            w = w.reshape(c.num_attention_heads, 3, -1, *w.shape[1:]).swapaxes(0, 1).reshape(w.shape)
        layer = name.split(".")[2] if ".experts." in name else None
        if name.endswith("experts.gate_up_proj"):
            half = w.shape[1] // 2
            yield f"blk.{layer}.ffn_gate_exps.weight", w[:, :half]
            yield f"blk.{layer}.ffn_up_exps.weight", w[:, half:]
            continue
        if name.endswith("experts.down_proj"):
            yield f"blk.{layer}.ffn_down_exps.weight", w
            continue
        yield own_name(arch, model, name), w


def rotary(w, c, partial=1.0):
    rope = c.rope_parameters
    rope = rope.get("full_attention", rope)
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    w.add_rope_freq_base(rope["rope_theta"])
    w.add_rope_dimension_count(int(head * rope.get("partial_rotary_factor", partial)))
    w.add_key_length(head)


def write_any(path, model, arch, mark=lambda w: None, kind=Q.F32):
    c, name = model.config, gguf.MODEL_ARCH_NAMES[arch]
    w = base(path, name, c) if c.model_type != "gpt2" else None
    if w is None:
        w = gguf.GGUFWriter(path, name)
        w.add_context_length(c.n_positions)
        w.add_embedding_length(c.n_embd)
        w.add_block_count(c.n_layer)
        w.add_feed_forward_length(c.n_inner)
        w.add_head_count(c.n_head)
    if c.model_type in ("gpt2", "gpt_neox", "bert"):
        w.add_layer_norm_eps(getattr(c, "layer_norm_eps", None) or c.layer_norm_epsilon)
    else:
        w.add_head_count_kv(c.num_key_value_heads)
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
    if c.model_type not in ("gpt2", "bert"):
        rotary(w, c)
    mark(w)
    for n, values in tensors_of(arch, model):
        use = kind if values.ndim > 1 else Q.F32
        w.add_tensor(n, np.ascontiguousarray(quantized(values, use, None)[0]), raw_dtype=use)
    finish(w)


def mark_gemma2(w):
    w.add_sliding_window(16)
    w.add_attn_logit_softcapping(30.0)
    w.add_final_logit_softcapping(20.0)


def mark_experts(w):
    w.add_expert_count(4)
    w.add_expert_used_count(2)


def mark_qwen_experts(w):
    mark_experts(w)
    w.add_expert_feed_forward_length(48)


def mark_linear(w):
    w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    w.add_rope_scaling_factor(4.0)


def mark_yarn(w):
    w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    w.add_rope_scaling_factor(4.0)
    w.add_rope_scaling_orig_ctx_len(32)


LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                   high_freq_factor=4.0, original_max_position_embeddings=64)


def mark_llama3(w):
    """What the converter makes of llama3 scaling: a tensor with a factor a frequency."""
    p, dim, factors = LLAMA3_ROPE, 16, []
    for f in 1.0 / p["rope_theta"] ** (np.arange(0, dim, 2, dtype=np.float32) / dim):
        length, old = 2 * np.pi / f, p["original_max_position_embeddings"]
        low, high = old / p["low_freq_factor"], old / p["high_freq_factor"]
        smooth = (old / length - p["low_freq_factor"]) / (p["high_freq_factor"] - p["low_freq_factor"])
        factors.append(1 if length < high else p["factor"] if length > low
                       else 1 / ((1 - smooth) / p["factor"] + smooth))
    assert len({round(float(f), 3) for f in factors}) > 2  # low, between and high
    w.add_tensor("rope_freqs.weight", np.array(factors, np.float32))


PHI3_ROPE = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0 + 0.05 * i for i in range(8)],
                 long_factor=[1.0 + 0.5 * i for i in range(8)], original_max_position_embeddings=16)


def mark_phi3(w):
    scale = 128 / 16
    w.add_rope_scaling_orig_ctx_len(16)
    w.add_rope_scaling_attn_factors(np.sqrt(1 + np.log(scale) / np.log(16)))
    w.add_sliding_window(16)
    w.add_tensor("rope_factors_long.weight", np.array(PHI3_ROPE["long_factor"], np.float32))
    w.add_tensor("rope_factors_short.weight", np.array(PHI3_ROPE["short_factor"], np.float32))


A = gguf.MODEL_ARCH
ARCHS = {
    "llama-biased": (A.LLAMA, "Llama", dict(attention_bias=True, mlp_bias=True), None),
    "llama3": (A.LLAMA, "Llama", dict(rope_parameters=LLAMA3_ROPE), mark_llama3),
    "llama-linear": (A.LLAMA, "Llama", dict(rope_parameters=dict(
        rope_type="linear", rope_theta=10000.0, factor=4.0)), mark_linear),
    "llama-yarn": (A.LLAMA, "Llama", dict(rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=32)), mark_yarn),
    "mixtral": (A.LLAMA, "Mixtral", dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
                mark_experts),
    "qwen2": (A.QWEN2, "Qwen2", dict(tie_word_embeddings=True), None),
    "qwen3": (A.QWEN3, "Qwen3", dict(head_dim=32), None),
    "qwen3moe": (A.QWEN3MOE, "Qwen3Moe", dict(num_experts=4, num_experts_per_tok=2, norm_topk_prob=True,
                                              moe_intermediate_size=48, head_dim=16), mark_qwen_experts),
    "gemma": (A.GEMMA, "Gemma", dict(head_dim=16), None),
    "gemma2": (A.GEMMA2, "Gemma2", dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=16,
                                        attn_logit_softcapping=30.0, final_logit_softcapping=20.0),
               mark_gemma2),
    "gemma3": (A.GEMMA3, "Gemma3", dict(head_dim=16, query_pre_attn_scalar=16, sliding_window=16,
                                        num_hidden_layers=7), lambda w: w.add_sliding_window(16)),
    "phi3": (A.PHI3, "Phi3", dict(rope_parameters=PHI3_ROPE, sliding_window=16,
                                  original_max_position_embeddings=16), mark_phi3),
    "olmo2": (A.OLMO2, "Olmo2", {}, None),
    "gpt2": (A.GPT2, "GPT2", {}, None),
    "gptneox": (A.GPTNEOX, "GPTNeoX", dict(rotary_pct=0.5), None),
}


def make(name):
    arch, kind, changes, mark = ARCHS[name]
    if kind == "Gemma3":
        import transformers as t
        torch.manual_seed(5)
        config = t.Gemma3TextConfig(vocab_size=128, hidden_size=64, intermediate_size=96,
                                    num_attention_heads=4, num_key_value_heads=2,
                                    max_position_embeddings=128, initializer_range=0.12,
                                    attn_implementation="eager", **changes)
        model = t.Gemma3ForCausalLM(config).eval()
        with torch.no_grad():
            for n, p in model.named_parameters():
                if "norm" in n:
                    p.uniform_(-0.5, 0.5)
    else:
        model = small(kind, **changes)
    return model, arch, mark or (lambda w: None)


@pytest.mark.parametrize("name", ARCHS)
def test_architectures(tenon, tmp_path, name):
    model, arch, mark = make(name)
    write_any(tmp_path / "m.gguf", model, arch, mark)
    check_logits(tenon, tmp_path / "m.gguf", model, tmp_path, True, IDS)


@pytest.mark.parametrize("name", ["gpt2", "gptneox", "phi3", "mixtral", "gemma3"])
def test_quantized_architectures(tenon, tmp_path, name):
    """What lies transposed, fused or by expert in Hugging Face files, as blocks; the model keeps its own
    weights, so their rounding counts too."""
    model, arch, mark = make(name)
    write_any(tmp_path / "m.gguf", model, arch, mark, Q.Q8_0)
    if name != "mixtral":
        check_logits(tenon, tmp_path / "m.gguf", model, tmp_path, False, IDS, relative=0.1)
        return
    ours, theirs = our_logits(tenon, tmp_path / "m.gguf", tmp_path, IDS), logits_of(model, IDS)
    error = np.linalg.norm(ours - theirs, axis=-1) / np.linalg.norm(theirs, axis=-1)
    # where two experts are nearly as good, rounding may give a token the other one
    assert np.median(error) < 0.06


def test_inspect(tenon, tmp_path):
    def mark(w):
        w.add_tokenizer_model("gpt2")
        w.add_token_list(["a", "b"])
        w.add_chat_template("{{ bos_token }}: {{ messages[0].content }}")
        w.add_license("apache-2.0")
        mark_experts(w)

    model, arch, _ = make("mixtral")
    write_any(tmp_path / "m.gguf", model, arch, mark, Q.Q8_0)
    facts = tenon.json("models", "inspect", tmp_path / "m.gguf")
    assert facts["architecture"] == "MixtralForCausalLM" and facts["files"] == "GGUF"
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())
    assert facts["dtype"] == "q8_0 and float32" and facts["quantization"] == "GGUF, mostly q8_0"
    assert facts["tokenizer"] == "BPE (metadata)" and facts["chat_template"] is True
    assert facts["licence"] == "apache-2.0" and facts["experts"] == 4
    small = 4 * sum(p.numel() for p in model.parameters() if p.ndim == 1)
    large = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    assert facts["weight_bytes"] == small + large // 32 * 34
    assert tenon.json("models", "inspect", tmp_path) == facts  # the folder is its only file
    messages = tmp_path / "messages.json"
    messages.write_text('[{"role": "user", "content": "hello"}]')
    assert tenon("model", "template", tmp_path / "m.gguf", "-m", messages).stdout == "b: hello"
    text = tenon("models", "inspect", tmp_path / "m.gguf").stdout
    assert "4, of which 2 run for a token" in text and "GGUF, mostly q8_0" in text
