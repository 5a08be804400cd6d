"""`train-mlp` compared with the training loops of the course's notebooks and with the bare tensor loop.

One epoch of 784-512-512-10 at batch 64, fp32, dropout 0.2, on the 60,000 training images of Fashion-MNIST
(github.com/zalandoresearch/fashion-mnist; Debian: dataset-fashion-mnist), all in one process, alternating, with the
settings of two notebooks: Fashion-MNIST (ToTensor and Normalize, Adam) and MNIST MLP (ToTensor, SGD). The bare loop has
the same network, the fused optimizer and the images in memory. Then whole processes: accuracy, time and memory of the
default recipe, and `--help`.

    python benchmarks/mlp.py [--data-root FOLDER] [--repeats 3] [--seeds 3] [--only epoch,processes] [--samples 60000]
                             [--json FILE]
"""

import argparse
import gzip
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from measure import DLNOTES, Report, alternating, whole_process
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import FashionMNIST
from training_loop import load_given, take_steps

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.recipes import MLP_NOTES
from dlnotes_cli.classify.train_mlp import MlpTask
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.named_sets import load_named, locate
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.mlp import MlpConfig, build_mlp
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import available_cores

BATCH = 64
UNIT_RANGE = ImagePreprocessing(1, 28, 28, "crop", (0.0,), (1.0,))


@dataclass(frozen=True)
class Notebook:
    """The training settings of one of the course's notebooks."""

    name: str
    transform: Callable[[Any], torch.Tensor]
    optimizer: Literal["adam", "sgd"]
    lr: float

    def make_optimizer(self, net: nn.Module, *, fused: bool) -> torch.optim.Optimizer:
        """The optimizer of torch.optim."""
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.SGD
        return kind(net.parameters(), lr=self.lr, fused=fused)


NORMALIZED = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
NOTEBOOKS = (
    Notebook("Fashion-MNIST notebook", NORMALIZED, "adam", 0.003),
    Notebook("MNIST MLP notebook", transforms.ToTensor(), "sgd", 0.01),
)


def notebook_network() -> nn.Sequential:
    """The network of the notebooks, as they write it."""
    torch.manual_seed(0)
    hidden = [nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(512, 10))


def dlnotes_network() -> nn.Sequential:
    """The same network as `train-mlp` builds it."""
    torch.manual_seed(0)
    return build_mlp(MlpConfig(784, 10, (512, 512), dropout=0.2))


def notebook_loop(notebook: Notebook, root: Path, samples: int) -> Callable[[], None]:
    """The loop of the notebook, on the data set of torchvision."""
    images = Subset(FashionMNIST(str(root), transform=notebook.transform), range(samples))
    loader = DataLoader(images, batch_size=BATCH, shuffle=True)

    def run() -> None:
        net = notebook_network().train()
        optimizer = notebook.make_optimizer(net, fused=False)
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)

    return run


