"""Where training in several processes stops to pay: calculated from step times and gradients that are measured here.

The model of a step in n processes is `compute(batch / n) + exchange(n)`, one after the other, as `--devices` does it.
`compute` is a straight line through two measured batch sizes. `exchange` is a ring: each process sends 2 (n - 1)
messages of 1/n of the gradient. Processor time is measured, of one thread, so that other work on the machine changes it
little.
"""

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from measure import processor

STEPS, WARM_UP = 8, 2
LARGEST = 1 << 20  # processes that are looked at
EFFICIENCIES = (0.9, 0.5)
RUNS = {  # command, its batch size, size of its synthetic images in pixels (0: its default data)
    "train-mlp": ("train-mlp", 256, 0),
    "train-cnn --arch fast": ("train-cnn --arch fast", 256, 32),
    "train-cnn --arch resnet": ("train-cnn --arch resnet", 64, 32),
    "train-cnn --arch large": ("train-cnn --arch large", 256, 32),
    "char-rnn train": ("char-rnn train --sample 0 --val-split 0.01", 64, 0),
    "fine-tuning resnet18": ("transfer --fine-tune all --weights none --backbone resnet18", 16, 224),
    "fine-tuning resnet50": ("transfer --fine-tune all --weights none --backbone resnet50", 16, 224),
}


@dataclass(frozen=True)
class Link:
    """What connects the processes."""

    name: str
    bytes_per_s: float  # in one direction
    latency_s: float  # of one message, assumed


LINKS = (
    Link("10 Gbit/s", 10e9 / 8, 100e-6),  # TCP
    Link("100 Gbit/s", 100e9 / 8, 20e-6),  # RDMA
    Link("NVLink", 450e9, 5e-6),  # of an H100 SXM: 900 GB/s in both directions together
)


@dataclass(frozen=True)
class Gpu:
    """A GPU whose step times are calculated: its published peak, and an assumed fraction of it."""

    name: str
    peak_flops: float  # bf16, dense
    utilization: float

    def step_s(self, macs: float, samples: float) -> float:
        """Seconds of a step: two operations per multiply-accumulate, forward once and backward twice."""
        return 6 * macs * samples / (self.utilization * self.peak_flops)


GPU = Gpu("H100 SXM", 989e12, 0.3)
GPU_NETWORKS = {  # parameters, and multiply-accumulates of an image of 224 x 224 pixels, as torchvision states them
    "fine-tuning resnet18": (11_689_512, 1.814e9, 256),
    "fine-tuning resnet50": (25_557_032, 4.089e9, 256),
}


@dataclass(frozen=True)
class Step:
    """A step of one process: its time as a line over the samples, and the gradient."""

    name: str
    batch: int  # samples
    fixed_s: float
    per_sample_s: float
    gradient_bytes: int
    sample_bytes: int  # in the decode cache; 0 for text, which is in memory

    def compute_s(self, samples: float) -> float:
        """Seconds of the step of one process on so many samples."""
        return self.fixed_s + self.per_sample_s * samples


def line_through(small: tuple[int, float], large: tuple[int, float]) -> tuple[float, float]:
    """Fixed seconds and seconds per sample of the line through two (samples, seconds); neither is below zero.

    >>> line_through((10, 3.0), (20, 5.0))
    (1.0, 0.2)
    """
    (few, less), (many, more) = small, large
    slope = max(0.0, (more - less) / (many - few))
    fixed = more - slope * many
    return (fixed, slope) if fixed >= 0 else (0.0, more / many)


def exchange_s(processes: int, size: int, link: Link) -> float:
    """Seconds in which a ring adds up `size` bytes of each process."""
    return 2 * (processes - 1) * (size / processes / link.bytes_per_s + link.latency_s)


def strong_efficiency(step: Step, processes: int, link: Link) -> float:
    """How much of n times the speed n processes reach with the same batch for all together."""
    shared = step.compute_s(step.batch / processes) + exchange_s(processes, step.gradient_bytes, link)
    return step.compute_s(step.batch) / (processes * shared)


def weak_efficiency(step: Step, processes: int, link: Link) -> float:
    """How much of n times the speed n processes reach with the same batch for each of them."""
    alone = step.compute_s(step.batch)
    return alone / (alone + exchange_s(processes, step.gradient_bytes, link))


def most_processes(efficiency: Callable[[int], float], least: float, limit: int = LARGEST) -> int:
    """The largest number of processes up to `limit` with at least this efficiency, which falls with the number."""
    low, high = 1, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if efficiency(middle) >= least else (low, middle - 1)
    return low


