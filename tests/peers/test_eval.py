# SPDX-License-Identifier: Apache-2.0
"""`tenon eval` against the same computation by transformers, on a small model with random weights."""
import json
import math

import pytest

TEXT = "".join(f"{i} men went to mow, went to mow a meadow; {i * i} more came after.\n"
               for i in range(120))
WORDS = ["meadow", "mow", "men went", "to", "after. 7 more", "came\nafter", "1 men"]


@pytest.fixture(scope="module")
def folder(tenon, tmp_path_factory):
    """A random Llama with a BPE tokenizer that was trained on TEXT."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    root = tmp_path_factory.mktemp("eval")
    (root / "text.txt").write_text(TEXT)
    tenon("tokenizer", "train", root / "text.txt", "--vocab-size", 300, "--out", root / "model")
    torch.manual_seed(5)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=304, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
        initializer_range=0.3, bos_token_id=0, eos_token_id=0))
    model.save_pretrained(root / "model")
    return root


@pytest.fixture(scope="module")
def peer(folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    torch.set_num_threads(1)
    return (AutoModelForCausalLM.from_pretrained(folder / "model"),
            AutoTokenizer.from_pretrained(folder / "model"))


def log_probabilities(model, ids):
    """Of ids[1:], each given what is before it."""
    import torch
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1].double()
    return logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]


def perplexity(model, ids, window, stride, bos=None):
    """The loop of transformers' documentation, with the mean over the tokens really scored."""
    nats, scored, previous = 0.0, 0, 0
    room = window - (bos is not None)
    for begin in range(0, len(ids), stride):
        end = min(begin + room, len(ids))
        part = ids[begin:end] if bos is None else [bos, *ids[begin:end]]
        new = min(end - previous, len(part) - 1)
        if new:
            nats -= log_probabilities(model, part)[-new:].sum().item()
        scored += new
        previous = end
        if end == len(ids):
            break
    return math.exp(nats / scored), scored


@pytest.mark.parametrize("window,stride", [(64, 64), (64, 17), (20, 20), (33, 1)])
def test_perplexity_is_that_of_transformers(tenon, folder, peer, window, stride):
    model, tokenizer = peer
    ids = tokenizer(TEXT)["input_ids"][:400]
    got = tenon.json("eval", "perplexity", folder / "model", "--data", folder / "text.txt",
                     "--window", window, "--stride", stride, "--tokens", 400)
    want, scored = perplexity(model, ids, window, stride)
    assert got["scored"] == scored and got["tokens"] == 400
    assert abs(got["perplexity"] - want) < 1e-4 * want
    assert abs(math.exp(got["nats_per_token"]) - want) < 1e-4 * want
    bits = got["nats_per_token"] / math.log(2) * 400 / len(tokenizer.decode(ids).encode())
    assert abs(got["bits_per_byte"] - bits) < 1e-9 * bits


def test_perplexity_of_a_table_with_bos(tenon, folder, peer):
    import pyarrow
    import pyarrow.parquet
    model, tokenizer = peer
    texts = [TEXT[:200], None, TEXT[300:700], TEXT[1000:1100]]
    pyarrow.parquet.write_table(pyarrow.table({"story": texts}), folder / "t.parquet")
    ids = []
    for text in filter(None, texts):
        ids += ([0] if ids else []) + tokenizer(text)["input_ids"]
    got = tenon.json("eval", "perplexity", folder / "model", "--data", folder / "t.parquet",
                     "--column", "story", "--window", 40, "--bos")
    want, scored = perplexity(model, ids, 40, 39, bos=0)
    assert got["scored"] == scored == len(ids)
    assert abs(got["perplexity"] - want) < 1e-4 * want
    assert "story" in tenon.fails("eval", "perplexity", folder / "model", "--data",
                                  folder / "t.parquet")


