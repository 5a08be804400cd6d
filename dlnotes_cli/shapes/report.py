"""The whole answer about a stack: totals, memory, and the numbers of each layer as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any

from dlnotes_cli.shapes.explain import explain
from dlnotes_cli.shapes.layer import Layer, Shape
from dlnotes_cli.shapes.names import Dtype, OptimizerName
from dlnotes_cli.shapes.parsing.parser import parse_layers
from dlnotes_cli.shapes.receptive_field import Sight
from dlnotes_cli.shapes.stack import Step, trace

DTYPE_BYTES: dict[Dtype, int] = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
STATE_VALUES: dict[OptimizerName, int] = {  # kept for each parameter
    "sgd": 0, "momentum": 1, "rmsprop": 1, "adagrad": 1, "adam": 2, "adamw": 2
}  # fmt: skip
_INDEX_BYTES = 8  # an embedding takes 64-bit indices


@dataclass(frozen=True)
class Report:
    """A traced stack and the numbers that follow from it.

    MACs, FLOPs, bias additions, activations and memory are those of `batch` samples; shapes are those of one.
    """

    input: Shape
    steps: tuple[Step, ...]
    batch: int = 1
    dtype: Dtype = "float32"
    optimizer: OptimizerName = "adam"

    @property
    def output(self) -> Shape:
        """The shape that comes out."""
        return self.steps[-1].output if self.steps else self.input

    @property
    def values(self) -> int:
        """How many numbers one sample's output has."""
        return prod(self.output)

    @cached_property
    def parameters(self) -> int:
        """Numbers that training changes."""
        return sum(step.effect.parameters for step in self.steps)

    @cached_property
    def buffers(self) -> int:
        """Numbers that are kept and not trained, such as running means."""
        return sum(step.effect.buffers for step in self.steps)

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of convolutions, linear and recurrent layers, without the bias."""
        return self.batch * sum(step.effect.macs for step in self.steps)

    @cached_property
    def bias_adds(self) -> int:
        """Additions of a bias."""
        return self.batch * sum(step.effect.bias_adds for step in self.steps)

    @property
    def flops(self) -> int:
        """Floating-point operations: 2 for each multiply-add, bias additions apart."""
        return 2 * self.macs

    @property
    def sight(self) -> Sight:
        """What the last output's positions see."""
        return self.steps[-1].sight if self.steps else Sight.first(self.input)

    def activation_bytes(self, step: Step) -> int:
        """The size of a layer's output."""
        return self.batch * step.values * DTYPE_BYTES[self.dtype]

    @cached_property
    def memory(self) -> dict[str, int]:
        """Bytes: weights and buffers, gradients, optimizer state, activations; what inference and training take.

        Inference holds the weights, and one layer's input and output at a time, of which the largest pair counts.
        Training holds every activation for the way back, and for each weight a gradient and the optimizer's state. A
        layer that works in place or only renames dimensions shares its input's memory.
        """
        each = DTYPE_BYTES[self.dtype]
        weights, buffers = self.parameters * each, self.buffers * each
        state = weights * STATE_VALUES[self.optimizer]
        takes_indices = any(step.layer.name == "Embedding" for step in self.steps)
        first = self.batch * prod(self.input) * (_INDEX_BYTES if takes_indices else each)
        outputs = [0 if step.effect.is_view else self.activation_bytes(step) for step in self.steps]
        activations = first + sum(outputs)
        return {
            "weights_bytes": weights,
            "buffers_bytes": buffers,
            "gradients_bytes": weights,
            "optimizer_bytes": state,
            "activations_bytes": activations,
            "inference_bytes": weights + buffers + _largest_pair(first, outputs),
            "training_bytes": 2 * weights + buffers + state + activations,
        }

    def fields(self, *, explained: bool = False) -> dict[str, Any]:
        """The answer as plain values, ready for JSON."""
        return {
            "input": list(self.input),
            "output": list(self.output),
            "values": self.values,
            "batch": self.batch,
            "dtype": self.dtype,
            "optimizer": self.optimizer,
            "parameters": self.parameters,
            "buffers": self.buffers,
            "macs": self.macs,
            "flops": self.flops,
            "bias_adds": self.bias_adds,
            "activation_bytes": sum(self.activation_bytes(step) for step in self.steps),
            **_sight_fields(self.sight),
            "memory": self.memory,
            "layers": [self.step_fields(index, explained=explained) for index in range(len(self.steps))],
        }

    def step_fields(self, index: int, *, explained: bool = False) -> dict[str, Any]:
        """The numbers of one layer as plain values."""
        step = self.steps[index]
        effect = step.effect
        fields: dict[str, Any] = {
            "layer": step.layer.text,
            "output": list(step.output),
            "parameters": effect.parameters,
            "buffers": effect.buffers,
            "macs": self.batch * effect.macs,
            "flops": 2 * self.batch * effect.macs,
            "bias_adds": self.batch * effect.bias_adds,
            "activation_bytes": self.activation_bytes(step),
            **_sight_fields(step.sight),
        }
        fields |= {name: list(_for_batch(shape, self.batch)) for name, shape in effect.states}
        if explained:
            before = self.steps[index - 1].sight if index else Sight.first(self.input)
            fields["formulas"] = dict(explain(step, before))
        return fields


def analyze(
    layers: str | Sequence[Layer],
    shape: Shape,
    *,
    batch: int = 1,
    dtype: Dtype = "float32",
    optimizer: OptimizerName = "adam",
) -> Report:
    """Answer for a stack, given as text or as layers, on one sample of `shape`.

    Raises InputError where the text is not a layer list or PyTorch would refuse the stack.

    >>> report = analyze("Conv2d(3, 10, 3); MaxPool2d(4, 4)", (3, 130, 130))
    >>> report.output, report.parameters, report.macs, report.sight.field
    ((10, 32, 32), 280, 4423680, (6, 6))
    """
    parsed = parse_layers(layers) if isinstance(layers, str) else layers
    return Report(tuple(shape), trace(parsed, shape), batch, dtype, optimizer)


def _largest_pair(first: int, outputs: list[int]) -> int:
    largest = held = first
    for made in outputs:
        largest = max(largest, held + made)
        held = made or held
    return largest


def _sight_fields(sight: Sight) -> dict[str, Any]:
    return {
        "receptive_field": list(sight.field) if sight.field else None,
        "jump": [_number(jump) for jump in sight.jump] if sight.jump else None,
        "start": [_number(start) for start in sight.start] if sight.start else None,
    }


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


def _for_batch(shape: Shape, batch: int) -> Shape:
    """The shape of a recurrent state: layers, then the batch where there is one, then features."""
    return (shape[0], batch, *shape[2:]) if len(shape) == 3 else shape  # noqa: PLR2004
