"""Weights that others trained: a .safetensors or .pth file becomes named tensors, and nothing in it is run."""

import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from dlnotes_cli.data.paths import check_regular
from dlnotes_cli.shell.errors import InputError, unreadable

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which trainers keep the weights among other things
_PYTORCH = (b"PK\x03\x04", b"\x80", b"c")  # how zipped files, older ones, and pickles without a version begin
_PARALLEL = "module."  # before every name, where several devices trained
_OTHER_FILE = "give a state dict, as torch.save(model.state_dict(), PATH) or safetensors write it"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict on the CPU, floating ones in float32.

    A pickle is read by PyTorch's restricted reader alone (`weights_only`), which knows tensors and plain containers.
    Raises InputError naming the file where it is damaged, is no state dict, or holds numbers that are not finite.
    """
    check_regular(path)
    try:
        found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except OSError as error:
        raise unreadable(path, error) from error
    for name, tensor in found.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_complex() or tensor.is_quantized:
            raise InputError(path, f"tensor {name} is of a kind that no network here has", _OTHER_FILE)
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in found.items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(path, f"tensor {name} holds numbers that are not finite", "use other weights")
    return tensors


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file. Raises InputError where it cannot be read."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise InputError(path, f"is damaged, or no safetensors file ({error})", _OTHER_FILE) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as stream:
        start = stream.read(4)
    if not start.startswith(_PYTORCH):
        raise InputError(path, "is empty" if not start else "is no PyTorch file", _OTHER_FILE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the restricted reader, about what it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = "is no plain state dict; nothing in it was run"
        raise InputError(path, what, _OTHER_FILE) from error
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(path, "is damaged", "use a copy of it, or download it again") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(map(_is_named_tensor, content.items())):
        raise InputError(path, f"holds {_described(content)}, not named tensors", _OTHER_FILE)
    return {name.removeprefix(_PARALLEL): tensor.detach() for name, tensor in content.items()}


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _described(content: object) -> str:
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    strange = next((name for name, value in content.items() if not isinstance(value, Tensor)), None)
    return "nothing" if strange is None and not content else f"'{strange}' beside its tensors"
