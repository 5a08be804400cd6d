"""A stack of layers: from any source to its report, and the sizes of its output as a matrix."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult, GramResult
from dlnotes_cli.shapes.choices import NetworkName
from dlnotes_cli.shapes.course import course_notes, gram_sizes
from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.layer import Shape
from dlnotes_cli.shapes.parsing.layer_files import is_file_name, read_network
from dlnotes_cli.shapes.parsing.layer_list import parse_network
from dlnotes_cli.shapes.report import NetworkReport, analyze
from dlnotes_cli.shell.codec import HIDDEN, INLINE, OPTIONAL, to_json
from dlnotes_cli.shell.errors import InputError

_CSV_COLUMNS = (
    "position", "layer", "output", "parameters", "buffers", "macs", "flops", "bias_adds", "activation_bytes",
    "receptive_field", "jump", "start",
)  # fmt: skip


@dataclass(frozen=True)
class StackResult(ConvShapeResult):
    """The report on a stack of layers, with `--gram` also the matrix sizes of its output."""

    report: NetworkReport = field(metadata=INLINE)
    vectorized: Shape | None = field(default=None, metadata=OPTIONAL)
    gram: Shape | None = field(default=None, metadata=OPTIONAL)
    has_table: bool = field(default=True, metadata=HIDDEN)  # and not only totals, as next to a CSV file

    def table(self) -> Iterator[str]:
        """Yield the table, the totals and the matrix sizes."""
        from dlnotes_cli.shapes.table import report_lines, total_lines  # --json needs no table

        yield from report_lines(self.report) if self.has_table else total_lines(self.report)
        if self.vectorized and self.gram:
            yield from GramResult(self.report.output, self.vectorized, self.gram, self.report.explain).table()

    def csv(self) -> str:
        """The layers, one row for each."""
        rows = [{"position": index, **to_json(layer)} for index, layer in enumerate(self.report.layers, 1)]
        columns = [*_CSV_COLUMNS, *(["inputs"] if "inputs" in rows[0] else [])]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row[name]) for name in columns] for row in rows)
        return text.getvalue()


def _cell(value: object) -> str:
    """A value of a CSV file, `3x32x32` for a list."""
    if value is None:
        return ""
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def analyze_stack(config: ConvShapeConfig) -> StackResult:
    """Analyze a stack of layers; raises InputError where PyTorch would raise an error."""
    network, size = read_stack(config)
    report = analyze(
        network, size, batch=config.batch, dtype=config.dtype, optimizer=config.optimizer, explain=config.explain
    )
    vectorized, gram = gram_sizes(report.output) if config.gram else (None, None)
    remarks = () if config.network is None else known_remarks(config.network)
    notes = (*remarks, *network.notes, *course_notes(report))
    return StackResult(report, vectorized, gram, has_table=config.csv is None, notes=notes)


def matrix_sizes(config: ConvShapeConfig) -> GramResult:
    """The sizes of a feature map of `--input` as a matrix, and of its Gram matrix."""
    shape = _input(config)
    return GramResult(shape, *gram_sizes(shape), config.explain)


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
