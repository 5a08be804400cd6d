"""`conv-shape`: from options to an answer."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlnotes_cli.configs.conv_shape import ConvShapeConfig, shape
from dlnotes_cli.errors import InputError
from dlnotes_cli.shapes.layer import Layer, Shape
from dlnotes_cli.shapes.networks import known_network
from dlnotes_cli.shapes.parser import parse_layers
from dlnotes_cli.shapes.remarks import remarks, rounding_remark
from dlnotes_cli.shapes.report import Report, analyse
from dlnotes_cli.shapes.solve import Setting, gram_sizes, settings_of, solve
from dlnotes_cli.shapes.windows import Slide

MAX_BYTES = 4 * 2**20  # of a layer list; a thousand layers take 40 KB
MAX_SOLUTIONS = 10_000


@dataclass(frozen=True)
class Answer:
    """What was asked: values for JSON, lines for a person, remarks, and the stack where there is one."""

    fields: dict[str, Any]
    lines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    report: Report | None = None


def conv_shape(config: ConvShapeConfig) -> Answer:
    """Answer a question about a stack of layers or one filter; raises InputError where PyTorch would refuse it."""
    if config.solve is not None:
        return _solutions(config)
    if config.letters:
        return _letters(config)
    if config.gram and not config.has_stack:
        sizes = _gram(_input(config))
        return Answer({"input": list(_input(config)), **sizes}, _gram_lines(sizes))
    return _stack(config)


def _stack(config: ConvShapeConfig) -> Answer:
    layers, size = _layers(config)
    report = analyse(layers, size, batch=config.batch, dtype=config.dtype, optimizer=config.optimizer)
    sizes = _gram(report.output) if config.gram else {}
    fields = report.fields(explained=config.explain) | sizes
    return Answer(fields, _gram_lines(sizes), tuple(remarks(report)), report)


def _letters(config: ConvShapeConfig) -> Answer:
    """The course's two formulas: the size from W, F, S, P, and the parameters from K, F, D."""
    if config.kernel is None:
        raise InputError("-F", "the filter's size is missing", "give W, F and, where they are not 1 and 0, S and P")
    fields: dict[str, Any] = {}
    lines: list[str] = []
    notes = ""
    if config.width is not None:
        slide = _letter_slide(config, config.width, config.kernel)
        notes = rounding_remark(slide)
        fields |= slide._asdict() | {"output": slide.output}
        lines.append(slide.formula if config.explain else str(slide.output))
    if config.filters is not None and config.depth is not None:
        count = config.filters * (config.kernel**2 * config.depth + 1)
        text = f"({config.filters} * {config.kernel}*{config.kernel} * {config.depth}) + {config.filters} = {count}"
        fields |= {"filters": config.filters, "depth": config.depth, "parameters": count}
        lines.append(text if config.explain else f"{count} parameters")
    if not lines:
        raise InputError(config.letters[0], "is not enough for a formula", "give -W and -F, or -F, -K and -D")
    return Answer(fields, tuple(lines), (notes,) if notes else ())
