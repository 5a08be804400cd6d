"""`data list` and `data info`."""

import json
import tracemalloc
from pathlib import Path

import pytest
from builders import COLORS, Command, make_images, make_table
from PIL import Image

from dlnotes_cli.manage.data import describe_data
from dlnotes_cli.manage.options import DataInfoConfig


def test_named_sets_are_listed_and_described(dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path))
    sets = {entry["name"]: entry for entry in json.loads(dlnotes("data", "list", "--json").out)["sets"]}
    assert list(sets) == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100"]
    assert sets["digits"]["found"] == "embedded"
    assert sets["cifar100"]["classes"] == 100
    assert "MB to download" in dlnotes("data", "list").out
    digits = json.loads(dlnotes("data", "info", "--json").out)
    assert (sum(digits["counts"]["all"].values()), digits["counts"]["all"]["3"]) == (1797, 183)
    assert digits["sizes"] == [{"width": 8, "height": 8, "files": 1797}]


def test_info_holds_only_reduced_images_in_memory(tmp_path: Path) -> None:
    make_images(tmp_path, count=200)
    tracemalloc.start()
    try:
        describe_data(DataInfoConfig(data=str(tmp_path)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 600 * 10 * 3 * 32 * 32  # ten times the reduced images


def test_info_of_a_folder(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path / "p" / "train", count=4)
    make_images(tmp_path / "p" / "test", count=2, size=(20, 30))
    fields = json.loads(dlnotes("data", "info", tmp_path / "p", "--json").out)
    assert fields["counts"] == {"test": dict.fromkeys(COLORS, 2), "train": dict.fromkeys(COLORS, 4)}
    assert fields["sizes"] == [{"width": 10, "height": 12, "files": 12}, {"width": 30, "height": 20, "files": 6}]
    assert fields["channels"] == 3
    assert fields["mean"] == pytest.approx(
        [c / 3 / 255 for c in map(sum, zip(*COLORS.values(), strict=True))], abs=0.01
    )


def test_info_of_a_list_of_images(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path, count=3)
    rows = [f"{file},{file.parent.name},train" for file in tmp_path.glob("*/*.png")]
    (tmp_path / "list.csv").write_text("\n".join(["file,color,part", *rows]))
    columns = ("--image-column", "file", "--target", "color", "--split-column", "part")
    fields = json.loads(dlnotes("data", "info", tmp_path / "list.csv", *columns, "--json").out)
    assert fields["counts"] == {"train": dict.fromkeys(COLORS, 3)}
    outcome = dlnotes("data", "info", tmp_path, *columns)
    assert (outcome.code, "--image-column: has no effect on" in outcome.err) == (2, True)
    outcome = dlnotes("data", "info", tmp_path / "red")
    assert (outcome.code, outcome.err.startswith("dlnotes: error: DATA: ")) == (2, True)


def test_unreadable_files_are_named(tmp_path: Path, dlnotes: Command) -> None:
    make_images(tmp_path / "p", count=2)
    (tmp_path / "p" / "red" / "x.png").write_bytes(b"")
    Image.new("L", (5, 5)).save(tmp_path / "p" / "red" / "y.png")
    (tmp_path / "p" / "blue" / "z.jpg").write_bytes(b"no")
    outcome = dlnotes("data", "info", tmp_path / "p")
    assert outcome.code == 2
    assert "z.jpg: not an image (and 1 more unreadable files)" in outcome.err
    fields = json.loads(dlnotes("data", "info", tmp_path / "p", "--skip-bad", "--json").out)
    assert [Path(entry["file"]).name for entry in fields["unreadable"]] == ["z.jpg", "x.png"]
    assert fields["counts"]["all"] == {"blue": 2, "green": 2, "red": 3}


def test_info_of_a_table(tmp_path: Path, dlnotes: Command) -> None:
    fields = json.loads(dlnotes("data", "info", make_table(tmp_path / "t.csv"), "--json").out)
    assert fields["rows"] == 120
    kinds = {column["name"]: column["kind"] for column in fields["columns"]}
    assert kinds == {"length": "numeric", "width": "numeric", "kind": "categorical", "label": "categorical"}
    assert "120 rows" in dlnotes("data", "info", tmp_path / "t.csv").out
