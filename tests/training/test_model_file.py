"""Model files: complete, checked before use, and written atomically."""

import hashlib
import json
import os
import random
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from dlnotes_cli.data.preprocessing import ImagePreprocessing, TextPreprocessing, preprocessing_to_json
from dlnotes_cli.models.backbones import BackboneConfig
from dlnotes_cli.models.char_rnn import CharRnnConfig
from dlnotes_cli.models.cnn import CnnConfig
from dlnotes_cli.models.mlp import MlpConfig
from dlnotes_cli.models.registry import build
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError, UnfinishedError
from dlnotes_cli.training.model_file import load_classifier, load_language_model
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

CONFIGURATIONS: dict[str, tuple[str, Any]] = {
    "mlp": ("mlp", MlpConfig(64, 10, (8,), batch_norm=True)),
    "cnn": ("cnn", CnnConfig("Conv2d(1, 8, 3, stride=1); ReLU(); Flatten(); Linear(288, 10)", (1, 8, 8), 10)),
    "char_rnn": ("char_rnn", CharRnnConfig(15, "lstm", 1, 8, 4, 0.1)),
    "transfer": ("backbone", BackboneConfig("shufflenet_v2_x0_5", 10, 32)),
}
FORMATS: dict[str, Any] = {
    "mlp": ImagePreprocessing(1, 8, 8, "crop", (0.3,), (0.4,)),
    "cnn": ImagePreprocessing(1, 8, 8, "crop", (0.3,), (0.4,)),
    "char_rnn": TextPreprocessing("chars", "\n acdeghmnorstw"),
    "transfer": ImagePreprocessing(3, 8, 8, "crop", (0.5,) * 3, (0.2,) * 3),
}


@pytest.fixture(scope="module")
def model(digits_run: Path) -> Path:
    return digits_run / "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small model files, which are not trained."""
    folder = tmp_path_factory.mktemp("models")
    for file, (name, config) in CONFIGURATIONS.items():
        metadata = {
            "kind": "model", "model": name, "configuration": to_json(config), "seed": 0,
            "classes": list("0123456789"), "format": preprocessing_to_json(FORMATS[file]),
            "data": {"name": "digits", "fingerprint": "named:digits", "val_split": 0.1, "test_split": 0.2},
        }  # fmt: skip
        write_tensors(folder / file, build(name, config).state_dict(), metadata)
    return folder


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


def test_a_file_has_the_bytes_of_the_safetensors_library(tmp_path: Path) -> None:
    dtypes = ["bool", "uint8", "int8", "int16", "float16", "bfloat16", "int32", "float32", "float64", "int64"]
    tensors = {f"t{name}": torch.ones(3, 2, dtype=getattr(torch, name)) for name in dtypes}
    tensors |= {'é"': torch.zeros(0, 3), "number": torch.tensor(1.5), "transposed": torch.arange(6.0).view(2, 3).T}
    write_tensors(tmp_path / "t", tensors, {"note": 'ü "'})
    metadata = json.dumps(read_tensors(tmp_path / "t")[1])
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    assert (tmp_path / "t").read_bytes() == safetensors.torch.save(contiguous, {"dlnotes": metadata})


def with_header(content: bytes, old: str, new: str) -> bytes:
    """A file with other text in its header, and a valid SHA-256."""
    length = int.from_bytes(content[:8], "little") + 8
    assert old.encode() in content[8:length]
    header = content[8:length].replace(old.encode(), new.encode(), 1)
    return with_sha256(len(header).to_bytes(8, "little") + header + content[length:])


