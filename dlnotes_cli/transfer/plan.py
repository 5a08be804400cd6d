"""What a transfer needs before anything is trained: options, weights, and the form of images they ask for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from dlnotes_cli.data.cache.request import DecodeSettings
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import load_preprocessed
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime, choose_runtime, default_threads
from dlnotes_cli.models.backbones import BackboneConfig, Transferred, build_backbone, load_backbone
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.pretrained import Weights, find_weights
from dlnotes_cli.training.recipes import BEST_FINE_TUNE, BEST_HEAD, NOTES_TRANSFER, with_recipe
from dlnotes_cli.transfer.features import extraction_of
from dlnotes_cli.transfer.options import TransferConfig
from dlnotes_cli.transfer.unfreezing import layers_of

_FEW = 5  # samples of a class, below which chance decides what is learned of it


@dataclass(frozen=True)
class Plan:
    """A transfer made ready: options with the recipe filled in, weights, and the form of images they ask for."""

    config: TransferConfig
    weights: Weights
    preprocessing: ImagePreprocessing

    @property
    def backbone(self) -> str:
        """The network's name in torchvision."""
        return str(self.config.backbone)

    @cached_property
    def reading(self) -> DecodeSettings:
        """How the images are read."""
        config = self.config
        return DecodeSettings(config.threads or default_threads(), config.max_pixels, skip_bad=config.skip_bad)

    @property
    def name(self) -> str:
        """What tells backbone and weights from others."""
        return f"{self.backbone}-{self.weights.digest}"

    def describe(self, classes: int) -> BackboneConfig:
        """The network's configuration for so many classes."""
        is_pretrained = self.weights.file is not None
        return BackboneConfig(self.backbone, classes, self.preprocessing.height, self.config.hidden, is_pretrained)

    def fill(self, network: Transferred) -> None:
        """Put the weights into a network. Raises InputError where they are another network's."""
        tensors = self.weights.read()
        if tensors is None:
            return
        misfit = load_backbone(network, self.backbone, tensors)
        if misfit:
            fix = f"give the weights of {self.backbone}, or another --backbone"
            raise InputError(self.weights.name, misfit, fix)

    def build(self, classes: int) -> Transferred:
        """The network with its first weights."""
        seed_everything(self.config.seed)
        if self.weights.file is None:
            return build_backbone(self.describe(classes))
        with torch.device("meta"):
            network = build_backbone(self.describe(classes))
        self.fill(network)
        network.head.to_empty(device="cpu")
        return network

    def runtime(self) -> Runtime:
        """Where it runs: convolutions and attention gain by bf16 at any size."""
        return choose_runtime(self.config.device, self.config.precision, self.config.threads, bf16_pays=True)

    def load_pixels(self, _config: Any = None) -> DataSet:
        """The data as pixels."""
        dataset = load_preprocessed(self.config, self.preprocessing, seed=self.config.seed, settings=self.reading)
        warn_of_few(dataset)
        return dataset

    def load_features(self, network: Transferred, runtime: Runtime, poll: Callable[[], None]) -> DataSet:
        """The data as features of a network's backbone."""
        extraction = extraction_of(network, self.name, self.preprocessing, runtime)
        reading = replace(self.reading, poll=poll)
        return load_preprocessed(
            self.config, self.preprocessing, seed=self.config.seed, settings=reading, extractor=extraction
        )

    def details(self, network: Transferred) -> dict[str, Any]:
        """What the result says of the backbone: its weights, and which layers train."""
        return {
            "backbone": self.backbone,
            "weights": self.weights.name,
            "pretrained": self.weights.file is not None,
            "fine_tune": self.config.fine_tune,
            "layers": layers_of(network, self.config.fine_tune),
        }


def make_plan(config: TransferConfig) -> Plan:
    """Find what a transfer needs, downloading weights that are not here; nothing is trained or read of the data."""
    config = with_recipe(config, recipe_of(config))
    backbone = str(config.backbone)
    weights = find_weights(backbone, config.weights, offline=config.offline, seed=config.seed)
    form = weights.published
    size = config.size or form.size
    crop_pct = form.crop_pct if config.resize == "crop" else 1.0
    wanted = ImagePreprocessing(3, size, size, config.resize, form.mean, form.std, crop_pct, form.interpolation)
    plan = Plan(config, weights, wanted)
    if size != form.size:
        _check_size(plan, form.size)
    return plan


def warn_of_few(dataset: DataSet) -> None:
    """Say which classes have so few samples to learn from that chance decides."""
    known = np.concatenate([dataset.labels[dataset.splits[part]] for part in ("train", "val")])
    counts = np.bincount(known, minlength=len(dataset.classes))
    few = [f"{name} ({count})" for name, count in zip(dataset.classes, counts, strict=True) if count < _FEW]
    if few:
        output.warn(f"fewer than {_FEW} images to train and validate on: {', '.join(few)}; more would help most")


def recipe_of(config: TransferConfig) -> dict[str, Any]:
    """The defaults of a frozen backbone, of one that is fine-tuned, or the course's."""
    if config.recipe == "notes":
        return NOTES_TRANSFER
    return BEST_FINE_TUNE if config.fine_tune else BEST_HEAD


def _check_size(plan: Plan, usual: int) -> None:
    """Refuse a size that the network cannot take, found out on the device that has no memory."""
    size = plan.preprocessing.height
    try:
        with torch.device("meta"):
            build_backbone(plan.describe(2)).eval()(torch.empty(1, 3, size, size))
    except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError("--size", f"{plan.backbone} cannot take {size}x{size} ({reason})", f"use {usual}") from error
