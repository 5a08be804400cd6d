"""A stack of layers applied to an input: the shape, parameters and cost after each, and what each position sees."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from math import prod

from dlnotes_cli.shapes.layer import RESIDUAL, Effect, Layer, RefusedError, Shape, check_size, dims, sample, shortened
from dlnotes_cli.shapes.receptive_field import Sight
from dlnotes_cli.shapes.rules.arguments import bind
from dlnotes_cli.shapes.rules.catalog import kind_of
from dlnotes_cli.shapes.rules.windows import Slide, Transposed
from dlnotes_cli.shell.errors import InputError

MAX_LAYERS = 10_000


@dataclass(frozen=True)
class Step:
    """One layer and what it did; shapes are those of one sample, counts those of one sample too."""

    layer: Layer
    input: Shape
    output: Shape
    effect: Effect
    sight: Sight

    @property
    def values(self) -> int:
        """How many numbers come out."""
        return prod(self.output)

    @property
    def slides(self) -> tuple[Slide | Transposed, ...]:
        """The sliding windows of a convolution or pooling layer, one for each axis."""
        return self.effect.slides


def trace(layers: Sequence[Layer], shape: Shape) -> tuple[Step, ...]:
    """Apply layers one after the other to one sample of `shape`, which has no batch dimension.

    The answer is what PyTorch gives for a batch of one in evaluation mode. Raises InputError, which names the layer,
    where PyTorch refuses, where nothing would be left, or where a layer would use up the batch dimension.

    >>> from dlnotes_cli.shapes.parsing.parser import parse_layers
    >>> steps = trace(parse_layers("Conv2d(3, 10, 3); MaxPool2d(4, 4)"), (3, 130, 130))
    >>> [step.output for step in steps], sum(step.effect.parameters for step in steps)
    ([(10, 128, 128), (10, 32, 32)], 280)
    """
    walk = _Walk(shape)
    walk.through(layers)
    return tuple(walk.steps)


class _Walk:
    """Where a sample has come to on its way through the layers."""

    def __init__(self, shape: Shape) -> None:
        self.steps: list[Step] = []
        self._batched = (1, *shape)
        self._sight = Sight.first(shape)
        self._with_weights: set[int] = set()

    def through(self, layers: Sequence[Layer]) -> None:
        """Apply layers one after the other, those within a residual before its sum."""
        for layer in layers:
            if layer.name == RESIDUAL:
                before = self._batched
                self.through(layer.positional)
                self._take(replace(layer, text="Residual sum"), before)
            else:
                self._take(layer)

    def _take(self, layer: Layer, added: Shape | None = None) -> None:
        try:
            _check_order(layer, self.steps, self._with_weights)
            effect = apply(layer, self._batched) if added is None else _sum(added, self._batched)
        except RefusedError as error:
            raise InputError(where(len(self.steps) + 1, layer), error.what, error.fix) from error
        self._sight = self._sight.after(effect.reach)
        if effect.parameters:
            self._with_weights.add(id(layer))
        self.steps.append(Step(layer, self._batched[1:], effect.output[1:], effect, self._sight))
        self._batched = effect.output


def _sum(added: Shape, batched: Shape) -> Effect:
    if added != batched:
        raise RefusedError(f"adds {sample(added)} to {sample(batched)}", "keep the shape within a Residual")
    return Effect(batched)


def apply(layer: Layer, batched: Shape) -> Effect:
    """What one layer does to a batch of one; raises RefusedError where PyTorch refuses."""
    kind = kind_of(layer.name)
    effect = kind.rule(bind(layer, kind.signature), batched)
    check_size("an output", effect.output)
    if layer.wanted and layer.wanted != effect.output[1:]:
        raise RefusedError(f"does not give {dims(layer.wanted)}, but {sample(effect.output)}", "mend the number")
    if effect.output[0] != 1:
        what = f"reads the batch as channels, since {dims(batched[1:])} has none: {dims(effect.output)} comes out"
        raise RefusedError(what, f"write the channels first: {dims(batched)}")
    return effect


def where(position: int, layer: Layer) -> str:
    """How an error names a layer: its position, its place in a file, its text."""
    return f"layer {position}{f' ({layer.place})' if layer.place else ''}, {shortened(layer.text)}"


def _check_order(layer: Layer, steps: Sequence[Step], with_weights: Container[int]) -> None:
    """Refuse what a layer cannot take from those before it, whatever the shape."""
    if len(steps) == MAX_LAYERS:
        raise RefusedError(f"there are more than {MAX_LAYERS:,} layers", "give fewer")
    if id(layer) in with_weights:
        raise RefusedError("runs a second time with the same weights", "write it out twice for weights apart")
    if steps and steps[-1].effect.is_pair:
        raise RefusedError(
            "gets an output and its indices from the layer before", "leave out return_indices=True there"
        )
    if layer.name == "Embedding" and not all(step.effect.is_view for step in steps):
        raise RefusedError("takes indices, but the layers before give decimal numbers", "put it first")
