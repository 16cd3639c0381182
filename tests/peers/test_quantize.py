# SPDX-License-Identifier: Apache-2.0
"""`tenon quantize`: what it writes opens in transformers (through compressed-tensors) and gives there
the perplexity that was printed; rounding is compared with compressed-tensors' own."""
import json
import math
import shutil
import subprocess

import pytest

TEXT = "".join(f"{i} men went to mow, went to mow a meadow; {i * i} more came after.\n"
               for i in range(120))
WINDOW = 64


def random_model(folder, tenon, kind="llama", dtype="float32", **more):
    import torch
    import transformers
    sizes = dict(vocab_size=304, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=WINDOW,
                 initializer_range=0.2, bos_token_id=0, eos_token_id=0, head_dim=16) | more
    config, model = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        "gemma2": (transformers.Gemma2Config, transformers.Gemma2ForCausalLM),
        "olmo2": (transformers.Olmo2Config, transformers.Olmo2ForCausalLM),
        "phi3": (transformers.Phi3Config, transformers.Phi3ForCausalLM),
        "qwen3_moe": (transformers.Qwen3MoeConfig, transformers.Qwen3MoeForCausalLM),
        "mixtral": (transformers.MixtralConfig, transformers.MixtralForCausalLM),
        "gpt_neox": (transformers.GPTNeoXConfig, transformers.GPTNeoXForCausalLM),
    }[kind]
    if kind in ("qwen2", "olmo2", "phi3"):
        sizes.pop("head_dim")
    if kind == "phi3":
        sizes |= {"pad_token_id": 0, "partial_rotary_factor": 0.5}
    if kind == "qwen3_moe":
        sizes |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    if kind == "mixtral":
        sizes |= {"num_local_experts": 4, "num_experts_per_tok": 2}
    if kind == "gpt_neox":
        sizes = {k: v for k, v in sizes.items() if k not in ("head_dim", "num_key_value_heads")}
        sizes |= {"tie_word_embeddings": False} | more
    torch.manual_seed(5)
    made = model(config(**sizes))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if kind == "gpt_neox" and name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)
            elif "norm" in name or name.endswith("bias"):
                parameter.uniform_(0.2, 2.0)
            if "layernorm.weight" in name:
                parameter[::7] *= 9  # a few inputs much larger than the rest
    made.to(getattr(torch, dtype)).save_pretrained(folder)
    (folder / "text.txt").write_text(TEXT)
    tenon("tokenizer", "train", folder / "text.txt", "--vocab-size", 300, "--out", folder)
    return folder


@pytest.fixture(scope="module")
def model(tenon, tmp_path_factory):
    return random_model(tmp_path_factory.mktemp("model"), tenon)


def run(tenon, model, out, *words):
    data = model / "text.txt"
    return tenon.json("quantize", model, out, "--eval", data, "--eval-tokens", 640, "--samples", 16,
                      "--data", data, *words)


def perplexity(folder, tokens=640, dequantize=False):
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig
    torch.set_num_threads(1)
    how = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **how)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = torch.tensor(tokenizer.encode(TEXT).ids[:tokens])
    with torch.no_grad():
        logits = model(ids.view(-1, WINDOW)).logits[:, :-1]
    return math.exp(torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids.view(-1, WINDOW)[:, 1:].flatten()).item())


WAYS = [
    ("--to", "int4", "--method", "rtn", "--group", "32"),
    ("--to", "int4", "--method", "rtn", "--group", "64", "--asymmetric"),
    ("--to", "int4", "--method", "rtn", "--group", "channel"),
    ("--to", "int4", "--method", "awq", "--group", "32"),
    ("--to", "int4", "--method", "awq", "--group", "32", "--asymmetric"),
    ("--to", "int4", "--method", "gptq", "--group", "32"),
    ("--to", "int4", "--method", "gptq", "--group", "32", "--natural-order", "--asymmetric"),
    ("--to", "int4", "--method", "gptq", "--group", "32", "--passes", "0", "--no-aim"),
    ("--to", "int8", "--method", "rtn"),
    ("--to", "int8", "--method", "gptq", "--group", "64"),
    ("--to", "fp8", "--method", "rtn"),
    ("--to", "fp8", "--method", "gptq", "--group", "32"),
    ("--to", "int8", "--method", "rtn", "--activations"),
    ("--to", "int8", "--method", "gptq", "--smooth"),
    ("--to", "fp8", "--method", "rtn", "--activations"),
]


