"""The plan of a transfer: pretrained weights, their preprocessing, and the layers that are trained."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dlnotes_cli.data.dataset import DataSet, SplitRule
from dlnotes_cli.data.folder import DecodeSettings, FeatureExtractor
from dlnotes_cli.data.load import load_preprocessed
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.networks import backbones
from dlnotes_cli.networks.backbones import BackboneConfig, TransferModel, build_backbone, named_blocks
from dlnotes_cli.networks.registry import count_parameters
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.pretrained import PretrainedWeights, find_weights
from dlnotes_cli.training.results import ClassifierResult
from dlnotes_cli.training.task import Poll
from dlnotes_cli.transfer.options import FineTuneRecipe, FrozenRecipe, TransferConfig

_LAST_FACTOR, _FIRST_FACTOR = 0.1, 0.01  # on the learning rate, of the last and the first block
_FEW_SAMPLES = 5  # of a class: with fewer, results depend on chance


@dataclass(frozen=True)
class LayerSummary:
    """A block of the backbone, or the head."""

    name: str
    parameters: int
    trains: bool
    lr_factor: float | None  # None: frozen


@dataclass(frozen=True)
class TransferResult(ClassifierResult):
    """The result of fine-tuning a pretrained network."""

    backbone: str
    weights: str
    pretrained: bool
    fine_tune: str | None  # the value of `--fine-tune`
    layers: tuple[LayerSummary, ...]

    def table(self) -> Iterator[Table | str]:
        """A row for all frozen blocks, one for each layer that is trained, and what every classifier has."""
        how = "L-BFGS" if self.fine_tune is None else "{:g} x --lr"
        frozen = [layer.parameters for layer in self.layers if not layer.trains]
        rows = [(f"{len(frozen)} blocks, frozen", f"{sum(frozen):,}", "-")] if frozen else []
        rows += [(one.name, f"{one.parameters:,}", how.format(one.lr_factor)) for one in self.layers if one.trains]
        yield Table(("layer", "parameters", "learning rate"), rows, ("parameters", "learning rate"), is_result=True)
        yield from super().table()


@dataclass(frozen=True)
class TransferPlan:
    """Options, the weights of the backbone, and their preprocessing."""

    options: TransferConfig
    backbone: str  # its name in torchvision, or small, the bundled network
    weights: PretrainedWeights
    preprocessing: ImagePreprocessing
    split_rule: SplitRule

    def decode_settings(self, poll: Poll = lambda: None) -> DecodeSettings:
        """The settings for reading image files; `poll` is called between chunks."""
        options = self.options
        return DecodeSettings(
            options.threads or default_threads(), options.max_pixels, skip_bad=options.skip_bad, poll=poll
        )

    def network_config(self, classes: int) -> BackboneConfig:
        """The configuration of the network for a number of classes."""
        is_pretrained = self.weights.file is not None
        options = self.options
        return BackboneConfig(
            self.backbone, classes, self.preprocessing.height, options.hidden, is_pretrained, options.dropout or 0.0
        )

    def load_weights(self, network: TransferModel) -> None:
        """Load the pretrained weights, if there are any. Raises InputError if they do not fit the network."""
        if (tensors := self.weights.read()) is not None:
            backbones.load_backbone(network, self.backbone, tensors, self.weights.name)

    def build(self) -> TransferModel:
        """The network on the CPU with its pretrained backbone; its head, for one class, has undefined values."""
        seed_everything(self.options.seed)
        if self.weights.file is None:
            return build_backbone(self.network_config(1))
        with meta_device():
            network = build_backbone(self.network_config(1))
        self.load_weights(network)
        with torch.random.fork_rng(devices=[]):
            network.head = backbones.build_head(network.width, self.options.hidden, 1)
        return network

    def load(self, settings: DecodeSettings, extractor: FeatureExtractor | None = None) -> DataSet:
        """The data set as pixels or features, split; warns about classes with fewer than 5 samples in training."""
        dataset = load_preprocessed(self.options, self.preprocessing, self.split_rule, settings, extractor)
        labels = np.concatenate([dataset.labels[dataset.splits[split]] for split in ("train", "val")])
        counts = np.bincount(labels, minlength=len(dataset.classes))
        few = [f"{name} ({count})" for name, count in zip(dataset.classes, counts, strict=True) if count < _FEW_SAMPLES]
        if few:
            what = f"fewer than {_FEW_SAMPLES} images for training and validation: {', '.join(few)}"
            output.warn(f"{what}; add more images")
        return dataset

    def fields(self, network: TransferModel) -> dict[str, Any]:
        """The fields of a TransferResult that describe the backbone, its weights and its layers."""
        return {
            "backbone": self.backbone,
            "weights": self.weights.name,
            "pretrained": self.weights.file is not None,
            "fine_tune": self.options.fine_tune,
            "layers": tuple(self.layers(network)),
        }

    def layers(self, network: TransferModel) -> list[LayerSummary]:
        """Each block of the backbone, then the head, as `--fine-tune` trains them."""
        blocks = list(named_blocks(network.backbone))
        first = len(blocks) - self._trained_blocks(len(blocks))
        layers = [
            LayerSummary(name, count_parameters(block), i >= first, factor if i >= first else None)
            for i, ((name, block), factor) in enumerate(zip(blocks, _lr_factors(len(blocks)), strict=True))
        ]
        return [*layers, LayerSummary("head", count_parameters(network.head), trains=True, lr_factor=1.0)]

    def lr_factors(self, network: TransferModel) -> dict[str, float]:
        """Learning-rate factors of the backbone by parameter name; the head has none."""
        blocks = list(named_blocks(network.backbone))
        factors = {name: _FIRST_FACTOR for name, _ in network.named_parameters() if name.startswith("backbone.")}
        for (name, block), factor in zip(blocks, _lr_factors(len(blocks)), strict=True):
            factors |= {f"backbone.{name}.{inner}": factor for inner, _ in block.named_parameters()}
        return factors

    def unfreeze(self, network: TransferModel, epoch: int = 1, epochs: int | None = None) -> None:
        """Unfreeze the last blocks of the backbone that train in an epoch, counted from 1, and freeze the others.

        Over the first half of `epochs` their number grows evenly; with None all are unfrozen at once.
        """
        blocks = [block for _, block in named_blocks(network.backbone)]
        count = self._trained_blocks(len(blocks))
        if epochs is not None:
            count = min(count, math.ceil(count * epoch / max(1, epochs // 2)))
        network.backbone.requires_grad_(count >= len(blocks))
        for block in blocks[len(blocks) - count :]:
            block.requires_grad_(True)

    def _trained_blocks(self, available: int) -> int:
        """The number of blocks that `--fine-tune` trains: none without it, N (`last-N`), or all."""
        fine_tune = self.options.fine_tune or "last-0"
        return available if fine_tune == "all" else min(int(fine_tune.removeprefix("last-")), available)


def _lr_factors(count: int) -> list[float]:
    """The learning-rate factors of so many blocks: from the first to the last evenly spaced on a logarithmic scale."""
    return [round(float(factor), 4) for factor in np.geomspace(_LAST_FACTOR, _FIRST_FACTOR, count)[::-1]]


def make_plan(options: TransferConfig, recipe: FrozenRecipe | FineTuneRecipe) -> TransferPlan:
    """Find the weights, download them if they are missing, and validate `--size`. Raises InputError."""
    weights = find_weights(recipe.backbone, options.weights, offline=options.offline, seed=options.seed)
    size = options.size or weights.expected.size
    preprocessing = weights.preprocessing(size, options.resize)
    plan = TransferPlan(options, recipe.backbone, weights, preprocessing, options.split_rule(recipe.val_split))
    if size != weights.expected.size:
        _check_size(plan, weights.expected.size)
    return plan


def _check_size(plan: TransferPlan, default: int) -> None:
    """Run a batch of `--size` on the meta device. Raises InputError if the network does not accept the size."""
    size = plan.preprocessing.height
    try:
        with meta_device():
            build_backbone(plan.network_config(2)).eval()(torch.empty(1, 3, size, size))
    except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0]
        what = f"{plan.backbone} does not accept {size}x{size} ({reason})"
        raise InputError("--size", what, f"use {default}") from error
