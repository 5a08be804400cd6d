"""CIFAR-10 to 94 % in seconds on one GPU: the recipe of Jordan 2024 (arXiv:2404.00498), in plain PyTorch.

A small network of three blocks behind a fixed whitening layer, Nesterov SGD with decoupled hyperparameters, a moving
average of the weights that is written back every five steps, alternating flips, and test-time augmentation.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.images.transforms import crops, reflected
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.cnn import whiten

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10
_WHITENED = 24  # filters of the first layer: 12 directions of patches of 2 x 2 x 3, and their negatives
_WHITENING_SAMPLES = 5000
_TEST_BATCH = 2000


class Images(NamedTuple):
    """Images uint8 (N, 3, H, W) and labels int64 (N,), on the device."""

    samples: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SpeedRecipe:
    """The hyperparameters of the paper; rates are per step of a mean loss, at a batch size of 1024."""

    epochs: float = 9.9
    batch_size: int = 1024
    lr: float = 1.5  # 11.5 per 1024 samples, divided by 1 + 1 / (1 - momentum)
    momentum: float = 0.85
    decay: float = 0.0153 / (1 + 1 / (1 - 0.85))  # of a weight in each step at the peak learning rate
    bias_factor: float = 64.0  # on the learning rate of the biases of batch normalization
    label_smoothing: float = 0.2
    shift: int = 2  # pixels
    whitening_bias_epochs: int = 3
    average_every: int = 5  # steps
    average_decay: float = 0.95  # per step, at the end
    widths: tuple[int, int, int] = (64, 256, 256)


class Block(nn.Sequential):
    """Two convolutions of 3 x 3, pooled after the first, with batch normalization that has biases only."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for i, width in enumerate((inputs, outputs)):
            convolution = nn.Conv2d(width, outputs, 3, padding=1, bias=False)
            nn.init.dirac_(convolution.weight[:width])  # the identity, as far as there are inputs
            norm = nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4)
            norm.weight.requires_grad_(False)
            layers += [convolution, *([nn.MaxPool2d(2)] if i == 0 else []), norm, nn.GELU()]
        super().__init__(*layers)


class Network(nn.Module):
    """Whitening layer, three blocks, and a linear layer on the maxima of the last maps."""

    def __init__(self, recipe: SpeedRecipe, normalized: Tensor, classes: int) -> None:
        super().__init__()
        self.whitening = nn.Conv2d(3, _WHITENED, 2)
        nn.init.zeros_(self.whitening.weight)
        if self.whitening.bias is not None:
            nn.init.zeros_(self.whitening.bias)
        whiten(self.whitening, normalized)
        self.whitening.weight.requires_grad_(False)
        widths = (_WHITENED, *recipe.widths)
        with torch.no_grad():
            self.blocks = nn.Sequential(*(Block(*pair) for pair in pairwise(widths)))
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalized images (N, 3, 32, 32)."""
        maps = self.blocks(F.gelu(self.whitening(x.contiguous(memory_format=torch.channels_last))))
        logits: Tensor = self.head(maps.amax((2, 3))) / 9
        return logits


class WeightAverage:
    """A moving average of all weights and statistics, which replaces them each time it is updated."""

    def __init__(self, network: nn.Module) -> None:
        self._own = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        self._average = [tensor.clone() for tensor in self._own]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Average, and write the average back; with a decay of 1 only the latter."""
        torch._foreach_lerp_(self._average, self._own, 1 - decay)
        torch._foreach_copy_(self._own, self._average)


