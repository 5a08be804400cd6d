"""Cores that a process may use, and those that others use."""

import os
from pathlib import Path

import pytest

from dlnotes_cli.shell import cores
from dlnotes_cli.shell.cores import available_cores, control_groups, note_other_processes


def system(root: Path, **files: str) -> Path:
    """A root folder with a control group a/b, and these files in it (name: content) or in its parent (parent_name)."""
    group = root / "sys/fs/cgroup/a/b"
    group.mkdir(parents=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/a/b\n")
    for name, content in files.items():
        folder = group.parent if name.startswith("parent_") else group
        (folder / "cpu.max").write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"own": "max 100000"}, 8),
        ({"own": "300000 100000"}, 3),
        ({"own": "250000 100000"}, 2),
        ({"own": "50000 100000"}, 1),
        ({"own": "max 100000", "parent_": "400000 200000"}, 2),
        ({"own": "1600000 100000"}, 8),
        ({"own": "nonsense"}, 8),
    ],
)
def test_a_quota_limits_the_cores(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "_own_cores", lambda: set(range(8)))
    assert available_cores(system(tmp_path, **files)) == expected


def test_the_groups_around_a_group_count_too(tmp_path: Path) -> None:
    found = list(control_groups(system(tmp_path)))
    assert found[:3] == [tmp_path / "sys/fs/cgroup" / name for name in ("a/b", "a", "")]


@pytest.mark.parametrize(
    ("machine", "load", "threads", "expected"),
    [
        (2, 1.2, 2, "--threads 1 "), (2, 0.4, 2, ""), (2, 5.0, 2, "--threads 1 "), (2, 5.0, 1, ""), (8, 4.2, 4, ""),
        (8, 6.0, 4, "--threads 2 "),
    ],
)  # fmt: skip
def test_a_note_advises_fewer_threads_where_other_processes_use_the_cores(
    machine: int, load: float, threads: int, expected: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    note_other_processes(threads)
    notes = capsys.readouterr().err
    assert notes.count("\n") == bool(expected)
    assert expected in notes


def test_no_note_where_the_system_does_not_measure_its_load(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unavailable() -> None:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", unavailable)
    note_other_processes(64)
    assert capsys.readouterr().err == ""
