"""Transfer: a pretrained network with a new head for the user's own pictures, frozen or fine-tuned."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dlnotes_cli import files, output
from dlnotes_cli.configs.option import flag, options_of
from dlnotes_cli.configs.recipes import BEST_FINE_TUNE, BEST_HEAD, FINE_TUNE_LENGTH, NOTES_TRANSFER, with_recipe
from dlnotes_cli.configs.transfer import BACKBONES, TransferConfig
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.formats import PictureFormat
from dlnotes_cli.data.load import check_pictures, load_in_format
from dlnotes_cli.data.pixels import Reading
from dlnotes_cli.device import Machine, choose_device, choose_machine, default_threads
from dlnotes_cli.errors import InputError, unknown_choice
from dlnotes_cli.models import backbones
from dlnotes_cli.models.backbones import BackboneConfig, Transferred, build_backbone, load_backbone
from dlnotes_cli.models.registry import count_parameters
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.stopping import StopRequest
from dlnotes_cli.tasks.classifier import Architecture, train_classifier
from dlnotes_cli.tasks.features import extraction_of
from dlnotes_cli.tasks.record import TrainingResult
from dlnotes_cli.tasks.weights import Weights, find_weights, local_file
from dlnotes_cli.training.run_folder import RunFolder

_STEPPED = (  # no use to a solver
    "batch_size",
    "optimizer",
    "lr",
    "momentum",
    "schedule",
    "l1",
    "ema",
    "grad_clip",
    "patience",
)
_FROZEN = ("views", "folds", "export_features", "map_file")  # no use to a backbone that changes
_FEW = 5  # samples of a class, below which chance decides what is learned of it
_SHALLOWEST, _DEEPEST = -1.0, -2.0  # exponents of the learning-rate factors of the last and the first block


@dataclass(frozen=True)
class Plan:
    """A transfer made ready: options with the recipe filled in, weights, and the form of pictures they ask for."""

    config: TransferConfig
    weights: Weights
    format: PictureFormat

    @property
    def backbone(self) -> str:
        """The network's name in torchvision."""
        return str(self.config.backbone)

    @cached_property
    def reading(self) -> Reading:
        """How the pictures are read."""
        config = self.config
        return Reading(config.threads or default_threads(), config.max_pixels, skip_bad=config.skip_bad)

    @property
    def name(self) -> str:
        """What tells backbone and weights from others."""
        return f"{self.backbone}-{self.weights.digest}"

    def describe(self, classes: int) -> BackboneConfig:
        """The network's configuration for so many classes."""
        is_pretrained = self.weights.file is not None
        return BackboneConfig(self.backbone, classes, self.format.height, self.config.hidden, is_pretrained)

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

    def machine(self) -> Machine:
        """Where it runs: convolutions and attention gain by bf16 at any size."""
        return choose_machine(self.config.device, self.config.precision, self.config.threads, bf16_pays=True)

    def load_pixels(self, _config: Any = None) -> DataSet:
        """The data as pixels."""
        dataset = load_in_format(self.config, self.format, seed=self.config.seed, reading=self.reading)
        warn_of_few(dataset)
        return dataset

    def load_features(self, network: Transferred, machine: Machine, poll: Callable[[], None]) -> DataSet:
        """The data as features of a network's backbone."""
        extraction = extraction_of(network, self.name, self.format, machine)
        reading = replace(self.reading, poll=poll)
        return load_in_format(self.config, self.format, seed=self.config.seed, reading=reading, extraction=extraction)

    def details(self, network: Transferred) -> dict[str, Any]:
        """What the result says of the backbone: its weights, and which layers train."""
        return {
            "backbone": self.backbone,
            "weights": self.weights.name,
            "pretrained": self.weights.file is not None,
            "fine_tune": self.config.fine_tune,
            "layers": layers_of(network, self.config.fine_tune),
        }


