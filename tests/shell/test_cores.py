"""Cores that a process may use, and those that others use."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlnotes_cli.shell import cores
from dlnotes_cli.shell.cores import OtherProcesses, available_cores, control_groups

OWN = sorted(cores._own_cores())


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


def stat(root: Path, busy: float, other_core: float = 0.0, nice: float = 0.0) -> None:
    """Write /proc/stat with seconds of user and nice time of our cores, and of user time of a core that is not ours."""
    (root / "proc").mkdir(exist_ok=True)
    lines = [f"cpu{core} {round(busy * cores._TICKS)} {round(nice * cores._TICKS)} 0 999 9 0 0 0 0 0" for core in OWN]
    lines += [f"cpu{max(OWN) + 1} {round(other_core * cores._TICKS)} 0 0 0 0 0 0 0 0 0", "intr 5"]
    (root / "proc/stat").write_text("\n".join(["cpu 1 2 3 4 5 6 7 8 9 10", *lines]) + "\n")


def test_the_time_of_this_process_is_not_that_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, own = [100.0], [3.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "times", lambda: os.times_result((own[0], 0.0, 0.0, 0.0, 0.0)))
    stat(tmp_path, busy=50.0)
    others = OtherProcesses(tmp_path)
    now[0], own[0] = 110.0, 8.0
    stat(tmp_path, busy=58.0, other_core=10.0)
    assert others.cores_used() == pytest.approx((8.0 * len(OWN) - 5.0) / 10)
    now[0] = 112.0
    stat(tmp_path, busy=58.0)
    assert others.cores_used() == 0
    (tmp_path / "proc/stat").unlink()
    assert others.cores_used() is None


@pytest.mark.parametrize(("niceness", "expected"), [(0, 0.2), (5, 0.7), (-10, 0.2)])
def test_processes_of_low_priority_count_only_for_such_a_process(
    niceness: int, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "times", lambda: os.times_result((0.0,) * 5))
    monkeypatch.setattr(os, "nice", lambda _: niceness)
    stat(tmp_path, busy=50.0, nice=20.0)
    others = OtherProcesses(tmp_path)
    now[0] = 110.0
    stat(tmp_path, busy=52.0, nice=25.0)
    assert others.cores_used() == pytest.approx(expected * len(OWN))


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux")
def test_a_busy_process_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        others = OtherProcesses()
        time.sleep(1.0)
        used = others.cores_used()
        busy.kill()
    assert used is not None
    assert used > 0.3
