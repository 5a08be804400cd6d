import json
import math
import re

import pytest
from builders import Command
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_every_document_is_json_without_nan(value: object) -> None:
    json.dumps(output.finite(value), allow_nan=False)


def test_finite_changes_nothing_else() -> None:
    given_ = {"a": [1, 2.5, math.nan], "b": {"c": math.inf, "d": "x"}, "e": None}
    assert output.finite(given_) == {"a": [1, 2.5, None], "b": {"c": None, "d": "x"}, "e": None}


def test_a_document_has_its_schema_version_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    output.document("doctor", {"x": math.nan})
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "command": "doctor", "x": None}


@given(st.text())
def test_printable_text_stays_on_its_line(text: str) -> None:
    assert output.printable(text).isprintable()


def test_quiet_prints_only_errors(capsys: pytest.CaptureFixture[str]) -> None:
    output.configure(quiet=True)
    output.note("a")
    output.warn("b")
    with output.progress("train") as progress:
        progress.update(0.5, lambda: "c")
    output.error(InputError("--x", "is wrong", "fix it"))
    captured = capsys.readouterr()
    assert captured == ("", "dlnotes: error: --x: is wrong; fix it\n")


def test_verbose_prints_details(capsys: pytest.CaptureFixture[str]) -> None:
    output.detail("data", "a")
    output.configure(verbose=True)
    output.detail("data", "b")
    assert capsys.readouterr().err == "data: b\n"


def test_every_line_on_stderr_has_a_label(capsys: pytest.CaptureFixture[str]) -> None:
    output.status("data", "digits")
    output.note("a")
    output.warn("b")
    output.sample("c\nd\n")
    lines = ["data: digits", "dlnotes: note: a", "dlnotes: warning: b", "  | c", "  | d"]
    assert capsys.readouterr().err.splitlines() == lines


def test_progress_without_a_terminal_is_a_few_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_REFRESH_S", 0.0)
    with output.progress("train") as progress:
        for step in range(1001):
            progress.update(step / 1000, lambda step=step: f"step {step}")  # type: ignore[misc]
    lines = capsys.readouterr().err.splitlines()
    assert 4 <= len(lines) <= 10
    assert lines[-1] == "train: 100%  step 1000"


def test_a_piped_table_truncates_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "count"), [("x" * 150, 7), ("[bold]y[/bold]", 12)])
    lines = capsys.readouterr().out.splitlines()
    assert "x" * 150 in lines[2]
    assert "[bold]y[/bold]" in lines[3]
    assert [line.rstrip()[-2:] for line in lines[2:]] == [" 7", "12"]


def test_numeric_columns_are_aligned_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", 7, "0.5", "1"), ("b", 12, "-", "2")]
    output.table(("name", "count", "score", "label"), rows, numeric=("score",))
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines[2:]] == ["a          7     0.5   1", "b         12       -   2"]


def test_an_unknown_choice_suggests_the_nearest() -> None:
    assert "did you mean 'adam'?" in str(unknown_choice("--optimizer", "Adma", ["sgd", "adam"]))
    assert "did you mean" not in str(unknown_choice("--optimizer", "zzz", ["sgd", "adam"]))


@pytest.mark.parametrize(
    "words",
    [["conv-shape", "--layers", "x"], ["evaluate", "--plot"], ["train-mlp", "--early-stop"], ["fit"], ["model"]],
)
def test_a_name_that_is_near_to_none_gets_no_suggestion(words: list[str], dlnotes: Command) -> None:
    outcome = dlnotes(*words)
    assert re.search(r": no such (option|command); see dlnotes", outcome.err)


@pytest.mark.parametrize(
    ("words", "near"),
    [(["filter", "--kern", "box"], "--kernel"), (["train-mlp", "--Epoch", "3"], "--epochs"), (["train"], "train-mlp")],
)
def test_a_misspelled_option_or_command_gets_a_suggestion(words: list[str], near: str, dlnotes: Command) -> None:
    assert f"did you mean {near}?" in dlnotes(*words).err
