"""`series train`, `forecast` and `backtest` through the command line, on short series."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import Command

from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.series.train import train_series
from dlnotes_cli.training.model_file import load_series_model
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")

HOURS = [f"2024-01-{1 + i // 24:02d}T{i % 24:02d}:00" for i in range(24 * 10)]
NEXT = [f"2024-01-11T{i:02d}:00" for i in range(8)]
RNG = np.random.default_rng(0)
VALUES = (10 + 3 * np.sin(np.arange(len(HOURS)) * np.pi / 6) + RNG.normal(0, 0.3, len(HOURS))).round(4)
ROWS = [f"{hour},{value}" for hour, value in zip(HOURS, VALUES, strict=True)]
SMALL: Sequence[object] = ("--hidden", 8, "--window", 24, "--horizon", 6, "--threads", 1)


def write(path: Path, rows: Iterable[str] = ROWS, header: str = "hour,load") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def train(data: Path, out: Path, *more: object) -> list[object]:
    return ["series", "train", "--data", data, "--column", "load", "--time", "hour", *SMALL, "--out", out, *more]


def document(dlnotes: Command, *words: object) -> Any:
    outcome = dlnotes(*words, "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def values_of(dlnotes: Command, *words: object) -> np.ndarray:
    """The values that `series forecast` prints."""
    return np.array([one["value"] for one in document(dlnotes, "series", "forecast", *words)["forecasts"]])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, and a run that was trained on it, to read only."""
    from dlnotes_cli.cli import main

    home = tmp_path_factory.mktemp("series")
    assert main([str(word) for word in train(write(home / "load.csv"), home / "run", "--max-steps", 60, "-q")]) == 0
    return home


def test_training_compares_the_network_with_all_baselines_on_the_same_values(home: Path) -> None:
    from sklearn.linear_model import Ridge

    models = {entry["model"]: entry for entry in json.loads((home / "run" / "result.json").read_text())["models"]}
    assert list(models) == ["network", "last value", "seasonal naive", "drift", "linear autoregression"]
    train_rows, horizon, season = 192, 6, 12
    origins = np.arange(train_rows, len(VALUES) - horizon + 1)
    targets = VALUES[origins[:, None] + np.arange(horizon)]
    last = np.repeat(VALUES[origins - 1][:, None], horizon, axis=1)
    slope = (VALUES[origins - 1] - VALUES[0]) / (origins - 1)
    scaled = (VALUES - VALUES[:train_rows].mean()) / VALUES[:train_rows].std()
    windows = scaled[np.arange(train_rows - 30 + 1)[:, None] + np.arange(30)]
    ridge = Ridge(alpha=1.0).fit(windows[:, :24], windows[:, 24:])
    linear = ridge.predict(scaled[origins[:, None] + np.arange(-24, 0)]) * VALUES[:train_rows].std()
    expected = {
        "last value": last, "seasonal naive": VALUES[origins[:, None] - season + np.arange(horizon)],
        "drift": last + slope[:, None] * np.arange(1, horizon + 1),
        "linear autoregression": linear + VALUES[:train_rows].mean(),
    }  # fmt: skip
    scale = np.abs(VALUES[season:train_rows] - VALUES[: train_rows - season]).mean()
    for name, forecasts in expected.items():
        errors = np.abs(forecasts - targets)
        measured = [models[name][metric] for metric in ("mae", "rmse", "mase")]
        wanted = (errors.mean(), np.sqrt((errors**2).mean()), errors.mean() / scale)
        assert measured == pytest.approx(wanted, rel=1e-4), name


def test_validation_rows_do_not_change_what_is_trained(tmp_path: Path, dlnotes: Command) -> None:
    other = [*ROWS[:192], *(f"{hour},{1000 * i}" for i, hour in enumerate(HOURS[192:]))]
    stored = []
    for name, rows in (("one", ROWS), ("two", other)):
        data = write(tmp_path / f"{name}.csv", rows)
        assert dlnotes(*train(data, tmp_path / name, "--max-steps", 12, "--epochs", 1, "-q")).code == 0
        stored.append(read_tensors(tmp_path / name / "last.safetensors"))
    (one, first), (two, second) = stored
    assert first["format"] == second["format"]  # scales and season
    for name in one:
        if name.startswith(("network.", "optimizer.")) and "history" not in name:
            assert one[name].tolist() == two[name].tolist(), name


