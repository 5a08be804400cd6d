"""`predict`: classes of image files and table rows."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import COLORS, Command, make_images, make_table, write_model
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits

from dlnotes_cli.classify import predict
from dlnotes_cli.classify.evaluation_options import PredictConfig
from dlnotes_cli.classify.predict import Predictor
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.shell.errors import InputError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_images(tmp_path / "photos", count=3, seed=7)


def classes_by_item(document: str) -> dict[str, str]:
    return {entry["item"]: entry["class"] for entry in json.loads(document)["predictions"]}


def test_each_file_has_its_own_prediction_in_order(images_run: Path, photos: Path, dlnotes: Command) -> None:
    entries = json.loads(dlnotes("predict", images_run, photos, "--json", "--top", "9").out)["predictions"]
    assert [entry["item"] for entry in entries] == [
        str(photos / name / f"{i}.png") for name in COLORS for i in range(3)
    ]
    for entry in entries:
        assert Path(entry["item"]).parent.name == entry["class"]
        probabilities = [candidate["probability"] for candidate in entry["top"]]
        assert (len(probabilities), sum(probabilities)) == (3, pytest.approx(1, abs=1e-5))
        assert probabilities == sorted(probabilities, reverse=True)
        assert (entry["class"], entry["probability"]) == (entry["top"][0]["class"], probabilities[0])


def test_json_jsonl_csv_and_table_agree(images_run: Path, photos: Path, tmp_path: Path, dlnotes: Command) -> None:
    entries = json.loads(dlnotes("predict", images_run, photos, "--json").out)["predictions"]
    lines = [json.loads(line) for line in dlnotes("predict", images_run, photos, "--jsonl").out.splitlines()]
    assert lines == entries
    rows = list(csv.DictReader(io.StringIO(dlnotes("predict", images_run, photos, "--csv", "-").out)))
    assert [(row["item"], row["class"], row["class_3"]) for row in rows] == [
        (entry["item"], entry["class"], entry["top"][2]["class"]) for entry in entries
    ]
    table = dlnotes("predict", images_run, photos)
    assert all(entry["item"] in table.out for entry in entries)
    assert "runner-up" in table.out
    assert dlnotes("predict", images_run, photos, "--csv", tmp_path / "out.csv").out == f"{tmp_path / 'out.csv'}\n"
    assert dlnotes("predict", images_run, photos, "-q").out == table.out
    assert list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines())) == rows


def test_an_unreadable_file_is_an_error_after_the_batches_before_it(
    images_run: Path, photos: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, damaged = sorted(photos.rglob("*.png")), tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    whole = dlnotes("predict", images_run, *files, "--jsonl").out.splitlines()
    monkeypatch.setattr(predict, "_CHUNK", 2)
    outcome = dlnotes("predict", images_run, *files[:7], damaged, *files[7:], "--jsonl")
    assert (outcome.code, len(outcome.out.splitlines())) == (2, 6)
    command = ("predict", images_run, *files[:7], damaged, *files[7:], "--skip-bad")
    skipped = dlnotes(*command, "--jsonl").out.splitlines()
    document = json.loads(dlnotes(*command, "--json").out)
    assert (document["skipped"], document["predictions"]) == (1, list(map(json.loads, skipped)))
    rows = list(csv.DictReader(io.StringIO(dlnotes(*command, "--csv", "-").out)))
    assert [row["item"] for row in rows if row["error"]] == [str(damaged)]
    assert "not an image" in json.loads(skipped.pop(7))["error"]
    assert [json.loads(line)["class"] for line in skipped] == [json.loads(line)["class"] for line in whole]


def test_an_image_unlike_the_training_images_has_a_note_and_may_be_refused(
    digits_run: Path, photos: Path, tmp_path: Path, dlnotes: Command
) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    for i, digit in enumerate(load_digits().images[:200]):
        Image.fromarray((digit * 15).astype(np.uint8)).save(folder / f"{i:03d}.png")
    strange, first = photos / "red" / "0.png", folder / "000.png"
    usual = dlnotes("predict", digits_run, folder, "--json")
    assert "unlike" not in usual.err
    similar = [entry["similarity"] for entry in json.loads(usual.out)["predictions"]]
    for paths, expected in (((strange,), "the image is"), ((strange, first), "1 of 2 images are")):
        outcome = dlnotes("predict", digits_run, *paths, "--json")
        assert f"note: {expected} unlike the training images" in outcome.err
        assert json.loads(outcome.out)["predictions"][0]["similarity"] < np.quantile(similar, 0.01)
    refused = ("predict", digits_run, first, strange, "--min-similarity", min(similar))
    outcome = dlnotes(*refused)
    assert (outcome.code, f"{strange}: its similarity to the training images is" in outcome.err) == (2, True)
    document = json.loads(dlnotes(*refused, "--skip-bad", "--json").out)
    assert (document["skipped"], document["predictions"][0]["item"]) == (1, str(first))


def test_nothing_readable_is_an_error(images_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"text")
    outcome = dlnotes("predict", images_run, tmp_path / "a.png", tmp_path / "b.png", "--skip-bad")
    assert (outcome.code, outcome.err) == (
        2, f"dlnotes: error: PATH: none of 2 inputs could be read ({tmp_path}/a.png: not an image); check the files\n"
    )  # fmt: skip


def test_paths_are_patterns_or_come_from_a_list_or_stdin(
    images_run: Path, photos: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [str(photos / "red" / f"{i}.png") for i in range(3)]
    assert list(classes_by_item(dlnotes("predict", images_run, photos / "red" / "*.png", "--json").out)) == expected
    (tmp_path / "list.txt").write_text("\n".join(expected) + "\n\n")
    words = ("predict", images_run, "--json", "--files-from")
    assert list(classes_by_item(dlnotes(*words, tmp_path / "list.txt").out)) == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\n".join(expected).encode())))
    assert list(classes_by_item(dlnotes(*words, "-").out)) == expected


def test_the_rows_of_a_table_are_classified(table_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    make_table(tmp_path / "new.csv", rows=40, seed=3)
    lines = (tmp_path / "new.csv").read_text().splitlines()
    classes = classes_by_item(dlnotes("predict", table_run, tmp_path / "new.csv", "--json").out)
    assert list(classes) == [f"{tmp_path / 'new.csv'}:{line}" for line in range(2, 42)]
    correct = sum(line.endswith(name) for line, name in zip(lines[1:], classes.values(), strict=True))
    assert correct >= 34
    # The target column may be missing, columns may have another order, and there may be additional ones.
    shuffled = ["kind,note,width,length"] + [f"{k},x,{w},{n}" for n, w, k, _ in (line.split(",") for line in lines[1:])]
    (tmp_path / "shuffled.csv").write_text("\n".join(shuffled))
    again = classes_by_item(dlnotes("predict", table_run, tmp_path / "shuffled.csv", "--json").out)
    assert list(again.values()) == list(classes.values())


def test_an_empty_cell_of_a_table_with_one_column_keeps_its_row(tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "train.csv").write_text("kind,label\n" + 'a,yes\n"",no\n' * 20)
    words = ("--target", "label", "--hidden", "", "--epochs", 1, "--out", tmp_path / "run", "-q")
    assert dlnotes("train-mlp", "--data", tmp_path / "train.csv", *words).code == 0
    (tmp_path / "rows.csv").write_text('kind\na\n""\n\na\n""\n')
    entries = json.loads(dlnotes("predict", tmp_path / "run", tmp_path / "rows.csv", "--json").out)["predictions"]
    assert [entry["item"].rpartition(":")[2] for entry in entries] == ["2", "3", "5", "6"]
    assert entries[0]["top"] == entries[2]["top"] != entries[1]["top"] == entries[3]["top"]


def test_a_skipped_row_has_an_error(table_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "rows.csv").write_text("length,width,kind\n1,1,a\nwide,1,a\n-1,-1,b\n1,2,z\n")
    outcome = dlnotes("predict", table_run, tmp_path / "rows.csv", "--skip-bad", "--json")
    entries = json.loads(outcome.out)["predictions"]
    assert [entry.get("class", "bad") for entry in entries] == ["yes", "bad", "no", "bad"]
    assert "'wide' is not a number" in entries[1]["error"]
    assert dlnotes("predict", table_run, tmp_path / "rows.csv").code == 2


def test_images_in_memory_are_classified_as_their_files(images_run: Path, table_run: Path, photos: Path) -> None:
    files = sorted(photos.rglob("*.png"))
    by_path = list(Predictor(PredictConfig(model=images_run, paths=tuple(map(str, files)))))
    predictor = Predictor(PredictConfig(model=images_run))
    opened = [Image.open(path) for path in files]
    arrays = [np.asarray(image) for image in opened]
    assert predictor.predict([str(files[0]), *files[1:]]) == by_path
    for images in (opened, arrays):
        predictions = predictor.predict(images)
        assert [p.item for p in predictions] == [str(i) for i in range(len(files))]
        assert [p.top for p in predictions] == [p.top for p in by_path]
    assert predictor.predict([]) == []
    for array in (np.zeros((4, 4)), np.zeros(4, np.uint8), np.zeros((4, 4, 5), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(InputError, match=r"image 0: is an array of .*; give uint8 of shape"):
            predictor.predict([array])
    with pytest.raises(InputError, match="PATH: no input given"):
        list(predictor)
    with pytest.raises(InputError, match="predict: the model reads tables"):
        Predictor(PredictConfig(model=table_run)).predict([np.zeros((4, 4), np.uint8)])


def test_an_image_is_read_from_stdin(
    images_run: Path, photos: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = min(photos.rglob("*.png"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    from_file, from_stdin = json.loads(dlnotes("predict", images_run, path, "-", "--json").out)["predictions"]
    assert (from_file["item"], from_stdin["item"]) == (str(path), "-")
    assert from_file["top"] == from_stdin["top"]
    for content, words, says in (
        (b"", ["-"], "stdin: is empty; "),
        (b"x", ["-", "-"], "can be read only once"),
        (b"x", ["-"], "-: "),
        (b"x", ["-", "--files-from", "-"], "both read standard input"),
    ):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        outcome = dlnotes("predict", images_run, *words)
        assert outcome.code == 2
        assert says in outcome.err


def test_the_sheet_has_each_image_next_to_the_bars_of_its_classes(
    images_run: Path, photos: Path, tmp_path: Path, dlnotes: Command, figures: list[Figure]
) -> None:
    sheet = tmp_path / "sheet.png"
    document = json.loads(dlnotes("predict", images_run, photos, "--top", 1, "--sheet", sheet, "--json").out)
    assert document["sheet"] == str(sheet)
    assert [len(entry["top"]) for entry in document["predictions"]] == [1] * 9
    everything = json.loads(dlnotes("predict", images_run, photos, "--top", 3, "--json").out)["predictions"]
    bars = [axes for axes in figures[-1].axes if axes.get_visible()][1::2]
    for axes, entry in zip(bars, everything, strict=True):
        probabilities = {candidate["class"]: candidate["probability"] for candidate in entry["top"]}
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == sorted(COLORS)
        widths = [patch.get_width() for patch in axes.patches]  # type: ignore[attr-defined]
        np.testing.assert_allclose(widths, [probabilities[name] for name in names], atol=1e-6)
        colors = {name: patch.get_facecolor() for name, patch in zip(names, axes.patches, strict=True)}
        assert [name for name in names if colors[name] == colors[entry["class"]]] == [entry["class"]]
    outcome = dlnotes("predict", images_run, photos, "--sheet", sheet, "--overwrite")
    assert outcome.out.splitlines()[-1] == str(sheet)


def test_a_sheet_has_the_first_images_and_the_most_probable_classes(
    tmp_path: Path, dlnotes: Command, figures: list[Figure]
) -> None:
    classes = tuple(f"class {i}" for i in range(14))
    preprocessing = ImagePreprocessing(3, 12, 10, "squash", (0.0,) * 3, (1.0,) * 3)
    model = write_model(tmp_path / "m.safetensors", "mlp", MlpConfig(360, 14, ()), preprocessing, classes)
    many = make_images(tmp_path / "many", count=9)
    (many / "blue" / "0.png").write_bytes(b"no image")
    outcome = dlnotes("predict", model, many, "--sheet", tmp_path / "s.png", "--skip-bad", "--top", 12, "--json")
    assert f"note: {tmp_path / 's.png'} has the first 24 of 26 images" in outcome.err
    assert len(figures[-1].axes) == 2 * 24
    assert figures[-1].axes[0].get_title().endswith("1.png")
    top = json.loads(outcome.out)["predictions"][1]["top"]
    labels = [label.get_text() for label in figures[-1].axes[1].get_yticklabels()]
    assert labels == [entry["class"] for entry in top[: len(labels)]]
    assert (len(top), len(labels)) == (12, 10)


def test_a_sheet_needs_images_and_its_own_file(
    images_run: Path, table_run: Path, photos: Path, tmp_path: Path, dlnotes: Command
) -> None:
    table = make_table(tmp_path / "rows.csv", rows=3)
    for arguments, message in (
        ((table_run, table, "--sheet", tmp_path / "s.png"), "--sheet: the model reads tables, which have no images"),
        ((images_run, photos, "--sheet", photos / "red" / "0.png", "--overwrite"), "--sheet: .* is an input of"),
    ):
        outcome = dlnotes("predict", *arguments)
        assert (outcome.code, bool(re.search(message, outcome.err))) == (2, True), outcome.err
