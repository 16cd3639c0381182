#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models on the CPU against llama.cpp: the same GGUF file through both programs in one run, alternating.

    make bench-cpu                             a 1.1 B Llama shape, random weights, 1 and 2 threads
    bench/bench_cpu.py --layers 4 --rounds 1   a shorter model, for a look
    bench/bench_cpu.py --types q4_0 --threads 2 --tasks decode

What each side does, behind loading and one untimed pass:
  prefill   512 tokens of one sequence from nothing, logits of the last
  decode    one token after the other of one sequence
  batch     32 sequences together, one token each a step

The weights have the same bits on both sides, since both open one file: types are those of every matrix
(q4_k_m: as llama.cpp mixes them, a part in q6_k).  One thread is timed in CPU seconds, more in wall seconds.
Rounds alternate; a ratio is that of the best rounds, and the median of the rounds' ratios stands beside it.

With --foreign N so many foreign processes keep the CPUs busy meanwhile, and one thread of a program is compared
with two of it, in wall seconds: waiting threads must not make two slower than one.

With --isa avx512vnni (or avx2) both sides leave better kernels unused, as on a CPU that lacks them: AMX, above all.

Shares: prefill and batch of the rate of int8 products (quantized), of bfloat16 or float32 products else; decode of
the bandwidth that one pass over a large buffer reads, with the bytes of the weights a token.  The limits come from
`tenon bench cpu --limits` between the rounds.

