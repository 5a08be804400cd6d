"""Array files are whole or absent."""

from pathlib import Path

import numpy as np
import pytest

from dlnotes_cli.data.array_files import write_npy, write_npz


def test_arrays_are_read_back_by_numpy(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_npy(tmp_path / "one.npy", values)
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), values)
    write_npz(tmp_path / "several.npz", path=values, names=np.array(["a", "b"]))
    with np.load(tmp_path / "several.npz") as stored:
        np.testing.assert_array_equal(stored["path"], values)
        assert stored["names"].tolist() == ["a", "b"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.npy"
    write_npy(path, np.zeros(2))

    def fail(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(MemoryError):
        write_npy(path, np.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["one.npy"]
    np.testing.assert_array_equal(np.load(path), np.zeros(2))