def test_a_forecast_needs_no_data_and_equals_that_from_the_data(
    home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, data = home / "run", home / "load.csv"
    stored = document(dlnotes, "series", "forecast", run)["forecasts"]
    assert [value["time"] for value in stored] == [f"{time}:00" for time in NEXT[:6]]
    values = [value["value"] for value in stored]
    np.testing.assert_allclose(values_of(dlnotes, run, "--data", data), values, rtol=1e-5)
    wider = document(dlnotes, "series", "forecast", run, "--interval", 0.95)["forecasts"]
    for one, wide in zip(stored, wider, strict=True):
        assert wide["low"] <= one["low"] < one["value"] < one["high"] <= wide["high"]
    plotted = dlnotes("series", "forecast", run, "--csv", tmp_path / "f.csv", "--plot", tmp_path / "f.png", "-q")
    assert plotted.out.splitlines() == [str(tmp_path / "f.csv"), str(tmp_path / "f.png")]
    assert "step" in dlnotes("series", "forecast", run, "-q").out
    middle = float(np.median(values))
    for one, clipped in zip(
        stored, document(dlnotes, "series", "forecast", run, "--min", middle)["forecasts"], strict=True
    ):
        assert all(clipped[name] == max(one[name], middle) for name in ("value", "low", "high"))
    content = dlnotes("series", "forecast", run, "--csv", "-").out
    assert content == (tmp_path / "f.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert list(rows[0]) == ["time", "step", "load", "low", "high"]
    np.testing.assert_allclose([float(row["load"]) for row in rows], values, rtol=1e-8)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.read_bytes()), encoding="utf-8"))
    np.testing.assert_allclose(values_of(dlnotes, run, "--data", "-"), values, rtol=1e-5)


