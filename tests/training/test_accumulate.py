"""A step on a batch in parts is the step on the whole batch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command, make_table
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torch import nn

from dlnotes_cli.data.batches import TrainingBatch
from dlnotes_cli.training.objective import BatchPart, Objective

STEPS = 50
MLP = "train-mlp --no-batch-norm --dropout 0 --hidden 8"
RUNS = {
    "mlp": f"{MLP} --batch-size 10 --lr 0.01 --ema 0.9 --grad-clip 1",
    "weighted": f"{MLP} --data rows.csv --target label --batch-size 7 --class-weights balanced --l1 0.01",
    "cnn": "train-cnn --layers Conv2d(1,2,3);ReLU;Flatten;Linear(72,10) --batch-size 9 --augment crop:1,mixup:0.4",
    "char-rnn": "char-rnn train --hidden-size 8 --seq-len 12 --batch-size 5 --dropout 0 --sample 0",
}


def weights_after(command: str, out: Path, dlnotes: Command, *more: object) -> dict[str, np.ndarray[Any, Any]]:
    words = (*command.split(), "--max-steps", STEPS, "--threads", 1, "--precision", "fp32", "--out", out, "-q", *more)
    outcome = dlnotes(*words)
    assert outcome.code == 0, outcome.err
    return load_file(out / "model.safetensors")


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("kind", RUNS)
def test_fifty_steps_in_parts_give_the_same_weights(
    kind: str, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_table(tmp_path / "rows.csv")
    whole = weights_after(RUNS[kind], tmp_path / "whole", dlnotes)
    results = [json.loads((tmp_path / "whole" / "result.json").read_text())]
    for parts in (3, 100):  # of 100 parts, each has one sample
        found = weights_after(RUNS[kind], tmp_path / f"in{parts}", dlnotes, "--accumulate", parts)
        results.append(json.loads((tmp_path / f"in{parts}" / "result.json").read_text()))
        for name, tensor in whole.items():
            np.testing.assert_allclose(found[name], tensor, atol=2e-5, err_msg=name)
    for metric in ("loss", "accuracy", "samples"):
        assert [result["train"][metric] for result in results] == pytest.approx(
            [results[0]["train"][metric]] * 3, abs=1e-4
        )


@given(
    rows=st.integers(1, 9), parts=st.integers(2, 9), smoothing=st.sampled_from([0.0, 0.1]),
    is_weighted=st.booleans(), is_mixed=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_objectives_of_the_parts_add_up(
    rows: int, parts: int, smoothing: float, *, is_weighted: bool, is_mixed: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    network = nn.Linear(3, 4).double()
    labels, others = torch.randint(0, 4, (2, rows), generator=generator)
    samples = torch.randn(rows, 3, dtype=torch.float64, generator=generator)
    batch = TrainingBatch(samples, labels, others if is_mixed else None, 0.3 if is_mixed else 1.0)
    class_weights = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64) if is_weighted else None
    objective = Objective(network, label_smoothing=smoothing, class_weights=class_weights, l1=0.01)
    whole = objective(network(samples), BatchPart(batch, batch))
    found = [objective(network(part.samples), BatchPart(part, batch)) for part in batch.parts(parts)]
    assert len(found) == min(parts, rows)
    for values, value in zip(zip(*found, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.stack(values).sum(), value)
    gradients = [torch.autograd.grad(one.objective, [network.weight])[0] for one in (whole, *found)]
    torch.testing.assert_close(torch.stack(gradients[1:]).sum(0), gradients[0])


def test_a_part_of_one_sample_is_refused_for_batch_norm(tmp_path: Path, dlnotes: Command) -> None:
    words = "train-mlp --batch-norm --batch-size 16 --accumulate 16 --max-steps 1 --out"
    outcome = dlnotes(*words.split(), tmp_path / "run")
    assert outcome.code == 2
    assert "--accumulate: a batch of one sample has no variance for batch norm; use fewer parts" in outcome.err
