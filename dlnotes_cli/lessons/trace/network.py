"""The network of `trace` from the options: layers, input, and weights that are drawn, read or those of a run."""

import json
import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli.lessons.options import ACTIVATIONS, TraceConfig, UseGate
from dlnotes_cli.shapes.layer import RESIDUAL, Layer
from dlnotes_cli.shapes.parsing.layer_list import Source, is_file_name, read_source
from dlnotes_cli.shapes.tracing import trace as trace_shapes
from dlnotes_cli.shell.errors import InputError, require
from dlnotes_cli.shell.files import read_file, user_path
from dlnotes_cli.shell.parse import parse_channels

Gates = dict[str, Tensor]  # by name, each (N, H)
LABELS = {
    "i": "input gate", "f": "forget gate", "g": "candidate", "o": "output gate", "c": "cell state", "h": "hidden state",
    "r": "reset gate", "z": "update gate", "n": "candidate", "u": "use gate",
}  # fmt: skip
_RECURRENT = {"RNN", "LSTM", "GRU"}
_MOST_NUMBERS = 1_000_000  # of an input, and of the weights
_MAX_BYTES = 1 << 26  # of a JSON file
_WEIGHTS_FIX = "use ones, init:SEED, seed:SEED, a .json file, or a run or model file"
_IGNORED_ARGUMENTS = {"device", "dtype"}  # everything is float64, on the CPU


class TracedNetwork(NamedTuple):
    """Layers with weights in float64, and the input (N, ...) that they read."""

    layers: tuple[Layer, ...]
    modules: nn.ModuleList
    input: Tensor


def read_layers(config: TraceConfig) -> tuple[Layer, ...]:
    """The layers that a config names. Raises InputError for a network that is no list of known layers."""
    layers: list[Layer] = []
    for text in config.layers:
        layers += (read_source(text) if is_file_name(text) else Source(text)).layers.layers
    for layer in layers:
        is_plain = layer.name != RESIDUAL and not layer.name.startswith("Lazy")
        require(is_plain, f"'{layer.text}'", "is not followed by trace", "list plain layers with their sizes")
    return tuple(layers)


def build_network(config: TraceConfig, layers: tuple[Layer, ...], activation: str | None = None) -> TracedNetwork:
    """Layers as modules with the weights of `config`, and the input; an `activation` replaces every other one.

    Raises InputError where they do not fit.
    """
    if activation is not None:
        new = Layer(ACTIVATIONS[activation], text=f"{ACTIVATIONS[activation]}()")
        layers = tuple(new if layer.name in ACTIVATIONS.values() else layer for layer in layers)
    if config.input is None:
        raise InputError("--input", "missing", 'add numbers such as --input "1 2 3", or a shape such as 1x3')
    shape = _shape(config.input)
    x = torch.empty(shape) if shape else torch.tensor(parse_channels(config.input, "--input"), dtype=torch.float64)
    x = _arranged(x, layers)
    seed = re.fullmatch(r"(?:init|seed):(\d{1,15})", config.weights.strip())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed[1]) if seed else 0)
        trace_shapes(layers, tuple(x.shape[1:]))
        modules = nn.ModuleList(_module(layer, config) for layer in layers)
    count = sum(parameter.numel() for parameter in modules.parameters())
    require(count <= _MOST_NUMBERS, "LAYERS", f"more than {_MOST_NUMBERS:,} parameters", "use smaller layers")
    x = _set_weights(config, modules, x, is_drawn=bool(shape))
    if any(isinstance(module, nn.Embedding) for module in modules):
        x = x.long()
    return TracedNetwork(layers, modules.double(), x)


def _shape(text: str) -> tuple[int, ...]:
    """The shape that an input names; empty if it has numbers."""
    if not re.fullmatch(r"\s*\d{1,9}(\s*x\s*\d{1,9})+\s*", text):
        return ()
    shape = tuple(int(size) for size in text.split("x"))
    is_small = 0 < prod(shape) <= _MOST_NUMBERS
    require(is_small, "--input", f"{text} has {prod(shape):,} numbers", f"use 1 to {_MOST_NUMBERS:,}")
    return shape


