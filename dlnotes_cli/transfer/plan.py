"""What a transfer needs before anything is trained: options, weights, and the preprocessing that they expect."""

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
from dlnotes_cli.models.backbones import BackboneConfig, TransferModel, build_backbone, load_backbone
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.pretrained import PretrainedWeights, find_weights
from dlnotes_cli.transfer.features import extraction_of
from dlnotes_cli.transfer.options import TransferConfig
from dlnotes_cli.transfer.unfreezing import layers_of

_FEW_SAMPLES = 5  # of a class: with fewer, chance decides what is learned


@dataclass(frozen=True)
class TransferPlan:
    """A prepared transfer: options with the recipe's values, the backbone's weights and their preprocessing."""

    options: TransferConfig
    backbone: str  # its name in torchvision
    weights: PretrainedWeights
    preprocessing: ImagePreprocessing

    @cached_property
    def reading(self) -> DecodeSettings:
        """How image files are read."""
        options = self.options
        return DecodeSettings(options.threads or default_threads(), options.max_pixels, skip_bad=options.skip_bad)

    @property
    def features_name(self) -> str:
        """The name under which the features of this backbone and these weights are cached."""
        return f"{self.backbone}-{self.weights.digest}"

    def network_config(self, classes: int) -> BackboneConfig:
        """The configuration of the network for a number of classes."""
        is_pretrained = self.weights.file is not None
        return BackboneConfig(self.backbone, classes, self.preprocessing.height, self.options.hidden, is_pretrained)

    def load_weights(self, network: TransferModel) -> None:
        """Load the pretrained weights into a network. Raises InputError where they belong to another one."""
        tensors = self.weights.read()
        if tensors is None:
            return
        misfit = load_backbone(network, self.backbone, tensors)
        if misfit:
            fix = f"use the weights of {self.backbone}, or another --backbone"
            raise InputError(self.weights.name, misfit, fix)

    def build(self, classes: int) -> TransferModel:
        """The network with its pretrained backbone; its head is not initialized."""
        seed_everything(self.options.seed)
        if self.weights.file is None:
            return build_backbone(self.network_config(classes))
        with torch.device("meta"):
            network = build_backbone(self.network_config(classes))
        self.load_weights(network)
        network.head.to_empty(device="cpu")
        return network

    def runtime(self) -> Runtime:
        """Device and precision; convolutions and attention gain from bf16 at any size."""
        options = self.options
        return choose_runtime(options.device, options.precision, options.threads, bf16_pays=True)

    def load_pixels(self) -> DataSet:
        """The data as pixels."""
        dataset = load_preprocessed(self.options, self.preprocessing, seed=self.options.seed, settings=self.reading)
        warn_about_few_samples(dataset)
        return dataset

    def load_features(self, network: TransferModel, runtime: Runtime, poll: Callable[[], None]) -> DataSet:
        """The data as features of a network's backbone."""
        return load_preprocessed(
            self.options,
            self.preprocessing,
            seed=self.options.seed,
            settings=replace(self.reading, poll=poll),
            extractor=extraction_of(network, self.features_name, self.preprocessing, runtime),
        )

    def details(self, network: TransferModel) -> dict[str, Any]:
        """What the result reports about the backbone: its weights, and which layers are trained."""
        return {
            "backbone": self.backbone,
            "weights": self.weights.name,
            "pretrained": self.weights.file is not None,
            "fine_tune": self.options.fine_tune,
            "layers": [layer.as_json() for layer in layers_of(network, self.options.fine_tune)],
        }


def make_plan(options: TransferConfig, backbone: str) -> TransferPlan:
    """Find the weights, downloading those that are missing; no data is read and nothing is trained."""
    weights = find_weights(backbone, options.weights, offline=options.offline, seed=options.seed)
    published = weights.published
    size = options.size or published.size
    crop_pct = published.crop_pct if options.resize == "crop" else 1.0
    preprocessing = ImagePreprocessing(
        3, size, size, options.resize, published.mean, published.std, crop_pct, published.interpolation
    )
    plan = TransferPlan(options, backbone, weights, preprocessing)
    if size != published.size:
        _check_size(plan, published.size)
    return plan


def warn_about_few_samples(dataset: DataSet) -> None:
    """Warn about classes with so few samples that chance decides what is learned."""
    known = np.concatenate([dataset.labels[dataset.splits[split]] for split in ("train", "val")])
    counts = np.bincount(known, minlength=len(dataset.classes))
    few = [f"{name} ({count})" for name, count in zip(dataset.classes, counts, strict=True) if count < _FEW_SAMPLES]
    if few:
        output.warn(
            f"fewer than {_FEW_SAMPLES} images to train and validate on: {', '.join(few)}; more images would help most"
        )


def _check_size(plan: TransferPlan, default: int) -> None:
    """Refuse an image size that the network does not accept, found by a batch on the meta device."""
    size = plan.preprocessing.height
    try:
        with torch.device("meta"):
            build_backbone(plan.network_config(2)).eval()(torch.empty(1, 3, size, size))
    except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0]
        what = f"{plan.backbone} does not accept {size}x{size} ({reason})"
        raise InputError("--size", what, f"use {default}") from error