def train_fast(train: Images, recipe: SpeedRecipe, runtime: Runtime, seed: int, classes: int = 10) -> nn.Module:
    """Train a network from random weights."""
    torch.manual_seed(seed)
    device, count = runtime.device, len(train.labels)
    batch_size = min(recipe.batch_size, count)
    normalizer = normalizer_on(device)
    network = Network(recipe, normalizer(train.samples[:_WHITENING_SAMPLES]).cpu(), classes)
    network = network.to(device).train()
    is_scaled = runtime.precision == "fp16"
    optimizer = _optimizer(network, recipe, fused=not is_scaled)
    scaler = torch.amp.GradScaler(device.type, enabled=is_scaled)
    average = WeightAverage(network)
    steps_per_epoch = count // batch_size
    total = max(1, math.ceil(recipe.epochs * steps_per_epoch))
    flipped_first = torch.rand(count, device=device) < 0.5
    order = torch.arange(count, device=device)
    for step in range(total):
        epoch, index = divmod(step, steps_per_epoch)
        if index == 0:
            order = torch.randperm(count, device=device)
            if network.whitening.bias is not None and epoch == recipe.whitening_bias_epochs:
                network.whitening.bias.requires_grad_(False)
        rows = order[index * batch_size : (index + 1) * batch_size]
        x = normalizer(_augmented(train.samples.index_select(0, rows), flipped_first[rows], epoch, recipe.shift))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _factor(step / total)
        with runtime.autocast():
            logits = network(x)
        loss = F.cross_entropy(
            logits.float(), train.labels.index_select(0, rows), label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if (step + 1) % recipe.average_every == 0:
            average.update(recipe.average_decay**recipe.average_every * ((step + 1) / total) ** 3)
    average.update(1.0)
    return network


@torch.no_grad()
def accuracy_of(network: nn.Module, test: Images, runtime: Runtime) -> float:
    """Accuracy with test-time augmentation: the image and two shifts by a pixel, each also flipped."""
    network.eval()
    normalizer = normalizer_on(runtime.device)
    correct = torch.zeros((), dtype=torch.int64, device=runtime.device)
    for samples, labels in zip(test.samples.split(_TEST_BATCH), test.labels.split(_TEST_BATCH), strict=True):
        height, width = samples.shape[2:]
        padded = reflected(samples, 1)
        views = [samples, padded[..., :height, :width], padded[..., 2:, 2:]]
        with runtime.autocast():
            logits = [network(normalizer(view)) + network(normalizer(view.flip(3))) for view in views]
        scores = 2 * logits[0] + logits[1] + logits[2]
        correct += (scores.argmax(1) == labels).sum()
    return float(correct) / len(test.labels)


def normalizer_on(device: torch.device) -> Normalizer:
    """Normalizes pixels 0..255 to mean 0 and standard deviation 1 in each channel of CIFAR-10."""
    return Normalizer(ImagePreprocessing(3, 32, 32, "crop", MEAN, STD), device)


def _augmented(samples: Tensor, flipped_first: Tensor, epoch: int, shift: int) -> Tensor:
    """Flip each image in every other epoch, at random in the first one, and shift it."""
    is_flipped = flipped_first if epoch % 2 == 0 else ~flipped_first
    samples = torch.where(is_flipped.view(-1, 1, 1, 1), samples.flip(3), samples)
    down, right = torch.randint(0, 2 * shift + 1, (2, len(samples)), device=samples.device)
    return crops(reflected(samples, shift), down, right, (samples.shape[2], samples.shape[3]))


def _optimizer(network: Network, recipe: SpeedRecipe, *, fused: bool) -> torch.optim.SGD:
    """Nesterov SGD; `decay` is what a weight loses in a step, whatever its learning rate.

    The fused kernel leaves the momentum undefined where a scaled first step overflows.
    """
    biases = [m.bias for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    known = {id(bias) for bias in biases}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": parameters, "lr": peak, "peak": peak, "weight_decay": recipe.decay / peak}
        for parameters, peak in ((others, recipe.lr), (biases, recipe.lr * recipe.bias_factor))
    ]
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=True, fused=fused)


def _factor(done: float) -> float:
    """The triangular schedule: from 0.2 to 1 within 23 % of the steps, then to 0.07."""
    rise = 0.23
    return 0.2 + 0.8 * done / rise if done < rise else 1 + (0.07 - 1) * (done - rise) / (1 - rise)
