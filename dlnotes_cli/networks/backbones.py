"""torchvision's classification networks, and the bundled one, as backbones with a new head."""

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dlnotes_cli.networks import embedded
from dlnotes_cli.networks.choices import MAX_UNITS, check_hidden
from dlnotes_cli.networks.cnn import CnnConfig, build_cnn
from dlnotes_cli.networks.embedded import EMBEDDED_NAME
from dlnotes_cli.networks.torch_imports import meta_device, torchvision_models
from dlnotes_cli.shell.errors import InputError

_IMAGENET_CLASSES = 1000  # outputs of all of torchvision's weights
_AUXILIARY_HEADS = ("aux1", "aux2", "AuxLogits")  # of GoogLeNet and Inception, used only in their training
_OLD_NAME = re.compile(r"\.(norm|conv)\.([12])\.")  # in DenseNet's files, saved when module names could have dots
_MIN_STACK = 3  # equal blocks in a row that are treated one by one, not as one block
_MAX_SIZE = 4096
_IMAGE_DIMENSIONS, _CHANNELS = 3, 3


@dataclass(frozen=True)
class ExpectedImages:
    """How images are preprocessed for weights."""

    size: int  # pixels per side
    crop_pct: float  # fraction of the shorter side that the center crop keeps
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that torchvision publishes."""

    name: str  # for example IMAGENET1K_V1
    expected: ExpectedImages
    url: str
    mebibytes: float
    parameters: int
    accuracy: float  # top-1, on ImageNet's validation split

    @property
    def file(self) -> str:
        """The name of the file."""
        return PurePosixPath(self.url).name

    @property
    def sha256(self) -> str:
        """The first hexadecimal digits of the file's SHA-256, which are part of its name."""
        return self.file.rpartition(".")[0].rpartition("-")[2]


@dataclass(frozen=True)
class BackboneConfig:
    """The configuration of a backbone with a head, from which it can be built again."""

    backbone: str  # its name in torchvision, or small, the bundled network
    classes: int
    size: int  # pixels per side; images of another size are resized to it
    hidden: tuple[int, ...] = ()  # units of the head's hidden layers
    transform_input: bool = False  # GoogLeNet and Inception: rescale the input as their pretrained weights expect
    dropout: float = 0.0  # after each hidden layer of the head

    def __post_init__(self) -> None:
        """Validate the values, which may come from a file. Raises ValueError."""
        if self.backbone != EMBEDDED_NAME and self.backbone not in backbone_names():
            raise ValueError(f"no network {self.backbone} in torchvision")
        if not 1 <= self.size <= _MAX_SIZE or not 1 <= self.classes <= MAX_UNITS:
            raise ValueError("size of an image or classes")
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout")
        check_hidden(self.hidden)

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether the network reads samples of this shape: images of any size, which it resizes."""
        return len(shape) == _IMAGE_DIMENSIONS and shape[0] == _CHANNELS


class TransferModel(nn.Module):
    """A backbone without its last layer, and a head.

    Modules after the last layer stay part of the backbone: SqueezeNet's last layer is a 1x1 convolution, which is
    followed by global average pooling.
    """

    def __init__(self, backbone: nn.Module, head: nn.Sequential, size: int) -> None:
        super().__init__()
        self.backbone, self.head, self._size = backbone, head, size

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of normalized images (N, 3, H, W)."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Features (N, F), the head's input, of normalized images (N, 3, H, W)."""
        if x.shape[2:] != (self._size, self._size):
            x = F.interpolate(x, (self._size, self._size), mode="bilinear", antialias=True)
        features: Tensor = self.backbone(x.contiguous(memory_format=torch.channels_last))
        return features.flatten(1)

    @property
    def width(self) -> int:
        """The number of features of an image."""
        return first_linear(self.head).in_features

    def train(self, mode: bool = True) -> "TransferModel":  # noqa: FBT002  # as PyTorch declares it
        """Set the mode; frozen blocks stay in evaluation mode, so that batch norm and dropout do not change them."""
        super().train(mode)
        for _, block in named_blocks(self.backbone):
            if not any(parameter.requires_grad for parameter in block.parameters()):
                block.eval()
        return self