@pytest.mark.parametrize("words", WAYS, ids=" ".join)
def test_opens_in_transformers_with_the_perplexity_printed(tenon, model, tmp_path, words):
    got = run(tenon, model, tmp_path / "out", *words)
    before, after = got["perplexity_before"], got["perplexity_after"]
    assert abs(perplexity(model) - before) < 1e-3 * before
    # transformers 5.23 has no room for packed zero points unless it dequantizes at load
    theirs = perplexity(tmp_path / "out", dequantize="--asymmetric" in words)
    # a rounding that falls the other way in an input moves a logit by a step of its grid
    limit = 1e-2 if got["activations"] else 1e-3
    assert abs(theirs - after) < limit * after, (before, after, theirs)
    assert abs(after - before) > 1e-5 * before  # something was rounded
    assert got["bytes_after"] < got["bytes_before"]


@pytest.mark.parametrize("words", [w for w in WAYS if "--activations" not in w and "--smooth" not in w],
                         ids=" ".join)
def test_opens_here(tenon, model, tmp_path, words):
    """Integer weights are multiplied with inputs rounded to int8 here, which a random model feels: the
    figures are near, not the same."""
    got = run(tenon, model, tmp_path / "out", *words)
    again = tenon.json("eval", "perplexity", tmp_path / "out", "--data", model / "text.txt",
                       "--tokens", 640)
    assert abs(again["perplexity"] - got["perplexity_after"]) < 0.05 * got["perplexity_after"]


@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "olmo2"])
@pytest.mark.parametrize("method", ["awq", "gptq"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_architectures(tenon, tmp_path, kind, method, dtype):
    (tmp_path / "model").mkdir()
    model = random_model(tmp_path / "model", tenon, kind, dtype)
    got = run(tenon, model, tmp_path / "out", "--method", method, "--group", "32")
    before, after = got["perplexity_before"], got["perplexity_after"]
    assert abs(perplexity(model) - before) < 2e-3 * before
    theirs = perplexity(tmp_path / "out")
    # dequantized weights are rounded to the scales' type there
    assert abs(theirs - after) < (2e-2 if dtype == "bfloat16" else 2e-3) * after


@pytest.mark.parametrize("kind", ["phi3", "qwen3_moe", "mixtral"])
@pytest.mark.parametrize("words", [("--method", "rtn"), ("--method", "awq"), ("--method", "gptq"),
                                   ("--to", "fp8", "--method", "rtn")], ids=" ".join)
def test_fused_tensors_and_experts(tenon, tmp_path, kind, words):
    """transformers 5.23 takes float8 experts with a scale a row only."""
    (tmp_path / "model").mkdir()
    model = random_model(tmp_path / "model", tenon, kind, "bfloat16" if "rtn" in words else "float32")
    got = run(tenon, model, tmp_path / "out", *words, "--group", "channel" if "fp8" in words else "32")
    before, after = got["perplexity_before"], got["perplexity_after"]
    assert abs(perplexity(model) - before) < 2e-3 * before
    theirs = perplexity(tmp_path / "out")
    assert abs(theirs - after) < (2e-2 if "rtn" in words else 2e-3) * after, (before, after, theirs)
    config = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]
    router = {"phi3": None, "qwen3_moe": "mlp.gate", "mixtral": "block_sparse_moe.gate"}[kind]
    assert config["ignore"] == ["lm_head"] + [f"model.layers.{i}.{router}" for i in range(2) if router]


NEOX = {"parallel": {}, "sequential": {"use_parallel_residual": False, "attention_bias": False}}


@pytest.mark.parametrize("form", NEOX)
@pytest.mark.parametrize("words", [
    ("--method", "rtn", "--group", "32"), ("--method", "awq", "--group", "32"),
    ("--method", "gptq", "--group", "32"), ("--method", "gptq", "--group", "32", "--asymmetric"),
    ("--to", "int8", "--method", "gptq", "--smooth"), ("--to", "fp8", "--method", "rtn", "--activations"),
    ("--method", "gptq", "--group", "64", "--ignore", "query_key_value")], ids=" ".join)
def test_gpt_neox(tenon, tmp_path, form, words):
    """q, k and v of a head lie together in one tensor, and the head is called embed_out."""
    (tmp_path / "model").mkdir()
    model = random_model(tmp_path / "model", tenon, "gpt_neox", **NEOX[form])
    got = run(tenon, model, tmp_path / "out", *words)
    before, after = got["perplexity_before"], got["perplexity_after"]
    assert abs(perplexity(model) - before) < 1e-3 * before
    theirs = perplexity(tmp_path / "out", dequantize="--asymmetric" in words)
    assert abs(theirs - after) < (1e-2 if got["activations"] else 1e-3) * after, (before, after, theirs)
    assert abs(after - before) > 1e-5 * before
    config = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]
    assert config["ignore"] == ["lm_head", "embed_out"] + [f"gpt_neox.layers.{i}.attention.query_key_value" for i in range(2)
                                                if "--ignore" in words]
    again = tenon.json("eval", "perplexity", tmp_path / "out", "--data", model / "text.txt", "--tokens", 640)
    assert abs(again["perplexity"] - after) < 0.05 * after


