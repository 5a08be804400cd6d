"""The analysis of a stack of layers: totals, memory, and the numbers of each layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

from dlnotes_cli.shapes.choices import AssumedOptimizer, Dtype
from dlnotes_cli.shapes.course import course_notes, recurrent_notes
from dlnotes_cli.shapes.layer import INPUT, Layer, Shape, format_shape
from dlnotes_cli.shapes.parsing.layer_list import LayerList, parse_list
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shapes.table import LayerReport, byte_text, layer_table
from dlnotes_cli.shapes.tracing import TracedLayer, trace
from dlnotes_cli.shell.codec import HIDDEN, INLINE, OPTIONAL
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
OPTIMIZER_STATES: dict[AssumedOptimizer, int] = {  # state tensors for each parameter tensor
    "sgd": 0, "momentum": 1, "rmsprop": 1, "adagrad": 1, "adam": 2, "adamw": 2
}  # fmt: skip
_INDEX_BYTES = 8  # the indices of an embedding are int64


class UnusedPart(NamedTuple):
    """A module that does not run, or a parameter that nothing reads."""

    name: str
    parameters: int
    buffers: int


class Memory(NamedTuple):
    """Memory in bytes of a stack and a batch.

    Inference holds the weights and buffers, and at each layer its output and the tensors that it or a later layer
    reads: in a list of layers, one input and one output. The largest sum counts. Training holds the weights, their
    gradients, the optimizer's state and every activation for the backward pass. A layer that works in place or returns
    a view shares its input's memory.
    """

    weights_bytes: int
    buffers_bytes: int
    gradients_bytes: int
    optimizer_bytes: int
    activations_bytes: int
    inference_bytes: int
    training_bytes: int


@dataclass(frozen=True)
class NetworkReport:
    """A traced stack of layers and the numbers that follow from it.

    Shapes are those of one sample; MACs, FLOPs, bias additions, activations and memory those of `batch` samples.
    """

    input: Shape
    traced: tuple[TracedLayer, ...] = field(metadata=HIDDEN)
    batch: int
    dtype: Dtype
    optimizer: AssumedOptimizer
    notes: tuple[str, ...] = field(metadata=HIDDEN)
    more_inputs: tuple[Shape, ...] | None = field(metadata=OPTIONAL)  # besides `input`
    trainable: int | None = field(metadata=OPTIONAL)  # parameters with a gradient, where others have none
    unused: tuple[UnusedPart, ...] | None = field(metadata=OPTIONAL)  # counted all the same, as by torch
    output: Shape
    values: int  # of one sample's output
    parameters: int
    buffers: int  # values that are stored but not trained, such as running means
    macs: int  # of convolutions, linear and recurrent layers, without the bias
    bias_adds: int
    flops: int  # floating-point operations: 2 for each MAC
    receptive_field: ReceptiveField = field(metadata=INLINE)  # of the output
    activation_bytes: int  # of all outputs of layers
    memory: Memory
    layers: tuple[LayerReport, ...]

    def table(self) -> Iterator[Table | str]:
        """The layers, the formulas of each if there are some, and the totals; nothing without layers."""
        if not self.layers:
            return
        yield layer_table(self.layers)
        for index, layer in enumerate(self.layers, 1):
            if layer.formulas:
                yield from ("", f"{index}  {layer.layer}")
                yield from (f"   {quantity}: {formula}" for quantity, formula in layer.formulas.items())
        yield ""
        sizes = f"{format_shape(self.output)} = " if len(self.output) > 1 else ""
        yield f"output      {sizes}{self.values:,} values"
        for index, layer in enumerate(self.layers, 1):
            if layer.hidden:
                cell = f", cell {format_shape(layer.cell)}" if layer.cell else ""
                yield f"states      layer {index}: hidden {format_shape(layer.hidden)}{cell}"
        trainable = "" if self.trainable is None else f", of which {self.trainable:,} trainable"
        yield f"parameters  {self.parameters:,}{trainable}, buffers {self.buffers:,}"
        for part in self.unused or ():
            yield f"unused      {part.name}, {part.parameters:,} parameters"
        yield f"cost        {self.macs:,} MACs = {self.flops:,} FLOPs"
        yield f"            and {self.bias_adds:,} bias additions"
        inference, training = byte_text(self.memory.inference_bytes), byte_text(self.memory.training_bytes)
        yield f"memory      {inference} for inference, {training} for training"
        yield f"            ({self.optimizer}, {self.dtype}, batch of {self.batch:,})"


def network_report(
    shapes: Sequence[Shape],
    traced: Sequence[TracedLayer],
    *,
    batch: int = 1,
    dtype: Dtype = "float32",
    optimizer: AssumedOptimizer = "adam",
    explain: bool = False,
    is_code: bool = False,
    end: int = -1,
    trainable: int | None = None,
    unused: Sequence[UnusedPart] = (),
) -> NetworkReport:
    """The numbers of layers that were traced from inputs of these shapes; layer `end` returns the output."""
    value_bytes, input_field = DTYPE_BYTES[dtype], ReceptiveField.of_input(shapes[0])
    fields = {INPUT: input_field, **{position: one.receptive_field for position, one in enumerate(traced)}}
    has_branches = any(one.inputs != (index - 1,) for index, one in enumerate(traced))
    layers = []
    for one in traced:
        shown = {  # (layers, batch if there is one, features)
            name: (shape[0], batch, shape[2]) if len(shape) == 3 else shape  # noqa: PLR2004
            for name, shape in one.info.states
        }
        before = fields[next(iter(one.inputs), INPUT)]  # a constant reads nothing
        layers.append(
            LayerReport(
                layer=one.layer.text,
                output=one.output,
                parameters=one.info.parameters,
                buffers=one.info.buffers,
                macs=batch * one.info.macs,
                bias_adds=batch * one.info.bias_adds,
                flops=2 * batch * one.info.macs,
                activation_bytes=batch * value_bytes * one.values,
                receptive_field=one.receptive_field,
                hidden=shown.get("hidden"),
                cell=shown.get("cell"),
                inputs=tuple(position + 1 for position in one.inputs) if has_branches else None,
                formulas=dict(_formulas(one, before)) if explain else None,
            )
        )

    def total(name: str, more: Sequence[UnusedPart] = ()) -> int:
        return sum(getattr(one, name) for one in (*layers, *more))

    output = traced[end].output if traced else shapes[0]
    parameters, buffers = total("parameters", unused), total("buffers", unused)
    trainable = None if trainable is None or trainable >= parameters else trainable
    is_indexed = any(one.layer.name == "Embedding" for one in traced)
    input_bytes = batch * sum(map(prod, shapes)) * (_INDEX_BYTES if is_indexed else value_bytes)
    written = [0 if one.info.is_view else row.activation_bytes for one, row in zip(traced, layers, strict=True)]
    weights, activations = parameters * value_bytes, input_bytes + sum(written)
    gradients = weights if trainable is None else trainable * value_bytes
    states = gradients * OPTIMIZER_STATES[optimizer]
    memory = Memory(
        weights_bytes=weights,
        buffers_bytes=buffers * value_bytes,
        gradients_bytes=gradients,
        optimizer_bytes=states,
        activations_bytes=activations,
        inference_bytes=weights + buffers * value_bytes + _largest_sum(input_bytes, written, traced),
        training_bytes=weights + gradients + buffers * value_bytes + states + activations,
    )
    return NetworkReport(
        input=shapes[0],
        traced=tuple(traced),
        batch=batch,
        dtype=dtype,
        optimizer=optimizer,
        notes=(*recurrent_notes(traced, is_code=is_code), *(course_notes(shapes[0], traced) if explain else ())),
        more_inputs=tuple(shapes[1:]) or None,
        trainable=trainable,
        unused=tuple(unused) or None,
        output=output,
        values=prod(output),
        parameters=parameters,
        buffers=buffers,
        macs=total("macs"),
        bias_adds=total("bias_adds"),
        flops=total("flops"),
        receptive_field=traced[end].receptive_field if traced else input_field,
        activation_bytes=total("activation_bytes"),
        memory=memory,
        layers=tuple(layers),
    )


def analyze(
    layers: str | LayerList | Sequence[Layer],
    shape: Shape,
    *,
    batch: int = 1,
    dtype: Dtype = "float32",
    optimizer: AssumedOptimizer = "adam",
    explain: bool = False,
) -> NetworkReport:
    """Analyze a network, as text or parsed, applied to one sample of `shape`; with `explain`, with formulas.

    Raises InputError where the text is not a layer list or PyTorch would reject the stack.

    >>> report = analyze("Conv2d(3, 10, 3); MaxPool2d(4, 4)", (3, 130, 130))
    >>> report.output, report.parameters, report.macs, report.receptive_field.size
    ((10, 32, 32), 280, 4423680, (6, 6))
    """
    if isinstance(layers, str):
        layers = parse_list(layers)
    if not isinstance(layers, LayerList):
        layers = LayerList(tuple(layers))
    try:
        traced = trace(layers.layers, shape)
    except InputError as error:
        if layers.notes:  # what was read is not all that the network does
            raise InputError(error.where, error.what, layers.notes[0]) from error
        raise
    settings: Any = {"batch": batch, "dtype": dtype, "optimizer": optimizer, "explain": explain}
    return network_report([tuple(shape)], traced, is_code=layers.is_code, **settings)


def _largest_sum(input_bytes: int, outputs: list[int], traced: Sequence[TracedLayer]) -> int:
    """The largest sum of tensors that are in memory at one time; an output of 0 bytes is a view of its first input."""
    owner = {INPUT: INPUT}  # of each tensor, the one whose memory it uses
    last_use = {INPUT: INPUT}
    for index, (output, one) in enumerate(zip(outputs, traced, strict=True)):
        owner[index] = index if output or not one.inputs else owner[one.inputs[0]]
        for tensor in (index, *one.inputs):
            last_use[owner[tensor]] = index
    last_use[owner[len(outputs) - 1]] = len(outputs)
    changes = [0] * (len(outputs) + 2)  # of the sum at each layer
    for tensor, end in last_use.items():
        size = input_bytes if tensor == INPUT else outputs[tensor]
        changes[max(tensor, 0)] += size
        changes[max(end, 0) + 1] -= size
    return max(accumulate(changes))


def _formulas(traced: TracedLayer, before: ReceptiveField) -> Iterator[tuple[str, str]]:
    """Quantity and formula: the size of each axis, parameters, MACs, receptive field; `before` is that of the input."""
    sizes = traced.info.size_formulas or tuple(window.formula for window in traced.windows)
    yield from _by_axis("size", sizes, "")
    yield from traced.info.count_formulas
    yield from _by_axis("receptive field", _field_formulas(traced, before), "receptive field, ")


def _field_formulas(traced: TracedLayer, before: ReceptiveField) -> list[str]:
    """The recurrence r_out = r_in + dilation * (kernel - 1) * jump_in along each axis (Araujo et al. 2019)."""
    windows = [window for window in traced.windows if isinstance(window, SlidingWindow)]
    sizes, jumps, results = before.size, before.jump, traced.receptive_field.size
    if not windows or not sizes or not jumps or not results or len(windows) != len(sizes):
        return []
    return [
        f"{size} + {'' if window.dilation == 1 else f'{window.dilation}*'}({window.kernel} - 1)*"
        f"{jump if jump.denominator == 1 else f'({jump})'} = {result}"
        for window, size, jump, result in zip(windows, sizes, jumps, results, strict=True)
    ]


def _by_axis(quantity: str, formulas: Sequence[str], prefix: str) -> Iterator[tuple[str, str]]:
    """Formulas with the names of their axes; the axes share one entry where their formulas are the same."""
    if len(set(formulas)) == 1:
        yield quantity, formulas[0]
    else:
        axes = AXES.get(len(formulas), map(str, range(len(formulas))))
        yield from ((prefix + axis, formula) for axis, formula in zip(axes, formulas, strict=False))