@cache
def backbone_names() -> tuple[str, ...]:
    """The names of torchvision's classification networks."""
    models = torchvision_models()
    return tuple(models.list_models(module=models))


def published_weights(backbone: str) -> tuple[PublishedWeights, ...]:
    """The weights that torchvision publishes for a backbone, the default first."""
    entries = torchvision_models().get_model_weights(backbone)
    default_first = sorted(entries, key=lambda entry: entry is not entries.DEFAULT)
    return tuple(_describe_weights(entry) for entry in default_first)


def build_backbone(config: BackboneConfig) -> TransferModel:
    """A backbone with a head, with PyTorch's initialization."""
    if config.backbone == EMBEDDED_NAME:
        head = build_head(embedded.CHANNELS, config.hidden, config.classes, config.dropout)
        layers = build_cnn(CnnConfig(embedded.FEATURES, (3, config.size, config.size), embedded.CHANNELS))
        return TransferModel(layers, head, config.size)
    backbone = build_torchvision(config.backbone, config.size, transform_input=config.transform_input)
    path, last = last_layer(backbone)
    backbone.set_submodule(path, nn.Identity())
    head = build_head(last.weight.shape[1], config.hidden, config.classes, config.dropout)
    return TransferModel(backbone, head, config.size)


def build_head(inputs: int, hidden: tuple[int, ...], classes: int, dropout: float = 0.0) -> nn.Sequential:
    """A head from features (N, inputs) to logits (N, classes): linear layers with ReLU and dropout between them.

    Dropout has names of its own, so that the weights have the same names with and without it.
    """
    layers: dict[str, nn.Module] = {}
    for i, (in_features, out_features) in enumerate(pairwise((inputs, *hidden))):
        layers |= {f"{2 * i}": nn.Linear(in_features, out_features), f"{2 * i + 1}": nn.ReLU()}
        if dropout:
            layers[f"dropout{i + 1}"] = nn.Dropout(dropout)
    layers[f"{2 * len(hidden)}"] = nn.Linear((inputs, *hidden)[-1], classes)
    return nn.Sequential(OrderedDict(layers))


def first_linear(head: nn.Sequential) -> nn.Linear:
    """The first linear layer of a head, whose input are the features."""
    return next(layer for layer in head if isinstance(layer, nn.Linear))


def last_layer(network: nn.Module) -> tuple[str, nn.Linear | nn.Conv2d]:
    """The name and module of the last linear layer, or 1x1 convolution, with ImageNet's number of outputs."""
    candidates = [(name, module) for name, module in network.named_modules() if _outputs_imagenet_classes(module)]
    return candidates[-1]