def test_gpt_neox_rows_are_those_of_the_file(tenon, tmp_path):
    (tmp_path / "model").mkdir()
    model = random_model(tmp_path / "model", tenon, "gpt_neox")
    run(tenon, model, tmp_path / "out", "--to", "int8", "--method", "rtn")
    ours, theirs = tensors(tmp_path / "out"), tensors(model)
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
    for name in [n[:-len("_packed")] for n in ours if n.endswith("_packed")]:
        weight = theirs.pop(name)
        codes = unpack_from_int32(ours[f"{name}_packed"], 8, weight.shape)
        assert (codes * ours[f"{name}_scale"] - weight).abs().max() < ours[f"{name}_scale"].max() * 0.51, name
    for name in theirs:
        assert ours[name].equal(theirs[name]), name  # the rest is as it was


def test_gpt_neox_has_no_place_for_scales_of_keys(tenon, tmp_path):
    (tmp_path / "model").mkdir()
    model = random_model(tmp_path / "model", tenon, "gpt_neox")
    assert "GPT-NeoX has no k_proj" in tenon.fails("quantize", model, tmp_path / "out", "--kv", "int8",
                                                   "--data", model / "text.txt")


@pytest.mark.parametrize("words", [("--to", "int8", "--activations"), ("--to", "int8", "--asymmetric"),
                                   ("--to", "fp8", "--group", "32"), ("--to", "fp8", "--activations"),
                                   ("--to", "int4", "--group", "64")], ids=" ".join)
def test_experts_that_transformers_does_not_open_are_noted(tenon, tmp_path, words):
    (tmp_path / "model").mkdir()
    model = random_model(tmp_path / "model", tenon, "mixtral")
    said = tenon("quantize", model, tmp_path / "out", "--method", "rtn", *words, "-q").stderr
    noted = "note: transformers 5.23 does not open experts" in said
    assert noted == (words in [("--to", "int8", "--activations"), ("--to", "int8", "--asymmetric"),
                               ("--to", "fp8", "--group", "32")]), said
    for dequantize in (False, True):
        try:
            perplexity(tmp_path / "out", dequantize=dequantize)
            opened = True
        except RuntimeError as why:
            assert "automatic conversion of the weights" in str(why)
            opened = False
        assert opened != noted, dequantize
    ours = tenon.json("eval", "perplexity", tmp_path / "out", "--data", model / "text.txt", "--tokens", 640)
    plain = tenon.json("eval", "perplexity", model, "--data", model / "text.txt", "--tokens", 640)
    assert abs(ours["perplexity"] / plain["perplexity"] - 1) < 0.25


def tensors(folder):
    from safetensors.torch import load_file
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_is_that_of_compressed_tensors(tenon, model, tmp_path, symmetric, bits):
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.utils import calculate_qparams
    run(tenon, model, tmp_path / "out", "--to", f"int{bits}", "--method", "rtn", "--group", "32",
        *([] if symmetric else ["--asymmetric"]))
    ours, theirs = tensors(tmp_path / "out"), tensors(model)
    args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group", group_size=32)
    names = [n[:-len("_packed")] for n in ours if n.endswith("_packed")]
    assert len(names) == 14
    for name in names:
        weight = theirs[name]
        groups = weight.unflatten(1, (-1, 32))
        scale, zero = calculate_qparams(groups.amin(2), groups.amax(2), args)
        assert torch.allclose(ours[f"{name}_scale"], scale, rtol=1e-6)
        assert ours[f"{name}_shape"].tolist() == list(weight.shape)
        packed = ours[f"{name}_packed"]
        codes = unpack_from_int32(packed, bits, weight.shape)
        want = torch.clamp(torch.round(groups / scale[..., None]) + zero[..., None],
                           -2**(bits - 1), 2**(bits - 1) - 1).flatten(1)
        assert (codes.int() - want.int()).abs().max() <= 1
        assert (codes.int() != want.int()).float().mean() < 1e-3
        if not symmetric:
            zeros = unpack_from_int32(ours[f"{name}_zero_point"], bits, scale.shape, packed_dim=0)
            assert (zeros.int() - zero.int()).abs().max() <= 1
    for name in set(theirs) - set(names):
        assert torch.equal(ours[name], theirs[name]), name  # the rest is as it was


