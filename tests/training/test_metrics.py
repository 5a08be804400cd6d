"""Metrics of a classifier against scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.typing import NDArray
from sklearn import metrics as oracle
from torch import nn

from dlnotes_cli.data.batches import Normalizer, Split
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.training.evaluation import evaluate
from dlnotes_cli.training.metrics import Evaluation

CPU = Runtime(torch.device("cpu"), "fp32", 1)
pairs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        stn.arrays(np.int64, n, elements=st.integers(0, 4)), stn.arrays(np.int64, n, elements=st.integers(0, 4))
    )
)


def split_of(x: torch.Tensor, y: torch.Tensor) -> Split:
    return Split(x, y, torch.arange(len(y)))


@given(pairs)
def test_scores_agree_with_scikit_learn(pair: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    true, predicted = pair
    evaluation = Evaluation(0.0, oracle.confusion_matrix(true, predicted, labels=range(5)))
    scores = evaluation.per_class(tuple("abcde"))
    expected = oracle.precision_recall_fscore_support(true, predicted, labels=range(5), zero_division=0)
    for i, score in enumerate(scores):
        actual = (score.precision, score.recall, score.f1, score.support)
        assert actual == pytest.approx([column[i] for column in expected])
    macro = evaluation.macro_average()
    averages = oracle.precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)[:3]
    assert list(macro.values()) == pytest.approx(averages)
    assert evaluation.accuracy == pytest.approx(oracle.accuracy_score(true, predicted))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 2500), st.integers(0, 2**31))
def test_evaluate_agrees_with_scikit_learn_for_any_size_of_the_last_batch(samples: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(samples, 4)).astype(np.float32), generator.integers(0, 4, samples)
    split = split_of(torch.from_numpy(logits), torch.from_numpy(labels))
    evaluation = evaluate(
        nn.Identity(),
        split,
        Normalizer(TablePreprocessing("y", (Column("x"),)), CPU.device),
        CPU,
        classes=4,
        top=(2, 3),
        keep_predictions=True,
    )
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert evaluation.loss == pytest.approx(oracle.log_loss(labels, probabilities, labels=range(4)), rel=1e-5)
    assert (evaluation.confusion == oracle.confusion_matrix(labels, logits.argmax(1), labels=range(4))).all()
    for k in (2, 3):
        expected = oracle.top_k_accuracy_score(labels, logits, k=k, labels=range(4), normalize=False)
        assert evaluation.within_top[k] == expected
    predictions = evaluation.predictions
    assert predictions is not None
    assert (predictions.labels == labels).all()
    assert (predictions.predicted == logits.argmax(1)).all()
    np.testing.assert_allclose(predictions.probabilities, probabilities.max(axis=1), rtol=1e-5)
    assert (predictions.is_correct == (labels == logits.argmax(1))).all()
