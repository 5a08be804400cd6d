"""What a network competes with on a table: logistic regression, and gradient-boosted trees of scikit-learn."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.networks.backbones import first_linear
from dlnotes_cli.networks.boosted import BoostedConfig, BoostedTrees
from dlnotes_cli.networks.mlp import MlpConfig, build_mlp
from dlnotes_cli.training.head_fit import HeadOptions, fit_heads
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.task import Poll

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

NAMES = {"mlp": "network", "linear": "logistic regression", "boosted": "boosted trees"}
_DECAYS = (10.0, 1.0, 0.1)  # weight decays of the linear model, each divided by the number of training rows


class TableModel(NamedTuple):
    """A fitted model of a table."""

    name: str  # of `NAMES`
    network: nn.Module
    registered: str  # the name in the registry
    configuration: Any
    steps: int  # passes over the rows, or rounds
    train_s: float


def fit_table_models(
    dataset: DataSet, class_weights: Tensor | None, names: tuple[str, ...], seed: int, poll: Poll
) -> Iterator[TableModel]:
    """Fit those of the models that are named to the training rows."""
    fits = {"linear": _fit_linear, "boosted": _fit_boosted}
    for name in names:
        started = time.monotonic()
        network, registered, configuration, steps = fits[name](dataset, class_weights, seed, poll)
        yield TableModel(name, network.eval(), registered, configuration, steps, time.monotonic() - started)


def _rows(dataset: DataSet, split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    indices = dataset.splits[split]
    return np.asarray(dataset.samples[indices], np.float32), dataset.labels[indices]


def _fit_linear(
    dataset: DataSet, class_weights: Tensor | None, seed: int, poll: Poll
) -> tuple[nn.Module, str, MlpConfig, int]:
    """Logistic regression: a network without hidden layers."""
    x, labels = map(torch.from_numpy, _rows(dataset, "train"))
    x_val, labels_val = _rows(dataset, "val")
    weights = None if class_weights is None else tuple(class_weights.tolist())
    options = HeadOptions(len(dataset.classes), seed=seed, class_weights=weights)
    decays = _DECAYS if len(labels_val) else (1.0,)
    fits = [*fit_heads(x, labels, options, tuple(decay / len(x) for decay in decays), poll)]
    best = min(fits, key=lambda fit: _loss(fit.head(torch.from_numpy(x_val)), labels_val)) if len(fits) > 1 else fits[0]
    configuration = MlpConfig(inputs=x.shape[1], classes=len(dataset.classes), hidden=())
    network = build_mlp(configuration)
    network.load_state_dict({f"output.{name}": tensor for name, tensor in first_linear(best.head).state_dict().items()})
    return network, "mlp", configuration, sum(fit.passes for fit in fits)


@torch.no_grad()
def _loss(logits: Tensor, labels: NDArray[np.int64]) -> float:
    return Evaluation.of([(labels, logits.double().log_softmax(1).numpy())], logits.shape[1]).loss


def _fit_boosted(
    dataset: DataSet, class_weights: Tensor | None, seed: int, poll: Poll
) -> tuple[nn.Module, str, BoostedConfig, int]:
    """Histogram-based gradient boosting (Ke et al. 2017) with the defaults of scikit-learn."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    poll()
    x, labels = _rows(dataset, "train")
    weights = None if class_weights is None else class_weights.cpu().numpy()[labels]
    with threadpool_limits(torch.get_num_threads()):
        model = HistGradientBoostingClassifier(random_state=seed % (1 << 32)).fit(x, labels, weights)
    return *_network_of(model), model.n_iter_


def _network_of(model: "HistGradientBoostingClassifier") -> tuple[BoostedTrees, str, BoostedConfig]:
    """The trees of a fitted model as a network, which gives the same scores up to rounding.

    Thresholds are rounded down to float32, so that every float32 value goes to the same side.
    """
    trees = [tree.nodes for one in model._predictors for tree in one]  # noqa: SLF001  # no public name
    sizes = [len(nodes) for nodes in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    nodes = np.concatenate(trees)
    itself, is_leaf = np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
    exact = np.where(is_leaf, 0.0, nodes["num_threshold"])
    threshold = exact.astype(np.float32)
    threshold = np.where(threshold > exact, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    configuration = BoostedConfig(
        inputs=model.n_features_in_, classes=len(model.classes_), trees=len(trees), nodes=len(nodes),
        depth=int(nodes["depth"].max()),
    )  # fmt: skip
    arrays = {
        "root": roots, "feature": np.where(is_leaf, 0, nodes["feature_idx"]), "threshold": threshold,
        "left": np.where(is_leaf, itself, nodes["left"] + np.repeat(roots, sizes)),
        "right": np.where(is_leaf, itself, nodes["right"] + np.repeat(roots, sizes)),
        "value": np.where(is_leaf, nodes["value"], 0).astype(np.float32),
        "baseline": np.ravel(model._baseline_prediction).astype(np.float32),  # noqa: SLF001
    }  # fmt: skip
    network = BoostedTrees(configuration)
    is_whole = {name: tensor.dtype == torch.int64 for name, tensor in network.state_dict().items()}
    network.load_state_dict(
        {name: torch.from_numpy(array.astype(np.int64) if is_whole[name] else array) for name, array in arrays.items()}
    )
    return network, "boosted", configuration
