"""Gradient-boosted decision trees as a network, so that they are stored, exported and run as any other."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dlnotes_cli.networks.choices import MAX_UNITS

_MOST_NODES = 1 << 26
_MOST_VALUES = 1 << 20  # of all trees, that are computed together


@dataclass(frozen=True)
class BoostedConfig:
    """The sizes of boosted trees, from which a network for their nodes can be built."""

    inputs: int  # values of a sample
    classes: int
    trees: int  # in all rounds; each round has one tree for two classes, else one for each class
    nodes: int  # of all trees
    depth: int  # of the deepest tree

    def __post_init__(self) -> None:
        """Validate the values, which may come from a file. Raises ValueError."""
        if not 1 <= self.inputs <= MAX_UNITS or not 2 <= self.classes <= MAX_UNITS:  # noqa: PLR2004  # classes
            raise ValueError("inputs or classes")
        if not 1 <= self.trees <= self.nodes <= _MOST_NODES or not 0 <= self.depth < self.nodes:
            raise ValueError("trees, nodes or depth")
        if self.trees % self.outputs:
            raise ValueError("trees of a round")

    @property
    def outputs(self) -> int:
        """The scores that the trees add up to: the log-odds of the second of two classes, else one for each class."""
        return 1 if self.classes == 2 else self.classes  # noqa: PLR2004

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether the trees read samples of this shape."""
        return math.prod(shape) == self.inputs


class BoostedTrees(nn.Module):
    """Trees from samples (N, ...) of `inputs` values to logits (N, classes).

    Node i sends a sample to `left[i]` if its value `feature[i]` is at most `threshold[i]`, else to `right[i]`; a leaf
    sends it to itself, and adds `value[i]` to the score of its tree. The trees of a round stand next to each other.
    """

    root: Tensor
    feature: Tensor
    left: Tensor
    right: Tensor
    threshold: nn.Parameter
    value: nn.Parameter
    baseline: nn.Parameter

    def __init__(self, config: BoostedConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("root", torch.zeros(config.trees, dtype=torch.int64))
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(config.nodes, dtype=torch.int64))
        for name, size in (("threshold", config.nodes), ("value", config.nodes), ("baseline", config.outputs)):
            self.register_parameter(name, nn.Parameter(torch.zeros(size), requires_grad=False))

    def forward(self, samples: Tensor) -> Tensor:
        """Logits (N, classes) of samples (N, ...)."""
        x = samples.flatten(1)
        if torch.compiler.is_compiling():  # as for export
            return self._logits(x)
        return torch.cat([self._logits(part) for part in x.split(max(1, _MOST_VALUES // self.config.trees))])

    def _logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of samples (N, inputs); an index of a damaged file leads to some other node."""
        config, last = self.config, self.config.nodes - 1
        feature = self.feature.clamp(0, config.inputs - 1)
        left, right = self.left.clamp(0, last), self.right.clamp(0, last)
        node = self.root.clamp(0, last).expand(x.shape[0], config.trees)
        for _ in range(config.depth):
            goes_left = x.gather(1, feature[node]) <= self.threshold[node]
            node = torch.where(goes_left, left[node], right[node])
        scores = self.value[node].unflatten(1, (config.trees // config.outputs, config.outputs)).sum(1) + self.baseline
        return scores if config.outputs > 1 else torch.cat([torch.zeros_like(scores), scores], 1)
