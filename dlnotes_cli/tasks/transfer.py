"""Transfer: a pretrained network with a new head for the user's own pictures, frozen or fine-tuned."""

from pathlib import Path
from typing import Any

from torch import nn

from dlnotes_cli import files, output
from dlnotes_cli.configs.option import flag, options_of
from dlnotes_cli.configs.recipes import FINE_TUNE_LENGTH
from dlnotes_cli.configs.transfer import BACKBONES, TransferConfig
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.load import check_pictures
from dlnotes_cli.device import choose_device
from dlnotes_cli.errors import InputError, unknown_choice
from dlnotes_cli.models import backbones
from dlnotes_cli.models.backbones import BackboneConfig, Transferred
from dlnotes_cli.models.thawing import count_blocks, layers_of, lr_factors, thaw
from dlnotes_cli.stopping import StopRequest
from dlnotes_cli.tasks.classifier import Architecture, train_classifier
from dlnotes_cli.tasks.record import TrainingResult
from dlnotes_cli.tasks.transfer_head import solve_head, train_head
from dlnotes_cli.tasks.transfer_plan import Plan, make_plan, recipe_of
from dlnotes_cli.tasks.weights import local_file
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
    return train_head(plan)


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


def _fine_tune(plan: Plan) -> TrainingResult:
    config = plan.config
    RunFolder(config)  # which checks it, before the features take their time
    choose_device(config.device)
    is_notes, head = config.recipe == "notes", None
    if config.resume is None and not is_notes:
        with StopRequest() as stop:
            head = solve_head(plan, stop.poll)

    def initialise(network: nn.Module, _config: TransferConfig, _dataset: DataSet) -> None:
        plan.fill(_as_transferred(network))
        if head is not None:
            _as_transferred(network).head.load_state_dict(head)
        thaw(_as_transferred(network), count_blocks(config.fine_tune))
        trained = [layer for layer in layers_of(_as_transferred(network), config.fine_tune) if layer["trains"]]
        names = ", ".join(layer["name"] for layer in trained)
        output.note(f"trains {names}: {sum(layer['parameters'] for layer in trained):,} parameters")

    def unfreeze(network: nn.Module, epoch: int) -> None:
        thaw(_as_transferred(network), min(count_blocks(config.fine_tune), 2 ** (epoch - 1)))

    def describe(_config: TransferConfig, dataset: DataSet) -> BackboneConfig:
        return plan.describe(len(dataset.classes))

    def factors(network: nn.Module) -> dict[str, float]:
        return lr_factors(_as_transferred(network))

    def details(network: nn.Module) -> dict[str, Any]:
        return plan.details(_as_transferred(network))

    return train_classifier(
        config,
        Architecture(
            "backbone", recipe_of, describe, initialise, lambda *_: True, FINE_TUNE_LENGTH, plan.load_pixels, unfreeze,
            factors, details,
        ),
    )  # fmt: skip


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


def _as_transferred(network: nn.Module) -> Transferred:
    if not isinstance(network, Transferred):
        raise TypeError(type(network).__name__)
    return network
