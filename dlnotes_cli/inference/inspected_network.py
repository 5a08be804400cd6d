"""A trained network opened for inspection: its layers by name, and their activations for a batch."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn
from torch.func import functional_call

from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime, RuntimeInfo
from dlnotes_cli.networks.module_trace import trace_module
from dlnotes_cli.shapes.layer import format_shape
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shell.codec import INLINE
from dlnotes_cli.shell.errors import InputError, unknown_choice

_CNN_NAMES = {  # of the layers of a layer list, each followed by its number
    "Conv2d": "conv", "ConvTranspose2d": "deconv", "BatchNorm2d": "norm", "GroupNorm": "norm", "MaxPool2d": "pool",
    "AvgPool2d": "pool", "AdaptiveAvgPool2d": "pool", "AdaptiveMaxPool2d": "pool",
}  # fmt: skip
_PROBE = 2  # samples, so that an output without a batch dimension is recognized
_IMAGE_DIMENSIONS = 3
_WITHOUT_EFFECT = (nn.Dropout, nn.Dropout2d, nn.Identity)  # in evaluation mode


@dataclass(frozen=True)
class NamedLayer:
    """A layer that runs once in a forward pass and returns one tensor."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]  # of its output for one sample

    @property
    def kind(self) -> str:
        """The type of its module, Conv2d for example."""
        return type(self.module).__name__

    @property
    def is_spatial(self) -> bool:
        """Whether the output is maps (C, H, W) of more than one position."""
        return len(self.shape) == _IMAGE_DIMENSIONS and prod(self.shape[1:]) > 1

    @property
    def units(self) -> int:
        """Number of channels, or of values of an output without positions."""
        return self.shape[0] if self.shape else 1

    @property
    def parameters(self) -> int:
        """Number of parameters, those of layers inside it included."""
        return sum(parameter.numel() for parameter in self.module.parameters())


class LayerTable(NamedTuple):
    """The layers in the order in which they end; `aliases` are names of containers that return a layer's output."""

    layers: tuple[NamedLayer, ...]
    aliases: dict[str, str]


def tabulate_layers(network: nn.Module, names: dict[nn.Module, str], shape: tuple[int, ...]) -> LayerTable:
    """The layers of a network, in evaluation mode, for samples of `shape`; nothing is computed with values.

    Left out are layers without effect, those that run more than once, as they have no single output, and those that do
    not return one tensor with a row for each sample.
    """
    ended: list[tuple[nn.Module, object]] = []
    with ExitStack() as hooks:
        for module in names:
            hooks.enter_context(module.register_forward_hook(lambda *call: ended.append((call[0], call[2]))))
        _run_on_meta(network, shape)
    runs = Counter(module for module, _ in ended)
    layers: list[NamedLayer] = []
    aliases: dict[str, str] = {}
    last: object = None
    for module, outputs in ended:
        if runs[module] > 1 or not isinstance(outputs, Tensor) or isinstance(module, _WITHOUT_EFFECT):
            continue
        if outputs is last:  # a container, which returns what its last layer does
            aliases[names[module]] = layers[-1].name
        elif outputs.shape[:1] == (_PROBE,):
            layers.append(NamedLayer(names[module], module, tuple(outputs.shape[1:])))
            last = outputs
    return LayerTable(tuple(layers), aliases)


def numbered_names(network: nn.Module) -> dict[nn.Module, str]:
    """Names for the layers of a layer list by type and number: conv1, norm1, relu1, pool1, conv2 and so on."""
    names: dict[nn.Module, str] = {}
    counts: Counter[str] = Counter()
    for module in network.modules():
        if module is not network and type(module) is not nn.Sequential:
            kind = type(module).__name__
            name = _CNN_NAMES.get(kind, kind.lower())
            counts[name] += 1
            names[module] = f"{name}{counts[name]}"
    return names


def path_names(network: nn.Module, prefix: str = "") -> dict[nn.Module, str]:
    """Names for the layers of a network by their paths in it, without `prefix`."""
    around = {"", prefix.removesuffix(".")}  # the network and what holds the layers
    return {module: name.removeprefix(prefix) for name, module in network.named_modules() if name not in around}


