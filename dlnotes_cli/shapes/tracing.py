"""Tracing a stack of layers: shape, parameters, cost and receptive field after each layer."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from math import prod

from dlnotes_cli.shapes.layer import (
    RESIDUAL,
    InvalidLayerError,
    Layer,
    LayerInfo,
    Shape,
    check_tensor_size,
    format_sample,
    format_shape,
    truncate,
)
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shapes.rules.arguments import bind
from dlnotes_cli.shapes.rules.layer_types import layer_type
from dlnotes_cli.shapes.sliding_window import SlidingWindow, TransposedWindow
from dlnotes_cli.shell.errors import InputError

MAX_LAYERS = 10_000


@dataclass(frozen=True)
class TracedLayer:
    """One layer in its stack; shapes and counts are those of one sample, without a batch dimension."""

    layer: Layer
    input: Shape
    output: Shape
    info: LayerInfo
    receptive_field: ReceptiveField

    @property
    def values(self) -> int:
        """The number of values in the output."""
        return prod(self.output)

    @property
    def windows(self) -> tuple[SlidingWindow | TransposedWindow, ...]:
        """The sliding windows of a convolution or pooling layer, one for each axis."""
        return self.info.windows


def trace(layers: Sequence[Layer], shape: Shape) -> tuple[TracedLayer, ...]:
    """Apply layers one after the other to one sample of `shape`, which has no batch dimension.

    The result is that of PyTorch for a batch of one in evaluation mode. Raises InputError, which names the layer,
    where PyTorch raises an error, where an output would be empty, or where a layer would consume the batch dimension.

    >>> from dlnotes_cli.shapes.parsing.layer_list import parse_layers
    >>> traced = trace(parse_layers("Conv2d(3, 10, 3); MaxPool2d(4, 4)"), (3, 130, 130))
    >>> [layer.output for layer in traced], sum(layer.info.parameters for layer in traced)
    ([(10, 128, 128), (10, 32, 32)], 280)
    """
    tracer = _Tracer(shape)
    tracer.apply_all(layers)
    return tuple(tracer.traced)


class _Tracer:
    """One sample on its way through the layers."""

    def __init__(self, shape: Shape) -> None:
        self.traced: list[TracedLayer] = []
        self._shape = (1, *shape)  # with the batch dimension
        self._receptive_field = ReceptiveField.of_input(shape)
        self._seen_weights: set[int] = set()

    def apply_all(self, layers: Sequence[Layer]) -> None:
        """Apply layers one after the other; those inside a Residual come before its addition."""
        for layer in layers:
            if layer.name == RESIDUAL:
                shortcut = self._shape
                self.apply_all(layer.positional)
                self._apply(replace(layer, text="Residual sum"), shortcut)
            else:
                self._apply(layer)

    def _apply(self, layer: Layer, shortcut: Shape | None = None) -> None:
        try:
            _check_order(layer, self.traced, self._seen_weights)
            info = layer_info(layer, self._shape) if shortcut is None else _residual_sum(shortcut, self._shape)
        except InvalidLayerError as error:
            raise InputError(_describe(len(self.traced) + 1, layer), error.what, error.fix) from error
        self._receptive_field = self._receptive_field.followed_by(info.field, self._shape)
        if info.parameters:
            self._seen_weights.add(id(layer))
        self.traced.append(TracedLayer(layer, self._shape[1:], info.output[1:], info, self._receptive_field))
        self._shape = info.output


def _residual_sum(shortcut: Shape, shape: Shape) -> LayerInfo:
    if shortcut != shape:
        what = f"adds {format_sample(shortcut)} to {format_sample(shape)}"
        raise InvalidLayerError(what, "keep the shape the same inside a Residual")
    return LayerInfo(shape)


def layer_info(layer: Layer, shape: Shape) -> LayerInfo:
    """What one layer computes for a batch of one; raises InvalidLayerError where PyTorch raises an error."""
    known = layer_type(layer.name)
    try:
        info = known.rule(bind(layer, known.signature), shape)
    except OverflowError as error:
        raise InvalidLayerError("a number is too large to compute with", "use a smaller number") from error
    check_tensor_size("an output", info.output)
    if layer.expected_output and layer.expected_output != info.output[1:]:
        what = f"does not give {format_shape(layer.expected_output)}, but {format_sample(info.output)}"
        raise InvalidLayerError(what, "correct the number")
    if info.output[0] != 1:
        sample, output = format_shape(shape[1:]), format_shape(info.output)
        what = f"reads the batch as channels, since {sample} has none, and returns {output}"
        raise InvalidLayerError(what, f"write the channels first: {format_shape(shape)}")
    return info


def _describe(position: int, layer: Layer) -> str:
    """How an error names a layer: position, location in a file, text."""
    return f"layer {position}{f' ({layer.location})' if layer.location else ''}, {truncate(layer.text)}"


def _check_order(layer: Layer, before: Sequence[TracedLayer], seen_weights: Container[int]) -> None:
    """Raise InvalidLayerError for what a layer cannot follow, whatever the shape."""
    if len(before) == MAX_LAYERS:
        raise InvalidLayerError(f"there are more than {MAX_LAYERS:,} layers", "use fewer")
    if id(layer) in seen_weights:
        raise InvalidLayerError("runs a second time with the same weights", "write a second layer for separate weights")
    if before and before[-1].info.returns_indices:
        what = "gets an output and its indices from the layer before"
        raise InvalidLayerError(what, "leave out return_indices=True there")
    if layer.name == "Embedding" and not all(traced.info.is_view for traced in before):
        raise InvalidLayerError("expects integer indices, but the layers before return floats", "put it first")
