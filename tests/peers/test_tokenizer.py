# SPDX-License-Identifier: Apache-2.0
"""Our tokenizer against Hugging Face's: their files read by us, ours by them, equal ids for every text."""
import json
import random
import signal
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

SEED = 20261124
EOS = "<|endoftext|>"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
            r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SHORTHANDS = r"\d+|\w+|\h|\s|[^\S\r\n]|\W\D"
HAN = r"\p{Han}+|\p{Hiragana}+|[^\p{Han}]"

# What differs between Unicode versions and between regex engines is drawn often.
RANGES = [(0x20, 0x7E)] * 6 + [(0, 0x1F), (0x80, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF),
          (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1680, 0x1680), (0x180B, 0x180F),
          (0x1C80, 0x1C8F), (0x2000, 0x206F), (0x2070, 0x218F), (0x2460, 0x24FF), (0x3000, 0x30FF),
          (0x4E00, 0x4FFF), (0xA7C0, 0xA7DF), (0xAC00, 0xADFF), (0xD7FF, 0xD7FF), (0xE000, 0xE010),
          (0xFB00, 0xFB06), (0xFE00, 0xFFFF), (0x10D40, 0x10D8F), (0x11380, 0x113FF), (0x11F00, 0x11F5F),
          (0x16D40, 0x16D7F), (0x1CCF0, 0x1CCF9), (0x1D400, 0x1D7FF), (0x1E4D0, 0x1E5FF),
          (0x1F300, 0x1F6FF), (0x2EBF0, 0x2EE60), (0x31350, 0x323B0), (0xE0100, 0xE01EF), (0x10FFFE, 0x10FFFF)]
SNIPPETS = [" ", "  ", "\n", "\r\n", "\n\n", "\t", "'s", "'LL", "'ve", "\u017F", "'\u017F", "don't", " the", "The ",
            "123", "2024", "...", "!!", "\u00A0", "\u3000", "\u180E", "e\u0301", "\U0001F468\u200D\U0001F469", "\0"]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 30)):
        if rng.random() < 0.4:
            parts.append(rng.choice(SNIPPETS))
        else:
            low, high = rng.choice(RANGES)
            parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 6))))
    return "".join(parts)


@pytest.fixture(scope="session")
def texts(testdata):
    print("seed", SEED)
    rng = random.Random(SEED)
    found = [random_text(rng) for _ in range(2000)]
    for path in sorted((testdata / "tokenizers").glob("*.inp")):
        found += path.read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    return found + ["", "\n".join(found)]


@pytest.fixture(scope="session")
def trained(tenon, testdata, tmp_path_factory):
    out = tmp_path_factory.mktemp("tokenizer") / "tok"
    corpus = testdata / "text/tinyshakespeare.txt"
    result = tenon.json("tokenizer", "train", corpus, "--vocab-size", 2000, "--out", out, "--special", EOS,
                        "--special", "<|user|>")
    assert result["vocab_size"] == 2000 and result["documents"] == 1
    assert result["text_bytes"] == corpus.stat().st_size
    assert 2.5 < result["bytes_per_token"] < 5
    return out


def encode(tenon, tokenizer, texts, tmp_path, *options):
    lines = tmp_path / "texts.jsonl"
    lines.write_text("".join(json.dumps(t) + "\n" for t in texts))
    out = tenon("tokenizer", "encode", tokenizer, lines, "--json-lines", *options).stdout
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == len(texts)
    return found


def check_equal(tenon, path, texts, tmp_path, *options, special=False):
    theirs = Tokenizer.from_file(str(path))
    theirs.encode_special_tokens = not special
    ours = encode(tenon, path, texts, tmp_path, *options)
    for text, ids in zip(texts, ours):
        assert ids == theirs.encode(text, add_special_tokens=False).ids, repr(text[:200])
    return ours


