"""What a time budget affords, on machines of given speeds, and on this one."""

import itertools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from builders import Command, stopped_after

from dlnotes_cli.classify import train_cnn
from dlnotes_cli.classify.affordable import EARLY_SIZE, WIDTHS, choose, resized
from dlnotes_cli.classify.train_cnn import CnnTask
from dlnotes_cli.training import fit

pytestmark = pytest.mark.usefixtures("blank_figures")
STEPS_PER_EPOCH = 88
LARGE = ("train-cnn", "--arch", "large", "--limit", 300, "--batch-size", 64, "--threads", 1)


def chosen_on(speed: float, budget_s: float, *, bf16: float = 1.0) -> tuple[float, float, str]:
    """Width, size and precision on a machine that trains `speed` images in a second at width 0.5 in fp32."""

    def step_s(width: float, size: float, precision: str) -> float:
        seconds: float = 512 / speed * (width / 0.5) ** 1.5 * size**2
        return seconds / (bf16 if precision == "bf16" else 1.0)

    def epochs_of(seconds: float) -> float:
        return 0.9 * budget_s / (seconds * STEPS_PER_EPOCH)

    found = choose(step_s, epochs_of, ("bf16", "fp32"), EARLY_SIZE)
    return found.width, found.early_size, found.precision


def test_a_longer_budget_is_spent_on_channels_and_a_short_one_on_smaller_images() -> None:
    chosen = [chosen_on(3400, budget) for budget in (20, 120, 600, 1200, 1e5)]
    assert [width for width, _, _ in chosen] == sorted(width for width, _, _ in chosen)
    assert chosen[0] == (0.25, EARLY_SIZE, "bf16")
    assert chosen[1] == (0.75, EARLY_SIZE, "bf16")
    assert chosen[2] == (1.0, 1.0, "bf16")
    assert chosen[-1] == (WIDTHS[-1], 1.0, "bf16")
    assert chosen_on(10, 1) == (WIDTHS[0], EARLY_SIZE, "bf16")  # a machine that cannot do one epoch
    assert [chosen_on(1000, 120, bf16=factor)[2] for factor in (0.8, 1.2)] == ["fp32", "bf16"]
    widths = [chosen_on(speed, 300)[0] for speed in (100, 300, 1000, 3000, 10_000, 30_000)]
    assert widths == sorted(widths)  # a slower machine never trains a wider network


def test_resized_images_are_those_of_torchvision() -> None:
    from torchvision.transforms import v2

    images = torch.randint(0, 256, (3, 2, 32, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = v2.functional.resize(images.float(), [24, 15], antialias=False)
    torch.testing.assert_close(resized(images, 0.75), expected, atol=1e-3, rtol=0)


def test_a_machine_that_cannot_train_wider_networks_or_smaller_images_is_no_error() -> None:
    def step_s(width: float, size: float, _: str) -> float:
        return 0.1 if width <= 0.75 and size == 1 else math.inf

    found = choose(step_s, lambda seconds: 100 / seconds, ("fp32",), EARLY_SIZE)
    assert (found.width, found.early_size) == (0.75, 1.0)
    hopeless = choose(lambda *_: math.inf, lambda seconds: 100 / seconds, ("fp32",), EARLY_SIZE)
    assert (hopeless.width, hopeless.epochs) == (WIDTHS[0], 0.0)
    answers = iter([True, True, False])  # measuring ends when its time is over
    stopped = choose(lambda *_: 1e-6, lambda seconds: 100 / seconds, ("fp32",), EARLY_SIZE, lambda: next(answers))
    assert stopped.width == WIDTHS[2]


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which every step takes the same time, whatever else runs there."""
    ticks = itertools.count(0.0, 0.01)
    monkeypatch.setattr(fit, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    monkeypatch.setattr(train_cnn, "measure_step_s", lambda _network, samples, _runtime: 0.01 * samples.shape[-1])


@pytest.mark.usefixtures("steady")
def test_the_options_that_a_time_budget_prints_repeat_its_run(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    loss = CnnTask.loss

    def recorded(task: CnnTask, model: Any, share: Any) -> Any:
        sizes.append(share.batch.samples.shape[-1])
        return loss(task, model, share)

    monkeypatch.setattr(CnnTask, "loss", recorded)
    budgeted = dlnotes(*LARGE, "--time-budget", "3s", "--out", tmp_path / "a", "--json")
    assert budgeted.code == 0, budgeted.err
    result = json.loads(budgeted.out)
    width = json.loads((tmp_path / "a" / "config.json").read_text())["width"]
    assert f"--width {width:g} --early-size 0.625 --precision {result['precision']} fit into the" in budgeted.err
    steps = result["steps"]
    assert steps > 44
    expected = [8] * 20 + [5] * (math.ceil(0.6 * steps) - 20) + [8] * (steps - math.ceil(0.6 * steps))
    assert sizes == expected
    sizes.clear()
    options = ("--width", width, "--early-size", 0.625, "--precision", result["precision"])
    repeated = dlnotes(*LARGE, *options, "--max-steps", steps, "--out", tmp_path / "b")
    assert repeated.code == 0, repeated.err
    assert sizes == expected
    one, other = (tmp_path / name / "model.safetensors" for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.usefixtures("steady")
def test_a_run_whose_settings_were_measured_is_resumed_and_restarts_share_them(
    tmp_path: Path, dlnotes: Command
) -> None:
    words = ("--time-budget", "3s", "--early-size", 0.5)
    with stopped_after(2):
        stopped = dlnotes(*LARGE, *words, "--out", tmp_path / "run")
    assert (stopped.code, "--early-size" in stopped.err) == (143, True), stopped.err
    assert dlnotes("train-cnn", "--resume", tmp_path / "run").code == 0
    assert dlnotes(*LARGE, *words, "--restarts", 2, "--out", tmp_path / "runs").code == 0
    stored = [json.loads((tmp_path / f"runs/restart-{i}/config.json").read_text()) for i in (1, 2)]
    assert stored[0]["width"] == stored[1]["width"]
