"""`doctor --time`: how long a backbone takes for a batch of images on each device of this machine."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlnotes_cli.device import choose_device, each_device, synchronize
from dlnotes_cli.manage.options import DoctorConfig
from dlnotes_cli.networks.backbones import (
    BackboneConfig,
    TransferModel,
    build_backbone,
    load_backbone,
    published_weights,
)
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.foreign_weights import read_weights
from dlnotes_cli.training.pretrained import is_downloaded, local_file

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
class _Measured:
    """Seconds for a batch, the images of a run, and the number of runs."""

    seconds: float
    images: int
    runs: int


def time_backbone(config: DoctorConfig) -> BackboneTiming:
    """Time `config.time` on every device: medians of a few batches, within the limit for each device.

    Weights on this machine are used, and random ones otherwise: the time is the same. Raises InputError for images
    that the backbone cannot read, and UnfinishedError if memory is not sufficient.
    """
    backbone, size = str(config.time), config.size or config.default_size
    network, weights = _network(backbone, size)
    torch.set_num_threads(default_threads())
    names = each_device()
    devices = []
    for i, name in enumerate(names):
        output.detail("timing", f"{backbone} on {name}, device {i + 1} of {len(names)}")
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
    if is_downloaded(published) and not load_backbone(network, backbone, read_weights(local_file(published))):
        return network, published.name
    return network, "random"


def _time_device(network: TransferModel, name: str, config: DoctorConfig, size: int) -> DeviceTiming:
    device = choose_device(name)
    limit = (config.time_budget or config.default_time_budget) / 2
    network.to(device)
    images = torch.rand(config.batch_size, 3, size, size, device=device)
    try:
        inference = _measure(lambda count: _infer(network, images[:count]), config.batch_size, limit, device)
        head = _measure(_head_step(network, images), config.batch_size, limit, device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        what = f"{config.batch_size} images of {size}x{size} do not fit into the memory of {name}"
        raise UnfinishedError("--batch-size", what, "use a smaller one") from error
    finally:
        network.to("cpu")
    return DeviceTiming(
        device=name, inference_s=inference.seconds, head_s=head.seconds,
        images_per_s=config.batch_size / inference.seconds, images=min(inference.images, head.images),
        runs=inference.runs, estimated=min(inference.images, head.images) < config.batch_size,
    )  # fmt: skip


@torch.no_grad()
def _infer(network: nn.Module, images: Tensor) -> None:
    network(images)


def _head_step(network: TransferModel, images: Tensor) -> Callable[[int], None]:
    """A training step as in the course's notebook: features of the frozen backbone, then the head learns."""
    optimizer = torch.optim.Adam(network.head.parameters(), lr=_LEARNING_RATE)
    labels = torch.arange(len(images), device=images.device) % _CLASSES

    def step(count: int) -> None:
        with torch.no_grad():
            features = network.features(images[:count])
        loss = nn.functional.cross_entropy(network.head(features), labels[:count])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _measure(run: Callable[[int], None], batch_size: int, limit_s: float, device: torch.device) -> _Measured:
    """The median time of runs of a batch within the limit; of fewer images, extrapolated, where one would exceed it."""
    started = time.perf_counter()

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
    seconds = list(_until(started + limit_s, lambda: timed(count)))
    return _Measured(statistics.median(seconds) * batch_size / count, count, len(seconds))


def _until(end: float, measured: Callable[[], float]) -> Iterator[float]:
    """Yield measurements: one at least, then as many as fit before `end`, but not more than enough."""
    longest = 0.0
    for done in range(_MOST_RUNS):
        if done and time.perf_counter() + longest > end:
            return
        seconds = measured()
        longest = max(longest, seconds)
        yield seconds
