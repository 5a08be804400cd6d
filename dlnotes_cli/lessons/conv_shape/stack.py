"""A network: from any source to its report, and the sizes of its output as a matrix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult, GramResult
from dlnotes_cli.shapes.course import gram_sizes
from dlnotes_cli.shapes.layer import Layer, Shape
from dlnotes_cli.shapes.parsing.layer_files import Source, is_file_name, read_source
from dlnotes_cli.shapes.parsing.layer_list import LayerList, parse_list
from dlnotes_cli.shapes.report import NetworkReport, analyze
from dlnotes_cli.shell.codec import INLINE, OPTIONAL, to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table, csv_text

if TYPE_CHECKING:
    from dlnotes_cli.networks.module_trace import ModuleTrace

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

    def table(self) -> Iterator[Table | str]:
        """Yield the table, the totals and the matrix sizes."""
        yield from self.report.table()
        if self.vectorized and self.gram:
            yield from GramResult(self.report.output, self.vectorized, self.gram, self.report.explain).table()

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
    vectorized, gram = gram_sizes(report.output) if config.gram else (None, None)
    return StackResult(report, vectorized, gram, notes=(*notes, *report.notes))


def matrix_sizes(config: ConvShapeConfig) -> GramResult:
    """The sizes of a feature map of `--input` as a matrix, and of its Gram matrix."""
    shape = _one_input(config)
    return GramResult(shape, *gram_sizes(shape), config.explain)


def read_report(config: ConvShapeConfig) -> tuple[NetworkReport, tuple[str, ...]]:
    """The report on the network that the options name, and notes on it."""
    if config.network is not None:
        return _named_report(config, config.network)
    if config.model is not None:
        from dlnotes_cli.lessons.conv_shape.trained_network import trained_network  # used only with --model

        network, shape = trained_network(config.model)
        if isinstance(network, LayerList):
            return _list_report(config, network, _one_input(config, shape))
        from dlnotes_cli.lessons.conv_shape.modules import trace_network  # loads torch

        shapes = config.input or (shape,)
        return _module_report(config, trace_network(network, shapes, str(config.model)), shapes)
    sources = _read_sources(config)
    code = next((source for source in sources if source.is_code), None)
    if code is None:
        return _list_report(config, _joined(sources), _one_input(config))
    if len(sources) > 1:
        raise InputError(code.file, "is Python code, and cannot be combined with other layers", "give it alone")
    if not config.input:
        raise _missing_input()
    from dlnotes_cli.lessons.conv_shape.modules import trace_file  # loads torch

    trace, notes = trace_file(code, config.input)
    report, more = _module_report(config, trace, config.input)
    return report, (*notes, *more)


def read_list(config: ConvShapeConfig) -> tuple[tuple[Layer, ...], Shape]:
    """The layers of a list and their input; raises InputError for a network that must run to show its layers."""
    if config.model is None and config.network is None:
        return _joined(_read_sources(config)).layers, _one_input(config)
    report, _ = read_report(config)
    return tuple(traced.layer for traced in report.traced), report.input


def _read_sources(config: ConvShapeConfig) -> list[Source]:
    if config.file is not None:
        return [read_source(config.file)]
    if not config.layers:
        raise InputError("LAYERS", "no layers", 'add layers such as "Conv2d(3, 10, 3)", --file, --network or --model')
    return [read_source(text) if is_file_name(text) else Source(text) for text in config.layers]


def _joined(sources: Sequence[Source]) -> LayerList:
    lists = [source.layers for source in sources]
    return LayerList(
        tuple(layer for one in lists for layer in one.layers), tuple(note for one in lists for note in one.notes)
    )


def _named_report(config: ConvShapeConfig, name: str) -> tuple[NetworkReport, tuple[str, ...]]:
    from dlnotes_cli.shapes.networks import NETWORKS, REMARKS  # used only with --network

    remarks = (REMARKS[name],) if name in REMARKS else ()
    for own, network in NETWORKS.items():
        if own == name:
            return _list_report(config, parse_list(network.layers), _one_input(config, network.input), remarks)
    from dlnotes_cli.lessons.conv_shape.modules import named_network, trace_network  # loads torch

    module, shape = named_network(name)
    shapes = config.input or (shape,)
    report, notes = _module_report(config, trace_network(module, shapes, name), shapes)
    return report, (*remarks, *notes)


def _list_report(
    config: ConvShapeConfig, layers: LayerList, shape: Shape, notes: tuple[str, ...] = ()
) -> tuple[NetworkReport, tuple[str, ...]]:
    report = analyze(
        layers, shape, batch=config.batch, dtype=config.dtype, optimizer=config.optimizer, explain=config.explain
    )
    return report, (*notes, *layers.notes)


def _module_report(
    config: ConvShapeConfig, trace: "ModuleTrace", shapes: Sequence[Shape]
) -> tuple[NetworkReport, tuple[str, ...]]:
    report = NetworkReport(
        shapes[0], trace.layers, config.batch, config.dtype, config.optimizer, is_code=True, explain=config.explain,
        end=trace.end, more_inputs=tuple(shapes[1:]) or None, unused=trace.unused or None,
    )  # fmt: skip
    if trace.trainable < report.parameters:
        report = replace(report, trainable=trace.trainable)
    if not trace.unregistered:
        return report, ()
    kinds = ", ".join(dict.fromkeys(trace.unregistered))
    what = f"{len(trace.unregistered)} layers ({kinds}) are in no attribute that PyTorch knows, so their parameters are"
    return report, (f"{what} not those of the module; keep lists of layers in nn.ModuleList",)


def _one_input(config: ConvShapeConfig, default: Shape | None = None) -> Shape:
    if len(config.input) > 1:
        raise InputError("--input", "a list of layers has one input", "give it once")
    if config.input:
        return config.input[0]
    if default is None:
        raise _missing_input()
    return default


def _missing_input() -> InputError:
    return InputError("--input", "missing", "add the size of one sample, such as --input 3x32x32")