def test_float8_codes_are_torchs(tenon, model, tmp_path):
    import torch
    run(tenon, model, tmp_path / "out", "--to", "fp8", "--method", "rtn")
    ours, theirs = tensors(tmp_path / "out"), tensors(model)
    name = "model.layers.1.mlp.up_proj.weight"
    scale = theirs[name].abs().amax(1, keepdim=True) / 448
    assert torch.allclose(ours[f"{name}_scale"], scale, rtol=1e-6)
    want = (theirs[name] / scale).to(torch.float8_e4m3fn)
    assert ours[name].dtype == torch.float8_e4m3fn
    assert (ours[name].float() != want.float()).float().mean() < 1e-3


def test_scales_of_the_cache(tenon, model, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    run(tenon, model, tmp_path / "out", "--to", "int8", "--method", "rtn", "--kv", "fp8", "--samples", "1",
        "--tokens", "64")
    ours = tensors(tmp_path / "out")
    scheme = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]
    assert scheme["kv_cache_scheme"]["type"] == "float"
    facts = tenon.json("models", "inspect", tmp_path / "out")
    assert facts["kv_type"] == "fp8" and facts["quantization"].endswith("KV cache fp8")
    sizes = facts["kv_bytes_per_1000_tokens_of"]
    assert facts["kv_bytes_per_1000_tokens"] == sizes["fp8"] == sizes["int8"] < sizes["f16"] == sizes["bf16"]
    peer = AutoModelForCausalLM.from_pretrained(model)
    ids = AutoTokenizer.from_pretrained(model)(TEXT)["input_ids"][:64]
    with torch.no_grad():
        cache = peer(torch.tensor([ids]), use_cache=True).past_key_values
    key, value = cache.layers[0].keys, cache.layers[0].values
    # the layer was quantized to int8 before it was measured
    assert abs(ours["model.layers.0.self_attn.k_scale"].item() * 448 / key.abs().max() - 1) < 0.02
    assert abs(ours["model.layers.0.self_attn.v_scale"].item() * 448 / value.abs().max() - 1) < 0.02


def test_ignored_linears_stay(tenon, model, tmp_path):
    import torch
    run(tenon, model, tmp_path / "out", "--to", "int4", "--method", "gptq", "--group", "32", "--ignore",
        "down_proj")
    ours, theirs = tensors(tmp_path / "out"), tensors(model)
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(ours[name], theirs[name])
    assert "model.layers.1.mlp.up_proj.weight_packed" in ours
    ignore = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]["ignore"]
    assert ignore == ["lm_head", "model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"]


@pytest.mark.parametrize("words", [("--to", "int4", "--method", "rtn"), ("--to", "int4", "--method", "gptq"),
                                   ("--to", "int4", "--method", "awq"), ("--to", "int8", "--smooth")],
                         ids=" ".join)
def test_an_ignored_layer_stays(tenon, model, tmp_path, words):
    import torch
    group = () if "--smooth" in words else ("--group", "32")
    got = run(tenon, model, tmp_path / "out", *words, *group, "--ignore", "layers.0.")
    limit = 1e-2 if got["activations"] else 1e-3
    assert abs(perplexity(tmp_path / "out") - got["perplexity_after"]) < limit * got["perplexity_after"]
    ours, theirs = tensors(tmp_path / "out"), tensors(model)
    first = [name for name in theirs if ".layers.0." in name]
    assert len(first) == 9 and all(torch.equal(ours[name], theirs[name]) for name in first)
    assert not [name for name in theirs if ".layers.1." in name and name.endswith("proj.weight")
                and name in ours and torch.equal(ours[name].float(), theirs[name])]
    error = tenon.fails("quantize", model, tmp_path / "none", "--method", "gptq", "--group", "32", "--data",
                        model / "text.txt", "--ignore", "layers.")
    assert "all linears of all 2 layers are ignored" in error
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_mistakes_are_named(tenon, model, tmp_path):
    out, data = tmp_path / "out", model / "text.txt"
    assert "--to int3" in tenon.fails("quantize", model, out, "--to", "int3", code=2)
    assert "--data is missing" in tenon.fails("quantize", model, out, "--method", "awq", code=2)
    assert "channel" in tenon.fails("quantize", model, out, "--to", "int8", "--group", "32", "--activations",
                                    code=2)
    assert "fp8 has no zero points" in tenon.fails("quantize", model, out, "--to", "fp8", "--asymmetric",
                                                   code=2)
    error = tenon.fails("quantize", model, out, "--group", "128")
    assert "q_proj" in error and "64 columns" in error and "128" in error
    assert not out.exists() and not list(tmp_path.glob("out.part*"))
    assert "4096" in tenon.fails("quantize", model, out, "--method", "awq", "--group", "32", "--data", data,
                                 "--tokens", 4096)
    out.mkdir()
    assert "is there already" in tenon.fails("quantize", model, out, "--group", "32")
    tenon("quantize", model, out, "--group", "32", "--force")
    assert "already" in tenon.fails("quantize", out, tmp_path / "twice", "--group", "32")


