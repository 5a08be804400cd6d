"""`--seeds`: each run is that of its seed alone, and mean and standard deviation are those of numpy."""

import json
from pathlib import Path

import numpy as np
import pytest
from builders import Command, make_table, small_training

from dlnotes_cli.api import InputError, TrainMlpConfig, train_mlp, train_seeds

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_each_run_is_that_of_its_seed_alone(tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes(*small_training(tmp_path / "seeds", "--seed", 3, "--seeds", 3, "--json", "-q"))
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert [run["seed"] for run in document["runs"]] == [3, 4, 5]
    alone = json.loads(dlnotes(*small_training(tmp_path / "alone", "--seed", 4, "--json", "-q")).out)
    run = document["runs"][1]
    assert run["out"] == str(tmp_path / "seeds" / "seed-4")
    for split in ("train", "validation", "test"):
        for name, value in alone[split].items():
            assert run["metrics"][f"{split}.{name}"] == value
            found = [one["metrics"][f"{split}.{name}"] for one in document["runs"]]
            assert document["mean"][f"{split}.{name}"] == pytest.approx(np.mean(found))
            assert document["std"][f"{split}.{name}"] == pytest.approx(np.std(found, ddof=1), abs=1e-12)
    config = json.loads((tmp_path / "seeds" / "seed-4" / "config.json").read_text())
    assert (config["seed"], config["seeds"]) == (4, 1)


def test_the_table_and_the_gate_of_the_mean(tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes(*small_training(tmp_path / "seeds", "--seeds", 2, "-q", "--min-accuracy", 0.99))
    assert (outcome.code, outcome.err.count("\n")) == (4, 1)
    assert [line.split()[0] for line in outcome.out.splitlines()[2:6]] == ["0", "1", "mean", "std"]
    assert outcome.out.splitlines()[-2:] == [str(tmp_path / "seeds" / f"seed-{seed}") for seed in (0, 1)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seeds", "2"), "--seeds: has no effect without --out"),
        (("--seeds", "2", "--out", "OUT", "--resume", "auto"), "--seeds: cannot be combined with --resume auto"),
        (("--seeds", "2", "--out", "OUT", "--devices", "2"), "cannot be combined with --devices"),
        (("--seeds", "0", "--out", "OUT"), "0 is out of range"),
        (("--seeds", "2", "--out", "FULL"), "seed-1 is not empty"),
    ],
)
def test_what_cannot_be_repeated_is_refused_before_the_first_run(
    words: tuple[str, ...], message: str, tmp_path: Path, dlnotes: Command
) -> None:
    (tmp_path / "full" / "seed-1").mkdir(parents=True)
    (tmp_path / "full" / "seed-1" / "file").touch()
    paths = {"OUT": str(tmp_path / "out"), "FULL": str(tmp_path / "full")}
    outcome = dlnotes("train-mlp", "--epochs", 1, *(paths.get(word, word) for word in words))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert message in outcome.err
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "full" / "seed-0").exists()


def test_the_function_in_python(tmp_path: Path) -> None:
    config = TrainMlpConfig(
        data=str(make_table(tmp_path / "rows.csv")), target="label", out=tmp_path / "runs", seeds=2, model="linear"
    )
    with pytest.raises(InputError, match="--seeds: is more than one run; call train_seeds"):
        train_mlp(config)
    result = train_seeds(train_mlp, config)
    values = [run.metrics["test.accuracy"] for run in result.runs]
    assert result.mean["test.accuracy"] == pytest.approx(np.mean(np.array(values, float)))
