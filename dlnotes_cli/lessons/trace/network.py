"""The network of `trace` from the options: layers, input, and weights that are drawn, read or those of a run."""

import json
import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli.lessons.trace.cells import KINDS, Cell
from dlnotes_cli.lessons.trace.options import ACTIVATIONS, TraceConfig
from dlnotes_cli.shapes.layer import RESIDUAL, Layer
from dlnotes_cli.shapes.parsing.layer_list import Source, is_file_name, read_source
from dlnotes_cli.shapes.tracing import trace as trace_shapes
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import read_file, user_path
from dlnotes_cli.shell.parse import parse_channels

_MOST_NUMBERS = 1_000_000  # of an input, and of the weights
_MAX_BYTES = 1 << 26  # of a JSON file
_WEIGHTS_FIX = "use ones, init:SEED, seed:SEED, a .json file, or a run or model file"
_IGNORED_ARGUMENTS = {"device", "dtype"}  # everything is float64, on the CPU
_IMAGE, _CHANNELS, _SEQUENCE, _ROWS = "image", "channels", "sequence", "rows"
_ELEMENTWISE = (
    nn.Sigmoid, nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.ReLU6, nn.SELU, nn.CELU,
    nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Mish, nn.LogSigmoid, nn.Softsign, nn.Tanhshrink, nn.Identity,
    nn.Hardshrink, nn.Softshrink, nn.Threshold,
)  # fmt: skip


class TracedNetwork(NamedTuple):
    """Layers with weights in float64, and the input (N, ...) that they read."""

    layers: tuple[Layer, ...]
    modules: nn.ModuleList
    input: Tensor

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        return sum(parameter.numel() for parameter in self.modules.parameters())


def is_elementwise(module: nn.Module) -> bool:
    """Whether a layer maps each number on its own, so that its derivative has one number for each."""
    return isinstance(module, _ELEMENTWISE)


def read_layers(config: TraceConfig) -> tuple[Layer, ...]:
    """The layers that a config names. Raises InputError for a network that is no list of known layers."""
    layers: list[Layer] = []
    for text in config.layers:
        layers += (read_source(text) if is_file_name(text) else Source(text)).layers.layers
    for layer in layers:
        if layer.name == RESIDUAL or layer.name.startswith("Lazy"):
            raise InputError(f"'{layer.text}'", "is not followed by trace", "list plain layers with their sizes")
    return tuple(layers)


def with_activation(layers: Sequence[Layer], name: str) -> tuple[Layer, ...]:
    """The layers with every activation replaced."""
    known = set(ACTIVATIONS.values())
    new = Layer(ACTIVATIONS[name], text=f"{ACTIVATIONS[name]}()")
    return tuple(new if layer.name in known else layer for layer in layers)


def build_network(config: TraceConfig, layers: tuple[Layer, ...]) -> TracedNetwork:
    """The layers as modules with the weights of `config`, and the input. Raises InputError where they do not fit."""
    if config.input is None:
        raise InputError("--input", "missing", 'add numbers such as --input "1 2 3", or a shape such as 1x3')
    layout = _layout(layers)
    shape = _shape(config.input)
    x = torch.empty(shape) if shape else torch.tensor(parse_channels(config.input, "--input"), dtype=torch.float64)
    x = _arranged(x, layout, layers)
    seed = re.fullmatch(r"(?:init|seed):(\d{1,15})", config.weights.strip())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed[1]) if seed else 0)
        trace_shapes(layers, tuple(x.shape[1:]))
        modules = nn.ModuleList(_module(layer, config) for layer in layers)
    if sum(parameter.numel() for parameter in modules.parameters()) > _MOST_NUMBERS:
        raise InputError("LAYERS", f"more than {_MOST_NUMBERS:,} parameters", "use smaller layers")
    x = _set_weights(config, modules, x, is_drawn=bool(shape))
    if any(isinstance(module, nn.Embedding) for module in modules):
        x = x.long()
    return TracedNetwork(layers, modules.double(), x)


def _layout(layers: Sequence[Layer]) -> str:
    """What the rows of the input are, by the first layer that says it."""
    for layer in layers:
        if layer.name in KINDS.values():
            return _SEQUENCE
        if layer.name.endswith("2d"):
            return _IMAGE
        if layer.name.endswith("3d"):
            raise InputError(f"'{layer.text}'", "is not followed by trace", "use layers of at most 2 spatial axes")
        if layer.name in {"Linear", "BatchNorm1d", "Embedding"}:
            break
        if layer.name.endswith("1d") and layer.name != "Dropout1d":
            return _CHANNELS
    return _ROWS


def _shape(text: str) -> tuple[int, ...]:
    """The shape that an input names; empty if it has numbers."""
    if not re.fullmatch(r"\s*\d{1,9}(\s*x\s*\d{1,9})+\s*", text):
        return ()
    shape = tuple(int(size) for size in text.split("x"))
    numbers = prod(shape)
    if not 0 < numbers <= _MOST_NUMBERS:
        raise InputError("--input", f"{text} has {numbers:,} numbers", f"use 1 to {_MOST_NUMBERS:,}")
    return shape


