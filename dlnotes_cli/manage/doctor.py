"""Report what this machine has, and with `--time` how long a backbone takes on each of its devices."""

import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli import __version__
from dlnotes_cli.data.named_sets import list_named
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.device import (
    GpuReport,
    Hardware,
    choose_device,
    describe_hardware,
    each_device,
    report_gpu,
    synchronize,
)
from dlnotes_cli.manage.options import DoctorConfig
from dlnotes_cli.networks.backbones import (
    BackboneConfig,
    TransferModel,
    build_backbone,
    load_backbone,
    published_weights,
)
from dlnotes_cli.shell import output
from dlnotes_cli.shell.codec import INLINE, to_json
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.foreign_weights import read_weights
from dlnotes_cli.training.pretrained import is_downloaded, local_file

_PACKAGES = (
    "torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "matplotlib", "pandas", "typer", "rich",
    "onnx", "onnxscript", "onnxruntime",
)  # fmt: skip
_HEAD = (500,)  # hidden units of the course's head
_CLASSES = 2
_MOST_RUNS = 10
_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class DeviceTiming:
    """Seconds for a batch on one device; `estimated` from fewer `images` where a batch would exceed the limit."""

    device: str
    inference_s: float
    head_s: float  # a training step of a new head on the frozen backbone
    images_per_s: float  # of inference
    images: int  # that were measured at a time
    runs: int  # of inference
    estimated: bool


@dataclass(frozen=True)
class BackboneTiming:
    """The time that a backbone takes, in fp32."""

    backbone: str
    weights: str  # name of the weights on this machine, or "random"
    batch_size: int
    size: int  # pixels per side
    threads: int  # on the CPU
    devices: tuple[DeviceTiming, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for each device, and what was timed."""
        columns = ("device", "predicting (s)", "training a head (s)", "images/s", "measured")
        rows = []
        for one in self.devices:
            about = "about " if one.estimated else ""
            seconds = (f"{about}{one.inference_s:.4g}", f"{about}{one.head_s:.4g}")
            rows.append((one.device, *seconds, f"{one.images_per_s:,.1f}", f"{one.runs} x {one.images}"))
        yield Table(columns, rows, numeric=columns[1:], is_result=True)
        what = f"{self.backbone}, {self.batch_size} images of {self.size}x{self.size}, fp32, {self.weights} weights"
        yield f"{what}; the CPU with {output.counted(self.threads, 'thread')}"

    @property
    def notes(self) -> Iterator[str]:
        """What a reader may not expect."""
        if any(one.estimated for one in self.devices):
            yield "about: extrapolated from fewer images, as a batch would exceed --time-budget"
        if self.weights == "random":
            yield "the weights are random, since none are on this machine; the time is the same"


@dataclass(frozen=True)
class CacheLocation:
    """The cache folder, and whether it exists."""

    path: str
    exists: bool


@dataclass(frozen=True)
class DoctorReport:
    """What a bug report should contain."""

    dlnotes: str  # version
    python: str  # version
    system: str
    packages: dict[str, str | None]  # versions; None if not installed
    hardware: Hardware = field(metadata=INLINE)
    gpu: GpuReport
    cache: CacheLocation
    data_sets: dict[str, str | None]  # where each named set was found; None if it would have to be downloaded
    timing: BackboneTiming | None = None  # of `--time`

    def table(self) -> Iterator[Table | str]:
        """A row for each field, or the timing."""
        if self.timing is not None:
            yield from self.timing.table()
            return
        fields = to_json(self) | {"gpu": str(self.gpu)}
        del fields["timing"]
        rows = [(name.replace("_", " "), _as_text(value)) for name, value in fields.items()]
        yield Table(("what", "found"), rows, is_result=True)

    @property
    def notes(self) -> Iterable[str]:
        """What a reader of the timing may not expect."""
        return () if self.timing is None else self.timing.notes


def examine(config: DoctorConfig, root: Path = Path("/")) -> DoctorReport:
    """Examine this machine; `root` is the file system in which GPU drivers are detected."""
    cache, packages = cache_folder(), dict[str, str | None].fromkeys(_PACKAGES)
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return DoctorReport(
        __version__, platform.python_version(), platform.platform(), packages, describe_hardware(), report_gpu(root),
        CacheLocation(str(cache), cache.is_dir()), {one.name: one.found for one in list_named(config.data_root)},
        None if config.time is None else _time_backbone(config, config.time),
    )  # fmt: skip


def _as_text(value: object) -> str:
    """A value of a JSON document for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "missing" if value is None else str(value)


def _time_backbone(config: DoctorConfig, backbone: str) -> BackboneTiming:
    """Time a backbone on every device: medians of a few batches, within the limit for each device.

    Weights on this machine are used, and random ones otherwise: the time is the same. Raises InputError for images
    that the backbone cannot read, and UnfinishedError if memory is not sufficient.
    """
    size = config.size or config.default_size
    network, weights = _network(backbone, size)
    torch.set_num_threads(default_threads())
    names, devices = each_device(), []
    for i, name in enumerate(names, 1):
        output.detail("timing", f"{backbone} on {name}, device {i} of {len(names)}")
        devices.append(_time_device(network, name, config, size))
    return BackboneTiming(backbone, weights, config.batch_size, size, torch.get_num_threads(), tuple(devices))


def _network(backbone: str, size: int) -> tuple[TransferModel, str]:
    """The backbone with a head of the course's size, and the name of its weights."""
    try:
        network = build_backbone(BackboneConfig(backbone, _CLASSES, size, _HEAD)).eval()
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size))
    except (RuntimeError, ValueError, AssertionError) as error:
        first = str(error).partition("\n")[0]
        raise InputError("--size", f"{backbone} cannot read {size}x{size} pixels ({first})", "use 224") from error
    network.backbone.requires_grad_(requires_grad=False)
    published = published_weights(backbone)[0]
    if not is_downloaded(published):
        return network, "random"
    path = local_file(published)
    load_backbone(network, backbone, read_weights(path), path)
    return network, published.name


