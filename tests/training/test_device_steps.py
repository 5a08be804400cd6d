"""Training steps on a device that is no CPU: the meta device, whose values cannot be read and take no time to compute.

A step that waits for its device, as with `item`, `tolist`, `nonzero` or a mask as an index, fails there. It takes the
paths that GPUs take, and mixes no tensors of CPU and device.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.train import CharRnnTask
from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.classify.train_cnn import CnnTask
from dlnotes_cli.classify.train_mlp import MlpTask
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.registry import build
from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.series.train import SeriesTask
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training import objective
from dlnotes_cli.training.fit import TrainingRun
from dlnotes_cli.training.recipes import RunLength
from dlnotes_cli.training.task import Task

META = torch.device("meta")
RUNTIME = Runtime(META, "fp32", 1)
AUGMENT = "flip,shift:1,crop:1,rotate:10,color:0.2,erase:0.5"
LAYERS = "Conv2d(1,2,3);BatchNorm2d(2);ReLU;Flatten;Dropout(0.1);Linear(72,10)"


class UnsentTensors(TorchDispatchMode):
    """Fails where an operation gets tensors of the CPU and of the device, except `to_device`: it would wait."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_sending = False

    def to_device(self, tensor: Tensor) -> Tensor:
        """In place of `Runtime.to_device`."""
        self.is_sending = True
        moved = tensor.to(META)
        self.is_sending = False
        return moved

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor) and leaf.ndim]
        if not self.is_sending and len({tensor.device for tensor in tensors}) > 1:
            raise AssertionError(f"{function} copies between CPU and device")
        return result


@pytest.fixture
def unsent(monkeypatch: pytest.MonkeyPatch) -> UnsentTensors:
    mode = UnsentTensors()
    monkeypatch.setattr(Runtime, "to_device", mode.to_device)
    monkeypatch.setattr(objective, "balanced_weights", lambda _labels, classes: torch.ones(classes, device=META))
    for name in ("Adam", "AdamW"):  # whose fused kernels know no meta device
        made = getattr(torch.optim, name)
        monkeypatch.setattr(torch.optim, name, lambda groups, made=made, **rest: made(groups, **rest | {"fused": None}))
    return mode


CNN: dict[str, Any] = {"data": "digits", "layers": LAYERS, "class_weights": "balanced"}


@pytest.mark.parametrize(
    ("task_type", "config"),
    [
        (CnnTask, TrainCnnConfig(**CNN, augment=f"{AUGMENT},cutmix:1", label_smoothing=0.1, l1=0.1)),
        (CnnTask, TrainCnnConfig(**CNN, augment=f"{AUGMENT},mixup:1", accumulate=2)),
        (MlpTask, TrainMlpConfig(data="digits", hidden=(8,), dropout=0.1, augment="none", optimizer="adagrad")),
        (CharRnnTask, CharRnnTrainConfig(hidden=4, embed=4, layers=1, seq_len=8, reset_state=0.5)),
        (SeriesTask, SeriesTrainConfig(data="sine", window=8, season=1)),
        (SeriesTask, SeriesTrainConfig(data="sine", window=8, season=1, recipe="notes")),
    ],
)
def test_a_step_with_clipping_and_a_moving_average_reads_nothing(
    task_type: type[Task[Any]], config: Any, unsent: UnsentTensors
) -> None:
    task = task_type(config, replace(config.resolved(), grad_clip=1.0, ema=0.9))
    task.load()
    task.network = build(task.model_name, task.network_config).to(META)
    task.runtime = RUNTIME
    task.prepare(100)
    run = TrainingRun(task, RunLength(100, epochs=1), StopRequest())
    task.start_epoch(1, 1)
    with unsent:
        for index in range(2):
            run._step(task.network, task.batch(index))
    with pytest.raises((RuntimeError, NotImplementedError)):  # values cannot be read, which proves that none was
        run.read_steps()
