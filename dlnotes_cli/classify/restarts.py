"""Random restarts: the same training from several initial weights, of which the best validation loss wins."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from dlnotes_cli.classify.options import TrainCnnConfig, TrainMlpConfig
from dlnotes_cli.shell import output
from dlnotes_cli.training.record import ClassifierResult

Options = TypeVar("Options", TrainMlpConfig, TrainCnnConfig)


def best_restart(options: Options, train: Callable[[Options], ClassifierResult]) -> ClassifierResult:
    """Train once, or `--restarts` times in subfolders of `--out`; returns the result with the best validation loss.

    Data, splits and order are those of `--seed` in every restart; the initial weights have seeds of their own.
    """
    if options.restarts == 1 or options.out is None:  # the options require --out for restarts
        return train(options)
    results = []
    for i in range(options.restarts):
        output.status("restart", f"{i + 1} of {options.restarts}")
        folder = options.out / f"restart-{i + 1}"
        results.append(train(replace(options, restarts=1, init_seed=options.seed + i, out=folder)))
    losses = [result.validation.loss for result in results]
    best = results[losses.index(min(losses))]
    output.status("restarts", f"validation losses {', '.join(f'{loss:.4f}' for loss in losses)}; best {best.out}")
    return best
