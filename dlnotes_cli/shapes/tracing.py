"""Tracing a list of layers: shape, parameters, cost and receptive field after each layer."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from dlnotes_cli.shapes.layer import (
    INPUT,
    MAX_BYTES,
    RESIDUAL,
    InvalidLayerError,
    Layer,
    LayerInfo,
    Shape,
    format_sample,
    format_shape,
    require,
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
    traced: list[TracedLayer] = []
    values = {INPUT: _Value((1, *shape), ReceptiveField.of_input(shape), is_input=True)}

    def run(layer: Layer, source: int) -> int:
        """Apply a layer, those inside a Residual before its addition; returns the position of its result."""
        inputs: tuple[int, ...] = (source,)
        if layer.name == RESIDUAL:
            end = source
            for inner in layer.positional:
                end = run(inner, end)
            layer, inputs = replace(layer, text="Residual sum"), (end, source)
        first, *others = (values[position] for position in inputs)
        try:
            _check_order(layer, traced, inputs[0], is_input=first.is_input)
            info = _residual_sum(first.shape, others[0].shape) if others else layer_info(layer, first.shape)
        except InvalidLayerError as error:
            location = f" ({layer.location})" if layer.location else ""
            where = f"layer {len(traced) + 1}{location}, {truncate(layer.text)}"
            raise InputError(where, error.what, error.fix) from error
        field = first.field
        if others:
            field = ReceptiveField.joined([first.field, others[0].field], [first.shape, others[0].shape])
        field = field.followed_by(info.field, first.shape)
        values[len(traced)] = _Value(info.output, field, first.is_input and info.is_view)
        traced.append(TracedLayer(layer, sample_shape(first.shape), sample_shape(info.output), info, field, inputs))
        return len(traced) - 1

    end = INPUT
    for layer in layers:
        end = run(layer, end)
    return tuple(traced)


class _Value(NamedTuple):
    """A tensor on its way through the network: its shape with the batch, and what it sees."""

    shape: Shape
    field: ReceptiveField
    is_input: bool = False  # the values of the input, perhaps reshaped, which may be indices


def _check_order(layer: Layer, traced: Sequence[TracedLayer], source: int, *, is_input: bool) -> None:
    """Raise InvalidLayerError for what a layer cannot follow, whatever the shape."""
    require(len(traced) < MAX_LAYERS, f"there are more than {MAX_LAYERS:,} layers", "use fewer")
    is_tensor = source == INPUT or not traced[source].info.returns_indices
    require(is_tensor, "gets an output and its indices from the layer before", "leave out return_indices=True there")
    has_indices = is_input or layer.name != "Embedding"
    require(has_indices, "expects integer indices, but the layers before return floats", "put it first")


def sample_shape(shape: Shape) -> Shape:
    """The shape for one sample; a result such as a hidden state has no batch in front, and is kept whole."""
    return shape[1:] if shape[:1] == (1,) else shape


def _residual_sum(shape: Shape, shortcut: Shape) -> LayerInfo:
    what = f"adds {format_sample(shortcut)} to {format_sample(shape)}"
    require(shortcut == shape, what, "keep the shape the same inside a Residual")
    return LayerInfo(shape)


def layer_info(layer: Layer, shape: Shape) -> LayerInfo:
    """What one layer computes for a batch of one; raises InvalidLayerError where PyTorch raises an error."""
    known = layer_type(layer.name)
    try:
        info = known.rule(bind(layer, known.declaration, known.rank), shape)
    except OverflowError as error:
        raise InvalidLayerError("a number is too large to compute with", "use a smaller number") from error
    output, sample = format_shape(info.output), format_shape(shape[1:])
    require(min(info.output, default=1) > 0, f"an output of {output} is empty", "every size must be at least 1")
    is_addressable = 4 * max(prod(info.output), info.parameters) <= MAX_BYTES
    what = f"an output of {output}, or its weights, is larger than 64 bits can address"
    require(is_addressable, what, "reduce its size")
    what = f"reads the batch as channels, since {sample} has none, and returns {output}"
    require(info.output[0] == 1 or shape[0] != 1, what, f"write the channels first: {format_shape(shape)}")
    return info._replace(parameters=info.parameters - layer.tied)