def _arranged(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    """The input with its batch first: (N, C, H, W), (N, C, L), (N, T, F) or (N, F), by the first layer that says it."""
    rank, recurrent = 2, None
    for layer in layers:
        is_flat = not layer.name.endswith("3d")
        require(is_flat, f"'{layer.text}'", "is not followed by trace", "use layers of at most 2 spatial axes")
        if layer.name in _RECURRENT:
            rank, recurrent = 3, layer
        elif layer.name.endswith(("1d", "2d")) and layer.name not in {"BatchNorm1d", "Dropout1d"}:
            rank = int(layer.name[-2]) + 2
        if rank > 2 or layer.name in {"Linear", "BatchNorm1d", "Embedding"}:  # noqa: PLR2004  # N, F
            break
    if rank < 4 and x.ndim == 3 and len(x) == 1:  # noqa: PLR2004  # a matrix is a single channel
        x = x[0]
    if recurrent and x.ndim == rank and dict(recurrent.keywords).get("batch_first") is not True:
        x = x.transpose(0, 1)  # PyTorch's order is (T, N, F)
    if x.ndim == rank - 1:
        x = x[None]
    fits, what = x.ndim == rank or x.ndim > rank == 2, f"{'x'.join(map(str, x.shape))} does not fit the first layer"  # noqa: PLR2004
    require(fits, "--input", what, f"use {rank - 1} or {rank} sizes")
    return x


def _module(layer: Layer, config: TraceConfig) -> nn.Module:
    keywords: dict[str, Any] = {name: value for name, value in layer.keywords if name not in _IGNORED_ARGUMENTS}
    module: nn.Module = getattr(nn, layer.name)(*layer.positional, **keywords)
    if isinstance(module, nn.RNNBase):
        is_single = module.num_layers == 1 and not module.bidirectional and not module.proj_size
        what = "has several layers or directions, or a projection"
        require(is_single, f"'{layer.text}'", what, f"list one {layer.name} after the other")
    if isinstance(module, nn.LSTM):
        add_course_weights(module, peephole=config.peephole, use_gate=config.use_gate)
    return module


def add_course_weights(layer: nn.LSTM, *, peephole: bool, use_gate: UseGate) -> None:
    """Add the weights of the notes' variants to an LSTM.

    `peephole` adds weights by which the gates i, f, o see the old cell state (Gers and Schmidhuber 2000), as full
    matrices, as the notes write them. `use_gate` notes replaces tanh(c) by u = tanh(W f c_old + b).
    """
    size, scale = layer.hidden_size, layer.hidden_size**-0.5
    if peephole:
        layer.weight_ch = nn.Parameter(torch.empty(3 * size, size).uniform_(-scale, scale))
    if use_gate == "notes":
        layer.weight_u = nn.Parameter(torch.empty(size, size).uniform_(-scale, scale))
        layer.bias_u = nn.Parameter(torch.zeros(size))


def unrolled(layer: nn.RNNBase, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, list[Gates]]:
    """Hidden states (N, T, H) of one layer and direction, gate by gate, and the gates of each time step.

    x is (N, T, F), the hidden state h and the cell state c before it, which only an LSTM uses, are (N, H).
    """
    steps: list[Gates] = []
    for event in x.unbind(1):
        steps.append(_step(layer, event, h, c))
        h, c = steps[-1]["h"], steps[-1].get("c", c)
    return torch.stack([gates["h"] for gates in steps], 1), steps


def _step(layer: nn.RNNBase, event: Tensor, h: Tensor, c: Tensor) -> Gates:
    weights, linear = dict(layer.named_parameters()), nn.functional.linear
    of_event = linear(event, weights["weight_ih_l0"], weights.get("bias_ih_l0"))
    of_state = linear(h, weights["weight_hh_l0"], weights.get("bias_hh_l0"))
    if isinstance(layer, nn.RNN):
        total = of_event + of_state
        return {"h": total.relu() if layer.nonlinearity == "relu" else total.tanh()}
    if isinstance(layer, nn.GRU):
        (r, z, n), (r_state, z_state, n_state) = of_event.chunk(3, 1), of_state.chunk(3, 1)
        r, z = torch.sigmoid(r + r_state), torch.sigmoid(z + z_state)
        n = torch.tanh(n + r * n_state)
        return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}
    i, f, g, o = (of_event + of_state).chunk(4, 1)
    if "weight_ch" in weights:
        i_seen, f_seen, o_seen = linear(c, weights["weight_ch"]).chunk(3, 1)
        i, f, o = i + i_seen, f + f_seen, o + o_seen
    i, f, o, g = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o), torch.tanh(g)
    new = f * c + i * g
    gates = {"i": i, "f": f, "g": g, "o": o, "c": new}
    if "weight_u" not in weights:
        return gates | {"h": o * torch.tanh(new)}
    u = torch.tanh(linear(f * c, weights["weight_u"], weights["bias_u"]))
    return gates | {"u": u, "h": o * u}


