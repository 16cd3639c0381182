# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' own mistakes in plain words; no times."""
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_bench_cpu_says_how_to_build_what_is_missing(tmp_path):
    shutil.copytree(ROOT / "bench", tmp_path / "bench", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run([sys.executable, tmp_path / "bench/bench_cpu.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "forward_cpu" in done.stderr and "make bench-cpu builds it" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bench"]
