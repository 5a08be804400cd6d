"""How similar an input is to the training samples, by the features in front of the output layer.

It is the cosine similarity to the fifth nearest of some training samples, as in Sun et al. 2022 (arXiv:2204.06507).
"""

from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from threading import get_ident
from typing import NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.training.metrics import inference_batch_size
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

Answer = TypeVar("Answer")

_FEATURES, _USUAL = "similarity.features", "similarity.usual"  # in a model file
_NEIGHBOR = 5
_MOST_SAMPLES = 1000
_MOST_VALUES = 1 << 26  # of all these samples
_FEWEST = 20  # samples in each split, for 1% of them to mean something
_UNUSUAL = 0.01  # of the validation samples are less similar than usual


class Similarity(NamedTuple):
    """Features of training samples, and the similarity that 99% of the validation samples reach."""

    features: Tensor  # (n, D), of length 1
    usual: float

    def of(self, features: Tensor) -> Tensor:
        """The similarities (N,), from -1 to 1, of samples with these features (N, D)."""
        cosines = F.normalize(features.float()) @ self.features.float().to(features.device).T
        return cosines.topk(_NEIGHBOR).values[:, -1]


def output_layer(network: nn.Module) -> nn.Linear | None:
    """The last linear layer, whose inputs are the features; None without one."""
    return next((module for module in reversed([*network.modules()]) if isinstance(module, nn.Linear)), None)


@torch.no_grad()
def with_features(layer: nn.Module, compute: Callable[[], Answer]) -> tuple[Answer, Tensor]:
    """What `compute` returns, and the features (N, D) that the layer reads first meanwhile, in this thread."""
    found: list[Tensor] = []
    thread = get_ident()

    def keep(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if get_ident() == thread:
            found.append(inputs[0].float())

    with layer.register_forward_pre_hook(keep):
        outputs = compute()
    return outputs, found[0]


def store_similarity(path: Path, network: nn.Module, dataset: DataSet, compute: Callable[[Tensor], Tensor]) -> None:
    """Add the features of some training samples to a model file; nothing where there are too few samples.

    `compute` applies the network to samples (n, ...) of the data set on the CPU.
    """
    layer, size = output_layer(network), inference_batch_size(dataset.samples.shape[1:])
    most = min(_MOST_SAMPLES, _MOST_VALUES // prod(dataset.samples.shape[1:]))
    splits = dataset.splits["train"], dataset.splits["val"]
    if layer is None or min(*map(len, splits), most) < _FEWEST:
        return
    network.eval()
    generator, features = np.random.default_rng(0), []
    for indices in splits:
        chosen = generator.permutation(indices)[:most]
        parts = [torch.from_numpy(dataset.samples[chosen[i : i + size]]) for i in range(0, len(chosen), size)]
        features.append(F.normalize(torch.cat([with_features(layer, partial(compute, part))[1] for part in parts])))
    kept = features[0].half().cpu()
    usual = Similarity(kept, 0.0).of(features[1]).quantile(_UNUSUAL)
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors | {_FEATURES: kept, _USUAL: usual}, metadata)


def take_similarity(tensors: dict[str, Tensor]) -> Similarity | None:
    """Take the features out of the tensors of a model file; None where it has none. Raises ValueError."""
    features, usual = tensors.pop(_FEATURES, None), tensors.pop(_USUAL, None)
    if features is None or usual is None:
        return None
    if features.ndim != 2 or len(features) < _NEIGHBOR or usual.numel() != 1:  # noqa: PLR2004  # dimensions
        raise ValueError(_FEATURES)
    return Similarity(features, usual.item())
