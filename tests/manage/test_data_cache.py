"""`data cache list` and `data cache clear`."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from builders import Command, make_images

from dlnotes_cli.manage.data import list_cache


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dlnotes: Command) -> Path:
    """A cache with the images of two folders."""
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "cache"))
    for name in ("p", "q"):
        assert dlnotes("data", "info", make_images(tmp_path / name)).code == 0
    return tmp_path


def test_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dlnotes: Command) -> None:
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "none"))
    assert dlnotes("data", "cache", "list").out == "0 B in total\n"
    assert dlnotes("data", "cache", "clear").out == "0 B freed\n"
    assert json.loads(dlnotes("data", "cache", "list", "--json").out) == {
        "schema_version": 1, "command": "data cache list", "folders": [], "bytes": 0
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_cached_folders_are_listed_and_cleared_one_by_one_or_all(home: Path, dlnotes: Command) -> None:
    fields = json.loads(dlnotes("data", "cache", "list", "--json").out)
    assert [entry["folder"] for entry in fields["folders"]] == [str(home / "q"), str(home / "p")]  # the last used first
    for entry in fields["folders"]:
        assert (entry["images"], entry["shape"], entry["preprocessing"]) == (36, [3, 32, 32], "3x32x32-squash")
        assert entry["bytes"] == sum(file.stat().st_size for file in Path(entry["path"]).iterdir())
        assert datetime.now(UTC) - datetime.fromisoformat(entry["last_used"]) < timedelta(hours=1)
    assert fields["bytes"] == sum(entry["bytes"] for entry in fields["folders"])
    assert str(home / "p") in dlnotes("data", "cache", "list").out
    cleared = json.loads(dlnotes("data", "cache", "clear", home / "q", "--json").out)["folders"]
    assert [entry["folder"] for entry in cleared] == [str(home / "q")]
    assert [entry.folder for entry in list_cache().folders] == [str(home / "p")]
    assert json.loads(dlnotes("data", "cache", "clear", "--json").out)["bytes"] > 36 * 3072
    assert list_cache().folders == []
    assert len(list((home / "p").rglob("*.png"))) == 36
    outcome = dlnotes("data", "cache", "clear", home / "q")
    assert outcome.code == 2
    assert outcome.err == f"dlnotes: error: FOLDER: {home / 'q'} is not cached; see dlnotes data cache list\n"


def test_a_damaged_entry_is_listed_and_cleared(home: Path, dlnotes: Command) -> None:
    entry, _ = list_cache().folders
    os.truncate(Path(entry.path) / "samples.npy", 36 * 3072 + 1)
    (damaged,) = (one for one in list_cache().folders if one.path == entry.path)
    assert (damaged.folder, damaged.shape, damaged.images) == (None, None, 0)
    assert damaged.bytes == 36 * 3072 + 1
    assert f"damaged: {damaged.path}" in dlnotes("data", "cache", "list").out
    assert "freed" in dlnotes("data", "cache", "clear").out
    assert not list((home / "cache" / "decoded").glob("*"))
