"""What one GPU reaches: CIFAR-10 to 94 %, and the loop of dlnotes next to a plain PyTorch loop with its data there.

Throughput is that of random images and of the embedded text, which need no data; the accuracy needs CIFAR-10. The plain
loops have no augmentation, metrics or checks. Without a GPU nothing is measured; `--device cpu --small` runs every line
with tiny sizes, whose figures mean nothing.

    python benchmarks/gpu.py [--data CIFAR10] [--data-root FOLDER] [--repeats 5] [--trainings 5] [--json FILE]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from fast_cifar10 import Images, SpeedRecipe, accuracy_of, train_fast
from measure import Report, alternating
from torch import Tensor, nn
from training_loop import load_given, training_steps

from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.train import CharRnnTask
from dlnotes_cli.classify.options import TrainCnnConfig
from dlnotes_cli.classify.train_cnn import CnnTask
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime, choose_runtime, present_devices
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.networks.registry import build
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.classifier import ClassifierTask
from dlnotes_cli.training.distributed import ALONE
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import OptimizerSettings
from dlnotes_cli.training.task import Task
from dlnotes_cli.transfer.fine_tuning import FineTuneTask
from dlnotes_cli.transfer.options import FineTuneRecipe, TransferConfig
from dlnotes_cli.transfer.plan import make_plan

TARGET = 0.94
OPTIMIZER = OptimizerSettings("adamw", 1e-3, 0.0, 0.05)
CLASSES = 10


@dataclass(frozen=True)
class Sizes:
    """How much of everything is measured."""

    steps: int  # of a loop, in one repetition
    cnn_batch: int
    cnn_samples: int
    side: int  # pixels, of the images for resnet18
    tuning_batch: int
    rnn_batch: int
    speed: SpeedRecipe


FULL = Sizes(100, 512, 50_000, 224, 64, 64, SpeedRecipe())
SMALL = Sizes(2, 16, 64, 32, 4, 4, SpeedRecipe(epochs=2, batch_size=16, widths=(8, 8, 8)))


@dataclass(frozen=True)
class Setup:
    """Where the benchmark runs, and how much of it."""

    runtime: Runtime
    sizes: Sizes
    repeats: int
    compile: bool

    def wait(self) -> None:
        """Wait until the GPU has done what it was told to."""
        if self.runtime.device.type == "cuda":
            torch.cuda.synchronize(self.runtime.device)


def random_images(count: int, side: int, seed: int = 0) -> DataSet:
    """A data set of random images, with one validation sample, so that validation takes no time."""
    generator = np.random.default_rng(seed)
    samples = generator.integers(0, 256, (count, 3, side, side), np.uint8)
    splits = {"train": np.arange(count - 1), "val": np.arange(count - 1, count)}
    preprocessing = ImagePreprocessing(3, side, side, "crop", (0.5,) * 3, (0.25,) * 3)
    labels = generator.integers(0, CLASSES, count)
    return DataSet("random", samples, labels, tuple(map(str, range(CLASSES))), splits, preprocessing=preprocessing)


def classifier_steps(task: ClassifierTask[Any], dataset: DataSet, setup: Setup, batch_size: int) -> Callable[[], None]:
    """Steps of the loop of dlnotes, with augmentation, metrics, checks and moving average as in its recipe."""
    load_given(task, dataset, setup.runtime)
    task.recipe = replace(task.recipe, **vars(OPTIMIZER), schedule="constant")
    return steps_of(task, setup, batch_size)


def steps_of(task: Task[Any], setup: Setup, batch_size: int) -> Callable[[], None]:
    """As many steps of a task as the benchmark has."""
    task.network = build(task.model_name, task.network_config).to(setup.runtime.device)
    take = training_steps(task, batch_size, setup.sizes.steps)

    def run() -> None:
        take()
        setup.wait()

    return run


def plain_classifier_steps(network: nn.Module, dataset: DataSet, setup: Setup, batch_size: int) -> Callable[[], None]:
    """Steps of a plain loop: images on the device, normalized there, in the same precision and in channels-last."""
    runtime = setup.runtime
    network = network.to(runtime.device).train()
    optimizer = make_optimizer(network, OPTIMIZER)
    scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16")
    samples, labels = (torch.from_numpy(array).to(runtime.device) for array in (dataset.samples, dataset.labels))

    def run() -> None:
        order = torch.randperm(len(labels), device=runtime.device).repeat(2)
        for step in range(setup.sizes.steps):
            start = step * batch_size % len(labels)
            rows = order[start : start + batch_size]
            x = (samples.index_select(0, rows).float() / 255 - 0.5) / 0.25
            with runtime.autocast():
                logits = network(x.contiguous(memory_format=torch.channels_last))
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(F.cross_entropy(logits.float(), labels.index_select(0, rows))).backward()
            scaler.step(optimizer)
            scaler.update()
        setup.wait()

    return run


def plain_rnn_steps(config: CharRnnConfig, tokens: Tensor, seq_len: int, setup: Setup) -> Callable[[], None]:
    """Steps of a plain loop: the text on the device in parallel rows, and the state passed from step to step."""
    runtime, batch = setup.runtime, setup.sizes.rnn_batch
    network = build("char_rnn", config).to(runtime.device).train()
    optimizer = make_optimizer(network, OPTIMIZER)
    scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16")
    rows = tokens[: len(tokens) // batch * batch].view(batch, -1).to(runtime.device)

    def run() -> None:
        state = network.initial_state(batch)  # type: ignore[operator]  # a method of every language model
        for step in range(setup.sizes.steps):
            start = step * seq_len % (rows.shape[1] - seq_len - 1)
            with runtime.autocast():
                logits, after = network(rows[:, start : start + seq_len], state)
            state = tuple(tensor.detach() for tensor in after)
            targets = rows[:, start + 1 : start + seq_len + 1].flatten()
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(F.cross_entropy(logits.float().flatten(0, 1), targets)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
        setup.wait()

    return run


def compare(
    report: Report, name: str, unit: str, sides: dict[str, Callable[[], None]], setup: Setup, each: int
) -> None:
    """Add the throughput of all sides, of which a step has `each` samples, and their ratios to the plain loop."""
    alternating(sides, 1)  # warm up: kernels are chosen, or compiled
    seconds = alternating(sides, setup.repeats)
    for side, value in seconds.items():
        report.add(f"{name}: {side}", each * setup.sizes.steps / value, unit, n=setup.repeats)
    for side in sides:
        if side != "plain loop":
            ratio = seconds["plain loop"] / seconds[side]
            report.add(f"{name}: {side} / plain loop", ratio, "times", target=">= 0.9", n=setup.repeats)


def ways(setup: Setup) -> dict[str, bool]:
    """The names of the ways in which dlnotes runs, and whether they are compiled."""
    return {"dlnotes": False, "dlnotes --compile": True} if setup.compile else {"dlnotes": False}


def measure_cnn(report: Report, arch: str, setup: Setup) -> None:
    """Images per second of `train-cnn --arch`, on images of CIFAR-10's size."""
    dataset, batch = random_images(setup.sizes.cnn_samples, 32), setup.sizes.cnn_batch
    sides: dict[str, Callable[[], None]] = {}
    for name, compiled in ways(setup).items():
        options = TrainCnnConfig(data="cifar10", arch=arch, compile=compiled)
        task = CnnTask(options, options.resolved())
        sides[name] = classifier_steps(task, dataset, setup, batch)
    network = build(task.model_name, task.network_config)
    sides["plain loop"] = plain_classifier_steps(network, dataset, setup, batch)
    compare(report, f"train-cnn --arch {arch}", "images/s", sides, setup, batch)


