"""Weights that other programs saved: read safely, or refused in one line without running code in them."""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.foreign_weights import read_weights
from dlnotes_cli.training.pretrained import find_weights

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3)}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    ],
    ids=["plain", "state_dict", "model", "parallel"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_read_as_training_programs_save_it(wrap: Any, zipped: bool, tmp_path: Path) -> None:
    torch.save(wrap(STATE), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    weights = read_weights(tmp_path / "a.pth")
    assert weights.keys() == STATE.keys()
    assert all(torch.equal(weights[name], STATE[name]) for name in STATE)


class Malicious:
    """An object whose pickle creates a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._marker),)


@pytest.mark.parametrize("library", ["torch", "pickle"])
def test_a_pickle_with_code_is_refused_and_its_code_is_not_run(library: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    if library == "torch":
        torch.save({"a": Malicious(marker)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(marker)))
    with pytest.raises(
        InputError, match=r"evil\.pth: is not a plain state dict; no code in it was run; use a state dict"
    ):
        read_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not named tensors"),
        (torch.zeros(3), "holds a Tensor, not named tensors"),
        ({"a": torch.zeros(3), "b": "text"}, "holds 'b' next to its tensors, not named tensors"),
        ({"a": torch.zeros(3), 1: torch.zeros(3)}, "holds '1' next to its tensors, not named tensors"),
        ({}, "holds nothing, not named tensors"),
        ({"a": torch.tensor([1.0, float("nan")])}, "tensor a has values that are not finite; use other weights"),
        ({"a": torch.zeros(3, dtype=torch.complex64)}, "tensor a is sparse, complex, quantized"),
        ({"a": torch.eye(3).to_sparse()}, "tensor a is sparse, complex, quantized|is damaged|is not a plain"),
        ({"a": torch.zeros(3, device="meta")}, "tensor a is sparse, complex, quantized|is damaged|is not a plain"),
        ({"a": torch.zeros(1).expand(1 << 40)}, "is damaged"),  # a tensor larger than its file
    ],
)
def test_the_error_describes_content_that_is_not_a_state_dict(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_truncated_anywhere_is_refused(suffix: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    (torch.save if suffix == "pth" else safetensors.torch.save_file)(STATE, whole)
    content = whole.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 15)):
        cut.write_bytes(content[:length])
        reasons = "(damaged|empty|not a plain state dict|not a PyTorch file)"
        with pytest.raises(InputError, match=rf"cut\.{suffix}: is {reasons}"):
            read_weights(cut)


def test_a_flipped_bit_in_the_values_of_a_zip_file_is_damage(tmp_path: Path) -> None:
    torch.save({"a": torch.full((64,), 1.5)}, tmp_path / "a.pth")
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[content.index(b"\0\0\xc0\x3f" * 8) + 4] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pth: is damaged; use a copy"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_large_file_of_another_format_is_refused_before_it_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.truncate(1 << 33)  # sparse
    monkeypatch.setattr(hashlib, "file_digest", None)  # would read all of it
    with pytest.raises(InputError, match=r"not a (PyTorch|safetensors) file"):
        find_weights("squeezenet1_1", str(path), offline=True, seed=0)
