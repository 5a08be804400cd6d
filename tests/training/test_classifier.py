"""The task of a classifier: training samples are augmented, and only these."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.train_mlp import MlpTask
from dlnotes_cli.data.batches import Augmenter, Mixer
from dlnotes_cli.data.images.augment_parser import Operation
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.task import StepLoss

CPU = Runtime(torch.device("cpu"), "fp32", 1)


class Recorder(nn.Module):
    """A linear classifier that records its inputs, as pixels from 0 to 255."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append((x * 255).round())
        logits: Tensor = self.linear(x.flatten(1))
        return logits


@pytest.fixture
def recorder() -> Recorder:
    torch.manual_seed(0)
    return Recorder()


def make_task(recorder: Recorder, augment: str) -> MlpTask:
    options = TrainMlpConfig(data="digits", augment=augment, normalize="unit")
    task = MlpTask(options, options.resolved())
    task.load()
    task.network, task.runtime = recorder, CPU
    task.prepare(100)
    return task


def step(task: MlpTask, index: int) -> StepLoss:
    (share,) = task.batch(index).parts
    return task.loss(task.network, share)


@pytest.mark.parametrize("augment", ["strong", "flip,crop:2,rotate:30,color:1,erase:1,mixup:1", "erase:1,cutmix:1"])
def test_images_are_augmented_in_training_and_not_in_validation_and_test(
    augment: str, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(recorder, augment)
    augmented: list[Tensor] = []
    original = Augmenter.__call__

    def recorded(self: Augmenter, samples: Tensor, indices: Tensor, epoch: int) -> Tensor:
        augmented.append(indices)
        return original(self, samples, indices, epoch)

    monkeypatch.setattr(Augmenter, "__call__", recorded)
    task.start_epoch(1, None)
    for index in range(task.steps_per_epoch):
        step(task, index)
    assert torch.cat(augmented).sort().values.equal(task.splits["train"].indices.sort().values)
    assert not torch.cat(recorder.inputs).equal(task.splits["train"].samples[torch.cat(augmented)].float())
    monkeypatch.setattr(Augmenter, "__call__", lambda *_: pytest.fail("augmented outside training"))
    monkeypatch.setattr(Mixer, "__call__", lambda *_, **__: pytest.fail("mixed outside training"))
    for name in ("val", "test"):
        recorder.inputs.clear()
        task.evaluate(name, lambda: None)
        assert torch.cat(recorder.inputs).equal(task.splits[name].samples[task.splits[name].indices].float())


def test_mixup_weights_the_loss_of_both_labels_and_counts_the_dominant_one(recorder: Recorder) -> None:
    task = make_task(recorder, "mixup:1")
    task.start_epoch(1, None)
    outcome = step(task, 2)
    split = task.splits["train"]
    order = task._order[200:300]
    labels = split.labels[order].numpy()
    samples = split.samples[order].double().numpy()
    weight = Mixer((Operation("mixup", 1.0),), 0)(split.samples[order], split.labels[order], epoch=1, batch=2).weight
    x = weight * samples + (1 - weight) * np.roll(samples, 1, axis=0)
    with torch.no_grad():
        logits = recorder.linear(torch.from_numpy(x / 255).float().flatten(1)).double().numpy()
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    rows = np.arange(100)
    loss = -(weight * log_probabilities[rows, labels] + (1 - weight) * log_probabilities[rows, np.roll(labels, 1)])
    assert float(outcome.loss_sum) == pytest.approx(loss.sum(), rel=1e-4)
    dominant = labels if weight >= 0.5 else np.roll(labels, 1)
    assert int(outcome.correct) == int((logits.argmax(1) == dominant).sum())
    assert task.batch(2).samples == 100
