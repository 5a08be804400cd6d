"""The contact sheet of `data preview` shows the images of a training run."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import COLORS, Command, make_images, make_table
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

from dlnotes_cli.data.batches import Augmenter
from dlnotes_cli.data.images.augment_parser import Operation


def preview(dlnotes: Command, *arguments: object) -> dict[str, Any]:
    outcome = dlnotes("data", "preview", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)  # type: ignore[no-any-return]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows, names, captions and title of each sheet, none of which is drawn."""
    found: list[Any] = []

    def draw(*values: object) -> bytes:
        found.append(values)
        return b""

    monkeypatch.setattr("dlnotes_cli.manage.preview.draw_variants", draw)
    return found


def test_the_sheet_has_originals_and_the_variants_of_training(
    dlnotes: Command, tmp_path: Path, drawn: list[Any]
) -> None:
    arguments = ("--augment", "shift:2,erase:1", "--samples", 5, "--variants", 3, "--seed", 4)
    fields = preview(dlnotes, "digits", *arguments, "--out", tmp_path / "sheet.png")
    shown = [(entry["class"], entry["index"]) for entry in fields["samples"]]
    indices = torch.tensor([index for _, index in shown])
    digits = load_digits()
    assert [int(name) for name, _ in shown] == digits.target[indices].tolist()
    assert len({name for name, _ in shown}) == 5
    rows = torch.from_numpy(drawn[0][0])
    originals = rows[:, 0]
    np.testing.assert_allclose(originals[:, 0], digits.images[indices] * 255 / 16, atol=1)
    augmenter = Augmenter((Operation("shift", 2), Operation("erase", 1)), 4)
    for epoch in (1, 2, 3):
        assert augmenter(originals, indices, epoch).equal(rows[:, epoch])


@pytest.mark.parametrize(
    ("augment", "operations"),
    [("standard", ["flip", "crop:2"]), ("none", []), ("color:0.5,cutmix:1", ["color:0.5", "cutmix:1"])],
)
def test_a_folder_is_decoded_to_the_requested_shape(
    augment: str, operations: list[str], dlnotes: Command, tmp_path: Path
) -> None:
    make_images(tmp_path / "images" / "train", count=4)
    make_images(tmp_path / "images" / "test", count=1, seed=1)
    out = tmp_path / "sheet.png"
    options = ("--augment", augment, "--size", 16, "--resize", "squash", "--samples", 6, "--out", out)
    fields = preview(dlnotes, tmp_path / "images", *options)
    assert fields["operations"] == operations
    assert fields["shape"] == [3, 16, 16]
    assert [entry["class"] for entry in fields["samples"]] == [n for n in COLORS for _ in range(2)]
    with Image.open(out) as sheet:
        assert min(sheet.size) > 400
    before = out.read_bytes()
    assert dlnotes("data", "preview", tmp_path / "images", *options).code == 2
    assert dlnotes("data", "preview", tmp_path / "images", *options, "--overwrite").code == 0
    assert out.read_bytes() == before


def test_photographs_are_shown_at_128_pixels_unless_a_size_is_given(dlnotes: Command, tmp_path: Path) -> None:
    images = make_images(tmp_path / "images", count=1, size=(90, 150))
    assert preview(dlnotes, images, "--out", tmp_path / "a.png")["shape"] == [3, 128, 128]
    outcome = dlnotes("data", "preview", "--augment", "none", "--samples", 2, "--out", tmp_path / "c.png")
    assert outcome.out == f"no operation on 2 images of 1x8x8\n{tmp_path / 'c.png'}\n"


@pytest.mark.parametrize("operation", ["mixup", "cutmix"])
def test_mixed_images_have_the_shares_of_both_classes(
    operation: str, dlnotes: Command, tmp_path: Path, drawn: list[Any]
) -> None:
    images = make_images(tmp_path / "images", count=1)
    augment = f"{operation}:1"
    preview(dlnotes, images, "--augment", augment, "--variants", 3, "--size", 16, "--out", tmp_path / "a.png")
    ((rows, names, captions, title),) = drawn
    assert (title, names) == (f"{augment} at 16x16 pixels", ("blue", "green", "red"))
    for i, (name, partner) in enumerate((("blue", "red"), ("green", "blue"), ("red", "green"))):
        for variant, caption in enumerate(captions[i], 1):
            match = re.fullmatch(rf"(\d\.\d\d) {name}\n\+ (\d\.\d\d) {partner}", caption)
            assert match, caption
            share, rest = map(float, match.groups())
            assert share + rest == pytest.approx(1)
            own, other, mixed = (
                image.mean(axis=(1, 2)) for image in (rows[i, 0], rows[(i - 1) % 3, 0], rows[i, variant])
            )
            np.testing.assert_allclose(mixed, share * own + rest * other, atol=4)


