"""The forecast of memory: a lower bound of what a training step keeps."""

import resource
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from builders import Command
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from dlnotes_cli import device
from dlnotes_cli.classify.recipes import MLP_BEST
from dlnotes_cli.networks.cnn import CnnConfig
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.networks.registry import build
from dlnotes_cli.training import memory
from dlnotes_cli.training.memory import MIN_BATCH_SIZE, extrapolated_batch_size, forecast

pytestmark = pytest.mark.usefixtures("blank_figures")

LAYERS = "Conv2d(3, 8, 3); BatchNorm2d(8); ReLU(); Conv2d(8, 16, 3); ReLU(); Flatten(); Linear(256, 10)"


def task_of(name: str, config: object, recipe: object, *inputs: object, has_frozen_layers: bool = False) -> Any:
    """What of a task the forecast reads."""
    return SimpleNamespace(
        model_name=name, network_config=config, recipe=recipe, has_frozen_layers=has_frozen_layers,
        sample_inputs=lambda network: inputs or (torch.zeros(1, 11, dtype=torch.int64, device="meta"),
                                                 network.initial_state(1)),
    )  # fmt: skip


def saved_bytes(network: nn.Module, *sample: object) -> int:
    """What the gradient of a forward pass keeps, besides the parameters."""
    own = {parameter.data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network.train()(*sample)
        (output[0] if isinstance(output, tuple) else output).logsumexp(-1).sum().backward()
    return sum(kept.values())


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("mlp", MlpConfig(64, 10, (128, 32, 256), batch_norm=True), (64,)),
        ("mlp", MlpConfig(64, 10, (128, 32, 256), activation="gelu"), (64,)),
        ("cnn", CnnConfig(LAYERS, (3, 8, 8), 10), (3, 8, 8)),
    ],
)
def test_the_forecast_of_a_batch_is_a_bound_of_what_a_gradient_keeps(
    name: str, config: object, shape: tuple[int, ...]
) -> None:
    _, batch = forecast(task_of(name, config, MLP_BEST, torch.empty(1, *shape, device="meta")), 7, "fp32")
    saved = saved_bytes(build(name, config), torch.zeros(7, *shape))
    assert saved / 4 < batch <= saved


def test_the_forecast_of_the_network_counts_what_the_optimizer_holds() -> None:
    config, sample = CnnConfig(LAYERS, (3, 8, 8), 10), torch.empty(1, 3, 8, 8, device="meta")
    weights = sum(tensor.nbytes for tensor in build("cnn", config).state_dict().values())
    plain = replace(MLP_BEST, optimizer="sgd", momentum=0.0, ema=0.0)
    recipes = {
        3: plain,
        4: replace(plain, momentum=0.9),
        5: replace(plain, optimizer="adam"),
        6: replace(MLP_BEST, ema=0.9),
    }
    for copies, recipe in recipes.items():
        assert forecast(task_of("cnn", config, recipe, sample), 1, "fp32")[0] == copies * weights
    frozen = task_of("cnn", config, MLP_BEST, sample, has_frozen_layers=True)
    assert forecast(frozen, 1, "fp32")[0] == weights
    halves = [forecast(task_of("cnn", config, MLP_BEST, sample), 2, precision)[1] for precision in ("bf16", "fp32")]
    assert halves[1] == 2 * halves[0]


@pytest.mark.parametrize(
    "words",
    [
        ("train-mlp", "--hidden", "512"), ("train-cnn", "--arch", "fast"), ("char-rnn", "train", "--hidden-size", "64"),
        ("transfer", "--weights", "none", "--backbone", "resnet18", "--size", "32", "--fine-tune", "all", "--limit",
         "40"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_fit_ends_before_it_begins(
    words: tuple[str, ...], tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda _device, *, swap: 50_000 if swap else 0)
    outcome = dlnotes(*words, "--out", tmp_path / "run", "-q")
    assert (outcome.code, outcome.err.count("\n")) == (3, 1)
    assert "error: memory: training needs at least" in outcome.err
    assert not (tmp_path / "run").exists()


def test_available_memory_respects_the_limits_of_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = (
        ("_available_in_system", 900), ("_available_in_control_groups", 700), ("_available_addresses", None)
    )  # fmt: skip
    with monkeypatch.context() as patch:
        for name, limit in limits:
            patch.setattr(device, name, lambda limit=limit, **_: limit)
        assert device.available_memory(torch.device("cpu"), swap=True) == 700
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1 << 50, 1 << 50))
    assert (device._available_addresses() or 1 << 50) == pytest.approx(1 << 50, rel=0.01)
    group, proc = tmp_path / "sys/fs/cgroup/a/b", tmp_path / "proc/self"
    for folder in (group, proc):
        folder.mkdir(parents=True)
    (proc / "cgroup").write_text("0::/a/b\n")
    assert device._available_in_control_groups(tmp_path) is None
    for folder, most in ((group, "max"), (group.parent, "1000")):
        (folder / "memory.max").write_text(f"{most}\n")
        (folder / "memory.current").write_text("700\n")
        (folder / "memory.stat").write_text("anon 200\ninactive_file 300\nactive_file 100\n")
    assert device._available_in_control_groups(tmp_path) == 700


@given(fixed=st.integers(0, 10**9), per_sample=st.integers(1, 10**8), free=st.integers(1, 10**11))
def test_the_largest_power_of_two_within_sixty_percent_of_the_memory(fixed: int, per_sample: int, free: int) -> None:
    batch_size = extrapolated_batch_size(fixed + per_sample * 64, fixed + per_sample * 128, free)
    fitting = [n for n in (64, 128, 256, 512, 1024, 2048) if fixed + per_sample * n <= 0.6 * free]
    assert batch_size == max([MIN_BATCH_SIZE, *fitting])
