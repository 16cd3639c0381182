# SPDX-License-Identifier: Apache-2.0
"""The model against PyTorch and Hugging Face transformers: their checkpoints loaded by us, ours by them,
logits, loss and gradients."""
import json
import shutil

import numpy
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

BASE = dict(vocab_size=128, hidden_size=64, intermediate_size=176, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
            initializer_range=0.12, attn_implementation="eager")

SHAPES = {
    "gqa-tied": dict(tie_word_embeddings=True),
    "gqa-untied": dict(tie_word_embeddings=False),
    "mha": dict(num_key_value_heads=4),
    "mqa": dict(num_key_value_heads=1, tie_word_embeddings=True),
    "odd-vocabulary": dict(vocab_size=251, tie_word_embeddings=True),
    "wide-heads": dict(head_dim=24),
    "narrow-heads": dict(head_dim=6),
    "odd-sizes": dict(hidden_size=60, intermediate_size=131, num_attention_heads=6,
                      num_key_value_heads=3, vocab_size=97),
    "theta-and-eps": dict(rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
                          rms_norm_eps=1e-3),
}


def peer(shape="gqa-untied", seed=1):
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**{**BASE, **SHAPES[shape]})).eval()
    with torch.no_grad():  # norms start at 1: make them matter
        for name, p in model.named_parameters():
            if "norm" in name:
                p.uniform_(0.5, 1.5)
    return model


def some_ids(vocab, count, seed=7):
    return numpy.random.default_rng(seed).integers(0, vocab, count).tolist()


def words(ids):
    return ",".join(map(str, ids))


def their_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def our_logits(tenon, folder, ids, tmp_path, *more):
    out = tmp_path / "logits.npy"
    tenon("model", "logits", folder, "--ids", words(ids), "--out", out, *more)
    logits = numpy.load(out)
    assert logits.dtype == numpy.float32 and len(logits) == len(ids)
    return logits


def close(ours, theirs):
    assert ours.shape == theirs.shape
    assert numpy.abs(theirs).max() > 0.5, "logits too flat to say anything"
    worst = numpy.abs(ours - theirs).max()
    assert worst <= 1e-4, f"logits differ by {worst:.3g}"
    print(f"worst difference {worst:.3g}, largest logit {numpy.abs(theirs).max():.3g}")


@pytest.mark.parametrize("shape", SHAPES)
def test_theirs_loaded_by_us(tenon, tmp_path, shape):
    model = peer(shape)
    model.save_pretrained(tmp_path / "m")
    ids = some_ids(model.config.vocab_size, 100)
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(model, ids))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_files(tenon, tmp_path, dtype):
    model = peer("gqa-tied").to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "m")
    ids = some_ids(128, 60)
    # Weights as stored, arithmetic in float32: what both sides can do exactly.  Opened afresh, since
    # model.to() has rounded the rotary frequencies as well.
    widened = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32,
                                                   attn_implementation="eager")
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(widened, ids))
    held = tenon.json("model", "inspect", tmp_path / "m")["dtype"]
    assert held == ("bfloat16" if dtype == "bfloat16" else "float16 and float32")


@pytest.mark.parametrize("same", [True, False])
def test_head_in_the_file_of_a_tied_model(tenon, tmp_path, same):
    model = peer("gqa-untied")
    if same:
        model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.detach().clone())
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m/config.json"
    config = json.loads(path.read_text())
    config["tie_word_embeddings"] = True
    path.write_text(json.dumps(config))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "m", attn_implementation="eager").eval()
    ids = some_ids(128, 50)
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(theirs, ids))


def test_sharded(tenon, tmp_path):
    model = peer("gqa-untied")
    model.save_pretrained(tmp_path / "m", max_shard_size="60KB")
    assert len(list((tmp_path / "m").glob("model-*.safetensors"))) > 3
    assert not (tmp_path / "m/model.safetensors").exists()
    ids = some_ids(128, 50)
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(model, ids))
    gone = sorted((tmp_path / "m").glob("model-*.safetensors"))[1]
    gone.unlink()
    assert gone.name in tenon.fails("model", "inspect", tmp_path / "m")


