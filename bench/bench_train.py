# SPDX-License-Identifier: Apache-2.0
"""A training step of GPT-2 on the CPU against PyTorch, step by step in turns, from the same weights.

    make bench-train [BENCH_FLAGS="--steps 10 --threads 1 2"]

The peer is transformers' GPT-2 (scaled_dot_product_attention, fused AdamW, gradients clipped at 1), eager
and torch.compile; each side zeroes gradients, goes forward and backward, clips and steps. Every round runs
one step of each, so that what else the machine does meets all alike; a side's time is the median of its
rounds, of wall time and of CPU time (which other programs disturb less), and the best round stands beside
it. A ratio is that of the faster mode of PyTorch to ours. Losses of all steps are compared.

With --foreign N so many foreign processes keep the CPUs busy meanwhile, and one thread is compared with
two, in wall time: waiting threads must not make two slower than one. The last line is JSON."""
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
# A rate at which rounding does not grow: at 6e-4 PyTorch in float32 parts from itself in float64 by 6e-3 in 50 steps
# of the 124 M model, at 1e-4 by 2e-6 (both on a GPU).  The norm that gradients are clipped by may play a part on the
# CPU: PyTorch's vector_norm of 38.6 M random floats came out 0.3 % short of the sum in double, which ours is.
SCHEDULE = [1e-4 * min(1, (i + 1) / 10) for i in range(10000)]


def cpu_seconds():
    times = os.times()
    return times.user + times.system


class Side:
    """A process that is ready and then answers each learning rate with one step."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def step(self, i):
        self.process.stdin.write(f"{SCHEDULE[i]}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def open_side(name, folder, threads, args):
    model, batches = folder / "model", folder / "batches"
    if name == "tenon":
        return Side([args.build / "bench/train_steps", model, batches, args.batch, args.tokens, threads])
    return Side([sys.executable, __file__, "--peer", name, "--model", model, "--batches", batches,
                 "--batch", args.batch, "--tokens", args.tokens, "--threads", threads])


def run_rounds(sides, steps):
    """{side: its answer of every step}, one step of each side in turn"""
    rounds = {key: [] for key in sides}
    for i in range(steps):
        for key, side in sides.items():
            rounds[key].append(side.step(i))
    for side in sides.values():
        side.close()
    return rounds


def run_peer(args):
    import numpy
    import torch
    from transformers import GPT2LMHeadModel
    torch.set_num_threads(args.threads[0])
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


def seconds_of(steps):
    skip = 2 if len(steps) > 4 else 0  # the first steps touch memory for the first time
    return {key: {"median": statistics.median(r[key] for r in steps[skip:]),
                  "best": min(r[key] for r in steps[skip:])} for key in ("wall", "cpu")}


def difference(a, b):
    return max(abs(x["loss"] - y["loss"]) for x, y in zip(a, b))


def compare(folder, threads, parameters, args):
    """Every side with so many threads: a table, and what goes into the JSON line."""
    names = ["tenon"] + args.modes.split(",")
    rounds = run_rounds({name: open_side(name, folder, threads, args) for name in names}, args.steps)
    seconds = {name: seconds_of(steps) for name, steps in rounds.items()}
    tokens = args.batch * args.tokens
    print(f"GPT-2, {parameters / 1e6:.0f} M parameters, {args.batch} x {args.tokens} tokens, float32, "
          f"{threads} threads, {args.steps} steps")
    print(f"{'':10} {'wall s':>9} {'best':>9} {'CPU s':>9} {'best':>9} {'tokens/s':>9} {'GFLOP/s':>9} "
          f"{'last loss':>10}")
    for name, s in seconds.items():
        wall = s["wall"]["median"]
        print(f"{name:10} {wall:9.3f} {s['wall']['best']:9.3f} {s['cpu']['median']:9.3f} "
              f"{s['cpu']['best']:9.3f} {tokens / wall:9.0f} {6 * parameters * tokens / wall / 1e9:9.1f} "
              f"{rounds[name][-1]['loss']:10.4f}")
    gap = max(difference(rounds["tenon"], rounds[name]) for name in names[1:])
    own = difference(rounds[names[1]], rounds[names[-1]])
    ratios = {f"ratio_{key}_{kind}": min(seconds[name][key][kind] for name in names[1:]) /
              seconds["tenon"][key][kind] for key in ("wall", "cpu") for kind in ("median", "best")}
    print(f"ratio: wall {ratios['ratio_wall_median']:.2f} (best rounds {ratios['ratio_wall_best']:.2f}), "
          f"CPU {ratios['ratio_cpu_median']:.2f} (best rounds {ratios['ratio_cpu_best']:.2f}); "
          f"largest difference of a loss {gap:.2e}, of {names[1]} and {names[-1]} {own:.2e}", flush=True)
    return {"threads": threads, "steps": args.steps, "seconds": seconds, **ratios,
            "loss_difference": gap, "loss_difference_of_peers": own}


def beside_foreign(folder, args):
    """One thread against two of ours and of PyTorch's first mode, beside busy processes."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.foreign)]
    try:
        names = ["tenon"] + args.modes.split(",")[:1]
        rounds = run_rounds({(name, threads): open_side(name, folder, threads, args)
                             for name in names for threads in (1, 2)}, args.steps)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    seconds = {key: seconds_of(steps) for key, steps in rounds.items()}
    result = {"foreign": args.foreign, "steps": args.steps}
    for name in names:
        one, two = seconds[name, 1], seconds[name, 2]
        result[name] = {"seconds_1": one, "seconds_2": two,
                        "ratio": one["wall"]["median"] / two["wall"]["median"]}
        print(f"{args.foreign} foreign busy processes: {name:8} 1 thread {one['wall']['median']:.2f} s "
              f"({one['cpu']['median']:.2f} CPU s), 2 threads {two['wall']['median']:.2f} s "
              f"({two['cpu']['median']:.2f} CPU s): {result[name]['ratio']:.2f}x", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description="A training step of GPT-2 against PyTorch.")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--size", choices=SIZES, default="124m")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--modes", default="eager,compile")
    parser.add_argument("--foreign", type=int, default=0)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--batches", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return run_peer(args)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        parameters = make_model(folder / "model", args.size)
        make_batches(folder / "batches", args.size, args)
        results = ([beside_foreign(folder, args)] if args.foreign else
                   [compare(folder, threads, parameters, args) for threads in args.threads])
    print(json.dumps({"bench": "train", "size": args.size, "batch": args.batch, "tokens": args.tokens,
                      "results": results}))


if __name__ == "__main__":
    main()
