"""The frozen transfer: features computed once, a head solved on them, its weight decay chosen by validation."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dlnotes_cli import files, output, plots
from dlnotes_cli.configs.recipes import given
from dlnotes_cli.data.augment_words import is_flippable, parse_augment
from dlnotes_cli.data.batches import Part, Scaler
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.decode import decode_picture
from dlnotes_cli.data.load import load_named_pixels, load_view
from dlnotes_cli.data.splits import stratified_folds
from dlnotes_cli.device import Machine, choose_device
from dlnotes_cli.errors import InputError, StoppedError, UnfinishedError
from dlnotes_cli.models.backbones import Transferred
from dlnotes_cli.models.registry import config_to_json
from dlnotes_cli.stopping import StopRequest
from dlnotes_cli.tasks.features import View, draw_map, export_features, extraction_of
from dlnotes_cli.tasks.pictures import Viewed, draw_evaluation
from dlnotes_cli.tasks.record import Record, TrainingResult, check_gate, timing_fields
from dlnotes_cli.tasks.transfer import Plan, warn_of_few
from dlnotes_cli.training import run_folder
from dlnotes_cli.training.checkpoint import write_tensors
from dlnotes_cli.training.head import WEIGHT_DECAYS, Fit, HeadOptions, fit_path
from dlnotes_cli.training.metrics import Evaluation, evaluate
from dlnotes_cli.training.run_folder import RunFolder


@dataclass(frozen=True)
class _Solved:
    """The chosen head, every fit that it was chosen from, and where the features went in."""

    head: nn.Sequential
    history: list[dict[str, Any]]  # an entry for each weight decay
    best: int  # the chosen one, counted from 1
    folds: dict[str, Any] | None = None

    @property
    def passes(self) -> int:
        """Over the features, in all."""
        return int(self.history[-1]["epoch"])


def train_head(plan: Plan) -> TrainingResult:
    """Solve, test and document a head in its run folder."""
    started = time.monotonic()
    config = plan.config
    folder = RunFolder(config)
    choose_device(config.device)
    if folder.is_resumed and (stored := folder.result()) is not None:
        output.note(f"{folder.path} is trained already")
        return TrainingResult(stored)
    machine = plan.machine()
    with StopRequest() as stop:
        network, dataset, views = _features(plan, machine, stop.poll)
        check_gate(config, dataset)
        data_s, trained = time.monotonic() - started, time.monotonic()
        solved = _solve(plan, dataset, views, machine, stop.poll)
        train_s, tested = time.monotonic() - trained, time.monotonic()
        network.head = solved.head
        record = Record(
            config,
            "backbone",
            config_to_json(plan.describe(len(dataset.classes))),
            dataset,
            machine,
            network,
            plan.details(network),
        )
        with folder:
            files.write_json(folder.file(run_folder.CONFIG), {"command": config.command, **config.as_json()})
            folder.clear_results()
            record.announce()
            chosen = solved.history[solved.best - 1]
            write_tensors(folder.file(run_folder.MODEL), network.state_dict(), record.card(chosen))
            folder.write_history(solved.history)
            part = "test" if "test" in dataset.parts else "val"
            final = _evaluate(solved.head, dataset, part, machine)
            pictures = _draw(plan, folder, network, dataset, solved, final, part, machine)
            timing = {"data_s": data_s, "train_s": train_s, "eval_s": time.monotonic() - tested}
            seen = solved.passes * (len(dataset.parts["train"]) + sum(map(len, views)))
            fields = {
                "schema_version": output.SCHEMA_VERSION,
                "command": config.command,
                **record.result(solved.history, solved.best, solved.passes, final if part == "test" else None),
                "epochs": solved.passes,
                "best_epoch": chosen["epoch"],
                "weight_decay": chosen["weight_decay"],
                "folds": solved.folds,
                "timing": timing_fields(timing, seen, started),
                "out": str(folder.path),
                "model_file": str(folder.file(run_folder.MODEL)),
                "pictures": [str(path) for path in pictures],
            }
            fields = output.finite(fields)
            files.write_json(folder.file(run_folder.RESULT), fields)
    return TrainingResult(fields)


def solve_head(plan: Plan, poll: Callable[[], None]) -> dict[str, Tensor]:
    """The head with which fine-tuning begins."""
    machine = plan.machine()
    _, dataset, views = _features(plan, machine, poll)
    return _solve(plan, dataset, views, machine, poll).head.state_dict()


def _features(
    plan: Plan, machine: Machine, poll: Callable[[], None]
) -> tuple[Transferred, DataSet, list[NDArray[np.float32]]]:
    """The network, the data as its features, and those of further views of the training part."""
    network = plan.build(classes=1)
    try:
        dataset = plan.load_features(network, machine, poll)
        views = [_view(plan, network, dataset, machine, number, poll) for number in range(1, plan.config.views)]
    except StoppedError as request:
        what = "the features made so far are kept"
        raise StoppedError(request.exit_code, what, "run the same again to go on") from request
    for features in (dataset.samples, *views):
        if not np.isfinite(features).all():
            raise UnfinishedError(
                "--weights", "give features that are not finite", "use other weights, or --precision fp32"
            )
    warn_of_few(dataset)
    return network, dataset, views


def _view(
    plan: Plan, network: Transferred, dataset: DataSet, machine: Machine, number: int, poll: Callable[[], None]
) -> NDArray[np.float32]:
    config = plan.config
    words = given(config.augment)
    operations = parse_augment(words, plan.format.shape, flippable=is_flippable(dataset.classes))
    if not operations:
        raise InputError("--views", f"--augment {words} leaves every view the same", "give --augment, or one view")
    view = View(number, operations, config.seed)
    extraction = extraction_of(network, plan.name, plan.format, machine, view)
    return load_view(config, dataset, plan.format, replace(plan.reading, poll=poll), extraction)


def _solve(
    plan: Plan, dataset: DataSet, views: list[NDArray[np.float32]], machine: Machine, poll: Callable[[], None]
) -> _Solved:
    """Fit a head for each weight decay and choose the one that validates best, in one part or in folds."""
    config = plan.config
    options = HeadOptions(
        len(dataset.classes), config.hidden, given(config.label_smoothing), config.class_weights == "balanced",
        min(config.epochs or 100, config.max_steps or 1 << 30), config.seed,
    )  # fmt: skip
    decays = WEIGHT_DECAYS if config.weight_decay is None else (config.weight_decay,)
    work = _Work(dataset, views, options, decays, machine, poll)
    return work.in_folds(config.folds, config.seed) if config.folds else work.by_validation(config.time_budget)


class _Work:
    """The solving of heads on some features."""

    def __init__(
        self, dataset: DataSet, views: list[NDArray[np.float32]], options: HeadOptions, decays: tuple[float, ...],
        machine: Machine, poll: Callable[[], None],
    ) -> None:  # fmt: skip
        self._dataset, self._views, self._options, self._decays = dataset, views, options, decays
        self._machine, self._poll = machine, poll
        self._train, self._val = dataset.parts["train"], dataset.parts["val"]

    def by_validation(self, time_budget: float | None) -> _Solved:
        """Choose the weight decay by the loss on the validation part."""
        deadline = time.monotonic() + (time_budget or float("inf"))
        history: list[dict[str, Any]] = []
        heads: list[nn.Sequential] = []
        for fit in self._fits(self._train):
            scores = [self._score(fit.head, part) for part in (self._train, self._val)]
            history.append(_entry(history, fit, *scores))
            heads.append(fit.head)
            if time.monotonic() > deadline:
                break
        best = _best(history)
        return _Solved(heads[best - 1], history, best)

    def in_folds(self, count: int, seed: int) -> _Solved:
        """Choose the weight decay by the loss over all folds, each judged by a head that has not seen it; fit all."""
        everything = np.sort(np.concatenate([self._train, self._val]))
        folds = stratified_folds(everything, self._dataset.labels, count, seed)
        outcomes: list[list[tuple[Fit, Evaluation, Evaluation]]] = []  # by weight decay, then by fold
        for held in folds:
            kept = np.setdiff1d(everything, held)
            outcomes.append(
                [(fit, self._score(fit.head, kept), self._score(fit.head, held)) for fit in self._fits(kept)]
            )
        history: list[dict[str, Any]] = []
        for row in zip(*outcomes, strict=True):
            fits, train, val = zip(*row, strict=True)
            together = Fit(fits[0].head, fits[0].weight_decay, sum(fit.passes for fit in fits))
            history.append(_entry(history, together, _pooled(train), _pooled(val)))
        best = _best(history)
        *_, final = self._fits(everything, self._decays[:best])
        accuracies = [fits[best - 1][2].accuracy for fits in outcomes]
        spread = {
            "count": count,
            "accuracies": accuracies,
            "mean": float(np.mean(accuracies)),
            "std": float(np.std(accuracies, ddof=1)),
        }
        return _Solved(final.head, history, best, spread)

    def _fits(self, chosen: NDArray[np.int64], decays: tuple[float, ...] | None = None) -> Iterator[Fit]:
        """Fits on some samples of the training and validation parts, with all their views."""
        device = self._machine.device
        inside = np.isin(self._train, chosen)
        features = np.concatenate([self._dataset.samples[chosen], *(view[inside] for view in self._views)])
        labels = np.concatenate(
            [self._dataset.labels[chosen], *([self._dataset.labels[self._train[inside]]] * len(self._views))]
        )
        x, y = torch.from_numpy(features).to(device), torch.from_numpy(labels).to(device)
        return fit_path(x, y, self._options, decays or self._decays, self._poll)

    def _score(self, head: nn.Sequential, indices: NDArray[np.int64]) -> Evaluation:
        return _evaluate_on(head, self._dataset, indices, self._machine)


def _entry(history: list[dict[str, Any]], fit: Fit, train: Evaluation, val: Evaluation) -> dict[str, Any]:
    """A line of metrics.jsonl; epochs are passes over the features, counted on."""
    epoch = fit.passes + (history[-1]["epoch"] if history else 0)
    return {
        "epoch": epoch, "step": epoch, "weight_decay": fit.weight_decay,
        "train": train.as_json(), "validation": val.as_json(),
    }  # fmt: skip


def _best(history: list[dict[str, Any]]) -> int:
    return 1 + int(np.argmin([entry["validation"]["loss"] for entry in history]))


def _pooled(parts: Sequence[Evaluation]) -> Evaluation:
    """One evaluation of the samples of several."""
    samples = sum(part.samples for part in parts)
    loss = sum(part.loss * part.samples for part in parts) / samples
    return Evaluation(loss, np.sum([part.confusion for part in parts], axis=0))


def _evaluate(head: nn.Sequential, dataset: DataSet, part: str, machine: Machine) -> Evaluation:
    return _evaluate_on(head, dataset, dataset.parts[part], machine)


def _evaluate_on(head: nn.Sequential, dataset: DataSet, indices: NDArray[np.int64], machine: Machine) -> Evaluation:
    plain = Machine(machine.device, "fp32", machine.threads)
    part = Part(
        torch.from_numpy(np.asarray(dataset.samples[indices])).to(machine.device),
        torch.from_numpy(dataset.labels[indices]).to(machine.device),
        torch.arange(len(indices), device=machine.device),
    )
    return evaluate(head, part, lambda features: features, plain, classes=len(dataset.classes))


def _draw(
    plan: Plan, folder: RunFolder, network: Transferred, dataset: DataSet, solved: _Solved, final: Evaluation,
    part: str, machine: Machine,
) -> list[Path]:  # fmt: skip
    config = plan.config
    curves = folder.file("curves.png")
    files.atomic_write(curves, plots.curves(solved.history, solved.best, over="weight_decay"))
    shown = dataset.parts[part]
    shown = shown[[i * len(shown) // min(plots.SHOWN, len(shown)) for i in range(min(plots.SHOWN, len(shown)))]]
    samples = torch.from_numpy(_pixels(plan, dataset, shown))
    labels = torch.from_numpy(dataset.labels[shown])
    seen = Part(samples.to(machine.device), labels.to(machine.device), torch.arange(len(shown), device=machine.device))
    viewed = Viewed(network, seen, Scaler(dataset.format, machine.device), machine, dataset.classes)
    drawn = [curves, *draw_evaluation(folder.path, final, viewed)]
    if config.export_features is not None:
        export_features(config.export_features, dataset)
        drawn.append(config.export_features)
    if config.map_file is not None:
        draw_map(config.map_file, dataset, config.map_method, config.seed)
        drawn.append(config.map_file)
    return drawn


def _pixels(plan: Plan, dataset: DataSet, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A few pictures of a data set whose samples are features."""
    if dataset.files:
        return np.stack(
            [decode_picture(Path(dataset.files[i]), plan.format.form, plan.config.max_pixels) for i in indices]
        )
    return load_named_pixels(plan.config, plan.format)[indices]