def bare_loop(notebook: Notebook, pixels: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """The practical limit: batches taken from one tensor, the fused optimizer, and nothing else."""

    def run() -> None:
        net = notebook_network().train()
        optimizer = notebook.make_optimizer(net, fused=True)
        for batch in torch.randperm(len(labels)).split(BATCH):
            logits = net(pixels.index_select(0, batch).float() / 255)
            loss = F.cross_entropy(logits, labels.index_select(0, batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def dlnotes_loop(notebook: Notebook, dataset: DataSet, runtime: Runtime) -> Callable[[], None]:
    """The steps of `train-mlp`, with its metrics and checks."""
    task = MlpTask(TrainMlpConfig(), replace(MLP_NOTES, optimizer=notebook.optimizer, lr=notebook.lr))
    load_given(task, dataset, runtime)

    def run() -> None:
        task.network = dlnotes_network()
        take_steps(task, BATCH, -(-task.training_samples // BATCH))

    return run


def measure_epoch(report: Report, data_root: Path | None, repeats: int, samples: int) -> None:
    """One epoch of the three loops, with the settings of each notebook."""
    source = load_named("fashion-mnist", data_root=data_root)
    train = source.splits["train"][:samples]
    splits = {"train": train, "val": source.splits["test"][:1]}
    dataset = DataSet(source.name, source.samples, source.labels, source.classes, splits, preprocessing=UNIT_RANGE)
    pixels, labels = torch.from_numpy(source.samples[train]), torch.from_numpy(source.labels[train])
    runtime = Runtime(torch.device("cpu"), "fp32", torch.get_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        unpack_for_torchvision(Path(folder), data_root)
        for notebook in NOTEBOOKS:
            sides = {
                "notebook": notebook_loop(notebook, Path(folder), len(train)),
                "bare": bare_loop(notebook, pixels, labels),
                "dlnotes": dlnotes_loop(notebook, dataset, runtime),
            }
            alternating({name: side for name, side in sides.items() if name != "notebook"}, 1)  # warm up
            seconds = alternating(sides, repeats)
            name = f"{notebook.name} ({notebook.optimizer})"
            for side, value in seconds.items():
                report.add(f"{name}: one epoch, {side} loop", value, "s", n=repeats)
            ratios = seconds["notebook"] / seconds["dlnotes"], seconds["dlnotes"] / seconds["bare"]
            report.add(f"{name}: notebook / dlnotes", ratios[0], "times", target=">= 3", n=repeats)
            report.add(f"{name}: dlnotes / bare loop", ratios[1], "times", target="<= 1.15", n=repeats)


def unpack_for_torchvision(folder: Path, data_root: Path | None) -> None:
    """Write the files of the data set where torchvision looks for them."""
    location = locate("fashion-mnist", data_root)
    if location is None:
        raise SystemExit("fashion-mnist is missing; pass --data-root")
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in location.files:
        content = path.read_bytes()
        (raw / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(content) if path.suffix == ".gz" else content)


def measure_processes(report: Report, data_root: Path | None, seeds: int) -> None:
    """Whole processes with the default recipe."""
    root = ["--data-root", str(data_root)] if data_root else []
    runs: tuple[tuple[str, list[str], str, str], ...] = (  # name, arguments, targets of accuracy and seconds
        ("digits", [], ">= 0.975", "< 12"),
        ("fashion-mnist", ["--data", "fashion-mnist", "--time-budget", "90s", *root], ">= 0.910", ""),
    )
    for name, arguments, accuracy, seconds in runs:
        ended, results = [], []
        with tempfile.TemporaryDirectory() as folder:
            for seed in range(seeds):
                command = ["train-mlp", *arguments, "--seed", str(seed), "--out", f"{folder}/{seed}", "--json", "-q"]
                ended.append(whole_process([*DLNOTES, *command]))
                results.append(json.loads(ended[-1].out))
        command_text = f"dlnotes train-mlp {' '.join(arguments)}".strip()
        accuracies = [result["test"]["accuracy"] for result in results]
        report.add(f"{name}: test accuracy, seed 0", accuracies[0], "", target=accuracy, command=command_text)
        report.add(
            f"{name}: test accuracy, median",
            statistics.median(accuracies),
            "",
            target=accuracy,
            n=seeds,
            command=command_text,
        )
        report.add(
            f"{name}: train_s", statistics.median(result["timing"]["train_s"] for result in results), "s", n=seeds
        )
        report.add(f"{name}: whole process", statistics.median(e.seconds for e in ended), "s", target=seconds, n=seeds)
        peak = max(e.peak_bytes for e in ended) / 1e6
        report.add(f"{name}: peak memory", peak, "MB", target="< 900", n=seeds)
    help_s = alternating({"help": lambda: whole_process([*DLNOTES, "--help"])}, 7)["help"]
    report.add("dlnotes --help, whole process", help_s, "s", target="< 0.3", n=7)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=60_000, help="training images of an epoch")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["epoch", "processes"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(available_cores())
    output.configure(quiet=True)
    report = Report("mlp", torch.get_num_threads())
    if "epoch" in options.only:
        measure_epoch(report, options.data_root, options.repeats, options.samples)
    if "processes" in options.only:
        measure_processes(report, options.data_root, options.seeds)
    report.close(options.json)


if __name__ == "__main__":
    main()
