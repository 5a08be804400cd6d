"""Transfer learning: a new head on a pretrained network, whose backbone is frozen or fine-tuned."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dlnotes_cli.data.images.augment_parser import parse_augment
from dlnotes_cli.data.load import check_images, has_test_split
from dlnotes_cli.networks import backbones
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.show import Table
from dlnotes_cli.training.distributed import process_group
from dlnotes_cli.training.fit_at_once import fit_at_once
from dlnotes_cli.training.model_file import EMBEDDED_MODEL
from dlnotes_cli.training.pretrained import MEBIBYTE, find_weights, is_downloaded, local_file
from dlnotes_cli.training.results import require_test_split
from dlnotes_cli.training.run_folder import RunFolder, check_outside_data, data_folder
from dlnotes_cli.transfer.fine_tuning import fine_tune
from dlnotes_cli.transfer.frozen_head import FrozenHeadTask
from dlnotes_cli.transfer.options import FrozenRecipe, TransferConfig
from dlnotes_cli.transfer.plan import TransferResult, make_plan

_TYPICAL_SIZE = 224  # pixels per side, of most backbones


@dataclass(frozen=True)
class BackboneInfo:
    """A classification network of torchvision with its default weights, or the bundled network."""

    backbone: str
    weights: str
    parameters: int
    mebibytes: float
    size: int  # pixels per side
    accuracy: float | None  # on ImageNet
    url: str | None
    path: str
    available: bool  # whether the file is on this machine, undamaged

    @property
    def row(self) -> tuple[object, ...]:
        """The row of the table."""
        accuracy = "-" if self.accuracy is None else f"{self.accuracy:.3f}"
        downloaded = "included" if self.url is None else "yes" if self.available else "no"
        return self.backbone, f"{self.parameters:,}", f"{self.mebibytes:.1f}", self.size, accuracy, downloaded


@dataclass(frozen=True)
class BackboneList:
    """What `--list` shows."""

    backbones: list[BackboneInfo]

    def table(self) -> Iterator[Table]:
        """A row for each backbone."""
        numeric = ("parameters", "MiB", "size", "ImageNet accuracy")
        rows = [backbone.row for backbone in self.backbones]
        yield Table(("backbone", *numeric, "downloaded"), rows, numeric, is_result=True)


def transfer(options: TransferConfig) -> TransferResult:
    """Train a new head on a pretrained network, or fine-tune the network, and write its run folder.

    By default the backbone is frozen: its features are computed once and cached, and the head is fitted to them. With
    `--fine-tune`, the head is fitted first (Kumar et al. 2022, arXiv:2202.10054); then blocks are unfrozen from the
    last to the first, evenly over the first half of the epochs (after Howard and Ruder 2018, arXiv:1801.06146), or all
    at once with a time budget, a number of steps or `--compile`. Earlier blocks have lower learning rates.
    Raises InputError before anything is written where options, folder, data or weights are invalid or do not fit
    together; UnfinishedError on divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    _check_options(options)
    _check_outputs(options)
    with process_group(options) as processes:
        options = _with_available_backbone(options)
        recipe = options.resolved()
        plan = processes.main_first(lambda: make_plan(options, recipe))
        if isinstance(recipe, FrozenRecipe):
            return fit_at_once(FrozenHeadTask(plan, recipe))
        return fine_tune(plan, recipe, processes)


def _with_available_backbone(options: TransferConfig) -> TransferConfig:
    """The options with the bundled network if `--offline` forbids downloading the default backbone.

    The course's recipe keeps its own network.
    """
    if not options.offline or options.backbone or options.weights != "default" or options.recipe == "notes":
        return options
    weights = backbones.published_weights(options.resolved().backbone)[0]
    if local_file(weights).exists():
        return options
    output.note(f"{weights.file} is not on this machine; using --backbone {EMBEDDED_NAME}, the bundled network")
    return replace(options, backbone=EMBEDDED_NAME)


def list_backbones() -> BackboneList:
    """The bundled network, then every classification network of torchvision with its default weights."""
    return BackboneList([_embedded_info(), *(_backbone_info(name) for name in backbones.backbone_names())])


def _embedded_info() -> BackboneInfo:
    """The description of the bundled network, which has no accuracy on ImageNet and no URL."""
    weights = find_weights(EMBEDDED_NAME, "default", offline=True, seed=0)
    parameters = sum(tensor.numel() for tensor in (weights.read() or {}).values())
    mebibytes = EMBEDDED_MODEL.stat().st_size / MEBIBYTE
    return BackboneInfo(
        EMBEDDED_NAME, weights.name, parameters, mebibytes, weights.expected.size, None, None, str(EMBEDDED_MODEL), True
    )


def _backbone_info(name: str) -> BackboneInfo:
    weights = backbones.published_weights(name)[0]
    return BackboneInfo(
        name, weights.name, weights.parameters, weights.mebibytes, weights.expected.size, weights.accuracy, weights.url,
        str(local_file(weights)), is_downloaded(weights),
    )  # fmt: skip


def _check_options(options: TransferConfig) -> None:
    """Validate the options before weights are downloaded. Raises InputError.

    torchvision is only loaded for names of networks that are not in `BACKBONES`.
    """
    check_images(options, "a pretrained network")
    backbone = options.backbone or EMBEDDED_NAME
    if backbone not in {EMBEDDED_NAME, *BACKBONES} and backbone not in (names := backbones.backbone_names()):
        raise unknown_choice(
            "--backbone", backbone, (EMBEDDED_NAME, *names), kind="network", see="see dlnotes transfer --list"
        )
    if options.dropout and not options.hidden:
        raise InputError("--dropout", "has no effect on a head without hidden layers", "add --hidden 256, or drop it")
    if options.val_split == 0 and options.recipe == "best" and not options.folds:
        what = "0 leaves no sample to choose the head's weight decay by"
        raise InputError("--val-split", what, "raise it, or use --recipe notes")
    if options.is_frozen and options.resume is None and options.augment is not None:
        if options.views == 1:
            raise InputError("--augment", "has no effect on a frozen backbone without --views", "add --views 4")
        size = options.size or _TYPICAL_SIZE
        if not parse_augment(options.augment, (3, size, size), flippable=True):
            what = f"--augment {options.augment} leaves every view the same"
            raise InputError("--views", what, "use another --augment")
    if options.min_accuracy is not None:
        require_test_split(options.min_accuracy, options.data, has_test_split=has_test_split(options))


def _check_outputs(options: TransferConfig) -> None:
    """Refuse an invalid run folder, and a file of `--export-features` or `--map` that exists or is among the data."""
    RunFolder(options)  # raises InputError, and writes nothing
    for where, path in (("--export-features", options.export_features), ("--map", options.map_file)):
        if path is not None:
            check_outside_data(where, path, data_folder(options))
            files.check_output_file(where, path, overwrite=options.overwrite or options.resume is not None)
