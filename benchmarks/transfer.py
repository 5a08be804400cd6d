"""`transfer` compared with one plain feature pass and with the notebook, which runs the backbone in every epoch.

    python benchmarks/transfer.py --data FOLDER --weights squeezenet1_0.pth [--epochs 10] [--repeats 3] [--json FILE]

FOLDER has train and val splits of class folders; 125 and 75 images each of CIFAR-10's cats and dogs gave the published
figures. The weights are torchvision's for squeezenet1_0 (https://download.pytorch.org/models), or a state dict
with the same names and shapes. Everything is timed as a whole process.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from measure import DLNOTES, Ended, Report, whole_process
from PIL import Image

NOTEBOOK = Path(__file__).parent / "programs" / "transfer_notebook.py"
IMAGES = 1000
HEIGHT, WIDTH = 480, 640


def notebook(data: Path, weights: Path, epochs: int, seed: int = 0) -> Ended:
    """A whole process of the notebook's program for `epochs`; 0 is one pass that computes features and nothing else."""
    return whole_process([sys.executable, str(NOTEBOOK), str(data), str(weights), str(epochs), str(seed)])


def dlnotes(cache: str, *arguments: str) -> tuple[Ended, dict[str, Any]]:
    """A whole process of `transfer` with its own cache, and its JSON result."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"DLNOTES_CACHE": cache}):
        ended = whole_process([*DLNOTES, "transfer", *arguments, "--out", f"{folder}/run", "--json", "-q"])
    return ended, json.loads(ended.out)


def measure_frozen(report: Report, data: Path, weights: Path, epochs: int, repeats: int) -> None:
    """The first run, the second, a plain pass, and the notebook's epochs, alternating."""
    arguments = ["--data", str(data), "--backbone", "squeezenet1_0", "--weights", str(weights)]
    seconds: dict[str, list[float]] = {"first": [], "second": [], "pass": [], "notebook": []}
    accuracies: list[float] = []
    result: dict[str, Any] = {}
    for seed in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for name in ("first", "second"):
                ended, result = dlnotes(cache, *arguments)
                seconds[name].append(ended.seconds)
        seconds["pass"].append(notebook(data, weights, 0).seconds)
        trained = notebook(data, weights, epochs, seed)
        seconds["notebook"].append(trained.seconds)
        accuracies.append(float(trained.out))
    first, second, one_pass, notebook_s = (statistics.median(values) for values in seconds.values())
    command = f"dlnotes transfer {' '.join(arguments)}"
    report.add("first run, whole process", first, "s", target="<= 30", n=repeats, command=command)
    report.add("second run, features cached", second, "s", target="<= 8", n=repeats)
    report.add("one plain feature pass, whole process", one_pass, "s", n=repeats)
    report.add("first run / plain pass", first / one_pass, "times", target="<= 1.3", n=repeats)
    report.add(f"the notebook, {epochs} epochs", notebook_s, "s", n=repeats)
    speedup = notebook_s / first
    report.add("the notebook / first run", speedup, "times", target=f">= {epochs / 1.5:.1f}", n=repeats)
    report.add("validation accuracy", result["validation"]["accuracy"], "")
    report.add("validation accuracy of the notebook: mean", statistics.mean(accuracies), "", n=repeats)
    report.add("validation accuracy of the notebook: lowest", min(accuracies), "", n=repeats)
    report.add("validation accuracy of the notebook: highest", max(accuracies), "", n=repeats)


def measure_memory(report: Report) -> None:
    """Peak memory of a first run of resnet18 on generated images."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as home:
        for i in range(IMAGES):
            folder = Path(home) / "images" / str(i % 2)
            folder.mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
            Image.fromarray(coarse).resize((WIDTH, HEIGHT)).save(folder / f"{i}.jpg", quality=90)
        ended, _ = dlnotes(f"{home}/cache", "--data", f"{home}/images", "--weights", "none")
    name = f"resnet18 on {IMAGES:,} images"
    report.add(f"{name}: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1200")
    report.add(f"{name}: whole process", ended.seconds, "s")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("transfer", os.cpu_count() or 1)
    measure_frozen(report, options.data, options.weights, options.epochs, options.repeats)
    measure_memory(report)
    report.close(options.json)


if __name__ == "__main__":
    main()
