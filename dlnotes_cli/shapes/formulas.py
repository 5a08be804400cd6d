"""The formulas behind a layer's numbers, with the numbers put in."""

from collections.abc import Iterator
from fractions import Fraction

from dlnotes_cli.shapes.receptive_field import Sight
from dlnotes_cli.shapes.rules.windows import Slide
from dlnotes_cli.shapes.stack import Step

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def explain(step: Step, before: Sight) -> Iterator[tuple[str, str]]:
    """Yield what is computed and how: the size of each axis, parameters, MACs, receptive field.

    `before` is what the positions of the layer's input see. Axes with the same formula share one line.
    """
    sizes = step.effect.sizes or tuple(slide.formula for slide in step.slides)
    if len(set(sizes)) == 1:
        yield "size", sizes[0]
    else:
        yield from zip(AXES.get(len(sizes), map(str, range(len(sizes)))), sizes, strict=False)
    yield from step.effect.formulas
    yield from _field(step, before)


def _field(step: Step, before: Sight) -> Iterator[tuple[str, str]]:
    past, jumps, field = before.field, before.jump, step.sight.field
    slides = [slide for slide in step.slides if isinstance(slide, Slide)]
    if not slides or not past or not jumps or not field or len(slides) != len(past):
        return
    texts = [
        f"{seen} + {'' if slide.dilation == 1 else f'{slide.dilation}*'}({slide.kernel} - 1)*{_text(jump)} = {result}"
        for slide, seen, jump, result in zip(slides, past, jumps, field, strict=True)
    ]
    if len(set(texts)) == 1:
        yield "receptive field", texts[0]
    else:
        yield from ((f"receptive field, {axis}", text) for axis, text in zip(AXES[len(texts)], texts, strict=True))


def _text(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"({value})"
