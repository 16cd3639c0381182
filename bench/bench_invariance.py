#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What batch invariance costs: products whose sums have one order for every number of rows, beside products
that may sum as suits them best.

    make bench-invariance [BENCH_FLAGS="--rounds 5 --threads 2"]

Beside ours run PyTorch's linear (its library picks blocking and splitting by the shape) and, for one row, dot
products along the rows of weights with four vectors of sums. Every round asks each program once, one after the
other; a program's time is the best of its rounds, in CPU seconds with one thread and in wall seconds with more.
The cost is ours over the quickest of the others, less one; below zero ours is quicker than all. Integer types have
no free peer here: sums of integers are exact in any order; `make bench-cpu` has llama.cpp beside them. The last line
is JSON."""
import argparse
import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROWS = [1, 8, 32, 512]
SHAPES = [(2048, 2048), (5632, 2048), (2048, 5632), (32000, 2048)]  # N, K of a model of 1.1 B parameters
CALLS = 5


def run_peer(args):
    """linear_orders' answers, from PyTorch."""
    import torch
    torch.set_num_threads(args.threads)
    M, N, K = args.peer[1:]
    dtype = getattr(torch, args.peer[0])
    x = torch.rand(int(M), int(K), dtype=dtype) - 0.5
    w = torch.rand(int(N), int(K), dtype=dtype) - 0.5
    with torch.no_grad():
        torch.nn.functional.linear(x, w)
        print("ready", flush=True)
        for _ in sys.stdin:
            wall = cpu = 1e9
            for _ in range(CALLS):
                w0, c0 = time.perf_counter(), time.process_time()
                torch.nn.functional.linear(x, w)
                cpu, wall = min(cpu, time.process_time() - c0), min(wall, time.perf_counter() - w0)
            print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


class Program:
    def __init__(self, command):
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"{command[0]} did not start")
        self.best = {"wall": 1e9, "cpu": 1e9}

    def round(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        self.best = {key: min(value, answer[key]) for key, value in self.best.items()}

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def programs(args, dtype, M, N, K):
    orders = args.build / "bench/linear_orders"
    yield "ours", [orders, "ours", dtype, M, N, K, args.threads]
    if M == 1:
        yield "dots", [orders, "free", dtype, M, N, K, args.threads]
    yield "torch", [sys.executable, __file__, "--threads", args.threads, "--peer", dtype, M, N, K]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--types", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--peer", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return run_peer(args)
    clock = "cpu" if args.threads == 1 else "wall"
    print(f"{args.threads} thread(s), {clock} milliseconds of one product, best of {args.rounds} rounds")
    print(f"{'weights':<10}{'M':>5}{'N':>7}{'K':>7}{'ours':>10}{'dots':>10}{'torch':>10}{'cost':>9}")
    costs = {}
    for dtype in args.types:
        for M in args.rows:
            for N, K in SHAPES:
                running = {name: Program(command) for name, command in programs(args, dtype, M, N, K)}
                for _ in range(args.rounds):
                    for program in running.values():
                        program.round()
                for program in running.values():
                    program.end()
                ms = {name: 1e3 * program.best[clock] for name, program in running.items()}
                cost = ms["ours"] / min(value for name, value in ms.items() if name != "ours") - 1
                costs[f"{dtype} M={M} N={N} K={K}"] = round(cost, 4)
                dots = f"{ms['dots']:10.3f}" if "dots" in ms else f"{'-':>10}"
                print(f"{dtype:<10}{M:5}{N:7}{K:7}{ms['ours']:10.3f}{dots}{ms['torch']:10.3f}{cost:9.1%}", flush=True)
    print(json.dumps({"clock": clock, "threads": args.threads, "worst": max(costs.values()), "costs": costs}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
