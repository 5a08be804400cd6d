"""The analysis of a stack of layers: totals, memory, and the numbers of each layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from dlnotes_cli.shapes.choices import AssumedOptimizer, Dtype
from dlnotes_cli.shapes.layer import INPUT, Layer, Shape
from dlnotes_cli.shapes.parsing.layer_list import LayerList, parse_list
from dlnotes_cli.shapes.receptive_field import ReceptiveField
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shapes.tracing import TracedLayer, trace
from dlnotes_cli.shell.codec import HIDDEN, INLINE, OPTIONAL, in_json, inlined
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from fractions import Fraction

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
class LayerReport:
    """The numbers of one layer: shapes of one sample, counts of the whole batch."""

    layer: str
    output: Shape
    parameters: int
    buffers: int
    macs: int
    bias_adds: int
    activation_bytes: int
    receptive_field: ReceptiveField = field(metadata=INLINE)
    hidden: Shape | None = field(metadata=OPTIONAL)  # the states that a recurrent layer returns
    cell: Shape | None = field(metadata=OPTIONAL)
    inputs: tuple[int, ...] | None = field(
        metadata=OPTIONAL
    )  # with branches, the positions of the layers that it reads
    formulas: dict[str, str] | None = field(metadata=OPTIONAL)  # by quantity

    @property
    @in_json
    def flops(self) -> int:
        """Floating-point operations: 2 for each MAC."""
        return 2 * self.macs


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
        """The numbers of each layer."""
        return tuple(map(self._layer, range(len(self.traced))))

    def _layer(self, index: int) -> LayerReport:
        traced = self.traced[index]
        states = {name: _for_batch(shape, self.batch) for name, shape in traced.info.states}
        return LayerReport(
            layer=traced.layer.text,
            output=traced.output,
            parameters=traced.info.parameters,
            buffers=traced.info.buffers,
            macs=self.batch * traced.info.macs,
            bias_adds=self.batch * traced.info.bias_adds,
            activation_bytes=self._output_bytes(traced),
            receptive_field=traced.receptive_field,
            hidden=states.get("hidden"),
            cell=states.get("cell"),
            inputs=tuple(read + 1 for read in traced.inputs) if self._has_branches else None,
            formulas=self._formulas(traced) if self.explain else None,
        )

    @cached_property
    def _has_branches(self) -> bool:
        """Whether a layer reads anything other than the output of the layer before it."""
        return any(traced.inputs != (index - 1,) for index, traced in enumerate(self.traced))

    def _formulas(self, traced: TracedLayer) -> dict[str, str]:
        read = next(iter(traced.inputs), INPUT)  # a constant reads nothing
        before = ReceptiveField.of_input(self.input) if read == INPUT else self.traced[read].receptive_field
        return dict(_layer_formulas(traced, before))


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
    freed: dict[int, int] = {}  # bytes that are free after each layer
    largest = held = input_bytes
    freed[last_use[INPUT]] = input_bytes
    for index, output in enumerate(outputs):
        held += output
        largest = max(largest, held)
        if output:
            freed[last_use[index]] = freed.get(last_use[index], 0) + output
        held -= freed.get(index, 0)
    return largest


def _for_batch(shape: Shape, batch: int) -> Shape:
    """The shape of a recurrent state (layers, batch if there is one, features) for a batch of `batch`."""
    return (shape[0], batch, *shape[2:]) if len(shape) == 3 else shape  # noqa: PLR2004


def _layer_formulas(traced: TracedLayer, before: ReceptiveField) -> Iterator[tuple[str, str]]:
    """Yield quantity and formula: the size of each axis, parameters, MACs, receptive field.

    `before` is the receptive field of the layer's input. Axes with the same formula share one entry.
    """
    sizes = traced.info.size_formulas or tuple(window.formula for window in traced.windows)
    if len(set(sizes)) == 1:
        yield "size", sizes[0]
    else:
        yield from zip(AXES.get(len(sizes), map(str, range(len(sizes)))), sizes, strict=False)
    yield from traced.info.count_formulas
    yield from _receptive_field_formulas(traced, before)


def _receptive_field_formulas(traced: TracedLayer, before: ReceptiveField) -> Iterator[tuple[str, str]]:
    """The recurrence r_out = r_in + dilation * (kernel - 1) * jump_in along each axis (Araujo et al. 2019)."""
    windows = [window for window in traced.windows if isinstance(window, SlidingWindow)]
    sizes, jumps, results = before.size, before.jump, traced.receptive_field.size
    if not windows or not sizes or not jumps or not results or len(windows) != len(sizes):
        return
    texts = [
        f"{size} + {_dilation_factor(window)}({window.kernel} - 1)*{_text(jump)} = {result}"
        for window, size, jump, result in zip(windows, sizes, jumps, results, strict=True)
    ]
    if len(set(texts)) == 1:
        yield "receptive field", texts[0]
    else:
        yield from ((f"receptive field, {axis}", text) for axis, text in zip(AXES[len(texts)], texts, strict=True))


def _dilation_factor(window: SlidingWindow) -> str:
    return "" if window.dilation == 1 else f"{window.dilation}*"


def _text(value: "int | Fraction") -> str:
    return str(value) if value.denominator == 1 else f"({value})"