def on_meta(network: nn.Module) -> Callable[[Tensor], Any]:
    """The network as a function of a tensor on the meta device, which computes shapes and no values."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    copies = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    return lambda x: functional_call(network, copies, (x,))


@torch.no_grad()
def _run_on_meta(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Run a network with shapes and no values. Raises whatever the network raises for this shape."""
    on_meta(network)(torch.empty(_PROBE, *shape, device="meta"))


_SIGNED = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm)  # layers with outputs of both signs
_FINE_SIDE = 7  # positions on a side of maps that show where a class is
_MOST_LISTED = 30  # names in an error


class _EndReachedError(Exception):
    """Ends a forward pass after the last layer that is needed."""


@dataclass(frozen=True)
class NetworkInfo:
    """Which network was looked at, and where it ran, as every result has it."""

    model: str
    weights: str
    runtime: RuntimeInfo = field(metadata=INLINE)


@dataclass(frozen=True)
class InspectedNetwork:
    """A classifier of images, in evaluation mode on its device; no parameter has a gradient, no ReLU is in place.

    `network` maps normalized images to logits (N, classes). Convolutional networks without a fixed input size accept
    images of other sizes than `input_shape`.
    """

    name: str  # as the user named it: a path, `small`, or a backbone
    kind: str  # in the registry of networks: mlp, cnn or backbone
    weights: str  # path of the file, or torchvision's name
    digest: str  # differs between weights
    network: nn.Module
    runtime: Runtime
    preprocessing: ImagePreprocessing
    classes: tuple[str, ...]
    input_size: int | None = None  # pixels per side to which `prepare` resizes; None: it does not
    names: dict[nn.Module, str] = field(default_factory=dict, repr=False)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits (N, classes), float32, of images as from `prepare`, in any memory format."""
        with self.runtime.autocast():
            logits: Tensor = self.network(self._laid_out(x))
        return logits.float()

    def prepare(self, samples: Tensor) -> Tensor:
        """Normalized images on the device, from pixels 0..255, uint8 or float (N, C, H, W); differentiable."""
        x = self.normalized(samples)
        if self.input_size is not None and x.shape[2:] != (self.input_size, self.input_size):
            x = F.interpolate(x, (self.input_size, self.input_size), mode="bilinear", antialias=True)
        return self._laid_out(x)

    def normalized(self, samples: Tensor) -> Tensor:
        """What `prepare` returns, at the size of `samples`."""
        return self._laid_out(self.normalizer(samples.to(self.runtime.device)))

    def _laid_out(self, x: Tensor) -> Tensor:
        return x if self.kind == "mlp" else x.contiguous(memory_format=torch.channels_last)

    def accepts(self, height: int, width: int) -> bool:
        """Whether the network reads images of this size without resizing them."""
        try:
            _run_on_meta(self.network, (self.input_shape[0], height, width))
        except (RuntimeError, ValueError, AssertionError, ZeroDivisionError):
            return False
        return True

    @cached_property
    def normalizer(self) -> Normalizer:
        """Maps pixels 0..255 to what the network expects."""
        return Normalizer(self.preprocessing, self.runtime.device)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that the network was trained on."""
        channels, height, width = self.preprocessing.shape
        return (channels, self.input_size or height, self.input_size or width)

    @cached_property
    def _table(self) -> LayerTable:
        return tabulate_layers(self.network, self.names, self.input_shape)

    @property
    def layers(self) -> tuple[NamedLayer, ...]:
        """The layers in forward order, as `dlnotes visualize layers` lists them."""
        return self._table.layers

    def layer(self, name: str, option: str = "--layer") -> NamedLayer:
        """The layer called `name`, or that a container of this name ends with. Raises InputError naming `option`."""
        name = self._table.aliases.get(name, name)
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        see = "" if len(names) <= _MOST_LISTED else f"see dlnotes visualize layers {self.name}"
        raise unknown_choice(option, name, names, kind="layer", see=see)

    @property
    def info(self) -> NetworkInfo:
        """The network as a result names it."""
        return NetworkInfo(self.name, self.weights, self.runtime.info)

    @property
    def title(self) -> str:
        """The network in the title of a sheet: its name; of a path the last two parts."""
        return f'model "{"/".join(Path(self.name).parts[-2:])}"'

    @property
    def output_layer(self) -> NamedLayer:
        """The last linear layer or convolution, whose units are the classes."""
        return next(layer for layer in reversed(self.layers) if isinstance(layer.module, nn.Linear | nn.Conv2d))

    @property
    def cam_layer(self) -> NamedLayer | None:
        """The default layer of CAM methods; None without feature maps.

        It is the last one with at least 7 positions on each side, as in ResNet, else one with most positions: each
        position of a coarser map covers most of the image. Convolutions and normalizations come last, as their outputs
        have both signs, and some methods read a negative feature as none.
        """
        before = [layer for layer in self.layers[: self.layers.index(self.output_layer)] if layer.is_spatial]
        needed = min(_FINE_SIDE, max((min(layer.shape[1:]) for layer in before), default=0))
        fine = [layer for layer in before if min(layer.shape[1:]) >= needed]
        rectified = [layer for layer in fine if not isinstance(layer.module, _SIGNED)]
        return next(reversed(rectified or fine), None)

    def class_index(self, name: str, option: str = "--class") -> int:
        """The class called `name`, in any case where that is unique, or with this index. Raises InputError."""
        if name in self.classes:
            return self.classes.index(name)
        alike = [i for i, known in enumerate(self.classes) if known.casefold() == name.casefold()]
        if len(alike) == 1:
            return alike[0]
        if name.isascii() and name.isdecimal() and int(name) < len(self.classes):
            return int(name)
        see = "" if len(self.classes) <= _MOST_LISTED else f"use a name or an index below {len(self.classes)}"
        raise unknown_choice(option, name, self.classes, kind="class", see=see)

    @contextmanager
    def capture(self, layers: Sequence[NamedLayer], *, detached: bool = False) -> Iterator[dict[str, Tensor]]:
        """Collect the outputs of layers, by name, during the forward passes in the block.

        The rest of the network gets a copy, so that no later layer overwrites them in place. They are part of the
        graph wherever gradients are enabled and the input requires one; with `detached` they become leaves that
        require a gradient, and the backward pass ends there.
        """
        outputs: dict[str, Tensor] = {}

        def store(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            outputs[name] = output.detach().requires_grad_() if detached else output
            return outputs[name].clone()

        with ExitStack() as hooks:
            for layer in layers:
                hooks.enter_context(layer.module.register_forward_hook(partial(store, layer.name)))
            yield outputs

    def activations(self, x: Tensor, layers: Sequence[NamedLayer]) -> dict[str, Tensor]:
        """Outputs (N, ...) of layers by name; the forward pass of `x` ends after the last of them."""

        def end(*_: object) -> None:
            raise _EndReachedError

        last = max(layers, key=self.layers.index)
        with (
            self.capture(layers) as outputs,
            last.module.register_forward_hook(end),  # after the hook that stores the output
            self.runtime.autocast(),
            suppress(_EndReachedError),
        ):
            self.network(x)
        return outputs


def receptive_fields(network: InspectedNetwork) -> dict[str, ReceptiveField]:
    """The field of each layer by name, in pixels of the network's input; layers where it is unknown are left out.

    Operations whose rule is not known, such as attention, make the field of what follows unknown.
    """
    fields = trace_module(network.network, [network.input_shape], on_meta(network.network)).fields
    return {layer.name: one for layer in network.layers if (one := fields.get(layer.module)) and one.size is not None}


def check_spatial(layer: NamedLayer, option: str = "--layer") -> None:
    """Raise InputError if a layer has no maps."""
    if not layer.is_spatial:
        what = f"the output of {layer.name} is {format_shape(layer.shape)}, which has no positions"
        raise InputError(option, what, "name a convolution, see dlnotes visualize layers")