def _arranged(x: Tensor, layout: str, layers: Sequence[Layer]) -> Tensor:
    """The input with its batch first: (N, C, H, W), (N, C, L), (N, T, F) or (N, F)."""
    rank = {_IMAGE: 4, _CHANNELS: 3, _SEQUENCE: 3, _ROWS: 2}[layout]
    if layout != _IMAGE and x.ndim == 3 and len(x) == 1:  # noqa: PLR2004  # a matrix is a single channel
        x = x[0]
    if layout == _SEQUENCE and x.ndim == rank:
        first = next(layer for layer in layers if layer.name in KINDS.values())
        x = x if dict(first.keywords).get("batch_first") is True else x.transpose(0, 1)  # PyTorch's order of (T, N, F)
    if x.ndim == rank - 1:
        x = x[None]
    if x.ndim != rank and not (layout == _ROWS and x.ndim > rank):
        sizes = "x".join(map(str, x.shape))
        raise InputError("--input", f"{sizes} does not fit the first layer", f"use {rank - 1} or {rank} sizes")
    return x


def _module(layer: Layer, config: TraceConfig) -> nn.Module:
    keywords: dict[str, Any] = {name: value for name, value in layer.keywords if name not in _IGNORED_ARGUMENTS}
    module: nn.Module = getattr(nn, layer.name)(*layer.positional, **keywords)
    if not isinstance(module, nn.RNNBase):
        return module
    if module.num_layers > 1 or module.bidirectional or module.proj_size:
        what = "has several layers or directions, or a projection"
        raise InputError(f"'{layer.text}'", what, f"list one {layer.name} after the other")
    is_lstm = isinstance(module, nn.LSTM)
    return Cell(module, peephole=config.peephole and is_lstm, use_gate=config.use_gate if is_lstm else "pytorch")


@torch.no_grad()
def _set_weights(config: TraceConfig, modules: nn.ModuleList, x: Tensor, *, is_drawn: bool) -> Tensor:
    """Set the weights of PyTorch's initialization as `--weights` says; returns the input, drawn if `is_drawn`.

    `seed:N` draws as the course's notebook does: standard normal, the input first, then all weights in the order of
    the layers, those of a Linear layer as inputs x outputs, then all biases.
    """
    text = config.weights.strip()
    kind, _, seed = text.partition(":")
    if kind in {"init", "seed"} and not re.fullmatch(r"\d{1,15}", seed):
        raise InputError("--weights", f"'{text}' has no seed", "write init:0 or seed:7")
    generator = torch.Generator().manual_seed(int(seed) if kind == "seed" else config.seed)
    if is_drawn:
        x = torch.randn(x.shape, generator=generator)
    if kind == "seed":
        _draw(modules, generator)
    elif text == "ones":
        for name, parameter in modules.named_parameters():
            parameter.fill_(0.0 if "bias" in name else 1.0)
    elif kind != "init":
        _read(user_path(text), modules)
    return x.double()


def _draw(modules: nn.ModuleList, generator: torch.Generator) -> None:
    named = list(modules.named_parameters())
    for wants_bias in (False, True):
        for name, parameter in named:
            if ("bias" in name) == wants_bias:
                is_linear = parameter.ndim == 2 and not isinstance(modules[int(name.split(".")[0])], nn.Embedding)  # noqa: PLR2004
                drawn = torch.randn(parameter.shape[::-1] if is_linear else parameter.shape, generator=generator)
                parameter.copy_(drawn.T if is_linear else drawn)


def _read(path: Path, modules: nn.ModuleList) -> None:
    if path.suffix.lower() == ".json":
        tensors = _from_json(path)
    elif path.suffix.lower() == ".safetensors" or path.is_dir():
        from dlnotes_cli.training.model_file import load_classifier

        names = (name for name, _ in modules.named_parameters())
        stored = load_classifier(path).network
        tensors = dict(zip(names, (p.detach() for p in stored.parameters()), strict=False))
    else:
        what = "is not a weights file" if path.exists() else "is neither a name nor a weights file"
        raise InputError("--weights", f"{path} {what}", _WEIGHTS_FIX)
    wanted = dict(modules.named_parameters())
    for name in wanted.keys() | tensors.keys():
        have, need = (tuple(t[name].shape) if name in t else None for t in (tensors, wanted))
        if have != need:
            what = f"{name}: shape {have or 'none'} in the file, {need or 'none'} in the layers"
            raise InputError(path, what, "correct the layers or the file")
    for name, parameter in wanted.items():
        parameter.copy_(tensors[name])


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
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(path, f"{name} has numbers that are not finite", fix)
    return tensors
