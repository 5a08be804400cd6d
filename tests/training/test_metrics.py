"""Metrics of a classifier against scikit-learn, what chooses the best epoch, and the images of predictions.png."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command, small_training
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
from dlnotes_cli.training.evaluation_plots import shown_positions
from dlnotes_cli.training.metrics import Evaluation, Monitor, Predictions

pytestmark = pytest.mark.usefixtures("blank_figures")
CPU = Runtime(torch.device("cpu"), "fp32", 1)
pairs = st.integers(1, 60).flatmap(
    lambda n: st.tuples(
        stn.arrays(np.int64, n, elements=st.integers(0, 4)), stn.arrays(np.int64, n, elements=st.integers(0, 4))
    )
)


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
    balance = evaluation.balance
    recalls = [score.recall for score in scores if score.support]
    assert balance.balanced_accuracy == pytest.approx(np.mean(recalls))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a single class
        assert balance.matthews == pytest.approx(oracle.matthews_corrcoef(true, predicted))
    assert balance.macro_f1 == pytest.approx(averages[2])
    by_macro_f1 = Monitor("macro-f1")
    assert by_macro_f1.rank(by_macro_f1.metrics(evaluation)) == pytest.approx((averages[2], 0))
    assert evaluation.accuracy == pytest.approx(oracle.accuracy_score(true, predicted))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 2500), st.integers(0, 2**31))
def test_evaluate_agrees_with_scikit_learn_for_any_size_of_the_last_batch(samples: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(samples, 4)).astype(np.float32), generator.integers(0, 4, samples)
    split = Split(torch.from_numpy(logits), torch.from_numpy(labels), torch.arange(samples))
    normalizer = Normalizer(TablePreprocessing("y", (Column("x"),)), CPU.device)
    evaluation = evaluate(nn.Identity(), split, normalizer, CPU, classes=4, top=(2, 3), keep_predictions=True)
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


def test_auto_is_accuracy_from_5000_samples_on() -> None:
    assert [Monitor.of("auto", samples).name for samples in (4_999, 5_000)] == ["loss", "accuracy"]
    assert [Monitor.of("loss", 10_000).name, Monitor.of("macro-f1", 3).name] == ["loss", "macro-f1"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("loss", lambda v: -v["loss"]),
        ("accuracy", lambda v: (v["accuracy"], -v["loss"])),
        ("macro-f1", lambda v: v["macro_f1"]),
    ],
)
def test_the_monitored_metric_chooses_the_epoch(name: str, key: object, tmp_path: Path, dlnotes: Command) -> None:
    words = ("--monitor", name, "--epochs", 8, "--lr", 0.3, "--schedule", "constant", "--optimizer", "sgd", "--json")
    result = json.loads(dlnotes(*small_training(tmp_path / "run", *words)).out)
    history = [json.loads(line)["validation"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = max(range(8), key=lambda i: key(history[i]))  # type: ignore[operator]
    assert result["best_epoch"] == best + 1
    assert result["monitor"] == {"name": name, "value": history[best][name.replace("-", "_")]}
    assert set(result["validation"]) == {"loss", "accuracy", "samples"}
    again = dlnotes("train-mlp", "--resume", tmp_path / "run", "--json", "-q")  # the stored result is read
    assert json.loads(again.out) == result


samples = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0, 1, width=32)), max_size=80)


@given(samples, st.sampled_from([2, 6, 24]))
def test_up_to_half_are_the_most_confident_mistakes(drawn: list[tuple[int, int, float]], count: int) -> None:
    labels, predicted = (np.array([sample[i] for sample in drawn], np.int64) for i in (0, 1))
    confidences = np.array([sample[2] for sample in drawn], np.float32)
    predictions = Predictions(labels, predicted, confidences, np.zeros(len(drawn)))
    shown = shown_positions(predictions, count).tolist()
    mistakes = [i for i, (label, answer, _) in enumerate(drawn) if label != answer]
    expected = sorted(mistakes, key=lambda i: (-drawn[i][2], i))[: count // 2]
    assert shown[: len(expected)] == expected
    rest = shown[len(expected) :]
    assert not set(rest) & set(mistakes)
    assert rest == sorted(set(rest))
    assert len(rest) == min(count - len(expected), len(drawn) - len(mistakes))
