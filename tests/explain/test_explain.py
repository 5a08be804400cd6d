"""`explain`: truth on images whose class a known patch decides, reported regions, files and tests."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command, make_images
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.cli import main
from dlnotes_cli.data.folder_samples import DecodeSettings
from dlnotes_cli.explain import drawing
from dlnotes_cli.explain.explain import Explainer
from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.inference.inspection import read_batches

SIDE, PATCH = 32, 10
PATTERNS = ("columns", "rows", "diagonals")


def draw_patch(name: str) -> NDArray[np.uint8]:
    y, x = np.mgrid[:PATCH, :PATCH]
    stripes = {"columns": x, "rows": y, "diagonals": x + y}[name]
    return np.asarray(stripes // 2 % 2 * 255, np.uint8)


def make_patches(root: Path, count: int, seed: int) -> dict[Path, tuple[int, int]]:
    """Images of noise with a patch, whose pattern is the class, at a random place (row, column)."""
    generator = np.random.default_rng(seed)
    places = {}
    for name in PATTERNS:
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(60, 196, (SIDE, SIDE, 3), dtype=np.uint8)
            top, left = (int(start) for start in generator.integers(0, SIDE - PATCH + 1, 2))
            pixels[top : top + PATCH, left : left + PATCH] = draw_patch(name)[..., None]
            Image.fromarray(pixels).save(root / name / f"{i}.png")
            places[root / name / f"{i}.png"] = (top, left)
    return places


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, tuple[int, int]]]:
    """A network trained on such images in `run`, and the places of the patches of others."""
    home = tmp_path_factory.mktemp("patches")
    make_patches(home / "train", 100, seed=0)
    words = "train-cnn --arch notes-cnn --width 0.5 --epochs 8 --batch-size 32 --augment none -q"
    assert main([*words.split(), "--data", str(home / "train"), "--out", str(home / "run")]) == 0
    return home, make_patches(home / "images", 34, seed=1)


@pytest.mark.parametrize("method", ["layercam", "gradcam", "occlusion"])
def test_the_maximum_of_a_map_lies_in_the_patch_that_decides_the_class(
    patches: tuple[Path, dict[Path, tuple[int, int]]], method: str
) -> None:
    home, places = patches
    options = {"window": 8, "stride": 4} if method == "occlusion" else {}
    config = ExplainConfig(model=str(home / "run"), images=(str(home / "images"),), method=method, **options)  # type: ignore[arg-type]
    explainer = Explainer(config)
    hits = []
    for batch in read_batches(config.images, explainer.network, DecodeSettings(1, 10**6), explainer.batch_size):
        for image, (found,) in explainer.explain(batch):
            row, column = np.unravel_index(found.at_input.argmax(), found.at_input.shape)
            top, left = places[image.path]
            hits.append(top <= row < top + PATCH and left <= column < left + PATCH)
    assert len(hits) == 102
    assert np.mean(hits) >= 0.75  # by chance 0.1


def test_a_credible_map_of_the_patch_and_its_region(
    patches: tuple[Path, dict[Path, tuple[int, int]]], tmp_path: Path, dlnotes: Command
) -> None:
    home, places = patches
    path, (top, left) = next(iter(places.items()))
    outcome = dlnotes("explain", home / "run", path, "--method", "occlusion", "--check", "--json", "--class", "true")
    assert outcome.code == 0, outcome.err
    (result,) = json.loads(outcome.out)["results"]
    assert (result["file"], result["class"], result["layer"]) == (str(path), "columns", None)
    x, y = result["center_of_mass"]
    assert left <= x <= left + PATCH
    assert top <= y <= top + PATCH
    x0, y0, x1, y1 = result["box"]
    assert x0 <= x <= x1
    assert y0 <= y <= y1
    check = result["check"]
    assert check["verdict"].startswith("credible")
    assert check["deletion"] < check["random_deletion"]
    assert check["insertion"] > check["random_insertion"]
    assert len(check["deletion_curve"]) == len(check["insertion_curve"]) == 21
    # The same image stored on its side: the region is where its pixels are in the file.
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    turned = dlnotes("explain", home / "run", tmp_path / "turned.png", "--method", "occlusion", "--json")
    (moved,) = json.loads(turned.out)["results"]
    assert moved["center_of_mass"] == pytest.approx([y, SIDE - x], abs=0.1)
    assert moved["box"] == [y0, SIDE - x1, y1, SIDE - x0]


def test_without_arguments_the_network_in_the_package_is_explained(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = dlnotes("explain")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("layercam of small, layer relu5\n")
    assert outcome.out.endswith("\nexplained.png\n")
    with Image.open("explained.png") as sheet:
        assert sheet.width > sheet.height > 100
    assert dlnotes("explain").code == 2  # it exists
    assert dlnotes("explain", "--overwrite", "-q").out == "explained.png\n"


def test_classes_side_by_side_have_their_files(images_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    folder = make_images(tmp_path / "in", count=1, size=(30, 50))
    words = ("--method", "saliency", "--class", "true", "--class", "blue", "--class", "RED")
    outcome = dlnotes(
        "explain", images_run, folder, *words, "--out", tmp_path / "out", "--maps", tmp_path / "maps", "--json"
    )
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    names = [(Path(one["file"]).parent.name, one["class"]) for one in document["results"]]
    assert names == [  # the true class once, where it is named too
        ("blue", "blue"), ("blue", "red"), ("green", "green"), ("green", "blue"), ("green", "red"), ("red", "red"),
        ("red", "blue"),
    ]  # fmt: skip
    for one in document["results"]:
        with Image.open(one["out"]) as image:
            assert image.size == (50, 30)
        values = np.load(one["map"])
        assert (values.shape, values.dtype) == ((12, 10), np.float32)
    assert document["results"][1]["out"] == str(tmp_path / "out" / "blue" / "0-RED.png")
    assert document["sheet"] is None
    one = dlnotes("explain", images_run, folder / "red" / "0.png", "--method", "occlusion", "--out", tmp_path / "a.jpg")
    assert one.code == 0, one.err
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.size, image.format) == ((50, 30), "JPEG")


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "smoothgrad", "occlusion"])
def test_the_answers_of_a_perceptron_are_explained_by_its_input(
    digits_run: Path, method: str, dlnotes: Command
) -> None:
    outcome = dlnotes("explain", digits_run, digits_run / "predictions.png", "--method", method, "--json")
    assert outcome.code == 0, outcome.err
    (result,) = json.loads(outcome.out)["results"]
    assert result["layer"] is None
    predicted = json.loads(dlnotes("predict", digits_run, digits_run / "predictions.png", "--json").out)
    assert result["class"] == predicted["predictions"][0]["class"]


def test_the_same_command_gives_the_same_files(tmp_path: Path, dlnotes: Command) -> None:
    for name in ("a", "b"):
        words = ("--method", "smoothgrad", "--check", "--sheet", tmp_path / f"{name}.png", "--maps", tmp_path / name)
        assert dlnotes("explain", *words).code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a" / "flower.npy").read_bytes() == (tmp_path / "b" / "flower.npy").read_bytes()


def test_a_damaged_image_is_an_error_or_skipped(tmp_path: Path, dlnotes: Command) -> None:
    folder = make_images(tmp_path / "in", count=1)
    (folder / "red" / "1.png").write_bytes(b"no image")
    assert "1.png: not an image" in dlnotes("explain", "small", folder, "--json").err
    outcome = dlnotes("explain", "small", folder, "--json", "--skip-bad")
    document = json.loads(outcome.out)
    assert len(document["results"]) == 3
    assert document["skipped"] == [str(folder / "red" / "1.png")]
    assert "1 skipped" in outcome.err


def test_a_sheet_names_long_files_in_any_script_and_shows_the_first_images(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "_MOST_ROWS", 2)
    (tmp_path / "in").mkdir()
    for name in (f"{'long name ' * 8}.png", "$x_1$ 図形.png", "z.png"):
        Image.new("RGBA", (5, 40), (200, 30, 30, 100)).save(tmp_path / "in" / name)
    outcome = dlnotes("explain", "small", tmp_path / "in", "--sheet", tmp_path / "sheet.png")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("dlnotes: note:") == outcome.err.count("sheet.png shows the first 2 of 3 images") == 1


@pytest.mark.parametrize(
    ("out", "what"), [("out", "--out: two results have the path"), ("out.png", "is one file for 2 maps; give a folder")]
)
def test_several_results_with_one_path_are_refused(out: str, what: str, tmp_path: Path, dlnotes: Command) -> None:
    first, second = make_images(tmp_path / "a", count=1), make_images(tmp_path / "b", count=1)
    words = ("explain", "small", first / "red" / "0.png", second / "red" / "0.png")
    assert what in dlnotes(*words, "--out", tmp_path / out).err
    assert not (tmp_path / out).exists()


def test_the_sheet_says_what_it_shows_with_the_most_probable_class_first(
    tmp_path: Path, dlnotes: Command, figures: list[Figure]
) -> None:
    words = ("--class", "airplane", "--class", "predicted", "--sheet", tmp_path / "sheet.png")
    assert dlnotes("explain", "small", *words, "--method", "occlusion").code == 0
    found = [text.get_text() for axes in figures[-1].axes for text in axes.texts]
    assert found[0] == 'Why the model "small" answers: occlusion of the input'
    labels = [text for text in found if text.endswith(" %)")]
    assert [label.split(" (")[0] for label in labels] == ["predicted: bird", "class: airplane"]
    assert "drop of the score, relative to the map's own maximum" in found
    caption = " ".join(found)
    assert "a window of 5x5 pixels of the input is covered, moved by 2" in caption
    assert "Only the part in the thin frame on the image reached the network" in caption
    assert "of two maps do not compare" in caption


def test_the_sheet_of_a_check_names_curves_and_verdict(tmp_path: Path, dlnotes: Command, figures: list[Figure]) -> None:
    assert dlnotes("explain", "small", "--check", "--sheet", tmp_path / "sheet.png").code == 0
    (legend,) = [axes.get_legend() for axes in figures[-1].axes if axes.get_legend()]
    assert legend is not None
    assert [text.get_text().split()[0] for text in legend.get_texts()] == ["deletion", "random", "insertion", "random"]
    caption = " ".join(text.get_text() for axes in figures[-1].axes for text in axes.texts)
    assert "Check: credible" in caption
    assert "good if deletion falls faster" in caption


@pytest.mark.slow
def test_a_vision_transformer_has_maps_of_its_patches_only(tmp_path: Path, dlnotes: Command) -> None:
    """The layers after the first have tokens, without rows and columns."""
    Image.new("RGB", (40, 30), (90, 120, 30)).save(tmp_path / "a.png")
    words = ("explain", "vit_b_16", tmp_path / "a.png", "--weights", "none", "--json")
    assert json.loads(dlnotes(*words).out)["layer"] == "conv_proj"
    outcome = dlnotes(*words, "--layer", "encoder.layers.encoder_layer_11")
    assert (outcome.code, outcome.out) == (2, "")
    assert "the output of encoder.layers.encoder_layer_11 is 197x768, which has no positions" in outcome.err
