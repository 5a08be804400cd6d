"""`dlnotes export`: the file answers as the model does, has everything in it, and a bad one is never left behind."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from builders import Command, Outcome, folder_digest, make_images, write_model
from PIL import Image, ImageOps

from dlnotes_cli.cli import main
from dlnotes_cli.data.images.decode import decode_image
from dlnotes_cli.data.preprocessing import Column, ImagePreprocessing, TablePreprocessing
from dlnotes_cli.data.table import read_table
from dlnotes_cli.data.table_columns import encode
from dlnotes_cli.export import export, formats, graph, samples
from dlnotes_cli.networks.cnn import CnnConfig
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.shell import errors
from dlnotes_cli.training.model_file import load_classifier
from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")
CLASSES = ("a", "b", "c")
PREPROCESSING = ImagePreprocessing(3, 7, 9, "squash", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def small_cnn(folder: Path) -> Path:
    """A model file of a small network for color images of 9x7 pixels."""
    config = CnnConfig(
        "Conv2d(3, 4, 3); BatchNorm2d(4); ReLU(); AdaptiveAvgPool2d(1); Flatten(); Linear(4, 3)", (3, 7, 9), 3
    )
    return write_model(folder / "model.safetensors", "cnn", config, PREPROCESSING, CLASSES)


@pytest.fixture
def cnn(tmp_path: Path) -> Path:
    """The model file of `small_cnn` in a folder of its own."""
    return small_cnn(tmp_path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported `small_cnn`, next to its model file, to read only."""
    model = small_cnn(tmp_path_factory.mktemp("exported"))
    assert main(["export", str(model), "-q"]) == 0
    return model.with_name("model.onnx")