def test_ours_read_by_them(tenon, trained, texts, testdata, tmp_path):
    path = trained / "tokenizer.json"
    texts = texts + [(testdata / "text/tinyshakespeare.txt").read_text()]
    ours = check_equal(tenon, path, texts, tmp_path)
    theirs = Tokenizer.from_file(str(path))
    for text, ids in zip(texts, ours):
        assert theirs.decode(ids, skip_special_tokens=False) == text


def test_transformers_loads_the_folder(trained):
    auto = AutoTokenizer.from_pretrained(str(trained))
    assert auto.eos_token == EOS and auto.eos_token_id == 0
    assert auto.decode(auto("To be, or not to be")["input_ids"]) == "To be, or not to be"


def hf_tokenizer(texts, tmp_path, patterns=(), alphabet=True, digits=False, **model):
    """Trained by their trainer on a part of our texts."""
    tokenizer = Tokenizer(models.BPE(**model))
    steps = [pre_tokenizers.Split(Regex(p), behavior="isolated") for p in patterns]
    if digits:
        steps.append(pre_tokenizers.Digits(individual_digits=True))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not patterns))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000, special_tokens=[EOS, "<|user|>", "<|user|>>", "[MASK]"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [])
    tokenizer.train_from_iterator(texts[::2], trainer)
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.mark.parametrize("patterns,digits", [
    ((), False), ((), True), ((LLAMA3,), False), ((QWEN2,), False), ((O200K,), False), ((DEEPSEEK,), False),
    ((r"\p{N}{1,3}", LLAMA3), False), ((SHORTHANDS,), False), ((HAN,), False)])
def test_theirs_read_by_us(tenon, texts, tmp_path, patterns, digits):
    path = hf_tokenizer(texts, tmp_path, patterns, digits=digits)
    check_equal(tenon, path, texts, tmp_path)


def test_theirs_without_all_bytes(tenon, texts, tmp_path):
    path = hf_tokenizer([t for t in texts if t.isascii()], tmp_path, alphabet=False)
    check_equal(tenon, path, texts, tmp_path)


@pytest.mark.parametrize("fuse", [False, True])
def test_theirs_with_unk(tenon, texts, tmp_path, fuse):
    path = hf_tokenizer([t for t in texts if t.isascii()], tmp_path, alphabet=False, unk_token=EOS, fuse_unk=fuse)
    check_equal(tenon, path, texts, tmp_path)


def test_ignore_merges(tenon, texts, tmp_path):
    path = hf_tokenizer(texts, tmp_path, (LLAMA3,), ignore_merges=True)
    whole = json.loads(path.read_text())
    assert whole["model"]["ignore_merges"] is True
    del whole["model"]["merges"][1500:]  # many entries are now reached as whole pieces only
    path.write_text(json.dumps(whole))
    check_equal(tenon, path, texts, tmp_path)


def test_added_tokens(tenon, texts, tmp_path):
    path = hf_tokenizer(texts, tmp_path)
    theirs = Tokenizer.from_file(str(path))
    theirs.add_tokens([AddedToken("<think>", normalized=False), AddedToken("ing", normalized=True)])
    theirs.add_special_tokens([AddedToken("<pad>", lstrip=True), AddedToken("<r>", rstrip=True)])
    theirs.save(str(path))
    rng = random.Random(SEED + 1)
    pieces = [EOS, "<|user|>", "<|user|>>", "[MASK]", "<think>", "ing", "<pad>", "<r>", " ", "\n", "  ",
              "thinking", "<", "|", "> ", "\u00A0", "\u3000"]
    mixed = ["".join(rng.choice(pieces) if rng.random() < 0.7 else random_text(rng) for _ in range(12))
             for _ in range(500)]
    ours = check_equal(tenon, path, mixed, tmp_path, "--special", special=True)
    assert any(0 in ids for ids in ours)


def test_bytes_round_trip_through_the_program(tenon, trained, testdata, tmp_path):
    """Whole files, and bytes that are no UTF-8, come back as they went in."""
    import subprocess
    rng = random.Random(SEED + 2)
    noise = tmp_path / "noise.bin"
    noise.write_bytes(rng.randbytes(20000))
    files = sorted((testdata / "tokenizers").glob("*.inp")) + [noise]
    assert len(files) > 5
    for path in files:
        ids = tenon("tokenizer", "encode", trained, path).stdout
        back = subprocess.run([tenon.path, "tokenizer", "decode", trained], input=ids.encode(),
                              capture_output=True, check=True).stdout
        assert back == path.read_bytes(), path


