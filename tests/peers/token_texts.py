# SPDX-License-Identifier: Apache-2.0
"""Texts that are hard to tokenize, seeded; and how a tokenizer.json of ours is compared with theirs."""
import json
import os
import random
import subprocess

from tokenizers import Tokenizer

SEED = 20261124
# How many random texts a tokenizer is tried with: the full measure is 10,000.
COUNT = int(os.environ.get("TENON_TOKEN_TEXTS", "100"))

RANGES = [(0x20, 0x7E)] * 8 + [
    (0, 0x1F), (0x80, 0xFF), (0x100, 0x24F), (0x2B0, 0x36F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F),
    (0x590, 0x6FF), (0x700, 0x8FF), (0x900, 0xDFF), (0xE00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x137F),
    (0x1100, 0x11FF), (0x1680, 0x1680), (0x16A0, 0x17FF), (0x180B, 0x180F), (0x1AB0, 0x1AFF), (0x1C80, 0x1CFF),
    (0x1D00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2580, 0x25A0),
    (0x2C00, 0x2DFF), (0x2E00, 0x2FFF), (0x3000, 0x30FF), (0x3100, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x4FFF),
    (0xA000, 0xABFF), (0xAC00, 0xADFF), (0xD780, 0xD7FF), (0xE000, 0xE010), (0xF900, 0xFAFF), (0xFB00, 0xFDFF),
    (0xFE00, 0xFFFF), (0x10000, 0x101FF), (0x10400, 0x10FFF), (0x10D40, 0x10D8F), (0x11000, 0x11FFF),
    (0x12000, 0x134FF), (0x16A00, 0x16FFF), (0x1B000, 0x1B2FF), (0x1BC00, 0x1CFFF), (0x1D100, 0x1D7FF),
    (0x1E000, 0x1EFFF), (0x1F000, 0x1F2FF), (0x1F300, 0x1FAFF), (0x1FB00, 0x1FBFF), (0x20000, 0x200FF),
    (0x2A6D0, 0x2A720), (0x2B730, 0x2B930), (0x2EBF0, 0x2EE60), (0x2F800, 0x2FA1F), (0x31350, 0x323B0),
    (0xE0000, 0xE01EF), (0xF0000, 0xF0010), (0x10FFFE, 0x10FFFF)]
SNIPPETS = [" ", "  ", "\n", "\r\n", "\n\n", "\t", "\r", "'s", "'LL", "'ve", "\u017F", "'\u017F", "don't", " the", "The ",
            "123", "2024", "...", "!!", "\u00A0", "\u3000", "\u180E", "e\u0301", "\U0001F468\u200D\U0001F469", "\0",
            "\u2581", "\u2581\u2581", " \u2581", "\uFFFD", "\u200B", "\uFEFF", "\u0130I\u0131i", "\u00DF\u1E9E", "\uFB01",
            "\u1100\u1161\u11A8", "\uAC01\u11A8", "o\u0323\u0302", "\u0302\u0323", "a\u0345\u0334", "\u0BC6\u0BD7",
            "\U0001F1E9\U0001F1EA", "\U0001F44D\U0001F3FD", "\u0915\u094D\u0937", "##", "##ing", "[UNK]", "<unk>", "<0x41>",
            "I am", " do not", " n't", "hello world", "Hello, World!", "na\u00EFve caf\u00E9", "x" * 120, " " * 40,
            "a b", "the quick brown fox", "unaffable", "\u4F60\u597D", "\u4F60 \u597D", "\u0E2A\u0E27\u0E31\u0E2A\u0E14\u0E35",
            "\u0645\u0631\u062D\u0628\u0627", "\u05E9\u05DC\u05D5\u05DD", "|", "-", "--", "\u2026", "\u33A5", "\u2167",
            "\r\n\u1ADC", "e\u0301\u1AD0", "\u2581\u0320\U00010D6C"]


def random_text(rng, added=()):
    parts = []
    for _ in range(rng.randrange(0, 24)):
        pick = rng.random()
        if added and pick < 0.12:
            parts.append(rng.choice(added))
        elif pick < 0.5:
            parts.append(rng.choice(SNIPPETS))
        elif pick < 0.53:
            parts.append(rng.choice([" ", "\n", "\t", "\u2581", "a", "\u0301", "\u4E00", "-"]) * rng.randrange(2, 70))
        elif pick < 0.58:
            code = rng.randrange(0x110000)
            parts.append("" if 0xD800 <= code < 0xE000 else chr(code))
        else:
            low, high = rng.choice(RANGES)
            parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randrange(1, 6))))
    return "".join(parts)


def random_texts(name, added=(), count=None):
    print("seed", SEED, name)
    rng = random.Random(f"{SEED} {name}")
    return [random_text(rng, added) for _ in range(COUNT if count is None else count)]


def ours(tenon, path, lines, *options):
    done = subprocess.run([str(tenon.path), "tokenizer", "encode", str(path), "-", "--json-lines", *options],
                          input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(found) == len(lines)
    return found


def decoded(tenon, path, lists, *options):
    done = subprocess.run([str(tenon.path), "tokenizer", "decode", str(path), "--json-lines", *options],
                          input="".join(json.dumps(ids) + "\n" for ids in lists), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(found) == len(lists)
    return found


def first_difference(what, inputs, got, want):
    wrong = [i for i in range(len(inputs)) if got[i] != want[i]]
    if wrong:
        i = min(wrong, key=lambda n: len(str(inputs[n])))
        raise AssertionError(f"{what}: {len(wrong)} of {len(inputs)} differ, such as {ascii(inputs[i])}\n"
                             f"ours   {ascii(got[i])}\ntheirs {ascii(want[i])}")


def check(tenon, path, texts, rng=None):
    """Ids with and without special tokens, pairs, and the text that comes back of ids, random ones too."""
    theirs = Tokenizer.from_file(str(path))
    truncation = theirs.truncation
    theirs.no_truncation()
    theirs.no_padding()
    for special in (True, False):
        theirs.encode_special_tokens = not special
        options = ["--special"] if special else []
        want = [e.ids for e in theirs.encode_batch(texts, add_special_tokens=False)]
        first_difference("encode", texts, ours(tenon, path, texts, *options), want)
    theirs.encode_special_tokens = False
    if truncation:
        theirs.enable_truncation(**truncation)
    want = [e.ids for e in theirs.encode_batch(texts[:200])]
    first_difference("with special tokens", texts[:200], ours(tenon, path, texts[:200], "--special", "--add", "--truncate"),
                     want)
    pairs = list(zip(texts[:100], texts[100:200]))
    want = [e.ids for e in theirs.encode_batch(pairs)]
    first_difference("pairs", pairs, ours(tenon, path, pairs, "--special", "--add", "--truncate"), want)
    theirs.no_truncation()
    lists = [e.ids for e in theirs.encode_batch(texts)]
    rng = rng or random.Random(SEED)
    known = sorted(theirs.get_vocab().values())
    lists += [[rng.choice(known) for _ in range(rng.randrange(1, 20))] for _ in range(len(texts) // 2)]
    for keep in (True, False):
        want = theirs.decode_batch(lists, skip_special_tokens=not keep)
        first_difference("decode", lists, decoded(tenon, path, lists, *(["--keep-special"] if keep else [])), want)
