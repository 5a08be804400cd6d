"""`evaluate --shift-test`: accuracies against torchvision and NumPy, the amounts, outputs and mistakes."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from builders import Command, small_training
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.classify.shift_test import parse_shifts
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.dataset import SplitRule, complete_splits
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import load_classifier

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BILINEAR = InterpolationMode.BILINEAR


def accuracy(run: Path, images: Tensor, labels: Tensor) -> float:
    """The accuracy of a model on images, computed here."""
    model = load_classifier(run)
    normalizer = Normalizer(model.preprocessing, torch.device("cpu"))
    with torch.no_grad():
        return float((model.network(normalizer(images)).argmax(1) == labels).double().mean())


def moved(images: Tensor, down: int, right: int) -> Tensor:
    result = torch.zeros_like(images)
    for i in range(8):
        for j in range(8):
            if 0 <= i - down < 8 and 0 <= j - right < 8:
                result[..., i, j] = images[..., i - down, j - right]
    return result


@pytest.fixture
def test_images() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    test = complete_splits({"all": np.arange(len(labels))}, labels, SplitRule(0.1, 0.2, 0))["test"]
    images = np.floor(digits.images * 255 / 16 + 0.5).astype(np.uint8)[:, None]
    return torch.from_numpy(images[test]), torch.from_numpy(labels[test])


def test_accuracies_are_those_of_images_changed_by_torchvision(
    digits_run: Path, test_images: tuple[Tensor, Tensor], dlnotes: Command
) -> None:
    words = ("--shift-test", "shift:2,rotate:40,scale:0.5-1.5,blur:1,noise:0.5")
    outcome = dlnotes("evaluate", digits_run, *words, "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    images, labels = test_images
    (model,) = result["models"]
    assert (result["split"], result["samples"]) == ("test", 359)
    assert model["accuracy"] == pytest.approx(accuracy(digits_run, images, labels))
    curves = {curve["name"]: {p["amount"]: p["accuracy"] for p in curve["points"]} for curve in model["shifts"]}
    assert list(curves["shift"]) == [0, 1, 2]
    for amount in (1, 2):
        directions = ((amount, 0), (-amount, 0), (0, amount), (0, -amount))
        mean = np.mean([accuracy(digits_run, moved(images, *direction), labels) for direction in directions])
        assert curves["shift"][amount] == pytest.approx(mean)
    assert list(curves["rotate"]) == [-40, -30, -20, -10, 0, 10, 20, 30, 40]
    for angle in (-40, 10):
        changed = TF.rotate(images.float(), angle, BILINEAR).round()
        assert curves["rotate"][angle] == pytest.approx(accuracy(digits_run, changed, labels), abs=0.006)
    assert list(curves["scale"]) == [0.5, 0.625, 0.75, 0.875, 1, 1.125, 1.25, 1.375, 1.5]
    for factor in (0.5, 1.5):
        changed = TF.affine(images.float(), 0.0, [0, 0], factor, [0.0, 0.0], BILINEAR).round()
        assert curves["scale"][factor] == pytest.approx(accuracy(digits_run, changed, labels), abs=0.006)
    changed = TF.gaussian_blur(images.float(), [7, 7], [1.0, 1.0]).round()
    assert curves["blur"][1.0] == pytest.approx(accuracy(digits_run, changed, labels), abs=0.006)
    for name, neutral in (("shift", 0), ("rotate", 0), ("scale", 1), ("noise", 0), ("blur", 0)):
        assert curves[name][neutral] == model["accuracy"]
    assert dlnotes("evaluate", digits_run, *words, "--json").out == outcome.out  # the noise is seeded


def test_noise_has_the_standard_deviation_that_is_asked_for() -> None:
    (kind,) = parse_shifts("noise:0.2")
    assert kind.amounts == (0.0, 0.04, 0.08, 0.12, 0.16, 0.2)
    gray = np.full((20, 3, 30, 30), 128, np.uint8)
    noisy, twice = (kind.variants(amount)[0](gray) for amount in (0.1, 0.2))
    assert float(noisy.astype(float).std()) == pytest.approx(25.5, rel=0.02)
    noise, double = noisy.astype(float) - 128, twice.astype(float) - 128
    assert float(np.abs(double - 2 * noise)[np.abs(double) < 120].max()) <= 1.5  # the same noise, twice as large


def test_models_are_compared_in_one_plot_and_one_table(
    digits_run: Path, tmp_path: Path, dlnotes: Command, figures: "list[Figure]"
) -> None:
    assert dlnotes(*small_training(tmp_path / "wide", "--hidden", 24, "-q")).code == 0
    figures.clear()
    words = ("evaluate", digits_run, tmp_path / "wide", "--shift-test", "shift:1,rotate:10")
    outcome = dlnotes(*words, "--out", tmp_path / "plots")
    assert outcome.code == 0, outcome.err
    header, _, first, *_ = outcome.out.splitlines()
    assert header.split() == ["change", "amount", "digits", "wide"]
    assert first.split()[:2] == ["shift", "0"]
    assert outcome.out.splitlines()[-1] == str(tmp_path / "plots" / "shift-test.png")
    (figure,) = figures
    assert [axes.get_xlabel() for axes in figure.axes] == ["shift (pixels)", "rotate (degrees)"]
    assert [line.get_label() for line in figure.axes[0].lines[:2]] == ["digits", "wide"]
    table = list(csv.DictReader(dlnotes(*words, "--csv", "-").out.splitlines()))
    assert len(table) == 2 * (2 + 9)
    drawn = [float(y) for y in figure.axes[0].lines[1].get_ydata()]  # type: ignore[union-attr,arg-type]
    assert drawn == [float(row["accuracy"]) for row in table if (row["model"], row["change"]) == ("wide", "shift")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shift:1.5", "'shift:1.5' needs a whole number from 1 to 4096; write shift:4"),
        ("shift:0", "'shift:0' needs a whole number"),
        ("rotat:5", "unknown change 'rotat'; did you mean 'rotate'?"),
        ("scale:1.2", "'scale:1.2' needs two numbers, the lower first, from 0.1 to 10; write scale:0.8-1.2"),
        ("scale:1.2-0.8", "needs two numbers, the lower first"),
        ("noise:nan", "'noise:nan' needs a number from 0.001 to 1; write noise:0.2"),
        ("blur", "'blur' needs a number"),
        ("shift:1,shift:2", "'shift' is listed twice"),
        (" , ", "names no change; write shift:4,rotate:20,scale:0.8-1.2"),
    ],
)
def test_invalid_changes(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_shifts(text)
    assert message in str(caught.value)


def test_what_cannot_be_tested_is_refused(digits_run: Path, table_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    for words, message in (
        ((digits_run, "--shift-test", "shift:8"), "--shift-test: 'shift:8' moves images of 8x8 out of sight; use a"),
        ((table_run, "--shift-test", "shift:1"), "reads tables, and only images can be shifted; name models of images"),
        ((digits_run, digits_run), "has no effect without --shift-test; add it"),
        ((digits_run, "--shift-test", "shift:1", "--min-accuracy", 0.5), "--shift-test: cannot be combined with --min"),
    ):
        outcome = dlnotes("evaluate", *words, "--out", tmp_path / "plots")
        assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
        assert message in outcome.err
        assert not (tmp_path / "plots").exists()
