# SPDX-License-Identifier: Apache-2.0
"""Every decoder architecture against transformers: their folder read by us, ours by them."""
import json
import resource
import shutil
import signal
import subprocess
import time

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration

import small_models

TOKENS = 90


def some_ids(count=TOKENS, seed=7):
    return numpy.random.default_rng(seed).integers(0, 120, count).tolist()


def their_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float().numpy()


def our_logits(tenon, folder, ids, tmp_path, *more):
    out = tmp_path / "logits.npy"
    tenon("model", "logits", folder, "--ids", ",".join(map(str, ids)), "--out", out, *more)
    return numpy.load(out)


def open_theirs(folder, **more):
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager",
                                                **{"dtype": torch.float32, **more}).eval()


def close(ours, theirs, limit=1e-4):
    assert ours.shape == theirs.shape
    assert numpy.abs(theirs).max() > 0.5, "logits too flat to say anything"
    worst = numpy.abs(ours - theirs).max()
    assert worst <= limit, f"logits differ by {worst:.3g}"


@pytest.fixture(scope="module", params=small_models.DECODERS)
def saved(request, tmp_path_factory):
    model = small_models.decoder(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(folder)
    return request.param, model, folder


def test_theirs_loaded_by_us(tenon, saved, tmp_path):
    name, model, folder = saved
    ids = some_ids()
    whole = our_logits(tenon, folder, ids, tmp_path)
    close(whole, their_logits(model, ids))
    parts = our_logits(tenon, folder, ids, tmp_path, "--chunk", 7)
    assert whole.tobytes() == parts.tobytes(), "chunks change bits"
    # their config.json holds no key that a strict reader does not know
    tenon("model", "init", folder / "config.json", tmp_path / "new")


def test_ours_loaded_by_them(tenon, saved, tmp_path):
    """Every tensor comes back as it was, in the layout of its architecture, and so do the logits."""
    name, model, folder = saved
    out = tmp_path / "out"
    tenon("model", "export", folder, out, "--dtype", "f32")
    again, info = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert type(again) is type(model)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    before, after = model.state_dict(), again.state_dict()
    assert set(before) == set(after)
    for key in before:
        assert torch.equal(before[key], after[key]), key
    ids = some_ids(seed=8)
    close(their_logits(again.eval(), ids), their_logits(model, ids), 1e-5)
    close(our_logits(tenon, out, ids, tmp_path), their_logits(again, ids))


@pytest.mark.parametrize("name", ["gpt2", "neox", "gemma3", "qwen3-moe", "phi3-long", "olmo2"])
def test_started_here(tenon, tmp_path, name):
    """A model begun from their config.json loads there."""
    small_models.decoder(name).config.save_pretrained(tmp_path / "c")
    edit(tmp_path / "c", lambda config: config.update(architectures=[
        type(small_models.decoder(name)).__name__]))
    tenon("model", "init", tmp_path / "c/config.json", tmp_path / "m", "--seed", 3)
    again, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "m", dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    ids = some_ids(20)
    ours, theirs = our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(again.eval(), ids)
    assert numpy.abs(theirs).max() > 1e-3 and numpy.abs(ours - theirs).max() <= 1e-5
    for key, p in again.named_parameters():
        if p.dim() == 1 and "norm" in key.lower() and "bias" not in key:
            assert torch.equal(p, torch.full_like(p, 0.0 if "gemma" in name else 1.0)), key


@pytest.mark.parametrize("name", ["llama-3", "mixtral", "qwen2", "qwen3-moe", "gemma2", "gemma3",
                                  "phi3", "olmo2", "gpt2", "neox"])
def test_bfloat16(tenon, tmp_path, name):
    """Within twice the error of their own bfloat16 run, both against float32 of the same weights."""
    small_models.decoder(name).to(torch.bfloat16).save_pretrained(tmp_path / "m")
    ids = some_ids()
    exact = their_logits(open_theirs(tmp_path / "m"), ids)
    theirs = their_logits(open_theirs(tmp_path / "m", dtype=torch.bfloat16), ids)
    ours = our_logits(tenon, tmp_path / "m", ids, tmp_path)
    assert numpy.abs(ours - exact).max() <= 2 * numpy.abs(theirs - exact).max()
    close(ours, exact)
    tenon("model", "export", tmp_path / "m", tmp_path / "out")
    again = open_theirs(tmp_path / "out", dtype=torch.bfloat16)
    assert numpy.array_equal(their_logits(again, ids), theirs)


def test_an_export_is_whole_or_not_there(tenon, tmp_path):
    small_models.decoder("llama-3").save_pretrained(tmp_path / "m")
    out, words = tmp_path / "new/out", ("model", "export", tmp_path / "m")

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    assert "File too large" in tenon.fails(*words, out, preexec_fn=small_files)
    assert not out.parent.exists()
    tenon(*words, f"{out}/")
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    whole = sorted((p.name, p.read_bytes()) for p in out.iterdir())
    assert "is there already" in tenon.fails(*words, out)
    tenon.fails(*words, out, "--force", preexec_fn=small_files)
    (out / "NOTICE").write_text("of the model")
    (out / "1_Pooling").mkdir()
    tenon(*words, out, "--force")
    assert sorted((p.name, p.read_bytes()) for p in out.iterdir()) == whole
    assert [p.name for p in out.parent.iterdir()] == ["out"]
    (out / "thesis.txt").write_text("precious")
    assert "thesis.txt is no part" in tenon.fails(*words, out, "--force")
    assert "OUT must be another" in tenon.fails(*words, tmp_path / "m", "--force")


def test_a_killed_export_leaves_nothing_under_the_name(tenon, tmp_path):
    small_models.decoder("llama-3").save_pretrained(tmp_path / "m")
    (tmp_path / "m/tokenizer.json").write_text("{}")
    for tries in range(12):
        child = subprocess.Popen([str(tenon.path), "model", "export", str(tmp_path / "m"), str(tmp_path / "out")],
                                 stdout=subprocess.DEVNULL)
        while not list(tmp_path.glob("out*")) and child.poll() is None:
            pass
        time.sleep(tries * 2e-4)
        child.kill()
        child.wait()
        if (tmp_path / "out").exists():
            assert (tmp_path / "out/tokenizer.json").exists() and (tmp_path / "out/config.json").exists()
            shutil.rmtree(tmp_path / "out")
        for part in tmp_path.glob("out.part-*"):
            shutil.rmtree(part)


def test_dynamic_scaling_beyond_the_original_positions(tenon, tmp_path):
    """Position p turns as in a sequence that ends there: what they compute token by token."""
    model = small_models.decoder("llama-dynamic")
    model.save_pretrained(tmp_path / "m")
    ids, cache, rows = some_ids(200), None, []
    with torch.no_grad():
        for id in ids:
            done = model(torch.tensor([[id]]), past_key_values=cache, use_cache=True)
            cache = done.past_key_values
            rows.append(done.logits[0, 0].numpy())
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), numpy.stack(rows))
    said = tenon.fails("model", "logits", tmp_path / "m", "--ids",
                       ",".join(map(str, some_ids(257))))
    assert "257 tokens, the model takes 256" in said


