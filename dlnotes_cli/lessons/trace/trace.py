"""`trace`: forward, backward, finite differences and gradient descent through a list of layers."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn

from dlnotes_cli.lessons.drawings import drawn
from dlnotes_cli.lessons.options import ACTIVATIONS, TraceConfig
from dlnotes_cli.lessons.trace import results
from dlnotes_cli.lessons.trace.network import Gates, TracedNetwork, build_network, read_layers, unrolled
from dlnotes_cli.lessons.trace.results import NamedTensor, TraceResult, norm
from dlnotes_cli.lessons.trace.text_trace import TextTrace, names_a_model, trace_text
from dlnotes_cli.shapes.layer import Layer
from dlnotes_cli.shapes.rules.features import elementwise
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shell.errors import InputError, UnfinishedError, require
from dlnotes_cli.shell.output import counted, number
from dlnotes_cli.shell.parse import parse_matrix

_MOST_DERIVATIVES = 4096  # entries of a Jacobian matrix
_MOST_CHECKED = 5000  # numbers that finite differences move
_STEP = 1e-6  # of a finite difference, relative to numbers above 1
_RANGE, _POINTS = 6.0, 1201  # of a curve
_WIDE_RANGE, _WIDE_POINTS = 40.0, 8001  # of the largest slope, which softplus reaches far from 0
_SIGMOID_SLOPE = 0.25  # the largest
_COURSE_USE_GATE = (
    "the use gate of the notes has its own weights and sees the old memory, f c; an LSTM has h = o tanh(c) of the new "
    "cell state, as the notes' own full diagram; --use-gate pytorch shows the other"
)


class _Passed(NamedTuple):
    """What one forward pass kept of a layer; the gates of each time step and the states before are those of cells."""

    input: Tensor
    output: Tensor
    gates: list[Gates]
    states: tuple[Tensor, ...]


def trace(config: TraceConfig) -> TraceResult | TextTrace:
    """Follow the input through layers, or a text through a trained model.

    Raises InputError where numbers, layers and weights do not fit.
    """
    if names_a_model(config):
        return trace_text(config)
    if not config.layers:
        return drawn(TraceResult(config, config.mode, curves=tuple(map(_curve, config.activation))), "trace.plot")
    layers = read_layers(config)
    network = build_network(config, layers, config.activation[0] if config.activation else None)
    _check_options(config, network)
    passed, loss, gradients = _backward(config, network)
    comparisons = []
    for activation in config.activation if len(config.activation) > 1 else ():
        _, _, compared = _backward(config, build_network(config, layers, activation))
        comparisons.append(results.Comparison(activation, tuple(map(norm, compared[1:]))))
    parts = zip(network.layers, network.modules, passed, gradients[1:], strict=True)
    result = TraceResult(
        config,
        config.mode,
        layers=tuple(_layer(i, *part) for i, part in enumerate(parts)),
        parameters=sum(parameter.numel() for parameter in network.modules.parameters()),
        value=loss.item(),
        input=passed[0].input.detach(),
        input_gradient=gradients[0] if passed[0].input.requires_grad else None,
        checks=tuple(_checks(config, network)) if config.check else (),
        descent=_descend(config, network) if config.lr is not None else None,
        comparisons=tuple(comparisons),
        loss=config.chosen_loss,
        notes=tuple(_notes(config, network)) if config.explain else (),
    )
    return drawn(result, "trace.plot")


def _check_options(config: TraceConfig, network: TracedNetwork) -> None:
    is_lstm = any(isinstance(module, nn.LSTM) for module in network.modules)
    is_recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules)
    for name, is_set, is_used, layer in (
        ("--state", config.state is not None, is_recurrent, "a recurrent layer"),
        ("--memory", config.memory is not None, is_lstm, "an LSTM"),
        ("--peephole", config.peephole, is_lstm, "an LSTM"),
        ("--use-gate", config.use_gate == "notes", is_lstm, "an LSTM"),
    ):
        require(not is_set or is_used, name, f"has no effect without {layer}", "drop it")
    what = "needs a run of char-rnn in place of layers"
    require(config.text is None, "--text", what, "give runs/text, for example")


def _forward(config: TraceConfig, network: TracedNetwork) -> tuple[list[_Passed], Tensor]:
    """Run the layers with the same random numbers each time, so that dropout drops the same units; also the loss."""
    passed: list[_Passed] = []
    network.modules.train(config.mode == "train")
    x = network.input.detach().clone().requires_grad_(network.input.is_floating_point())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        for layer, module in zip(network.layers, network.modules, strict=True):
            gates: list[Gates] = []
            states: tuple[Tensor, ...] = ()
            try:
                if isinstance(module, nn.RNNBase):
                    is_first = not any(one.gates for one in passed)
                    given = (("--state", config.state), ("--memory", config.memory)) if is_first else (("", None),) * 2
                    states = tuple(_state(*one, len(x), module.hidden_size) for one in given)
                    y, gates = unrolled(module, x, *states)
                else:
                    y = module(x.clone())  # a layer may work in place
                    is_tensor = isinstance(y, Tensor)
                    require(is_tensor, f"'{layer.text}'", "also returns indices", "leave out return_indices=True")
            except (ValueError, IndexError, RuntimeError) as error:
                raise InputError(f"'{layer.text}'", str(error).partition("\n")[0][:200], "check --input") from error
            passed.append(_Passed(x, y, gates, states))
            x = y
    loss = _loss(config, network, x)
    if not bool(torch.isfinite(loss)):
        raise UnfinishedError("--input", "the loss is not finite", "use smaller numbers")
    return passed, loss


def _state(option: str, text: str | None, count: int, units: int) -> Tensor:
    """A hidden or cell state (N, H) before the first step."""
    if text is None:
        return torch.zeros(count, units, dtype=torch.float64)
    values = torch.tensor(parse_matrix(text, option), dtype=torch.float64)
    try:
        return values.expand(count, units).clone()
    except RuntimeError as error:
        what = f"{'x'.join(map(str, values.shape))} numbers for {counted(units, 'unit')}"
        raise InputError(option, what, "give one for each, or one") from error


def _loss(config: TraceConfig, network: TracedNetwork, output: Tensor) -> Tensor:
    name = config.chosen_loss
    if config.target is None:
        return output.sum() if name == "sum" else output.mean()
    target = torch.tensor(parse_matrix(config.target, "--target"), dtype=torch.float64).flatten()
    if name == "cross-entropy":
        classes, fix = output.shape[-1], "give the class of each output row"
        is_whole = target.numel() == output.numel() // classes and (target == target.long()).all()
        require(is_whole, "--target", f"{target.numel()} numbers", fix)
        is_class = ((target >= 0) & (target < classes)).all()
        require(is_class, "--target", f"a class outside 0 to {classes - 1}", fix)
        return F.cross_entropy(output.reshape(-1, classes), target.long())
    fits, what = target.numel() in {1, output.numel()}, f"{target.numel()} numbers for an output of {output.numel()}"
    require(fits, "--target", what, "give one number, or one for each number of the output")
    target = target.expand(output.numel()).reshape(output.shape)
    are_shares = name != "bce" or ((target >= 0) & (target <= 1)).all()
    require(are_shares, "--target", "bce needs targets from 0 to 1", "give 0 or 1")
    is_probability = isinstance(network.modules[-1], nn.Sigmoid)
    losses: dict[str, Callable[..., Tensor]] = {
        "mse": F.mse_loss,
        "mae": F.l1_loss,
        "huber": F.huber_loss,
        "bce": F.binary_cross_entropy if is_probability else F.binary_cross_entropy_with_logits,
    }
    return losses[name](output, target)


def _backward(config: TraceConfig, network: TracedNetwork) -> tuple[list[_Passed], Tensor, list[Tensor]]:
    """A forward pass, its loss, and the gradients of the loss with respect to the input and to each output."""
    passed, loss = _forward(config, network)
    network.modules.zero_grad()
    require(loss.requires_grad, "LAYERS", "nothing has a gradient", "add a layer with weights")
    tensors = [passed[0].input, *(one.output for one in passed)]
    for tensor in tensors:
        if tensor.requires_grad:
            tensor.retain_grad()
    loss.backward(retain_graph=True)
    return passed, loss, [_gradient(tensor) for tensor in tensors]


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad.detach().clone()


def _layer(position: int, layer: Layer, module: nn.Module, passed: _Passed, gradient: Tensor) -> results.LayerTrace:
    steps = tuple({name: gate.detach() for name, gate in gates.items()} for gates in passed.gates)
    return results.LayerTrace(
        text=layer.text,
        input=passed.input.detach(),
        output=passed.output.detach(),
        derivative=_derivative(layer, passed),
        gradient=gradient,
        parameters=tuple(
            results.ParameterTrace(f"{position}.{name}", parameter.detach().clone(), _gradient(parameter))
            for name, parameter in module.named_parameters()
        ),
        cell=layer.name if steps else None,
        steps=steps,
        states=passed.states,
        shape=tuple(passed.output.shape),
        gradient_norm=norm(gradient),
        state_shape=(1, *steps[-1]["h"].shape) if steps else None,
    )


def _derivative(layer: Layer, passed: _Passed) -> Tensor | None:
    """The derivative of each number (elementwise layers), or the Jacobian matrix of a single small sample."""
    before, after = passed.input, passed.output
    if passed.gates or not before.requires_grad:
        return None
    if layer_types()[layer.name].rule is elementwise:
        return torch.autograd.grad(after.sum(), before, retain_graph=True)[0]
    if len(before) > 1 or before.numel() * after.numel() > _MOST_DERIVATIVES:
        return None
    rows = [torch.autograd.grad(value, before, retain_graph=True)[0].flatten() for value in after.flatten()]
    return torch.stack(rows)


def _checks(config: TraceConfig, network: TracedNetwork) -> Iterator[results.Check]:
    """Central differences of the loss by every parameter and input, next to autograd."""
    _, _, gradients = _backward(config, network)
    tensors = {"input": (network.input, gradients[0])} if network.input.is_floating_point() else {}
    tensors |= {name: (one.data, _gradient(one)) for name, one in network.modules.named_parameters()}
    count = sum(tensor.numel() for tensor, _ in tensors.values())
    require(count <= _MOST_CHECKED, "--check", f"more than {_MOST_CHECKED:,} numbers to move", "use smaller layers")
    for name, (tensor, gradient) in tensors.items():
        flat, slopes = tensor.view(-1), []
        for i, value in enumerate(flat.tolist()):
            step, losses = _STEP * max(1.0, abs(value)), []
            for moved in (value + step, value - step):
                flat[i] = moved
                losses.append(_forward(config, network)[1].item())
            flat[i] = value
            slopes.append((losses[0] - losses[1]) / (2 * step))
        differences = torch.tensor(slopes, dtype=torch.float64).view(tensor.shape)
        yield results.Check(name, gradient, differences, float((gradient - differences).abs().max()))


def _descend(config: TraceConfig, network: TracedNetwork) -> results.Descent:
    """Plain gradient descent: w - lr times the gradient."""
    lr, losses, parameters = config.lr or 0.0, [], dict(network.modules.named_parameters())
    require(parameters, "--lr", "the layers have no weights", "drop --lr, or add a layer such as Linear(3, 2)")
    optimizer = torch.optim.SGD(parameters.values(), lr)
    for _ in range(config.steps or 1):
        losses.append(_backward(config, network)[1].item())
        optimizer.step()
    losses.append(_forward(config, network)[1].item())
    return results.Descent(
        lr, tuple(losses), tuple(NamedTensor(name, one.detach()) for name, one in parameters.items())
    )


def _notes(config: TraceConfig, network: TracedNetwork) -> Sequence[str]:
    """What a student should know about this network."""
    notes = []
    count = sum(isinstance(module, nn.Sigmoid) for module in network.modules)
    if count > 1:
        what = f"{count} sigmoids pass at most {_SIGMOID_SLOPE}^{count} = {number(_SIGMOID_SLOPE**count)} of a gradient"
        notes.append(f"{what}, times the weights between them: it vanishes where these are small")
    if config.use_gate == "notes":
        notes.append(_COURSE_USE_GATE)
    return notes


def _curve(name: str) -> results.Curve:
    """The curve of a named activation from -6 to 6; at a kink, the slope is PyTorch's."""
    function = getattr(nn, ACTIVATIONS[name])()
    x, values, slopes = (tensor.tolist() for tensor in _sampled(function, _RANGE, _POINTS))
    largest = float(_sampled(function, _WIDE_RANGE, _WIDE_POINTS)[2].max())
    shown = (min(range(_POINTS), key=lambda i: abs(x[i] - place)) for place in (-2.0, 0.0, 2.0))
    at = tuple(results.CurvePoint(x[i], values[i], slopes[i]) for i in shown)
    return results.Curve(name, tuple(x), tuple(values), tuple(slopes), largest, at)


def _sampled(function: nn.Module, largest: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points from -largest to largest, and the values and slopes of a function there."""
    x = torch.linspace(-largest, largest, count, dtype=torch.float64)
    x[count // 2] = 0.0
    y = function(x.requires_grad_())
    (slopes,) = torch.autograd.grad(y.sum(), x)
    return x.detach(), y.detach(), slopes