def test_rope_settings_of_older_transformers(tenon, tmp_path):
    model = peer("theta-and-eps")
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m/config.json"
    config = json.loads(path.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config))
    ids = some_ids(128, 50)
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(model, ids))


@pytest.mark.parametrize("chunk", [1, 7, 16, 33])
def test_chunked_prefill_changes_no_bit(tenon, tmp_path, chunk):
    peer("wide-heads").save_pretrained(tmp_path / "m")
    ids = some_ids(128, 70)
    whole = our_logits(tenon, tmp_path / "m", ids, tmp_path)
    parts = our_logits(tenon, tmp_path / "m", ids, tmp_path, "--chunk", chunk)
    assert whole.tobytes() == parts.tobytes()


def write_config(path, shape, **more):
    config = LlamaConfig(**{**BASE, **SHAPES[shape], **more}).to_dict()
    config["architectures"] = ["LlamaForCausalLM"]
    known = {key: value for key, value in config.items() if key in (
        "architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size",
        "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
        "max_position_embeddings", "rms_norm_eps", "rope_parameters", "tie_word_embeddings",
        "bos_token_id", "eos_token_id", "hidden_act")}
    path.write_text(json.dumps(known))
    return known


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_ours_loaded_by_them(tenon, tmp_path, shape, dtype):
    config = write_config(tmp_path / "c.json", shape)
    folder = tmp_path / "m"
    tenon("model", "init", tmp_path / "c.json", folder, "--seed", 5, "--dtype", dtype)
    as_stored = AutoModelForCausalLM.from_pretrained(folder)
    assert as_stored.dtype == (torch.float32 if dtype == "f32" else torch.bfloat16)
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert isinstance(model, LlamaForCausalLM)
    for key in ("hidden_size", "head_dim", "num_key_value_heads", "rms_norm_eps", "vocab_size",
                "rope_parameters", "tie_word_embeddings", "eos_token_id"):
        assert getattr(model.config, key) == config[key], key
    ids = some_ids(config["vocab_size"], 64)
    ours, theirs = our_logits(tenon, folder, ids, tmp_path), their_logits(model, ids)
    worst = numpy.abs(ours - theirs).max()  # at initialisation logits are small
    assert numpy.abs(theirs).max() > 0.01 and worst <= 1e-4, worst
    assert worst <= 1e-5 * max(1.0, float(numpy.abs(theirs).max()))


def test_init_is_a_function_of_the_seed(tenon, tmp_path):
    write_config(tmp_path / "c.json", "gqa-tied")
    files = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        tenon("model", "init", tmp_path / "c.json", tmp_path / name, "--seed", seed)
        files.append((tmp_path / name / "model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]
    before = files[0]
    line = tenon.fails("model", "init", tmp_path / "c.json", tmp_path / "a")
    assert "config.json is there already" in line
    assert (tmp_path / "a/model.safetensors").read_bytes() == before


@pytest.mark.parametrize("shape", ["gqa-tied", "gqa-untied", "wide-heads", "odd-sizes", "mqa"])
def test_loss_and_gradients(tenon, tmp_path, shape):
    model = peer(shape)
    model.save_pretrained(tmp_path / "m")
    ids = some_ids(model.config.vocab_size, 80)
    batch = torch.tensor([ids])
    loss = model(batch, labels=batch).loss
    loss.backward()
    out = tmp_path / "g.safetensors"
    said = tenon.json("model", "grads", tmp_path / "m", "--ids", words(ids), "--out", out)
    assert said["counted"] == len(ids) - 1
    assert abs(said["loss"] - loss.item()) <= 1e-5 * loss.item()
    ours = safetensors.torch.load_file(out)
    theirs = {name: p.grad for name, p in model.named_parameters()}
    assert set(ours) == set(theirs)
    worst = 0
    for name, grad in theirs.items():
        assert ours[name].shape == grad.shape
        relative = ((ours[name] - grad).abs().max() / grad.abs().max()).item()
        assert relative <= 1e-3, f"{name}: {relative:.3g} of the largest gradient"
        worst = max(worst, relative)
    print(f"loss {said['loss']:.6f} and {loss.item():.6f}; worst gradient {worst:.3g}")


def test_safetensors_of_others_and_ours(tenon, tmp_path):
    """Every parameter that we write is what safetensors reads, and the metadata is theirs to read."""
    write_config(tmp_path / "c.json", "gqa-untied")
    tenon("model", "init", tmp_path / "c.json", tmp_path / "m", "--seed", 1)
    path = tmp_path / "m/model.safetensors"
    with safetensors.safe_open(path, "np") as f:
        metadata = f.metadata()
        names = set(f.keys())
        assert metadata["format"] == "pt"
        assert {f"xxh64:{name}" for name in names} <= set(metadata)
        table = f.get_tensor("model.embed_tokens.weight")
        down = f.get_tensor("model.layers.0.mlp.down_proj.weight")
    assert abs(table.std() - 0.02) < 0.001 and abs(down.std() - 0.02 / 6 ** 0.5) < 0.0005
    # written again by safetensors, without our sums
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(tensors, path)
    assert tenon.json("model", "inspect", tmp_path / "m")["parameters"] == sum(
        t.size for t in tensors.values())


# ---- bad input -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def checkpoint(tenon, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_config(folder / "c.json", "gqa-untied")
    tenon("model", "init", folder / "c.json", folder / "m", "--seed", 3)
    return folder / "m"


@pytest.fixture
def broken(checkpoint, tmp_path):
    return shutil.copytree(checkpoint, tmp_path / "m")


def test_flipped_byte(tenon, broken):
    path = broken / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-200] ^= 4
    path.write_bytes(data)
    line = tenon.fails("model", "inspect", broken)
    assert str(path) in line and "lm_head.weight" in line and "XXH64" in line


@pytest.mark.parametrize("keep", [0, 7, 100, 5000, -1])
def test_truncated(tenon, broken, keep):
    path = broken / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:keep])
    line = tenon.fails("model", "inspect", broken)
    assert str(path) in line


