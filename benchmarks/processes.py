"""Throughput of training with `--devices 2` on the CPU, next to one process with as many threads.

python benchmarks/processes.py [--processes 2] [--repeats 3] [--only NAME] [--json FILE]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import DLNOTES, Report

RUNS = {
    "train-mlp": "train-mlp --batch-size 256 --max-steps 900",
    "train-mlp on Fashion-MNIST": "train-mlp --data fashion-mnist --batch-size 512 --max-steps 450",
    "train-cnn --arch fast": "train-cnn --arch fast --batch-size 256 --max-steps 40",
    "train-cnn --arch resnet": "train-cnn --arch resnet --batch-size 64 --max-steps 15",
    "char-rnn train": "char-rnn train --batch-size 64 --max-steps 40 --sample 0 --val-split 0.01",
    "train-text": "train-text --model rnn --batch-size 64 --max-steps 40",
}
RUNTIME = ("--device", "cpu", "--precision", "fp32")
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist


def trained(command: str, *more: object) -> dict[str, Any]:
    """The result of a training run in a folder of its own. Raises SystemExit if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        root = ["--data-root", FASHION_MNIST] if "fashion-mnist" in command else []
        words = [*command.split(), *root, *RUNTIME, "--json", "-q", "--out", f"{folder}/run", *more]
        done = subprocess.run([*DLNOTES, *map(str, words)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command} failed")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def compare(report: Report, name: str, processes: int, repeats: int) -> None:
    """Add the throughput of both ways, and their ratio, to the report; they alternate."""
    ways: dict[str, list[dict[str, Any]]] = {"one": [], "several": []}
    for _ in range(repeats):
        ways["one"].append(trained(RUNS[name], "--threads", processes))
        ways["several"].append(trained(RUNS[name], "--threads", processes, "--devices", processes))
    one, several = (statistics.median(run["timing"]["samples_per_s"] for run in ways[way]) for way in ways)
    last = ways["one"][-1]
    step_ms = 1000 * statistics.median(run["timing"]["train_s"] / run["steps"] for run in ways["one"])
    report.add(f"{name}: one process, {processes} threads", one, "samples/s", n=repeats, command=RUNS[name])
    report.add(f"{name}: {processes} processes, one thread each", several, "samples/s", n=repeats)
    report.add(f"{name}: ratio", several / one, "", target="0.85", n=repeats)
    report.add(f"{name}: step of one process, with validations", step_ms, "ms", n=repeats)
    report.add(f"{name}: gradient of a step", 4 * last["model"]["parameters"] / 1e6, "MB")


def main() -> None:
    """Compare both ways for every kind of network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=RUNS, help="one kind of network")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("processes", options.processes)
    known = [name for name, run in RUNS.items() if "fashion-mnist" not in run or FASHION_MNIST.exists()]
    for name in [options.only] if options.only else known:
        compare(report, name, options.processes, options.repeats)
    report.close(options.json)


if __name__ == "__main__":
    main()
