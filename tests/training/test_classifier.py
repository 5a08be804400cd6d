"""The task of a classifier: training samples are augmented, and only these."""

import pytest
import torch
from torch import Tensor, nn

from dlnotes_cli.classify.options import TrainMlpConfig
from dlnotes_cli.classify.train_mlp import MlpTask
from dlnotes_cli.data.batches import Augmenter, Mixer
from dlnotes_cli.device import Runtime


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


@pytest.mark.parametrize("augment", ["strong", "flip,crop:2,rotate:30,color:1,erase:1,mixup:1", "erase:1,cutmix:1"])
def test_images_are_augmented_in_training_and_not_in_validation_and_test(
    augment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, recorder = TrainMlpConfig(data="digits", augment=augment, normalize="unit"), Recorder()
    task = MlpTask(options, options.resolved())
    task.load()
    task.network, task.runtime = recorder, Runtime(torch.device("cpu"), "fp32", 1)
    task.prepare(100)
    augmented: list[Tensor] = []
    original = Augmenter.__call__

    def recorded(self: Augmenter, samples: Tensor, indices: Tensor, epoch: int) -> Tensor:
        augmented.append(indices)
        return original(self, samples, indices, epoch)

    monkeypatch.setattr(Augmenter, "__call__", recorded)
    task.start_epoch(1, None)
    for index in range(task.steps_per_epoch):
        task.loss(task.network, task.batch(index).parts[0])
    assert torch.cat(augmented).sort().values.equal(task.splits["train"].indices.sort().values)
    assert not torch.cat(recorder.inputs).equal(task.splits["train"].samples[torch.cat(augmented)].float())
    monkeypatch.setattr(Augmenter, "__call__", lambda *_: pytest.fail("augmented outside training"))
    monkeypatch.setattr(Mixer, "__call__", lambda *_, **__: pytest.fail("mixed outside training"))
    for name in ("val", "test"):
        recorder.inputs.clear()
        task.evaluate(name, lambda: None)
        assert torch.cat(recorder.inputs).equal(task.splits[name].samples[task.splits[name].indices].float())
