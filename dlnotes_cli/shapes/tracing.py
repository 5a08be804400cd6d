"""Tracing a network: shape, parameters, cost and receptive field after each layer."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import NamedTuple

from dlnotes_cli.shapes.graph import INPUT, OPERATION_PREFIX, STATE, Network
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
    where PyTorch raises an error, where an output would be empty, where a layer would consume the batch dimension, or
    where one runs twice.

    >>> from dlnotes_cli.shapes.parsing.layer_list import parse_layers
    >>> traced = trace(parse_layers("Conv2d(3, 10, 3); MaxPool2d(4, 4)"), (3, 130, 130))
    >>> [layer.output for layer in traced], sum(layer.info.parameters for layer in traced)
    ([(10, 128, 128), (10, 32, 32)], 280)
    """
    return trace_network(Network.of_list(layers), shape, allow_shared=False)


def trace_network(network: Network, shape: Shape, *, allow_shared: bool = True) -> tuple[TracedLayer, ...]:
    """Apply the nodes of a network to one sample of `shape`, as `trace` does.

    A layer that runs again counts its parameters once; without `allow_shared` it is an error.
    """
    tracer = _Tracer(shape, allow_shared=allow_shared, is_code=network.is_code)
    ends = [INPUT]  # of each node, INPUT first, the position of its result among the traced layers
    for node in network.nodes:
        inputs = tuple(ends[index + 1] for index in node.inputs)
        try:
            ends.append(tracer.apply(node.layer, inputs, partial(_end, ends, node.offset)))
        except InputError as error:
            if network.notes:  # what was read is not all that the network does
                raise InputError(error.where, error.what, network.notes[0]) from error
            raise
    return tuple(tracer.traced)


def _end(ends: Sequence[int], offset: int, index: int) -> int:
    return ends[index + offset + 1]


class _Value(NamedTuple):
    """A tensor on its way through the network: its shape with the batch, and what it sees."""

    shape: Shape
    receptive_field: ReceptiveField
    is_input: bool = False  # the values of the input, perhaps reshaped, which may be indices
    is_constant: bool = False  # nothing of the input reaches it


