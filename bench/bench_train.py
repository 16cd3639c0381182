# SPDX-License-Identifier: Apache-2.0
"""A training step of GPT-2 on the CPU against PyTorch, step by step in turns, from the same weights.

    make bench-train [BENCH_FLAGS="--steps 50 --threads 2"]

The peer is transformers' GPT-2 (scaled_dot_product_attention, fused AdamW, gradients clipped at 1), eager
and torch.compile; each side zeroes gradients, goes forward and backward, clips and steps. Every round runs
one step of each, so that what else the machine does meets all alike; a side's time is the median of its
rounds, of wall time and of CPU time (which other programs disturb less). The last line is JSON."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZES = {"124m": dict(n_layer=12, n_embd=768, n_head=12, vocab_size=50257, n_positions=1024),
         "small": dict(n_layer=4, n_embd=256, n_head=4, vocab_size=4096, n_positions=256)}
SCHEDULE = [6e-4 * min(1, (i + 1) / 10) for i in range(10000)]


def cpu_seconds():
    times = os.times()
    return times.user + times.system


class Ours:
    def __init__(self, build, model, batches, args):
        self.process = subprocess.Popen(
            [build / "bench/train_steps", model, batches, str(args.batch), str(args.tokens),
             str(args.threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def step(self, i):
        self.process.stdin.write(f"{SCHEDULE[i]}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Torch:
    """In a process of its own: `bench_train.py --peer ...` answers like train_steps."""

    def __init__(self, mode, model, batches, args):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--peer", mode, "--model", str(model), "--batches", str(batches),
             "--batch", str(args.batch), "--tokens", str(args.tokens), "--threads", str(args.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    step = Ours.step


def run_peer(args):
    import numpy
    import torch
    from transformers import GPT2LMHeadModel
    torch.set_num_threads(args.threads)
    model = GPT2LMHeadModel.from_pretrained(args.model, attn_implementation="sdpa")
    model.train()
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for _, p in named if p.dim() == 2], "weight_decay": 0.1},
         {"params": [p for _, p in named if p.dim() < 2], "weight_decay": 0.0}],
        lr=1e-3, betas=(0.9, 0.95), eps=1e-8, fused=True)
    batches = torch.from_numpy(numpy.fromfile(args.batches, dtype=numpy.int32).astype(numpy.int64))
    batches = batches.reshape(-1, args.batch, args.tokens + 1)

    def loss_of(x, y):
        logits = model(x, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())

    if args.peer == "compile":
        loss_of = torch.compile(loss_of)
        loss_of(batches[0, :, :-1], batches[0, :, 1:]).backward()
        optimizer.zero_grad()
    print("ready", flush=True)
    for i, line in enumerate(sys.stdin):
        for group in optimizer.param_groups:
            group["lr"] = float(line)
        batch = batches[i % len(batches)]
        wall, cpu = time.perf_counter(), cpu_seconds()
        optimizer.zero_grad()
        loss = loss_of(batch[:, :-1], batch[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        print(json.dumps({"loss": loss.item(), "wall": time.perf_counter() - wall,
                          "cpu": cpu_seconds() - cpu}), flush=True)


def make_model(folder, size):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    torch.manual_seed(1)
    config = GPT2Config(**SIZES[size], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def make_batches(path, size, args):
    """Tokens of a skewed distribution where each also depends on the one before it: loss can fall."""
    import numpy
    random = numpy.random.default_rng(1)
    vocab = SIZES[size]["vocab_size"]
    shape = (args.steps, args.batch, args.tokens + 1)
    data = (vocab * random.random(shape) ** 4).astype(numpy.int64)
    copies = random.random(shape) < 0.5
    for t in range(1, shape[2]):
        data[:, :, t] = numpy.where(copies[:, :, t], (data[:, :, t - 1] * 7 + 3) % vocab, data[:, :, t])
    data.astype(numpy.int32).tofile(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--size", choices=SIZES, default="124m")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--modes", default="eager,compile")
    parser.add_argument("--peer")
    parser.add_argument("--model")
    parser.add_argument("--batches")
    args = parser.parse_args()
    if args.peer:
        return run_peer(args)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        parameters = make_model(folder / "model", args.size)
        make_batches(folder / "batches", args.size, args)
        sides = {"tenon": Ours(args.build, folder / "model", folder / "batches", args)}
        for mode in args.modes.split(","):
            sides[mode] = Torch(mode, folder / "model", folder / "batches", args)
        rounds = {name: [] for name in sides}
        for i in range(args.steps):
            for name, side in sides.items():
                rounds[name].append(side.step(i))
        for side in sides.values():
            side.process.stdin.close()
            side.process.wait()
    report(args, parameters, rounds)


def report(args, parameters, rounds):
    skip = 2 if args.steps > 4 else 0  # the first steps touch memory for the first time
    median = {name: {key: statistics.median(r[key] for r in steps[skip:]) for key in ("wall", "cpu")}
              for name, steps in rounds.items()}
    best = {key: min(times[key] for name, times in median.items() if name != "tenon")
            for key in ("wall", "cpu")}
    tokens = args.batch * args.tokens
    print(f"GPT-2, {parameters / 1e6:.0f} M parameters, {args.batch} x {args.tokens} tokens, float32, "
          f"{args.threads} threads, {args.steps} steps")
    print(f"{'':10} {'wall s':>9} {'CPU s':>9} {'tokens/s':>9} {'GFLOP/s':>9} {'last loss':>10}")
    for name, times in median.items():
        flops = 6 * parameters * tokens / times["wall"] / 1e9
        print(f"{name:10} {times['wall']:9.3f} {times['cpu']:9.3f} {tokens / times['wall']:9.0f} "
              f"{flops:9.1f} {rounds[name][-1]['loss']:10.4f}")
    gap = max(abs(a["loss"] - b["loss"]) for name, steps in rounds.items() if name != "tenon"
              for a, b in zip(rounds["tenon"], steps))
    print(f"largest difference of a loss: {gap:.2e}")
    print(json.dumps({"bench": "train", "size": args.size, "batch": args.batch, "tokens": args.tokens,
                      "threads": args.threads, "steps": args.steps, "seconds": median,
                      "ratio_wall": best["wall"] / median["tenon"]["wall"],
                      "ratio_cpu": best["cpu"] / median["tenon"]["cpu"], "loss_difference": gap}))


if __name__ == "__main__":
    main()
