#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encoding against Hugging Face tokenizers: the same tokenizer.json, the same texts, one thread each, alternating.

    make bench-tokenizer
    bench/bench_tokenizer.py --rounds 1

Tokenizers: byte-level BPE (GPT-2, Llama 3, Qwen 2), SentencePiece BPE (Llama 2), WordPiece (BGE): converted from
TENON_TESTDATA's GGUF vocabularies; and a Unigram that sentencepiece trains here.  Texts: English (Shakespeare, in
pieces of about 2,000 bytes), code (this project's C files) and many scripts (the random texts of the tests).
Theirs is the quicker of encode_batch and encode_batch_fast (which leaves offsets out, as ours does); CPU seconds of
the quickest of all rounds; loading is not counted.  Both must give the same ids.  The last line is one JSON object
with every ratio.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import sentencepiece  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[1]
TESTDATA = pathlib.Path(os.environ.get("TENON_TESTDATA", ROOT / "../shared/testdata"))
sys.path.insert(0, str(ROOT / "tests/peers"))
from token_texts import random_texts  # noqa: E402

ENCODE = ROOT / "build/release/bench/encode_texts"
TENON = ROOT / "build/release/tenon"
NAMES = ["gpt-2", "llama-bpe", "qwen2", "llama-spm", "bert-bge", "unigram"]


def cut(text, size):
    return [text[i:i + size] for i in range(0, len(text), size)]


def make_texts():
    code = "".join(p.read_text() for p in sorted((ROOT / "src").rglob("*.c")))[:1_000_000]
    return {"English": cut((TESTDATA / "text/tinyshakespeare.txt").read_text(), 2000), "code": cut(code, 4000),
            "scripts": [t.replace("\0", "") for t in random_texts("bench", count=4000)]}


def make_tokenizer(name, folder):
    path = folder / f"{name}.json"
    source = TESTDATA / f"tokenizers/{name}.gguf"
    if name == "unigram":
        sentencepiece.SentencePieceTrainer.train(
            input=str(TESTDATA / "text/tinyshakespeare.txt"), model_prefix=str(folder / "unigram"), vocab_size=8000,
            model_type="unigram", minloglevel=2, num_threads=1)
        source = folder / "unigram.model"
    subprocess.run([TENON, "tokenizer", "convert", source, path], check=True)
    return path


def run_theirs(tokenizer, texts):
    best, ids = None, None
    for encode in (tokenizer.encode_batch, tokenizer.encode_batch_fast):
        begin = time.process_time()
        found = encode(texts, add_special_tokens=False)
        seconds = time.process_time() - begin
        if best is None or seconds < best:
            best = seconds
        ids = ids or [e.ids for e in found]
    return {"cpu": best, "tokens": sum(map(len, ids)), "sum": sum(v * (i % 7 + 1) for t in ids for i, v in enumerate(t))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=NAMES, nargs="*", default=NAMES)
    options = parser.parse_args()
    texts, ratios = make_texts(), {}
    print(f"{'tokenizer':12} {'text':8} {'ours MB/s':>10} {'theirs MB/s':>12} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for tokenizer in options.only:
            path = make_tokenizer(tokenizer, folder)
            theirs = Tokenizer.from_file(str(path))
            for kind, parts in texts.items():
                file = folder / "texts"
                file.write_bytes(b"\0".join(t.encode() for t in parts))
                us, them = [], []
                for _ in range(options.rounds):
                    us.append(json.loads(subprocess.run([ENCODE, path, file, "3"], capture_output=True, text=True, check=True).stdout))
                    them.append(run_theirs(theirs, parts))
                if (us[0]["tokens"], us[0]["sum"]) != (them[0]["tokens"], them[0]["sum"]):
                    raise SystemExit(f"bench: {tokenizer} {kind}: ids differ")
                ours_s, theirs_s = min(r["cpu"] for r in us), min(r["cpu"] for r in them)
                size = file.stat().st_size / 1e6
                ratios[f"{tokenizer} {kind}"] = round(theirs_s / ours_s, 2)
                print(f"{tokenizer:12} {kind:8} {size / ours_s:10.1f} {size / theirs_s:12.1f} {theirs_s / ours_s:6.1f}x", flush=True)
    print(json.dumps({"least": min(ratios.values()), "ratios": ratios}))


if __name__ == "__main__":
    main()