def test_intervals_are_quantiles_of_the_errors_in_the_validation_rows(
    home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    forecasts = document(dlnotes, "series", "forecast", home / "run", "--interval", 0.5)["forecasts"]
    origins, errors = range(192, len(VALUES) - 6 + 1), []
    for origin in origins:
        data = write(tmp_path / "until.csv", ROWS[:origin])
        errors.append(VALUES[origin : origin + 6] - values_of(dlnotes, home / "run", "--data", data))
    ordered = np.sort(errors, axis=0)
    below = (len(ordered) + 1) // 4
    for step, one in enumerate(forecasts):
        ends = one["value"] + ordered[[below - 1, -below], step]
        assert (one["low"], one["high"]) == pytest.approx(ends, rel=1e-4)


def test_a_longer_horizon_continues_from_the_forecast_itself(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    long = values_of(dlnotes, home / "run", "--horizon", 8)
    note = "from step 7 on, the forecast continues from the network's own, 6 rows at a time"
    assert note in dlnotes("series", "forecast", home / "run", "--horizon", 8).err
    data = write(tmp_path / "more.csv", [*ROWS, *(f"{time},{long[i]}" for i, time in enumerate(NEXT[:6]))])
    np.testing.assert_allclose(values_of(dlnotes, home / "run", "--data", data)[:2], long[6:], rtol=1e-4)


def test_a_backtest_forecasts_each_fold_from_the_rows_before_it(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    words = ("series", "backtest", home / "run", "--folds", 3)
    result = document(dlnotes, *words, "--plot", tmp_path / "b.png")
    stops = [222, 228, 234]
    assert [fold["origin"] for fold in result["folds"]] == [f"{HOURS[stop]}:00" for stop in stops]
    squares = []
    for stop, fold in zip(stops, result["folds"], strict=True):
        data = write(tmp_path / "until.csv", ROWS[:stop])
        squares.append((values_of(dlnotes, home / "run", "--data", data) - VALUES[stop : stop + 6]) ** 2)
        assert fold["models"][0]["rmse"] == pytest.approx(np.sqrt(squares[-1].mean()), rel=1e-4)
    assert result["models"][0]["rmse"] == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)
    by_step = [step["models"][0]["rmse"] for step in result["steps"]]
    np.testing.assert_allclose(by_step, np.sqrt(np.mean(squares, axis=0)), rtol=1e-4)
    assert (tmp_path / "b.png").exists()
    assert document(dlnotes, *words, "--min", 100)["models"][0]["mae"] == pytest.approx(100 - VALUES[222:].mean())
    short = dlnotes(*words, "-q").out
    assert "RMSE at step" not in short
    assert "seasonal naive" in short


def test_a_backtest_refuses_rows_of_the_training(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    expected = "48 rows that the network was not trained on have room for 8 folds of 6 rows"
    assert dlnotes("series", "backtest", home / "run", "--folds", 8, "-q").code == 0
    later = write(tmp_path / "later.csv", ROWS[100:])  # recognized by their times
    for more in ((), ("--data", later)):
        assert expected in dlnotes("series", "backtest", home / "run", "--folds", 9, *more).err
    first = write(tmp_path / "first.csv", map(str, VALUES[:200]), "load")  # without times, by their values
    words = ["series", "train", "--data", first, "--column", "load", *SMALL, "--out", tmp_path / "run"]
    assert dlnotes(*words, "--max-steps", 2, "-q").code == 0
    for start, fresh in ((0, 80), (100, 80), (161, 79 - 24)):
        data = write(tmp_path / "longer.csv", map(str, VALUES[start:]), "load")  # the rows from 160 on are new
        error = dlnotes("series", "backtest", tmp_path / "run", "--data", data, "--folds", 20).err
        assert f"{fresh} rows that the network was not trained on have room for" in error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("forecast", "--horizon", 3, "--data", "{short}"), "7 rows, but a forecast reads 24; give more rows"),
        (("forecast", "--data", "{gap}"), "1 gap in column 'hour', after line 201"),
        (("forecast", "--data", "{gap}", "--fill", "skip"), "the last 24 rows have missing values; fill them"),
        (("forecast", "--data", "{days}"), "the step of column 'hour' is 1 d, but was 1 h in training"),
        (("forecast", "--data", "sine"), "the model was not trained on sine"),
        (("forecast", "--csv", "-", "--json"), "--json: cannot be combined with --csv -"),
        (("train", "--window", 500), "240 rows, of which 192 for .* --window 500 and --horizon 6 need 506; lower them"),
        (("train", "--season", 200), "--season: 200 rows, but 192 for training; use a shorter one"),
        (("train", "--recipe", "notes", "--mode", "direct"), "--recipe: cannot be combined with --mode direct"),
        (("train", "--mode", "free", "--inputs", "x"), "--inputs: has no effect with --mode free; drop --inputs"),
        (("train", "--inputs", "load"), "--inputs: column 'load' is also that of --column"),
        (("train", "--data", "sin"), "--data: unknown file or set 'sin'; did you mean 'sine'\\? name a CSV file, or"),
    ],
)
def test_faults(words: Sequence[object], message: str, home: Path, tmp_path: Path, dlnotes: Command) -> None:
    write(tmp_path / "short.csv", ROWS[:7])
    write(tmp_path / "gap.csv", [*ROWS[:200], *ROWS[210:220]])
    write(tmp_path / "days.csv", ["2024-02-01,1", "2024-02-02,1"])
    names = {name: str(tmp_path / f"{name}.csv") for name in ("short", "gap", "days")}
    command, *options = (str(word).format(**names) for word in words)
    if command == "train":
        data = () if "sin" in options else train(home / "load.csv", tmp_path / "run")[2:]
        outcome = dlnotes("series", command, *data, *options)
    else:
        outcome = dlnotes("series", command, home / "run", *options)
    assert outcome.code == 2
    assert re.search(message, outcome.err), outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_groups_share_a_network_and_keep_their_scales(tmp_path: Path, dlnotes: Command) -> None:
    counts, scales = {"small": len(HOURS), "large": 60}, {"small": 1, "large": 1000}
    rows = [
        f"{HOURS[i]},{scales[name] * VALUES[i]:.4f},{name},{i % 3}"
        for name, count in counts.items()
        for i in range(len(HOURS) - count, len(HOURS))
    ]
    data, run = write(tmp_path / "areas.csv", rows, "hour,load,area,warm"), tmp_path / "run"
    more = ("--group", "area", "--inputs", "warm", "--calendar", "--max-steps", 40, "--window", 0)
    outcome = dlnotes(*train(data, run, *more))
    assert outcome.code == 0, outcome.err
    assert "of the shortest series, 'large' of 60 rows; without it they would be up to 24 and 6" in outcome.err
    small, large = values_of(dlnotes, run).reshape(2, -1)
    assert np.abs(large / 1000 / small - 1).max() < 0.1
    write(data, (row.replace("small", "tiny") for row in rows), "hour,load,area,warm")
    assert "unknown group 'tiny'" in dlnotes("series", "forecast", run, "--data", data).err
    error = dlnotes("series", "forecast", run, "--horizon", 7).err
    assert "--horizon: 7 rows are more than the 6 that the network forecasts at once, and its inputs (warm)" in error


