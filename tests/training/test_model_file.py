"""Model files: complete, checked before use, and written atomically."""

import hashlib
import json
import os
import random
import re
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.training.model_file import load_classifier, read_tensors, write_tensors


@pytest.fixture(scope="module")
def model(digits_run: Path) -> Path:
    return digits_run / "model.safetensors"


def test_tensors_and_metadata_are_read_as_they_were_written(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.tensor(1.5, dtype=torch.bfloat16)}
    write_tensors(tmp_path / "t.safetensors", tensors, {"model": "mlp", "note": 'ü " 000'})
    stored, metadata = read_tensors(tmp_path / "t.safetensors")
    assert all(torch.equal(stored[name], tensors[name]) for name in tensors)
    assert (metadata["model"], metadata["note"]) == ("mlp", 'ü " 000')


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_tensors(tmp_path / name, {k: torch.full((4,), 2.0) for k in "zebra"}, {"x": 1, "y": [2, 3]})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_model_file_is_plain_safetensors_with_a_sha256_of_everything_else(model: Path) -> None:
    with safe_open(model, "pt") as opened:
        metadata = json.loads(opened.metadata()["dlnotes"])
        assert set(opened.keys()) >= {"linear1.weight", "output.bias"}
    content = model.read_bytes()
    stated = metadata["sha256"].encode()
    assert content.count(stated) == 1
    assert hashlib.sha256(content.replace(stated, b"0" * 64)).hexdigest() == metadata["sha256"]


def test_a_model_file_contains_everything_that_predictions_need(model: Path) -> None:
    loaded = load_classifier(model.parent)
    assert loaded.classes == tuple("0123456789")
    assert loaded.preprocessing.shape == (1, 8, 8)
    assert not loaded.network.training
    assert {"format_version", "model", "configuration", "format", "classes", "metrics", "seed", "versions"} <= set(
        loaded.metadata
    )


@pytest.mark.parametrize("fraction", [k / 50 for k in range(50)])
def test_a_truncated_file_is_refused_by_name(fraction: float, model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError, match=re.escape(str(path))):
        load_classifier(path)


def test_a_file_with_one_changed_bit_is_refused(model: Path, tmp_path: Path) -> None:
    content, generator = model.read_bytes(), random.Random(0)
    path = tmp_path / "changed.safetensors"
    header = int.from_bytes(content[:8], "little") + 8
    positions = [
        *range(8), *generator.sample(range(8, header), 100), *generator.sample(range(header, len(content)), 100)
    ]  # fmt: skip
    for position in positions:
        changed = bytearray(content)
        changed[position] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(InputError, match=re.escape(str(path))):
            load_classifier(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        load_classifier(path)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": "64"}, {"hidden": 16}, {"hidden": [16.0]}, {"hidden": [-1]}, {"activation": "os.system"},
        {"extra": 1}, {"dropout": None}, {"batch_norm": 1}, {"inputs": True},
    ],
)  # fmt: skip
def test_an_invalid_configuration_is_refused(change: dict[str, object], model: Path, tmp_path: Path) -> None:
    tensors, metadata = read_tensors(model)
    write_tensors(tmp_path / "m", tensors, metadata | {"configuration": metadata["configuration"] | change})
    with pytest.raises(InputError, match="its metadata is invalid"):
        load_classifier(tmp_path / "m")


def test_a_small_file_that_describes_a_huge_network_is_refused_without_allocating_it(
    model: Path, tmp_path: Path
) -> None:
    tensors, metadata = read_tensors(model)
    huge = metadata["configuration"] | {"hidden": [10**6, 10**6, 10**6]}
    write_tensors(tmp_path / "m", tensors, metadata | {"configuration": huge})
    with pytest.raises(InputError, match="tensor linear1"):
        load_classifier(tmp_path / "m")


@pytest.mark.parametrize("operation", ["fsync", "replace", "mkstemp"])
def test_a_failed_write_leaves_the_old_file_unchanged(
    operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.safetensors"
    write_tensors(path, {"a": torch.zeros(3)}, {"n": 1})
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    owner = {"fsync": os, "replace": Path, "mkstemp": tempfile}[operation]
    monkeypatch.setattr(owner, operation, fail)
    with pytest.raises(UnfinishedError, match=r"disk full: [\d,]+ bytes needed, [\d,]+ free"):
        write_tensors(path, {"a": torch.ones(3)}, {"n": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]
