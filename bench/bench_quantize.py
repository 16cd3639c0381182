#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `tenon quantize` costs in perplexity, beside AWQ and GPTQ as published, on a model trained here.

  bench/bench_quantize.py [--work DIR] [--steps N] [--tokens N] [--samples N] [--rounds N]

Makes (once, in DIR, default build/quantize) a small Llama on Jane Austen and the King James Bible with
`tenon train`, rounded to bfloat16; every 25th chapter is held out.  1,200 short steps at a high rate
give it what AWQ is for: inputs of 10 to 30 times the median size.  Then quantizes that model every
way, and by bench/quantize_peer.py as AutoAWQ and GPTQModel do; with --autoawq or --gptqmodel and a
Python that has the package by the package itself too (bench/quantize_package.py):

  pip install torch==2.13.0 wheel setuptools pyarrow safetensors
  pip install --no-build-isolation autoawq==0.2.9 transformers==4.51.3 tokenizers==0.21.4 'huggingface_hub<1'
  pip install --no-build-isolation gptqmodel==7.7.0          (in a Python of its own)

All figures are of the same held-out tokens by the same `tenon eval perplexity`; calibration takes the
same samples of the same training text.  With --rounds N every calibrated way is repeated with one
sample less each time, so that all samples are other ones; the figures are means, and the spread is
shown.  Ends with a table and one JSON line.
"""
import argparse
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pyarrow
import pyarrow.parquet

ROOT = pathlib.Path(__file__).resolve().parents[1]
TENON = pathlib.Path(os.environ.get("TENON", ROOT / "build/release/tenon"))
sys.path.insert(0, str(ROOT / "bench"))
WINDOW = 256

# name, words of `tenon quantize`, calibrated
OURS = [
    ("int8 rtn", ["--to", "int8", "--method", "rtn"]),
    ("fp8 rtn", ["--to", "fp8", "--method", "rtn"]),
    ("int8 and activations, smooth", ["--to", "int8", "--method", "rtn", "--smooth"]),
    ("fp8 and activations", ["--to", "fp8", "--method", "rtn", "--activations"]),
    ("int4 rtn", ["--method", "rtn"]),
    ("int4 rtn asymmetric", ["--method", "rtn", "--asymmetric"]),
    ("int4 awq", ["--method", "awq"]),
    ("int4 awq asymmetric", ["--method", "awq", "--asymmetric"]),
    ("int4 gptq", ["--method", "gptq"]),
    ("int4 gptq natural order", ["--method", "gptq", "--natural-order"]),
    ("int4 gptq asymmetric", ["--method", "gptq", "--asymmetric"]),
    ("int4 gptq, no aim, no passes", ["--method", "gptq", "--no-aim", "--passes", "0"]),
]


def tenon(*words, quiet=False):
    done = subprocess.run([str(TENON), *map(str, words)], text=True,
                          stdout=subprocess.PIPE if quiet else None)
    if done.returncode != 0:
        sys.exit(f"tenon {' '.join(map(str, words))} failed")
    return done.stdout


def make_model(work, steps):
    """bfloat16 weights in work/model; training goes on where it stopped."""
    model = work / "model"
    if (model / "model.safetensors").exists():
        return model
    if not (work / "heldout.parquet").exists():
        subprocess.run([sys.executable, ROOT / "tools/corpus.py", "books", work / "books.csv",
                        ROOT / "build/corpus"], check=True)
        csv.field_size_limit(1 << 30)
        with open(work / "books.csv", newline="", encoding="utf-8") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        for name, part in (("train", [t for i, t in enumerate(texts) if i % 25 != 7]),
                           ("heldout", texts[7::25])):
            pyarrow.parquet.write_table(pyarrow.table({"text": part}), work / f"{name}.parquet")
    if not (work / "tokens").exists():
        tenon("tokenizer", "train", work / "train.parquet", "--vocab-size", 4096, "--out",
              work / "tokenizer")
        tenon("feed", "pack", work / "train.parquet", "--tokenizer", work / "tokenizer", "--out",
              work / "tokens", "--force")
    settings = {"run": work / "run", "steps": steps, "data.tokens": work / "tokens",
                "data.tokenizer": work / "tokenizer", "model.intermediate_size": 768, "model.layers": 4,
                "model.kv_heads": 2, "batch.accumulate": 1, "optimizer.lr": 0.004,
                "optimizer.warmup_steps": 60}
    sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    tenon("train", ROOT / "examples/austen.yaml", *sets)
    import torch
    from transformers import AutoModelForCausalLM
    AutoModelForCausalLM.from_pretrained(work / "run/latest", dtype=torch.bfloat16).save_pretrained(model)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(work / "run/latest" / name, model)
    return model


def perplexity(folder, work, tokens):
    out = tenon("eval", "perplexity", folder, "--data", work / "heldout.parquet", "--window", WINDOW,
                "--tokens", tokens, "--json", quiet=True)
    return json.loads(out)["perplexity"]


def ours(model, work, tokens, samples, words):
    out = tenon("quantize", model, work / "out", "--force", "--data", work / "train.parquet",
                "--samples", samples, "--tokens", WINDOW, "--eval", work / "heldout.parquet",
                "--eval-tokens", tokens, "--json", *words, quiet=True)
    return json.loads(out)["perplexity_after"]


def calibration(model, work, samples):
    """As `tenon quantize` takes them: at even distances over the text."""
    import torch
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    texts = pyarrow.parquet.read_table(work / "train.parquet")["text"].to_pylist()
    eos = json.loads((model / "config.json").read_text())["eos_token_id"]
    ids = []
    for text in texts:
        ids += ([eos] if ids and eos is not None else []) + tokenizer.encode(text).ids
    places = [(len(ids) - WINDOW) * i // (samples - 1) for i in range(samples)]
    return torch.tensor([ids[p:p + WINDOW] for p in places])


def published(model, work, tokens, samples, method, **settings):
    import torch
    from transformers import AutoModelForCausalLM
    import quantize_peer
    peer = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    getattr(quantize_peer, method)(peer, calibration(model, work, samples), **settings)
    folder = work / "peer"
    peer.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model / name, folder)
    return perplexity(folder, work, tokens)


def by_package(python, package, model, work, tokens, samples):
    ids = work / "ids.json"
    ids.write_text(json.dumps(calibration(model, work, samples).tolist()))
    environment = os.environ | {"GPTQMODEL_CPU_WORKERS": "2"}  # with less its thread pool does not begin
    done = subprocess.run([os.path.abspath(python), ROOT / "bench/quantize_package.py", package, model.absolute(),
                           ids.absolute(), (work / package).absolute()], cwd=work, env=environment)
    if done.returncode != 0:
        sys.exit(f"{package} failed")
    return perplexity(work / package, work, tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/quantize")
    parser.add_argument("--steps", type=int, default=1200, help="of training (1200)")
    parser.add_argument("--tokens", type=int, default=65536, help="held out, for perplexity (65536)")
    parser.add_argument("--samples", type=int, default=128, help="of 256 tokens, for calibration (128)")
    parser.add_argument("--rounds", type=int, default=1, help="each with other samples (1)")
    parser.add_argument("--autoawq", metavar="PYTHON", help="that has the package autoawq")
    parser.add_argument("--gptqmodel", metavar="PYTHON", help="that has the package gptqmodel")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    model = make_model(args.work, args.steps)
    rows = {"bf16": perplexity(model, args.work, args.tokens)}
    spreads = {"bf16": 0}
    print(f"bf16: {rows['bf16']:.4f}", flush=True)

    def add(name, run, rounds=args.rounds):
        values = [run(args.samples - i) for i in range(rounds)]
        rows[name], spreads[name] = sum(values) / rounds, max(values) - min(values)
        print(f"{name}: {' '.join(f'{v:.4f}' for v in values)} "
              f"({100 * (rows[name] / rows['bf16'] - 1):+.3f} %)", flush=True)

    for name, words in OURS:
        if args.only in name:
            add(name, lambda samples: ours(model, args.work, args.tokens, samples, words),
                1 if "rtn" in words and "--smooth" not in words else args.rounds)
    for name, method, settings in (
            ("published AWQ (AutoAWQ)", "awq", {}),
            ("published GPTQ (GPTQModel)", "gptq", {}),
            ("published GPTQ, natural order", "gptq", {"group_aware": False}),
            ("published GPTQ, damping 0.01", "gptq", {"damping": 0.01})):
        if args.only in name:
            add(name, lambda samples: published(model, args.work, args.tokens, samples, method, **settings))
    for package in ("autoawq", "gptqmodel"):
        if getattr(args, package) and args.only in package:
            add(f"{package}, the package",
                lambda samples: by_package(getattr(args, package), package, model, args.work, args.tokens, samples))
    print(f"\n{'':36}{'perplexity':>12}{'to bf16':>10}{'spread':>12}")
    for name, value in rows.items():
        print(f"{name:36}{value:12.4f}{100 * (value / rows['bf16'] - 1):+9.3f} %"
              f"{100 * spreads[name] / rows['bf16']:10.3f} %")
    print(json.dumps({"bench": "quantize", "steps": args.steps, "samples": args.samples,
                      "tokens": args.tokens, "rounds": args.rounds, "perplexity": rows,
                      "spread": spreads, "to_bf16": {k: v / rows["bf16"] for k, v in rows.items()}}))


if __name__ == "__main__":
    main()