def with_sha256(content: bytes) -> bytes:
    """The file with a valid SHA-256 in place of the one that it states, if it states one."""
    marker = b'\\"sha256\\": \\"'
    start = content.find(marker) + len(marker)
    if start < len(marker) or start + 64 > len(content):
        return content
    blank = content[:start] + b"0" * 64 + content[start + 64 :]
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"data_offsets":[0,', '"data_offsets":[-0.0,'),
        ('"data_offsets":[0,', '"data_offsets":[3e9144,'),
        ('"data_offsets":[0,', f'"data_offsets":[{"9" * 4299},'),
        ('"data_offsets":[0,', f'"data_offsets":[{"9" * 5000},'),
        ('"data_offsets":[0,', '"data_offsets":[true,'),
        ('"shape":[16]', '"shape":[16.0]'),
        ('"shape":[16]', '"shape":[-16]'),
        ('"shape":[16]', '"shape":[16,1e999]'),
        ('"shape":[16]', '"shape":' + "[" * 100_000),
        ('"dtype":"F32"', '"dtype":"F4"'),
        ('"dtype":"F32"', '"dtype":["F32"]'),
        ('"output.bias"', '"linear1.weight"'),
        ('"output.bias":{', '"output.bias":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"output.bias":{'),
    ],
)
def test_an_invalid_header_is_damage_whether_or_not_the_sha256_fits(
    old: str, new: str, model: Path, tmp_path: Path
) -> None:
    content = with_header(model.read_bytes(), old, new)
    path = tmp_path / "m"
    for changed in (content, content[:-1] + bytes([content[-1] ^ 1])):
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"m: is damaged"):
            read_tensors(path)


def test_the_sha256_is_compared_before_the_metadata_is_interpreted(models: Path, tmp_path: Path) -> None:
    content = (models / "cnn").read_bytes()
    changed = content.replace(b"stride=1", b"stride=e", 1).replace(b'format_version\\": 1', b'format_version\\": 7', 1)
    assert len(changed) == len(content)
    (tmp_path / "m").write_bytes(changed)
    with pytest.raises(InputError, match="is damaged: checksum differs"):
        load_classifier(tmp_path / "m")


def image_format(**change: object) -> dict[str, object]:
    """The preprocessing of the model of digits, with changes."""
    image = {"kind": "image", "channels": 1, "height": 8, "width": 8, "resize": "crop", "mean": [0.5], "std": [0.5]}
    return {"format": image | change}


@pytest.mark.parametrize(
    "change",
    [
        {"classes": list("012345678")}, {"classes": [*"0123456789", "10"]}, {"classes": [*"012345678", "8"]},
        {"classes": list(range(10))}, {"classes": "0123456789"}, {"classes": []},
        image_format(height=65_536, width=65_536), image_format(height=9), image_format(channels=3),
        image_format(channels=3, mean=[0.5] * 3, std=[0.5] * 3), image_format(mean=[0.5, 0.5]),
        {"format": {"kind": "table", "target": "y", "columns": [{"name": "x", "categories": []}]}},
        {"data": []}, {"data": {"name": "digits", "fingerprint": "f", "val_split": "0.1", "test_split": 0.1}},
    ],
)  # fmt: skip
def test_metadata_that_contradicts_the_network_is_refused(
    change: dict[str, object], model: Path, tmp_path: Path
) -> None:
    tensors, metadata = read_tensors(model)
    write_tensors(tmp_path / "m", tensors, metadata | change)
    with pytest.raises(InputError, match="its metadata is invalid"):
        load_classifier(tmp_path / "m")


@pytest.mark.parametrize(
    ("run", "change"),
    [
        ("mlp", {"hidden": [8] * 200_000}),
        ("mlp", {"inputs": 1 << 40}),
        ("cnn", {"layers": "ZeroPad2d(40000); AdaptiveMaxPool2d(1); Flatten(); Linear(1, 10)"}),
        ("cnn", {"layers": "Conv2d(1, 100000000, 100000000, padding=100000000)"}),
        ("cnn", {"shape": [1, 8, 9]}),
        ("transfer", {"classes": 1 << 60}),
        ("transfer", {"hidden": [1] * 200_000}),
        ("transfer", {"hidden": [1 << 60]}),
        ("transfer", {"backbone": "vit_b_16"}),
        ("transfer", {"size": 1_000_000}),
    ],
)
def test_an_absurd_configuration_is_refused(run: str, change: dict[str, object], models: Path, tmp_path: Path) -> None:
    tensors, metadata = read_tensors(models / run)
    write_tensors(tmp_path / "m", tensors, metadata | {"configuration": metadata["configuration"] | change})
    with pytest.raises(InputError, match="its metadata is invalid"):
        load_classifier(tmp_path / "m")


