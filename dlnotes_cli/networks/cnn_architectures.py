"""The architectures of `train-cnn`: one table with everything that the options and the training know about each.

An architecture writes a network as a layer list, for images of any size and number of channels. Adding one means adding
a function and its entry in ARCHITECTURES here. The options read the table, so this module imports no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

_MIN_FINAL_SIDE = 3  # positions on a side before the global pooling
_MAX_BODY_SIDE = 16  # positions on a side after the strided convolutions of `fast`
_MAX_SIDE = 32  # likewise of `large`
_FAST_MOMENTUM = 0.4  # of batch norm, whose statistics follow weights that change quickly
SCORE_SCALE = 1 / 9  # of the initial weights of the output layer of `large`, whose inputs are maxima
_STAGES = 3  # of the residual network
_BLOCKS = 2  # in each stage


class CnnSpec(NamedTuple):
    """The images and classes of a network, and the options of `train-cnn` that change its layers."""

    in_channels: int
    height: int
    width: int
    classes: int
    dropout: float = 0.0
    batch_norm: bool = True
    width_multiplier: float = 1.0  # of every number of channels inside the network

    @property
    def side(self) -> int:
        """The shorter side of an image."""
        return min(self.height, self.width)

    def scaled(self, channels: int, multiple: int = 8) -> int:
        """A number of channels times the width multiplier, rounded to a multiple that suits vector instructions."""
        return max(multiple, multiple * round(channels * self.width_multiplier / multiple))


@dataclass(frozen=True)
class CnnArchitecture:
    """One choice of `--arch`."""

    summary: str  # for the help
    layers: Callable[[CnnSpec], str]  # the layer list
    dropout: float = 0.0  # default of --dropout
    batch_norm: bool = True  # default of --batch-norm
    start: Literal["he", "whitened", "identity"] = "he"  # the default of --init with the recipe `best`


def fast(spec: CnnSpec) -> str:
    """The most accurate network per second of training on two cores, of those we tried.

    Strided convolutions reduce the image to at most 16 positions on a side; each stage halves the side and doubles the
    channels. Pooling before normalization leaves it a quarter of the positions. A global max pool precedes the linear
    layer (Jordan 2024, arXiv:2404.00498).
    """
    stem, side = spec.scaled(32), spec.side
    lines: list[str] = []
    inputs = spec.in_channels
    while side > _MAX_BODY_SIDE or not lines:
        stride = 2 if side > _MAX_BODY_SIDE else 1
        lines.append(_convolution_block(inputs, stem, spec, f"3, stride={stride}, padding=1"))
        inputs, side = stem, -(-side // stride)
    channels = 2 * stem
    while side >= 2 * _MIN_FINAL_SIDE:
        lines.append(_convolution_block(inputs, channels, spec, pool=True))
        lines.append(_convolution_block(channels, 2 * channels, spec))
        inputs = channels = 2 * channels
        side //= 2
    return "\n".join([*lines, _head(inputs, spec, "Max")])


def large(spec: CnnSpec) -> str:
    """The most accurate network for 10,000 training images and more, of those we tried (Jordan 2024, arXiv:2404.00498).

    A convolution with whitening filters is followed by three stages, which halve the side in a max pooling and convolve
    once more; the last two have four times as many channels. A global max pool precedes the linear layer. Strided
    convolutions reduce larger images to at most 32 positions on a side.
    """
    kernel, stride = 3 if spec.in_channels == 1 or spec.side > _MAX_SIDE else 2, 2 if spec.side > _MAX_SIDE else 1
    inputs = 8 * min(2, spec.in_channels * kernel**2 // 4)  # filters in pairs, at most one pair per value of a patch
    lines = [f"Conv2d({spec.in_channels}, {inputs}, {kernel}{f', stride={stride}' if stride > 1 else ''}); GELU()"]
    side, narrow = (spec.side - kernel) // stride + 1, spec.scaled(64, 16)
    while side > _MAX_SIDE:
        lines.append(_gelu_block(inputs, narrow, spec, "3, stride=2, padding=1"))
        inputs, side = narrow, -(-side // 2)
    for channels in (narrow, 4 * narrow, 4 * narrow):
        if side < 2 * _MIN_FINAL_SIDE:
            break
        lines.append(_gelu_block(inputs, channels, spec, pool=True))
        lines.append(_gelu_block(channels, channels, spec))
        inputs, side = channels, side // 2
    return "\n".join([*lines, f"AdaptiveMaxPool2d(1); Flatten(){_dropout(spec)}; Linear({inputs}, {spec.classes})"])


def notes_cnn(spec: CnnSpec) -> str:
    """The course's CIFAR-10 network: 541,094 parameters for 32x32 color images."""
    lines: list[str] = []
    inputs, height, width = spec.in_channels, spec.height, spec.width
    for outputs in (spec.scaled(16), spec.scaled(32), spec.scaled(64)):
        lines.append(_convolution_block(inputs, outputs, spec) + "; MaxPool2d(2, 2)")
        inputs, height, width = outputs, height // 2, width // 2
    hidden = spec.scaled(500) if spec.width_multiplier != 1 else 500
    lines.append(f"Flatten(){_dropout(spec)}")
    lines.append(f"Linear({inputs * height * width}, {hidden}); ReLU(){_dropout(spec)}")
    return "\n".join([*lines, f"Linear({hidden}, {spec.classes})"])