def pair(tokenizer, context, continuation):
    """lm-evaluation-harness, TemplateLM._encode_pair and HFLM."""
    if not context:
        return [tokenizer.bos_token_id or 0], tokenizer(continuation)["input_ids"]
    spaces = len(context) - len(context.rstrip())
    if spaces:
        continuation = context[-spaces:] + continuation
        context = context[:-spaces]
    whole = tokenizer(context + continuation)["input_ids"]
    start = tokenizer(context)["input_ids"]
    return start, whole[len(start):]


def test_choices_are_those_of_lm_evaluation_harness(tenon, folder, peer):
    model, tokenizer = peer
    items = [{"context": "" if i == 3 else TEXT[i * 31:i * 31 + 20 + 9 * i],
              "choices": [WORDS[i % 7], WORDS[(i + 2) % 7], WORDS[(i + 3) % 7] + "é"],
              "answer": i % 3} for i in range(24)]
    items[5]["context"] += "  "
    path = folder / "items.jsonl"
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    got = tenon.json("eval", "choices", folder / "model", "--data", path, "--out",
                     folder / "scores.jsonl")
    lines = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    right = right_norm = right_bytes = cut = 0
    for item, line in zip(items, lines, strict=True):
        sums = []
        for place, choice in enumerate(item["choices"]):
            context, continuation = pair(tokenizer, item["context"], " " + choice)
            whole = (context + continuation)[-65:]
            cut += len(context + continuation) > 65
            sums.append(log_probabilities(model, whole)[-len(continuation):].sum().item())
            assert abs(line["log_likelihoods"][place] - sums[-1]) < 1e-3
        norm = [s / len(c) for s, c in zip(sums, item["choices"])]
        by_bytes = [s / len(c.encode()) for s, c in zip(sums, item["choices"])]
        assert line["picked"] == sums.index(max(sums))
        assert line["picked_norm"] == norm.index(max(norm))
        right += line["picked"] == item["answer"]
        right_norm += line["picked_norm"] == item["answer"]
        right_bytes += by_bytes.index(max(by_bytes)) == item["answer"]
    assert cut > 0
    assert got["items"] == 24
    assert abs(got["acc"] - right / 24) < 1e-12
    assert abs(got["acc_norm"] - right_norm / 24) < 1e-12
    assert abs(got["acc_bytes"] - right_bytes / 24) < 1e-12
    assert abs(got["acc_stderr"] - math.sqrt(got["acc"] * (1 - got["acc"]) / 23)) < 1e-12


def test_questions_are_not_replaced(tenon, folder, tmp_path):
    path, question = tmp_path / "items.jsonl", '{"context": "a", "choices": ["b", "c"], "answer": 0}\n'
    path.write_text(question)
    (tmp_path / "hard.jsonl").hardlink_to(path)
    (tmp_path / "soft.jsonl").symlink_to(path)
    for out in ("items.jsonl", "hard.jsonl", "soft.jsonl"):
        assert "is an input" in tenon.fails("eval", "choices", folder / "model", "--data", path, "--out",
                                            tmp_path / out)
    assert path.read_text() == question
    for _ in range(2):  # older scores are
        tenon("eval", "choices", folder / "model", "--data", path, "--out", tmp_path / "scores.jsonl")


