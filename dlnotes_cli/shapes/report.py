"""The analysis of a stack of layers: totals, memory, and the numbers of each layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from math import prod
from typing import NamedTuple

from dlnotes_cli.shapes.choices import AssumedOptimizer, Dtype
from dlnotes_cli.shapes.course import course_notes
from dlnotes_cli.shapes.layer import INPUT, Layer, Shape, format_shape
from dlnotes_cli.shapes.parsing.layer_list import LayerList, parse_list
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shapes.table import LayerReport, byte_text, layer_table
from dlnotes_cli.shapes.tracing import TracedLayer, trace
from dlnotes_cli.shell.codec import HIDDEN, OPTIONAL, in_json, inlined
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Detail, Table

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
    batch: int = 1
    dtype: Dtype = "float32"
    optimizer: AssumedOptimizer = "adam"
    is_code: bool = field(default=False, metadata=HIDDEN)  # code, where PyTorch passes on what it says
    explain: bool = field(default=False, metadata=HIDDEN)  # whether its layers have formulas
    end: int = field(default=-1, metadata=HIDDEN)  # the position of the layer that returns the output
    more_inputs: tuple[Shape, ...] | None = field(default=None, metadata=OPTIONAL)  # besides `input`
    trainable: int | None = field(default=None, metadata=OPTIONAL)  # parameters with a gradient, where others have none
    unused: tuple[UnusedPart, ...] | None = field(default=None, metadata=OPTIONAL)  # counted all the same, as by torch

    @property
    @in_json
    def output(self) -> Shape:
        """The output shape."""
        return self.traced[self.end].output if self.traced else self.input

    @property
    @in_json
    def values(self) -> int:
        """The number of values in one sample's output."""
        return prod(self.output)

    @cached_property
    @in_json
    def parameters(self) -> int:
        """The number of parameters, those of unused modules included."""
        used = sum(traced.info.parameters for traced in self.traced)
        return used + sum(part.parameters for part in self.unused or ())

    @cached_property
    @in_json
    def buffers(self) -> int:
        """The number of values in buffers, such as running means, which are stored but not trained."""
        used = sum(traced.info.buffers for traced in self.traced)
        return used + sum(part.buffers for part in self.unused or ())

    @cached_property
    @in_json
    def macs(self) -> int:
        """Multiply-accumulate operations of convolutions, linear and recurrent layers, without the bias."""
        return self.batch * sum(traced.info.macs for traced in self.traced)

    @cached_property
    @in_json
    def bias_adds(self) -> int:
        """Additions of a bias."""
        return self.batch * sum(traced.info.bias_adds for traced in self.traced)

    @property
    @in_json
    def flops(self) -> int:
        """Floating-point operations: 2 for each MAC, without bias additions."""
        return 2 * self.macs

    @property
    @inlined
    def receptive_field(self) -> ReceptiveField:
        """The receptive field of the output."""
        return self.traced[self.end].receptive_field if self.traced else ReceptiveField.of_input(self.input)

    @property
    @in_json
    def activation_bytes(self) -> int:
        """The size in bytes of all outputs of layers."""
        return sum(map(self._output_bytes, self.traced))

    def _output_bytes(self, traced: TracedLayer) -> int:
        return self.batch * traced.values * DTYPE_BYTES[self.dtype]

    @cached_property
    @in_json
    def memory(self) -> Memory:
        """Memory of weights, buffers, gradients, optimizer state and activations, and of inference and training."""
        value_bytes = DTYPE_BYTES[self.dtype]
        weights, buffers = self.parameters * value_bytes, self.buffers * value_bytes
        gradients = weights if self.trainable is None else self.trainable * value_bytes
        states = gradients * OPTIMIZER_STATES[self.optimizer]
        has_indices = any(traced.layer.name == "Embedding" for traced in self.traced)
        input_bytes = (
            self.batch
            * sum(map(prod, (self.input, *(self.more_inputs or ()))))
            * (_INDEX_BYTES if has_indices else value_bytes)
        )
        outputs = [0 if traced.info.is_view else self._output_bytes(traced) for traced in self.traced]
        activations = input_bytes + sum(outputs)
        largest = _largest_sum(input_bytes, outputs, [traced.inputs for traced in self.traced])
        return Memory(
            weights_bytes=weights,
            buffers_bytes=buffers,
            gradients_bytes=gradients,
            optimizer_bytes=states,
            activations_bytes=activations,
            inference_bytes=weights + buffers + largest,
            training_bytes=weights + gradients + buffers + states + activations,
        )

    @cached_property
    @in_json
    def layers(self) -> tuple[LayerReport, ...]:
        """The numbers of each layer; with branches, where a layer reads not only the one before, also what it reads."""
        has_branches = any(traced.inputs != (index - 1,) for index, traced in enumerate(self.traced))
        return tuple(self._layer(traced, has_branches=has_branches) for traced in self.traced)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the course says on such a stack imprecisely."""
        return tuple(course_notes(self.input, self.traced, is_code=self.is_code))

    def table(self) -> Iterator[Table | str]:
        """The layers, the formulas of each if there are some, and the totals; nothing without layers."""
        if not self.layers:
            return
        yield layer_table(self.layers)
        for index, layer in enumerate(self.layers, 1):
            if layer.formulas:
                yield from (Detail(""), Detail(f"{index}  {layer.layer}"))
                yield from (Detail(f"   {quantity}: {formula}") for quantity, formula in layer.formulas.items())
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

    def _layer(self, traced: TracedLayer, *, has_branches: bool) -> LayerReport:
        info, batch = traced.info, self.batch
        states = {  # (layers, batch if there is one, features)
            name: (shape[0], batch, shape[2]) if len(shape) == 3 else shape  # noqa: PLR2004
            for name, shape in info.states
        }
        return LayerReport(
            layer=traced.layer.text,
            output=traced.output,
            parameters=info.parameters,
            buffers=info.buffers,
            macs=batch * info.macs,
            bias_adds=batch * info.bias_adds,
            activation_bytes=self._output_bytes(traced),
            receptive_field=traced.receptive_field,
            hidden=states.get("hidden"),
            cell=states.get("cell"),
            inputs=tuple(read + 1 for read in traced.inputs) if has_branches else None,
            formulas=dict(self._formulas(traced)) if self.explain else None,
        )

    def _formulas(self, traced: TracedLayer) -> Iterator[tuple[str, str]]:
        """Yield quantity and formula: the size of each axis, parameters, MACs, receptive field."""
        sizes = traced.info.size_formulas or tuple(window.formula for window in traced.windows)
        yield from _by_axis("size", sizes, "")
        yield from traced.info.count_formulas
        read = next(iter(traced.inputs), INPUT)  # a constant reads nothing
        before = ReceptiveField.of_input(self.input) if read == INPUT else self.traced[read].receptive_field
        yield from _by_axis("receptive field", _field_formulas(traced, before), "receptive field, ")


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
    return NetworkReport(tuple(shape), traced, batch, dtype, optimizer, layers.is_code, explain)


def _largest_sum(input_bytes: int, outputs: list[int], inputs: list[tuple[int, ...]]) -> int:
    """The largest sum of tensors that are in memory at one time; an output of 0 bytes is a view of its first input."""
    owner = {INPUT: INPUT}  # of each tensor, the one whose memory it uses
    last_use = {INPUT: INPUT}
    for index, (output, reads) in enumerate(zip(outputs, inputs, strict=True)):
        owner[index] = index if output or not reads else owner[reads[0]]
        for tensor in (index, *reads):
            last_use[owner[tensor]] = index
    last_use[owner[len(outputs) - 1]] = len(outputs)
    changes = [0] * (len(outputs) + 2)  # of the sum at each layer
    for tensor, end in last_use.items():
        size = input_bytes if tensor == INPUT else outputs[tensor]
        changes[max(tensor, 0)] += size
        changes[max(end, 0) + 1] -= size
    return max(accumulate(changes))


def _field_formulas(traced: TracedLayer, before: ReceptiveField) -> list[str]:
    """The recurrence r_out = r_in + dilation * (kernel - 1) * jump_in along each axis (Araujo et al. 2019).

    `before` is the receptive field of the layer's input.
    """
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
