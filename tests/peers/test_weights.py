# SPDX-License-Identifier: Apache-2.0
"""Packed checkpoints: files built here by the published packing rules with NumPy (and by the packages that
define them), values and logits against transformers running the dequantized weights."""
import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from transformers import LlamaConfig, LlamaForCausalLM

LLAMA = dict(vocab_size=128, hidden_size=128, intermediate_size=256, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
             tie_word_embeddings=False, initializer_range=0.12, attn_implementation="eager")
IDS = np.random.default_rng(7).integers(0, 128, 24).tolist()


def llama(seed=1, **changes):
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**LLAMA, **changes})).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                p.uniform_(0.5, 1.5)
    return model


def linears(model):
    """The modules that quantizers pack: all linears but the head."""
    return [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"]


def logits_of(model, ids=IDS):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def our_logits(tenon, path, tmp_path, ids=IDS):
    out = tmp_path / "logits.npy"
    tenon("model", "logits", path, "--ids", ",".join(map(str, ids)), "--out", out)
    return np.load(out)


def our_weight(tenon, path, name, tmp_path):
    out = tmp_path / "weight.npy"
    kind = tenon("model", "weight", path, name, "--out", out).stdout.strip()
    return kind, np.load(out)


def save(folder, model, tensors, quantization):
    """`tensors`: what replaces the weights of packed modules."""
    folder.mkdir(exist_ok=True)
    packed = {n.rsplit(".", 1)[0] for n in tensors}
    rest = {n: p.detach().numpy() for n, p in model.state_dict().items()
            if n.rsplit(".", 1)[0] not in packed}
    safetensors.numpy.save_file({**rest, **tensors}, folder / "model.safetensors")
    config = model.config.to_dict()
    config.pop("_attn_implementation", None)
    config["architectures"] = ["LlamaForCausalLM"]
    config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(config))


def put_weight(model, module, weight):
    with torch.no_grad():
        model.get_submodule(module).weight.copy_(torch.from_numpy(np.asarray(weight, np.float32)))


