"""The largest batch size that fits into memory."""

import json
from pathlib import Path

import pytest
import torch
from builders import Command
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.training.engine.batch_size import MAX_BATCH_SIZE, MIN_BATCH_SIZE, extrapolated_batch_size


@given(fixed=st.integers(0, 10**9), per_sample=st.integers(1, 10**8), free=st.integers(1, 10**11))
def test_the_largest_power_of_two_within_sixty_percent_of_the_memory(fixed: int, per_sample: int, free: int) -> None:
    batch_size = extrapolated_batch_size(fixed + per_sample * 64, fixed + per_sample * 128, free)
    fitting = [n for n in (64, 128, 256, 512, 1024, 2048) if fixed + per_sample * n <= 0.6 * free]
    assert batch_size == max([MIN_BATCH_SIZE, *fitting])


def test_the_batch_size_is_limited_by_the_number_of_samples() -> None:
    assert extrapolated_batch_size(64, 128, 10**12) == MAX_BATCH_SIZE
    assert extrapolated_batch_size(64, 128, 10**12, limit=300) == 256


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the memory decides")
@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(("recipe", "expected"), [("best", 64), ("notes", 20)])
def test_auto_on_a_cpu_is_the_batch_size_of_the_recipe(
    recipe: str, expected: int, dlnotes: Command, tmp_path: Path
) -> None:
    words = ["--hidden", 8, "--max-steps", 2, "--batch-size", "auto", "--recipe", recipe]
    run = dlnotes("train-mlp", *words, "--out", tmp_path / "run")
    assert run.code == 0, run.err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["batch_size"] == expected
