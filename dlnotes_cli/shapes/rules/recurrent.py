"""RNN, LSTM and GRU."""

from math import prod

from dlnotes_cli.shapes.layer import InvalidLayerError, LayerInfo, Shape, check_tensor_size, format_sample
from dlnotes_cli.shapes.rules.arguments import Arguments

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def recurrent(arguments: Arguments, shape: Shape, kind: str) -> LayerInfo:
    """`RNN`, `LSTM` or `GRU` over time steps and features, from the PyTorch documentation of their weights.

    The output has the hidden states of every step; `states` has the final hidden state, and for LSTM the cell state. A
    layer and direction has gates * hidden_size * (input + hidden) weights, and hidden_size * proj_size for a
    projection; each step uses every weight once. As in torch, an input without time steps is one sequence.
    """
    inputs, hidden, layers = (arguments.integer(name, 1) for name in ("input_size", "hidden_size", "num_layers"))
    projection = _projection(arguments, hidden, kind)
    has_bias, directions = _options(arguments)
    _check_input(shape, inputs)
    gate_rows, size = GATES[kind] * hidden, projection or hidden
    output = (*shape[:-1], directions * size)
    check_tensor_size("an output", output)
    check_tensor_size("a weight", (gate_rows, max(inputs, directions * size)))

    deeper = (layers - 1) * (gate_rows * (directions * size + size) + hidden * projection)
    weights = directions * (gate_rows * (inputs + size) + hidden * projection + deeper)
    biases = directions * layers * 2 * gate_rows * has_bias
    steps = prod(shape[:-1])
    batch = shape[:-2]
    states = [("hidden", (directions * layers, *batch, size))]
    if kind == "LSTM":
        states.append(("cell", (directions * layers, *batch, hidden)))
    formula = _parameter_formula(gate_rows, (inputs, size, hidden * projection), directions, layers, 2 * has_bias)
    return LayerInfo(
        output,
        parameters=weights + biases,
        macs=steps * weights,
        bias_adds=steps * biases,
        field="unknown",
        states=tuple(states),
        count_formulas=(
            ("parameters", f"{formula} = {weights + biases}"),
            ("MACs", f"{steps} steps * {weights} weights = {steps * weights}"),
        ),
    )


def _projection(arguments: Arguments, hidden: int, kind: str) -> int:
    projection = arguments.integer("proj_size", 0)
    if kind != "LSTM" and (projection or "proj_size" in arguments.keywords):
        raise InvalidLayerError("proj_size applies only to LSTM", "leave it out")
    if projection >= hidden:
        raise InvalidLayerError(
            f"proj_size={projection} is not below hidden_size={hidden}", f"use at most {hidden - 1}"
        )
    return projection


def _options(arguments: Arguments) -> tuple[bool, int]:
    """Whether there are biases, and the number of directions."""
    dropout = arguments.number("dropout")
    if isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise InvalidLayerError(f"dropout={dropout} is not between 0 and 1", "use a number from 0 to 1")
    if "nonlinearity" in arguments:
        arguments.choice("nonlinearity", ("tanh", "relu"))
    arguments.boolean("batch_first")
    return arguments.boolean("bias"), 2 if arguments.boolean("bidirectional") else 1


def _check_input(shape: Shape, inputs: int) -> None:
    if len(shape) not in {2, 3}:
        what = f"expects time steps and features, LxH, got {format_sample(shape)}"
        raise InvalidLayerError(what, "use an input of LxH")
    if shape[-1] != inputs:
        what = f"expects {inputs} features, got {shape[-1]} (the last of {format_sample(shape)})"
        raise InvalidLayerError(what, f"write input_size={shape[-1]}")


def _parameter_formula(gate_rows: int, sizes: tuple[int, int, int], directions: int, layers: int, biases: int) -> str:
    """The parameters of every layer and direction; `sizes` are inputs, hidden, and the weights of a projection."""
    inputs, hidden, projection = sizes
    extra = f" + {projection}" if projection else ""
    bias = f" + {biases}" if biases else ""
    one_layer = f"{gate_rows}*({{}} + {hidden}{bias}){extra}".format
    times = "" if directions == 1 else f"{directions} * "
    if layers == 1:
        return f"{times}({one_layer(inputs)})"
    return f"{times}({one_layer(inputs)} + {layers - 1}*({one_layer(directions * hidden)}))"
