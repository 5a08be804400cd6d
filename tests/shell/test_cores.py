"""Cores that a process may use, and those that others use."""

import os
from pathlib import Path

import pytest

from dlnotes_cli.shell import cores
from dlnotes_cli.shell.cores import available_cores, control_groups, note_other_processes


@pytest.mark.parametrize(
    ("quota", "outer", "expected"),
    [
        ("", "", 8), ("max 100000", "", 8), ("300000 100000", "", 3), ("250000 100000", "", 2), ("50000 100000", "", 1),
        ("max 100000", "400000 200000", 2), ("1600000 100000", "", 8), ("nonsense", "", 8),
    ],
)  # fmt: skip
def test_a_quota_of_the_group_or_of_one_around_it_limits_the_cores(
    quota: str, outer: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "sys/fs/cgroup/a/b"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    for folder, content in ((group, quota), (group.parent, outer)):
        if content:
            (folder / "cpu.max").write_text(content)
    monkeypatch.setattr(cores, "_own_cores", lambda: set(range(8)))
    assert available_cores(tmp_path) == expected
    assert list(control_groups(tmp_path))[:3] == [group, group.parent, group.parent.parent]


@pytest.mark.parametrize(
    ("machine", "load", "threads", "expected"),
    [
        (2, 1.2, 2, "--threads 1 "), (2, 0.4, 2, ""), (2, 5.0, 2, "--threads 1 "), (2, 5.0, 1, ""), (8, 4.2, 4, ""),
        (8, 6.0, 4, "--threads 2 "), (8, None, 64, ""),
    ],
)  # fmt: skip
def test_a_note_advises_fewer_threads_where_other_processes_use_the_cores(
    machine: int, load: float | None, threads: int, expected: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def measured() -> tuple[float, float, float]:
        if load is None:
            raise OSError
        return load, 0.0, 0.0

    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    monkeypatch.setattr(os, "getloadavg", measured)
    note_other_processes(threads)
    notes = capsys.readouterr().err
    assert notes.count("\n") == bool(expected)
    assert expected in notes