def edit(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_config_keys_of_older_transformers(tenon, tmp_path):
    """rope_scaling, rotary_pct and others, as files on the hub have them."""
    def older(config):
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        rope["type"] = rope.pop("rope_type")
        config["rope_scaling"] = rope

    def neox(config):
        rope = config.pop("rope_parameters")
        config["rotary_emb_base"] = rope["rope_theta"]
        config["rotary_pct"] = rope["partial_rotary_factor"]

    def gemma3(config):
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope["full_attention"]["rope_theta"]
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        config["sliding_window_pattern"] = 6
        del config["layer_types"], config["_sliding_window_pattern"]

    def qwen2(config):
        del config["layer_types"]

    def phi3(config):
        older(config)
        config["rope_scaling"]["type"] = "su"

    def gemma2(config):
        del config["layer_types"], config["tie_word_embeddings"]

    for name, change in (("llama-3", older), ("llama-yarn", older), ("neox", neox),
                         ("gemma3", gemma3), ("qwen2-window", qwen2), ("phi3-long", phi3),
                         ("gemma2", gemma2)):
        model, folder = small_models.decoder(name), tmp_path / name
        model.save_pretrained(folder)
        edit(folder, change)
        ids = some_ids()
        close(our_logits(tenon, folder, ids, tmp_path), their_logits(model, ids))


def test_tensors_without_the_prefix_and_with_masks(tenon, tmp_path):
    """GPT-2 on the hub: no "transformer.", and the triangle of ones beside the weights."""
    from safetensors.torch import load_file, save_file
    model = small_models.decoder("gpt2")
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m/model.safetensors"
    tensors = {k.removeprefix("transformer."): v for k, v in load_file(path).items()}
    tensors["h.0.attn.bias"] = torch.tril(torch.ones(96, 96)).view(1, 1, 96, 96)
    save_file(tensors, path, {"format": "pt"})
    ids = some_ids()
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(model, ids))
    tensors["h.0.attn.c_attn.gate"] = torch.ones(3)
    save_file(tensors, path, {"format": "pt"})
    assert 'h.0.attn.c_attn.gate" has no place' in tenon.fails("model", "inspect", tmp_path / "m")