def codes_by_group(weight, bits, group, symmetric, group_of=None):
    """Round to nearest: codes [out, in] from 0, float16 scales and whole zeros [out, groups]."""
    out, inner = weight.shape
    group = inner if group == -1 else group
    groups = -(-inner // group)
    group_of = np.arange(inner) // group if group_of is None else group_of
    top = 2**bits - 1
    scales, zeros = np.zeros((out, groups), np.float16), np.zeros((out, groups), np.int64)
    codes = np.zeros((out, inner), np.int64)
    for g in range(groups):
        w = weight[:, group_of == g]
        if symmetric:
            scale = np.abs(w).max(1) / (top // 2)
            zero = np.full(out, 2**(bits - 1))
        else:
            scale = np.maximum(w.max(1) - w.min(1), 1e-5) / top
            zero = np.clip(np.round(-w.min(1) / scale), 0, top).astype(np.int64)
        scales[:, g] = scale
        s = scales[:, g].astype(np.float32)
        codes[:, group_of == g] = np.clip(np.round(w / s[:, None]) + zero[:, None], 0, top)
        zeros[:, g] = zero
    return codes, scales, zeros


def values(codes, scales, zeros, group_of):
    s, z = scales.astype(np.float32)[:, group_of], zeros[:, group_of]
    return s * (codes - z).astype(np.float32)


def round_inputs(module, inputs):
    """As linears over integers take them: int8, a scale a chunk of 256."""
    x = inputs[0]
    chunks = torch.nn.functional.pad(x, (0, -x.shape[-1] % 256)).unflatten(-1, (-1, 256))
    step = chunks.abs().amax(-1, keepdim=True) / 127
    return ((chunks / step.clamp_min(1e-30)).round() * step).flatten(-2)[..., :x.shape[-1]],


def rounded_logits_of(model, ids):
    hooks = [model.get_submodule(n).register_forward_pre_hook(round_inputs) for n in linears(model)]
    logits = logits_of(model, ids)
    for hook in hooks:
        hook.remove()
    return logits


def check_logits(tenon, path, model, tmp_path, exact, ids=IDS, relative=0.05, one_scale=False):
    """Where weights are small integers, inputs of a linear are rounded to int8.  With one scale a row that is all that
    happens; more scales are rounded to 8 bits, and the smallest difference turns other inputs' roundings."""
    ours, theirs = our_logits(tenon, path, tmp_path, ids), logits_of(model, ids)
    if exact:
        assert np.abs(ours - theirs).max() < 1e-4
    else:
        assert np.linalg.norm(ours - theirs) < relative * np.linalg.norm(theirs)
    if one_scale:
        rounded = rounded_logits_of(model, ids)
        assert np.linalg.norm(ours - rounded) < 1e-5 * np.linalg.norm(rounded)


# ---- AWQ: AutoAWQ's gemm layout ----------------------------------------------------------------------

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def awq_pack(codes):
    """[rows, columns] -> [rows, columns / 8]: nibble i of a word holds column AWQ_ORDER[i] of its 8."""
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.uint32)
    for i, column in enumerate(AWQ_ORDER):
        words |= codes[:, column::8].astype(np.uint32) << np.uint32(4 * i)
    return words.view(np.int32)


@pytest.mark.parametrize("group,block", [(128, "int4_g128"), (64, "int4_g64"), (32, "int4_g32"),
                                         (-1, "int4_g128"), (16, "float32")])
def test_awq(tenon, tmp_path, group, block):
    model, tensors = llama(), {}
    for module in linears(model):
        weight = model.get_submodule(module).weight.detach().numpy()
        codes, scales, zeros = codes_by_group(weight, 4, group, symmetric=False)
        group_of = np.arange(weight.shape[1]) // (weight.shape[1] if group == -1 else group)
        tensors[module + ".qweight"] = awq_pack(codes.T)
        tensors[module + ".qzeros"] = awq_pack(zeros.T)
        tensors[module + ".scales"] = np.ascontiguousarray(scales.T)
        put_weight(model, module, values(codes, scales, zeros, group_of))
    save(tmp_path / "m", model, tensors,
         dict(quant_method="awq", bits=4, group_size=group, zero_point=True, version="gemm"))
    name = "model.layers.1.mlp.up_proj"
    kind, got = our_weight(tenon, tmp_path / "m", name + ".weight", tmp_path)
    assert kind == f"{block}[256, 128]"
    assert np.array_equal(got, model.get_submodule(name).weight.detach().numpy())
    check_logits(tenon, tmp_path / "m", model, tmp_path, exact=block == "float32")


# ---- GPTQ: AutoGPTQ's layout -------------------------------------------------------------------------

def gptq_words(codes, bits):
    """[rows, columns] -> [rows bits / 32, columns]: codes along the rows as a run of bits; 3 bits as AutoGPTQ
    spells it out, the 11th and the 22nd code of 32 across two words."""
    words = np.zeros((-(-codes.shape[0] * bits // 32), codes.shape[1]), np.uint32)
    codes = codes.astype(np.uint32)
    if bits in (2, 4, 8):
        per = 32 // bits
        for i in range(codes.shape[0]):
            words[i // per] |= codes[i] << np.uint32(bits * (i % per))
        return words.view(np.int32)
    for block in range(codes.shape[0] // 32):
        c, w = codes[block * 32:], words[block * 3:]
        for j in range(10):
            w[0] |= c[j] << np.uint32(3 * j)
        w[0] |= c[10] << np.uint32(30)
        w[1] |= (c[10] >> np.uint32(2)) & np.uint32(1)
        for j in range(10):
            w[1] |= c[11 + j] << np.uint32(3 * j + 1)
        w[1] |= c[21] << np.uint32(31)
        w[2] |= (c[21] >> np.uint32(1)) & np.uint32(3)
        for j in range(10):
            w[2] |= c[22 + j] << np.uint32(3 * j + 2)
    return words.view(np.int32)


def gptq(tmp_path, bits, group, symmetric, order, version):
    model, tensors, rng = llama(), {}, np.random.default_rng(3)
    for module in linears(model):
        weight = model.get_submodule(module).weight.detach().numpy()
        inner = weight.shape[1]
        group_of = np.arange(inner) // (inner if group == -1 else group)
        if order:
            group_of = rng.permutation(group_of)
        codes, scales, zeros = codes_by_group(weight, bits, group, symmetric, group_of)
        if version == 1:  # a zero of 0 cannot be stored less one
            zeros = np.maximum(zeros, 1)
        tensors[module + ".qweight"] = gptq_words(codes.T, bits)
        tensors[module + ".qzeros"] = np.ascontiguousarray(
            gptq_words(zeros - (1 if version == 1 else 0), bits).T)
        tensors[module + ".scales"] = np.ascontiguousarray(scales.T)
        tensors[module + ".g_idx"] = group_of.astype(np.int32)
        tensors[module + ".bias"] = np.zeros(weight.shape[0], np.float16)
        put_weight(model, module, values(codes, scales, zeros, group_of))
    save(tmp_path / "m", model, tensors,
         dict(quant_method="gptq", bits=bits, group_size=group, desc_act=order, sym=symmetric,
              checkpoint_format="gptq" if version == 1 else "gptq_v2"))
    return model


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group,symmetric,order,version", [
    (128, True, False, 1), (32, False, False, 1), (32, False, True, 2), (64, True, True, 1),
    (-1, False, False, 2), (16, False, True, 1)])
def test_gptq(tenon, tmp_path, bits, group, symmetric, order, version):
    model = gptq(tmp_path, bits, group, symmetric, order, version)
    for name in ("model.layers.0.self_attn.k_proj", "model.layers.1.mlp.down_proj"):
        kind, got = our_weight(tenon, tmp_path / "m", name + ".weight", tmp_path)
        assert np.array_equal(got, model.get_submodule(name).weight.detach().numpy())
        assert ("order" in kind) == (order and group != 16)
        assert kind.startswith("float32" if group == 16 else "int8" if bits == 8 else "int4")
    check_logits(tenon, tmp_path / "m", model, tmp_path, exact=group == 16)


# ---- compressed-tensors: its own compressors write the files --------------------------------------------

def compressed(tmp_path, weights, fmt, model=None, zero_point=True):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize

    model, tensors = model or llama(), {}
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**weights), format=fmt)
    args, compressor = scheme.weights, BaseCompressor.get_value_from_registry(fmt)
    for module in linears(model):
        weight = model.get_submodule(module).weight.detach()
        scale, zero = parameters(weight, args)
        state = compressor.compress(dict(weight=weight, weight_scale=scale, weight_zero_point=zero),
                                    scheme)
        for part, tensor in state.items():
            if tensor is not None:
                tensors[f"{module}.{part}"] = tensor
        code = quantize(weight, scale, zero, args, dtype=args.pytorch_dtype())
        put_weight(model, module, dequantize(code, scale, zero, args, dtype=torch.float32))
    save_torch(tmp_path / "m", model, tensors, dict(
        quant_method="compressed-tensors", format=fmt, quantization_status="compressed",
        ignore=["lm_head"], config_groups=dict(group_0=json.loads(scheme.model_dump_json()))))
    return model


def save_torch(folder, model, tensors, quantization):
    save(folder, model, {}, quantization)
    packed = {n.rsplit(".", 1)[0] for n in tensors}
    rest = {n: p for n, p in model.state_dict().items() if n.rsplit(".", 1)[0] not in packed}
    safetensors.torch.save_file({n: t.contiguous() for n, t in {**rest, **tensors}.items()},
                                folder / "model.safetensors")


def parameters(weight, args):
    """Scales as their observers make them, of the shape that the strategy wants."""
    from compressed_tensors.quantization.utils import calculate_qparams
    out, inner = weight.shape
    if args.strategy == "group":
        parts = weight.reshape(out, inner // args.group_size, args.group_size)
        return calculate_qparams(parts.amin(-1), parts.amax(-1), args)
    if args.strategy == "block":
        rows, columns = args.block_structure
        parts = weight.reshape(out // rows, rows, inner // columns, columns)
        return calculate_qparams(parts.amin((1, 3)), parts.amax((1, 3)), args)
    if args.strategy == "channel":
        return calculate_qparams(weight.amin(1, keepdim=True), weight.amax(1, keepdim=True), args)
    return calculate_qparams(weight.amin().reshape(1), weight.amax().reshape(1), args)


GROUP = dict(strategy="group", group_size=64)
COMPRESSED = {
    "int4-group": (dict(num_bits=4, symmetric=True, **GROUP), "pack-quantized", "int4_g64"),
    "int4-group-zero": (dict(num_bits=4, symmetric=False, **GROUP), "pack-quantized", "int4_g64"),
    "int4-row": (dict(num_bits=4, symmetric=True, strategy="channel"), "pack-quantized", "int4_g128"),
    "int4-row-zero": (dict(num_bits=4, symmetric=False, strategy="channel"), "pack-quantized",
                      "int4_g128"),
    "int8-group": (dict(num_bits=8, symmetric=True, **GROUP), "pack-quantized", "int8_g32"),
    "int8-group-zero": (dict(num_bits=8, symmetric=False, **GROUP), "pack-quantized", "int8_g32"),
    "int8-row": (dict(num_bits=8, symmetric=True, strategy="channel"), "int-quantized", "int8_g128"),
    "int8-row-zero": (dict(num_bits=8, symmetric=False, strategy="channel"), "int-quantized",
                      "int8_g128"),
    "int8-tensor": (dict(num_bits=8, symmetric=True, strategy="tensor"), "int-quantized",
                    "int8_g128"),
    "float8-tensor": (dict(num_bits=8, type="float", symmetric=True, strategy="tensor"),
                      "float-quantized", "float8_g128"),
    "float8-row": (dict(num_bits=8, type="float", symmetric=True, strategy="channel"),
                   "float-quantized", "float8_g128"),
    "float8-group": (dict(num_bits=8, type="float", symmetric=True, strategy="group", group_size=32),
                     "float-quantized", "float8_g32"),
    "float8-block": (dict(num_bits=8, type="float", symmetric=True, strategy="block",
                          block_structure=[64, 64]), "float-quantized", "float8_g32"),
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_tensors(tenon, tmp_path, name):
    weights, fmt, block = COMPRESSED[name]
    model = compressed(tmp_path, weights, fmt)
    module = "model.layers.0.mlp.gate_proj"
    kind, got = our_weight(tenon, tmp_path / "m", module + ".weight", tmp_path)
    assert kind == f"{block}[256, 128]"
    want = model.get_submodule(module).weight.detach().numpy()
    assert np.abs(got - want).max() <= 1e-6 * np.abs(want).max()
    check_logits(tenon, tmp_path / "m", model, tmp_path, exact=block.startswith("float8"),
                 one_scale=name in ("int8-row", "int8-tensor"))


# ---- float8 in blocks, as DeepSeek and Qwen3 have it -----------------------------------------------------

@pytest.mark.parametrize("scale_name", ["weight_scale_inv", "weight_scale"])
@pytest.mark.parametrize("hidden", [128, 160])
def test_fp8_blocks(tenon, tmp_path, scale_name, hidden):
    model, tensors, B = llama(hidden_size=hidden, intermediate_size=320), {}, 128
    for module in linears(model):
        weight = model.get_submodule(module).weight.detach()
        out, inner = weight.shape
        scales = torch.zeros(-(-out // B), -(-inner // B))
        codes = torch.zeros(out, inner, dtype=torch.float8_e4m3fn)
        back = torch.zeros(out, inner)
        for i in range(scales.shape[0]):
            for j in range(scales.shape[1]):
                at = (slice(i * B, (i + 1) * B), slice(j * B, (j + 1) * B))
                scales[i, j] = weight[at].abs().max() / 448
                codes[at] = (weight[at] / scales[i, j]).to(torch.float8_e4m3fn)
                back[at] = codes[at].float() * scales[i, j]
        tensors[module + ".weight"], tensors[f"{module}.{scale_name}"] = codes, scales
        put_weight(model, module, back.numpy())
    save_torch(tmp_path / "m", model, tensors, dict(
        quant_method="fp8", activation_scheme="dynamic", weight_block_size=[B, B]))
    check_logits(tenon, tmp_path / "m", model, tmp_path, exact=True)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float16, torch.bfloat16])
def test_plain_types(tenon, tmp_path, dtype):
    """Weights without scales; norms stay in bfloat16 where the matrices are float8."""
    model, tensors = llama(), {}
    for name, p in model.state_dict().items():
        small = dtype.itemsize == 1 and "norm" in name
        tensors[name] = p.to(torch.bfloat16 if small else dtype)
        with torch.no_grad():
            p.copy_(tensors[name].float())
    save_torch(tmp_path / "m", model, tensors, None)
    check_logits(tenon, tmp_path / "m", model, tmp_path, exact=True)


# ---- what is refused, and how it is said ----------------------------------------------------------------

@pytest.mark.parametrize("quantization,words", [
    (dict(quant_method="bitsandbytes", load_in_4bit=True), ["bitsandbytes", "gptq"]),
    (dict(quant_method="awq", bits=4, group_size=32, version="gemv"), ["gemv", "gemm"]),
    (dict(quant_method="awq", bits=3, group_size=32, version="gemm"), ["3 bits"]),
    (dict(quant_method="gptq", bits=5, group_size=32), ["5 bits"]),
    (dict(quant_method="gptq", bits=4, group_size=32, checkpoint_format="marlin"), ["marlin"]),
    (dict(quant_method="compressed-tensors", format="nvfp4-pack-quantized", config_groups={}),
     ["nvfp4-pack-quantized", "pack-quantized"]),
    (dict(quant_method="compressed-tensors", format="pack-quantized",
          config_groups=dict(g=dict(targets=["Linear"], weights=dict(num_bits=3)))), ["3 bits", '"g"']),
])
def test_refused_methods(tenon, tmp_path, quantization, words):
    save(tmp_path / "m", llama(), {}, quantization)
    message = tenon.fails("model", "inspect", tmp_path / "m")
    assert "config.json" in message and all(w in message for w in words), message


def test_damaged_parts(tenon, tmp_path):
    """A part that is missing or of a wrong shape is named."""
    gptq(tmp_path, 4, 32, True, True, 1)
    path = tmp_path / "m/model.safetensors"
    whole = safetensors.numpy.load_file(path)
    module = "model.layers.0.mlp.up_proj"

    def expect(part, change, *words):
        tensors = dict(whole)
        if change is None:
            del tensors[f"{module}.{part}"]
        else:
            tensors[f"{module}.{part}"] = np.ascontiguousarray(change(tensors[f"{module}.{part}"]))
        safetensors.numpy.save_file(tensors, path)
        message = tenon.fails("model", "inspect", tmp_path / "m")
        assert f"{module}.weight" in message and all(w in message for w in words), message

    expect("scales", None, "scales is missing")
    expect("qzeros", None, "qzeros is missing")
    expect("qzeros", lambda t: t[:-1], "qzeros is int32[3, 32]", "[4, 32]")
    expect("scales", lambda t: t.astype(np.int16), "scales is int16")
    expect("g_idx", lambda t: t + 1, "g_idx[", "there are 4 groups")
    expect("g_idx", lambda t: t[1:], "g_idx is int32[127]")
    expect("qweight", lambda t: t[0], "qweight is int32[256]")
    expect("qweight", lambda t: t[:8], "scales")


def test_inspect(tenon, tmp_path):
    model = gptq(tmp_path, 4, 32, True, False, 1)
    folder = tmp_path / "m"
    (folder / "LICENSE.txt").write_text("do as you please")
    (folder / "tokenizer.json").write_text(json.dumps(dict(model=dict(type="WordPiece"))))
    facts = tenon.json("models", "inspect", folder)
    assert facts["quantization"] == "GPTQ, 4 bits, groups of 32" and facts["dtype"] == "int4_g32 and float32"
    assert facts["architecture"] == "LlamaForCausalLM" and facts["files"] == "safetensors"
    assert facts["tokenizer"] == "WordPiece (tokenizer.json)" and facts["licence"] == "LICENSE.txt"
    assert facts["chat_template"] is False and facts["parameters"] == model.num_parameters()
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert "template      for chat" in tenon("models", "inspect", folder).stdout
    (tmp_path / "bare").mkdir()
    message = tenon.fails("models", "inspect", tmp_path / "bare")
    assert "config.json" in message and ".gguf" in message