The peer is llama.cpp as the npm package of node-llama-cpp carries it (shared libraries with one build for each
kind of CPU); set-up downloads it with npm into build/bench-cpu.  Files lie there too (TENON_BENCH_DATA).  The last
line is one JSON object with every ratio.
"""
import argparse
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build/release"
DATA = pathlib.Path(os.environ.get("TENON_BENCH_DATA", ROOT / "build/bench-cpu"))
PEER = "@node-llama-cpp/linux-x64@3.22.1"  # llama.cpp v0.5.0, the newest on npm when this was written
HIDDEN, HEADS, KV_HEADS, FFN, VOCAB = 2048, 32, 4, 5632, 32000
HEAD = HIDDEN // HEADS
KV_WIDTH = HEAD * KV_HEADS

# GGUF: number of the type, elements and bytes of a block, where halves with scales lie
TYPES = {"f32": (0, 1, 4, ()), "f16": (1, 1, 2, ()), "q4_0": (2, 32, 18, (0,)), "q8_0": (8, 32, 34, (0,)),
         "q4_k": (12, 256, 144, (0, 2)), "q6_k": (14, 256, 210, (208,)), "bf16": (30, 1, 2, ())}
SCALES = {"q4_0": 0.004, "q8_0": 0.00025, "q4_k": 0.0001, "q6_k": 0.00001}


# ---- a model with random weights ----

def matrix(random, kind, rows, cols):
    """Random bytes are the integers of blocks; scales are set to one magnitude with small differences."""
    _, elements, size, halves = TYPES[kind]
    if kind in ("f32", "bf16", "f16"):
        values = random.standard_normal((rows, cols), dtype=numpy.float32) * 0.02
        if kind == "f32":
            return values.tobytes()
        if kind == "f16":
            return values.astype(numpy.float16).tobytes()
        return (values.view(numpy.uint32) >> 16).astype(numpy.uint16).tobytes()
    blocks = random.integers(0, 256, (rows * cols // elements, size), dtype=numpy.uint8)
    for at in halves:
        scale = SCALES[kind] * (7.5 if at == 2 else 1) * random.uniform(0.8, 1.2, len(blocks))
        blocks[:, at:at + 2] = scale.astype(numpy.float16).view(numpy.uint8).reshape(-1, 2)
    return blocks.tobytes()


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def entry(key, kind, value):
    """kind 4: uint32, 6: float32, 8: text"""
    body = text(value) if kind == 8 else struct.pack("<I" if kind == 4 else "<f", value)
    return text(key) + struct.pack("<I", kind) + body


def tensors(kind, layers):
    """Name, type, rows, columns of each; vectors are one row of float32."""
    plain = {"q4_k_m": "q4_k"}.get(kind, kind)
    large = "q6_k" if kind == "q4_k_m" else plain
    yield "token_embd.weight", plain, VOCAB, HIDDEN
    for i in range(layers):
        mixed = large if i < layers / 8 or i >= 7 * layers / 8 or (i - layers // 8) % 3 == 2 else plain
        yield f"blk.{i}.attn_norm.weight", "f32", 0, HIDDEN
        yield f"blk.{i}.attn_q.weight", plain, HIDDEN, HIDDEN
        yield f"blk.{i}.attn_k.weight", plain, KV_WIDTH, HIDDEN
        yield f"blk.{i}.attn_v.weight", mixed, KV_WIDTH, HIDDEN
        yield f"blk.{i}.attn_output.weight", plain, HIDDEN, HIDDEN
        yield f"blk.{i}.ffn_norm.weight", "f32", 0, HIDDEN
        yield f"blk.{i}.ffn_gate.weight", plain, FFN, HIDDEN
        yield f"blk.{i}.ffn_up.weight", plain, FFN, HIDDEN
        yield f"blk.{i}.ffn_down.weight", mixed, HIDDEN, FFN
    yield "output_norm.weight", "f32", 0, HIDDEN
    yield "output.weight", large, VOCAB, HIDDEN


def bytes_of(kind, rows, cols):
    return max(rows, 1) * cols // TYPES[kind][1] * TYPES[kind][2]


def write_model(path, kind, layers):
    random = numpy.random.default_rng(1)
    listed = list(tensors(kind, layers))
    keys = [entry("general.architecture", 8, "llama"), entry("general.name", 8, "random"),
            entry("llama.context_length", 4, 2048), entry("llama.embedding_length", 4, HIDDEN),
            entry("llama.block_count", 4, layers), entry("llama.feed_forward_length", 4, FFN),
            entry("llama.attention.head_count", 4, HEADS), entry("llama.attention.head_count_kv", 4, KV_HEADS),
            entry("llama.attention.layer_norm_rms_epsilon", 6, 1e-5), entry("llama.rope.freq_base", 6, 10000.0),
            entry("llama.rope.dimension_count", 4, HEAD), entry("llama.vocab_size", 4, VOCAB),
            entry("tokenizer.ggml.model", 8, "no_vocab")]
    infos, offset = [], 0
    for name, type_name, rows, cols in listed:
        dims = [cols, rows] if rows else [cols]
        infos.append(text(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims) +
                     struct.pack("<IQ", TYPES[type_name][0], offset))
        offset += -(-bytes_of(type_name, rows, cols) // 32) * 32
    head = b"GGUF" + struct.pack("<IQQ", 3, len(listed), len(keys)) + b"".join(keys) + b"".join(infos)
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as out:
        out.write(head + bytes(-len(head) % 32))
        for name, type_name, rows, cols in listed:
            if rows:
                body = matrix(random, type_name, rows, cols)
            else:
                body = numpy.ones(cols, dtype=numpy.float32).tobytes()
            out.write(body + bytes(-len(body) % 32))
    temporary.rename(path)


def model_of(kind, layers):
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / f"llama-{layers}-{kind}.gguf"
    if not path.exists():
        print(f"writing {path}", file=sys.stderr)
        write_model(path, kind, layers)
    return path


def weights_a_token(kind, layers):
    """Bytes that a token of one sequence must read, and the weights that it multiplies."""
    read = [(k, rows, cols) for name, k, rows, cols in tensors(kind, layers) if name != "token_embd.weight"]
    return sum(bytes_of(*t) for t in read), sum(rows * cols for _, rows, cols in read)


# ---- the two programs ----

def peer_folder():
    folder = DATA / "peer"
    found = sorted(folder.glob("**/libllama.*"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        print(f"fetching {PEER}", file=sys.stderr)
        name = subprocess.run(["npm", "pack", "--silent", PEER], cwd=folder, check=True, text=True,
                              stdout=subprocess.PIPE).stdout.split()[-1]
        subprocess.run(["tar", "xzf", name], cwd=folder, check=True)
        found = sorted(folder.glob("**/libllama.*"))
    return found[0].parent


# Builds of llama.cpp for CPUs that have more than an instruction set of ours
BETTER = {"avx512bf16": ("sapphirerapids",)}
BETTER["avx512vnni"] = BETTER["avx512bf16"] + ("cooperlake", "zen4")
BETTER["avx512"] = BETTER["avx512vnni"] + ("cascadelake", "icelake")
BETTER["avx2"] = BETTER["avx512"] + ("cannonlake", "skylakex", "alderlake")


def peer_limited(isa):
    """The peer's libraries, without builds for better CPUs."""
    full = peer_folder()
    if not isa:
        return full
    folder = DATA / f"peer-{isa}"
    folder.mkdir(exist_ok=True)
    for path in full.glob("*.so*"):
        link = folder / path.name
        if not link.exists() and not any(f"-{kind}." in path.name for kind in BETTER[isa]):
            link.symlink_to(path.resolve())
    return folder


