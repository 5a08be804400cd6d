"""`series train`, `forecast` and `backtest` through the command line, on short series."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from builders import Command, assert_same_run, stopped_after

from dlnotes_cli.series.options import SeriesTrainConfig
from dlnotes_cli.series.train import train_series
from dlnotes_cli.training.model_file import load_series_model
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")

HOURS = [f"2024-01-{1 + i // 24:02d}T{i % 24:02d}:00" for i in range(24 * 10)]
RNG = np.random.default_rng(0)
VALUES = 10 + 3 * np.sin(np.arange(len(HOURS)) * np.pi / 6) + RNG.normal(0, 0.3, len(HOURS))
SMALL: Sequence[object] = ("--hidden", 8, "--window", 24, "--horizon", 6, "--threads", 1)


def write_table(path: Path, rows: "slice | range" = slice(None), extra: str = "") -> Path:
    lines = [f"{hour},{value:.4f}" for hour, value in zip(HOURS, VALUES, strict=True)]
    chosen = lines[rows] if isinstance(rows, slice) else [lines[i] for i in rows]
    path.write_text("\n".join(["hour,load", *chosen]) + "\n" + extra)
    return path


def train(data: Path, out: Path, *more: object) -> list[object]:
    return ["series", "train", "--data", data, "--column", "load", "--time", "hour", *SMALL, "--out", out, *more]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, and a run that was trained on it, to read only."""
    from dlnotes_cli.cli import main

    home = tmp_path_factory.mktemp("series")
    table = write_table(home / "load.csv")
    assert main([str(word) for word in train(table, home / "run", "--max-steps", 60, "-q")]) == 0
    return home


def result_of(run: Path) -> dict[str, object]:
    result: dict[str, object] = json.loads((run / "result.json").read_text())
    return result


