# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own mistakes in plain words; no times."""
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_bench_cpu_says_how_to_build_what_is_missing(tmp_path):
    shutil.copytree(ROOT / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([sys.executable, tmp_path / "bench/bench_cpu.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "forward_cpu" in done.stderr and "make bench-cpu builds it" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bench"]


@pytest.mark.parametrize("kind", ["q4_0", "int4_g128"])
def test_bench_cpu_gives_ref_its_weights_in_rows(tenon, kind):
    words = ("bench", "cpu", "--seconds", 0.01, "--op", "linear", "--weights", kind, "--sizes", "M=1 N=32000")
    (plain,), (ref,) = (tenon.json(*words, "--isa", isa)["results"] for isa in ("plain", "ref"))
    assert plain["packed"] and not ref["packed"] and ref["weights"] == kind and ref["seconds"] > 0


def test_bench_cpu_lists_what_it_knows(tenon):
    error = tenon.fails("bench", "cpu", "--op", "nonsense", code=2)
    assert "--op nonsense is not measured" in error and "linear, " in error and "rmsnorm" in error
    error = tenon.fails("bench", "cpu", "--weights", "nonsense", code=2)
    assert "--weights nonsense is not measured; these are: float32" in error and "int4_g128" in error
    error = tenon.fails("bench", "cpu", "--limits", "--isa", "nonsense", code=2)
    names = re.search(r"this machine or build has (.*)", error)[1].split(", ")
    assert names[-3:] == ["plain", "plain_bytes", "ref"]
    for name in names[:-3]:
        assert tenon.json("bench", "cpu", "--limits", "--seconds", 0.01, "--isa", name)["kernels"] == name