@pytest.mark.parametrize("key, value, said", [
    ("num_key_value_heads", 3, "num_attention_heads is 4, must be a multiple of "
                               "num_key_value_heads 3"),
    ("head_dim", 7, "head_dim is 7, must be even"),
    ("hidden_size", 0, "hidden_size is 0"),
    ("num_hidden_layers", 10 ** 12, "num_hidden_layers is 1000000000000"),
    ("hidden_size", 72, "float32[128, 64], config.json wants [128, 72]"),
    ("num_hidden_layers", 4, 'no tensor "model.layers.3.input_layernorm.weight"'),
    ("num_hidden_layers", 2, "model.layers.2"),
    ("attention_bias", True, 'no tensor "model.layers.0.self_attn.q_proj.bias"'),
    ("rope_scaling", {"rope_type": "mrope", "factor": 8.0}, "mrope"),
    ("architectures", ["BloomForCausalLM"], "BloomForCausalLM"),
    ("model_type", "mistral", "mistral"),
    ("vocab_size", "many", "vocab_size"),
])
def test_wrong_config(tenon, broken, key, value, said):
    path = broken / "config.json"
    config = json.loads(path.read_text())
    config[key] = value
    path.write_text(json.dumps(config))
    line = tenon.fails("model", "inspect", broken)
    assert said in line and str(broken) in line


def test_unknown_key_in_a_new_config(tenon, tmp_path):
    config = write_config(tmp_path / "c.json", "gqa-tied")
    (tmp_path / "c.json").write_text(json.dumps({**config, "num_hiden_layers": 2}))
    line = tenon.fails("model", "init", tmp_path / "c.json", tmp_path / "m")
    assert "num_hiden_layers" in line and "c.json" in line
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("ids, said", [
    ("1,2,128", "token 128"), ("1,,2", "''"), ("", "''"), ("1,x", "'x'"), ("-1", "'-1'"),
    (",".join(["1"] * 129), "129 tokens"),
])
def test_wrong_tokens(tenon, checkpoint, ids, said):
    assert said in tenon.fails("model", "logits", checkpoint, f"--ids={ids}")


def test_no_model_there(tenon, tmp_path):
    done = tenon("model", "inspect", tmp_path / "nothing", check=False)
    assert done.returncode == 1
    assert "config.json" in done.stderr and "hint: " in done.stderr