class Side:
    def __init__(self, command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"bench: {self.child.args[0]} ended with {self.child.wait()}")
        return json.loads(line)

    def ask(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return self.answer()

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def limits(threads, isa):
    command = [BUILD / "tenon", "bench", "cpu", "--limits", "--json", "--threads", str(threads)]
    done = subprocess.run(command + (["--isa", isa] if isa else []), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def sides_of(path, threads, options):
    isa = ["--isa", options.isa] if options.isa else []
    return (Side([str(BUILD / "bench/forward_cpu"), path, str(threads)] + isa),
            Side([sys.executable, str(ROOT / "bench/llama_peer.py"), str(peer_limited(options.isa)), path, str(threads)]))


# ---- the run ----

def difference(a, b):
    """Largest difference of the logits, as a share of their largest."""
    return max(abs(x - y) for x, y in zip(a, b)) / max(max(map(abs, b)), 1e-9)


def share(task, kind, layers, rate, limit):
    """rate: tokens a second"""
    read, weights = weights_a_token(kind, layers)
    if task == "decode":
        return rate * read / limit["read_bytes_per_s"]
    key = {"bf16": "bf16_ops_per_s", "f32": "f32_ops_per_s", "f16": "f32_ops_per_s"}.get(kind, "int8_ops_per_s")
    head = VOCAB * HIDDEN if task == "prefill" else 0  # only the last token has logits
    return rate * 2 * (weights - head) / (limit.get(key) or limit["f32_ops_per_s"])


def run(kind, threads, options):
    path = str(model_of(kind, options.layers))
    ours, peer = sides_of(path, threads, options)
    commands = {"prefill": f"prefill {options.prefill}", "decode": f"decode {options.decode}",
                "batch": f"batch 32 {options.steps}"}
    clock = "cpu" if threads == 1 else "wall"
    times = {task: ([], []) for task in options.tasks}
    limit = limits(threads, options.isa)
    for side in (ours, peer):
        first = side.ask("decode 2")
        side.first = first["logits"]
    for _ in range(options.rounds):
        for task in options.tasks:
            for side, list_ in zip((ours, peer), times[task]):
                answer = side.ask(commands[task])
                list_.append(answer[clock] / answer["tokens"])
        again = limits(threads, options.isa)
        limit = {key: max(limit[key], again[key]) for key in limit if isinstance(limit[key], (int, float))}
    ours.close()
    peer.close()
    results = []
    for task in options.tasks:
        mine, theirs = times[task]
        rate, peer_rate = 1 / min(mine), 1 / min(theirs)
        results.append({"type": kind, "threads": threads, "task": task, "tokens_per_s": rate,
                        "peer_tokens_per_s": peer_rate, "ratio": rate / peer_rate,
                        "ratio_median": statistics.median(t / m for m, t in zip(mine, theirs)),
                        "share": share(task, kind, options.layers, rate, limit),
                        "peer_share": share(task, kind, options.layers, peer_rate, limit),
                        "clock": clock, "logits_difference": difference(ours.first, peer.first)})
        r = results[-1]
        print(f"{kind:7} {threads} thread{'s' if threads > 1 else ' '} {task:8} {rate:8.1f} tok/s  llama.cpp "
              f"{peer_rate:8.1f}  {r['ratio']:5.2f}x (median {r['ratio_median']:.2f}x)  share {100 * r['share']:4.0f} %"
              f"  llama.cpp {100 * r['peer_share']:4.0f} %  logits differ by {100 * r['logits_difference']:.1f} %",
              flush=True)
    return results


def run_foreign(kind, options):
    """Tokens a second of one thread and of two, of both programs, beside busy processes."""
    path = str(model_of(kind, options.layers))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.foreign)]
    try:
        sides = {}
        for n in (1, 2):
            sides["tenon", n], sides["llama.cpp", n] = sides_of(path, n, options)
        walls = {key: [] for key in sides}
        for _ in range(options.rounds + 1):
            for key, side in sides.items():
                answer = side.ask(f"decode {options.decode}")
                walls[key].append(answer["wall"] / answer["tokens"])
        for side in sides.values():
            side.close()
    finally:
        for process in busy:
            process.kill()
            process.wait()
    rates = {key: 1 / statistics.median(list_[1:]) for key, list_ in walls.items()}  # the first round warms up
    result = {"type": kind, "task": "decode", "foreign": options.foreign}
    for name in ("tenon", "llama.cpp"):
        one, two = rates[name, 1], rates[name, 2]
        result[name] = {"tokens_per_s_1": one, "tokens_per_s_2": two, "ratio": two / one}
        print(f"{kind:7} {options.foreign} foreign busy processes: {name:9} 1 thread {one:7.2f} tok/s, 2 threads "
              f"{two:7.2f}: {two / one:.2f}x", flush=True)
    return [result]


def check_built():
    missing = [str(p) for p in (BUILD / "tenon", BUILD / "bench/forward_cpu") if not p.exists()]
    if missing:
        raise SystemExit(f"bench: no {' and no '.join(missing)}\nhint: make bench-cpu builds it")


def main():
    parser = argparse.ArgumentParser(description="Models on the CPU against llama.cpp.")
    parser.add_argument("--types", nargs="+", default=["bf16", "q8_0", "q4_0", "q4_k_m"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--tasks", nargs="+", default=["prefill", "decode", "batch"])
    parser.add_argument("--layers", type=int, default=22)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--decode", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--foreign", type=int, default=0)
    parser.add_argument("--isa", choices=sorted(BETTER))
    options = parser.parse_args()
    check_built()
    results = []
    if options.foreign:
        for kind in options.types:
            results += run_foreign(kind, options)
        print(json.dumps({"bench": "cpu", "layers": options.layers, "isa": options.isa, "peer": PEER,
                          "results": results}))
        return
    for kind in options.types:
        for threads in options.threads:
            results += run(kind, threads, options)
    print(json.dumps({"bench": "cpu", "layers": options.layers, "isa": options.isa, "peer": PEER,
                      "results": results}))


main()
