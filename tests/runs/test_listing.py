"""`runs list`, `show`, `best` and `diff` on folders of runs, some of them broken or unfinished."""

import csv
import fcntl
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import Command, small_training
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.cli import main
from dlnotes_cli.shell.codec import flattened


def write_run(folder: Path, accuracy: float | None, **options: Any) -> Path:
    """A run folder with options, and a result unless the accuracy is None."""
    folder.mkdir(parents=True)
    command = options.pop("command", "train-mlp")
    (folder / "config.json").write_text(json.dumps({"command": command, **options}))
    if accuracy is not None:
        test = {"loss": 1 - accuracy, "accuracy": accuracy, "samples": 10}
        content = {"schema_version": 1, "command": command, "epochs": 3, "test": test, "validation": test}
        (folder / "result.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Finished runs of two commands, an unfinished one, three broken ones, and a folder of another program."""
    write_run(tmp_path / "a", 0.5, lr=0.1, hidden=[64, 32])
    write_run(tmp_path / "deep" / "b", 0.9, lr=0.01, hidden=[64, 32], augment=None)
    write_run(tmp_path / "c", 0.7, command="train-cnn", arch="fast", lr=0.001)
    unfinished = write_run(tmp_path / "d", None, lr=0.1, epochs=9)
    entries = [{"epoch": epoch, "step": epoch, "validation": {"loss": 2 / epoch}, "train": {}} for epoch in (1, 2)]
    (unfinished / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    for name, content in (("cut", '{"command": "tr'), ("nan", '{"command": "x", "loss": NaN}'), ("list", "[]")):
        (write_run(tmp_path / name, None, lr=0.1, epochs=9) / "result.json").write_text(content)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "bert"}')
    return tmp_path


def listed(dlnotes: Command, *words: object) -> list[dict[str, Any]]:
    outcome = dlnotes("runs", "list", *words, "--json", "-q")
    assert outcome.code == 0, outcome.err
    runs: list[dict[str, Any]] = json.loads(outcome.out)["runs"]
    return runs


def names(runs: list[dict[str, Any]]) -> list[str]:
    return [Path(run["run"]).name for run in runs]


def test_every_run_is_listed_with_its_status(home: Path, dlnotes: Command) -> None:
    runs = listed(dlnotes, home)
    statuses = {Path(run["run"]).name: (run["command"], run["status"]) for run in runs}
    assert statuses == {
        "a": ("train-mlp", "done"), "b": ("train-mlp", "done"), "c": ("train-cnn", "done"),
        "d": ("train-mlp", "unfinished"), "cut": ("train-mlp", "broken"), "nan": ("train-mlp", "broken"),
        "list": ("train-mlp", "broken"),
    }  # fmt: skip
    values = {Path(run["run"]).name: run["values"] for run in runs}
    assert (values["d"]["epochs"], values["d"]["validation.loss"]) == (2, 1.0)
    assert (values["cut"]["epochs"], values["cut"]["test.accuracy"]) == (None, None)
    outcome = dlnotes("runs", "list", home)
    assert outcome.err.count("result.json is not valid JSON") == 3
    with (home / "d" / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert [run["status"] for run in listed(dlnotes, home / "d")] == ["running"]
    assert [run["status"] for run in listed(dlnotes, home / "d")] == ["unfinished"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--sort test.accuracy --where status=done", "b c a"), ("--sort test.loss --where status=done", "b c a"),
        ("--sort test.accuracy --reverse --where status=done", "a c b"), ("--where hidden=64,32", "a b"),
        ("--where arch=fast", "c"), ("--where test.accuracy>0.6 --where command!=train-cnn", "b"),
        ("--where lr=1e-2", "b"), ("--where test.accuracy<=0.7", "a c"), ("--where augment=none --where lr<0.1", "c b"),
        ("--sort arch --where status=done", "c a b"), ("--where arch>fast", ""),
    ],
)  # fmt: skip
def test_runs_are_filtered_and_sorted(home: Path, words: str, expected: str, dlnotes: Command) -> None:
    found = names(listed(dlnotes, home, *words.split()))
    assert found == expected.split()


def test_csv_has_exact_values(home: Path, dlnotes: Command) -> None:
    write_run(home / "e", 1 / 3, lr=0.1, hidden=[])
    words = ("--columns", "test.accuracy,hidden", "--csv", "-", "--where", "status=done", "--sort", "run")
    rows = list(csv.DictReader(io.StringIO(dlnotes("runs", "list", home, *words).out)))
    assert {Path(row["run"]).name: row["test.accuracy"] for row in rows} == {
        "a": "0.5", "b": "0.9", "c": "0.7", "e": str(1 / 3),
    }  # fmt: skip
    assert [row["hidden"] for row in rows] == ["64,32", "", "64,32", "none"]


def test_best_prints_the_path_alone(home: Path, dlnotes: Command) -> None:
    outcome = dlnotes("runs", "best", home, "--metric", "test.accuracy")
    assert (outcome.out, outcome.err) == (f"{home / 'deep' / 'b'}\n", "")
    assert dlnotes("runs", "best", home, "--where", "arch=fast").out == f"{home / 'c'}\n"
    document = json.loads(dlnotes("runs", "best", home, "--json").out)
    assert (document["metric"], document["value"], document["runs"]) == ("validation.loss", pytest.approx(0.1), 3)


def test_diff_has_the_options_that_differ(home: Path, dlnotes: Command) -> None:
    outcome = dlnotes("runs", "diff", home / "a", home / "c", "--json")
    found = {one["name"]: one["values"] for one in json.loads(outcome.out)["options"]}
    assert found == {
        "command": ["train-mlp", "train-cnn"], "lr": [0.1, 0.001], "hidden": [[64, 32], None], "arch": [None, "fast"],
    }  # fmt: skip
    assert "64,32" in dlnotes("runs", "diff", home / "a", home / "c").out
    assert dlnotes("runs", "diff", home / "a", home / "a").out == "the runs have the same options\n"


@pytest.mark.usefixtures("blank_figures")
def test_a_run_that_was_trained(tmp_path: Path, dlnotes: Command) -> None:
    assert main([*small_training(tmp_path / "run", "--lr", 0.003), "-q"]) == 0
    shown = dlnotes("runs", "show", tmp_path / "run").out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert re.search(r"^hidden +16$", shown, re.MULTILINE)
    assert re.search(r"^lr +0.003$", shown, re.MULTILINE)
    assert re.search(rf"^test +{result['test']['loss']:.4f} +{result['test']['accuracy']:.4f} +", shown, re.MULTILINE)
    document = json.loads(dlnotes("runs", "show", tmp_path / "run", "--json").out)
    assert document["run_command"] == "train-mlp"
    assert (document["status"], document["validations"], document["result"]) == ("done", 2, result)
    (run,) = listed(dlnotes, tmp_path)
    assert run["values"]["test.accuracy"] == result["test"]["accuracy"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list HOME/other", "holds no runs; name a folder"), ("list HOME/gone", "no such folder"),
        ("list HOME/a/config.json", "is not a folder"), ("list HOME --columns hiden", "did you mean 'hidden'?"),
        ("list HOME --columns accuracy", "did you mean 'test.accuracy'?"),
        ("list HOME --sort test.acuracy", "--sort: unknown column 'test.acuracy'; did you mean 'test.accuracy'?"),
        ("list HOME --where lrr=1", "--where: unknown column 'lrr'"),
        ("list HOME --where lr", "'lr' is not a condition"),
        ("best HOME --metric test.f1", "--metric: unknown metric 'test.f1'"), ("best HOME/d", "holds no finished run"),
        ("show HOME/cut", "is a broken run (result.json is not valid JSON)"), ("show HOME/gone", "no such"),
        ("show HOME/other", "holds no run"), ("diff HOME/a", "RUNS: names one run"), ("diff HOME/a HOME/nan", "broken"),
    ],
)  # fmt: skip
def test_invalid_requests_are_one_line(home: Path, words: str, message: str, dlnotes: Command) -> None:
    outcome = dlnotes("runs", *words.replace("HOME", str(home)).split())
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert message in outcome.err