def test_a_small_file_that_names_a_huge_backbone_is_refused_without_initializing_it(
    models: Path, tmp_path: Path
) -> None:
    tensors, metadata = read_tensors(models / "transfer")
    forged = metadata["configuration"] | {"backbone": "regnet_y_128gf"}
    write_tensors(tmp_path / "m", tensors, metadata | {"configuration": forged})
    random_state = torch.get_rng_state()
    with pytest.raises(InputError, match="tensor backbone"):
        load_classifier(tmp_path / "m")
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.bfloat16, torch.int8, torch.double])
def test_tensors_of_another_type_are_refused(dtype: torch.dtype, model: Path, tmp_path: Path) -> None:
    tensors, metadata = read_tensors(model)
    write_tensors(tmp_path / "m", {name: tensor.to(dtype) for name, tensor in tensors.items()}, metadata)
    with pytest.raises(InputError, match=r"tensor linear1\.weight: \w+ in the file, float32 in the network"):
        load_classifier(tmp_path / "m")


def test_weights_in_half_precision_become_float32(model: Path, tmp_path: Path) -> None:
    tensors, metadata = read_tensors(model)
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    write_tensors(tmp_path / "m", halved, metadata)
    state = load_classifier(tmp_path / "m").network.state_dict()
    assert {name: tensor.dtype for name, tensor in state.items()} == {name: t.dtype for name, t in tensors.items()}
    assert all(torch.equal(state[name], tensor.to(state[name].dtype)) for name, tensor in halved.items())


def test_negative_variances_are_refused(models: Path, tmp_path: Path) -> None:
    tensors, metadata = read_tensors(models / "mlp")
    tensors["norm1.running_var"][3] = -0.5
    write_tensors(tmp_path / "m", tensors, metadata)
    with pytest.raises(InputError, match=r"tensor norm1\.running_var has negative variances"):
        load_classifier(tmp_path / "m")


JSON = st.recursive(
    st.sampled_from(
        [None, True, 0, -1, 7, 65_536, 1 << 70, 0.5, 1e308, "", "lstm", "a\nb", "Flatten(); Linear(64, 10)"]
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)
LOADERS = {"mlp": load_classifier, "cnn": load_classifier, "char_rnn": load_language_model}


def assert_works_or_is_refused(run: str, path: Path) -> None:
    """Assert that a model loads and computes, or that an InputError names its file in one line."""
    try:
        model: Any = LOADERS[run](path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017  # the other outcome is valid too
        return
    if run == "char_rnn":
        tokens = torch.zeros(1, 1, dtype=torch.int64)
        logits, _ = model.network(tokens, model.network.initial_state(1))
        assert logits.shape[-1] == model.preprocessing.vocabulary
    else:
        assert model.network(torch.zeros(1, *model.preprocessing.shape)).shape == (1, len(model.classes))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(run=st.sampled_from(list(LOADERS)), data=st.data(), is_rehashed=st.booleans())
def test_a_file_with_changed_bytes_works_or_is_refused(
    run: str, data: st.DataObject, models: Path, *, is_rehashed: bool, tmp_path: Path
) -> None:
    content = bytearray((models / run).read_bytes())
    header = int.from_bytes(content[:8], "little") + 8
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1)))
        content[position] = data.draw(st.integers(0, 255))
    (tmp_path / "m").write_bytes(with_sha256(bytes(content)) if is_rehashed else content)
    assert_works_or_is_refused(run, tmp_path / "m")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(run=st.sampled_from(list(LOADERS)), data=st.data())
def test_a_file_with_other_metadata_works_or_is_refused(
    run: str, data: st.DataObject, models: Path, tmp_path: Path
) -> None:
    tensors, metadata = read_tensors(models / run)
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(["configuration", "format", "data", "classes", "seed", "model", "kind"]))
        inner = metadata.get(section)
        if isinstance(inner, dict) and inner and data.draw(st.booleans()):
            metadata[section] = inner | {data.draw(st.sampled_from(sorted(inner))): data.draw(JSON)}
        else:
            metadata[section] = data.draw(JSON)
    write_tensors(tmp_path / "m", tensors, metadata)
    assert_works_or_is_refused(run, tmp_path / "m")