def test_known_inputs_are_needed_for_the_rows_to_forecast_and_change_the_forecast(
    tmp_path: Path, dlnotes: Command
) -> None:
    events = RNG.integers(0, 2, len(HOURS))
    rows = [f"{hour},{VALUES[i] + 5 * events[i]:.4f},{events[i]}" for i, hour in enumerate(HOURS)]
    data, run = write(tmp_path / "events.csv", rows, "hour,load,event"), tmp_path / "run"
    assert dlnotes(*train(data, run, "--known-inputs", "event", "--max-steps", 150, "-q")).code == 0
    error = dlnotes("series", "forecast", run).err
    assert "event must be known for the 6 rows to forecast; pass --data with these rows" in error
    means = []
    for event in (0, 1):
        write(data, [*rows, *(f"{time},,{event}" for time in NEXT[:6])], "hour,load,event")
        means.append(values_of(dlnotes, run, "--data", data).mean())
    assert means[1] - means[0] == pytest.approx(5, abs=1.5)


@pytest.mark.parametrize(
    ("values", "note", "has_baseline_error"),
    [
        (np.full(80, 5), "MASE is undefined: 'load' never changes in the training rows", False),
        (RNG.normal(size=80) * 1e-310, "", None),  # no 32-bit floating point has such values
        (101325 + 0.01 * VALUES, "", True),
    ],
    ids=["constant", "subnormal", "small changes"],
)
def test_series_with_small_changes_are_measured(
    values: np.ndarray, note: str, has_baseline_error: bool | None, tmp_path: Path, dlnotes: Command
) -> None:
    data = write(tmp_path / "f.csv", (f"{hour},{value}" for hour, value in zip(HOURS, values, strict=False)))
    outcome = dlnotes(*train(data, tmp_path / "run", "--max-steps", 2, "--json"))
    assert outcome.code == 0, outcome.err
    assert note in outcome.err
    result = json.loads(outcome.out)
    models = {entry["model"]: entry for entry in result["models"]}
    if has_baseline_error is not None:
        assert (result["improvement"] is not None) == has_baseline_error
        assert ({entry["mase"] for entry in models.values()} == {None}) == (not has_baseline_error)
    if has_baseline_error:
        scale = np.abs(values[12:192] - values[:180]).mean()
        assert models["seasonal naive"]["mase"] == pytest.approx(models["seasonal naive"]["mae"] / scale, rel=1e-3)


def test_a_damaged_model_file_is_refused(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    tensors, metadata = read_tensors(home / "run" / "model.safetensors")
    broken: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"season": 0}, {}), ({"cycles": ["moon"]}, {}), ({"groups": []}, {}), ({"extra": 1}, {}),
        ({}, {"history": [7]}), ({}, {"channels": 2}),
    ]  # fmt: skip
    for stored, changes in broken:
        content = {"format": metadata["format"] | stored, "configuration": metadata["configuration"] | changes}
        write_tensors(tmp_path / "model.safetensors", tensors, metadata | content)
        outcome = dlnotes("series", "forecast", tmp_path / "model.safetensors")
        assert (outcome.code, len(outcome.err.splitlines())) == (2, 1), (stored, changes)
    assert load_series_model(home / "run").preprocessing.season == 12
    assert "holds a model of kind series_rnn" in dlnotes("evaluate", home / "run").err


def test_the_recipe_of_the_course_trains_75_windows_and_reaches_its_loss(tmp_path: Path) -> None:
    result = train_series(SeriesTrainConfig(recipe="notes", out=tmp_path / "run", threads=1, quiet=True))
    assert (result.model.parameters, result.steps) == (1153, 75)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history] == [15, 30, 45, 60, 75]
    assert all(entry["train"]["loss"] < 0.001 for entry in history[3:])  # the mean of the steps 46 to 60, and 61 to 75
    assert (result.best_baseline, result.improvement) == ("seasonal naive", None)  # the sine repeats exactly


@pytest.mark.slow
def test_the_network_is_near_the_noise_floor_of_the_generated_set(tmp_path: Path) -> None:
    result = train_series(SeriesTrainConfig(data="trend-season", out=tmp_path / "run", quiet=True))
    rmse = {entry.model: entry.rmse for entry in result.models}
    assert rmse["network"] < min(0.8 * rmse["seasonal naive"], 1.05 * rmse["noise floor"])
    assert result.coverage is not None
    assert result.coverage.coverage == pytest.approx(0.8, abs=0.05)
