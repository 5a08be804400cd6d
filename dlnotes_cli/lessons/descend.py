"""`descend`: optimizers of torch.optim side by side on a surface."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import dist, isfinite
from operator import attrgetter
from typing import Literal

import torch
from torch import Tensor

from dlnotes_cli.lessons.drawings import Animated, drawn
from dlnotes_cli.lessons.options import DescendConfig, RacingOptimizer
from dlnotes_cli.lessons.surfaces import Formula, Surface
from dlnotes_cli.shell.codec import HIDDEN, OPTIONAL, named, through
from dlnotes_cli.shell.errors import require
from dlnotes_cli.shell.output import number
from dlnotes_cli.shell.show import Table

Point = tuple[float, ...]
EndPoint = Literal["minimum", "saddle point", "maximum", "flat", "still moving", "left the region", "diverged"]

_DEFAULT_LR: dict[str, float] = {"adagrad": 0.5, "adadelta": 10.0, "rmsprop": 0.05, "adam": 0.1, "adamw": 0.1}
_NEAR = 0.01  # of the diagonal of the region: how near a point is to a minimum that it has reached
_LEFT = 3.0  # times the size of the region: how far a point may go
_MOMENTUM = 0.9  # without --momentum
_MOST_RUNS = 24  # of a table
_FLAT = 1e-9  # slopes and eigenvalues of the Hessian up to which a direction is flat


@dataclass(frozen=True)
class Run:
    """The path of one optimizer from one start; `steps` is when it was first near its end for good, at a minimum.

    `minimum` is the known one that it reached. JSON has `path` and `values` with --verbose.
    """

    optimizer: RacingOptimizer
    lr: float
    points: tuple[Point, ...] = field(metadata=HIDDEN)
    heights: tuple[float, ...] = field(metadata=HIDDEN)
    start: Point
    end: Point
    value: float
    kind: EndPoint = field(metadata=named("reached"))
    minimum: Point | None
    steps: int | None
    path: tuple[Point, ...] | None = field(metadata=OPTIONAL)
    values: tuple[float, ...] | None = field(metadata=OPTIONAL)


@dataclass(frozen=True)
class DescendResult(Animated):
    """The runs on a surface, optimizer by optimizer; `best` is the position of the run that reached the lowest minimum.

    `minima` are the known ones of the surface.
    """

    config: DescendConfig = field(metadata=HIDDEN)
    surface: Surface = field(metadata=through(attrgetter("name")))
    formula: str
    minima: tuple[Point, ...]
    runs: tuple[Run, ...]
    best: int | None

    def table(self) -> Iterator[Table | str]:
        """A row for each run, and the lowest minimum."""
        has_restarts = self.config.restarts is not None
        columns = ["optimizer", "lr", *(["start"] if has_restarts else []), "end", "value", "reached", "steps"]
        rows = [
            [
                run.optimizer, f"{run.lr:g}", *([_text(run.start)] if has_restarts else []), _text(run.end),
                number(run.value), run.kind, "-" if run.steps is None else str(run.steps),
            ]
            for run in self.runs[:_MOST_RUNS]
        ]  # fmt: skip
        yield Table(columns, rows, {"lr", "value", "steps"}, is_result=True)
        if len(self.runs) > _MOST_RUNS:
            yield f"… {len(self.runs) - _MOST_RUNS} more runs; --json has all"
        if self.best is None:
            yield "no run reached a minimum"
        else:
            best = self.runs[self.best]
            yield f"lowest minimum: {number(best.value)} at {_text(best.end)}, by {best.optimizer}"


def _text(point: Point) -> str:
    return ", ".join(f"{value:.3g}" for value in point)


def descend(config: DescendConfig) -> DescendResult:
    """Run every optimizer from every start. Raises InputError for a surface without a value at a start."""
    surface = config.chosen_surface
    starts = _starts(config, surface)
    is_finite = torch.isfinite(evaluate(surface.formula, starts)).all()
    require(is_finite, "--start", f"{surface.formula.text} has no finite value there", "choose another --start")
    rates = config.lr or tuple(_DEFAULT_LR.get(name, surface.lr) for name in config.optimizer)
    rates = rates * (len(config.optimizer) if len(rates) == 1 else 1)
    runs = [
        run
        for name, lr in zip(config.optimizer, rates, strict=True)
        for run in _runs(name, lr, starts, surface, config)  # type: ignore[arg-type]  # validated by the config
    ]
    reached = [i for i, run in enumerate(runs) if run.kind == "minimum"]
    best = min(reached, key=lambda i: runs[i].value, default=None)
    result = DescendResult(config, surface, surface.formula.text, surface.minima, tuple(runs), best)
    return drawn(result, "descend_plot")


def evaluate(formula: Formula, points: Tensor) -> Tensor:
    """The values (N,) of a formula at points (N, D)."""
    values = {name: points[:, i] for i, name in enumerate(formula.variables)}
    result: Tensor = formula.evaluate(torch, values)
    return result.expand(len(points))


def _starts(config: DescendConfig, surface: Surface) -> Tensor:
    """The starting points (N, D)."""
    if config.restarts is None:
        return torch.tensor([config.start or surface.start], dtype=torch.float64)
    generator = torch.Generator().manual_seed(config.seed)
    bounds = torch.tensor(surface.bounds, dtype=torch.float64)
    low, high = bounds[:, 0], bounds[:, 1]
    return low + (high - low) * torch.rand(config.restarts, len(low), generator=generator, dtype=torch.float64)


def _optimizer(name: RacingOptimizer, points: Tensor, lr: float, momentum: float) -> torch.optim.Optimizer:
    if name in {"sgd", "momentum", "nesterov"}:
        return torch.optim.SGD([points], lr, momentum=0 if name == "sgd" else momentum, nesterov=name == "nesterov")
    names = {"adagrad": "Adagrad", "adadelta": "Adadelta", "rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW"}
    optimizer: torch.optim.Optimizer = getattr(torch.optim, names[name])([points], lr)
    return optimizer


def _runs(name: RacingOptimizer, lr: float, starts: Tensor, surface: Surface, config: DescendConfig) -> list[Run]:
    """The paths from all starts at once: these optimizers treat each coordinate on its own."""
    points = starts.clone().requires_grad_()
    optimizer = _optimizer(name, points, lr, _MOMENTUM if config.momentum is None else config.momentum)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, config.decay)
    path = [starts]
    for _ in range(config.steps):
        optimizer.zero_grad()
        evaluate(surface.formula, points).sum().backward()
        optimizer.step()
        schedule.step()
        path.append(points.detach().clone())
    paths = torch.stack(path)  # (steps + 1, N, D)
    values = torch.stack([evaluate(surface.formula, step) for step in path])
    return [
        _run(name, lr, [tuple(point) for point in paths[:, i].tolist()], values[:, i].tolist(), surface, config)
        for i in range(len(starts))
    ]


def _run(
    name: RacingOptimizer, lr: float, path: list[Point], values: list[float], surface: Surface, config: DescendConfig
) -> Run:
    """A path up to where it leaves the region or has no finite value, and what it reached."""
    kind: EndPoint | None = None
    for step, (point, value) in enumerate(zip(path, values, strict=True)):
        if is_diverged := not all(map(isfinite, (*point, value))):
            kind = "diverged"
        elif _is_outside(point, surface):
            kind = "left the region"
        if kind:
            path, values = path[: step + 1 - is_diverged], values[: step + 1 - is_diverged]
            break
    near, minimum, steps = _NEAR * _diagonal(surface), None, None
    if kind is None:
        minimum = next((known for known in surface.minima if dist(known, path[-1]) <= near), None)
        kind = "minimum" if minimum is not None else _kind(path[-1], surface)
    if kind == "minimum":
        target = minimum or path[-1]
        steps = next(i + 1 for i in reversed(range(-1, len(path))) if i < 0 or dist(path[i], target) > near)
    points, heights = tuple(path), tuple(values)
    return Run(
        name, lr, points, heights, points[0], points[-1], heights[-1], kind, minimum, steps,
        *((points, heights) if config.verbose else (None, None)),
    )  # fmt: skip


def _is_outside(point: Point, surface: Surface) -> bool:
    return any(
        abs(value - (low + high) / 2) > _LEFT * (high - low)
        for value, (low, high) in zip(point, surface.bounds, strict=True)
    )


def _diagonal(surface: Surface) -> float:
    return dist(*zip(*surface.bounds, strict=True))


def _kind(point: Point, surface: Surface) -> EndPoint:
    """What is at a point, if Newton's method finds a point without slope nearby; else the run is still moving."""
    at = torch.tensor(point, dtype=torch.float64, requires_grad=True)

    def height(x: Tensor) -> Tensor:
        return evaluate(surface.formula, x[None])[0]

    (gradient,) = torch.autograd.grad(height(at), at)
    hessian = torch.autograd.functional.hessian(height, at.detach())
    if not bool(torch.isfinite(hessian).all() and torch.isfinite(gradient).all()):
        return "still moving"
    eigenvalues, directions = torch.linalg.eigh(hessian)
    if float(eigenvalues.abs().min()) <= _FLAT:
        return "still moving" if float(gradient.norm()) > _FLAT else "flat"
    newton_step = directions @ ((directions.T @ gradient) / eigenvalues)
    if float(newton_step.norm()) > _NEAR * _diagonal(surface):
        return "still moving"
    if float(eigenvalues.min()) > 0:
        return "minimum"
    return "maximum" if float(eigenvalues.max()) < 0 else "saddle point"
