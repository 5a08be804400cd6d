"""Array files are those of NumPy."""

from pathlib import Path

import numpy as np

from dlnotes_cli.data.array_files import write_npy, write_npz


def test_arrays_are_read_back_by_numpy(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_npy(tmp_path / "one.npy", values)
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), values)
    write_npz(tmp_path / "several.npz", path=values, names=np.array(["a", "b"]))
    with np.load(tmp_path / "several.npz") as stored:
        np.testing.assert_array_equal(stored["path"], values)
        assert stored["names"].tolist() == ["a", "b"]