def probabilities(path: Path, samples: Any) -> Any:
    """What ONNX Runtime answers for the only input of a file."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: samples})[0]


def ours(path: Path) -> dict[str, Any]:
    """The metadata that dlnotes writes."""
    props = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    metadata: dict[str, Any] = json.loads(props["dlnotes"])
    return metadata


def failed(outcome: Outcome, code: int, *texts: str) -> None:
    """Assert that a command ended with one line that has these texts."""
    assert outcome.code == code, outcome
    lines = [line for line in outcome.err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert all(text in lines[0] for text in texts), lines
    assert outcome.out == ""


def test_an_image_classifier_answers_as_plain_torch_does(exported: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 7, 9), np.uint8)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)))
    with torch.no_grad():
        x = torch.from_numpy(((images / 255 - mean) / std).astype(np.float32))
        network = load_classifier(exported.with_name("model.safetensors")).network
        expected = network(x).softmax(1).numpy()
    for count in (1, 4):
        assert probabilities(exported, images[:count]) == pytest.approx(expected[:count], abs=1e-6)


def test_the_file_has_everything_that_belongs_to_the_model(exported: Path) -> None:
    proto, metadata = onnx.load(exported), ours(exported)
    onnx.checker.check_model(proto, full_check=True)
    assert sorted(entry.name for entry in exported.parent.iterdir()) == ["model.onnx", "model.safetensors"]  # one file
    assert [opset.version for opset in proto.opset_import] == [20]
    props = {prop.key: prop.value for prop in proto.metadata_props}
    del props["dlnotes"]
    assert props == {
        "names": "{0: 'a', 1: 'b', 2: 'c'}",
        "imgsz": "[7, 9]",
        "Image.BitmapPixelFormat": "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }
    stored = read_tensors(exported.with_name("model.safetensors"))[1]
    assert metadata["model_sha256"] == stored["sha256"]
    assert {key: metadata[key] for key in ("classes", "format", "configuration", "data")} == {
        key: stored[key] for key in ("classes", "format", "configuration", "data")
    }
    assert metadata["image"] == export._image_steps(PREPROCESSING)
    assert b"site-packages" not in exported.read_bytes()  # no path of this machine


def test_the_same_model_gives_the_same_bytes(exported: Path, dlnotes: Command, tmp_path: Path) -> None:
    outcome = dlnotes("export", exported.with_name("model.safetensors"), "--out", tmp_path / "again.onnx", "--json")
    result = json.loads(outcome.out)
    assert Path(result["out"]).read_bytes() == exported.read_bytes()
    assert result["inputs"] == [{"name": "images", "dtype": "uint8", "shape": ["N", 3, 7, 9]}]
    assert result["outputs"] == [{"name": "probabilities", "dtype": "float32", "shape": ["N", 3]}]
    assert result["parity"]["data"] == "crops of example photos"  # the training data does not exist
    assert result["parity"]["batches"] == [1, 5, 250]
    assert result["parity"]["largest_difference"] < 1e-6


def test_a_table_is_standardized_inside(table_run: Path, dlnotes: Command, tmp_path: Path) -> None:
    path, rows = tmp_path / "table.onnx", table_run.with_name("rows.csv")
    outcome = dlnotes("export", table_run, "--out", path)
    assert outcome.code == 0, outcome.err
    assert "24 samples of the test split of " in outcome.out
    assert ours(path)["inputs"] == ["length", "width", "kind=a", "kind=b"]
    model, cells = load_classifier(table_run), read_table(rows)
    raw = [[float(length), float(width), kind == "a", kind == "b"] for length, width, kind, _ in cells.rows]
    with torch.no_grad():
        encoded = torch.from_numpy(encode(cells, model.preprocessing))  # type: ignore[arg-type]  # of a table
        expected = model.network(encoded).softmax(1).numpy()
    assert probabilities(path, np.array(raw)) == pytest.approx(expected, abs=1e-6)


def test_a_column_keeps_its_digits_and_a_fixed_batch_has_one_sample(tmp_path: Path, dlnotes: Command) -> None:
    """Values around 1e9 that differ by 1 are equal in float32."""
    preprocessing = TablePreprocessing("label", (Column("x", mean=1e9, std=10.0),))
    model = write_model(tmp_path / "model.safetensors", "mlp", MlpConfig(1, 2, ()), preprocessing, ("a", "b"))
    result = json.loads(dlnotes("export", model, "--no-dynamic", "--samples", "7", "--json", "-q").out)
    assert (result["dynamic"], result["inputs"][0]["shape"], result["parity"]["batches"]) == (False, [1, 1], [1])
    assert result["parity"]["data"] == "rows drawn at random"
    answers = [probabilities(Path(result["out"]), np.array([[1e9 + shift]])) for shift in (0, 20)]
    assert abs(answers[0] - answers[1]).max() > 1e-3
    with pytest.raises(Exception, match="Got invalid dimensions"):
        probabilities(Path(result["out"]), np.zeros((2, 1)))


def test_half_precision_is_inside_the_file_only(cnn: Path, dlnotes: Command) -> None:
    failed(
        dlnotes("export", cnn, "-q", "--dtype", "float16", "--tolerance", "1e-9"), 3, "(--tolerance 1e-09)", "float32"
    )
    result = json.loads(dlnotes("export", cnn, "--dtype", "float16", "--opset", 25, "--json", "-q").out)
    assert [entry.version for entry in onnx.load(cnn.with_name("model.onnx")).opset_import] == [result["opset"]] == [25]
    assert [tensor["dtype"] for tensor in result["inputs"] + result["outputs"]] == ["uint8", "float32"]
    types = {tensor.data_type for tensor in onnx.load(result["out"]).graph.initializer if len(tensor.dims) == 2}
    assert types == {onnx.TensorProto.FLOAT16}
    assert 0 < result["parity"]["largest_difference"] < result["parity"]["tolerance"] == 0.01


def flip(probabilities: Any) -> Any:
    return lambda *arguments: probabilities(*arguments).flip(1)


def cut(content: Any) -> Any:
    return lambda *arguments: content(*arguments)[:-1]


@pytest.mark.parametrize(
    ("owner", "name", "fault", "code", "texts"),
    [
        (graph._Classifier, "probabilities", flip, 3, ("the exported model answers differently: ", "nothing was")),
        (formats, "onnx_content", cut, 3, ("the exported file does not work (is damaged", "nothing was written")),
        (formats, "_MAX_BYTES", lambda _: 100, 2, ("the weights have ", "at most 2 GB; use --dtype float16, or")),
    ],
)  # fmt: skip
def test_an_earlier_file_survives_an_export_that_fails(
    owner: Any, name: str, fault: Any, code: int, texts: Sequence[str],
    cnn: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(owner, name, fault(getattr(owner, name)))
    cnn.with_name("model.onnx").write_bytes(b"an earlier file")
    before = folder_digest(cnn.parent)
    failed(dlnotes("export", cnn, "-q", "--overwrite"), code, *texts)
    assert folder_digest(cnn.parent) == before


def test_a_layer_that_cannot_be_exported_is_named(tmp_path: Path, dlnotes: Command) -> None:
    config = CnnConfig("AdaptiveMaxPool2d(3); Flatten(); Linear(27, 3)", (3, 7, 9), 3)
    model = write_model(tmp_path / "model.safetensors", "cnn", config, PREPROCESSING, CLASSES)
    failed(dlnotes("export", model, "-q"), 3, "to ONNX (aten.adaptive_max_pool2d)", "use --format pt2")


def test_rows_are_drawn_where_the_table_is_gone(dlnotes: Command, tmp_path: Path, table_run: Path) -> None:
    tensors, metadata = read_tensors(table_run / "model.safetensors")
    from dlnotes_cli.training.tensor_file import write_tensors

    metadata["data"] |= {"name": str(tmp_path / "gone.csv")}
    write_tensors(tmp_path / "model.safetensors", tensors, metadata)
    outcome = dlnotes("export", tmp_path / "model.safetensors")
    assert outcome.code == 0, outcome.err
    assert (
        "note: the check uses rows drawn at random, as the training data is unavailable (the model was" in outcome.err
    )
    failed(dlnotes("export", tmp_path / "model.safetensors", "--overwrite", "--time"), 2, "--time: needs labeled samp")


def test_data_names_other_samples_for_the_check(cnn: Path, dlnotes: Command, tmp_path: Path) -> None:
    make_images(tmp_path / "images", count=3)
    for color, name in zip(("blue", "green", "red"), CLASSES, strict=True):
        (tmp_path / "images" / color).rename(tmp_path / "images" / name)
    outcome = dlnotes("export", cnn, "--data", tmp_path / "images", "--verbose")
    assert "9 samples of " in outcome.out
    assert "all samples, batches of 1, 5 and 3: " in outcome.out
    assert "ms per sample" in outcome.out
    assert "note" not in outcome.err


def test_rows_that_are_drawn_have_the_statistics_of_the_training(table_run: Path) -> None:
    preprocessing: Any = load_classifier(table_run).preprocessing
    rows, (means, deviations) = (
        samples._random_rows(preprocessing, 4000).samples,
        preprocessing.scales,
    )
    assert rows[:, :2].mean(0) == pytest.approx(means[:2], abs=0.1)
    assert rows[:, :2].std(0) == pytest.approx(deviations[:2], rel=0.1)
    assert (rows[:, 2:].sum(1) == 1).all()


def test_the_table_of_times_has_the_accuracy_of_each_way(digits_run: Path, dlnotes: Command, tmp_path: Path) -> None:
    words = ["export", digits_run, "--out", tmp_path / "digits.onnx", "--time"]
    timings = json.loads(dlnotes(*words, "--json", "-q").out)["timings"]
    assert [timing["name"] for timing in timings] == [
        "PyTorch fp32", "PyTorch bf16", "ONNX Runtime float32", "ONNX Runtime int8",
    ]  # fmt: skip
    evaluated = json.loads(dlnotes("evaluate", digits_run, "--json", "-q").out)
    assert timings[0]["accuracy"] == timings[2]["accuracy"] == pytest.approx(evaluated["accuracy"])
    assert timings[0]["same_class"] == timings[2]["same_class"] == 1
    assert all(timing["ms"] > 0 and timing["batch_ms"] > 0 and timing["bytes"] > 0 for timing in timings)


BAD: list[tuple[Sequence[str], tuple[str, ...]]] = [
    (("--opset", "20", "--format", "pt2"), ("--opset: has no effect with --format pt2",)),
    (("--no-dynamic", "--format", "state-dict"), ("--dynamic: has no effect with --format state-dict",)),
    (("--time", "--no-dynamic"), ("--time: needs an exported graph with batches; drop --no-dynamic",)),
    (("--format", "dlnotes"), ("--format dlnotes: is for a state dict of the course; add --arch",)),
    (("--data", "digits"), ("--data: digits has images of 1x8x8, but the model needs 3x7x9",)),
]


@pytest.mark.parametrize(("words", "texts"), BAD)
def test_what_can_be_checked_is_checked_first(
    words: Sequence[str], texts: tuple[str, ...], cnn: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("exported")

    monkeypatch.setattr(formats, "onnx_content", never)
    monkeypatch.chdir(cnn.parent)
    before = folder_digest(cnn.parent)
    failed(dlnotes("export", cnn, *words), 2, *texts)
    assert folder_digest(cnn.parent) == before


def test_a_missing_package_is_named_first(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(errors, "import_module", missing)
    failed(dlnotes("export", "gone"), 2, "--format onnx: needs the package onnx; run pip install 'dlnotes-cli[onnx]'")


@pytest.mark.parametrize("resize", ["crop", "squash", "letterbox"])
def test_the_metadata_says_how_pillow_makes_the_input_from_a_photo(resize: Any, tmp_path: Path) -> None:
    """From a JPEG that Pillow decodes at a fraction of its size."""
    path, crop_pct = tmp_path / "photo.jpg", 0.6 if resize == "crop" else 1.0
    preprocessing = ImagePreprocessing(3, 41, 60, resize, (0.4,) * 3, (0.2,) * 3, crop_pct, "bicubic")
    noise = np.random.default_rng(1).integers(0, 256, (500, 333, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(path, exif=exif)
    told = export._image_steps(preprocessing)
    decode, scale, pillow = told["decode"], told["resize"], told["resize"]["pillow"]
    size, method = scale["size"], Image.Resampling[scale["filter"].upper()]
    with Image.open(path) as image:
        image.draft(decode["mode"], (decode["decode_side"],) * 2)
        shown = ImageOps.exif_transpose(image).convert(decode["mode"])
    if "ImageOps.fit" in pillow:
        shown = ImageOps.fit(shown, size, method, **pillow["ImageOps.fit"])
    elif "ImageOps.pad" in pillow:
        share = min(size[0] / shown.width, size[1] / shown.height)
        shown = shown.resize((max(1, round(shown.width * share)), max(1, round(shown.height * share))), method)
        shown = ImageOps.pad(shown, size, method)
    else:
        shown = shown.resize(size, method, **pillow["Image.resize"])
    assert np.array_equal(np.asarray(shown).transpose(2, 0, 1), decode_image(path, preprocessing.image_shape, 1 << 20))