def test_training_from_parquet(tenon, tmp_path):
    table = pa.table({"id": [1, 2, 3], "body": ["a rose is a rose", None, "is a rose"]})
    pq.write_table(table, tmp_path / "t.parquet")
    result = tenon.json("tokenizer", "train", tmp_path / "t.parquet", "--column", "body", "--vocab-size", 262,
                        "--out", tmp_path / "tok")
    assert (result["documents"], result["nulls"], result["text_bytes"]) == (2, 1, 25)
    assert json.loads((tmp_path / "tok/tokenizer.json").read_text())["model"]["vocab"]["Ġrose"] > 256
    line = tenon.fails("tokenizer", "train", tmp_path / "t.parquet", "--out", tmp_path / "no")
    assert "text" in line and not (tmp_path / "no").exists()


def test_merges_equal_their_trainer_s(tenon, trained, testdata):
    """Not promised, but so while ties are broken alike; it shows that nothing is learned out of order."""
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=2000, min_frequency=2, special_tokens=[EOS, "<|user|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    theirs.train_from_iterator([(testdata / "text/tinyshakespeare.txt").read_text()], trainer)
    ours = json.loads((trained / "tokenizer.json").read_text())["model"]["vocab"]
    assert ours == theirs.get_vocab()


def test_inspect_and_show(tenon, trained):
    seen = tenon.json("tokenizer", "inspect", trained)
    assert (seen["vocab_size"], seen["tokens"], seen["eos_id"]) == (2000, 2000, 0)
    assert seen["specials"] == {EOS: 0, "<|user|>": 1}
    one = tenon.json("tokenizer", "encode", trained, "--text", "the king" + EOS, "--special")
    assert one["tokens"][-1] == EOS and one["count"] == len(one["ids"])
    assert tenon.json("tokenizer", "decode", trained, *one["ids"])["text"] == "the king"
    assert "Ġking" in tenon("tokenizer", "encode", trained, "--text", "the king", "--show").stdout


@pytest.mark.parametrize("change,word", [
    (lambda j: j["model"].update(type="Neural"), "Neural"),
    (lambda j: j["model"]["vocab"].update(x=-5), "-5"),
    (lambda j: j["model"]["vocab"].update(x=2**40), str(2**40)),
    (lambda j: j["model"]["merges"].append("zzzz qqqq"), "zzzz"),
    (lambda j: j.update(normalizer={"type": "Rot13"}), "Rot13"),
    (lambda j: j.update(pre_tokenizer={"type": "UnicodeScripts"}), "UnicodeScripts"),
    (lambda j: j["added_tokens"].append({"id": 9, "content": "<new>", "special": True}), "<new>")])
def test_hostile_files(tenon, trained, tmp_path, change, word):
    whole = json.loads((trained / "tokenizer.json").read_text())
    change(whole)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(whole))
    line = tenon.fails("tokenizer", "inspect", bad)
    assert "bad.json" in line and word in line


def test_truncated_file(tenon, trained, tmp_path):
    text = (trained / "tokenizer.json").read_bytes()
    bad = tmp_path / "cut.json"
    for share in (0, 0.1, 0.5, 0.999):
        bad.write_bytes(text[:int(len(text) * share)])
        assert "cut.json" in tenon.fails("tokenizer", "inspect", bad)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_what_never_asks(tenon, trained, tmp_path, number):
    path = tmp_path / "long.txt"
    path.write_text("to and fro " * 100000)
    command = [str(tenon.path), "tokenizer", "encode", str(trained), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)  # it writes into a pipe that nobody empties from here on
        process.send_signal(number)
        try:
            assert process.wait(20) == -number
        finally:
            process.kill()
