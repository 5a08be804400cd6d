"""The course's own calculation, and what it says about a stack where that is loose or wrong, in one line each."""

from collections.abc import Callable, Iterator
from math import prod

from dlnotes_cli.shapes.layer import Shape, dims
from dlnotes_cli.shapes.report import Report
from dlnotes_cli.shapes.rules.windows import Slide
from dlnotes_cli.shapes.stack import Step
from dlnotes_cli.shell.errors import InputError

_QUIZ_INPUT = (3, 130, 130)
_QUIZ_STEPS = (  # lesson 5, Q5: the layers, the shapes and the parameters that they have
    ("Conv2d", (10, 128, 128), 280),
    ("MaxPool2d", (10, 32, 32), 0),
    ("Conv2d", (20, 32, 32), 5020),
    ("MaxPool2d", (20, 16, 16), 0),
)


def remarks(report: Report) -> Iterator[str]:
    """Yield each remark that applies, once."""
    yield from _quiz(report)
    yield from _first(report, _rounding)
    yield from _first(report, _skipped_values)
    yield from _states(report)


def rounding_remark(slide: Slide) -> str:
    """What the course's formula gives where it is not a whole number, or nothing."""
    if slide.ceil or slide.travel % slide.stride == 0:
        return ""
    exact = f"({slide.numerator}) / {slide.stride} + 1 = {slide.travel / slide.stride + 1:g}"
    return f"the course's formula has no floor: {exact}; sizes are rounded down, to {slide.output}"


def gram_sizes(shape: Shape) -> tuple[Shape, Shape]:
    """The sizes of a vectorized feature map, channels x positions, and of its Gram matrix, channels x channels.

    >>> gram_sizes((20, 8, 8))
    ((20, 64), (20, 20))
    """
    if len(shape) < 2:  # noqa: PLR2004  # channels and space
        raise InputError("--gram", f"{dims(shape)} has no space to vectorize", "give CxHxW")
    return (shape[0], prod(shape[1:])), (shape[0], shape[0])


def _quiz(report: Report) -> Iterator[str]:
    steps = tuple((step.layer.name, step.output, step.effect.parameters) for step in report.steps)
    if report.input == _QUIZ_INPUT and steps == _QUIZ_STEPS:
        yield (
            f"the course's quiz calls 16*16*20 = {report.values:,} 'parameters', but these are the output's values; "
            f"the parameters are {report.parameters:,}"
        )
        yield "the course's quiz says that 130x130 'shrinks by one' in the first layer; it shrinks by 2, to 128x128"


def _first(report: Report, rule: Callable[[Step], str]) -> Iterator[str]:
    for position, step in enumerate(report.steps, 1):
        text = rule(step)
        if text:
            yield f"layer {position}, {step.layer.text}: {text}"
            return


def _rounding(step: Step) -> str:
    return next(filter(None, (rounding_remark(slide) for slide in step.slides if isinstance(slide, Slide))), "")


def _skipped_values(step: Step) -> str:
    slides = [slide for slide in step.slides if isinstance(slide, Slide)]
    read = prod(min(slide.kernel, slide.stride) for slide in slides)
    there = prod(slide.stride for slide in slides)
    if "Pool" not in step.layer.name or read == there or all(slide.output == 1 for slide in slides):
        return ""
    return f"reads {read} of every {there} values ({read / there:.0%}); a kernel as wide as the stride reads all"


def _states(report: Report) -> Iterator[str]:
    for position, step in enumerate(report.steps, 1):
        name = f"layer {position}, {step.layer.text}"
        if step.effect.states and len(step.input) == 1:
            yield f"{name}: gets vectors without steps, so PyTorch reads the batch as one sequence"
        if step.effect.states and position < len(report.steps):
            yield f"{name}: the next layer gets its output; in nn.Sequential it would get the state as well and fail"
            return