def test_unreadable_images_are_refused_or_skipped(dlnotes: Command, tmp_path: Path) -> None:
    make_images(tmp_path / "p", count=1)
    (tmp_path / "p" / "red" / "0.png").write_bytes(b"no image")
    arguments = ("data", "preview", tmp_path / "p", "--size", 8, "--color", "rgb", "--out", tmp_path / "a.png")
    outcome = dlnotes(*arguments)
    assert outcome.code == 2
    assert "0.png" in outcome.err
    assert not (tmp_path / "a.png").exists()
    outcome = dlnotes(*arguments, "--skip-bad", "--json")
    assert [entry["class"] for entry in json.loads(outcome.out)["samples"]] == ["blue", "green"]
    assert "warning: skipped" in outcome.err
    for name in ("blue", "green"):
        (tmp_path / "p" / name / "0.png").write_bytes(b"")
    assert dlnotes(*arguments, "--skip-bad", "--overwrite").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("t.csv", "t.csv is a table, but only images can be augmented; give a named set or a folder of images"),
        ("--augment crop:8", "--augment: 'crop:8' needs a whole number from 1 to 7; write crop:4"),
        ("--augment cutmx:1", "--augment: unknown operation 'cutmx'; did you mean 'cutmix'?"),
        ("--out no/a.png", "--out: "),
        ("images --numbers --size 64", "--numbers: 64x64 pixels are too many to read; at most 32; pass --size 28"),
        ("images --numbers hex", "--numbers: unknown value 'hex'; choose from bytes, unit"),
        ("images --numbers --augment flip", "--augment: has no effect with --numbers; drop --augment"),
    ],
)
def test_tables_and_invalid_options_are_refused(
    arguments: str, message: str, dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "t.csv", rows=3)
    make_images(tmp_path / "images", count=1)
    outcome = dlnotes("data", "preview", "--out", "a.png", *arguments.split())
    assert (outcome.code, outcome.err.count("\n"), message in outcome.err) == (2, 1, True), outcome.err
    assert not Path("a.png").exists()


def test_a_sheet_that_does_not_fit_into_memory_is_refused_before_decoding(
    dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlnotes_cli.manage.preview.available_memory", lambda _: 4_000_000)
    images = make_images(tmp_path / "images", count=1)
    outcome = dlnotes("data", "preview", images, "--size", 256, "--out", tmp_path / "a.png")
    message = r"--size: the images and their variants need about \d.*, 4.* are free; use a smaller one, or fewer --"
    assert (outcome.code, bool(re.search(message, outcome.err))) == (2, True), outcome.err
    assert dlnotes("data", "preview", images, "--size", 16, "--out", tmp_path / "a.png").code == 0


@pytest.mark.parametrize("scale", ["bytes", "unit"])
def test_numbers_are_the_values_of_the_pixels(
    scale: str, dlnotes: Command, tmp_path: Path, figures: list[Figure]
) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6) * 11
    (tmp_path / "images" / "ramp").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "images" / "ramp" / "0.png")
    out = tmp_path / "numbers.png"
    command = ("data", "preview", tmp_path / "images", "--size", 6, "--resize", "letterbox", "--out", out)
    fields = json.loads(dlnotes(*command, "--numbers", scale, "--json").out)
    assert (fields["numbers"], fields["samples"], fields["variants"]) == (scale, [{"class": "ramp", "index": 0}], 0)
    (axes,) = figures[-1].axes
    assert figures[-1].get_suptitle().endswith(f"6x6 pixels, 0 (black) to {1 if scale == 'unit' else 255} (white)")
    assert axes.get_title() == "ramp"
    values = np.array([text.get_text() for text in axes.texts], float).reshape(6, 6)[1:5]
    np.testing.assert_allclose(values, pixels / 255 if scale == "unit" else pixels, atol=0.0051)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_numbers_of_color_images_are_those_of_each_channel(
    dlnotes: Command, tmp_path: Path, figures: list[Figure]
) -> None:
    images = make_images(tmp_path / "images", count=1, size=(2, 2))
    command = ("data", "preview", images, "--numbers", "--samples", 3, "--out", tmp_path / "n.png")
    outcome = dlnotes(*command)
    assert outcome.out == f"pixel values on 3 images of 3x2x2\n{tmp_path / 'n.png'}\n"
    drawn = {axes.get_title(): [text.get_text() for text in axes.texts] for axes in figures[-1].axes}
    with Image.open(images / "green" / "0.png") as image:
        expected = np.asarray(image)
    for channel, name in enumerate(("red", "green", "blue")):
        assert drawn[f"green, {name}"] == [str(value) for value in expected[..., channel].ravel()]
    large = make_images(tmp_path / "large", count=1, size=(40, 40))
    gray = dlnotes("data", "preview", large, "--numbers", "--color", "gray", "--out", tmp_path / "gray.png")
    assert gray.out.startswith("pixel values on 1 image of 1x28x28")
