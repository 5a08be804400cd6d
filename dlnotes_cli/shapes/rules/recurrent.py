"""RNN, LSTM and GRU."""

from math import prod

from dlnotes_cli.shapes.layer import Effect, RefusedError, Shape, check_size, sample
from dlnotes_cli.shapes.rules.arguments import Arguments

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(given: Arguments, shape: Shape, kind: str) -> Effect:
    """A recurrent stack over steps and features: its output is every step's, its states are the last step's.

    Each step uses every weight once: G * H * (inputs + hidden) for the gates of a layer and direction, and H * P for a
    projection. Vectors without steps are read as one sequence, as torch does.
    """
    inputs, hidden, layers = (given.whole(name, 1) for name in ("input_size", "hidden_size", "num_layers"))
    projected = _projection(given, hidden, kind)
    has_bias, directions = _options(given)
    _check_input(shape, inputs)
    gates, size = GATES[kind] * hidden, projected or hidden
    output = (*shape[:-1], directions * size)
    check_size("an output", output)
    check_size("a weight", (gates, max(inputs, directions * size)))

    deeper = (layers - 1) * (gates * (directions * size + size) + hidden * projected)
    weights = directions * (gates * (inputs + size) + hidden * projected + deeper)
    biases = directions * layers * 2 * gates * has_bias
    steps = prod(shape[:-1])
    batch = shape[:-2]
    states = [("hidden", (directions * layers, *batch, size))]
    if kind == "LSTM":
        states.append(("cell", (directions * layers, *batch, hidden)))
    text = _text(gates, (inputs, size, hidden * projected), directions, layers, 2 * has_bias)
    return Effect(
        output,
        parameters=weights + biases,
        macs=steps * weights,
        bias_adds=steps * biases,
        reach="lost",
        states=tuple(states),
        formulas=(
            ("parameters", f"{text} = {weights + biases}"),
            ("MACs", f"{steps} steps * {weights} weights = {steps * weights}"),
        ),
    )


def _projection(given: Arguments, hidden: int, kind: str) -> int:
    projected = given.whole("proj_size", 0)
    if kind != "LSTM" and (projected or "proj_size" in given.given):
        raise RefusedError("proj_size is for LSTM alone", "leave it out")
    if projected >= hidden:
        raise RefusedError(f"proj_size={projected} is not below hidden_size={hidden}", f"use at most {hidden - 1}")
    return projected


def _options(given: Arguments) -> tuple[bool, int]:
    """Whether there are biases, and the number of directions."""
    dropout = given.number("dropout")
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise RefusedError(f"dropout={dropout} is not between 0 and 1", "use a number from 0 to 1")
    if "nonlinearity" in given:
        given.word("nonlinearity", ("tanh", "relu"))
    given.flag("batch_first")
    return given.flag("bias"), 2 if given.flag("bidirectional") else 1


def _check_input(shape: Shape, inputs: int) -> None:
    if len(shape) not in {2, 3}:
        raise RefusedError(f"takes steps and features, LxH; got {sample(shape)}", "give the input as LxH")
    if shape[-1] != inputs:
        what = f"takes {inputs} features, got {shape[-1]} (the last of {sample(shape)})"
        raise RefusedError(what, f"write input_size={shape[-1]}")


def _text(gates: int, sizes: tuple[int, int, int], directions: int, layers: int, biases: int) -> str:
    """The parameters of every layer and direction; `sizes` are inputs, hidden and the weights of a projection."""
    inputs, size, projection = sizes
    extra = f" + {projection}" if projection else ""
    bias = f" + {biases}" if biases else ""
    each = f"{gates}*({{}} + {size}{bias}){extra}".format
    times = "" if directions == 1 else f"{directions} * "
    if layers == 1:
        return f"{times}({each(inputs)})"
    return f"{times}({each(inputs)} + {layers - 1}*({each(directions * size)}))"