def test_control_characters_in_names_are_escaped(tmp_path: Path, dlnotes: Command) -> None:
    write_run(tmp_path / "red\x1b[31m\n", 0.5, **{"evil\x07": "\x1b[2J"})
    for words in (
        ("list", tmp_path, "--columns", "evil\x07"),
        ("best", tmp_path),
        ("show", tmp_path / "red\x1b[31m\n"),
    ):
        outcome = dlnotes("runs", *words)
        assert outcome.code == 0, outcome.err
        assert r"\x1b[31m\x0a" in outcome.out
        assert not {"\x1b", "\x07"} & set(outcome.out)


def test_a_list_needs_neither_torch_nor_numpy(home: Path) -> None:
    script = f"import sys; from dlnotes_cli.cli import main; main(['runs', 'list', {str(home)!r}]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "train-cnn" in done.stdout
    assert not {"torch", "numpy", "rich"} & {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "content",
    ['{"command": ' * 100_000, '{"command": "x", "a": ' + '{"a": ' * 600 + "1" + "}" * 601, "\xff", '{"a": 1}'],
)
def test_a_strange_result_is_no_bug(home: Path, content: str, dlnotes: Command) -> None:
    (home / "a" / "result.json").write_text(content, encoding="latin-1")
    (home / "a" / "metrics.jsonl").write_text('{"epoch": 1}\n')
    outcome = dlnotes("runs", "list", home)
    assert (outcome.code, len(outcome.out.splitlines())) == (0, 8)
    outcome = dlnotes("runs", "show", home / "a")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome


@given(
    st.recursive(
        st.dictionaries(st.text(alphabet="abc"), st.integers() | st.lists(st.integers()), max_size=3),
        lambda inner: st.dictionaries(st.text(alphabet="abc"), inner | st.none(), max_size=3),
    )
)
def test_each_flattened_value_stands_under_its_path(content: dict[str, Any]) -> None:
    found = list(flattened(content))
    for name, value in found:
        inner: Any = content
        for part in name.split("."):
            inner = inner[part]
        assert inner == value
    assert len({name for name, _ in found}) == len(found)
