"""Transfer: a pretrained network with a new head for the user's own images, frozen or fine-tuned."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment_parser import parse_augment
from dlnotes_cli.data.load import check_images, has_test_split
from dlnotes_cli.device import choose_device
from dlnotes_cli.models import backbones
from dlnotes_cli.models.backbones import BackboneConfig, Transferred
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, StoppedError, unknown_choice
from dlnotes_cli.shell.option import flag, options_of
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training.engine.classifier import Architecture, train_classifier
from dlnotes_cli.training.pretrained import is_here, local_file
from dlnotes_cli.training.recipes import FINE_TUNE_LENGTH
from dlnotes_cli.training.record import TrainingResult
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.transfer.frozen_head import solve_head, train_head
from dlnotes_cli.transfer.head_search import Solved
from dlnotes_cli.transfer.options import BACKBONES, TransferConfig
from dlnotes_cli.transfer.plan import Plan, make_plan, recipe_of
from dlnotes_cli.transfer.unfreezing import count_blocks, layers_of, lr_factors, thaw, thawed

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
_USUAL = 224  # pixels on each side that most networks see
_FROZEN = ("views", "folds", "export_features", "map_file")  # no use to a backbone that changes


def transfer(config: TransferConfig) -> TrainingResult:
    """Train a new head for a pretrained network, or more of it, and document it in its run folder.

    Frozen, the default: the backbone's features are computed once and kept, and the head is solved on them. Fine-tuned:
    the head is solved first (Kumar and others 2022, arXiv:2202.10054), then blocks are thawed from the end on, evenly
    over the first half of the epochs (after Howard and Ruder 2018, arXiv:1801.06146), or all at once where a time
    budget or steps leave the epochs open; earlier ones learn with smaller steps.
    Raises InputError before anything is written where options, folder, data or weights are not right or do not fit
    together; UnfinishedError on divergence or a full disk; StoppedError after a signal, with the run saved.
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
        rows.append({
            "backbone": name, "weights": default.name, "parameters": default.parameters, "mebibytes": default.mebibytes,
            "size": default.size, "accuracy": default.accuracy, "url": default.url, "path": str(local_file(default)),
            "is_here": is_here(default),
        })  # fmt: skip
    return rows


def _fine_tune(plan: Plan) -> TrainingResult:
    config = plan.config
    RunFolder(config)  # which checks it, before the features take their time
    choose_device(config.device)
    solved = None
    if config.resume is None and config.recipe == "best":
        with StopRequest() as stop:
            solved = _solve_first(plan, stop.poll)

    def initialize(network: nn.Module, _config: TransferConfig, _dataset: DataSet) -> None:
        plan.fill(_as_transferred(network))
        if solved is not None:
            _as_transferred(network).head.load_state_dict(solved.head.state_dict())
        thaw(_as_transferred(network), count_blocks(config.fine_tune))
        trained = [layer for layer in layers_of(_as_transferred(network), config.fine_tune) if layer["trains"]]
        names = ", ".join(layer["name"] for layer in trained)
        output.note(f"trains {names}: {sum(layer['parameters'] for layer in trained):,} parameters")

    def unfreeze(network: nn.Module, epoch: int, epochs: int | None) -> None:
        count = count_blocks(config.fine_tune, len(list(backbones.blocks(_as_transferred(network).backbone))))
        thaw(_as_transferred(network), thawed(count, epoch, epochs))

    def describe(_config: TransferConfig, dataset: DataSet) -> BackboneConfig:
        return plan.describe(len(dataset.classes))

    def factors(network: nn.Module) -> dict[str, float]:
        return lr_factors(_as_transferred(network))

    def details(network: nn.Module) -> dict[str, Any]:
        return plan.details(_as_transferred(network))

    result = train_classifier(
        config,
        Architecture(
            "backbone", recipe_of, describe, initialize, lambda *_: True, FINE_TUNE_LENGTH, plan.load_pixels, unfreeze,
            factors, details,
        ),
    )  # fmt: skip
    if solved is not None:
        _compare(solved, result)
    return result


def _solve_first(plan: Plan, poll: Callable[[], None]) -> Solved:
    try:
        return solve_head(plan, poll)
    except StoppedError as request:
        what = "the features made so far are kept, and nothing is fine-tuned yet"
        raise StoppedError(request.exit_code, what, "run the same again to go on") from request


def _compare(solved: Solved, result: TrainingResult) -> None:
    """Warn where the frozen backbone, with which the run began, validated better."""
    frozen, tuned = solved.history[solved.best - 1]["validation"]["loss"], result.fields["validation"]["loss"]
    if tuned > frozen:
        what = f"fine-tuning validates worse than the frozen backbone (loss {tuned:.4f}, before {frozen:.4f})"
        output.warn(f"{what}: give a lower --lr or more --epochs, or leave --fine-tune out")


def _is_stepped(config: TransferConfig) -> bool:
    """Whether the backbone runs in every step."""
    return config.fine_tune is not None or config.recipe == "notes"


def _checked(config: TransferConfig) -> TransferConfig:
    check_images(config, "a pretrained network")
    if config.backbone is not None and config.backbone not in BACKBONES and config.backbone not in backbones.names():
        raise unknown_choice(
            "--backbone", config.backbone, backbones.names(), kind="network", see="see dlnotes transfer --list"
        )
    _check_together(config)
    if config.min_accuracy is not None and not has_test_split(config):
        raise InputError("--min-accuracy", f"{config.data} has no test split", "add one, or drop the option")
    if config.export_features is not None:
        _check_suffix("--export-features", config.export_features, ".npz", config)
    if config.map_file is not None:
        _check_suffix("--map", config.map_file, ".png", config)
    return config


def _check_together(config: TransferConfig) -> None:
    """Refuse options that say nothing of what is done."""
    stepped = "--fine-tune" if config.fine_tune else "--recipe notes" if config.recipe == "notes" else ""
    usual = {"views": 1}
    for name in _FROZEN if stepped else _STEPPED:
        if getattr(config, name) != usual.get(name):
            where = flag(name, options_of(type(config))[name])
            if stepped:
                raise InputError(where, "is for a frozen backbone", f"drop it, or {stepped}")
            what = "is about steps, and a frozen backbone's head is solved"
            raise InputError(where, what, "drop it, or add --fine-tune")
    if config.folds and config.time_budget:
        raise InputError("--time-budget", "is not kept by --folds, which fits every part", "drop one of them")
    if config.folds and config.max_steps:
        raise InputError("--max-steps", "is not kept by --folds, which fits every part", "drop one of them")
    if config.map_method == "tsne" and config.map_file is None:
        raise InputError("--map-method", "says how --map is drawn", "add --map map.png")
    if not stepped and config.resume is None:
        _check_views(config)


def _check_views(config: TransferConfig) -> None:
    if config.augment is not None:
        operations = parse_augment(config.augment, (3, config.size or _USUAL, config.size or _USUAL), flippable=True)
        if config.views == 1:
            raise InputError("--augment", "a frozen backbone looks once at each image", "add --views, or --fine-tune")
        if not operations:
            raise InputError("--views", f"--augment {config.augment} leaves every view the same", "give another")


def _check_suffix(where: str, path: Path, suffix: str, config: TransferConfig) -> None:
    if path.suffix.lower() != suffix:
        raise InputError(where, f"{path} does not end in {suffix}", f"name it {path.with_suffix(suffix).name}")
    files.check_output_file(where, path, overwrite=config.overwrite or config.resume is not None)


def _as_transferred(network: nn.Module) -> Transferred:
    if not isinstance(network, Transferred):
        raise TypeError(type(network).__name__)
    return network
