import json
from pathlib import Path

import pytest
import torch
from builders import Command
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.training.engine.batch_size import LARGEST, SMALLEST, largest_batch


@given(fixed=st.integers(0, 10**9), each=st.integers(1, 10**8), free=st.integers(1, 10**11))
def test_the_largest_power_of_two_that_takes_sixty_percent(fixed: int, each: int, free: int) -> None:
    batch = largest_batch(lambda samples: fixed + each * samples, free)
    fitting = [n for n in (64, 128, 256, 512, 1024, 2048) if fixed + each * n <= 0.6 * free]
    assert batch == max([SMALLEST, *fitting])


def test_no_more_than_there_are() -> None:
    assert largest_batch(lambda samples: samples, 10**12) == LARGEST
    assert largest_batch(lambda samples: samples, 10**12, most=300) == 256


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the memory decides")
@pytest.mark.parametrize(("recipe", "expected"), [("best", 64), ("notes", 20)])
def test_auto_on_a_processor_is_the_recipe_s(recipe: str, expected: int, dlnotes: Command, tmp_path: Path) -> None:
    words = ["--hidden", 8, "--max-steps", 2, "--batch-size", "auto", "--recipe", recipe]
    run = dlnotes("train-mlp", *words, "--out", tmp_path / "run")
    assert run.code == 0, run.err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["batch_size"] == expected
