"""`transfer` against one plain feature pass and against the notebook's way, which runs the backbone in every epoch.

    python benchmarks/transfer.py --data FOLDER --weights squeezenet1_0.pth [--epochs 10] [--repeats 3] [--json FILE]

FOLDER has train and val splits of class folders; 125 and 75 images each of CIFAR-10's cats and dogs gave the figures
of the README. The weights are torchvision's for squeezenet1_0 (https://download.pytorch.org/models), or a state dict
of the same form. Everything is timed as a whole process.
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

PLAIN = """
import sys, torch
from torch import nn
from torchvision import datasets, models, transforms
folder, weights, epochs, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.manual_seed(seed)
look = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
                           transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
sets = {part: datasets.ImageFolder(f"{folder}/{part}", look) for part in ("train", "val")}
network = models.squeezenet1_0()
network.load_state_dict(torch.load(weights, weights_only=True))
network.requires_grad_(False).eval()
def features(x):
    with torch.no_grad():
        return network.features(x).mean((2, 3))
def loader(part):
    return torch.utils.data.DataLoader(sets[part], batch_size=32, shuffle=part == "train")
if epochs == 0:  # one plain pass
    print(sum(features(x).shape[0] for part in sets for x, _ in loader(part)))
    sys.exit()
head = nn.Linear(512, len(sets["train"].classes))
optimizer = torch.optim.Adam(head.parameters(), lr=0.001)
for epoch in range(epochs):
    for x, y in loader("train"):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(features(x)), y).backward()
        optimizer.step()
    right = sum((head(features(x)).argmax(1) == y).sum().item() for x, y in loader("val"))
print(right / len(sets["val"]))
"""
PHOTOGRAPHS = 1000
HEIGHT, WIDTH = 480, 640


def plain(data: Path, weights: Path, epochs: int, seed: int = 0) -> Ended:
    """The notebook's way for some epochs; 0: one pass of features and nothing else."""
    return whole_process([sys.executable, "-c", PLAIN, str(data), str(weights), str(epochs), str(seed)])


def dlnotes(cache: str, *words: str) -> tuple[Ended, dict[str, Any]]:
    """A whole process of `transfer`, and its result."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"DLNOTES_CACHE": cache}):
        ended = whole_process([*DLNOTES, "transfer", *words, "--out", f"{folder}/run", "--json", "-q"])
    return ended, json.loads(ended.out)


def measure_frozen(report: Report, data: Path, weights: Path, epochs: int, repeats: int) -> None:
    """The first run, the second, a plain pass, and the notebook's epochs, in turn."""
    words = ["--data", str(data), "--backbone", "squeezenet1_0", "--weights", str(weights)]
    seconds: dict[str, list[float]] = {"first": [], "second": [], "pass": [], "notebook": []}
    accuracies: list[float] = []
    result: dict[str, Any] = {}
    for seed in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            for name in ("first", "second"):
                ended, result = dlnotes(cache, *words)
                seconds[name].append(ended.seconds)
        seconds["pass"].append(plain(data, weights, 0).seconds)
        notebook = plain(data, weights, epochs, seed)
        seconds["notebook"].append(notebook.seconds)
        accuracies.append(float(notebook.out))
    first, second, one_pass, notebook_s = (statistics.median(values) for values in seconds.values())
    command = f"dlnotes transfer {' '.join(words)}"
    report.add("first run, whole process", first, "s", target="<= 30", n=repeats, command=command)
    report.add("second run, features kept", second, "s", target="<= 8", n=repeats)
    report.add("one plain feature pass, whole process", one_pass, "s", n=repeats)
    report.add("first run / plain pass", first / one_pass, "times", target="<= 1.3", n=repeats)
    report.add(f"the notebook's way, {epochs} epochs", notebook_s, "s", n=repeats)
    faster = notebook_s / first
    report.add("the notebook's way / first run", faster, "times", target=f">= {epochs / 1.5:.1f}", n=repeats)
    report.add("validation accuracy", result["validation"]["accuracy"], "")
    report.add("the notebook's: mean", statistics.mean(accuracies), "", n=repeats)
    report.add("the notebook's: lowest", min(accuracies), "", n=repeats)
    report.add("the notebook's: highest", max(accuracies), "", n=repeats)


def measure_memory(report: Report) -> None:
    """Peak memory of a first run of resnet18 on photographs that are made here."""
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as home:
        for i in range(PHOTOGRAPHS):
            folder = Path(home) / "photographs" / str(i % 2)
            folder.mkdir(parents=True, exist_ok=True)
            coarse = generator.integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
            Image.fromarray(coarse).resize((WIDTH, HEIGHT)).save(folder / f"{i}.jpg", quality=90)
        ended, _ = dlnotes(f"{home}/cache", "--data", f"{home}/photographs", "--weights", "none")
    what = f"resnet18 on {PHOTOGRAPHS:,} photographs"
    report.add(f"{what}: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1200")
    report.add(f"{what}: whole process", ended.seconds, "s")


def main() -> None:
    """Measure and print."""
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
