# SPDX-License-Identifier: Apache-2.0
"""WordPiece and Unigram vocabularies that we train: Hugging Face loads them, and its own trainers do no better."""
import json
import resource
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer

from token_texts import check, random_texts


@pytest.fixture(scope="module")
def corpus(testdata, tmp_path_factory):
    """Paragraphs in a Parquet column: several batches for several threads."""
    text = (testdata / "text/tinyshakespeare.txt").read_text()
    path = tmp_path_factory.mktemp("corpus") / "text.parquet"
    pq.write_table(pa.table({"text": text.split("\n\n")}), path, row_group_size=1000)
    return path, text.split("\n\n")


def train(tenon, corpus, out, model, *options):
    return tenon.json("tokenizer", "train", corpus[0], "--model", model, "--vocab-size", 3000, "--out", out, *options)


def test_no_text_is_no_tokenizer(tenon, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    pq.write_table(pa.table({"text": pa.array([None, ""], pa.string())}), tmp_path / "null.parquet")
    for name in ("empty.txt", "null.parquet"):
        error = tenon.fails("tokenizer", "train", tmp_path / name, "--out", tmp_path / "out")
        assert f"{name}: holds no text" in error
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_no_folder(tenon, corpus, tmp_path):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    assert "File too large" in tenon.fails("tokenizer", "train", corpus[0], "--out", tmp_path / "a/b/out",
                                           preexec_fn=small_files)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("words, what", [
    ([""], "special token 1 is empty"), (["<a>", ""], "special token 2 is empty"),
    (["<a>", "<b>", "<a>"], 'special token 3 "<a>" is number 1 already'),
    (["x" * 4097], "has 4097 bytes, limit 4096"), (["<\udcff>"], 'special token 1 "<\\xff>" is not UTF-8'),
    (["A"], 'special token 1 "A" is what tokenizer.json writes for byte 0x41')])
def test_a_bad_special_token_is_told_from_others(tenon, corpus, tmp_path, words, what):
    options = [o for word in words for o in ("--special", word)]
    assert what in tenon.fails("tokenizer", "train", corpus[0], "--out", tmp_path / "a", *options)
    assert not (tmp_path / "a").exists()


def test_the_output_is_looked_at_before_training(tenon, tmp_path):
    def fails(out):
        return tenon.fails("tokenizer", "train", text, "--out", out)

    text, file = tmp_path / "empty.txt", tmp_path / "file"
    text.write_text("")  # which is told once the reading is done
    file.write_text("x")
    (tmp_path / "link").symlink_to(text)
    for name in ("empty.txt", "./empty.txt", "link"):
        assert "is an input: --out wants a folder of its own" in fails(tmp_path / name)
    assert "is a file, and a folder is to be written" in fails(file)
    assert f"{file}: cannot make the directory" in fails(file / "out")
    assert "holds no text" in fails(tmp_path / "a/b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty.txt", "file", "link"] and file.read_text() == "x"


@pytest.mark.parametrize("model", ["wordpiece", "unigram"])
def test_they_load_it(tenon, corpus, tmp_path, model):
    assert train(tenon, corpus, tmp_path / "a", model)["vocab_size"] == 3000
    check(tenon, tmp_path / "a/tokenizer.json", random_texts(model, ["[CLS]", "</s>"]) + corpus[1][:200])
    auto = AutoTokenizer.from_pretrained(str(tmp_path / "a"))
    assert auto.decode(auto("to be, or not to be")["input_ids"], skip_special_tokens=True) == "to be, or not to be"


@pytest.mark.parametrize("model", ["bpe", "wordpiece", "unigram"])
def test_threads_and_order_change_nothing(tenon, corpus, tmp_path, model):
    train(tenon, corpus, tmp_path / "a", model, "--threads", 1)
    train(tenon, corpus, tmp_path / "b", model, "--threads", 2)
    pq.write_table(pa.table({"text": corpus[1][::-1]}), tmp_path / "c.parquet")
    train(tenon, (tmp_path / "c.parquet",), tmp_path / "c", model)
    files = [(tmp_path / f / "tokenizer.json").read_bytes() for f in "abc"]
    assert files[0] == files[1] == files[2]


def test_wordpiece_is_theirs(tenon, corpus, tmp_path):
    train(tenon, corpus, tmp_path / "a", "wordpiece")
    theirs = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    theirs.normalizer, theirs.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    theirs.train_from_iterator(corpus[1], trainers.WordPieceTrainer(
        vocab_size=3000, min_frequency=2, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    ours = Tokenizer.from_file(str(tmp_path / "a/tokenizer.json"))
    assert len(set(ours.get_vocab()) & set(theirs.get_vocab())) >= 2990  # their ties depend on the run


def test_unigram_is_as_good_as_theirs(tenon, corpus, tmp_path):
    train(tenon, corpus, tmp_path / "a", "unigram")
    theirs = Tokenizer(models.Unigram())
    theirs.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    theirs.pre_tokenizer = pre_tokenizers.Metaspace()
    theirs.train_from_iterator(corpus[1], trainers.UnigramTrainer(
        vocab_size=3000, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    ours = Tokenizer.from_file(str(tmp_path / "a/tokenizer.json"))
    def count(t):
        return sum(len(e.ids) for e in t.encode_batch(corpus[1], add_special_tokens=False))
    assert count(ours) <= 1.02 * count(theirs)


def test_options(tenon, corpus, tmp_path):
    train(tenon, corpus, tmp_path / "a", "wordpiece", "--cased")
    vocab = json.loads((tmp_path / "a/tokenizer.json").read_text())["model"]["vocab"]
    assert "King" in vocab or "K" in vocab
    assert "[UNK]" in tenon.fails("tokenizer", "train", corpus[0], "--model", "wordpiece", "--special", "[X]", "--out", tmp_path / "b")
    assert "characters" in tenon.fails("tokenizer", "train", corpus[0], "--model", "unigram", "--vocab-size", 40, "--out", tmp_path / "b")
    assert "--model" in tenon.fails("tokenizer", "train", corpus[0], "--model", "neural", "--out", tmp_path / "b", code=2)
