"""`runs early-stopping`: the replay against training with --patience, and against a plain loop."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from builders import Command, small_training
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.runs.early_stopping import stopped_at

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOISY = ("--lr", 0.2, "--optimizer", "sgd", "--schedule", "constant", "--augment", "none", "--seed", 1)


def write_history(path: Path, losses: list[float | None]) -> Path:
    """A metrics.jsonl with an entry for each epoch."""
    lines = [
        json.dumps({"epoch": i, "step": 10 * i, "validation": {"loss": loss, "accuracy": 0.5, "samples": 9}})
        for i, loss in enumerate(losses, start=1)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dlnotes_cli.cli import main

    out = tmp_path_factory.mktemp("early") / "run"
    assert main([*small_training(out, *NOISY, "--epochs", 30), "-q"]) == 0
    return out


@pytest.mark.usefixtures("blank_figures")
@pytest.mark.parametrize("monitor", ["loss", "accuracy"])
def test_the_replay_stops_where_training_with_patience_stops(
    whole_run: Path, monitor: str, tmp_path: Path, dlnotes: Command
) -> None:
    words = ("runs", "early-stopping", whole_run, "--patience", "1,2,4", "--monitor", monitor, "--json")
    document = json.loads(dlnotes(*words).out)
    (run,) = document["runs"]
    assert run["epochs"] == 30
    for replay in run["replays"][::2] if monitor == "loss" else run["replays"][1:2]:
        patience = replay["patience"]
        out = tmp_path / str(patience)
        more = ("--epochs", 30, "--patience", patience, "--monitor", monitor, "--json", "-q")
        trained = json.loads(dlnotes(*small_training(out, *NOISY, *more)).out)
        assert trained["epochs"] == (replay["stop_epoch"] or 30)
        assert trained["best_epoch"] == replay["kept_epoch"]
        assert trained["monitor"]["value"] == replay["value"]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 6))
def test_the_replay_against_a_plain_loop(losses: list[int], patience: int) -> None:
    kept, without, stop = 0, 0, None
    for i in range(1, len(losses)):
        if losses[i] < losses[kept]:
            kept, without = i, 0
        else:
            without += 1
        if without == patience:
            stop = i
            break
    assert stopped_at([(-loss,) for loss in losses], patience) == (stop, kept)


def test_the_table_has_a_row_for_each_run_and_patience(
    tmp_path: Path, dlnotes: Command, figures: "list[Figure]"
) -> None:
    one = write_history(tmp_path / "one.jsonl", [5, 4, 4.5, 3, 3.5, 3.6, 2, 2.5])
    other = write_history(tmp_path / "other.jsonl", [5, None, 4])
    plot = tmp_path / "stops.png"
    outcome = dlnotes("runs", "early-stopping", one, other, "--patience", "2,1,2", "--plot", plot)
    assert outcome.code == 0, outcome.err
    rows = [line.split()[1:] for line in outcome.out.splitlines()[2:6]]
    assert rows == [
        ["1", "3", "2", "4", "3", "of", "8"], ["2", "6", "4", "3", "6", "of", "8"],
        ["1", "2", "1", "5", "2", "of", "3"], ["2", "never", "3", "4", "3", "of", "3"],
    ]  # fmt: skip
    assert outcome.out.splitlines()[-1] == str(plot)
    (figure,) = figures
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == ["validation loss"] * 2
    labels = [text.get_text() for text in figure.axes[3].get_yticklabels()]
    assert labels == ["patience 1: keeps 1, stops at 2", "patience 2: keeps 3, never stops"]


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ("", (), "has no validation with loss; name a run folder, or the metrics.jsonl of one"),
        ("[1]\n", (), "line 1 is no validation with loss; name"),
        ('{"epoch": 1, "validation": {"loss": "low"}}\n', (), "line 1 is no validation with loss"),
        ('{"epoch": 1, "validation": {"loss": null}}\n', (), "has no validation with loss"),
        ('{"epoch": 1, "validation": {"loss": 1}}\n', ("--monitor", "macro-f1"), "no validation with macro-f1"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_refused(
    content: str, words: tuple[str, ...], message: str, tmp_path: Path, dlnotes: Command
) -> None:
    (tmp_path / "metrics.jsonl").write_text(content)
    outcome = dlnotes("runs", "early-stopping", tmp_path / "metrics.jsonl", *words)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert message in outcome.err
    assert dlnotes("runs", "early-stopping", tmp_path / "gone").code == 2
