"""Networks of torchvision with a head of our own: one way of finding the last layer serves them all."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

IMAGENET_CLASSES = 1000  # which all of torchvision's weights tell apart
_AUXILIARY = ("aux1", "aux2", "AuxLogits")  # heads that helped to train GoogLeNet and Inception, and nothing else
_OLD_NAME = re.compile(r"\.(norm|conv)\.([12])\.")  # in DenseNet's files, from when names could have dots
_STACK = 3  # blocks of one kind in a row from which on they count one by one
_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class Published:
    """Weights that torchvision publishes, and the form of images that they were trained for."""

    name: str  # IMAGENET1K_V1 for example
    url: str
    mebibytes: float
    parameters: int
    accuracy: float  # on ImageNet's validation split, of its 1,000 classes
    size: int  # pixels on a side
    crop_pct: float  # the part of the shorter side that `size` shows
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def file(self) -> str:
        """The file's name."""
        return PurePosixPath(self.url).name

    @property
    def sha256(self) -> str:
        """How the file's SHA-256 begins, in hexadecimal digits."""
        return self.file.rpartition(".")[0].rpartition("-")[2]


@dataclass(frozen=True)
class BackboneConfig:
    """All that it takes to build the network again."""

    backbone: str
    classes: int
    size: int  # pixels on each side that the backbone sees; images of another size are brought to it
    hidden: tuple[int, ...] = ()  # units of the head's hidden layers
    transform_input: bool = False  # of GoogLeNet and Inception, whose weights expect another scale

    def __post_init__(self) -> None:
        """Raise ValueError where no network could have this form."""
        if self.backbone not in names():
            raise ValueError(f"no network {self.backbone} in torchvision")
        if not 1 <= self.size <= _LARGEST_SIDE or self.classes < 1:
            raise ValueError("size of an image or classes")


class TransferModel(nn.Module):
    """A backbone without its last layer, and a head in its place.

    What stood behind the layer stays: of SqueezeNet, whose last layer is a 1x1 convolution, the mean over all places.
    """

    def __init__(self, backbone: nn.Module, head: nn.Sequential, size: int) -> None:
        super().__init__()
        self.backbone, self.head, self._size = backbone, head, size

    def forward(self, x: Tensor) -> Tensor:
        """Scaled images (N, 3, H, W) to logits (N, classes)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """What the head sees of images (N, 3, H, W): (N, F)."""
        if x.shape[2:] != (self._size, self._size):
            x = F.interpolate(x, (self._size, self._size), mode="bilinear", antialias=True)
        found: Tensor = self.backbone(x.contiguous(memory_format=torch.channels_last))
        return found.flatten(1)

    @property
    def width(self) -> int:
        """Features of an image."""
        return first_linear(self.head).in_features

    def train(self, mode: bool = True) -> "TransferModel":  # noqa: FBT002  # as PyTorch declares it
        """Set the mode; batch norm and dropout of what is frozen stay as in use."""
        super().train(mode)
        for _, block in blocks(self.backbone):
            if not any(parameter.requires_grad for parameter in block.parameters()):
                block.eval()
        return self


@cache
def names() -> tuple[str, ...]:
    """Every classification network of torchvision."""
    from torchvision import models

    return tuple(models.list_models(module=models))


def published(backbone: str) -> tuple[Published, ...]:
    """The weights of a network that torchvision publishes, its default first."""
    from torchvision import models

    table = models.get_model_weights(backbone)
    members = sorted(table, key=lambda member: member is not table.DEFAULT)
    return tuple(_published(member) for member in members)


def build_backbone(config: BackboneConfig) -> TransferModel:
    """A network from images (N, 3, H, W) to logits (N, classes), with PyTorch's first weights."""
    backbone = _bare(config.backbone, config.size)
    if hasattr(backbone, "transform_input"):
        setattr(backbone, "transform_input", config.transform_input)  # noqa: B010  # no module, as mypy thinks
    path, last = last_layer(backbone)
    inputs = last.in_features if isinstance(last, nn.Linear) else last.in_channels
    backbone.set_submodule(path, nn.Identity())
    return TransferModel(backbone, build_head(inputs, config.hidden, config.classes), config.size)


