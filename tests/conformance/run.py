#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Conformance: every file of a folder of test data that others made, by its kind and its place.

    make conformance                              TENON_TESTDATA, default ../shared/testdata
    tests/conformance/run.py FOLDER [--only TEXT] [--heavy] [--verbose]

There is no list of files here.  Each module of this folder that has `cases(root, heavy)` names the files it
knows how to judge and the rule for each; every case runs in a process of its own, so that a crash or a hang
is one failure.  Prints what failed, a table by kind, and ends with one JSON line of counts.
"""
import argparse
import importlib
import json
import os
import pathlib
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "python")]
CASE_SECONDS = 120


def modules():
    for path in sorted(HERE.glob("*.py")):
        if path.stem != "run":
            module = importlib.import_module(path.stem)
            if hasattr(module, "cases"):
                yield module


def outcome(check):
    """("passed" | "failed" | "skipped", words)"""
    from parquet_files import Skip
    try:
        wrong = check()
    except Skip as skip:
        return "skipped", str(skip)
    except BaseException as error:
        return "failed", f"{type(error).__name__}: {error}"
    return ("failed", str(wrong)) if wrong else ("passed", "")


def in_child(check):
    """The outcome of check() in a child process; a signal there is a failure here."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CASE_SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with os.fdopen(write, "w") as out:
            json.dump(outcome(check), out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return "failed", f"took over {CASE_SECONDS} s" if name == "SIGALRM" else f"died of {name}"
    return tuple(json.loads(text)) if text else ("failed", "ended without an answer")


def main():
    about = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    about.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(
        os.environ.get("TENON_TESTDATA", ROOT / "../shared/testdata")))
    about.add_argument("--only", default="", help="cases whose kind or name holds this text")
    about.add_argument("--heavy", action="store_true", help="also what needs gigabytes")
    about.add_argument("--verbose", action="store_true")
    o = about.parse_args()
    if not o.folder.is_dir():
        print(f"no folder {o.folder} (TENON_TESTDATA)")
        print(json.dumps({"passed": 0, "failed": 0, "skipped": 1}))
        return 0
    counts, begin = {}, time.monotonic()
    for module in modules():
        for kind, name, check in module.cases(o.folder.resolve(), o.heavy):
            if o.only not in f"{kind} {name}":
                continue
            result, words = in_child(check)
            counts.setdefault(kind, {"passed": 0, "failed": 0, "skipped": 0})[result] += 1
            if result != "passed" or o.verbose:
                print(f"{result:<8} {kind:<18} {name}  {words[:300]}", flush=True)
    print(f"\n{'kind':<24} {'passed':>7} {'failed':>7} {'skipped':>8}")
    for kind, count in sorted(counts.items()):
        print(f"{kind:<24} {count['passed']:>7} {count['failed']:>7} {count['skipped']:>8}")
    total = {key: sum(count[key] for count in counts.values()) for key in ("passed", "failed", "skipped")}
    print(f"{'all':<24} {total['passed']:>7} {total['failed']:>7} {total['skipped']:>8}   "
          f"{time.monotonic() - begin:.0f} s")
    print(json.dumps({**total, "kinds": counts}))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
