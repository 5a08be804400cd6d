"""Tracing a list of layers: shape, parameters, cost and receptive field after each layer."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from dlnotes_cli.shapes.layer import (
    INPUT,
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


class TracedLayer(NamedTuple):
    """One layer in its stack; shapes and counts are those of one sample, without a batch dimension."""

    layer: Layer
    input: Shape
    output: Shape
    info: LayerInfo
    receptive_field: ReceptiveField
    inputs: tuple[int, ...] = ()  # the positions of the layers whose outputs it reads; INPUT is the network's input

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
    end = INPUT
    for layer in layers:
        end = tracer.apply(layer, end)
    return tuple(tracer.traced)


class _Value(NamedTuple):
    """A tensor on its way through the network: its shape with the batch, and what it sees."""

    shape: Shape
    receptive_field: ReceptiveField
    is_input: bool = False  # the values of the input, perhaps reshaped, which may be indices


class _Tracer:
    """One sample on its way through the layers."""

    def __init__(self, shape: Shape) -> None:
        self.traced: list[TracedLayer] = []
        self._values = [_Value((1, *shape), ReceptiveField.of_input(shape), is_input=True)]  # the input first

    def apply(self, layer: Layer, source: int) -> int:
        """Apply a layer, those inside a Residual before its addition; returns the position of its result."""
        if layer.name != RESIDUAL:
            return self._apply(layer, (source,))
        end = source
        for inner in layer.positional:
            end = self.apply(inner, end)
        return self._apply(replace(layer, text="Residual sum"), (end, source))

    def _apply(self, layer: Layer, inputs: tuple[int, ...]) -> int:
        values = [self._values[index + 1] for index in inputs]
        shapes = [value.shape for value in values]
        try:
            self._check_order(layer, inputs[0])
            info = _residual_sum(shapes[1], shapes[0]) if layer.name == RESIDUAL else layer_info(layer, shapes[0])
        except InvalidLayerError as error:
            raise InputError(_describe(len(self.traced) + 1, layer), error.what, error.fix) from error
        before = values[0].receptive_field
        if len(values) > 1:
            before = ReceptiveField.joined([value.receptive_field for value in values], shapes)
        field = before.followed_by(info.field, shapes[0])
        traced = TracedLayer(layer, sample_shape(shapes[0]), sample_shape(info.output), info, field, inputs)
        self.traced.append(traced)
        self._values.append(_Value(info.output, field, values[0].is_input and info.is_view))
        return len(self.traced) - 1

    def _check_order(self, layer: Layer, source: int) -> None:
        """Raise InvalidLayerError for what a layer cannot follow, whatever the shape."""
        if len(self.traced) == MAX_LAYERS:
            raise InvalidLayerError(f"there are more than {MAX_LAYERS:,} layers", "use fewer")
        if source != INPUT and self.traced[source].info.returns_indices:
            what = "gets an output and its indices from the layer before"
            raise InvalidLayerError(what, "leave out return_indices=True there")
        if layer.name == "Embedding" and not self._values[source + 1].is_input:
            raise InvalidLayerError("expects integer indices, but the layers before return floats", "put it first")


def sample_shape(shape: Shape) -> Shape:
    """The shape for one sample; a result such as a hidden state has no batch in front, and is kept whole."""
    return shape[1:] if shape[:1] == (1,) else shape


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
    if info.output[0] != 1 and shape[0] == 1:
        sample, output = format_shape(shape[1:]), format_shape(info.output)
        what = f"reads the batch as channels, since {sample} has none, and returns {output}"
        raise InvalidLayerError(what, f"write the channels first: {format_shape(shape)}")
    return info._replace(parameters=info.parameters - layer.tied)


def _describe(position: int, layer: Layer) -> str:
    """How an error names a layer: position, location in a file, text."""
    return f"layer {position}{f' ({layer.location})' if layer.location else ''}, {truncate(layer.text)}"
