"""`data cache list` and `data cache clear`."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from builders import Command, make_images, small_training

from dlnotes_cli.manage.data_cache import clear_cache, list_cache
from dlnotes_cli.manage.options import CacheClearConfig

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dlnotes: Command) -> Path:
    """A cache with the images of one folder, filled by a training run."""
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "cache"))
    make_images(tmp_path / "p")
    assert dlnotes(*small_training(tmp_path / "run", "--data", tmp_path / "p", "--limit", 20)).code == 0
    return tmp_path


def test_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dlnotes: Command) -> None:
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "none"))
    assert dlnotes("data", "cache", "list").out == "0 B in total\n"
    assert dlnotes("data", "cache", "clear").out == "0 B freed\n"
    assert json.loads(dlnotes("data", "cache", "list", "--json").out) == {
        "schema_version": 1, "command": "data cache list", "folders": [], "bytes": 0
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_list_reports_every_cached_folder(home: Path, dlnotes: Command) -> None:
    fields = json.loads(dlnotes("data", "cache", "list", "--json").out)
    (entry,) = fields["folders"]
    assert entry["folder"] == str(home / "p")
    assert entry["images"] == 36
    assert entry["shape"] == [3, 12, 10]
    assert fields["bytes"] == entry["bytes"] == sum(file.stat().st_size for file in Path(entry["path"]).iterdir())
    assert datetime.now(UTC) - datetime.fromisoformat(entry["last_used"]) < timedelta(hours=1)
    shown = dlnotes("data", "cache", "list").out
    assert str(home / "p") in shown
    assert "3x12x10" in shown


def test_evaluate_and_train_share_the_cache(home: Path, dlnotes: Command) -> None:
    assert dlnotes("evaluate", home / "run", "--data", home / "p").code == 0
    assert len(list_cache()) == 1
    dlnotes(*small_training(home / "run2", "--data", home / "p", "--size", 7, "--limit", 20))
    assert [entry.shape for entry in list_cache()] == [(3, 7, 7), (3, 12, 10)]


def test_training_from_the_cache_gives_an_identical_model(home: Path, dlnotes: Command) -> None:
    def weights(out: Path) -> bytes:
        return (out / "model.safetensors").read_bytes()

    assert dlnotes(*small_training(home / "run2", "--data", home / "p", "--limit", 20)).code == 0
    assert weights(home / "run2") == weights(home / "run")


def test_clear_deletes_one_folder_or_all(home: Path, dlnotes: Command) -> None:
    make_images(home / "q")
    dlnotes(*small_training(home / "run2", "--data", home / "q", "--limit", 20))
    cleared = clear_cache(CacheClearConfig(folder=home / "q"))
    assert [entry.folder for entry in cleared] == [str(home / "q")]
    assert [entry.folder for entry in list_cache()] == [str(home / "p")]
    outcome = dlnotes("data", "cache", "clear", "--json")
    assert json.loads(outcome.out)["bytes"] > 36 * 360
    assert list_cache() == []
    assert len(list((home / "p").rglob("*.png"))) == 36
    outcome = dlnotes("data", "cache", "clear", home / "q")
    assert outcome.code == 2
    assert outcome.err == f"dlnotes: error: FOLDER: {home / 'q'} is not cached; see dlnotes data cache list\n"


@pytest.mark.usefixtures("home")
def test_a_damaged_entry_is_listed_and_cleared(dlnotes: Command) -> None:
    (entry,) = list_cache()
    os.truncate(Path(entry.path) / "samples.npy", 36 * 360 + 1)
    (damaged,) = list_cache()
    assert (damaged.folder, damaged.shape, damaged.images) == (None, None, 0)
    assert damaged.bytes == 36 * 360 + 1
    assert f"damaged: {damaged.path}" in dlnotes("data", "cache", "list").out
    assert "freed" in dlnotes("data", "cache", "clear").out
    assert not Path(damaged.path).exists()
