"""Lists of images: the same listings, caches, weights and predictions as class folders, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Command, make_images
from PIL import Image

from dlnotes_cli.data.labels import list_labels
from dlnotes_cli.data.listing import list_folder
from dlnotes_cli.data.options import LabelColumns
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.tensor_file import read_tensors

COLUMNS = LabelColumns("file", "label", "part")
List = Callable[..., Path]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with splits, and files in subfolders of classes."""
    for seed, split in enumerate(("train", "val", "test")):
        make_images(tmp_path / "photos" / split, count=12 if split == "train" else 4, seed=seed)
        for name in ("10/1.png", "9/1.png", "a/1.png"):
            (path := tmp_path / "photos" / split / "red" / name).parent.mkdir()
            Image.new("RGB", (12, 10), "red").save(path)
    return tmp_path / "photos"


def write_list(path: Path, images: Path, *more: str) -> Path:
    """A list of all images in reverse order, with paths relative to the folder, absolute and not normal, in turn."""
    rows = ["label,note,file,part"]
    for i, file in enumerate(sorted(images.glob("**/*.png"), reverse=True)):
        split, label = file.relative_to(images).parts[:2]
        name = (file.relative_to(images), file, f"./{split}/../{file.relative_to(images)}")[i % 3]
        rows.append(f"{label},x,{name},{(split, split.upper())[i % 2]}")
    path.write_text("\n".join([*rows, *more]) + "\n")
    return path


def test_a_list_equals_the_same_files_in_class_folders(images: Path) -> None:
    listed = list_labels(write_list(images / "list.csv", images), COLUMNS)
    folder = list_folder(images)
    assert len(listed.stamps) == 69
    for field in ("root", "stamps", "labels", "classes", "splits", "files"):
        assert getattr(listed, field) == getattr(folder, field), field
    assert sorted(listed.lines) == list(range(2, 71))
    one = listed.only({listed.path(5)})
    assert (one.stamps, one.lines) == (listed.stamps[5:6], listed.lines[5:6])


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    "command",
    [
        "train-mlp --hidden 8 --epochs 1", "train-cnn --epochs 1 --width 0.1", "transfer --backbone small --size 32",
        "transfer --backbone small --size 32 --epochs 2 --views 2",
    ],
)  # fmt: skip
def test_models_of_a_list_have_the_weights_of_class_folders_and_know_their_columns(
    command: str, images: Path, tmp_path: Path, dlnotes: Command
) -> None:
    table = write_list(tmp_path / "list.csv", images)
    columns = ("--image-column", "file", "--target", "label", "--split-column", "part", "--image-root", images)
    results = []
    for name, data in (("folder", (images,)), ("list", (table, *columns))):
        outcome = dlnotes(*command.split(), "--offline", "--data", *data, "--threads", 1, "--out", tmp_path / name)
        assert outcome.code == 0, outcome.err
        assert f"next: dlnotes predict {tmp_path / name} photo.jpg" in outcome.err
        results.append(json.loads((tmp_path / name / "result.json").read_text()))
    own = {"name": "", "fingerprint": ""}
    assert results[0]["data"] | own == results[1]["data"] | own
    assert results[0]["test"] == results[1]["test"]
    one, other = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("folder", "list"))
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "list", "--json").out)
    assert (evaluated["data"], evaluated["split"]) == (str(table), "test")
    assert evaluated["accuracy"] == pytest.approx(results[1]["test"]["accuracy"])
    again = dlnotes("evaluate", tmp_path / "folder", "--data", table, *columns, "--split", "test", "--json")
    assert json.loads(again.out)["confusion"] == evaluated["confusion"]
    predict = ("predict", tmp_path / "list", table, "--image-column", "file", "--image-root", images, "--json")
    predictions = json.loads(dlnotes(*predict).out)["predictions"]
    assert [Path(one["item"]) for one in predictions] == sorted(images.glob("**/*.png"), reverse=True)


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        (",x,a.png,train", COLUMNS, "line 71: column 'label' is empty; fill the cell or drop the row"),
        ("red,x,,train", COLUMNS, "line 71: column 'file' is empty; fill"),
        ("red,x,a.png,", COLUMNS, "line 71: column 'part' is empty; fill"),
        ("red,x,a.png,dev", COLUMNS, "line 71: column 'part': unknown split 'dev'; use train, val or test"),
        ("red,x,val/../train/red/0.png,train", COLUMNS, r"line 71: 'train/red/0\.png' is in line \d+, too; drop one"),
        ("", LabelColumns("fiel", "label"), "--image-column: unknown column 'fiel'; did you mean 'file'"),
        ("", LabelColumns("file", "lable"), "--target: unknown column 'lable'; did you mean 'label'"),
        ("", LabelColumns("file", None), "--target: does not name the column of .* that has the classes; choose from"),
        ("", LabelColumns("file", "label", "prat"), "--split-column: unknown column 'prat'; did you mean 'part'"),
        ("", LabelColumns("file", "label", root="gone"), "--image-root: no folder gone; name the folder of the images"),
    ],
)  # fmt: skip
def test_a_bad_list_is_refused_with_its_line(row: str, columns: LabelColumns, message: str, images: Path) -> None:
    with pytest.raises(InputError, match=message):
        list_labels(write_list(images / "list.csv", images, row), columns)


@pytest.mark.usefixtures("blank_figures")
def test_files_that_cannot_be_read_are_named_with_their_line_or_skipped(
    images: Path, tmp_path: Path, dlnotes: Command
) -> None:
    (images / "train" / "cut.png").write_bytes((images / "train" / "red" / "0.png").read_bytes()[:60])
    table = write_list(images / "list.csv", images, "red,x,gone.png,train")
    train = ("train-mlp", "--data", table, "--image-column", "file", "--target", "label", "--epochs", 1)
    rows = [line for line in table.read_text().splitlines() if "cut.png" not in line]
    table.write_text("\n".join([*rows, "blue,x,train/cut.png,train"]) + "\n")
    outcome = dlnotes(*train)
    assert (outcome.code, f"{table}: line 72: {images}/train/cut.png: image is truncated" in outcome.err) == (2, True)
    (images / "train" / "cut.png").unlink()
    outcome = dlnotes(*train)
    assert (outcome.code, f"{table}: line 72: {images}/train/cut.png: no such file" in outcome.err) == (2, True)
    outcome = dlnotes(*train, "--skip-bad", "--out", tmp_path / "run", "--json")
    assert (outcome.code, json.loads(outcome.out)["data"]["skipped"]) == (0, 2)
    assert f"warning: skipped {table}: line 71: {images}/gone.png: no such file" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train-cnn --data digits --image-column a", "--image-column: has no effect on digits; drop it, or give a CSV"),
        ("train-cnn --data list.csv --target label", "--target: has no effect without --image-column; add it, or drop"),
        (
            "train-cnn --data list.csv",
            "list.csv is a table, and a convolutional network needs images; use train-mlp",
        ),
        ("transfer --data photos --image-root a", "--image-root: has no effect without --image-column; add it"),
        (
            "train-mlp --data list.csv --image-column file --target label --categorical note",
            "--categorical: has no ",
        ),
    ],
)
def test_options_of_lists_need_one(
    arguments: str, message: str, images: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_list(images.parent / "list.csv", images)
    monkeypatch.chdir(images.parent)
    outcome = dlnotes(*arguments.split())
    assert (outcome.code, message in outcome.err) == (2, True), outcome.err
