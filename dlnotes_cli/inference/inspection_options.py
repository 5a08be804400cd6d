"""The options that `explain` and `visualize` share: the network, the layer, and where results are written."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import option
from dlnotes_cli.training.options import complete_models


def _complete(incomplete: str) -> list[str]:
    """Names of networks and trained models that start with `incomplete`."""
    named = [name for name in (EMBEDDED_NAME, *BACKBONES) if name.startswith(incomplete)]
    return [*named, *complete_models(incomplete)]


MODEL = option(
    EMBEDDED_NAME,
    "Run or model file of an image classifier, a torchvision network, or small (bundled, CIFAR-10).",
    panel="Model", metavar="MODEL", is_argument=True, complete=_complete,
)  # fmt: skip
MODEL_OPTION = replace(MODEL, is_argument=False)
IMAGES = option(
    (), "Images, patterns such as 'in/*.jpg', or a folder of images, including its subfolders.", panel="Data",
    is_argument=True, metavar="IMAGE", shown_default="a bundled image",
)  # fmt: skip
WEIGHTS = option(
    None, "Weights of a torchvision network: a name, a .pth or .safetensors file, none (random) or default.",
    panel="Model", shown_default="", metavar="NAME|FILE", complete=lambda: ["default", "none"],
)  # fmt: skip


def layer_option(shown_default: str, **details: Any) -> Any:
    """The option `--layer` of a command, with its default."""
    text = "Layer, by its name in 'dlnotes visualize layers MODEL'."
    return option(None, text, panel="Model", metavar="NAME", shown_default=shown_default, **details)


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(common.OnDevice):
    """The options of a command that opens a network for inspection."""

    is_shared: ClassVar[bool] = True
    model: str = MODEL
    weights: str | None = WEIGHTS
    offline: bool = common.OFFLINE
    seed: int = common.SEED