@torch.no_grad()
def _set_weights(config: TraceConfig, modules: nn.ModuleList, x: Tensor, *, is_drawn: bool) -> Tensor:
    """Set the weights of PyTorch's initialization as `--weights` says; returns the input, drawn if `is_drawn`.

    `seed:N` draws as the course's notebook does: standard normal, the input first, then all weights in the order of
    the layers, those of a Linear layer as inputs x outputs, then all biases.
    """
    text = config.weights.strip()
    kind, _, seed = text.partition(":")
    is_complete = kind not in {"init", "seed"} or re.fullmatch(r"\d{1,15}", seed)
    require(is_complete, "--weights", f"'{text}' has no seed", "write init:0 or seed:7")
    generator = torch.Generator().manual_seed(int(seed) if kind == "seed" else config.seed)
    if is_drawn:
        x = torch.randn(x.shape, generator=generator)
    parameters = dict(modules.named_parameters())
    if kind == "seed":
        for name in sorted(parameters, key=lambda name: "bias" in name):  # a stable sort
            parameter, module = parameters[name], modules[int(name.partition(".")[0])]
            is_transposed = parameter.ndim == 2 and not isinstance(module, nn.Embedding)  # noqa: PLR2004  # a matrix
            drawn = torch.randn(parameter.shape[::-1] if is_transposed else parameter.shape, generator=generator)
            parameter.copy_(drawn.T if is_transposed else drawn)
    elif text == "ones":
        for name, parameter in parameters.items():
            parameter.fill_(0.0 if "bias" in name else 1.0)
    elif kind != "init":
        _read(user_path(text), parameters)
    return x.double().contiguous()


def _read(path: Path, parameters: dict[str, nn.Parameter]) -> None:
    if path.suffix.lower() == ".json":
        tensors = _from_json(path)
    elif path.suffix.lower() == ".safetensors" or path.is_dir():
        from dlnotes_cli.training.model_file import load_classifier

        tensors = dict(zip(parameters, load_classifier(path).network.parameters(), strict=False))
    else:
        what = "is not a weights file" if path.exists() else "is neither a name nor a weights file"
        raise InputError("--weights", f"{path} {what}", _WEIGHTS_FIX)
    for name in parameters.keys() | tensors.keys():
        have, need = (tuple(named[name].shape) if name in named else None for named in (tensors, parameters))
        what = f"{name}: shape {have or 'none'} in the file, {need or 'none'} in the layers"
        require(have == need, path, what, "correct the layers or the file")
        parameters[name].copy_(tensors[name])


def _from_json(path: Path) -> dict[str, Tensor]:
    """Tensors by name, such as `{"0.weight": [[1, 2]], "0.bias": [0]}`."""
    content = read_file(path, _MAX_BYTES, "use smaller layers")
    fix = 'write {"0.weight": [[1, 2]], "0.bias": [0]}, by the position of the layer'
    try:
        document: Any = json.loads(content)
        tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in document.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, RuntimeError, OverflowError) as error:
        raise InputError(path, f"is no JSON object of numbers ({str(error)[:100]})", fix) from error
    for name, tensor in tensors.items():
        require(torch.isfinite(tensor).all(), path, f"{name} has numbers that are not finite", fix)
    return tensors