def test_training_compares_the_network_with_all_baselines_on_the_same_values(home: Path) -> None:
    result = result_of(home / "run")
    models = {entry["model"]: entry for entry in result["models"]}  # type: ignore[attr-defined]
    assert list(models) == ["network", "last value", "seasonal naive", "drift", "linear autoregression"]
    train_rows, horizon, season = 192, 6, 12
    origins = np.arange(train_rows, len(VALUES) - horizon + 1)
    values = VALUES.round(4)
    targets = values[origins[:, None] + np.arange(horizon)]
    last = np.repeat(values[origins - 1][:, None], horizon, axis=1)
    seasonal = values[origins[:, None] - season + np.arange(horizon)]
    slope = (values[origins - 1] - values[0]) / (origins - 1)
    drift = last + slope[:, None] * np.arange(1, horizon + 1)
    scale = np.abs(values[season:train_rows] - values[: train_rows - season]).mean()
    for name, forecasts in (("last value", last), ("seasonal naive", seasonal), ("drift", drift)):
        errors = np.abs(forecasts - targets)
        assert models[name]["mae"] == pytest.approx(errors.mean(), rel=1e-5), name
        assert models[name]["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5), name
        assert models[name]["mase"] == pytest.approx(errors.mean() / scale, rel=1e-5), name


def test_the_linear_baseline_is_ridge_regression_on_the_window(home: Path) -> None:
    from sklearn.linear_model import Ridge

    mean, deviation = VALUES[:192].round(4).mean(), VALUES[:192].round(4).std()
    scaled = (VALUES.round(4) - mean) / deviation
    starts = np.arange(192 - 30 + 1)
    windows = scaled[starts[:, None] + np.arange(30)]
    ridge = Ridge(alpha=1.0).fit(windows[:, :24], windows[:, 24:])
    network = load_series_model(home / "run").network
    np.testing.assert_allclose(network.linear_weight.numpy(), ridge.coef_, atol=1e-5)
    np.testing.assert_allclose(network.linear_bias.numpy(), ridge.intercept_, atol=1e-5)


def test_validation_rows_do_not_change_what_is_trained(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    lines = (home / "load.csv").read_text().splitlines()
    other = [*lines[:193], *(f"{line.split(',')[0]},{1000 * i}" for i, line in enumerate(lines[193:]))]
    (tmp_path / "other.csv").write_text("\n".join(other) + "\n")
    options = ["--max-steps", 12, "--epochs", 1, "-q"]
    runs = [tmp_path / "one", tmp_path / "two"]
    for data, run in zip((home / "load.csv", tmp_path / "other.csv"), runs, strict=True):
        assert dlnotes(*train(data, run, *options)).code == 0
    (one, first), (two, second) = (read_tensors(run / "last.safetensors") for run in runs)
    assert first["format"]["groups"] == second["format"]["groups"]  # scales and season
    assert first["format"]["season"] == second["format"]["season"]
    for name in one:
        if name.startswith(("network.", "optimizer.")) and "history" not in name:
            assert one[name].tolist() == two[name].tolist(), name


@pytest.mark.parametrize("options", [(), ("--recipe", "notes", "--window", 10), ("--mode", "free", "--dropout", 0.3)])
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(
    options: tuple[object, ...], home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    words = train(home / "load.csv", tmp_path / "whole", *options, "--max-steps", 9)
    assert dlnotes(*words).code == 0
    words = train(home / "load.csv", tmp_path / "run", *options, "--max-steps", 9)
    with stopped_after(4):
        assert dlnotes(*words).code == 143
    assert dlnotes("series", "train", "--resume", tmp_path / "run").code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    assert dlnotes("series", "train", "--resume", tmp_path / "run", "--json").code == 0  # finished


def test_a_forecast_needs_no_data_and_equals_that_from_the_data(home: Path, dlnotes: Command) -> None:
    outcome = dlnotes("series", "forecast", home / "run", "--json")
    stored = json.loads(outcome.out)
    assert [value["time"] for value in stored["forecasts"]] == [f"2024-01-11T0{i}:00:00" for i in range(6)]
    newer = json.loads(dlnotes("series", "forecast", home / "run", "--data", home / "load.csv", "--json").out)
    for one, other in zip(stored["forecasts"], newer["forecasts"], strict=True):
        assert one["value"] == pytest.approx(other["value"], rel=1e-5)
        assert one["low"] < one["value"] < one["high"]
    wider = json.loads(dlnotes("series", "forecast", home / "run", "--interval", 0.95, "--json").out)
    assert all(
        w["low"] <= n["low"] and w["high"] >= n["high"]
        for w, n in zip(wider["forecasts"], stored["forecasts"], strict=True)
    )


def test_a_longer_horizon_continues_from_the_forecast_itself(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes("series", "forecast", home / "run", "--horizon", 8, "--json")
    long = json.loads(outcome.out)["forecasts"]
    assert "from step 7 on, the forecast continues from the network's own, 6 rows at a time" in outcome.err
    extra = "".join(f"2024-01-11T0{i}:00,{long[i]['value']}\n" for i in range(6))
    data = write_table(tmp_path / "more.csv", extra=extra)
    after = json.loads(dlnotes("series", "forecast", home / "run", "--data", data, "--json").out)["forecasts"]
    assert after[0]["time"] == long[6]["time"]
    assert [value["value"] for value in after[:2]] == pytest.approx([value["value"] for value in long[6:]], rel=1e-4)


def test_forecasts_as_csv_and_plot(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes("series", "forecast", home / "run", "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert list(rows[0]) == ["time", "step", "load", "low", "high"]
    outcome = dlnotes("series", "forecast", home / "run", "--csv", tmp_path / "f.csv", "--plot", tmp_path / "f.png")
    assert outcome.out.splitlines() == [str(tmp_path / "f.csv"), str(tmp_path / "f.png")]
    assert list(csv.DictReader(io.StringIO((tmp_path / "f.csv").read_text()))) == rows
    assert dlnotes("series", "forecast", home / "run", "--csv", tmp_path / "f.csv").code == 2


def test_data_can_come_from_standard_input(home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO((home / "load.csv").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content, encoding="utf-8"))
    piped = dlnotes("series", "forecast", home / "run", "--data", "-", "--csv", "-")
    assert piped.code == 0, piped.err
    assert piped.out == dlnotes("series", "forecast", home / "run", "--data", home / "load.csv", "--csv", "-").out


def test_a_backtest_forecasts_each_fold_from_the_rows_before_it(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes("series", "backtest", home / "run", "--folds", 3, "--json", "--plot", tmp_path / "b.png")
    result = json.loads(outcome.out)
    assert [fold["origin"] for fold in result["folds"]] == [
        "2024-01-10T06:00:00",
        "2024-01-10T12:00:00",
        "2024-01-10T18:00:00",
    ]
    squares = 0.0
    for index, fold in enumerate(result["folds"]):
        stop = len(HOURS) - (3 - index) * 6
        data = write_table(tmp_path / "until.csv", slice(stop))
        forecasts = json.loads(dlnotes("series", "forecast", home / "run", "--data", data, "--json").out)["forecasts"]
        errors = np.array([value["value"] for value in forecasts]) - VALUES[stop : stop + 6].round(4)
        assert fold["models"][0]["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
        squares += float((errors**2).mean()) / 3
    assert result["models"][0]["rmse"] == pytest.approx(np.sqrt(squares), rel=1e-4)
    by_step = [step["models"][0]["rmse"] ** 2 for step in result["steps"]]
    assert np.mean(by_step) == pytest.approx(squares, rel=1e-4)
    assert (tmp_path / "b.png").exists()


def test_a_backtest_refuses_rows_of_the_training(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    expected = "48 rows that the network was not trained on have room for 8 folds of 6 rows"
    assert dlnotes("series", "backtest", home / "run", "--folds", 8, "-q").code == 0
    assert expected in dlnotes("series", "backtest", home / "run", "--folds", 9).err
    data = write_table(tmp_path / "later.csv", slice(100, None))  # recognized by their times
    assert expected in dlnotes("series", "backtest", home / "run", "--data", data, "--folds", 9).err


def test_a_backtest_refuses_rows_of_the_training_without_times(tmp_path: Path, dlnotes: Command) -> None:
    def untimed(name: str, rows: slice) -> Path:
        path = tmp_path / name
        path.write_text("\n".join(["load", *(f"{value:.4f}" for value in VALUES[rows])]) + "\n")
        return path

    options = ["series", "train", "--data", untimed("first.csv", slice(200)), "--column", "load", *SMALL]
    assert dlnotes(*options, "--out", tmp_path / "run", "--max-steps", 2, "-q").code == 0
    for rows, fresh in ((slice(None), 80), (slice(100, None), 80), (slice(161, None), 79 - 24)):
        data = untimed("longer.csv", rows)  # the rows from 160 on are new
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
        (("forecast", "--plot", "{short}"), "--plot: .*png"),
        (("backtest", "--folds", 0), "--folds: 0 is out of range"),
    ],
)
def test_faults_of_forecasts(
    words: Sequence[object], message: str, home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    import re

    write_table(tmp_path / "short.csv", slice(7))
    write_table(tmp_path / "gap.csv", [*range(200), *range(210, 220)])  # type: ignore[arg-type]  # rows to write
    (tmp_path / "days.csv").write_text("hour,load\n2024-02-01,1\n2024-02-02,1\n")
    names = {name: str(tmp_path / f"{name}.csv") for name in ("short", "gap", "days")}
    command, *options = (str(word).format(**names) for word in words)
    outcome = dlnotes("series", command, home / "run", *options)
    assert outcome.code == 2
    assert re.search(message, outcome.err), outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_groups_share_a_network_and_keep_their_scales(tmp_path: Path, dlnotes: Command) -> None:
    rows = ["hour,load,area,warm"]
    for name, scale in (("small", 1.0), ("large", 1000.0)):
        rows += [
            f"{hour},{scale * value:.4f},{name},{i % 3}"
            for i, (hour, value) in enumerate(zip(HOURS, VALUES, strict=True))
        ]
    data = tmp_path / "areas.csv"
    data.write_text("\n".join(rows) + "\n")
    more = ("--group", "area", "--inputs", "warm", "--calendar", "--max-steps", 40, "-q", "--json")
    outcome = dlnotes(*train(data, tmp_path / "run", *more))
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["data"]["groups"] == 2
    forecasts = json.loads(dlnotes("series", "forecast", tmp_path / "run", "--json").out)["forecasts"]
    small, large = ([one["value"] for one in forecasts if one["group"] == name] for name in ("small", "large"))
    assert np.array(large) == pytest.approx(1000 * np.array(small), rel=1e-3)
    data.write_text("\n".join(line.replace("small", "tiny") for line in rows) + "\n")
    assert "unknown group 'tiny'" in dlnotes("series", "forecast", tmp_path / "run", "--data", data).err
    longer = dlnotes("series", "forecast", tmp_path / "run", "--horizon", 7)
    assert (
        "--horizon: 7 rows are more than the 6 that the network forecasts at once, and its inputs (warm)" in longer.err
    )


def test_known_inputs_are_needed_for_the_rows_to_forecast_and_change_the_forecast(
    tmp_path: Path, dlnotes: Command
) -> None:
    events = RNG.integers(0, 2, len(HOURS) + 6)
    rows = [
        f"{hour},{value + 5 * event:.4f},{event}" for hour, value, event in zip(HOURS, VALUES, events[:-6], strict=True)
    ]
    data = tmp_path / "events.csv"
    data.write_text("\n".join(["hour,load,event", *rows]) + "\n")
    assert dlnotes(*train(data, tmp_path / "run", "--known-inputs", "event", "--max-steps", 150, "-q")).code == 0
    missing = dlnotes("series", "forecast", tmp_path / "run")
    assert missing.code == 2
    assert "event must be known for the 6 rows to forecast; pass --data with these rows" in missing.err
    values = {}
    for event in (0, 1):
        future = [f"2024-01-11T0{i}:00,,{event}" for i in range(6)]
        data.write_text("\n".join(["hour,load,event", *rows, *future]) + "\n")
        outcome = dlnotes("series", "forecast", tmp_path / "run", "--data", data, "--json")
        assert outcome.code == 0, outcome.err
        values[event] = np.array([one["value"] for one in json.loads(outcome.out)["forecasts"]])
    assert (values[1] - values[0]).mean() == pytest.approx(5, abs=1.5)


def test_a_short_series_that_shortens_window_and_horizon_is_named(tmp_path: Path, dlnotes: Command) -> None:
    data = tmp_path / "groups.csv"
    rows = [f"{i},{group},{VALUES[i]:.4f}" for group, count in (("a", 100), ("b", 40)) for i in range(count)]
    data.write_text("\n".join(["t,shop,load", *rows]) + "\n")
    options = ("--column", "load", "--time", "t", "--group", "shop", "--max-steps", 2, "--out", tmp_path / "run")
    outcome = dlnotes("series", "train", "--data", data, *options)
    assert outcome.code == 0, outcome.err
    assert (
        "window and horizon are those of the shortest series, 'b' of 40 rows; without it they would be up to 24 and 12"
        in outcome.err
    )


def test_a_misspelled_set_is_recognized(dlnotes: Command) -> None:
    outcome = dlnotes("series", "train", "--data", "sin")
    assert outcome.code == 2
    assert (
        "--data: unknown file or set 'sin'; did you mean 'sine'? name a CSV file, or sine or trend-season"
        in outcome.err
    )


def test_mase_of_a_constant_series_is_undefined_and_said_to_be(tmp_path: Path, dlnotes: Command) -> None:
    data = tmp_path / "constant.csv"
    data.write_text("\n".join(["hour,load", *(f"{hour},5" for hour in HOURS[:80])]) + "\n")
    outcome = dlnotes(*train(data, tmp_path / "run", "--max-steps", 2, "--json"))
    assert outcome.code == 0, outcome.err
    assert "MASE is undefined: 'load' never changes in the training rows" in outcome.err
    result = json.loads(outcome.out)
    assert {entry["mase"] for entry in result["models"]} == {None}
    assert result["improvement"] is None


def test_small_changes_of_large_values_are_measured(tmp_path: Path, dlnotes: Command) -> None:
    data = tmp_path / "pressure.csv"
    rows = [f"{hour},{101325 + 0.01 * value:.6f}" for hour, value in zip(HOURS, VALUES, strict=True)]
    data.write_text("\n".join(["hour,load", *rows]) + "\n")
    outcome = dlnotes(*train(data, tmp_path / "run", "--max-steps", 2, "--json"))
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    errors = np.abs(np.diff((VALUES[:192] * 0.01).reshape(-1, 12), axis=0)).mean()
    measured = {entry["model"]: entry for entry in result["models"]}["seasonal naive"]
    assert measured["mase"] == pytest.approx(measured["mae"] / errors, rel=1e-3)
    assert result["improvement"] is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--window", 500),
            "240 rows, of which 192 for training, but --window 500 and --horizon 6 need 506; lower them",
        ),
        (("--season", 200), "--season: 200 rows, but 192 for training; use a shorter one"),
        (
            ("--recipe", "notes", "--mode", "direct"),
            "--recipe: cannot be combined with --mode direct; drop one of them",
        ),
        (("--mode", "free", "--inputs", "x"), "--inputs: has no effect with --mode free; drop --inputs"),
        (("--inputs", "load"), "--inputs: column 'load' is also that of --column"),
        (("--val-split", "0.99"), "need 30; lower them"),
    ],
)
def test_faults_of_training(
    options: Sequence[object], message: str, home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    outcome = dlnotes(*train(home / "load.csv", tmp_path / "run", *options))
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_damaged_model_file_is_refused(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    tensors, metadata = read_tensors(home / "run" / "model.safetensors")
    path = tmp_path / "model.safetensors"
    broken: list[tuple[dict[str, object], dict[str, object]]] = [
        ({**metadata["format"], "season": 0}, {}),
        ({**metadata["format"], "cycles": ["moon"]}, {}),
        ({**metadata["format"], "groups": []}, {}),
        ({**metadata["format"], "extra": 1}, {}),
        (metadata["format"], {"history": [7]}),
        (metadata["format"], {"channels": 2}),
    ]
    for stored, changes in broken:
        configuration = {**metadata["configuration"], **changes}
        write_tensors(path, tensors, {**metadata, "format": stored, "configuration": configuration})
        outcome = dlnotes("series", "forecast", path)
        assert outcome.code == 2, (stored, changes)
        assert len(outcome.err.splitlines()) == 1
    assert "holds a model of kind series_rnn" in dlnotes("evaluate", home / "run").err


def test_the_recipe_of_the_course_trains_75_windows_and_reaches_its_loss(tmp_path: Path) -> None:
    result = train_series(SeriesTrainConfig(recipe="notes", out=tmp_path / "run", threads=1, quiet=True))
    assert (result.model.parameters, result.steps) == (1153, 75)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history] == [15, 30, 45, 60, 75]
    assert all(entry["train"]["loss"] < 0.001 for entry in history[3:])  # the mean of the steps 46 to 60, and 61 to 75
    assert result.best_baseline == "seasonal naive"  # the sine repeats exactly
    assert result.improvement is None


@pytest.mark.slow
def test_the_network_is_near_the_noise_floor_of_the_generated_set(tmp_path: Path) -> None:
    result = train_series(SeriesTrainConfig(data="trend-season", out=tmp_path / "run", quiet=True))
    rmse = {entry.model: entry.rmse for entry in result.models}
    assert rmse["network"] < 0.8 * rmse["seasonal naive"]
    assert rmse["network"] < 1.05 * rmse["noise floor"]
    assert result.coverage is not None
    assert abs(result.coverage.coverage - 0.8) < 0.05
