"""`conv-shape`: from options to an answer."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dlnotes_cli.calculate.options import ConvShapeConfig, shape
from dlnotes_cli.shapes.course_remarks import gram_sizes, remarks, rounding_remark
from dlnotes_cli.shapes.layer import Layer, Shape, dims
from dlnotes_cli.shapes.parsing.parser import parse_layers
from dlnotes_cli.shapes.parsing.source import read_layers
from dlnotes_cli.shapes.report import analyze
from dlnotes_cli.shapes.rules.windows import Slide
from dlnotes_cli.shell.errors import InputError

if TYPE_CHECKING:
    from dlnotes_cli.shapes.solver import Setting

MAX_SOLUTIONS = 10_000


@dataclass(frozen=True)
class ShapeAnswer:
    """What was asked: values for JSON, lines for a person beside the table of a stack, and remarks."""

    fields: dict[str, Any]
    lines: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def conv_shape(config: ConvShapeConfig) -> ShapeAnswer:
    """Answer a question about a stack of layers or one filter; raises InputError where PyTorch would refuse it."""
    if config.solve is not None:
        return _solutions(config)
    if config.letters:
        return _letters(config)
    if config.gram and not config.has_stack:
        return _gram(_input(config), {"input": list(_input(config))}, explained=config.explain)
    return _stack(config)


def _stack(config: ConvShapeConfig) -> ShapeAnswer:
    layers, size = _layers(config)
    report = analyze(layers, size, batch=config.batch, dtype=config.dtype, optimizer=config.optimizer)
    answer = ShapeAnswer(report.fields(explained=config.explain))
    if config.gram:
        answer = _gram(report.output, answer.fields, explained=config.explain)
    return replace(answer, remarks=tuple(remarks(report)))


def _gram(size: Shape, fields: dict[str, Any], *, explained: bool) -> ShapeAnswer:
    """Lesson 6: a feature map as a matrix of channels and positions, and the Gram matrix of its channels."""
    vectorized, gram = gram_sizes(size)
    how = f": {'*'.join(map(str, size[1:]))} = {vectorized[1]}" if explained else ""
    fields = fields | {"vectorized": list(vectorized), "gram": list(gram)}
    return ShapeAnswer(fields, (f"vectorized  {dims(vectorized)}{how}", f"gram        {dims(gram)}"))


def _letters(config: ConvShapeConfig) -> ShapeAnswer:
    """The course's two formulas: the size from W, F, S, P, and the parameters from K, F, D."""
    if config.kernel is None:
        raise InputError("-F", "the size of the filter is missing", "give -W and -F, or -F, -K and -D")
    answers = [
        _size(config.width, config) if config.width is not None else None,
        _parameters(config.filters, config.kernel, config.depth) if config.filters and config.depth else None,
    ]
    found = [answer for answer in answers if answer is not None]
    if not found:
        raise InputError(config.letters[0], "is not enough for a formula", "give -W and -F, or -F, -K and -D")
    fields = {name: value for answer in found for name, value in answer.fields.items() if name != "formulas"}
    formulas = {name: text for answer in found for name, text in answer.fields["formulas"].items()}
    lines = tuple(formulas.values()) if config.explain else tuple(line for answer in found for line in answer.lines)
    notes = tuple(note for answer in found for note in answer.remarks)
    return ShapeAnswer({**fields, "formulas": formulas} if config.explain else fields, lines, notes)


def _size(width: int, config: ConvShapeConfig) -> ShapeAnswer:
    padding = config.padding or 0
    slide = Slide(width, config.kernel or 1, config.stride or 1, padding, padding)
    if slide.output < 1:
        what = f"a filter of {slide.kernel} does not fit into {width + 2 * padding} (padding included): {slide.formula}"
        raise InputError("-F", what, "use a smaller filter or more padding")
    letters = {"width": width, "kernel": slide.kernel, "stride": slide.stride, "padding": padding}
    fields = {**letters, "output": slide.output, "formulas": {"size": slide.formula}}
    return ShapeAnswer(fields, (str(slide.output),), tuple(filter(None, [rounding_remark(slide)])))


def _parameters(filters: int, kernel: int, depth: int) -> ShapeAnswer:
    count = filters * (kernel * kernel * depth + 1)
    formula = f"({filters} * {kernel}*{kernel} * {depth}) + {filters} = {count}"
    letters = {"kernel": kernel, "filters": filters, "depth": depth}
    return ShapeAnswer({**letters, "parameters": count, "formulas": {"parameters": formula}}, (f"{count} parameters",))


def _solutions(config: ConvShapeConfig) -> ShapeAnswer:
    from dlnotes_cli.shapes.solver import solve  # which few questions need

    unknown, want = config.solve, config.want
    if unknown is None or want is None:
        raise InputError("--solve", "needs --want", "add --want")
    settings = _settings(config)
    found = solve(unknown, want, settings)
    values = list(found.first(MAX_SOLUTIONS))
    fields = {"solve": unknown, "want": want, "lowest": found.lowest, "highest": found.highest, "solutions": values}
    lines = [f"{v}: {settings[0].having(unknown, v).axis.formula}" if config.explain else str(v) for v in values]
    more = found.highest is None or found.highest > values[-1]
    end = "so on without end" if found.highest is None else f"so on up to {found.highest}"
    return ShapeAnswer(fields, tuple(lines), (f"and {end}",) if more else ())


def _settings(config: ConvShapeConfig) -> "tuple[Setting, ...]":
    """The kernel that is asked about, from the letters or from one layer."""
    from dlnotes_cli.shapes.solver import Setting, settings_of

    if not config.letters:
        layers, size = _layers(config)
        if len(layers) != 1:
            raise InputError("--solve", f"looks at one layer, got {len(layers)}", "give one layer and its input")
        return settings_of(layers[0], size)
    if config.width is None:
        raise InputError("--solve", "needs the size of the input", "add -W")
    if config.kernel is None and config.solve != "kernel":
        raise InputError("--solve", "needs the size of the filter", "add -F")
    if config.solve != "output_padding" and getattr(config, str(config.solve)) is not None:
        raise InputError("--solve", f"looks for the {config.solve}, which is given", "leave its letter out")
    return (
        Setting(
            config.width,
            kernel=config.kernel or 1,
            stride=config.stride or 1,
            padding=config.padding or 0,
            is_transposed=config.solve == "output_padding",
        ),
    )


def _layers(config: ConvShapeConfig) -> tuple[tuple[Layer, ...], Shape]:
    """The stack, and the sample that goes into it."""
    if config.arch is not None:
        from dlnotes_cli.shapes.networks import known_network

        network = known_network(config.arch)
        return parse_layers(network.layers), config.input or shape(network.input)
    if config.file is not None:
        return read_layers(config.file), _input(config)
    if not config.layers:
        raise InputError("LAYERS", "no layers", 'give layers such as "Conv2d(3, 10, 3)", --file or --arch')
    pieces = [read_layers("-") if text == "-" else parse_layers(text) for text in config.layers]
    return tuple(layer for piece in pieces for layer in piece), _input(config)


def _input(config: ConvShapeConfig) -> Shape:
    if config.input is None:
        raise InputError("--input", "missing", "give the size of one sample, such as --input 3x32x32")
    return config.input
