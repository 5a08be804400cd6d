"""Is a map to be believed? Deletion and insertion compared with random maps, and the map of random weights."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.explain.attribution import batch_size
from dlnotes_cli.explain.heat import Floats, resized
from dlnotes_cli.inference.inspected_network import InspectedNetwork
from dlnotes_cli.shell.codec import HIDDEN, INLINE, in_json

_STEPS = 20  # of a curve
_RANDOM_MAPS = 8
_BLUR = 3  # averages on a side of the blurred image, from which insertion starts
_MARGIN = 0.01  # of the areas, by which a map must be better than every random one
_SMALL = 0.05  # probability below which a class is hardly considered
_SAME = 0.5  # rank correlation from which two maps count as alike


@dataclass(frozen=True)
class Curves:
    """The probability of a class while pixels are deleted or inserted, highest values of a map first."""

    deletion_curve: tuple[float, ...]  # at 0, 5, ... 100 % of the pixels
    insertion_curve: tuple[float, ...]

    @property
    @in_json
    def deletion(self) -> float:
        """The area below the curve of deletion: the lower, the more the deleted pixels matter."""
        return _area(self.deletion_curve)

    @property
    @in_json
    def insertion(self) -> float:
        """The area below the curve of insertion: the higher, the more the inserted pixels matter."""
        return _area(self.insertion_curve)


@dataclass(frozen=True)
class MapCheck:
    """What the tests of a map measured."""

    curves: Curves = field(metadata=INLINE)
    random: tuple[Curves, ...] = field(metadata=HIDDEN)  # of maps with the same values at random places
    rank_correlation: float  # with the map of re-initialized weights; nan if that map is constant

    @property
    @in_json
    def random_deletion(self) -> float:
        """The mean area of the random maps."""
        return float(np.mean([curves.deletion for curves in self.random]))

    @property
    @in_json
    def random_insertion(self) -> float:
        """The mean area of the random maps."""
        return float(np.mean([curves.insertion for curves in self.random]))

    @property
    def finds_pixels(self) -> bool:
        """Whether insertion minus deletion is clearly larger than for each random map."""
        gains = [curves.insertion - curves.deletion for curves in (self.curves, *self.random)]
        return gains[0] > max(gains[1:]) + _MARGIN

    @property
    def depends_on_weights(self) -> bool:
        """Whether re-initialized weights give another map."""
        return not abs(self.rank_correlation) >= _SAME  # nan: no map is left

    @property
    @in_json
    def verdict(self) -> str:
        """What the measurements mean."""
        if max(self.curves.deletion_curve + self.curves.insertion_curve) < _SMALL:
            return "undecided: the network hardly considers this class, so that there is no probability to delete"
        if self.finds_pixels and self.depends_on_weights:
            return "credible: the network uses these pixels, and the map depends on what it learned"
        if self.finds_pixels:
            return "doubtful: re-initialized weights give a similar map, so that it shows the image, not the network"
        if self.depends_on_weights:
            return "doubtful: these pixels matter no more to the network than random ones"
        return "not credible: the pixels matter no more than random ones, and re-initialized weights give a similar map"

    def __str__(self) -> str:
        deletion = f"deletion {self.curves.deletion:.3f}, random {self.random_deletion:.3f}"
        insertion = f"insertion {self.curves.insertion:.3f}, random {self.random_insertion:.3f}"
        rank = self.rank_correlation
        randomized = "no map of re-initialized weights"
        if not math.isnan(rank):
            randomized = f"rank correlation with the map of re-initialized weights {rank:.2f}"
        return f"{self.verdict} ({deletion}; {insertion}; {randomized})"


def check_map(
    network: InspectedNetwork, image: Tensor, class_index: int, values: Tensor, randomized: Tensor, seed: int
) -> MapCheck:
    """The tests of a map (h, w) of an image (C, H, W); `randomized` is the map of re-initialized weights.

    The random maps have the map's own values at random places, and so its resolution.
    """
    generator = torch.Generator().manual_seed(seed)
    maps = [values.cpu()]
    for _ in range(_RANDOM_MAPS):
        places = torch.randperm(values.numel(), generator=generator)
        maps.append(values.cpu().flatten()[places].reshape(values.shape))
    own, *random = curves(network, image, class_index, maps)
    return MapCheck(own, tuple(random), rank_correlation(values.cpu().numpy(), randomized.cpu().numpy()))


@torch.no_grad()
def curves(network: InspectedNetwork, image: Tensor, class_index: int, maps: Sequence[Tensor]) -> list[Curves]:
    """Deletion and insertion (Petsiuk et al. 2018, arXiv:1806.07421) in the order of each map (h, w).

    Deleted pixels become the mean color of the training images; inserted ones replace those of a blurred image. On a
    CPU each curve has a thread of its own: none waits for another within a layer, which is slow where other programs
    use the cores.
    """
    size, mean = (image.shape[1], image.shape[2]), torch.zeros_like(image)
    blurred = F.interpolate(F.adaptive_avg_pool2d(image[None], _BLUR), size, mode="bilinear")[0]
    at_mean, whole, at_blurred = _probabilities(network, torch.stack([mean, image, blurred]), class_index)
    kinds = [(mean, image, whole, at_mean), (image, blurred, at_blurred, whole)]  # chosen and other pixels, and ends

    @torch.no_grad()
    def curve(values: Tensor, kind: tuple[Tensor, Tensor, float, float]) -> tuple[float, ...]:
        inside, outside, first, last = kind
        rank = resized(values, size).flatten().argsort(descending=True, stable=True).argsort()
        counts = torch.linspace(0, len(rank), _STEPS + 1).round()[1:-1]
        chosen = (rank.view(1, 1, *size) < counts.view(-1, 1, 1, 1)).to(image.device)
        return (first, *_probabilities(network, torch.where(chosen, inside, outside), class_index), last)

    before = torch.get_num_threads()
    threads = network.runtime.threads if image.device.type == "cpu" else 1
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = [*pool.map(lambda job: curve(*job), product(maps, kinds))]
    torch.set_num_threads(before)  # of threads that start later, too
    return [Curves(*pair) for pair in zip(found[::2], found[1::2], strict=True)]


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation of two maps; equal values share their mean rank. nan if one map is constant."""
    from scipy.stats import spearmanr

    is_constant = one.min() == one.max() or other.min() == other.max()
    return math.nan if is_constant else float(spearmanr(one.ravel(), other.ravel()).statistic)


@contextmanager
def reinitialized(network: nn.Module, seed: int) -> Iterator[None]:
    """Draw the weights of a network again while the block runs, then restore them (Adebayo et al. 2018).

    arXiv:1810.03292. Each tensor is drawn from a normal distribution with its own mean and standard deviation, so that
    activations keep their scale.
    """
    generator = torch.Generator().manual_seed(seed)
    kept = [parameter.detach().clone() for parameter in network.parameters()]
    try:
        with torch.no_grad():
            for parameter in network.parameters():
                drawn = torch.randn(parameter.shape, generator=generator).to(parameter.device)
                parameter.copy_(drawn * parameter.std(correction=0) + parameter.mean())
        yield
    finally:
        with torch.no_grad():
            for parameter, values in zip(network.parameters(), kept, strict=True):
                parameter.copy_(values)


def _probabilities(network: InspectedNetwork, images: Tensor, class_index: int) -> tuple[float, ...]:
    parts = [network(part).softmax(1)[:, class_index] for part in images.split(batch_size(images))]
    return tuple(torch.cat(parts).tolist())


def _area(curve: tuple[float, ...]) -> float:
    """The area below equally spaced points, by the trapezoidal rule; a constant 1 has area 1."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))
