#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints src/model/tokenizer_unicode_deltas.inc: where the character classes that Hugging Face's tokenizers uses differ
from those of utf8proc, found by asking both about every character.

    .venv/bin/python tools/unicode_deltas.py > src/model/tokenizer_unicode_deltas.inc"""
import ctypes
import struct

from tokenizers import normalizers, pre_tokenizers

utf8proc = ctypes.CDLL("libutf8proc.so.2")
utf8proc.utf8proc_category_string.restype = ctypes.c_char_p
libc = ctypes.CDLL(None)
CHARACTERS = [c for c in range(1, 0x110000) if not 0xD800 <= c <= 0xDFFF]
ASCII_SIGNS = set(map(ord, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))


def category(code):
    return utf8proc.utf8proc_category_string(code).decode()


def form(name, text):
    function = getattr(utf8proc, "utf8proc_" + name)
    function.restype = ctypes.c_void_p
    found = function(text.encode())
    result = ctypes.string_at(found).decode()
    libc.free(ctypes.c_void_p(found))
    return result


def removed_by(normalizer):
    return lambda c: normalizer.normalize_str("a" + chr(c) + "b") == "ab"


def parted_by(pre_tokenizer):
    return lambda c: len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "b")) > 1


def ranges(codes):
    found = []
    for c in codes:
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def print_table(name, comment, codes):
    print(f"/* {comment} */\nstatic const code_range {name}[] = {{")
    line = "   "
    for first, last in ranges(codes):
        item = f" {{{first:#x}, {last:#x}}},"
        if len(line + item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def differing(theirs, ours):
    return [c for c in CHARACTERS if bool(theirs(c)) != bool(ours(c))]


def joins_in_graphemes():
    """By a Precompiled that composes e and U+0301 where they are a grapheme cluster of their own."""
    units = [0] * 0x401  # a double array of one key: each node's unit is its byte and the way to its child
    units[0] = 0x100 << 10
    units[0x165] = 0x65 | 0x365 << 10
    units[0x2CC] = 0xCC | 0x1CC << 10
    units[0x381] = 0x81 | 1 << 8 | 0x781 << 10
    units[0x400] = 1 << 31
    data = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + "\u00E9\0".encode()
    normalizer = normalizers.Precompiled(data)
    assert normalizer.normalize_str("e\u0301 ") == "\u00E9 "
    return lambda c: normalizer.normalize_str("e\u0301" + chr(c))[0] == "e"


bert = dict(handle_chinese_chars=False, lowercase=False)
print("/* Made by tools/unicode_deltas.py. */")
nfd, nfkd = normalizers.NFD(), normalizers.NFKD()
unknown = {0x11930, 0x11935}  # the parts of U+11938, which came with it
for c in CHARACTERS:
    texts = [chr(c), "\u0345" + chr(c), "\u0334" + chr(c), chr(c) + "\u0345", chr(c) + "\u0334"]
    if nfkd.normalize_str(chr(c)) != form("NFKD", chr(c)) or any(nfd.normalize_str(t) != form("NFD", t) for t in texts):
        unknown.add(c)
print_table("newer_than_forms", "Have no decomposition and no combining class there.", sorted(unknown))
print_table("not_nonspacing", "Mn or not, the other way round.", differing(
    removed_by(normalizers.BertNormalizer(clean_text=False, strip_accents=True, **bert)), lambda c: category(c) == "Mn"))
print_table("not_combining", "Mn, Mc, Me or not, the other way round.", differing(
    removed_by(normalizers.StripAccents()), lambda c: category(c)[0] == "M"))
print_table("not_other", "Cc, Cf, Co or not, the other way round.", differing(
    lambda c: c not in (9, 10, 13, 0xFFFD) and removed_by(
        normalizers.BertNormalizer(clean_text=True, strip_accents=False, **bert))(c),
    lambda c: category(c) in ("Cc", "Cf", "Co") and c not in (9, 10, 13)))
print_table("not_punctuation", "P or ASCII sign, or not, the other way round.", differing(
    parted_by(pre_tokenizers.Punctuation()), lambda c: category(c)[0] == "P" or c in ASCII_SIGNS))
print_table("not_numeric", "N or not, the other way round.", differing(
    parted_by(pre_tokenizers.Digits()), lambda c: category(c)[0] == "N"))
print_table("not_word", "L, M, Nd, Nl, Pc or not, the other way round.", differing(
    lambda c: not parted_by(pre_tokenizers.Whitespace())(c),
    lambda c: category(c)[0] in "LM" or category(c) in ("Nd", "Nl", "Pc")))
utf8proc.utf8proc_grapheme_break.restype = ctypes.c_bool
joins = joins_in_graphemes()
print_table("newer_joiners", "Belong to the grapheme cluster before them.", [
    c for c in CHARACTERS if c >= 0x800 and joins(c) and utf8proc.utf8proc_grapheme_break(0x301, c)])
