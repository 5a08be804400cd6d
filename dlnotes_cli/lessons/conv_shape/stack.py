"""A stack of layers: from any source to its report, and the sizes of its output as a matrix."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
from dlnotes_cli.shapes.choices import NetworkName
from dlnotes_cli.shapes.course import course_notes, gram_sizes
from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.layer import Shape, format_shape
from dlnotes_cli.shapes.parsing.layer_files import is_file_name, read_network
from dlnotes_cli.shapes.parsing.layer_list import parse_network
from dlnotes_cli.shapes.report import NetworkReport, analyze
from dlnotes_cli.shell.errors import InputError


@dataclass(frozen=True)
class GramResult(ConvShapeResult):
    """Lesson 6: a feature map as a matrix of channels and positions, and the Gram matrix of its channels."""

    input: Shape
    vectorized: Shape
    gram: Shape
    explain: bool = False

    def sizes_as_json(self) -> dict[str, Any]:
        """The sizes of both matrices."""
        return {"vectorized": list(self.vectorized), "gram": list(self.gram)}

    def as_json(self) -> dict[str, Any]:
        """The shape and the sizes of both matrices."""
        return {"input": list(self.input), **self.sizes_as_json()}

    def lines(self) -> Iterator[str]:
        """Yield the sizes of both matrices."""
        formula = f": {'*'.join(map(str, self.input[1:]))} = {self.vectorized[1]}" if self.explain else ""
        yield f"vectorized  {format_shape(self.vectorized)}{formula}"
        yield f"gram        {format_shape(self.gram)}"


@dataclass(frozen=True)
class StackResult(ConvShapeResult):
    """The report on a stack of layers, with `gram` also the matrix sizes of its output."""

    report: NetworkReport
    course_notes: tuple[str, ...]
    gram: GramResult | None = None
    explain: bool = False

    def as_json(self) -> dict[str, Any]:
        """The report, with `explain` also the formulas of each layer."""
        return self.report.as_json(explain=self.explain) | (self.gram.sizes_as_json() if self.gram else {})

    def lines(self) -> Iterator[str]:
        """Yield the table, the totals and the matrix sizes."""
        from dlnotes_cli.shapes.table import report_lines  # --json needs no table

        yield from report_lines(self.report, explain=self.explain)
        if self.gram:
            yield from self.gram.lines()

    def totals(self) -> Iterator[str]:
        """Yield what is below the table."""
        from dlnotes_cli.shapes.table import total_lines

        yield from total_lines(self.report)
        if self.gram:
            yield from self.gram.lines()

    def notes(self) -> Iterator[str]:
        """Yield where the course is imprecise or wrong about this stack."""
        yield from self.course_notes


def analyze_stack(config: ConvShapeConfig) -> StackResult:
    """Analyze a stack of layers; raises InputError where PyTorch would raise an error."""
    network, size = read_stack(config)
    report = analyze(network, size, batch=config.batch, dtype=config.dtype, optimizer=config.optimizer)
    gram = _matrix_sizes(report.output, config) if config.gram else None
    remarks = () if config.network is None else known_remarks(config.network)
    return StackResult(report, (*remarks, *network.notes, *course_notes(report)), gram, config.explain)


def matrix_sizes(config: ConvShapeConfig) -> GramResult:
    """The sizes of a feature map of `--input` as a matrix, and of its Gram matrix."""
    return _matrix_sizes(_input(config), config)


def _matrix_sizes(shape: Shape, config: ConvShapeConfig) -> GramResult:
    vectorized, gram = gram_sizes(shape)
    return GramResult(shape, vectorized, gram, config.explain)


def read_stack(config: ConvShapeConfig) -> tuple[Network, Shape]:
    """The layers and the shape of one input sample."""
    if config.network is not None:
        return network_by_name(config.network, config)
    if config.model is not None:
        from dlnotes_cli.lessons.conv_shape.trained_network import trained_network  # used only with --model

        network, shape = trained_network(config.model)
        return network, config.input or shape
    if config.file is not None:
        return read_network(config.file), _input(config)
    if not config.layers:
        raise InputError("LAYERS", "no layers", 'add layers such as "Conv2d(3, 10, 3)", --file, --network or --model')
    networks = [read_network(text) if is_file_name(text) else parse_network(text) for text in config.layers]
    return reduce(lambda before, after: before.then(after), networks), _input(config)


def network_by_name(name: NetworkName, config: ConvShapeConfig) -> tuple[Network, Shape]:
    """A known network, and the shape of one input sample."""
    from dlnotes_cli.shapes.networks import named_network  # used only with --network

    known = named_network(name)
    return known.network, config.input or known.input


def known_remarks(name: NetworkName) -> tuple[str, ...]:
    """Which of several networks that share a name this one is."""
    from dlnotes_cli.shapes.networks import REMARKS  # used only with --network

    return (REMARKS[name],) if name in REMARKS else ()


def _input(config: ConvShapeConfig) -> Shape:
    if config.input is None:
        raise InputError("--input", "missing", "add the size of one sample, such as --input 3x32x32")
    return config.input
