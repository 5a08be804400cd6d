"""`evaluate`: metrics of trained classifiers on labeled data."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from builders import Command, folder_digest, make_images, make_table
from sklearn.metrics import precision_recall_fscore_support

from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_the_test_split_of_the_training_data_has_the_metrics_of_the_training(
    digits_run: Path, dlnotes: Command
) -> None:
    trained = json.loads((digits_run / "result.json").read_text())
    test = json.loads(dlnotes("evaluate", digits_run, "--json").out)
    assert test["split"] == "test"
    assert {name: test[name] for name in ("loss", "accuracy", "samples")} == pytest.approx(trained["test"], rel=1e-5)
    validation = json.loads(dlnotes("evaluate", digits_run, "--split", "val", "--json").out)
    assert validation["loss"] == pytest.approx(trained["validation"]["loss"], rel=1e-5)
    everything = json.loads(dlnotes("evaluate", digits_run, "--split", "all", "--json").out)
    assert everything["samples"] == 1797


def test_the_scores_of_each_class_follow_from_the_confusion_matrix(digits_run: Path, dlnotes: Command) -> None:
    result = json.loads(dlnotes("evaluate", digits_run, "--json", "--top-k", "3,5").out)
    pairs = [(t, p) for t, row in enumerate(result["confusion"]) for p, n in enumerate(row) for _ in range(n)]
    true, predicted = zip(*pairs, strict=True)
    expected = precision_recall_fscore_support(true, predicted, zero_division=0)
    for i, entry in enumerate(result["classes"]):
        assert entry["name"] == str(i)
        scores = [entry[name] for name in ("precision", "recall", "f1", "support")]
        assert scores == pytest.approx([column[i] for column in expected])
    assert result["accuracy"] <= result["top"]["3"] <= result["top"]["5"] <= 1


def test_csv_is_written_to_stdout_or_to_a_file(digits_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    rows = list(csv.DictReader(io.StringIO(dlnotes("evaluate", digits_run, "--csv", "-").out)))
    assert [row["class"] for row in rows] == list("0123456789")
    assert dlnotes("evaluate", digits_run, "--csv", tmp_path / "scores.csv").code == 0
    assert list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines())) == rows
    assert dlnotes("evaluate", digits_run, "--csv", tmp_path / "scores.csv").code == 2
    low = dlnotes("evaluate", digits_run, "--csv", tmp_path / "scores.csv", "--overwrite", "--min-accuracy", "0.9999")
    assert (low.code, low.err.startswith("dlnotes: error: --min-accuracy: ")) == (4, True)
    gone = dlnotes("evaluate", digits_run, "--out", tmp_path / "other", "--csv", tmp_path / "gone" / "scores.csv")
    assert (gone.code, (tmp_path / "other").exists()) == (2, False)


def test_classes_are_matched_by_name_and_a_copy_is_split_as_in_training(
    images_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    make_images(tmp_path / "some", count=6, seed=5)
    shutil.rmtree(tmp_path / "some" / "blue")
    result = json.loads(dlnotes("evaluate", images_run, "--data", tmp_path / "some", "--json").out)
    assert (result["accuracy"], result["split"]) == (1.0, "all")
    assert [entry["support"] for entry in result["classes"]] == [0, 6, 6]
    shutil.copytree(images_run.parent / "images", tmp_path / "moved")
    result = json.loads(dlnotes("evaluate", images_run, "--data", tmp_path / "moved", "--json").out)
    assert (result["split"], result["samples"]) == ("test", 12)


@pytest.mark.draws
def test_plots_are_those_of_the_training(digits_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    words = ("--out", tmp_path / "plots", "--csv", tmp_path / "plots" / "scores.csv")
    result = json.loads(dlnotes("evaluate", digits_run, *words, "--json").out)
    assert (tmp_path / "plots" / "scores.csv").exists()
    assert [Path(path).name for path in result["plots"]] == ["confusion.png", "predictions.png"]
    assert (tmp_path / "plots" / "confusion.png").read_bytes() == (digits_run / "confusion.png").read_bytes()


def test_a_table_may_lack_classes_but_not_columns(table_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    make_table(tmp_path / "new.csv", rows=60, seed=9)
    result = json.loads(dlnotes("evaluate", table_run, "--data", tmp_path / "new.csv", "--json").out)
    assert (result["split"], result["samples"]) == ("all", 60)
    assert result["accuracy"] > 0.85
    lines = (tmp_path / "new.csv").read_text().splitlines()
    (tmp_path / "yes.csv").write_text("\n".join([lines[0], *(line for line in lines if line.endswith("yes"))]))
    assert dlnotes("evaluate", table_run, "--data", tmp_path / "yes.csv").code == 0
    (tmp_path / "narrow.csv").write_text("length,label\n1,yes\n")
    narrow = dlnotes("evaluate", table_run, "--data", tmp_path / "narrow.csv")
    assert narrow.code == 2
    assert "column 'width'" in narrow.err


def test_tta_changes_the_loss_on_images(digits_run: Path, dlnotes: Command) -> None:
    plain, averaged = (json.loads(dlnotes("evaluate", digits_run, *more, "--json").out) for more in ((), ("--tta",)))
    assert (plain["tta"], averaged["tta"], averaged["coefficients"]) == (False, True, None)
    assert averaged["samples"] == plain["samples"]
    assert averaged["loss"] != plain["loss"]


def test_training_data_that_is_not_found_from_here_is_named(
    images_run: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, metadata = read_tensors(images_run / "model.safetensors")
    for name in ("images", "data/images"):
        data = metadata["data"] | {"name": name}
        write_tensors(tmp_path / "model.safetensors", tensors, metadata | {"data": data})
        monkeypatch.chdir(tmp_path)
        outcome = dlnotes("evaluate", "model.safetensors")
        assert outcome.code == 2
        assert outcome.err == (
            f"dlnotes: error: --data: the model was trained on '{name}', and {tmp_path / name} does not exist; "
            "pass --data with the path of the data\n"
        )


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_inputs_and_links_to_them_are_not_overwritten(
    command: str, table_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    rows = make_table(tmp_path / "rows.csv", rows=20)
    (tmp_path / "link.csv").symlink_to(table_run / "model.safetensors")
    before = folder_digest(tmp_path)
    for output in (tmp_path / "link.csv", rows):
        words = (*(["--data"] if command == "evaluate" else []), rows, "--csv", output, "--overwrite")
        outcome = dlnotes(command, table_run, *words)
        assert (outcome.code, folder_digest(tmp_path)) == (2, before)
        assert re.fullmatch(r"dlnotes: error: --csv: .* is an input of the command; name another file\n", outcome.err)


@pytest.mark.parametrize("place", ["", "red/plots"])
def test_plots_are_not_written_among_the_images(place: str, images_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    images = make_images(tmp_path / "images", count=2)
    before = folder_digest(images)
    outcome = dlnotes("evaluate", images_run, "--data", images, "--out", images / place, "--overwrite")
    assert (outcome.code, folder_digest(images)) == (2, before)
    assert "is inside the data" in outcome.err
    outcome = dlnotes("evaluate", images_run, "--data", images, "--csv", images / "red" / "0.png", "--overwrite")
    assert (outcome.code, folder_digest(images)) == (2, before)
    assert "is an input of the command" in outcome.err