def test_words_that_cannot_be_meant_are_refused_first(tenon, model, tmp_path):
    out, text = tmp_path / "out", model / "text.txt"
    assert "OUT is empty" in tenon.fails("quantize", model, "", "--to", "int8", code=2)
    assert "--kv calibrates" in tenon.fails("quantize", model, out, "--to", "int8", "--kv", "int8", code=2)
    assert "--smooth calibrates" in tenon.fails("quantize", model, out, "--to", "int8", "--smooth", code=2)
    assert "0 to 1024" in tenon.fails("quantize", model, out, "--threads", 100000, code=2)
    assert "--ignore dwon_proj" in tenon.fails("quantize", model, out, "--to", "int8", "--ignore", "dwon_proj")
    tenon("quantize", model, out, "--to", "int8", "--ignore", "down_proj", "--ignore", "lm_head")
    (tmp_path / "table.csv").write_text("text\nthe fox\n")
    for bad in (("--data", tmp_path / "table.csv", "--column", "nope"), ("--data", tmp_path / "none.txt")):
        done = tenon("quantize", model, tmp_path / "other", "--to", "int8", *bad, check=False)
        assert done.returncode == 1 and "config.json" not in done.stderr, done.stderr
        assert ("--column NAME" in done.stderr) == ("--column" in bad)
    assert text.exists() and not list(tmp_path.glob("*.part*")) and not (tmp_path / "other").exists()


def test_options_that_would_do_nothing_are_refused(tenon, model, tmp_path):
    out, text, table = tmp_path / "out", model / "text.txt", tmp_path / "table.csv"
    table.write_text("n,story\n" + "1,the fox and the hound\n" * 99)
    for words in (("--damping", 0.005), ("--passes", 3), ("--natural-order",), ("--no-aim",)):
        for method in ("rtn", "awq"):
            error = tenon.fails("quantize", model, out, "--data", text, "--method", method, *words, code=2)
            assert f"{words[0]} goes with --method gptq" in error
    assert "--strength goes with --smooth" in tenon.fails("quantize", model, out, "--to", "int8", "--data", text,
                                                          "--activations", "--strength", 0.5, code=2)
    for option in ("--data", "--eval"):
        assert "--column goes with a table" in tenon.fails("quantize", model, out, option, text, "--column",
                                                           "story", code=2)
    tenon("quantize", model, out, "--to", "int8", "--data", text, "--eval", table, "--column", "story", "--smooth",
          "--strength", 0.4, "--damping", 0.01, "--passes", 0, "--no-aim", "--natural-order", "--samples", 2)


def test_hints_are_true(tenon, tmp_path):
    (tmp_path / "m").mkdir()
    model = random_model(tmp_path / "m", tenon, intermediate_size=88)
    for words in (("--to", "int4", "-g", "32"), ("--to", "int4", "--format", "gguf")):
        done = tenon("quantize", model, tmp_path / "out", *words, check=False)
        assert "88 columns" in done.stderr and "smaller" not in done.stderr
        assert ("--to f16" if "gguf" in words else "--group channel") in done.stderr
    tenon("quantize", model, tmp_path / "out", "--to", "int4", "-g", "channel")
    tenon("quantize", model, tmp_path / "out.gguf", "--to", "f16", "--format", "gguf")


