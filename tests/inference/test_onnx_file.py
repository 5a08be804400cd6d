"""Exported models are opened without torch; files that cannot be trusted are refused in one line."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dlnotes_cli.inference.onnx_classifier import load_onnx_classifier
from dlnotes_cli.inference.onnx_file import (
    METADATA_KEY,
    NO_CHECKSUM,
    load_onnx_language_model,
    open_graph,
    with_checksum,
)
from dlnotes_cli.shell.errors import InputError

IMAGES = {"kind": "image", "channels": 1, "height": 2, "width": 2, "resize": "crop", "mean": [0.5], "std": [0.5]}
TABLE = {"kind": "table", "target": "t", "columns": [{"name": n, "mean": 0, "std": 1, "categories": []} for n in "ab"]}
TEXT = {"kind": "text", "unit": "chars", "characters": "abc"}
METADATA = {"export_version": 1, "model": "mlp", "classes": ["no", "yes"], "format": IMAGES}


def tensor(name: str, kind: int, shape: list[Any]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def classifier(batch: Any = "N", *, scale: float = 1.0) -> Any:
    """Two logits for uint8 images (N, 1, 2, 2), the sum of all pixels and its negative, and their softmax."""
    weights = np.repeat([[scale, -scale]], 4, axis=0).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["images"], ["pixels"]),
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    inputs = [tensor("images", TensorProto.UINT8, [batch, 1, 2, 2])]
    outputs = [tensor("probabilities", TensorProto.FLOAT, [batch, 2])]
    return graph_model(
        nodes, inputs, outputs, [helper.make_tensor("w", TensorProto.FLOAT, [4, 2], weights.tobytes(), raw=True)]
    )


def step() -> Any:
    """One step of a language model over three characters, which adds one to its state."""
    nodes = [
        helper.make_node("Add", ["h", "one"], ["h_out"]),
        helper.make_node("ReduceSum", ["h_out", "first"], ["logits"], keepdims=0),
        helper.make_node("Identity", ["token"], ["ignored"]),
    ]
    inputs = [tensor("token", TensorProto.INT64, ["N"]), tensor("h", TensorProto.FLOAT, [1, "N", 3])]
    outputs = [tensor("logits", TensorProto.FLOAT, ["N", 3]), tensor("h_out", TensorProto.FLOAT, [1, "N", 3])]
    constants = [helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]), helper.make_tensor("first", 7, [1], [0])]
    return graph_model(nodes, inputs, outputs, constants)


def graph_model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any]) -> Any:
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("other", 1)], ir_version=10
    )


def write(path: Path, proto: Any, metadata: dict[str, Any] | None = None) -> Path:
    """Write a model, with our metadata if there is any."""
    if metadata is None:
        path.write_bytes(proto.SerializeToString())
        return path
    helper.set_model_props(proto, {METADATA_KEY: json.dumps(NO_CHECKSUM | metadata)})
    path.write_bytes(with_checksum(proto.SerializeToString()))
    return path


@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_a_classifier_answers_batches_of_any_size(batch: Any, tmp_path: Path) -> None:
    exported = load_onnx_classifier(write(tmp_path / "m.onnx", classifier(batch, scale=0.01), METADATA), 1)
    assert exported.classes == ("no", "yes")
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 2, 2), np.uint8)
    logit = images.reshape(7, 4).sum(1) * 0.01
    expected = np.stack([1 / (1 + np.exp(-2 * logit)), 1 / (1 + np.exp(2 * logit))], 1)
    for count in (0, 1, 7):
        probabilities = exported.probabilities(images[:count])
        assert probabilities.dtype == np.float32
        assert probabilities == pytest.approx(expected[:count], abs=1e-6)


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    exported = load_onnx_classifier(write(tmp_path / "m.onnx", classifier(scale=3e38), METADATA), 1)
    with pytest.raises(InputError, match="outputs are not finite"):
        exported.probabilities(np.full((1, 1, 2, 2), 255, np.uint8))


def test_a_language_model_keeps_its_states(tmp_path: Path) -> None:
    model = load_onnx_language_model(write(tmp_path / "m.onnx", step(), METADATA | {"format": TEXT}), 1)
    states = model.initial_states(2)
    for steps in (1, 2):
        logits, states = model.step(np.zeros(2, np.int64), states)
        assert logits.tolist() == [[steps] * 3] * 2
        assert states[0].shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ["no"]}, "1 classes for 2 outputs"),
        ({"classes": ["no", "no"]}, "repeated name in classes"),
        ({"classes": None}, "classes"),
        ({"format": IMAGES | {"height": 3}}, "N x 1 x 2 x 2 in the graph, images uint8 N x 1 x 3 x 2 in the metadata"),
        ({"format": TABLE}, "images uint8 N x 1 x 2 x 2 in the graph"),
        ({"format": IMAGES | {"kind": "sound"}}, "not the preprocessing of"),
        ({"format": 3}, "its metadata is invalid"),
        ({"format": TEXT}, "holds a language model, but this command needs a classifier"),
        ({"model": 7}, "its metadata is invalid"),
        ({"dtype": "int8"}, "its metadata is invalid .*dtype"),
        ({"dtype": ["float32"]}, "its metadata is invalid .*dtype"),
        ({"data": {"fingerprint": "x"}}, "val_split"),
        ({"export_version": 2}, "has export version 2; this dlnotes reads version 1; upgrade"),
        ({"export_version": True}, "has export version True"),
    ],
)
def test_metadata_that_contradicts_the_graph_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", classifier(), METADATA | change)
    with pytest.raises(InputError, match=message) as caught:
        load_onnx_classifier(path, 1)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_classifier_is_no_language_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a classifier, but this command needs a language model"):
        load_onnx_language_model(write(tmp_path / "m.onnx", classifier(), METADATA), 1)
    with pytest.raises(InputError, match="states of the graph"):
        load_onnx_language_model(write(tmp_path / "m.onnx", classifier(), METADATA | {"format": TEXT}), 1)


def test_the_file_of_another_program_can_be_opened_but_is_no_export(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", classifier())
    graph = open_graph(path, 1)
    assert list(map(str, graph.inputs)) == ["images uint8 N x 1 x 2 x 2"]
    assert graph.run(np.zeros((1, 1, 2, 2), np.uint8))[0].tolist() == [[0.5, 0.5]]
    with pytest.raises(InputError, match=r"cannot run \(.*\); export the model again"):
        graph.run(np.zeros((1, 1, 2, 3), np.uint8))
    with pytest.raises(InputError, match="has no metadata of dlnotes; export the model with dlnotes export"):
        load_onnx_classifier(path, 1)


def unknown_operator(domain: str) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        value, copy = tensor("x", TensorProto.FLOAT, ["N"]), tensor("y", TensorProto.FLOAT, ["N"])
        nodes = [helper.make_node("Frobnicate", ["x"], ["y"], domain=domain)]
        return write(path, graph_model(nodes, [value], [copy], []))

    return make


def without_external_data(path: Path) -> Path:
    onnx.save(classifier(), path, save_as_external_data=True, location="weights.data", size_threshold=0)
    (path.parent / "weights.data").unlink()
    return path


def content_of(content: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return make


NO_MODEL = "is damaged, or is not an ONNX file; name the .onnx file of a model"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (unknown_operator("other"), r"has an operator that ONNX Runtime does not know \(other:Frobnicate.*; export it"),
        (unknown_operator(""), "ONNX Runtime does not accept it|has an operator that ONNX Runtime does not know"),
        (without_external_data, "its weights are in another file, which is missing or cannot be read; put the data"),
        (content_of(b"this is text, not a model\n"), NO_MODEL),
        (content_of(b"\x80\x04\x95" + b"x" * 50), NO_MODEL),
        (content_of(b"\xff" * 40), NO_MODEL),
        (content_of(b""), "is empty"),
        (lambda path: write(path, classifier(), {}), "its metadata is invalid|has export version None"),
        (lambda path: path.parent, "cannot be read"),
        (lambda path: path, "no such file"),
    ],
)
def test_a_file_that_cannot_run_is_refused(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    path = make(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=message) as caught:
        load_onnx_classifier(path, 1)
    assert "\n" not in str(caught.value)


def ours(folder: Path) -> bytes:
    """A file as `export` writes it: the name of dlnotes and the metadata mark it as ours in several places."""
    proto = classifier()
    proto.producer_name, proto.graph.name = "dlnotes", "dlnotes"
    return write(
        folder / "ours.onnx", proto, METADATA | {"exported_by": "dlnotes 1", "classes": ["é", "b"]}
    ).read_bytes()


def test_a_file_with_its_checksum_is_valid_for_onnx_too(tmp_path: Path) -> None:
    ours(tmp_path)
    onnx.checker.check_model(onnx.load(tmp_path / "ours.onnx"))
    assert load_onnx_classifier(tmp_path / "ours.onnx", 1).classes == ("é", "b")


def test_a_changed_bit_or_a_cut_anywhere_is_found(tmp_path: Path) -> None:
    """Also in the key of the metadata and in the name of the producer, without which it seemed a foreign file."""
    whole, path = ours(tmp_path), tmp_path / "m.onnx"
    changed = [bytes([*whole[:i], whole[i] ^ (1 << i % 8), *whole[i + 1 :]]) for i in range(len(whole))]
    for content in (*changed, *(whole[:length] for length in range(1, len(whole), 50))):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"m\.onnx: is (damaged|empty)"):
            open_graph(path, 1)


def test_damage_to_a_foreign_file_ends_in_one_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole, path = write(tmp_path / "m.onnx", classifier()).read_bytes(), tmp_path / "m.onnx"
    for i in range(0, len(whole), 3):
        path.write_bytes(bytes([*whole[:i], whole[i] ^ 0x90, *whole[i + 1 :]]))
        with contextlib.suppress(InputError):
            open_graph(path, 1).run(np.zeros((1, 1, 2, 2), np.uint8))
    assert capfd.readouterr() == ("", "")
