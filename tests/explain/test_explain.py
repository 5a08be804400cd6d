"""`explain`: truth on images whose class a known patch decides, reported regions, files and tests."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command, make_images
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from dlnotes_cli.cli import main
from dlnotes_cli.explain import explain

SIDE, PATCH = 32, 10
Y, X = np.mgrid[:PATCH, :PATCH]
PATTERNS = {"columns": X, "rows": Y, "diagonals": X + Y}


def make_patches(root: Path, count: int, seed: int) -> dict[Path, tuple[int, int]]:
    """Images of noise with a patch, whose pattern is the class, at a random place (row, column)."""
    generator = np.random.default_rng(seed)
    places = {}
    for name, stripes in PATTERNS.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(60, 196, (SIDE, SIDE, 3), dtype=np.uint8)
            top, left = (int(start) for start in generator.integers(0, SIDE - PATCH + 1, 2))
            pixels[top : top + PATCH, left : left + PATCH] = (stripes // 2 % 2 * 255)[..., None]
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
    return home, make_patches(home / "images", 20, seed=1)


def texts(figure: Figure) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.findobj(Text))


@pytest.mark.parametrize(
    "method", [("layercam",), ("gradcam",), ("occlusion", "--window", "8", "--stride", "4")], ids=lambda words: words[0]
)
def test_the_maximum_of_a_map_lies_in_the_patch_that_decides_the_class(
    patches: tuple[Path, dict[Path, tuple[int, int]]], method: tuple[str, ...], tmp_path: Path, dlnotes: Command
) -> None:
    home, places = patches
    outcome = dlnotes("explain", home / "run", home / "images", "--maps", tmp_path, "--json", "--method", *method)
    hits = []
    for found in json.loads(outcome.out)["results"]:
        values, (top, left) = np.load(found["map"]), places[Path(found["file"])]
        row, column = (np.argwhere(values == values.max())[0] + 0.5) * SIDE / len(values)
        hits.append(top <= row <= top + PATCH and left <= column <= left + PATCH)
    assert len(hits) == len(places)
    assert np.mean(hits) >= 0.75  # by chance 0.1


def test_a_credible_map_of_the_patch_and_its_region(
    patches: tuple[Path, dict[Path, tuple[int, int]]], tmp_path: Path, dlnotes: Command
) -> None:
    home, places = patches
    path, (top, left) = next(iter(places.items()))
    words = ("explain", home / "run", "--method", "occlusion", "--json")
    (result,) = json.loads(dlnotes(*words, path, "--check", "--class", "true").out)["results"]
    assert (result["file"], result["class"], result["layer"]) == (str(path), "columns", None)
    (x, y), (x0, y0, x1, y1) = result["center_of_mass"], result["box"]
    assert max(left, x0) <= x <= min(left + PATCH, x1)
    assert max(top, y0) <= y <= min(top + PATCH, y1)
    check = result["check"]
    assert check["verdict"].startswith("credible")
    assert check["deletion"] < check["random_deletion"]
    assert check["insertion"] > check["random_insertion"]
    # The same image stored on its side: the region is where its pixels are in the file.
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    (moved,) = json.loads(dlnotes(*words, tmp_path / "turned.png").out)["results"]
    assert moved["center_of_mass"] == pytest.approx([y, SIDE - x], abs=0.1)
    assert moved["box"] == [y0, SIDE - x1, y1, SIDE - x0]


def test_without_arguments_the_network_in_the_package_is_explained_and_tested(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch, figures: list[Figure]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("explain", "--check", "--maps", "maps", "--sheet", "a.png", "--overwrite")
    outcome = dlnotes(*words)
    assert outcome.out.startswith("layercam of small, layer relu5\n")
    assert outcome.out.endswith("\na.png\n")
    assert "  bird: credible" in outcome.out
    assert "small knows ten classes, and a flower is none of them" in outcome.err
    first = (tmp_path / "a.png").read_bytes(), (tmp_path / "maps" / "flower.npy").read_bytes()
    quiet = dlnotes(*words, "-q")  # the answer is the same
    assert outcome.out.partition("\n")[2].strip() == quiet.out.strip()
    assert (quiet.err, outcome.code) == ("", 0)
    assert ((tmp_path / "a.png").read_bytes(), (tmp_path / "maps" / "flower.npy").read_bytes()) == first
    assert dlnotes("explain", "--sheet", "a.png").code == 2  # it exists
    legend = next(axes.get_legend() for axes in figures[-1].axes if axes.get_legend())
    assert legend is not None
    assert [text.get_text().split()[0] for text in legend.get_texts()] == ["deletion", "random", "insertion", "random"]
    shown = texts(figures[-1])
    assert "Check: credible" in shown
    assert "good if deletion falls faster" in shown


def test_classes_side_by_side_have_their_files(images_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    folder = make_images(tmp_path / "in", count=1, size=(30, 50))
    (folder / "red" / "1.png").write_bytes(b"no image")
    words = ("explain", images_run, folder, "--method", "saliency", "--class", "true", "--class", "blue", "--json")
    outcome = dlnotes(*words, "--class", "RED", "--skip-bad", "--out", tmp_path / "out", "--maps", tmp_path / "maps")
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
    assert document["skipped"] == [str(folder / "red" / "1.png")]
    assert "1 skipped" in outcome.err
    assert "1.png: not an image" in dlnotes(*words).err


@pytest.mark.parametrize("method", ["integrated-gradients", "smoothgrad", "occlusion"])
def test_the_answers_of_a_perceptron_are_explained_by_its_input(
    digits_run: Path, method: str, tmp_path: Path, dlnotes: Command
) -> None:
    words = (digits_run, digits_run / "predictions.png", "--json")
    document = json.loads(dlnotes("explain", *words, "--method", method, "--out", tmp_path / "a.jpg").out)
    predicted = json.loads(dlnotes("predict", *words).out)["predictions"][0]
    (result,) = document["results"]
    assert (result["layer"], result["class"], result["probability"]) == (
        None, predicted["class"], pytest.approx(predicted["probability"], rel=1e-3)
    )  # fmt: skip
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.format == "JPEG"


def test_a_sheet_names_long_files_in_any_script_and_shows_the_first_images(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch, figures: list[Figure]
) -> None:
    monkeypatch.setattr(explain, "_MOST_IMAGES", 2)
    (tmp_path / "in").mkdir()
    for name in (f"{'long name ' * 8}.png", "$x_1$ 図形.png", "z.png"):
        Image.new("RGBA", (5, 40), (200, 30, 30, 100)).save(tmp_path / "in" / name)
    words = ("--class", "frog", "--class", "predicted", "--method", "occlusion", "--sheet", tmp_path / "sheet.png")
    outcome = dlnotes("explain", "small", tmp_path / "in", *words)
    assert outcome.err.count("dlnotes: note:") == outcome.err.count("sheet.png shows the first 2 of 3 images") == 1
    shown = texts(figures[-1])
    assert 'Why the model "small" answers: occlusion of the input' in shown
    assert shown.index("predicted: ") < shown.index("class: frog") < shown.rindex("predicted: ")
    for part in (
        r"in/\$x_1\$ 図形.png", "drop of the score, relative to the map's own maximum", "of two maps do not compare",
        "a window of 5x5 pixels of the input is covered, moved by 2", "Only the part in the thin frame on the image",
    ):  # fmt: skip
        assert part in shown


@pytest.mark.slow
def test_a_vision_transformer_has_maps_of_its_patches_and_none_of_its_tokens(dlnotes: Command) -> None:
    words = ("explain", "vit_b_16", "--weights", "none", "--json")
    assert json.loads(dlnotes(*words).out)["layer"] == "conv_proj"
    refused = dlnotes(*words, "--layer", "encoder.layers.encoder_layer_11")
    assert (refused.code, "is 197x768, which has no positions" in refused.err) == (2, True)
