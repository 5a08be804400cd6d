"""Training steps on a device that is no CPU: the meta device, whose values cannot be read and take no time to compute.

A step that waits for its device, as with `item`, `tolist`, `nonzero` or a mask as an index, fails there. It takes the
paths that GPUs take, and mixes no tensors of CPU and device.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlnotes_cli.char_rnn import train
from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.train import LanguageModelJob
from dlnotes_cli.char_rnn.training_text import read_training_text
from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.classify.train_cnn import CnnTraining
from dlnotes_cli.classify.train_mlp import MlpTraining
from dlnotes_cli.data.series.read import SeriesColumns
from dlnotes_cli.data.series.series_set import Series, SeriesSet
from dlnotes_cli.data.series.time_axis import TimeAxis
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.registry import build
from dlnotes_cli.models.series_rnn import SeriesRnnConfig, build_series_rnn
from dlnotes_cli.series.fit import fit_series
from dlnotes_cli.series.frames import training_frames
from dlnotes_cli.series.job import SeriesJob
from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.training import optimizers
from dlnotes_cli.training.engine import classifier
from dlnotes_cli.training.engine.classifier import AnyTraining, ClassifierJob
from dlnotes_cli.training.engine.loop import LoopSettings, Trainer, TrainingJob
from dlnotes_cli.training.engine.loss_scaling import LossScaling
from dlnotes_cli.training.engine.step_budget import StepBudget
from dlnotes_cli.training.recipes import OptimizerSettings, RunLength
from dlnotes_cli.training.schedule import Schedule

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
    monkeypatch.setattr(classifier, "balanced_weights", lambda _labels, classes: torch.ones(classes, device=META))
    adamw = torch.optim.AdamW  # whose fused kernel knows no meta device
    monkeypatch.setattr(torch.optim, "AdamW", lambda groups, **rest: adamw(groups, **rest | {"fused": None}))
    return mode


def take_steps(job: TrainingJob, unsent: UnsentTensors, optimizer: str = "adamw", *, is_scaled: bool = False) -> None:
    """Two steps with clipping and a moving average."""
    made = optimizers.make_optimizer(job.network, OptimizerSettings(optimizer, 0.1, 0.9, 1e-4))  # type: ignore[arg-type]
    budget = StepBudget(Schedule("constant", 1), 10, None)
    scaling = LossScaling("meta", made) if is_scaled else None
    trainer = Trainer(job, made, budget, LoopSettings(0.1, grad_clip=1.0, ema=0.9), scaling=scaling)
    trainer.start()
    with unsent:
        for _ in range(2):
            trainer.advance()
    with pytest.raises((RuntimeError, NotImplementedError)):  # values cannot be read, which proves that none was
        trainer.read_steps()


def cnn(**options: Any) -> AnyTraining:
    config = TrainCnnConfig(data="digits", layers=LAYERS, **options)
    return CnnTraining(config, config.resolved())


def mlp(**options: Any) -> AnyTraining:
    config = TrainMlpConfig(data="digits", hidden=(8,), dropout=0.1, **options)
    return MlpTraining(config, config.resolved())


@pytest.mark.parametrize(
    ("training", "options"),
    [
        (cnn, {"augment": f"{AUGMENT},cutmix:1", "class_weights": "balanced", "label_smoothing": 0.1, "l1": 0.1}),
        (cnn, {"augment": f"{AUGMENT},mixup:1", "class_weights": "balanced", "accumulate": 2}),
        (mlp, {"augment": "none"}),
    ],
)
def test_a_step_of_a_classifier_reads_nothing(
    training: Callable[..., AnyTraining], options: dict[str, Any], unsent: UnsentTensors
) -> None:
    made = training(**options)
    dataset = made.load()
    network: nn.Module = build(made.model_name, made.network_config(dataset)).to(META)
    take_steps(ClassifierJob(made, network, dataset, RUNTIME, RunLength(100, epochs=1)), unsent)


@pytest.mark.parametrize("is_scaled", [False, True])
@pytest.mark.parametrize("optimizer", ["rmsprop", "adagrad", "adadelta"])
def test_a_step_of_an_optimizer_without_a_fused_kernel_reads_nothing(
    optimizer: str, is_scaled: bool, unsent: UnsentTensors
) -> None:
    made = mlp(augment="none")
    dataset = made.load()
    network: nn.Module = build(made.model_name, made.network_config(dataset)).to(META)
    take_steps(
        ClassifierJob(made, network, dataset, RUNTIME, RunLength(100, epochs=1)), unsent, optimizer, is_scaled=is_scaled
    )


def test_a_step_of_a_language_model_reads_nothing(unsent: UnsentTensors) -> None:
    config = CharRnnTrainConfig(hidden=4, embed=4, layers=1, seq_len=8, reset_state=0.5)
    recipe = config.resolved()
    texts = read_training_text(config, recipe.seq_len)
    network = build("char_rnn", train._network_config(config, recipe, texts.preprocessing)).to(META)
    take_steps(LanguageModelJob(network, texts, recipe, 4, RUNTIME, seed=0), unsent)


@pytest.mark.parametrize("is_carried", [False, True])
def test_a_step_on_time_series_reads_nothing(unsent: UnsentTensors, *, is_carried: bool) -> None:
    values = torch.linspace(0, 9, 200, dtype=torch.float64).sin().numpy()
    data = SeriesSet("test", "0", "y", (Series("0", values[:, None], 200, TimeAxis()),))
    config = SeriesTrainConfig(window=8, season=1, recipe="notes" if is_carried else "best")
    fitted = fit_series(config, config.resolved(), SeriesColumns("y"), data)
    frames = training_frames(data, fitted.preprocessing)
    window, horizon = fitted.recipe.window, 1 if is_carried else fitted.recipe.horizon
    network = build_series_rnn(
        SeriesRnnConfig(hidden=4, window=window, horizon=horizon, skip=False, carried=is_carried, evaluated=horizon)
    ).to(META)
    take_steps(SeriesJob(network, frames, fitted, 2, RUNTIME, seed=0), unsent)


def test_a_step_that_reads_or_copies_would_fail(unsent: UnsentTensors) -> None:
    x = torch.ones(3, device=META)
    for reading in (x.sum().item, x.tolist, (x > 0).nonzero, lambda: x[x > 0], lambda: bool(x[0] > 0)):
        with pytest.raises((RuntimeError, NotImplementedError)):
            reading()
    with unsent, pytest.raises(AssertionError, match="copies between CPU and device"):
        torch.ones(3).to(META)