def build_head(inputs: int, hidden: tuple[int, ...], classes: int) -> nn.Sequential:
    """Features (N, inputs) to logits (N, classes): linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for narrow, wide in pairwise((inputs, *hidden)):
        layers += [nn.Linear(narrow, wide), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], classes))


def first_linear(head: nn.Sequential) -> nn.Linear:
    """The layer of a head that sees the features."""
    return next(layer for layer in head if isinstance(layer, nn.Linear))


def last_layer(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    """The layer that gives the class scores, and its name: the last linear one, or 1x1 convolution, of as many."""
    found = [(name, module) for name, module in network.named_modules() if _gives_scores(module)]
    return found[-1]


def blocks(backbone: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The parts of a network that have weights, with their names, from the image on.

    A part is what `freeze` and learning rates treat as one: a residual or transformer block, or a single layer.
    """
    for name, child in backbone.named_children():
        if next(child.parameters(), None) is None:
            continue
        if type(child) in {nn.Sequential, nn.ModuleList} or _is_stack(child):
            yield from blocks(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def load_backbone(network: TransferModel, backbone: str, weights: dict[str, Tensor]) -> str:
    """Put pretrained weights, as torchvision names them, into a network; its head is left alone.

    Returns what does not fit, "" where all does: the first tensor that differs, with both shapes. Tensors are taken
    over, not copied.
    """
    own = network.backbone.state_dict()
    with torch.device("meta"):
        head = f"{last_layer(_bare(backbone))[0]}."
    named = {name if name in own else _OLD_NAME.sub(r".\1\2.", name): tensor for name, tensor in weights.items()}
    given = {name: tensor for name, tensor in named.items() if not name.startswith((head, *_AUXILIARY))}
    for name, tensor in own.items():
        if name.endswith("num_batches_tracked"):  # which older files lack
            given.setdefault(name, torch.zeros_like(tensor, device="cpu"))
        have = f"{_shape(given[name])} in the file" if name in given else "missing in the file"
        if name in given and given[name].is_floating_point() != tensor.is_floating_point():
            return f"tensor {name} is {tensor.dtype} in {backbone}, {given[name].dtype} in the file"
        if name not in given or given[name].shape != tensor.shape:
            return f"tensor {name} is {_shape(tensor)} in {backbone}, {have}"
    strange = next((name for name in given if name not in own), None)
    if strange is not None:
        return f"tensor {strange} is {_shape(given[strange])} in the file, not in {backbone}"
    own.update(given)  # which keeps the versions of the layers, for which some of them ask
    network.backbone.load_state_dict(own, assign=True)
    return ""


def _bare(name: str, size: int | None = None) -> nn.Module:
    """A network of torchvision without the heads that only its training had.

    Vision transformers are made for one size of image: for `size`, where it is one that weights are published for.
    """
    network = _made(name)
    if getattr(network, "image_size", size) != size and size in {weights.size for weights in published(name)}:
        network = _made(name, image_size=size)
    for auxiliary in _AUXILIARY:
        if hasattr(network, auxiliary):
            setattr(network, auxiliary, None)
            setattr(network, "aux_logits", False)  # noqa: B010  # likewise
    return network


def _made(name: str, **details: Any) -> nn.Module:
    """A network of torchvision on the device that is the default."""
    from torchvision import models

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization of", FutureWarning)
        try:
            network: nn.Module = models.get_model(name, weights=None, **details)
        except NotImplementedError:  # RegNet computes its widths with tensors, which must have values
            with torch.device("cpu"):
                network = models.get_model(name, weights=None, **details)
            network = network.to(torch.get_default_device())
    return network


def _published(member: Any) -> Published:
    form = member.transforms()
    size, resized = form.crop_size[0], form.resize_size[0]
    metrics = member.meta["_metrics"]["ImageNet-1K"]
    return Published(
        member.name, member.url, member.meta["_file_size"], member.meta["num_params"], metrics["acc@1"] / 100,
        size, size / resized, form.interpolation.value, tuple(form.mean), tuple(form.std),
    )  # fmt: skip


def _gives_scores(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear):
        return module.out_features == IMAGENET_CLASSES
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.out_channels == IMAGENET_CLASSES


def _is_stack(module: nn.Module) -> bool:
    """Whether a module's work is done by a row of equal blocks in it, as in a transformer's encoder."""
    rows = [child for child in module.children() if type(child) is nn.Sequential]
    return any(len(row) >= _STACK and len({type(block) for block in row}) == 1 for row in rows)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
