"""Weights that other programs saved: the state dict in a .safetensors or .pth file. No code in the file is run."""

import errno
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

_WRAPPER_KEYS = ("state_dict", "model_state_dict", "model")  # under which training programs store the state dict
_PYTORCH_MAGIC = (b"PK\x03\x04", b"\x80", b"c")  # of zip files, of pickles, and of pickles of protocol 0
_PARALLEL_PREFIX = "module."  # of every name in the state dict of DataParallel
_USE_STATE_DICT = "use a state dict, as torch.save(model.state_dict(), PATH) or safetensors writes it"


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict on the CPU, floating-point ones as float32.

    A pickle is read only by PyTorch's restricted unpickler (`weights_only`): tensors and plain containers.
    Raises InputError naming the file if it is damaged, is not a state dict, or has values that are not finite.
    """
    check_format(path)
    try:
        size = path.stat().st_size
        stored = read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except OSError as error:
        raise unreadable(path, error) from error
    for name, tensor in stored.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_complex() or tensor.is_quantized:
            raise InputError(path, f"tensor {name} is sparse, complex, quantized or without values", _USE_STATE_DICT)
        if tensor.nbytes > size:  # a view that repeats its values
            raise _damaged(path)
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(path, f"tensor {name} has values that are not finite", "use other weights")
    return tensors


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises InputError if it cannot be read."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def check_format(path: Path) -> None:
    """Raise InputError for a file that is neither a PyTorch nor a safetensors file, by its first bytes alone."""
    check_regular(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise unreadable(path, error) from error
    if path.suffix == ".safetensors":
        if start[8:] != b"{":
            raise InputError(path, "is damaged, or not a safetensors file", _USE_STATE_DICT)
    elif not start.startswith(_PYTORCH_MAGIC):
        raise InputError(path, "is not a PyTorch file" if start else "is empty", _USE_STATE_DICT)


def weights_content(tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a .safetensors file with these tensors, as other programs read it."""
    content: bytes = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, {"format": "pt"}
    )
    return content


def loading_code(path: Path, network: list[str], packages: str, *, needs_version: bool = False) -> str:
    """Python code that builds a network, by lines that assign it to `model`, and loads a file into it.

    A network that `needs_version` finds a version number in its state dict, which a file of tensors does not have.
    """
    read = f"safetensors.torch.load_file({str(path)!r})"
    load = f"model.load_state_dict({read})"
    if needs_version:
        load = f"weights = model.state_dict()\nweights.update({read})\nmodel.load_state_dict(weights)"
    return "\n".join([f"import {packages}, safetensors.torch, torch", *network, load, "model.eval()"])


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a .safetensors file of another name. Raises InputError if it is damaged."""
    try:
        return safetensors.torch.load_file(path)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # as below
        raise InputError(path, f"is damaged, or not a safetensors file ({error})", _USE_STATE_DICT) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as stream:
        is_zip = stream.read(4) == _PYTORCH_MAGIC[0]
    if is_zip:
        _check_zip(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the unpickler warns about content before it refuses it
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = "is not a plain state dict; no code in it was run"
        raise InputError(path, what, _USE_STATE_DICT) from error
    except (MemoryError, OSError):
        raise
    except Exception as error:  # damaged bytes can lead the unpickler to any error
        raise _damaged(path) from error
    for key in _WRAPPER_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(map(_is_named_tensor, content.items())):
        raise InputError(path, f"holds {_description(content)}, not named tensors", _USE_STATE_DICT)
    return {name.removeprefix(_PARALLEL_PREFIX): tensor.detach() for name, tensor in content.items()}


def _check_zip(path: Path) -> None:
    """Compare the CRC-32 of each entry of a zip file, which PyTorch does not. Raises InputError."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a seek in front of the file
            raise
        raise _damaged(path) from error
    if damaged is not None:
        raise _damaged(path)


def _damaged(path: Path) -> InputError:
    return InputError(path, "is damaged", "use a copy of it, or download it again")


def _is_named_tensor(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _description(content: object) -> str:
    """What a file holds in place of named tensors."""
    if not isinstance(content, Mapping):
        return f"a {type(content).__name__}"
    if not content:
        return "nothing"
    other = next(item[0] for item in content.items() if not _is_named_tensor(item))
    return f"'{other}' next to its tensors"
