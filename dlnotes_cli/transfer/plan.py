"""The plan of a transfer: options, pretrained weights, and the preprocessing that they expect."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dlnotes_cli.data.dataset import DataSet, SplitRule
from dlnotes_cli.data.folder import DecodeSettings, FeatureExtractor
from dlnotes_cli.data.load import load_preprocessed
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.networks.backbones import BackboneConfig, TransferModel, build_backbone, build_head, load_backbone
from dlnotes_cli.networks.torch_imports import meta_device
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.pretrained import PretrainedWeights, find_weights
from dlnotes_cli.training.task import Poll
from dlnotes_cli.transfer.options import FineTuneRecipe, FrozenRecipe, TransferConfig
from dlnotes_cli.transfer.unfreezing import summarize_layers

_FEW_SAMPLES = 5  # of a class: with fewer, results depend on chance


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
        return DecodeSettings(options.thread_count, options.max_pixels, skip_bad=options.skip_bad, poll=poll)

    def network_config(self, classes: int) -> BackboneConfig:
        """The configuration of the network for a number of classes."""
        is_pretrained = self.weights.file is not None
        options = self.options
        return BackboneConfig(
            self.backbone, classes, self.preprocessing.height, options.hidden, is_pretrained, options.dropout or 0.0
        )

    def load_weights(self, network: TransferModel) -> None:
        """Load the pretrained weights, if there are any. Raises InputError if they do not fit the network."""
        tensors = self.weights.read()
        if tensors is None:
            return
        misfit = load_backbone(network, self.backbone, tensors)
        if misfit:
            fix = f"use the weights of {self.backbone}, or another --backbone"
            raise InputError(self.weights.name, misfit, fix)

    def build(self) -> TransferModel:
        """The network on the CPU with its pretrained backbone; its head, for one class, has undefined values."""
        seed_everything(self.options.seed)
        if self.weights.file is None:
            return build_backbone(self.network_config(1))
        with meta_device():
            network = build_backbone(self.network_config(1))
        self.load_weights(network)
        with torch.random.fork_rng(devices=[]):
            network.head = build_head(network.width, self.options.hidden, 1)
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
            "layers": tuple(summarize_layers(network, self.options.fine_tune)),
        }


def make_plan(options: TransferConfig, recipe: FrozenRecipe | FineTuneRecipe) -> TransferPlan:
    """Find the weights, download them if they are missing, and validate `--size`. Raises InputError."""
    weights = find_weights(recipe.backbone, options.weights, offline=options.offline, seed=options.seed)
    size = options.size or weights.expected.size
    preprocessing = weights.preprocessing(size, options.resize)
    split_rule = SplitRule(recipe.val_split, options.test_split, options.seed, options.limit)
    plan = TransferPlan(options, recipe.backbone, weights, preprocessing, split_rule)
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
