"""The networks of `train-cnn`, written as layer lists for images of any size and number of channels."""

from collections.abc import Callable
from typing import NamedTuple

_FEWEST_POSITIONS = 3  # on a side before the global pooling
_LARGEST_BODY = 16  # on a side after the strided convolutions
_STAGES = 3  # of the residual network
_BLOCKS = 2  # in each of them


class Form(NamedTuple):
    """What a network is made for, and the experiments of the course with it."""

    channels: int
    height: int
    width: int
    classes: int
    dropout: float = 0.0
    batch_norm: bool = True
    factor: float = 1.0  # of every number of channels within

    @property
    def side(self) -> int:
        """The shorter side of an image."""
        return min(self.height, self.width)

    def scaled(self, channels: int) -> int:
        """A number of channels by the factor, in eights, as vector units like it."""
        return max(8, 8 * round(channels * self.factor / 8))


def fast(form: Form) -> str:
    """The most accurate network per second of training that we know on two cores.

    Strided convolutions leave at most 16 positions on a side, where the work is then done: each stage halves the side
    and doubles the channels. Pooling comes before normalization, which then has a quarter of the work; the maximum over
    the last positions goes to the classes (Jordan 2024, arXiv:2404.00498).
    """
    stem, side = form.scaled(32), form.side
    lines: list[str] = []
    inputs = form.channels
    while side > _LARGEST_BODY or not lines:
        stride = 2 if side > _LARGEST_BODY else 1
        lines.append(_convolution(inputs, stem, form, f"3, stride={stride}, padding=1"))
        inputs, side = stem, -(-side // stride)
    channels = 2 * stem
    while side >= 2 * _FEWEST_POSITIONS:
        lines += [_convolution(inputs, channels, form, pool=True), _convolution(channels, 2 * channels, form)]
        inputs = channels = 2 * channels
        side //= 2
    return "\n".join([*lines, _head(inputs, form, "Max")])


def large(form: Form) -> str:
    """The most accurate network that we know for ten minutes of training and more on two cores.

    Three and a half times the work of `fast` for each image: it starts at up to 32 positions on a side, where edges
    are still whole. Three stages halve the side, then convolve once more (after Jordan 2024, arXiv:2404.00498).
    """
    stem, side = form.scaled(24), form.side
    lines: list[str] = []
    inputs = form.channels
    while side > 2 * _LARGEST_BODY or not lines:
        stride = 2 if side > 2 * _LARGEST_BODY else 1
        lines.append(_convolution(inputs, stem, form, f"3, stride={stride}, padding=1"))
        inputs, side = stem, -(-side // stride)
    for channels in (form.scaled(48), form.scaled(192), form.scaled(192)):
        if side < 2 * _FEWEST_POSITIONS:
            break
        lines += [_convolution(inputs, channels, form, pool=True), _convolution(channels, channels, form)]
        inputs, side = channels, side // 2
    return "\n".join([*lines, _head(inputs, form, "Max")])


def notes_cnn(form: Form) -> str:
    """The course's CIFAR-10 network: 541,094 parameters for 32x32 pixels in color."""
    lines: list[str] = []
    inputs, height, width = form.channels, form.height, form.width
    for outputs in (form.scaled(16), form.scaled(32), form.scaled(64)):
        lines.append(_convolution(inputs, outputs, form) + "; MaxPool2d(2, 2)")
        inputs, height, width = outputs, height // 2, width // 2
    hidden = form.scaled(500) if form.factor != 1 else 500
    lines.append(f"Flatten(){_dropout(form)}")
    lines.append(f"Linear({inputs * height * width}, {hidden}); ReLU(){_dropout(form)}")
    return "\n".join([*lines, f"Linear({hidden}, {form.classes})"])


def resnet(form: Form) -> str:
    """A small residual network of pre-activation blocks (He and others 2016, arXiv:1603.05027)."""
    channels = form.scaled(32)
    stride = 2 if form.side > 2 * _LARGEST_BODY else 1
    lines = [_plain(form.channels, channels, form, f"3, stride={stride}, padding=1")]
    for stage in range(_STAGES):
        if stage:
            lines.append(
                f"{_activated(channels, form)}; {_plain(channels, 2 * channels, form, '3, stride=2, padding=1')}"
            )
            channels *= 2
        lines += [_residual(channels, form)] * _BLOCKS
    return "\n".join([*lines, _activated(channels, form), _head(channels, form, "Avg")])


NETWORKS = {"fast": fast, "large": large, "notes-cnn": notes_cnn, "resnet": resnet}


def _residual(channels: int, form: Form) -> str:
    half = f"{_activated(channels, form)}, {_plain(channels, channels, form)}".replace(";", ",")
    return f"Residual({half}, {half})"


def _activated(channels: int, form: Form) -> str:
    return f"{f'BatchNorm2d({channels}); ' if form.batch_norm else ''}ReLU()"


def _convolution(inputs: int, outputs: int, form: Form, window: str = "3, padding=1", *, pool: bool = False) -> str:
    halved = "; MaxPool2d(2)" if pool else ""
    return f"{_plain(inputs, outputs, form, window)}{halved}; {_activated(outputs, form)}"


def _plain(inputs: int, outputs: int, form: Form, window: str = "3, padding=1") -> str:
    """A convolution; its bias would be taken away again by a batch norm that follows."""
    return f"Conv2d({inputs}, {outputs}, {window}{', bias=False' if form.batch_norm else ''})"


def _head(channels: int, form: Form, pooling: str) -> str:
    return f"Adaptive{pooling}Pool2d(1); Flatten(){_dropout(form)}; Linear({channels}, {form.classes})"


def _dropout(form: Form) -> str:
    return f"; Dropout({form.dropout:g})" if form.dropout else ""


class Architecture(NamedTuple):
    """Placeholder until merge."""

    build: "Callable[[Form], str]"
    dropout: float
    batch_norm: bool
    is_whitened: bool


ARCHITECTURES = {
    "fast": Architecture(fast, 0.0, batch_norm=True, is_whitened=True),
    "large": Architecture(large, 0.0, batch_norm=True, is_whitened=True),
    "notes-cnn": Architecture(notes_cnn, 0.25, batch_norm=False, is_whitened=False),
    "resnet": Architecture(resnet, 0.0, batch_norm=True, is_whitened=False),
}