def transfer(config: TransferConfig) -> TrainingResult:
    """Train a new head for a pretrained network, or more of it; see `train_classifier` for what is written and raised.

    Frozen, the default: the backbone's features are computed once and kept, and the head is solved on them. Fine-tuned:
    the head is solved first (Kumar and others 2022, arXiv:2202.10054), then the last blocks are thawed from the end on,
    twice as many in each epoch (after Howard and Ruder 2018, arXiv:1801.06146), earlier ones with smaller steps.
    Raises InputError also where network, weights and pictures do not fit together.
    """
    config = _checked(config)
    plan = make_plan(config)
    if _is_stepped(config):
        return _fine_tune(plan)
    from dlnotes_cli.tasks.transfer_head import train_head

    return train_head(plan)


def make_plan(config: TransferConfig) -> Plan:
    """Find what a transfer needs, downloading weights that are not here; nothing is trained or read of the data."""
    config = with_recipe(config, _recipe(config))
    backbone = str(config.backbone)
    weights = find_weights(backbone, config.weights, offline=config.offline, seed=config.seed)
    form = weights.published
    size = config.size or form.size
    crop_pct = form.crop_pct if config.resize == "crop" else 1.0
    wanted = PictureFormat(3, size, size, config.resize, form.mean, form.std, crop_pct, form.interpolation)
    plan = Plan(config, weights, wanted)
    if size != form.size:
        _check_size(plan, form.size)
    return plan


def list_backbones() -> list[dict[str, Any]]:
    """Every network: parameters, size of its file (MiB) and input, ImageNet accuracy, and where its weights are."""
    rows = []
    for name in backbones.names():
        default = backbones.published(name)[0]
        here = local_file(default)
        rows.append({
            "backbone": name, "weights": default.name, "parameters": default.parameters, "megabytes": default.megabytes,
            "size": default.size, "accuracy": default.accuracy, "url": default.url, "path": str(here),
            "is_here": here.is_file(),
        })  # fmt: skip
    return rows


def warn_of_few(dataset: DataSet) -> None:
    """Say which classes have so few samples to learn from that chance decides."""
    known = np.concatenate([dataset.labels[dataset.parts[part]] for part in ("train", "val")])
    counts = np.bincount(known, minlength=len(dataset.classes))
    few = [f"{name} ({count})" for name, count in zip(dataset.classes, counts, strict=True) if count < _FEW]
    if few:
        output.warn(f"fewer than {_FEW} pictures to train and validate on: {', '.join(few)}; more would help most")


def layers_of(network: Transferred, fine_tune: str | None) -> list[dict[str, Any]]:
    """Each block and the head: name, parameters, whether it trains, and the factor on its learning rate."""
    found = list(backbones.blocks(network.backbone))
    first = len(found) - _count(fine_tune, len(found))
    rows = [
        {"name": name, "parameters": count_parameters(block), "trains": i >= first, "lr_factor": _factor(i, len(found))}
        for i, (name, block) in enumerate(found)
    ]
    return [*rows, {"name": "head", "parameters": count_parameters(network.head), "trains": True, "lr_factor": 1.0}]


def _fine_tune(plan: Plan) -> TrainingResult:
    config = plan.config
    RunFolder(config)  # which checks it, before the features take their time
    choose_device(config.device)
    is_notes, head = config.recipe == "notes", None
    if config.resume is None and not is_notes:
        from dlnotes_cli.tasks.transfer_head import solve_head

        with StopRequest() as stop:
            head = solve_head(plan, stop.poll)

    def initialise(network: nn.Module, _config: TransferConfig, _dataset: DataSet) -> None:
        plan.fill(_as_transferred(network))
        if head is not None:
            _as_transferred(network).head.load_state_dict(head)
        _thaw(network, _count(config.fine_tune, 1 << 30))

    def unfreeze(network: nn.Module, epoch: int) -> None:
        _thaw(network, min(_count(config.fine_tune, 1 << 30), 2 ** (epoch - 1)))

    def describe(_config: TransferConfig, dataset: DataSet) -> BackboneConfig:
        return plan.describe(len(dataset.classes))

    def details(network: nn.Module) -> dict[str, Any]:
        return plan.details(_as_transferred(network))

    return train_classifier(
        config,
        Architecture(
            "backbone", _recipe, describe, initialise, lambda *_: True, FINE_TUNE_LENGTH, plan.load_pixels, unfreeze,
            _lr_factors, details,
        ),
    )  # fmt: skip


