"""The number of threads while other processes use the cores."""

import time
from collections.abc import Sequence

import pytest
import torch

from dlnotes_cli.shell.cores import OtherProcesses
from dlnotes_cli.training.engine.shared_cores import SharedCores


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of threads that torch is told to use, in order."""
    numbers: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    return numbers


def run(
    cores: int, threads: int, used: Sequence[float | None], monkeypatch: pytest.MonkeyPatch, *, is_adaptive: bool
) -> None:
    """Call `adapt` between steps, while the measurements find that other processes use so many cores."""
    now, measured = [0.0], iter(used)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(OtherProcesses, "cores_used", lambda _: next(measured))
    with SharedCores(threads, is_adaptive=is_adaptive) as shared:
        shared._others.cores = cores
        shared.adapt()  # too early for a measurement
        for _ in used:
            now[0] += 3.0
            shared.adapt()


@pytest.mark.parametrize(
    ("cores", "threads", "used", "expected"),
    [
        (2, 2, [1.0, 1.0], [1, 2]),  # at the end, all of them
        (2, 2, [0.7, 0.7], [1, 2]),  # three threads share two cores
        (2, 2, [1.0, 0.1, 1.0, 0.1], []),  # for a moment
        (2, 2, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [1, 2]),
        (2, 2, [2.0, 2.0], [1, 2]),
        (2, 2, [0.4, 0.4], []),
        (2, 1, [2.0, 2.0], []),
        (8, 4, [4.2, 4.2], []),  # four cores are free
        (8, 4, [6.0, 6.0, 3.0, 3.0], [2, 4]),
        (64, 2, [40.0, 40.0], []),  # a quota of two cores on a busy machine
        (2, 2, [None, None], []),
    ],
)
def test_threads_leave_the_cores_of_others_and_come_back(
    cores: int, threads: int, used: list[float | None], expected: list[int],
    chosen: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run(cores, threads, used, monkeypatch, is_adaptive=True)
    assert chosen == expected
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == (1 if expected else 0)
    if expected:
        assert f"of {cores} cores; training continues with {expected[0]} thread" in notes[0]


def test_a_number_of_threads_that_the_user_chose_stays_and_a_note_advises_another(
    chosen: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(2, 2, [1.0, 1.0, 0.0, 0.0, 1.0, 1.0], monkeypatch, is_adaptive=False)
    assert chosen == []
    (note,) = capsys.readouterr().err.splitlines()
    assert note.endswith("use 1.0 of 2 cores; this slows training with 2 threads, and --threads 1 may be faster")
