"""What `train-cnn --arch large` can afford in a time budget: a few steps on this machine decide.

The rules were chosen by the accuracy on CIFAR-10 after one to twenty minutes on two cores with and without AMX.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.device import Runtime, synchronize
from dlnotes_cli.training.schedule import EARLY_FRACTION

WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)  # 16 channels and multiples of it in the first stage
EARLY_SIZE = 0.625
USABLE = 0.9  # of the time budget; the rest is for validations
MEASURING = 0.1  # of the time budget, after which no further network is measured
_EPOCHS = 10.0  # that a network needs for each unit of its width, less two
_FEW_EPOCHS = 10.0  # below which smaller images are worth their time
_STEPS = 4  # that are measured; the first one is not counted


class Affordable(NamedTuple):
    """Settings for a time budget, and what they were chosen by."""

    width: float
    early_size: float  # side of the images in the first steps, as a fraction
    precision: str
    epochs: float  # that fit into the budget


def choose(
    step_s: Callable[[float, float, str], float],
    epochs_of: Callable[[float], float],
    precisions: tuple[str, ...],
    early_size: float,
    may_measure: Callable[[], bool] = lambda: True,
) -> Affordable:
    """The widest network whose epochs suffice for its width, in the faster precision.

    `step_s` measures the seconds of a step for a width, a fraction of the side of the images, and a precision;
    infinite where it is impossible. `epochs_of` tells how many epochs the budget has for steps of so many seconds.
    Images of `early_size` are used where few epochs fit into the budget. No wider network is measured once
    `may_measure` is False.
    """
    step_s = cache(step_s)
    precision = min(precisions, key=lambda each: step_s(WIDTHS[1], 1.0, each)) if len(precisions) > 1 else precisions[0]
    best: Affordable | None = None
    for width in WIDTHS:
        if best is not None and not may_measure():
            break
        whole_s = step_s(width, 1.0, precision)
        found = Affordable(width, 1.0, precision, epochs_of(whole_s))
        if early_size < 1 and found.epochs < _FEW_EPOCHS:
            early_s = step_s(width, early_size, precision)
            if early_s < whole_s:
                found = Affordable(
                    width, early_size, precision, epochs_of(EARLY_FRACTION * early_s + (1 - EARLY_FRACTION) * whole_s)
                )
        if best is not None and found.epochs < _EPOCHS * width - 2:
            break
        best = found
    return best or found


def measure_step_s(network: nn.Module, samples: Tensor, runtime: Runtime) -> float:
    """The seconds of a training step on normalized samples (N, C, H, W): the fastest after a first one."""
    network = network.to(runtime.device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, nesterov=True, fused=True)
    labels = torch.zeros(len(samples), dtype=torch.int64, device=runtime.device)
    times = []
    for _ in range(_STEPS):
        started = time.monotonic()
        with runtime.autocast():
            logits = network(samples)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        synchronize(runtime.device)
        times.append(time.monotonic() - started)
    return min(times[1:])


def resized(samples: Tensor, fraction: float) -> Tensor:
    """Images (N, C, H, W) with a fraction of their sides, as float32; bilinear."""
    height, width = samples.shape[2:]
    size = (max(1, round(fraction * height)), max(1, round(fraction * width)))
    return F.interpolate(samples.float(), size=size, mode="bilinear", align_corners=False)
