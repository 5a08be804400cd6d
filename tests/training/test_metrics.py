import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray
from sklearn import metrics as oracle
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as TF  # noqa: N812  # torchvision's own abbreviation

from dlnotes_cli.data.batches import Normalizer, Split
from dlnotes_cli.data.preprocessing import ImagePreprocessing, TablePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.metrics import AveragedViews, Evaluation, evaluate, forward_batch, with_views

CPU = Runtime(torch.device("cpu"), "fp32", 1)
pairs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        stn.arrays(np.int64, n, elements=st.integers(0, 4)), stn.arrays(np.int64, n, elements=st.integers(0, 4))
    )
)


def part_of(x: torch.Tensor, y: torch.Tensor) -> Split:
    return Split(x, y, torch.arange(len(y)))


@given(pairs)
def test_scores_agree_with_scikit_learn(pair: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    true, predicted = pair
    evaluation = Evaluation(0.0, oracle.confusion_matrix(true, predicted, labels=range(5)))
    scores = evaluation.per_class(tuple("abcde"))
    expected = oracle.precision_recall_fscore_support(true, predicted, labels=range(5), zero_division=0)
    for i, score in enumerate(scores):
        found = (score.precision, score.recall, score.f1, score.support)
        assert found == pytest.approx([column[i] for column in expected])
    macro = evaluation.macro_average()
    averages = oracle.precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)[:3]
    assert list(macro.values()) == pytest.approx(averages)
    assert evaluation.accuracy == pytest.approx(oracle.accuracy_score(true, predicted))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 2500), st.integers(0, 2**31))
def test_evaluate_agrees_with_scikit_learn_whatever_the_last_batch(samples: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(samples, 4)).astype(np.float32), generator.integers(0, 4, samples)
    part = part_of(torch.from_numpy(logits), torch.from_numpy(labels))
    found = evaluate(
        nn.Identity(), part, Normalizer(TablePreprocessing("y", ()), CPU.device), CPU, classes=4, top=(2, 3)
    )
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    assert found.loss == pytest.approx(oracle.log_loss(labels, shares, labels=range(4)), rel=1e-5)
    assert (found.confusion == oracle.confusion_matrix(labels, logits.argmax(1), labels=range(4))).all()
    for k in (2, 3):
        expected = oracle.top_k_accuracy_score(labels, logits, k=k, labels=range(4), normalize=False)
        assert found.within_top[k] == expected


def test_the_mode_of_the_network_is_restored() -> None:
    network = nn.Dropout(0.5).train()
    part = part_of(torch.randn(8, 3), torch.zeros(8, dtype=torch.int64))
    evaluate(network, part, Normalizer(TablePreprocessing("y", ()), CPU.device), CPU, classes=3)
    assert network.training


def test_nothing_to_evaluate_has_no_accuracy() -> None:
    assert math.isnan(Evaluation(math.nan, np.zeros((2, 2), np.int64)).accuracy)


class Probe(nn.Module):
    """Squares of a weighted sum of pixels: no view gives the same as another, and no mean can move inside."""

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.arange(x[0].numel(), dtype=x.dtype).view(1, *x.shape[1:])
        return torch.stack([(x * weights).sum((1, 2, 3)), (x * weights**2).sum((1, 2, 3))], 1) ** 2


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shape", [(3, 1, 6, 5), (1, 3, 4, 7), (2, 1, 1, 1)])
def test_views_are_images_mirrors_and_shifts(shape: tuple[int, ...], *, mirror: bool) -> None:
    x = torch.rand(shape, dtype=torch.float64)
    found = AveragedViews(Probe(), mirror=mirror)(x)
    height, width = shape[2:]
    framed = TF.pad(x, [1, 1, 1, 1], padding_mode="edge")
    expected = torch.zeros(shape[0], 2, dtype=torch.float64)
    for weight, view in (
        (0.5, x), (0.25, TF.crop(framed, 0, 0, height, width)), (0.25, TF.crop(framed, 2, 2, height, width)),
    ):  # fmt: skip
        faces = [view, TF.horizontal_flip(view)] if mirror else [view]
        expected += weight * torch.stack([Probe()(face) for face in faces]).mean(0)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-8)


def test_views_mirror_no_digits_and_need_images() -> None:
    images, calls = ImagePreprocessing(1, 4, 4, "crop", (0.0,), (1.0,)), []
    probe = Probe()
    probe.register_forward_hook(lambda *_: calls.append(1))
    for classes, count in ((("0", "1"), 3), (("cat", "dog"), 6)):
        calls.clear()
        with_views(probe, images, classes)(torch.rand(2, 1, 4, 4))
        assert len(calls) == count
    with pytest.raises(InputError, match="--tta: the model reads tables, and a row has only one view; drop --tta"):
        with_views(probe, TablePreprocessing("y", ()), ("a", "b"))


def test_fewer_large_samples_go_through_at_once() -> None:
    assert [forward_batch(shape) for shape in ((10,), (3, 32, 32), (3, 224, 224), (3, 4096, 4096))] == [
        1024,
        1024,
        27,
        1,
    ]