def test_the_text_model_of_gemma_3_with_pictures(tenon, tmp_path):
    text = small_models.decoder("gemma3").config.to_dict()
    config = Gemma3Config(text_config=text, vision_config=dict(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=28, patch_size=14), mm_tokens_per_image=4, image_token_index=119,
        boi_token_index=118, eoi_token_index=117)
    torch.manual_seed(3)
    model = small_models.settle(Gemma3ForConditionalGeneration(config))
    model.save_pretrained(tmp_path / "m")
    ids = some_ids()
    ids = [id % 110 for id in ids]
    close(our_logits(tenon, tmp_path / "m", ids, tmp_path), their_logits(model, ids))
    tenon("model", "export", tmp_path / "m", tmp_path / "out", "--dtype", "f32")
    close(their_logits(open_theirs(tmp_path / "out"), ids), their_logits(model, ids), 1e-5)


def test_end_tokens_of_generation_config(tenon, tmp_path):
    model = small_models.decoder("llama")
    model.generation_config.eos_token_id = [5, 9]
    model.save_pretrained(tmp_path / "m")
    assert tenon.json("model", "inspect", tmp_path / "m")["eos_ids"] == [5, 9]
    (tmp_path / "m/generation_config.json").write_text('{"eos_token_id": "five"}')
    assert "generation_config.json" in tenon.fails("model", "inspect", tmp_path / "m")


def refused(name, key, value, word):
    return pytest.param(name, key, value, word, id=f"{name}-{key}")


@pytest.mark.parametrize("name, key, value, word", [
    refused("llama", "hidden_act", "mish", "hidden_act mish"),
    refused("llama", "rope_parameters", {"rope_type": "proportional"}, "proportional"),
    refused("gemma2", "use_bidirectional_attention", True, "use_bidirectional_attention"),
    refused("gemma2", "layer_types", ["chunked_attention"] * 3, "layer_types: entry 0"),
    refused("gemma2", "layer_types", ["full_attention"], "layer_types"),
    refused("gemma2", "query_pre_attn_scalar", -3, "query_pre_attn_scalar is -3"),
    refused("qwen3-moe", "num_experts_per_tok", 7, "num_experts_per_tok is 7"),
    refused("qwen3-moe", "num_local_experts", 0, "num_local_experts is 0"),
    refused("qwen3-moe", "mlp_only_layers", [3], "mlp_only_layers"),
    refused("qwen3-moe", "moe_intermediate_size", 39, "config.json wants [39, 48]"),
    refused("mixtral", "num_local_experts", 6, "config.json wants [6, 48]"),
    refused("mistral-window", "sliding_window", 0, "sliding_window is 0"),
    refused("phi3-long", "rope_parameters", {
        "rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}, "must have 6"),
    refused("phi3", "hidden_size", 52, "head_dim is 13, must be even"),
    refused("gpt2", "add_cross_attention", True, "add_cross_attention"),
    refused("gpt2", "n_inner", 100, "c_fc.weight"),
    refused("gpt2", "n_positions", 97, "wpe.weight"),
    refused("neox", "attention_bias", False, "attention.dense.bias"),
])
def test_refused(tenon, tmp_path, name, key, value, word):
    small_models.decoder(name).save_pretrained(tmp_path / "m")
    edit(tmp_path / "m", lambda config: config.update({key: value}))
    line = tenon.fails("model", "inspect", tmp_path / "m")
    assert word in line and str(tmp_path / "m") in line


def test_training_of_what_it_cannot_train_is_refused(tenon, tmp_path):
    small_models.decoder("gemma2").save_pretrained(tmp_path / "m")
    line = tenon.fails("model", "grads", tmp_path / "m", "--ids", "1,2", "--out", tmp_path / "g")
    assert "gemma2" in line
