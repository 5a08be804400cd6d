"""Checkpoints of a run that diverges."""

from pathlib import Path
from typing import Any

import pytest
import torch
from builders import Command, small_training

from dlnotes_cli.training.engine import run
from dlnotes_cli.training.objective import Objective
from dlnotes_cli.training.tensor_file import read_tensors

BAD_STEP = 7


def test_weights_that_are_not_finite_are_never_saved(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(run, "_SAVE_RATIO", 0)
    calls = []
    loss = Objective.__call__

    def infinite_once(self: Objective, *arguments: Any) -> Any:
        calls.append(1)
        objective, plain = loss(self, *arguments)
        return (objective * torch.inf if len(calls) == BAD_STEP else objective), plain

    monkeypatch.setattr(Objective, "__call__", infinite_once)
    outcome = dlnotes(*small_training(tmp_path / "run", "--epochs", 9))
    assert outcome.code == 3
    assert f"the loss is not finite at step {BAD_STEP} " in outcome.err
    tensors, metadata = read_tensors(tmp_path / "run" / "last.safetensors")
    assert metadata["position"]["step"] == BAD_STEP - 1
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
