"""`conv-shape`: from options to a result.

The parser, the layers and the solver are imported where they are used: one filter needs none of them, and they take
a sixth of the time of `conv-shape -W 130 -F 3`.
"""

from functools import reduce
from typing import TYPE_CHECKING

from dlnotes_cli.calculate.options import ConvShapeConfig
from dlnotes_cli.calculate.results import (
    ConvShapeResult,
    FilterParameters,
    FormulaResult,
    GramResult,
    SolveResult,
    StackResult,
)
from dlnotes_cli.shapes.course import course_notes, gram_sizes
from dlnotes_cli.shapes.layer import Shape
from dlnotes_cli.shapes.sliding_window import SlidingWindow
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.shapes.graph import Network
    from dlnotes_cli.shapes.solver import WindowSpec

MAX_SOLUTIONS = 10_000  # values in the output


def conv_shape(config: ConvShapeConfig) -> ConvShapeResult:
    """Analyze a stack of layers or calculate one filter; raises InputError where PyTorch would raise an error."""
    if config.solve is not None:
        return _solve(config)
    if config.letters:
        return _filter(config)
    if config.gram and not config.has_stack:
        return _gram(_input(config), config)
    return _stack(config)


def _stack(config: ConvShapeConfig) -> StackResult:
    from dlnotes_cli.shapes.report import analyze

    network, size = _network(config)
    report = analyze(network, size, batch=config.batch, dtype=config.dtype, optimizer=config.optimizer)
    gram = _gram(report.output, config) if config.gram else None
    return StackResult(report, (*network.notes, *course_notes(report)), gram, config.explain)


def _gram(shape: Shape, config: ConvShapeConfig) -> GramResult:
    vectorized, gram = gram_sizes(shape)
    return GramResult(shape, vectorized, gram, config.explain)


def _filter(config: ConvShapeConfig) -> FormulaResult:
    if config.kernel is None:
        raise InputError("-F", "the size of the filter is missing", "add -W and -F, or -F, -K and -D")
    window = parameters = None
    if config.width is not None:
        window = _window(config.width, config.kernel, config)
    if config.filters and config.depth:
        parameters = FilterParameters(config.filters, config.kernel, config.depth)
    if window is None and parameters is None:
        raise InputError(config.letters[0], "is not enough for a formula", "add -W and -F, or -F, -K and -D")
    return FormulaResult(window, parameters, config.explain)


def _window(width: int, kernel: int, config: ConvShapeConfig) -> SlidingWindow:
    padding = config.padding or 0
    window = SlidingWindow(width, kernel, config.stride or 1, padding, padding)
    if window.output < 1:
        what = f"a filter of {kernel} does not fit into {width + 2 * padding} (padding included): {window.formula}"
        raise InputError("-F", what, "use a smaller filter or more padding")
    return window


def _solve(config: ConvShapeConfig) -> SolveResult:
    from dlnotes_cli.shapes.solver import solve

    unknown, target = config.solve, config.want
    if unknown is None or target is None:
        raise InputError("--solve", "needs --want", "add --want")
    axes = _axes(config)
    solutions = solve(unknown, target, axes)
    values = tuple(solutions.first(MAX_SOLUTIONS))
    return SolveResult(unknown, target, axes[0], solutions, values, config.explain)


def _axes(config: ConvShapeConfig) -> "tuple[WindowSpec, ...]":
    """The axes to solve, from the course's letters or from one layer."""
    from dlnotes_cli.shapes.solver import WindowSpec, layer_axes

    if not config.letters:
        network, size = _network(config)
        layers = network.as_list()
        if len(layers) != 1:
            raise InputError("--solve", f"works on one layer, got {len(layers)}", "use one layer and its --input")
        return layer_axes(layers[0], size)
    if config.width is None:
        raise InputError("--solve", "needs the size of the input", "add -W")
    if config.kernel is None and config.solve != "kernel":
        raise InputError("--solve", "needs the size of the filter", "add -F")
    if config.solve != "output_padding" and getattr(config, str(config.solve)) is not None:
        raise InputError("--solve", f"{config.solve} is the unknown, but has a value", "leave its letter out")
    return (
        WindowSpec(
            config.width,
            kernel=config.kernel or 1,
            stride=config.stride or 1,
            padding=config.padding or 0,
            is_transposed=config.solve == "output_padding",
        ),
    )


def _network(config: ConvShapeConfig) -> "tuple[Network, Shape]":
    """The layers and the shape of one input sample."""
    from dlnotes_cli.shapes.parsing.layer_files import is_file_name, read_network
    from dlnotes_cli.shapes.parsing.layer_list import parse_network

    if config.arch is not None:
        from dlnotes_cli.shapes.networks import named_network  # used only with --arch

        network = named_network(config.arch)
        return parse_network(network.layers), config.input or network.input
    if config.file is not None:
        return read_network(config.file), _input(config)
    if not config.layers:
        raise InputError("LAYERS", "no layers", 'add layers such as "Conv2d(3, 10, 3)", --file or --arch')
    networks = [read_network(text) if is_file_name(text) else parse_network(text) for text in config.layers]
    return reduce(lambda before, after: before.then(after), networks), _input(config)


def _input(config: ConvShapeConfig) -> Shape:
    if config.input is None:
        raise InputError("--input", "missing", "add the size of one sample, such as --input 3x32x32")
    return config.input