def test_other_architectures_are_refused_in_users_words(tenon, tmp_path):
    import small_models
    for name, made, said in (("gpt2", small_models.decoder("gpt2"), "GPT-2 is not quantized"),
                             ("bert", small_models.encoder("bert"), "only models that generate text")):
        made.save_pretrained(tmp_path / name)
        (tmp_path / name / "text.txt").write_text(TEXT)
        tenon("tokenizer", "train", tmp_path / name / "text.txt", "--vocab-size", 300, "--out", tmp_path / name)
        for words in ((), ("--data", tmp_path / name / "text.txt"), ("--method", "rtn", "--to", "int8")):
            assert said in tenon.fails("quantize", tmp_path / name, tmp_path / "out", *words)


def test_what_is_nobodys_model_is_not_replaced(tenon, model, tmp_path):
    quantize = ("quantize", model)
    for name, word in (("thesis.txt", "thesis.txt is no part"), ("photo/a.json", "photo is no part"),
                       ("notes.json", "no config.json")):
        mine = tmp_path / name.replace("/", "-") / name
        folder = tmp_path / name.replace("/", "-")
        mine.parent.mkdir(parents=True)
        mine.write_text("precious")
        assert word in tenon.fails(*quantize, folder, "--group", 32, "--force")
        assert word in tenon.fails(*quantize, ".", "--group", 32, "--force", cwd=folder)
        assert mine.read_text() == "precious"
    file = tmp_path / "file.txt"
    file.write_text("precious")
    assert "is a file" in tenon.fails(*quantize, file, "--group", 32, "--force")
    assert file.read_text() == "precious"
    assert "is a folder" in tenon.fails(*quantize, tmp_path, "--to", "int8", "--format", "gguf", "--force")


def test_two_at_once_leave_one_whole_model(tenon, model, tmp_path):
    mine = tmp_path / "out.part/thesis.txt"  # a name that a careless program would take for its own
    mine.parent.mkdir()
    mine.write_text("precious")
    words = [str(tenon.path), "quantize", str(model), str(tmp_path / "new/out"), "--group", "32", "--quiet"]
    running = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [p.communicate(timeout=120)[1] for p in running]
    assert sorted(p.returncode for p in running) == [0, 1, 1], errors
    assert all("out" in e and "error:" in e for e, p in zip(errors, running) if p.returncode)
    assert mine.read_text() == "precious"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["out"]
    tenon("eval", "perplexity", tmp_path / "new/out", "--data", model / "text.txt", "--tokens", 64)


def test_the_model_does_not_replace_itself(tenon, model, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(model, own)
    before = sorted((p.name, p.read_bytes()) for p in own.iterdir())
    (tmp_path / "link").symlink_to(own)
    for out in ("own", "own/", "./own", "link"):
        assert "OUT must be another" in tenon.fails("quantize", own, out, "--group", 32, "--force", cwd=tmp_path)
    assert sorted((p.name, p.read_bytes()) for p in own.iterdir()) == before


@pytest.mark.parametrize("option", ["--data", "--eval"])
def test_texts_are_not_replaced(tenon, model, tmp_path, option):
    text, other = tmp_path / "text.txt", tmp_path / "hard.txt"
    text.write_text(TEXT)
    other.hardlink_to(text)
    (tmp_path / "soft.txt").symlink_to(text)
    words = ("--to", "int8", "--format", "gguf", "--method", "rtn", option, text)
    for out in (text, other, tmp_path / "soft.txt"):
        for force in ((), ("--force",)):
            error = tenon.fails("quantize", model, out, *words, *force)
            assert f"{out} is an input ({text})" in error and "--force" not in error
    inside = tmp_path / "old/text.jsonl"  # of a name that a model's folder may hold
    inside.parent.mkdir()
    inside.write_text(json.dumps({"text": TEXT}) + "\n")
    (tmp_path / "old/config.json").write_text("{}")
    (tmp_path / "in").symlink_to(inside)
    for named in (inside, tmp_path / "in"):
        assert "holds an input" in tenon.fails("quantize", model, inside.parent, "--to", "int8", "--force",
                                               option, named)
    assert text.read_text() == other.read_text() == TEXT and inside.exists()


def test_a_slash_behind_the_folder(tenon, model, tmp_path):
    for force in ((), ("--force",)):
        tenon("quantize", model, f"{tmp_path}/out/", "--group", 32, *force)
        assert (tmp_path / "out/model.safetensors").exists()
        assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_numbers_out_of_range(tenon, model, tmp_path):
    for words in (("--damping", "nan"), ("--damping", -1), ("--strength", "nan"), ("--threads", -1),
                  ("--passes", -1), ("--passes", 1001)):
        tenon.fails("quantize", model, tmp_path / "out", *words, code=2)
