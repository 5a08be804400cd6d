"""The note about cores that other processes use."""

import time

import pytest

from dlnotes_cli.shell.cores import OtherProcesses
from dlnotes_cli.training.engine import shared_cores
from dlnotes_cli.training.engine.shared_cores import SharedCores


@pytest.mark.parametrize(
    ("cores", "threads", "used", "advised"),
    [
        (2, 2, 1.0, 1), (2, 2, 0.4, None), (2, 1, 2.0, None), (8, 4, 4.2, None), (8, 4, 6.0, 2), (4, 4, 4.0, 1),
        (2, 2, None, None),
    ],
)  # fmt: skip
def test_a_run_that_others_slow_down_says_so_once(
    cores: int, threads: int, used: float | None, advised: int | None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(shared_cores, "available_cores", lambda: cores)
    monkeypatch.setattr(OtherProcesses, "cores_used", lambda _: used)
    shared = SharedCores(threads)
    shared.note_if_slow()
    assert not capsys.readouterr().err
    for now[0] in (6.0, 12.0, 18.0):
        shared.note_if_slow()
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == (advised is not None)
    if advised is not None:
        assert f"use {used:.1f} of {cores} cores" in notes[0]
        assert notes[0].endswith(f"--threads {advised} may be faster")
