"""Compiled training steps: what is compiled, when, what happens without a compiler, and that the results agree."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command, stopped_after
from safetensors.numpy import load_file
from torch import Tensor, nn

from dlnotes_cli.device import Runtime
from dlnotes_cli.training.engine import run, step_forward
from dlnotes_cli.training.engine.step_forward import PAYS_AFTER_S, StepForward
from dlnotes_cli.transfer.fine_tuning import FineTuning
from dlnotes_cli.transfer.unfreezing import unfrozen_blocks

MLP = "train-mlp --hidden 8 --batch-size 100 --threads 1 -q"


class CompiledNetwork:
    """Stands in for what torch.compile returns: records the shapes that it is called with."""

    def __init__(self, network: nn.Module, error: Exception | None = None) -> None:
        self.network, self.error, self.shapes = network, error, list[tuple[int, ...]]()

    def __call__(self, *inputs: Tensor) -> Any:
        self.shapes.append(tuple(inputs[0].shape))
        if self.error is not None:
            raise self.error
        return self.network(*inputs)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[CompiledNetwork]:
    """What torch.compile has returned, in place of what takes many seconds."""
    made: list[CompiledNetwork] = []

    def compile_nothing(network: nn.Module, **options: Any) -> CompiledNetwork:
        assert options == {"dynamic": False, "options": {"fallback_random": True}}
        made.append(CompiledNetwork(network))
        return made[-1]

    monkeypatch.setattr(torch, "compile", compile_nothing)
    return made


def test_two_shapes_are_compiled_and_others_run_eagerly(compiled: list[CompiledNetwork]) -> None:
    forward = StepForward(nn.Linear(3, 2), requested=True)
    for rows in (8, 8, 5, 8, 3, 5, 4, 8):
        assert forward(torch.ones(rows, 3)).shape == (rows, 2)
    assert compiled[0].shapes == [(8, 3), (8, 3), (5, 3), (8, 3), (5, 3), (8, 3)]
    assert forward.is_compiled
    assert len(compiled) == 1


def test_nothing_is_compiled_unless_it_is_requested(compiled: list[CompiledNetwork]) -> None:
    network = nn.Linear(3, 2)
    cpu, cuda = (Runtime(torch.device(kind), "fp32", 1) for kind in ("cpu", "cuda"))
    forwards = [StepForward(network), StepForward.of(network, None, cpu), StepForward.of(network, False, cuda)]
    assert not any(forward.is_undecided for forward in forwards)
    undecided = StepForward.of(network, None, cuda)
    assert undecided.is_undecided
    for forward in (*forwards, undecided):
        forward(torch.ones(4, 3))
        assert not forward.is_compiled
    assert compiled == []
    assert StepForward.of(network, True, cpu)(torch.ones(4, 3)).shape == (4, 2)
    assert len(compiled) == 1


@pytest.mark.parametrize(("remaining_s", "pays"), [(PAYS_AFTER_S, True), (PAYS_AFTER_S - 1, False)])
def test_auto_compiles_if_enough_training_remains(
    remaining_s: float, pays: bool, compiled: list[CompiledNetwork]
) -> None:
    forward = StepForward(nn.Linear(3, 2), requested=None)
    forward.decide(remaining_s)
    forward(torch.ones(4, 3))
    assert (forward.is_undecided, forward.is_compiled, len(compiled)) == (False, pays, pays)


def test_a_network_is_not_compiled_while_it_is_held(compiled: list[CompiledNetwork]) -> None:
    forward = StepForward(nn.Linear(3, 2), requested=True)
    forward.is_held = True
    forward(torch.ones(7, 3))
    forward.is_held = False
    forward(torch.ones(4, 3))
    assert compiled[0].shapes == [(4, 3)]


def test_without_memory_there_is_no_second_try(compiled: list[CompiledNetwork]) -> None:
    forward = StepForward(nn.Linear(3, 2), requested=True)
    forward(torch.ones(7, 3))
    compiled[0].error = torch.OutOfMemoryError("out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        forward(torch.ones(7, 3))


def fine_tuning(blocks: int, choice: str) -> Callable[[int, int | None], bool]:
    """`has_all_layers` of a network of so many blocks, by epoch and number of epochs."""
    training = object.__new__(FineTuning)
    training.options = type("Options", (), {"fine_tune": choice})()
    network = type("Network", (), {"backbone": nn.Sequential(*(nn.Linear(1, 1) for _ in range(blocks)))})()
    return lambda epoch, epochs: training.has_all_layers(network, epoch, epochs)


@pytest.mark.parametrize("choice", ["all", "last-2"])
@pytest.mark.parametrize("epochs", [1, 2, 6, 7, None])
def test_fine_tuning_is_held_until_the_last_block_is_unfrozen(choice: str, epochs: int | None) -> None:
    count = 5 if choice == "all" else 2
    for epoch in range(1, (epochs or 3) + 1):
        found = fine_tuning(5, choice)(epoch, epochs)
        assert found is (unfrozen_blocks(count, epoch, epochs) == count)
        assert found or (epochs is not None and epoch < epochs / 2)


@pytest.mark.usefixtures("blank_figures")
def test_a_run_without_a_compiler_goes_on_with_one_note(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = RuntimeError("No working C++ compiler found\nand a long explanation")
    monkeypatch.setattr(torch, "compile", lambda network, **_: CompiledNetwork(network, error))
    words = MLP.removesuffix(" -q").split()
    plain = dlnotes(*words, "--max-steps", 4, "--out", tmp_path / "plain", "--json")
    outcome = dlnotes(*words, "--max-steps", 4, "--out", tmp_path / "run", "--json", "--compile")
    assert (plain.code, outcome.code) == (0, 0)
    assert [json.loads(text)["compiled"] for text in (plain.out, outcome.out)] == [False, False]
    notes = [line for line in outcome.err.splitlines() if "note" in line]
    what = "--compile: the network cannot be compiled here, so that it runs without (No working C++ compiler found)"
    assert notes == [f"dlnotes: note: {what}"]
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "run")]
    assert models[0] == models[1]


def test_a_python_that_torch_cannot_compile_for_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("torch.compile is not supported on Python 4.0+")

    monkeypatch.setattr(torch, "compile", refuse)
    forward = StepForward(nn.Linear(3, 2), requested=True)
    for _ in range(2):
        assert forward(torch.ones(7, 3)).shape == (7, 2)
    assert capsys.readouterr().err.count("not supported on Python 4.0+") == 1
    assert not forward.is_compiled


@pytest.mark.usefixtures("blank_figures", "compiled")
@pytest.mark.parametrize(
    "command",
    [MLP, "train-cnn --layers Conv2d(1,2,3);ReLU;Flatten;Linear(72,10) --batch-size 100 --accumulate 2 -q",
     "char-rnn train --hidden-size 8 --seq-len 16 --batch-size 4 --sample 0 -q"],
)  # fmt: skip
def test_every_kind_of_run_can_be_compiled_and_resumed_without(command: str, tmp_path: Path, dlnotes: Command) -> None:
    words = [*command.split(), "--max-steps", 6]
    whole = dlnotes(*words, "--out", tmp_path / "whole", "--json", "--compile")
    assert json.loads(whole.out)["compiled"] is True
    with stopped_after(3):
        assert dlnotes(*words, "--out", tmp_path / "run", "--compile").code == 143
    name = command.split()[: 2 if command.startswith("char-rnn") else 1]
    resumed = dlnotes(*name, "--resume", tmp_path / "run", "--no-compile", "--json", "-q")
    assert json.loads(resumed.out)["compiled"] is False
    models = [load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "run")]
    assert not any("_orig_mod" in key for key in models[0])
    for key, tensor in models[0].items():
        np.testing.assert_array_equal(models[1][key], tensor)


@pytest.mark.usefixtures("blank_figures")
def test_auto_decides_once_after_some_steps(
    tmp_path: Path, dlnotes: Command, compiled: list[CompiledNetwork], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MEASURED_STEPS", 5)
    monkeypatch.setattr(step_forward, "PAYS_AFTER_S", 0.0)
    monkeypatch.setattr(StepForward, "of", lambda network, *_, **__: StepForward(network, None))
    outcome = dlnotes(*MLP.split(), "--max-steps", 12, "--out", tmp_path / "run", "--json")
    assert json.loads(outcome.out)["compiled"] is True
    assert len(compiled) == 1
    assert len(compiled[0].shapes) == 12 - 5


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize(
    "command",
    [
        "train-mlp --hidden 8 --dropout 0.2",
        "train-cnn --layers Conv2d(1,4,3);BatchNorm2d(4);ReLU;Flatten;Linear(144,10)",
    ],
)
def test_compiled_runs_agree_with_eager_ones(command: str, tmp_path: Path, dlnotes: Command) -> None:
    words = [*command.split(), "--batch-size", 100, "--optimizer", "nesterov", "--precision", "fp32", "--threads", 1]
    results = []
    for flag in ("--compile", "--no-compile"):
        outcome = dlnotes(*words, flag, "--max-steps", 16, "--out", tmp_path / flag, "--json")
        assert outcome.code == 0, outcome.err
        assert "note" not in outcome.err
        results.append(json.loads(outcome.out))
    if not results[0]["compiled"]:
        pytest.skip("no compiler on this machine")
    assert results[0]["train"]["loss"] == pytest.approx(results[1]["train"]["loss"], rel=1e-3)
    compiled, eager = (load_file(tmp_path / flag / "model.safetensors") for flag in ("--compile", "--no-compile"))
    assert compiled.keys() == eager.keys()
    for name, tensor in eager.items():
        np.testing.assert_allclose(compiled[name], tensor, atol=1e-3, err_msg=name)