def _recipe(config: TransferConfig) -> dict[str, Any]:
    if config.recipe == "notes":
        return NOTES_TRANSFER
    return BEST_FINE_TUNE if config.fine_tune else BEST_HEAD


def _is_stepped(config: TransferConfig) -> bool:
    """Whether the backbone runs in every step."""
    return config.fine_tune is not None or config.recipe == "notes"


def _checked(config: TransferConfig) -> TransferConfig:
    check_pictures(config, "a pretrained network")
    if config.backbone is not None and config.backbone not in BACKBONES and config.backbone not in backbones.names():
        raise unknown_choice(
            "--backbone", config.backbone, backbones.names(), kind="network", see="see dlnotes transfer --list"
        )
    if config.color == "gray":
        raise InputError("--color", "pretrained networks look at colours", "drop it; grey pictures are welcome")
    if config.normalize is not None:
        raise InputError("--normalize", "the scale follows the weights", "drop it")
    stepped = _is_stepped(config)
    defaults = {"views": 1}
    for name in _FROZEN if stepped else _STEPPED:
        if getattr(config, name) != defaults.get(name):
            where = flag(name, options_of(type(config))[name])
            what = "is for a frozen backbone" if stepped else "is about steps, and a frozen backbone's head is solved"
            fix = "drop it, or --fine-tune" if stepped else "drop it, or add --fine-tune"
            raise InputError(where, what, fix)
    if config.export_features is not None:
        _check_suffix("--export-features", config.export_features, ".npz", config)
    if config.map_file is not None:
        _check_suffix("--map", config.map_file, ".png", config)
    return config


def _check_suffix(where: str, path: Path, suffix: str, config: TransferConfig) -> None:
    if path.suffix.lower() != suffix:
        raise InputError(where, f"{path} does not end in {suffix}", f"name it {path.with_suffix(suffix).name}")
    files.check_output_file(where, path, overwrite=config.overwrite or config.resume is not None)


def _check_size(plan: Plan, usual: int) -> None:
    """Refuse a size that the network cannot take, found out on the device that has no memory."""
    size = plan.format.height
    try:
        with torch.device("meta"):
            build_backbone(plan.describe(2)).eval()(torch.empty(1, 3, size, size))
    except (RuntimeError, ValueError, AssertionError, ZeroDivisionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError("--size", f"{plan.backbone} cannot take {size}x{size} ({reason})", f"use {usual}") from error


def _as_transferred(network: nn.Module) -> Transferred:
    if not isinstance(network, Transferred):
        raise TypeError(type(network).__name__)
    return network


def _thaw(network: nn.Module, count: int) -> None:
    """Let the last `count` blocks of a backbone train, and the head; all of it where there are no more."""
    backbone = _as_transferred(network).backbone
    found = [block for _, block in backbones.blocks(backbone)]
    for parameter in backbone.parameters():
        parameter.requires_grad_(count >= len(found))
    for block in found[max(0, len(found) - count) :]:
        block.requires_grad_(True)


def _lr_factors(network: nn.Module) -> dict[str, float]:
    """By parameter: 1 in the head, a tenth in the last block, falling evenly on a logarithmic scale to a hundredth."""
    found = list(backbones.blocks(_as_transferred(network).backbone))
    factors = {name: 10**_DEEPEST for name, _ in network.named_parameters() if name.startswith("backbone.")}
    for i, (name, block) in enumerate(found):
        factors |= {f"backbone.{name}.{inner}": _factor(i, len(found)) for inner, _ in block.named_parameters()}
    return factors


def _factor(position: int, count: int) -> float:
    """The learning-rate factor of a block."""
    depth = (count - 1 - position) / max(count - 1, 1)
    return round(10 ** (_SHALLOWEST + (_DEEPEST - _SHALLOWEST) * depth), 4)


def _count(fine_tune: str | None, everything: int) -> int:
    """How many blocks train."""
    if fine_tune is None:
        return 0
    return everything if fine_tune == "all" else min(int(fine_tune.removeprefix("last-")), everything)
