"""The weights of `trace`: ones, drawn by a seed, from a file of numbers, or from a trained classifier."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dlnotes_cli.lessons.trace.options import TraceConfig
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.limited_input import read_file

_MAX_BYTES = 1 << 26
_FIX = "use ones, init:SEED, seed:SEED, a .json file, or a run or model file"


@torch.no_grad()
def set_weights(config: TraceConfig, modules: nn.ModuleList, x: Tensor, *, is_drawn: bool) -> Tensor:
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
        raise InputError("--weights", f"{path} {what}", _FIX)
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
