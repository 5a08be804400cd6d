"""Networks that must run to show their layers: modules of a Python file, and networks of torchvision.

The file is executed, as `python FILE` does, but under another name than `__main__`. Its tensors are on the meta device.
"""

import ast
import contextlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dlnotes_cli.networks.backbones import build_torchvision
from dlnotes_cli.networks.choices import BACKBONES
from dlnotes_cli.networks.module_trace import ModuleTrace, trace_module
from dlnotes_cli.networks.torch_imports import meta_device, uninitialized
from dlnotes_cli.shapes.layer import InvalidLayerError, Shape, truncate
from dlnotes_cli.shapes.parsing.layer_list import Source
from dlnotes_cli.shell.errors import InputError, import_extra, nearest, require, unknown_choice

_MODULE_NAME = "dlnotes_executed_file"
_NO_VALUES = ("meta tensor", "torch.nonzero", "data-dependent")  # in errors of tensors without values
_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}
_MOVES = {Tensor.to, Tensor.cpu, Tensor.cuda}
_ERROR_CHARS = 300


def named_network(name: str) -> tuple[nn.Module, Shape]:
    """A network of torchvision, or of timm where torchvision has none of this name, and the usual shape of its input.

    Raises InputError for an unknown name.
    """
    if name in BACKBONES:
        side = 299 if name == "inception_v3" else 224  # pixels, for which torchvision publishes most weights
        with meta_device():
            return build_torchvision(name), (3, side, side)
    timm = import_extra("timm", "timm", "--network")
    if not timm.is_model(name):
        known = (*BACKBONES, *timm.list_models())
        raise unknown_choice("--network", name, known, see="see timm.list_models()")
    with meta_device():
        network: nn.Module = timm.create_model(name)
    return network, tuple(network.default_cfg["input_size"])  # type: ignore[index]  # which only timm's modules have


def trace_network(network: nn.Module, shapes: Sequence[Shape], name: str) -> ModuleTrace:
    """Run a network of PyTorch or dlnotes on the meta device; raises InputError where it does not accept the shapes."""
    with _named_errors(name, "", "give another --input"):
        return trace_module(network.eval(), shapes)


def trace_file(source: Source, shapes: Sequence[Shape]) -> tuple[ModuleTrace, tuple[str, ...]]:
    """Execute Python code and run its module; also notes on what was chosen.

    Raises InputError with the line of the code where it raises an exception, and where it has no module.
    """
    file = source.file
    folder = str(Path(file).resolve().parent) if file != "stdin" else ""
    with contextlib.redirect_stdout(sys.stderr), _import_from(folder):  # standard output is for the result
        with torch.device("cpu"), _OnDevice("cpu"), uninitialized():
            namespace = _execute(source)
            with _named_errors(file, source.text, "correct the code"):
                network, notes = _choose(source, namespace)
        _move_to_meta(network)
        with _named_errors(file, source.text, "correct the code or --input, once for each input"), _OnDevice("meta"):
            return trace_module(network.eval(), shapes), notes


@contextlib.contextmanager
def _import_from(folder: str) -> Iterator[None]:
    """Let code import the modules next to it, as a script can."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        sys.modules.pop(_MODULE_NAME, None)


def _execute(source: Source) -> dict[str, Any]:
    module = ModuleType(_MODULE_NAME)
    module.__file__ = source.file
    namespace = vars(module)
    namespace.update(torch=torch, nn=nn, F=F)  # a class that was copied alone has no imports
    sys.modules[_MODULE_NAME] = module
    with _named_errors(source.file, source.text, "correct the code"):
        exec(compile(source.text, source.file, "exec"), namespace)  # noqa: S102  # what the user asked for
    return namespace


@contextlib.contextmanager
def _named_errors(file: str, text: str, fix: str) -> Iterator[None]:
    """Raise InputError, with the last line of `file` that was running, for every exception of the code."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        origin = error.__cause__ if isinstance(error, InvalidLayerError) and error.__cause__ else error
        lines = [frame.lineno for frame in traceback.extract_tb(origin.__traceback__) if frame.filename == file]
        if isinstance(error, SyntaxError) and error.filename == file:
            lines = [error.lineno]
        where = f"{file}, line {lines[-1]}" if text and lines and lines[-1] else file
        message = str(error).partition("\n")[0]
        if isinstance(error, InvalidLayerError):
            raise InputError(where, error.what, error.fix) from error
        if any(words in str(error) for words in _NO_VALUES):
            what = "what runs, or a size, depends on the values of a tensor, and only shapes are known"
            raise InputError(where, what, "make it depend on shapes, such as x.size(0)") from error
        what = f"{type(error).__name__}: {message}" if message else type(error).__name__
        raise InputError(where, truncate(what, _ERROR_CHARS), fix) from error


