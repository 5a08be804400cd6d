"""Networks: from any source to a report, the sizes of the output as a matrix, and several networks side by side."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from dlnotes_cli.lessons.conv_shape.options import NETWORKS, ConvShapeConfig
from dlnotes_cli.shapes.choices import NetworkName
from dlnotes_cli.shapes.layer import Layer, Shape, format_shape, truncate
from dlnotes_cli.shapes.parsing.layer_list import LayerList, Source, is_file_name, parse_list, read_source
from dlnotes_cli.shapes.report import NetworkReport, analyze, network_report
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shapes.table import byte_text
from dlnotes_cli.shell import files
from dlnotes_cli.shell.codec import HIDDEN, INLINE, OPTIONAL, in_json, to_json
from dlnotes_cli.shell.errors import InputError, require, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table, csv_text

if TYPE_CHECKING:
    from torch import nn

_CSV_COLUMNS = (
    "position", "layer", "output", "parameters", "buffers", "macs", "flops", "bias_adds", "activation_bytes",
    "receptive_field", "jump", "start",
)  # fmt: skip
_NAME = re.compile(r"[\w./\\~-]+")  # of a network or a path; layers have arguments in parentheses
_NAME_WIDTH = 48


@dataclass(frozen=True)
class GramResult:
    """Lesson 6: a feature map as a matrix of channels and positions, and the Gram matrix of its channels."""

    input: Shape
    vectorized: Shape
    gram: Shape
    explain: bool = field(default=False, metadata=HIDDEN)
    notes: tuple[str, ...] = field(default=(), metadata=HIDDEN)

    def table(self) -> Iterator[str]:
        """Yield the sizes of both matrices."""
        formula = f": {'*'.join(map(str, self.input[1:]))} = {self.vectorized[1]}" if self.explain else ""
        yield f"vectorized  {format_shape(self.vectorized)}{formula}"
        yield f"gram        {format_shape(self.gram)}"


@dataclass(frozen=True)
class StackResult:
    """The report on a stack of layers, with `--gram` also the matrix sizes of its output."""

    report: NetworkReport = field(metadata=INLINE)
    matrix: GramResult | None = field(metadata=HIDDEN)
    vectorized: Shape | None = field(metadata=OPTIONAL)
    gram: Shape | None = field(metadata=OPTIONAL)
    drawing: Path | None = field(metadata=OPTIONAL)
    notes: tuple[str, ...] = field(metadata=HIDDEN)

    @property
    def paths(self) -> list[Path]:
        """The drawing, if there is one."""
        return [] if self.drawing is None else [self.drawing]

    def table(self) -> Iterator[Table | str]:
        """Yield the table, the totals and the matrix sizes."""
        yield from self.report.table()
        if self.matrix:
            yield from self.matrix.table()

    def csv(self) -> str:
        """The layers, one row for each."""
        rows = [{"position": index, **to_json(layer)} for index, layer in enumerate(self.report.layers, 1)]
        columns = [*_CSV_COLUMNS, *(["inputs"] if "inputs" in rows[0] else [])]
        return csv_text(columns, ([_cell(row[name]) for name in columns] for row in rows))


def _cell(value: object) -> str:
    """A value of JSON in a cell: `3x32x32` for a list, empty for null."""
    if value is None:
        return ""
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def analyze_stack(config: ConvShapeConfig) -> StackResult:
    """Analyze a stack of layers or a module; raises InputError where PyTorch would raise an error."""
    report, notes = read_report(config)
    matrix = matrix_sizes(config, report.output) if config.gram else None
    vectorized, gram = (matrix.vectorized, matrix.gram) if matrix else (None, None)
    if config.draw is not None:
        from dlnotes_cli.lessons.conv_shape.drawing import draw  # loads matplotlib

        files.atomic_write(config.draw, draw(report, config.draw.suffix[1:].lower()))
    return StackResult(report, matrix, vectorized, gram, config.draw, (*notes, *report.notes))


def matrix_sizes(config: ConvShapeConfig, shape: Shape | None = None) -> GramResult:
    """The sizes of a feature map, by default that of `--input`, as a matrix, and of its Gram matrix.

    Raises InputError for a shape that has no spatial size.
    """
    shape = shape or _shapes(config, None, is_list=True)[0]
    require(shape[1:], "--gram", f"{format_shape(shape)} has no spatial size to vectorize", "use a shape CxHxW")
    return GramResult(shape, (shape[0], prod(shape[1:])), (shape[0], shape[0]), config.explain)


def read_report(config: ConvShapeConfig) -> tuple[NetworkReport, tuple[str, ...]]:
    """The report on the network that the options name, and notes on it."""
    network, default, notes = _network(config)
    shapes = _shapes(config, default, is_list=isinstance(network, LayerList))
    settings: Any = {name: getattr(config, name) for name in ("batch", "dtype", "optimizer", "explain")}
    if isinstance(network, LayerList):
        return analyze(network, shapes[0], **settings), (*notes, *network.notes)
    from dlnotes_cli.lessons.conv_shape.modules import trace_file, trace_network  # loads torch

    if isinstance(network, Source):
        trace, more = trace_file(network, shapes)
        notes = (*notes, *more)
    else:
        trace = trace_network(network, shapes, config.network or str(config.model))
    if trace.unregistered:
        kinds, count = ", ".join(dict.fromkeys(trace.unregistered)), len(trace.unregistered)
        what = f"{count} layers ({kinds}) are in no attribute that PyTorch knows, so their parameters are not"
        notes = (*notes, f"{what} those of the module; keep lists of layers in nn.ModuleList")
    found: Any = {"end": trace.end, "trainable": trace.trainable, "unused": trace.unused}
    return network_report(shapes, trace.layers, is_code=True, **found, **settings), notes


def read_list(config: ConvShapeConfig) -> tuple[tuple[Layer, ...], Shape]:
    """The layers of a list, or of a network that must run to show them, and their input; code is read as a list."""
    network, shape, _ = _network(config)
    if isinstance(network, Source):
        network = network.layers
    if isinstance(network, LayerList):
        return network.layers, _shapes(config, shape, is_list=True)[0]
    report, _ = read_report(config)
    return tuple(traced.layer for traced in report.traced), report.input


def _network(config: ConvShapeConfig) -> "tuple[LayerList | nn.Module | Source, Shape | None, tuple[str, ...]]":
    """The network that the options name: layers, a module, or code to run; its usual input, if any, and notes."""
    if config.network is not None:
        from dlnotes_cli.shapes.networks import NETWORKS, REMARKS  # used only with --network

        notes = (REMARKS[config.network],) if config.network in REMARKS else ()
        if config.network in NETWORKS:
            return parse_list(NETWORKS[config.network].layers), NETWORKS[config.network].input, notes
        from dlnotes_cli.lessons.conv_shape.modules import named_network  # loads torch

        return *named_network(config.network), notes
    if config.model is not None:
        from dlnotes_cli.lessons.conv_shape.trained_network import trained_network  # used only with --model

        return *trained_network(config.model), ()
    is_file, texts = config.file is not None, config.layers if config.file is None else (config.file,)
    require(texts, "LAYERS", "no layers", 'add layers such as "Conv2d(3, 10, 3)", --file, --network or --model')
    sources = [read_source(text) if is_file or is_file_name(text) else Source(text) for text in texts]
    code = next((source for source in sources if source.is_code), None)
    if code is None:
        lists = [source.layers for source in sources]
        layers = tuple(layer for one in lists for layer in one.layers)
        return LayerList(layers, tuple(note for one in lists for note in one.notes)), None, ()
    what = "is Python code, and cannot be combined with other layers"
    require(len(sources) == 1, code.file, what, "give it alone")
    return code, None, ()


def _shapes(config: ConvShapeConfig, default: Shape | None, *, is_list: bool) -> Sequence[Shape]:
    """The shapes of the inputs: those of --input, else the usual one of the network."""
    require(not is_list or len(config.input) <= 1, "--input", "a list of layers has one input", "give it once")
    shapes = config.input or ((default,) if default else ())
    require(shapes, "--input", "missing", "add the size of one sample, such as --input 3x32x32")
    return shapes


@dataclass(frozen=True)
class ComparisonResult:
    """Several networks: each as the user named it, and its report."""

    compared: tuple[tuple[str, NetworkReport], ...] = field(metadata=HIDDEN)
    notes: tuple[str, ...] = field(metadata=HIDDEN)

    @property
    @in_json
    def networks(self) -> list[dict[str, Any]]:
        """The totals of each network."""
        totals = [{"network": name, **to_json(report)} for name, report in self.compared]
        return [{name: value for name, value in one.items() if name != "layers"} for one in totals]

    def table(self) -> Iterator[Table]:
        """Yield a row for each network; ratios are those to the first one."""
        columns = ("network", "input", "output", "parameters", "ratio", "MACs", "ratio", "inference", "training")
        rows = []
        _, first = self.compared[0]
        for name, report in self.compared:
            memory = report.memory
            rows.append((
                truncate(" ".join(name.split()), _NAME_WIDTH), format_shape(report.input), format_shape(report.output),
                f"{report.parameters:,}", _ratio(report.parameters, first.parameters),
                f"{report.macs:,}", _ratio(report.macs, first.macs),
                byte_text(memory.inference_bytes), byte_text(memory.training_bytes),
            ))  # fmt: skip
        yield Table(columns, rows, columns[3:], is_result=True, is_plain=True)


def compare_networks(config: ConvShapeConfig) -> ComparisonResult:
    """Analyze each network; raises InputError where PyTorch would raise an error, naming the network."""
    compared: list[tuple[str, NetworkReport]] = []
    notes: list[str] = []
    for text in config.layers:
        try:
            report, more = read_report(_config_of(text, config))
        except InputError as error:
            if error.where == "--compare":
                raise
            raise InputError(f"{truncate(text)}: {error.where}", error.what, error.fix) from error
        compared.append((text, report))
        notes += more
    return ComparisonResult(tuple(compared), tuple(dict.fromkeys(notes)))


def _config_of(text: str, config: ConvShapeConfig) -> ConvShapeConfig:
    """The options that name the network which an argument names or describes."""
    name = text.strip()
    if name in NETWORKS:
        return replace(config, compare=False, layers=(), network=name)
    if name.endswith(".safetensors") or os.path.isdir(user_path(name)):  # noqa: PTH112  # Path raises for long layers
        return replace(config, compare=False, layers=(), model=Path(name))
    if _NAME.fullmatch(name) and name not in layer_types() and not is_file_name(name):
        see = (
            f"choose from {', '.join(get_args(NetworkName))}, those of transfer --list, or give a run folder or layers"
        )
        raise unknown_choice("--compare", name, NETWORKS, kind="network", see=see)
    return replace(config, compare=False, layers=(text,))


def _ratio(value: int, first: int) -> str:
    return f"{value / first:.3g}" if first else "-"
