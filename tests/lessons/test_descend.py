"""`dlnotes descend`: hand arithmetic, derivatives and minima, formulas that must not be evaluated, invalid input."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command
from drawn import pixels
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.api import DescendConfig, descend
from dlnotes_cli.lessons.descend import evaluate
from dlnotes_cli.lessons.options import OPTIMIZERS
from dlnotes_cli.lessons.surfaces import FUNCTIONS, SURFACES, parse_formula
from dlnotes_cli.plots.figure import COLORS, gif, new_figure
from dlnotes_cli.shell.errors import InputError


def gradient(text: str, point: tuple[float, ...]) -> torch.Tensor:
    x = torch.tensor([point], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(evaluate(parse_formula(text, "x"), x).sum(), x)
    return slope[0]


# Formulas

EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", "pi", "e", "2", "0.5", "1e-3"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(FUNCTIONS), inner).map(lambda t: f"{t[0]}({t[1]})"),
        inner.map(lambda text: f"-{text}"),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS, st.floats(-2, 2), st.floats(-2, 2))
def test_formulas_agree_with_numpy(text: str, x: float, y: float) -> None:
    names: dict[str, Any] = {name: getattr(np, name) for name in FUNCTIONS}
    names |= {"x": np.float64(x), "y": np.float64(y), "pi": math.pi, "e": math.e, "__builtins__": {}}
    if "x" not in text.replace("exp", "") and "y" not in text:
        with pytest.raises(InputError, match="constant"):
            parse_formula(text, "--surface")
        return
    with np.errstate(all="ignore"):
        try:
            expected = eval(text, names)  # noqa: S307  # the oracle: an expression that this test has drawn
        except (ZeroDivisionError, OverflowError):
            return
    formula = parse_formula(text, "--surface")
    point = torch.tensor([[x, y][: len(formula.variables)]], dtype=torch.float64)
    value = evaluate(formula, point).item()
    if not isinstance(expected, complex):  # a negative constant to a fraction, which is nan in torch
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("text", ["(" * 300 + "x" + ")" * 300, "x" + "+x" * 400, "x\0", "9" * 400 + "*x"])
def test_hostile_texts_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"\A[^\n]*\Z"):
        parse_formula(text, "--surface")
    assert parse_formula(f"{'-' * 400}x**2", "--surface").variables == ("x",)


# Surfaces


@pytest.mark.parametrize("name", SURFACES)
def test_the_minima_of_a_surface_are_minima(name: str) -> None:
    surface = SURFACES[name]
    for minimum in surface.minima:
        assert gradient(surface.formula.text, minimum).norm() < 1e-3
        at = torch.tensor(minimum, dtype=torch.float64)
        hessian = torch.autograd.functional.hessian(lambda x: evaluate(surface.formula, x[None])[0], at)
        assert torch.linalg.eigvalsh(hessian).min() > 0


def test_all_minima_of_the_hills_are_known() -> None:
    surface = SURFACES["hills"]
    x = np.linspace(-5, 5, 100_001)
    y = 0.1 * x**2 + np.sin(3 * x)
    lowest = x[1:-1][(y[1:-1] < y[:-2]) & (y[1:-1] < y[2:])]
    np.testing.assert_allclose(sorted(lowest), [minimum[0] for minimum in surface.minima], atol=1e-3)


# Optimizers


def test_gradient_descent_and_momentum_by_hand() -> None:
    """On x**2 with lr 0.1: x - 0.2 x, and with momentum 0.5: v = 0.5 v + 2 x, x - 0.1 v."""
    result = descend(
        DescendConfig(
            surface="x**2", start=(1.0,), optimizer=("sgd", "momentum", "nesterov"), lr=(0.1,), momentum=0.5, steps=2
        )
    )
    sgd, momentum, nesterov = ([point[0] for point in run.points] for run in result.runs)
    assert sgd == pytest.approx([1, 0.8, 0.64])
    assert momentum == pytest.approx([1, 0.8, 0.54])  # v = 2, then 0.5 * 2 + 1.6
    assert nesterov == pytest.approx([1, 0.7, 0.44])  # by 2 x + 0.5 v: 2 + 0.5 * 2, then 1.4 + 0.5 * 2.4


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restarts_at_once_are_single_runs(name: str) -> None:
    together = descend(DescendConfig(surface="himmelblau", optimizer=(name,), restarts=4, steps=20, seed=3))
    for run in together.runs:
        alone = descend(DescendConfig(surface="himmelblau", optimizer=(name,), start=run.points[0], steps=20))
        np.testing.assert_allclose(alone.runs[0].points, run.points, rtol=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_reaches_the_bottom_of_a_bowl(name: str) -> None:
    run = descend(DescendConfig(surface="bowl", optimizer=(name,))).runs[0]
    assert (run.kind, run.minimum) == ("minimum", (0.0, 0.0))
    assert run.steps is not None
    near = 0.01 * math.dist((-5, -5), (5, 5))
    assert all(math.hypot(*point) <= near for point in run.points[run.steps :])
    assert run.steps == 0 or math.hypot(*run.points[run.steps - 1]) > near


def test_decay_multiplies_the_learning_rate() -> None:
    run = descend(DescendConfig(surface="x", start=(0.0,), optimizer=("sgd",), lr=(1.0,), decay=0.5, steps=3)).runs[0]
    assert [point[0] for point in run.points] == [0, -1, -1.5, -1.75]


# Output


def test_json_has_paths_with_verbose_only(dlnotes: Command) -> None:
    words = ("descend", "--surface", "hills", "--restarts", 5, "--optimizer", "sgd", "--steps", 50, "--json")
    document, verbose = (json.loads(dlnotes(*words, *more).out) for more in ((), ("-v",)))
    lowest = min((run for run in document["runs"] if run["reached"] == "minimum"), key=lambda run: run["value"])
    assert document["runs"][document["best"]] == lowest
    assert [len(run["path"]) for run in verbose["runs"]] == [51] * 5
    assert verbose["runs"][0]["path"][-1] == document["runs"][0]["end"]


@pytest.mark.parametrize("name", ["bowl", "ravine", "hills", "beale", "himmelblau"])
def test_some_default_optimizer_reaches_a_minimum(name: str) -> None:
    result = descend(DescendConfig(surface=name))
    assert result.best is not None
    assert result.runs[result.best].minimum in SURFACES[name].minima


def test_an_animation_keeps_the_color_of_every_line() -> None:
    figure = new_figure(4.0, 3.0)
    axes = figure.add_subplot()
    axes.imshow(np.linspace(0, 1, 256)[None], cmap="Greys", aspect="auto", extent=(0, 1, 0, len(COLORS)))
    for i, color in enumerate(COLORS):
        axes.plot([0, 1], [i + 0.5] * 2, color=color, linewidth=4)
    shown = pixels(gif([figure], 0.1)).reshape(-1, 3).astype(int)
    for color in COLORS:
        assert np.abs(shown - list(bytes.fromhex(color[1:]))).sum(1).min() <= 3, color
