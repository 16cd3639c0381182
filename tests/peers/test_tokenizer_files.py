# SPDX-License-Identifier: Apache-2.0
"""Vocabularies that others made: llama.cpp's GGUF files with their vectors, SentencePiece models; each also
against Hugging Face tokenizers, which loads what we convert them to."""
import random

import pytest
import sentencepiece
from tokenizers import Tokenizer

from token_texts import SEED, check, first_difference, ours, random_texts

NAMES = ["bert-bge", "falcon", "gpt-2", "llama-bpe", "llama-spm", "qwen2", "starcoder"]


@pytest.mark.parametrize("name", NAMES)
def test_vectors(tenon, testdata, name):
    path = testdata / f"tokenizers/{name}.gguf"
    texts = (testdata / f"tokenizers/{name}.gguf.inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    want = [[int(i) for i in line.split()] for line in (testdata / f"tokenizers/{name}.gguf.out").read_text().splitlines()]
    assert len(texts) - len(want) in (0, 1)
    texts = texts[:len(want)]
    first_difference(name, texts, ours(tenon, path, texts), want)


ADDED = {"bert-bge": ["[CLS]", "[SEP]", "[MASK]"], "falcon": [">>TITLE<<", "<|endoftext|>"], "gpt-2": ["<|endoftext|>"],
         "llama-bpe": ["<|begin_of_text|>", "<|eot_id|>"], "llama-spm": ["<s>", "</s>", "<unk>"],
         "qwen2": ["<|im_start|>", "<|im_end|>"], "starcoder": ["<fim_prefix>", "<|endoftext|>"]}


@pytest.mark.parametrize("name", NAMES)
def test_converted(tenon, testdata, tmp_path, name):
    path = tmp_path / "tokenizer.json"
    tenon("tokenizer", "convert", testdata / f"tokenizers/{name}.gguf", path)
    check(tenon, path, random_texts(name, ADDED[name]))
    assert tenon.json("tokenizer", "inspect", path)["vocab_size"] == Tokenizer.from_file(str(path)).get_vocab_size()


def test_bos_of_llama(tenon, testdata):
    path = testdata / "tokenizers/llama-spm.gguf"
    assert tenon.json("tokenizer", "encode", path, "--text", "a", "--add")["ids"] == [1, 263]
    assert tenon.json("tokenizer", "encode", path, "--text", "<s> a", "--special", "--add")["ids"][:2] == [1, 1]
    path = testdata / "tokenizers/llama-bpe.gguf"
    assert tenon.json("tokenizer", "encode", path, "--text", "a", "--add")["ids"] == [128000, 64]


def plain_text(rng):
    return " ".join(rng.choice(["the", "quick", "Brown", "fox's", "12,345", "caf\u00E9", "\u4F60\u597D", "\uFB01ne", "x\u0301",
                                "\uFF21\uFF22", "don't", "\U0001F600", "\u0416\u0443\u043A", "a  b", "tab\tbed", "\u2460"])
                    for _ in range(rng.randrange(0, 12)))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("rule", ["nmt_nfkc", "identity"])
def test_sentencepiece(tenon, testdata, tmp_path, kind, byte_fallback, rule):
    sentencepiece.SentencePieceTrainer.train(
        input=str(testdata / "text/tinyshakespeare.txt"), model_prefix=str(tmp_path / "tokenizer"), vocab_size=1200,
        model_type=kind, byte_fallback=byte_fallback, normalization_rule_name=rule, minloglevel=2,
        user_defined_symbols=["<mask>"], remove_extra_whitespaces=rule != "identity", num_threads=1)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    rng = random.Random(SEED)
    texts = [plain_text(rng) for _ in range(1000)] + [(testdata / "text/tinyshakespeare.txt").read_text()[:20000]]
    path = tmp_path / "tokenizer.model"
    first_difference(kind, texts, ours(tenon, path, texts), [theirs.encode(t) for t in texts])
    tenon("tokenizer", "convert", path, tmp_path / "tokenizer.json")
    check(tenon, tmp_path / "tokenizer.json", random_texts(kind, ["<mask>"]))


def test_hostile_model_files(tenon, testdata, tmp_path):
    bad = tmp_path / "tokenizer.model"
    for data in (b"\n", b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\n\x05\n\x03a", b"\x0a\x02\x0a\x7f",
                 b"\n\x03\n\x01a\x12\x02\x18\x03"):
        bad.write_bytes(data)
        assert "tokenizer.model" in tenon.fails("tokenizer", "inspect", bad)