def named_blocks(backbone: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The blocks of a network that have parameters, with their names, from input to output.

    A block is what is frozen, or has a learning rate, as a whole: a residual or transformer block, or a single layer.
    """
    for name, child in backbone.named_children():
        if next(child.parameters(), None) is None:
            continue
        if type(child) in {nn.Sequential, nn.ModuleList} or _is_stack(child):
            yield from named_blocks(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def build_classifier(
    backbone: str, size: int, outputs: int = _IMAGENET_CLASSES, *, transform_input: bool = False
) -> nn.Module:
    """A network of torchvision for images of `size` pixels per side, with `outputs` classes and without weights."""
    network = build_torchvision(backbone, size, transform_input=transform_input)
    path, last = last_layer(network)
    inputs, has_bias = last.weight.shape[1], last.bias is not None
    is_linear = isinstance(last, nn.Linear)
    network.set_submodule(
        path, nn.Linear(inputs, outputs, has_bias) if is_linear else nn.Conv2d(inputs, outputs, 1, bias=has_bias)
    )
    return network


def count_outputs(backbone: str, weights: dict[str, Tensor]) -> int:
    """The number of classes of a backbone whose weights, with torchvision's names, are these."""
    tensor = weights.get(f"{_last_on_meta(backbone)[0]}.weight")
    return _IMAGENET_CLASSES if tensor is None or not tensor.ndim else len(tensor)


def _last_on_meta(backbone: str) -> tuple[str, nn.Linear | nn.Conv2d]:
    """The last layer of a network of torchvision, as `last_layer`, without memory."""
    with meta_device():
        return last_layer(build_torchvision(backbone))


def imagenet_classes(backbone: str) -> tuple[str, ...]:
    """The names of the 1000 classes of torchvision's weights; two pairs of classes share a name."""
    return tuple(torchvision_models().get_model_weights(backbone).DEFAULT.meta["categories"])


def load_backbone(network: TransferModel, backbone: str, weights: dict[str, Tensor], where: object) -> None:
    """Load pretrained weights, with the names of torchvision or of `small`, into a backbone without copying them.

    Raises InputError naming `where` they are from and the first tensor that does not fit; then nothing is loaded.
    """
    last = len(list(network.backbone.children())) if backbone == EMBEDDED_NAME else _last_on_meta(backbone)[0]
    fix = f"use weights of {backbone}, or another --backbone"
    load_classifier_weights(network.backbone, weights, where, fix, (f"{last}.", *_AUXILIARY_HEADS))


def load_classifier_weights(
    network: nn.Module, weights: dict[str, Tensor], where: object, fix: str,
    ignored: tuple[str, ...] = _AUXILIARY_HEADS,
) -> None:  # fmt: skip
    """Load weights with torchvision's names, as `load_state`, but for those whose names start with one of `ignored`."""
    state = network.state_dict()
    renamed = {name if name in state else _OLD_NAME.sub(r".\1\2.", name): tensor for name, tensor in weights.items()}
    loaded = {name: tensor for name, tensor in renamed.items() if not name.startswith(ignored)}
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):  # missing in older files
            loaded.setdefault(name, torch.zeros_like(tensor, device="cpu"))
    load_state(network, loaded, where, fix)


def load_state(network: nn.Module, tensors: dict[str, Tensor], where: object, fix: str, *, assign: bool = True) -> None:
    """Load named tensors. Raises InputError naming the first that does not fit; then nothing is loaded.

    With `assign` the tensors replace the network's own, which may be on the meta device;
    without it they are copied. Tensors of float16, which takes half the bytes in a file, become float32 where the
    network has it.
    """
    state = network.state_dict()
    halves = {name for name, tensor in tensors.items() if tensor.dtype == torch.float16}
    floats = {name for name, tensor in state.items() if tensor.dtype == torch.float32}
    tensors = {name: tensor.float() if name in halves & floats else tensor for name, tensor in tensors.items()}
    for name in dict.fromkeys([*state, *tensors]):
        if name not in tensors or name not in state:
            what = f"tensor {name} is missing" if name in state else f"the network has no tensor {name}"
            raise InputError(where, what, fix)
        both = tensors[name], state[name]
        shapes, types = (
            [f"shape {tuple(one.shape)}" for one in both],
            [f"{one.dtype}".removeprefix("torch.") for one in both],
        )
        for own, needed in (shapes, types):
            if own != needed:
                what = f"tensor {name}: {own} in the file, {needed.removeprefix('shape ')} in the network"
                raise InputError(where, what, fix)
    state.update(tensors)  # a state dict also holds version numbers that some layers need
    network.load_state_dict(state, assign=assign)


def torchvision_weights(network: TransferModel, backbone: str) -> dict[str, Tensor]:
    """The weights of a backbone and its head by torchvision's names; a head with hidden layers is numbered.

    Raises ValueError for SqueezeNet, in which torchvision applies ReLU after the last layer.
    """
    path, last = _last_on_meta(backbone)
    if not isinstance(last, nn.Linear):
        raise ValueError(path)  # noqa: TRY004  # a property of the network
    head = network.head.state_dict()
    if len(network.head) == 1:
        head = {name.removeprefix("0."): tensor for name, tensor in head.items()}
    return network.backbone.state_dict() | {f"{path}.{name}": tensor for name, tensor in head.items()}


def build_torchvision_classifier(config: BackboneConfig) -> nn.Module:
    """Torchvision's own network of a configuration, into which `torchvision_weights` fit: its last layer is the head.

    It reads images of `config.size` pixels per side.
    """
    network = build_torchvision(config.backbone, config.size, transform_input=config.transform_input)
    path, last = last_layer(network)
    head = build_head(int(last.weight.shape[1]), config.hidden, config.classes)
    network.set_submodule(path, head if config.hidden else head[0])
    return network