class _Tracer:
    """One sample on its way through the layers."""

    def __init__(self, shape: Shape, *, allow_shared: bool, is_code: bool) -> None:
        self.traced: list[TracedLayer] = []
        self._values = [_Value((1, *shape), ReceptiveField.of_input(shape), is_input=True)]  # the input first
        self._allow_shared, self._is_code = allow_shared, is_code
        self._seen_weights: set[int] = set()

    def apply(self, layer: Layer, inputs: tuple[int, ...], position_of: Callable[[int], int]) -> int:
        """Apply a layer, those inside a Residual before its addition; returns the position of its result.

        `position_of` maps a node that an argument names to the position of its result.
        """
        if layer.name != RESIDUAL:
            return self._apply(layer, inputs, position_of)
        end = inputs
        for inner in layer.positional:
            end = (self.apply(inner, end, position_of),)
        return self._apply(replace(layer, text="Residual sum"), (*end, *inputs), position_of)

    def _apply(self, layer: Layer, inputs: tuple[int, ...], position_of: Callable[[int], int]) -> int:
        values = [self._values[index + 1] for index in inputs]
        shapes = [value.shape for value in values]
        try:
            self._check_order(layer, inputs)
            if self._is_code:
                from dlnotes_cli.shapes.deferred import resolved  # only the sizes of a forward() follow from shapes

                layer = resolved(layer, lambda node: self._values[position_of(node) + 1].shape)
            info = self._info(layer, inputs, shapes)
        except InvalidLayerError as error:
            raise InputError(_describe(len(self.traced) + 1, layer), error.what, error.fix) from error
        field = self._receptive_field(values, info)
        if info.parameters:
            info = info if id(layer) not in self._seen_weights else _without_weights(info)
            self._seen_weights.add(id(layer))
        output = _sample(info.output)
        before = _sample(shapes[0]) if shapes else output
        self.traced.append(TracedLayer(layer, before, output, info, field, inputs))
        is_input = bool(values) and all(value.is_input for value in values) and info.is_view
        self._values.append(_Value(info.output, field, is_input, all(value.is_constant for value in values)))
        return len(self.traced) - 1

    def _receptive_field(self, values: Sequence[_Value], info: LayerInfo) -> ReceptiveField:
        """The field after a layer; constants next to tensors of the same shape leave their field as it is."""
        seen = [value for value in values if not value.is_constant]
        if not seen:
            return ReceptiveField(self._values[0].receptive_field.input_size, None, None)
        if len(seen) < len(values) and seen[0].shape != info.output:
            return seen[0].receptive_field.followed_by("unknown", seen[0].shape)
        before = seen[0].receptive_field if len(seen) == 1 else _joined(seen)
        return before.followed_by(info.field, seen[0].shape)

    def _info(self, layer: Layer, inputs: tuple[int, ...], shapes: Sequence[Shape]) -> LayerInfo:
        if layer.name == RESIDUAL:
            return _residual_sum(shapes[1], shapes[0])
        if layer.name == STATE:
            states = self.traced[inputs[0]].info.states
            return LayerInfo(states[layer.positional[0]][1], field="unknown")
        if layer.name.startswith(OPERATION_PREFIX):
            from dlnotes_cli.shapes.rules.operations import operation_info  # only a forward() has operations

            info = operation_info(layer, shapes)
            check_tensor_size("an output", info.output)
            return info
        info = layer_info(layer, shapes[0])
        if self._is_code and info.states and len(shapes[0]) == 3 and not _has_batch_first(layer):  # noqa: PLR2004
            samples = shapes[0][1]  # in a layer list, the batch is always first
            states = tuple((name, (shape[0], samples, shape[2])) for name, shape in info.states)
            return info._replace(states=states)
        return info

    def _check_order(self, layer: Layer, inputs: tuple[int, ...]) -> None:
        """Raise InvalidLayerError for what a layer cannot follow, whatever the shape."""
        if len(self.traced) == MAX_LAYERS:
            raise InvalidLayerError(f"there are more than {MAX_LAYERS:,} layers", "use fewer")
        if id(layer) in self._seen_weights and not self._allow_shared:
            what = "runs a second time with the same weights"
            raise InvalidLayerError(what, "write a second layer for separate weights")
        has_pair = any(index != INPUT and self.traced[index].info.returns_indices for index in inputs)
        if has_pair and not self._is_code:
            what = "gets an output and its indices from the layer before"
            raise InvalidLayerError(what, "leave out return_indices=True there")
        if layer.name == "Embedding" and not self._values[inputs[0] + 1].is_input:
            raise InvalidLayerError("expects integer indices, but the layers before return floats", "put it first")


def _has_batch_first(layer: Layer) -> bool:
    return bool(bind(layer, layer_type(layer.name).signature)["batch_first"])


def _joined(values: Sequence[_Value]) -> ReceptiveField:
    return ReceptiveField.joined([value.receptive_field for value in values], [value.shape for value in values])


def _without_weights(info: LayerInfo) -> LayerInfo:
    """The numbers of a layer that runs again: its parameters and buffers are counted where it runs first."""
    formulas = tuple(formula for formula in info.count_formulas if formula[0] != "parameters")
    return info._replace(parameters=0, buffers=0, count_formulas=formulas)


def _sample(shape: Shape) -> Shape:
    """The shape for one sample; a result such as a hidden state has no batch in front, and is kept whole."""
    return shape[1:] if shape[0] == 1 else shape


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
        from dlnotes_cli.shapes.rules.operations import merged_rows  # only a forward() states shapes

        rows = merged_rows(shape, layer.expected_output[0])
        if rows is None:
            what = f"does not give {format_shape(layer.expected_output)}, but {format_sample(info.output)}"
            raise InvalidLayerError(what, "correct the number")
        return LayerInfo(rows, is_view=True, field="rearranged")
    if info.output[0] != 1 and shape[0] == 1:
        sample, output = format_shape(shape[1:]), format_shape(info.output)
        what = f"reads the batch as channels, since {sample} has none, and returns {output}"
        raise InvalidLayerError(what, f"write the channels first: {format_shape(shape)}")
    return info


def _describe(position: int, layer: Layer) -> str:
    """How an error names a layer: position, location in a file, text."""
    return f"layer {position}{f' ({layer.location})' if layer.location else ''}, {truncate(layer.text)}"