def measure_fine_tuning(report: Report, setup: Setup) -> None:
    """Images per second of `transfer --fine-tune all` with resnet18."""
    batch = setup.sizes.tuning_batch
    dataset = random_images(batch * 8 + 1, setup.sizes.side)
    sides: dict[str, Callable[[], None]] = {}
    for name, compiled in ways(setup).items():
        options = TransferConfig(fine_tune="all", weights="none", size=setup.sizes.side, compile=compiled)
        recipe = options.resolved()
        if not isinstance(recipe, FineTuneRecipe):
            raise TypeError("the recipe of fine-tuning")
        task = FineTuneTask(make_plan(options, recipe), recipe, ALONE, None)
        sides[name] = classifier_steps(task, dataset, setup, batch)
    network = build(task.model_name, task.network_config)
    sides["plain loop"] = plain_classifier_steps(network, dataset, setup, batch)
    compare(report, f"resnet18, fine-tuned at {setup.sizes.side} pixels", "images/s", sides, setup, batch)


def measure_char_rnn(report: Report, setup: Setup) -> None:
    """Tokens per second of `char-rnn train` with its default network, on the embedded text."""
    sides: dict[str, Callable[[], None]] = {}
    for name, compiled in ways(setup).items():
        options = CharRnnTrainConfig(compile=compiled)
        task = CharRnnTask(options, options.resolved())
        task.load()
        task.runtime = setup.runtime
        sides[name] = steps_of(task, setup, setup.sizes.rnn_batch)
    tokens, seq_len = torch.from_numpy(task.texts.train.tokens.astype(np.int64)), task.recipe.seq_len
    sides["plain loop"] = plain_rnn_steps(task.network_config, tokens, seq_len, setup)
    compare(report, "char-rnn train", "tokens/s", sides, setup, setup.sizes.rnn_batch * seq_len)