def _choose(source: Source, namespace: dict[str, Any]) -> tuple[nn.Module, tuple[str, ...]]:
    """The module that the source names; else the last one that the code makes, or one of its last class."""
    if source.module:
        return _named(source, namespace), ()
    made = {
        id(value): value
        for name, value in namespace.items()
        if isinstance(value, nn.Module) and not type(value).__module__.startswith("torch.nn.modules.loss")
    }
    inner = {id(part) for value in made.values() for part in value.modules() if part is not value}
    if outermost := [value for key, value in made.items() if key not in inner]:
        names = [type(value).__name__ for value in outermost]
        return outermost[-1], _several(source.file, names, "module")
    classes = {
        name: value
        for name, value in namespace.items()
        if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == _MODULE_NAME
    }
    parts = {  # classes that another one uses or extends
        inner.id
        for node in ast.walk(ast.parse(source.text))
        if isinstance(node, ast.ClassDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and inner.id != node.name
    }
    names = [name for name in classes if name not in parts] or list(classes)
    fix = "add one, or list layers such as Conv2d(3, 10, 3)"
    require(names, source.file, "has no class of nn.Module", fix)
    try:
        return classes[names[-1]](), _several(source.file, list(classes), "class", names[-1])
    except TypeError as error:
        if "required" not in str(error):
            raise
        what = f"{names[-1]} has arguments without a default ({str(error).partition(' ')[2]})"
        raise InputError(source.file, what, f"give them: {source.file}:{names[-1]}(...)") from error


def _several(file: str, names: Sequence[str], kind: str, chosen: str = "") -> tuple[str, ...]:
    if len(names) < 2:  # noqa: PLR2004  # to choose from
        return ()
    plural, chosen = f"{kind}es" if kind.endswith("s") else f"{kind}s", chosen or names[-1]
    return (f"of the {plural} {', '.join(names)} in {file}, {chosen} is analyzed; {file}:NAME chooses another",)


def _named(source: Source, namespace: dict[str, Any]) -> nn.Module:
    where = f"{source.file}:{truncate(source.module)}"
    try:
        value = eval(source.module, namespace)  # noqa: S307  # code of the user, as the file is
    except NameError as error:
        known = [name for name, one in namespace.items() if getattr(one, "__module__", "") == _MODULE_NAME]
        near = nearest(str(error.name), known)
        fix = f"did you mean {near}?" if near else f"the file has {', '.join(known) or 'no class'}"
        raise InputError(where, f"no '{error.name}' in the file", fix) from error
    except SyntaxError as error:
        raise InputError(where, f"not a call: {error.msg}", "write it as net.py:Net(10, width=64)") from error
    if callable(value) and not isinstance(value, nn.Module):
        value = value()
    if not isinstance(value, nn.Module):
        raise InputError(where, f"is a {type(value).__name__}, and no nn.Module", "name a module or its class")
    return value


def _move_to_meta(network: nn.Module) -> None:
    """Move what was made with values: parameters, buffers, and tensors in plain attributes."""
    network.to("meta")
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                object.__setattr__(module, name, value.to("meta"))


class _OnDevice(TorchFunctionMode):
    """Keeps tensors on a device, whatever device the code asks for: the meta device where it runs, else the CPU.

    While a module is built, its weights are on the meta device all the same; other tensors, such as `linspace`, have
    values, from which the code may compute sizes.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(  # the name is PyTorch's
        self, function: Any, _types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in _MOVES:
            kinds = [one.dtype if isinstance(one, Tensor) else one for one in (*args[1:], *kwargs.values())]
            return next((args[0].type(kind) for kind in kinds if isinstance(kind, torch.dtype)), args[0])
        if function in _FACTORIES:
            kwargs = {**kwargs, "device": "meta"}
        elif kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": self._device}
        return function(*args, **kwargs)