def test_special_tokens_in_texts_are_those_of_transformers(tenon, folder, peer, tmp_path):
    """... and the server's echo says of a text what `tenon eval` says."""
    from test_serve import serving
    model, tokenizer = peer
    end = tokenizer.convert_ids_to_tokens(0)
    assert 0 in tokenizer.all_special_ids and len(tokenizer(end)["input_ids"]) == 1
    context, choices = f"{end}1 men went to mow{end}2 men", ["went", f"mow{end}a"]
    (tmp_path / "items.jsonl").write_text(json.dumps({"context": context, "choices": choices, "answer": 0}) + "\n")
    tenon("eval", "choices", folder / "model", "--data", tmp_path / "items.jsonl", "--out", tmp_path / "scores")
    got = json.loads((tmp_path / "scores").read_text())["log_likelihoods"]
    with serving(tenon, folder / "model", tmp_path) as server:
        for choice, sum_of_eval in zip(choices, got, strict=True):
            start, tail = pair(tokenizer, context, " " + choice)
            assert start.count(0) == 2
            assert abs(log_probabilities(model, start + tail)[-len(tail):].sum().item() - sum_of_eval) < 1e-3
            status, answer = server.post("/v1/completions", {
                "prompt": f"{context} {choice}", "max_tokens": 0, "echo": True, "logprobs": 1})
            assert status == 200, answer
            values = answer["choices"][0]["logprobs"]["token_logprobs"]
            assert len(values) == len(start + tail)
            assert abs(sum(values[-len(tail):]) - sum_of_eval) < 1e-1, "the server's keys and values are f16"
    text = "".join(f"{end}{i} men went to mow\n" for i in range(9))
    (tmp_path / "text.txt").write_text(text)
    ids = tokenizer(text)["input_ids"]
    assert ids.count(0) == 9
    result = tenon.json("eval", "perplexity", folder / "model", "--data", tmp_path / "text.txt", "--window", 64)
    want, scored = perplexity(model, ids, 64, 64)
    assert result["scored"] == scored and abs(result["perplexity"] - want) < 1e-4 * want


def test_kv_types_cost_what_they_round(tenon, folder):
    got = {}
    for kv in ("f32", "f16", "bf16", "int8", "fp8"):
        out = tenon.json("eval", "perplexity", folder / "model", "--data", folder / "text.txt", "--tokens",
                         400, "--kv", kv)
        assert out["kv_type"] == kv
        got[kv] = out["perplexity"], out["kv_bytes_per_1000_tokens"]
    want = got["f32"][0]
    for kv, limit in (("f16", 1e-3), ("bf16", 1e-2), ("int8", 1e-2), ("fp8", 5e-2)):
        assert 0 < abs(got[kv][0] / want - 1) < limit, (kv, got)
    # 2 layers, keys and values, 2 heads of 16; coded types have a scale of 4 bytes beside them
    sizes = {kv: size for kv, (_, size) in got.items()}
    assert sizes == {"f32": 512000, "f16": 256000, "bf16": 256000, "int8": 160000, "fp8": 160000}


def test_encoders_are_refused_in_users_words(tenon, folder, tmp_path):
    import small_models
    small_models.encoder("bert").save_pretrained(tmp_path / "bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (folder / "model" / name).exists():
            (tmp_path / "bert" / name).write_text((folder / "model" / name).read_text())
    (tmp_path / "text.txt").write_text("aaaaaaaaaa" * 9)
    line = tenon.fails("eval", "perplexity", tmp_path / "bert", "--data", tmp_path / "text.txt")
    assert "BertModel has no head over a vocabulary" in line


def test_mistakes_are_named(tenon, folder):
    model = folder / "model"
    assert "66" in tenon.fails("eval", "perplexity", model, "--data", folder / "text.txt",
                               "--window", 66)
    assert "stride" in tenon.fails("eval", "perplexity", model, "--data", folder / "text.txt",
                                   "--window", 16, "--stride", 17)
    assert "nowhere" in tenon.fails("eval", "perplexity", folder / "nowhere", "--data",
                                    folder / "text.txt")
    assert "--column goes with a table" in tenon.fails("eval", "perplexity", model, "--data", folder / "text.txt",
                                                       "--column", "story", code=2)
    assert "--data is missing" in tenon.fails("eval", "choices", model, code=2)
    (folder / "bad.jsonl").write_text('{"context": "a", "choices": ["b"], "answer": 0}\n')
    assert "bad.jsonl, line 1" in tenon.fails("eval", "choices", model, "--data",
                                              folder / "bad.jsonl")