def torchvision_code(config: BackboneConfig) -> list[str]:
    """Lines of Python that build the network of `build_torchvision_classifier` with torchvision alone."""
    with meta_device():
        network = build_torchvision(config.backbone, config.size)
        path, last = last_layer(network)
        default_size = getattr(_instantiate(config.backbone), "image_size", None)
    is_own_head = bool(config.hidden) or last.bias is None  # MaxViT's last layer has no bias
    arguments = [] if is_own_head else [f"num_classes={config.classes}"]
    if getattr(network, "image_size", None) != default_size:
        arguments.append(f"image_size={config.size}")
    if hasattr(network, "aux_logits"):
        arguments += ["aux_logits=False", "init_weights=False", f"transform_input={config.transform_input}"]
    lines = [f"model = torchvision.models.{config.backbone}({', '.join(arguments)})"]
    if is_own_head:
        head = build_head(last.weight.shape[1], config.hidden, config.classes)
        layers = ", ".join(f"torch.nn.{layer}" for layer in head)
        module = f"torch.nn.Sequential({layers})" if config.hidden else layers
        lines.append(f'model.set_submodule("{path}", {module})')
    return lines


def build_torchvision(name: str, size: int | None = None, *, transform_input: bool = False) -> nn.Module:
    """A network of torchvision without auxiliary heads; GoogLeNet and Inception may rescale their input.

    A vision transformer has a fixed image size: it is built for `size` if weights of that size are published.
    """
    network = _instantiate(name)
    if getattr(network, "image_size", size) != size and size in {
        entry.expected.size for entry in published_weights(name)
    }:
        network = _instantiate(name, image_size=size)
    for head in _AUXILIARY_HEADS:
        if hasattr(network, head):
            setattr(network, head, None)
            setattr(network, "aux_logits", False)  # noqa: B010  # mypy takes it for a module
    if hasattr(network, "transform_input"):
        setattr(network, "transform_input", transform_input)  # noqa: B010  # likewise
    return network


def _instantiate(name: str, **arguments: Any) -> nn.Module:
    """A network of torchvision with random weights, on the default device."""
    models = torchvision_models()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization of", FutureWarning)
        try:
            network: nn.Module = models.get_model(name, weights=None, **arguments)
        except NotImplementedError:  # RegNet computes its widths with tensors, which have no values on the meta device
            with torch.device("cpu"), _WeightsOnMeta():
                network = models.get_model(name, weights=None, **arguments)
            network = network.to("meta")  # the few tensors that remain
    return network


class _WeightsOnMeta(TorchFunctionMode):
    """Creates the tensors of modules on the meta device, and others where PyTorch creates them."""

    def __torch_function__(  # the name is PyTorch's
        self, function: Any, _types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        is_module_tensor = function in {torch.empty, torch.zeros, torch.ones}
        return function(*args, **(kwargs or {}) | ({"device": "meta"} if is_module_tensor else {}))


def _describe_weights(entry: Any) -> PublishedWeights:
    """The description of a member of one of torchvision's enumerations of weights."""
    preprocessing = entry.transforms()
    size, resized = preprocessing.crop_size[0], preprocessing.resize_size[0]
    metrics = entry.meta["_metrics"]["ImageNet-1K"]
    expected = ExpectedImages(
        size, size / resized, preprocessing.interpolation.value, tuple(preprocessing.mean), tuple(preprocessing.std)
    )
    meta = entry.meta
    return PublishedWeights(
        entry.name, expected, entry.url, meta["_file_size"], meta["num_params"], metrics["acc@1"] / 100
    )


def _outputs_imagenet_classes(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear):
        return module.out_features == _IMAGENET_CLASSES
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.out_channels == _IMAGENET_CLASSES


def _is_stack(module: nn.Module) -> bool:
    """Whether a module contains a row of equal blocks, as a transformer's encoder does."""
    rows = [child for child in module.children() if type(child) is nn.Sequential]
    return any(len(row) >= _MIN_STACK and len({type(block) for block in row}) == 1 for row in rows)
