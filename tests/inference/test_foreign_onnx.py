"""ONNX files of other programs: what they say about their input is used, and what they do not say is asked for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from builders import Command
from onnx import TensorProto, helper
from PIL import Image

from dlnotes_cli.classify.evaluation_options import PredictConfig
from dlnotes_cli.inference.opening import open_classifier
from dlnotes_cli.shell.errors import InputError

SIZE = 6
NAMES = {"names": "{0: 'red', 1: 'green', 2: 'blue'}"}
COLORS = {"red": (250, 10, 20), "green": (10, 240, 30), "blue": (0, 30, 255)}


def save_model(
    path: Path,
    *,
    shape: tuple[Any, ...] = ("N", 3, SIZE, SIZE),
    axes: tuple[int, ...] = (2, 3),
    dtype: int = TensorProto.FLOAT,
    softmax: bool = False,
    keepdims: bool = False,
    classes: int = 3,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A classifier whose logits are the means of the channels over `axes`."""
    pixels = helper.make_tensor_value_info("pixels", dtype, shape)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ("N", classes, 1, 1) if keepdims else ("N", classes))
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=int(keepdims)),
        helper.make_node("Softmax" if softmax else "Identity", ["mean"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "means", [pixels], [out], [helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, str(path))
    return path


def images(*names: str, height: int = SIZE, width: int = SIZE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Images of one color each, (N, 3, H, W)."""
    return np.stack(
        [np.broadcast_to(np.array(COLORS[name], np.uint8)[:, None, None], (3, height, width)) for name in names]
    )


def softmax_of(logits: np.ndarray[Any, np.dtype[np.floating]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    powers = np.exp(logits.astype(np.float64))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def opened(path: Path, **options: Any) -> Any:
    return open_classifier(PredictConfig(model=path, threads=1, **options))


@pytest.mark.parametrize(
    ("normalize", "mean", "std"),
    [
        ("unit", (0, 0, 0), (1, 1, 1)),
        ("symmetric", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_pixels_are_scaled_as_the_option_says(
    normalize: str, mean: tuple[float, ...], std: tuple[float, ...], tmp_path: Path
) -> None:
    classifier = opened(save_model(tmp_path / "m.onnx", metadata=NAMES), normalize=normalize)
    assert classifier.classes == ("red", "green", "blue")
    assert classifier.preprocessing.crop_pct == (0.875 if normalize == "imagenet" else 1.0)
    batch = images("blue", "red")
    logits = (batch[:, :, 0, 0] / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(classifier.probabilities(batch), softmax_of(logits), atol=1e-6)


@pytest.mark.parametrize("nominal_range", ["NominalRange_0_255", "Normalized_0_1", "Normalized_1_1"])
def test_the_range_that_the_file_states_is_used(nominal_range: str, tmp_path: Path) -> None:
    path = save_model(tmp_path / "m.onnx", metadata={"Image.NominalPixelRange": nominal_range})
    pixels = images("red")[:, :, 0, 0]
    logits = {"NominalRange_0_255": pixels * 1.0, "Normalized_0_1": pixels / 255, "Normalized_1_1": pixels / 127.5 - 1}
    found = opened(path).probabilities(images("red"))
    np.testing.assert_allclose(found, softmax_of(logits[nominal_range] - logits[nominal_range].max()), atol=1e-6)


def test_other_layouts_types_and_batch_sizes(tmp_path: Path) -> None:
    batch = images("red", "green", "blue", height=5, width=7)
    expected = softmax_of(batch[:, :, 0, 0] / 255)
    for name, made in {
        "nhwc": save_model(tmp_path / "a.onnx", shape=("N", 5, 7, 3), axes=(1, 2)),
        "one at a time": save_model(tmp_path / "b.onnx", shape=(1, 3, 5, 7)),
        "two at a time": save_model(tmp_path / "c.onnx", shape=(2, 3, 5, 7)),
        "trailing axes": save_model(tmp_path / "d.onnx", shape=("N", 3, 5, 7), keepdims=True),
        "probabilities": save_model(tmp_path / "p.onnx", shape=("N", 3, 5, 7), softmax=True),
        "half": save_model(tmp_path / "e.onnx", shape=("N", 3, 5, 7), dtype=TensorProto.FLOAT16),
    }.items():
        found = opened(made, normalize="unit").probabilities(batch)
        np.testing.assert_allclose(found, expected, atol=1e-3 if name == "half" else 1e-6, err_msg=name)
    pixels = opened(save_model(tmp_path / "f.onnx", shape=("N", 3, 5, 7), dtype=TensorProto.UINT8))
    levels = batch[:, :, 0, 0].astype(np.float64)
    np.testing.assert_allclose(
        pixels.probabilities(batch), softmax_of(levels - levels.max(1, keepdims=True)), atol=1e-6
    )


def test_the_metadata_of_ultralytics_is_understood(tmp_path: Path, dlnotes: Command) -> None:
    path = save_model(tmp_path / "m.onnx", shape=("N", 3, "H", "W"), metadata=NAMES | {"imgsz": "[6, 8]"})
    classifier = opened(path)
    assert classifier.preprocessing.shape == (3, 6, 8)
    Image.new("RGB", (40, 30), COLORS["green"]).save(tmp_path / "green.png")
    outcome = dlnotes("predict", path, tmp_path / "green.png", "--json")
    assert outcome.code == 0, outcome.err
    (prediction,) = json.loads(outcome.out)["predictions"]
    expected = softmax_of(np.array([COLORS["green"]]) / 255)[0]
    assert prediction["class"] == "green"
    assert prediction["probability"] == pytest.approx(expected[1], abs=1e-6)


def test_names_come_from_a_file_else_classes_are_numbered(tmp_path: Path, dlnotes: Command) -> None:
    path = save_model(tmp_path / "m.onnx")
    Image.new("RGB", (9, 9), COLORS["blue"]).save(tmp_path / "blue.png")
    numbered = dlnotes("predict", path, tmp_path / "blue.png", "--normalize", "unit", "--json")
    assert json.loads(numbered.out)["predictions"][0]["class"] == "2"
    assert "has no class names, so that classes are numbered; --classes FILE names them" in numbered.err
    two = opened(save_model(tmp_path / "two.onnx", metadata={"names": "['a', 'b']"}), normalize="unit")
    assert two.classes == ("0", "1", "2")
    (tmp_path / "names.txt").write_text("rouge\nvert\nbleu\n\n")
    words = ("--normalize", "unit", "--classes", tmp_path / "names.txt", "--json")
    named = dlnotes("predict", path, tmp_path / "blue.png", *words)
    assert json.loads(named.out)["predictions"][0]["class"] == "bleu"
    assert named.err == f"dlnotes: note: {path} is of another program and has no checksum that could be verified\n"


def test_labeled_data_is_evaluated(tmp_path: Path, dlnotes: Command) -> None:
    path = save_model(tmp_path / "m.onnx", metadata=NAMES | {"imgsz": f"[{SIZE}, {SIZE}]"})
    for name, color in COLORS.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), color).save(tmp_path / "data" / name / "a.png")
    fields = json.loads(dlnotes("evaluate", path, "--data", tmp_path / "data", "--json").out)
    assert (fields["accuracy"], fields["samples"]) == (1.0, 3)
    true = softmax_of(np.array(list(COLORS.values())) / 255)[[0, 1, 2], [0, 1, 2]]
    assert fields["loss"] == pytest.approx(float(-np.log(true).mean()), abs=1e-6)
    outcome = dlnotes("evaluate", path)
    assert outcome.code == 2
    assert "--data: the model does not say what it was trained on; pass --data" in outcome.err


FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    r"--normalize: .* does not say how its input is scaled; pass imagenet, unit or symmetric": ({}, {}),
    r"--normalize: .* reads uint8 pixels; drop": ({"dtype": TensorProto.UINT8}, {"normalize": "unit"}),
    r"--size: .* accepts images of any size; pass": ({"shape": ("N", 3, "H", "W")}, {"normalize": "unit"}),
    r"--size: .* needs images of 6x6 pixels": ({}, {"normalize": "unit", "size": 9}),
    r"neither 1 nor 3 channels": ({"shape": ("N", 4, 6, 6)}, {"normalize": "unit"}),
    r"its output is not one row of classes per image \(outputs: out float N x 1\)": (
        {"shape": ("N", 1, 6, 6), "classes": 1},
        {"normalize": "unit"},
    ),
    r"its input is not one batch of images \(inputs: pixels int64 N x 3 x 6 x 6\)": ({"dtype": TensorProto.INT64}, {}),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_file_that_cannot_be_understood_is_refused(message: str, tmp_path: Path) -> None:
    made, options = FAULTS[message]
    with pytest.raises(InputError, match=message):
        opened(save_model(tmp_path / "m.onnx", **made), **options)


def test_a_list_of_classes_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    names, model = tmp_path / "names.txt", save_model(tmp_path / "m.onnx")
    for content, message in (
        (b"a\nb\n", "2 names for 3 classes"),
        (b"a\nb\na\n", "'a' twice"),
        (b"\xff\n", "not UTF-8"),
    ):
        names.write_bytes(content)
        with pytest.raises(InputError, match=f"--classes: .*{message}"):
            opened(model, normalize="unit", classes=names)
