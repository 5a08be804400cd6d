"""Model files: complete, checked before use, and written atomically."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from dlnotes_cli.data.preprocessing import ImagePreprocessing, TextPreprocessing, preprocessing_to_json
from dlnotes_cli.networks.backbones import BackboneConfig
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.networks.cnn import CnnConfig
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.networks.registry import build
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.errors import InputError
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
LOADERS: dict[str, Any] = {"mlp": load_classifier, "cnn": load_classifier, "char_rnn": load_language_model}
WRONG_MLP_METADATA: tuple[dict[str, Any], ...] = (
    {"classes": list("012345678")}, {"classes": [*"0123456789", "10"]}, {"classes": [*"012345678", "8"]},
    {"classes": list(range(10))}, {"classes": "0123456789"}, {"format": {"height": 65_536}},
    {"format": {"height": 9}}, {"format": {"channels": 3}}, {"format": {"mean": [0.5, 0.5]}},
    {"format": {"kind": "table"}}, {"data": []}, {"data": {"val_split": "0.1"}},
)  # fmt: skip


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
    one = torch.arange(6.0).view(2, 3)
    tensors = {"b": torch.arange(5), 'é"': torch.tensor(1.5, dtype=torch.bfloat16), "none": torch.zeros(0, 3)}
    tensors |= {"one": one, "the same": one, "transposed": one.T, "row": one[1]}  # which share their memory
    for name in ("t", "again"):
        write_tensors(tmp_path / name, tensors, {"model": "mlp", "note": 'ü " 000'})
    assert (tmp_path / "t").read_bytes() == (tmp_path / "again").read_bytes()
    stored, metadata = read_tensors(tmp_path / "t")
    assert stored.keys() == tensors.keys()
    assert all(torch.equal(stored[name], tensors[name]) for name in tensors)
    assert (metadata["model"], metadata["note"]) == ("mlp", 'ü " 000')


def test_a_model_file_is_plain_safetensors_with_a_sha256_of_everything_else(model: Path) -> None:
    with safe_open(model, "pt") as opened:
        metadata = json.loads(opened.metadata()["dlnotes"])
        assert set(opened.keys()) >= {"linear1.weight", "output.bias"}
    content = model.read_bytes()
    stated = metadata["sha256"].encode()
    assert content.count(stated) == 1
    assert hashlib.sha256(content.replace(stated, b"0" * 64)).hexdigest() == metadata["sha256"]


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
        ('"data_offsets":[0,', f'"data_offsets":[{"9" * 4299},'),
        ('"data_offsets":[0,', f'"data_offsets":[{"9" * 5000},'),
        ('"shape":[16]', '"shape":[-16]'),
        ('"shape":[16]', '"shape":[16,1e999]'),
        ('"shape":[16]', '"shape":' + "[" * 100_000),
        ('"dtype":"F32"', '"dtype":"F4"'),
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


@pytest.mark.parametrize(
    ("file", "change"),
    [
        *(
            ("mlp", {"configuration": values})
            for values in (
                {"inputs": "64"}, {"hidden": 16}, {"hidden": [16.0]}, {"hidden": [-1]}, {"activation": "os.system"},
                {"extra": 1}, {"dropout": None}, {"batch_norm": 1}, {"inputs": True}, {"hidden": [8] * 200_000},
                {"inputs": 1 << 40}, {"inputs": -6}, {"classes": 0}, {"hidden": [1 << 62] * 2}, {"dropout": 1.0},
            )
        ),
        *(("mlp", values) for values in WRONG_MLP_METADATA),
        ("cnn", {"configuration": {"layers": "ZeroPad2d(40000); AdaptiveMaxPool2d(1); Flatten(); Linear(1, 10)"}}),
        ("cnn", {"configuration": {"layers": "Conv2d(1, 100000000, 100000000, padding=100000000)"}}),
        ("cnn", {"configuration": {"shape": [1, 8, 9]}}),
        *(
            ("char_rnn", {"configuration": values})
            for values in (
                {"vocabulary": 0}, {"layers": 0}, {"hidden": 0}, {"embed": -1}, {"dropout": 1.0}, {"cell": "cnn"},
                {"embed": 0, "tied": True}, {"vocabulary": 14},
            )
        ),
        *(
            ("transfer", {"configuration": values})
            for values in (
                {"classes": 1 << 60}, {"hidden": [1] * 200_000}, {"hidden": [1 << 60]}, {"backbone": "vit_b_16"},
                {"size": 1_000_000},
            )
        ),
    ],
)  # fmt: skip
def test_metadata_that_is_invalid_or_contradicts_the_network_is_refused(
    file: str, change: dict[str, Any], models: Path, tmp_path: Path
) -> None:
    tensors, metadata = read_tensors(models / file)
    changed = {name: metadata[name] | value if isinstance(value, dict) else value for name, value in change.items()}
    write_tensors(tmp_path / "m", tensors, metadata | changed)
    with pytest.raises(InputError, match="its metadata is invalid"):
        LOADERS.get(file, load_classifier)(tmp_path / "m")


@pytest.mark.parametrize(
    ("file", "tensors", "configuration", "message"),
    [
        ("mlp", lambda t: t | {"norm1.running_var": -t["norm1.running_var"]}, {}, "norm1.running_var has negative"),
        ("mlp", lambda t: t, {"hidden": [10**6, 10**6, 10**6]}, "tensor linear1"),  # which is never allocated
        ("transfer", lambda t: t, {"backbone": "regnet_y_128gf"}, "tensor backbone"),  # as is this one
    ],
)
def test_tensors_that_do_not_fit_the_network_are_refused(
    file: str, tensors: Any, configuration: dict[str, object], message: str, models: Path, tmp_path: Path
) -> None:
    stored, metadata = read_tensors(models / file)
    changed = metadata | {"configuration": metadata["configuration"] | configuration}
    write_tensors(tmp_path / "m", tensors(stored), changed)
    with pytest.raises(InputError, match=message):
        load_classifier(tmp_path / "m")


def test_weights_in_half_precision_become_float32(model: Path, tmp_path: Path) -> None:
    tensors, metadata = read_tensors(model)
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    write_tensors(tmp_path / "m", halved, metadata)
    state = load_classifier(tmp_path / "m").network.state_dict()
    assert state.keys() == {name for name in tensors if not name.startswith("similarity.")}
    assert all(state[name].equal(halved[name].to(tensors[name].dtype)) for name in state)


SCALARS = st.sampled_from([None, True, 0, -1, 7, 65_536, 1 << 70, 0.5, 1e308, "", "lstm", "a\nb", "Flatten()"])
JSON = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)


def assert_works_or_is_refused(run: str, path: Path) -> None:
    """Assert that a model loads and computes, or that an InputError names its file in one line."""
    try:
        model = LOADERS[run](path)
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
def test_a_file_with_changed_bytes_is_refused_and_with_another_sha256_works_or_is_refused(
    run: str, data: st.DataObject, models: Path, *, is_rehashed: bool, tmp_path: Path
) -> None:
    whole = (models / run).read_bytes()
    content = bytearray(whole)
    header = int.from_bytes(content[:8], "little") + 8
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.one_of(st.integers(0, header - 1), st.integers(0, len(content) - 1)))
        content[position] = data.draw(st.integers(0, 255))
    if not is_rehashed and data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    (tmp_path / "m").write_bytes(with_sha256(bytes(content)) if is_rehashed else content)
    if is_rehashed or content == whole:
        assert_works_or_is_refused(run, tmp_path / "m")
        return
    with pytest.raises(InputError, match=r"m: is (damaged|empty|not a dlnotes model)"):
        LOADERS[run](tmp_path / "m")


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