def resnet(spec: CnnSpec) -> str:
    """A small residual network of pre-activation blocks (He et al. 2016, arXiv:1603.05027)."""
    channels = spec.scaled(32)
    stride = 2 if spec.side > 2 * _MAX_BODY_SIDE else 1
    lines = [_convolution(spec.in_channels, channels, spec, f"3, stride={stride}, padding=1")]
    for stage in range(_STAGES):
        if stage:
            downsampling = _convolution(channels, 2 * channels, spec, "3, stride=2, padding=1")
            lines.append(f"{_norm_and_relu(channels, spec)}; {downsampling}")
            channels *= 2
        lines += [_residual_block(channels, spec)] * _BLOCKS
    return "\n".join([*lines, _norm_and_relu(channels, spec), _head(channels, spec, "Avg")])


ARCHITECTURES: dict[str, CnnArchitecture] = {
    "fast": CnnArchitecture(
        "a small convolutional network with a whitened first layer, best for small data", fast, start="whitened"
    ),
    "large": CnnArchitecture(
        "a larger one for 10,000 training images or more, whose width grows with the time budget",
        large,
        start="identity",
    ),
    "notes-cnn": CnnArchitecture(
        "the course's three-layer CIFAR-10 network", notes_cnn, dropout=0.25, batch_norm=False
    ),
    "resnet": CnnArchitecture("a small residual network", resnet),
}


def _residual_block(channels: int, spec: CnnSpec) -> str:
    half = f"{_norm_and_relu(channels, spec)}, {_convolution(channels, channels, spec)}".replace(";", ",")
    return f"Residual({half}, {half})"


def _norm_and_relu(channels: int, spec: CnnSpec) -> str:
    return f"{f'BatchNorm2d({channels}); ' if spec.batch_norm else ''}ReLU()"


def _convolution_block(
    inputs: int, outputs: int, spec: CnnSpec, kernel: str = "3, padding=1", *, pool: bool = False
) -> str:
    pooling = "; MaxPool2d(2)" if pool else ""
    return f"{_convolution(inputs, outputs, spec, kernel)}{pooling}; {_norm_and_relu(outputs, spec)}"


def _gelu_block(inputs: int, outputs: int, spec: CnnSpec, kernel: str = "3, padding=1", *, pool: bool = False) -> str:
    pooling = "; MaxPool2d(2)" if pool else ""
    norm = f"; BatchNorm2d({outputs}, momentum={_FAST_MOMENTUM})" if spec.batch_norm else ""
    return f"{_convolution(inputs, outputs, spec, kernel)}{pooling}{norm}; GELU()"


def _convolution(inputs: int, outputs: int, spec: CnnSpec, kernel: str = "3, padding=1") -> str:
    """A convolution; without bias in front of a batch norm, which would subtract it."""
    return f"Conv2d({inputs}, {outputs}, {kernel}{', bias=False' if spec.batch_norm else ''})"


def _head(channels: int, spec: CnnSpec, pooling: str) -> str:
    return f"Adaptive{pooling}Pool2d(1); Flatten(){_dropout(spec)}; Linear({channels}, {spec.classes})"


def _dropout(spec: CnnSpec) -> str:
    return f"; Dropout({spec.dropout:g})" if spec.dropout else ""
