"""The options that `explain` and `visualize` share: the network, the layer, and where results are written."""

from pathlib import Path

from dlnotes_cli.models.choices import BACKBONES
from dlnotes_cli.models.embedded import EMBEDDED_NAME
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import Config, option, option_group, option_like
from dlnotes_cli.shell.option_groups import (
    DeviceOptions,
    OfflineOption,
    OutputOptions,
    OverwriteOption,
    ReadImagesOptions,
    SeedOption,
)
from dlnotes_cli.training.options import WEIGHTS_HELP, WeightsOption, complete_models


def _complete(incomplete: str) -> list[str]:
    """Names of networks and trained models that start with `incomplete`."""
    named = [name for name in (EMBEDDED_NAME, *BACKBONES) if name.startswith(incomplete)]
    return [*named, *complete_models(incomplete)]


MODEL = option(
    EMBEDDED_NAME,
    "Run folder or model file of an image classifier, the name of a torchvision network, or small (the "
    "bundled network, trained on CIFAR-10).",
    panel="Model",
    metavar="MODEL",
    complete=_complete,
)


@option_group
class InspectedModelOption(Config):
    """The network that is opened."""

    model: str = MODEL


@option_group
class InspectedModelArgument(InspectedModelOption):
    """The network that is opened, as the first argument."""

    model: str = option_like(InspectedModelOption, "model", is_argument=True)


IMAGES = option(
    (), "Images, patterns such as 'in/*.jpg', or a folder of images, including its subfolders.", panel="Data",
    is_argument=True, metavar="IMAGE", shown_default="a bundled image",
)  # fmt: skip


@option_group
class ImagesArgument(Config):
    """The images of a command, after the network."""

    images: tuple[str, ...] = IMAGES


LAYER = option(
    None, "Layer, by its name in 'dlnotes visualize layers MODEL'.", panel="Model", metavar="NAME",
    shown_default="chosen by the network",
)  # fmt: skip


@option_group
class LayerOption(Config):
    """The layer that is looked at."""

    layer: str | None = LAYER


SHEET = option(None, "Save a contact sheet in this PNG file.", panel="Output", metavar="FILE.png")


@option_group
class SheetOption(Config):
    """The contact sheet."""

    sheet: Path | None = SHEET

    def __post_init__(self) -> None:
        """Validate each option, then the name of the sheet."""
        super().__post_init__()
        if self.sheet is not None:
            check_png("--sheet", self.sheet)


@option_group
class NetworkOptions(OutputOptions, DeviceOptions, SeedOption, OfflineOption, InspectedModelOption):
    """What every command has that opens a network.

    A command with a MODEL argument has `InspectedModelArgument` as its first base, in front of this group.
    """

    weights: str | None = option_like(
        WeightsOption,
        "weights",
        default=None,
        help=f"With a torchvision network: {WEIGHTS_HELP[0].lower()}{WEIGHTS_HELP[1:]}",
    )


@option_group
class InspectionOptions(OverwriteOption, ReadImagesOptions, NetworkOptions):
    """What every command has that opens a network, reads images and writes files."""