def _time_device(network: TransferModel, name: str, config: DoctorConfig, size: int) -> DeviceTiming:
    """Measure inference and a training step as in the course's notebook: the head learns on the frozen backbone."""
    device, limit = choose_device(name), (config.time_budget or config.default_time_budget) / 2
    network.to(device)
    images = torch.rand(config.batch_size, 3, size, size, device=device)
    labels = torch.arange(config.batch_size, device=device) % _CLASSES
    optimizer = torch.optim.Adam(network.head.parameters(), lr=_LEARNING_RATE)

    def step(count: int) -> None:
        with torch.no_grad():
            features = network.features(images[:count])
        optimizer.zero_grad()
        nn.functional.cross_entropy(network.head(features), labels[:count]).backward()
        optimizer.step()

    try:
        inference = _measure(lambda count: _infer(network, images[:count]), config.batch_size, limit, device)
        head = _measure(step, config.batch_size, limit, device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        what = f"{config.batch_size} images of {size}x{size} do not fit into the memory of {name}"
        raise UnfinishedError("--batch-size", what, "use a smaller one") from error
    finally:
        network.to("cpu")
    measured = min(inference.images, head.images)
    return DeviceTiming(
        name, inference.seconds, head.seconds, config.batch_size / inference.seconds, measured, inference.runs,
        estimated=measured < config.batch_size,
    )  # fmt: skip


@torch.no_grad()
def _infer(network: nn.Module, images: Tensor) -> None:
    network(images)


class _Measured(NamedTuple):
    """Seconds for a batch, the images of a run, and the number of runs."""

    seconds: float
    images: int
    runs: int


def _measure(run: Callable[[int], None], batch_size: int, limit_s: float, device: torch.device) -> _Measured:
    """The median time of runs of a batch within the limit; of fewer images, extrapolated, where one would exceed it."""
    end = time.perf_counter() + limit_s

    def timed(count: int) -> float:
        synchronize(device)
        before = time.perf_counter()
        run(count)
        synchronize(device)
        return time.perf_counter() - before

    timed(1)  # the first run also allocates memory and chooses algorithms
    count = max(1, min(batch_size, int(limit_s / 2 / max(timed(1), 1e-9))))
    if device.type != "cpu":
        timed(count)
    seconds = [timed(count)]
    while len(seconds) < _MOST_RUNS and time.perf_counter() + max(seconds) <= end:
        seconds.append(timed(count))
    return _Measured(statistics.median(seconds) * batch_size / count, count, len(seconds))
