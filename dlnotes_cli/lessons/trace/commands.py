"""`dlnotes trace`."""

from dlnotes_cli.lessons.trace.options import TraceConfig
from dlnotes_cli.shell.binding import command
from dlnotes_cli.shell.show import check_outputs, show


@command(
    panel="Calculate",
    task="lessons.trace.trace:trace -> TraceResult",
    also=("lessons.trace.text_trace:trace_text -> TextTrace",),
    examples=(
        'dlnotes trace "Linear(3, 2); Tanh()" --input 1x3 --weights seed:7',
        'dlnotes trace "LSTM(1, 1)" --input 1 --state 0.5 --memory 1 --weights ones',
    ),
)
def trace(config: TraceConfig) -> None:
    """Follow numbers through a network, forward and back, and through the gates of recurrent cells.

    Prints the output of each layer, the local derivative (one number for each
    output of an activation, else the Jacobian matrix) and the gradient of the
    loss with respect to the output; for a recurrent layer, every gate at every
    time step.
    Everything is computed in float64.
    """
    from dlnotes_cli.lessons.drawings import write_drawings
    from dlnotes_cli.lessons.trace.text_trace import names_a_model, trace_text
    from dlnotes_cli.lessons.trace.trace import trace as trace_layers

    check_outputs(config)
    result = trace_text(config) if names_a_model(config) else trace_layers(config)
    write_drawings(result, "trace.plot")
    show(result, config)