def measure_speed_to_accuracy(report: Report, train: Images, test: Images, setup: Setup, trainings: int) -> None:
    """Seconds and accuracy of whole trainings, after one whose time does not count."""
    seconds, accuracies = [], []
    for seed in range(trainings + 1):
        setup.wait()
        started = time.perf_counter()
        network = train_fast(train, setup.sizes.speed, setup.runtime, seed, CLASSES)
        setup.wait()
        if seed:
            seconds.append(time.perf_counter() - started)
            accuracies.append(accuracy_of(network, test, setup.runtime))
    name = "CIFAR-10, recipe of arXiv:2404.00498"
    report.add(f"{name}: training, median", statistics.median(seconds), "s", n=trainings)
    report.add(f"{name}: test accuracy, mean", statistics.mean(accuracies), "", target=f">= {TARGET}", n=trainings)
    report.add(f"{name}: test accuracy, lowest", min(accuracies), "", n=trainings)


def cifar10(options: argparse.Namespace, device: torch.device) -> tuple[Images, Images] | None:
    """Training and test split of CIFAR-10 on the device; random images with `--small`, None if it is unavailable."""
    if options.small:
        dataset = random_images(SMALL.cnn_samples, 32)
        splits = {"train": dataset.splits["train"], "test": dataset.splits["train"][:16]}
    else:
        config = TrainCnnConfig(data=options.data, data_root=options.data_root, val_split=0.001, offline=True)
        try:
            dataset = CnnTask(config, config.resolved()).load_dataset()
        except InputError as error:
            print(f"accuracy skipped: {error}; --data or --data-root names CIFAR-10")
            return None
        splits = dict(dataset.splits)
        splits["train"] = np.sort(np.concatenate([splits["train"], splits.pop("val")]))
    train, test = (
        Images(
            *(
                torch.from_numpy(np.asarray(array[splits[name]])).to(device)
                for array in (dataset.samples, dataset.labels)
            )
        )
        for name in ("train", "test")
    )
    return train, test


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10", help="CIFAR-10: the named set, or class folders")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--small", action="store_true", help="tiny sizes, which show that every line runs")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave out --compile")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trainings", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.device.startswith("cuda") and "cuda" not in present_devices():
        print(
            "there is no CUDA device here, so nothing is measured; --device cpu --small runs every line of this script"
        )
        return
    output.configure(quiet=True)
    runtime = choose_runtime(options.device, options.precision, None, bf16_pays=True, fp16_pays=True)
    setup = Setup(runtime, SMALL if options.small else FULL, options.repeats, options.compile)
    name = torch.cuda.get_device_name(runtime.device) if runtime.device.type == "cuda" else "CPU"
    report = Report("gpu", runtime.threads, device=f"{name} in {runtime.precision}")
    splits = cifar10(options, runtime.device)
    if splits is not None:
        measure_speed_to_accuracy(report, *splits, setup, options.trainings)
    for arch in ("fast", "large"):
        measure_cnn(report, arch, setup)
    measure_fine_tuning(report, setup)
    measure_char_rnn(report, setup)
    report.close(options.json)


if __name__ == "__main__":
    main()
