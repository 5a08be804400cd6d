"""A network: from any source to its report, and the sizes of its output as a matrix."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult, GramResult
from dlnotes_cli.shapes.course import gram_sizes
from dlnotes_cli.shapes.layer import Layer, Shape
from dlnotes_cli.shapes.parsing.layer_list import LayerList, Source, is_file_name, parse_list, read_source
from dlnotes_cli.shapes.report import NetworkReport, analyze, network_report
from dlnotes_cli.shell.codec import HIDDEN, INLINE, OPTIONAL, to_json
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.show import Table, csv_text

if TYPE_CHECKING:
    from torch import nn

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
    explain: bool = field(default=False, metadata=HIDDEN)

    def table(self) -> Iterator[Table | str]:
        """Yield the table, the totals and the matrix sizes."""
        yield from self.report.table()
        if self.vectorized and self.gram:
            yield from GramResult(self.report.output, self.vectorized, self.gram, self.explain).table()

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
    return StackResult(report, vectorized, gram, config.explain, notes=(*notes, *report.notes))


def matrix_sizes(config: ConvShapeConfig) -> GramResult:
    """The sizes of a feature map of `--input` as a matrix, and of its Gram matrix."""
    shape = _shapes(config, None, is_list=True)[0]
    return GramResult(shape, *gram_sizes(shape), config.explain)


def read_report(config: ConvShapeConfig) -> tuple[NetworkReport, tuple[str, ...]]:
    """The report on the network that the options name, and notes on it."""
    network, shape, notes = _network(config)
    shapes = _shapes(config, shape, is_list=isinstance(network, LayerList))
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
    if not config.layers and config.file is None:
        raise InputError("LAYERS", "no layers", 'add layers such as "Conv2d(3, 10, 3)", --file, --network or --model')
    texts = config.layers if config.file is None else (config.file,)
    is_file = config.file is not None
    sources = [read_source(text) if is_file or is_file_name(text) else Source(text) for text in texts]
    code = next((source for source in sources if source.is_code), None)
    if code is None:
        lists = [source.layers for source in sources]
        layers = tuple(layer for one in lists for layer in one.layers)
        return LayerList(layers, tuple(note for one in lists for note in one.notes)), None, ()
    if len(sources) > 1:
        raise InputError(code.file, "is Python code, and cannot be combined with other layers", "give it alone")
    return code, None, ()


def _shapes(config: ConvShapeConfig, default: Shape | None, *, is_list: bool) -> Sequence[Shape]:
    """The shapes of the inputs: those of --input, else the usual one of the network."""
    if is_list and len(config.input) > 1:
        raise InputError("--input", "a list of layers has one input", "give it once")
    if not config.input and default is None:
        raise InputError("--input", "missing", "add the size of one sample, such as --input 3x32x32")
    return config.input or ((default,) if default else ())