def measured(name: str) -> Step:
    """The step of one process with one thread, in processor time."""
    command, batch, pixels = RUNS[name]
    points, gradient, sample = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        data = ["--data", str(synthetic_images(Path(folder, "images"), pixels, 10 * batch))] if pixels else []
        size = ["--size", str(pixels)] if pixels and "transfer" not in command else []
        for samples in (batch // 4, batch):
            seconds, gradient, sample = timed_steps([*command.split(), *data, *size], samples, Path(folder, "run"))
            points.append((samples, seconds))
    return Step(name, batch, *line_through(points[0], points[1]), gradient, sample)


def timed_steps(command: Sequence[str], batch: int, out: Path) -> tuple[float, int, int]:
    """Median processor seconds of a step, bytes of the gradient, and bytes of a sample."""
    from dlnotes_cli.cli import main
    from dlnotes_cli.training.fit import TrainingRun

    seconds: list[float] = []
    found: dict[str, int] = {}
    original = TrainingRun._step  # noqa: SLF001  # what is measured

    def timed(run: TrainingRun[Any], *arguments: Any) -> None:
        started = time.process_time()
        original(run, *arguments)
        seconds.append(time.process_time() - started)
        task: Any = run.task
        found["gradient"] = sum(4 * p.numel() for p in task.network.parameters() if p.grad is not None)
        found["sample"] = task.splits["train"].samples[0].nbytes if hasattr(task, "splits") else 0

    with mock.patch.object(TrainingRun, "_step", timed), contextlib.redirect_stdout(io.StringIO()):
        words = ["--batch-size", str(batch), "--max-steps", str(WARM_UP + STEPS), "--threads", "1", "--device", "cpu"]
        code = main([*command, *words, "--precision", "fp32", "-q", "--overwrite", "--out", str(out)])
    if code:
        raise SystemExit(f"{' '.join(command)} failed")
    return statistics.median(seconds[WARM_UP:]), found["gradient"], found["sample"]


def synthetic_images(root: Path, pixels: int, count: int) -> Path:
    """A folder of random images of two classes; how fast a network trains does not depend on what they show."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for position in range(count):
        path = root / "ab"[position % 2] / f"{position}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (pixels, pixels, 3), np.uint8)).save(path, compress_level=0)
    return root


def scaling_rows(steps: Sequence[Step], links: Sequence[Link]) -> list[list[str]]:
    """A row per network and link: time of an exchange, and the largest numbers of processes for each efficiency."""
    rows = []
    for step in steps:
        for link in links:
            strong, weak = (
                [
                    most_processes(lambda n, f=efficiency, s=step, k=link: f(s, n, k), least, limit)  # type: ignore[misc]
                    for least in EFFICIENCIES
                ]
                for efficiency, limit in ((strong_efficiency, step.batch), (weak_efficiency, LARGEST))
            )
            times = [milliseconds(exchange_s(count, step.gradient_bytes, link)) for count in (2, 8)]
            numbers = [f"{number:,}" if number < LARGEST else "more than 1,000,000" for number in (*strong, *weak)]
            rows.append([step.name, link.name, *times, *numbers])
    return rows


def step_rows(steps: Sequence[Step]) -> list[list[str]]:
    """A row per network: its step, its gradient, and the bytes of samples that it reads."""
    return [
        [
            step.name, f"{step.batch}", milliseconds(step.compute_s(step.batch)), milliseconds(step.fixed_s),
            f"{step.gradient_bytes / 1e6:.3g} MB", f"{step.batch / step.compute_s(step.batch):,.0f}",
            f"{step.batch / step.compute_s(step.batch) * step.sample_bytes / 1e6:,.1f} MB/s",
        ]
        for step in steps
    ]  # fmt: skip


def milliseconds(seconds: float) -> str:
    """A duration with two digits, or whole where it is long."""
    value = 1e3 * seconds
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.2g} ms"


def gpu_steps() -> list[Step]:
    """Steps of a GPU, calculated and not measured."""
    return [
        Step(name, batch, 0.0, GPU.step_s(macs, 1), 4 * parameters, 3 * 224 * 224)
        for name, (parameters, macs, batch) in GPU_NETWORKS.items()
    ]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows))


STEP_COLUMNS = ("network", "batch", "step", "of it fixed", "gradient", "samples/s", "samples read")
SCALING_COLUMNS = (
    "network", "link", "exchange of 2", "of 8", "same batch: 0.9 up to", "0.5 up to", "larger batch: 0.9 up to",
    "0.5 up to",
)  # fmt: skip


def main() -> None:
    """Measure the steps, or read them, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=Path, help="read the steps from this file of --out instead of measuring them")
    parser.add_argument("--only", choices=RUNS, action="append", help="one kind of network")
    parser.add_argument("--out", type=Path, help="write the measured steps here, as JSON")
    options = parser.parse_args()
    if options.times:
        steps = [Step(**stored) for stored in json.loads(options.times.read_text())["steps"]]
    else:
        steps = [measured(name) for name in options.only or RUNS]
    if options.out:
        document = {"processor": processor(), "steps": [asdict(step) for step in steps]}
        options.out.write_text(json.dumps(document, indent=2) + "\n")
    print(f"One thread of {processor()}, measured:\n\n{markdown(STEP_COLUMNS, step_rows(steps))}\n")
    print(markdown(SCALING_COLUMNS, scaling_rows(steps, LINKS[:2])))
    print(f"\n{GPU.name}, calculated from its peak and an assumed utilization of {GPU.utilization:.0%}:\n")
    print(markdown(STEP_COLUMNS, step_rows(gpu_steps())) + "\n")
    print(markdown(SCALING_COLUMNS, scaling_rows(gpu_steps(), LINKS)))


if __name__ == "__main__":
    main()
