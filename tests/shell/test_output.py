"""What is printed, and where: tables, lines on stderr, and the progress of long work."""

import os
import pty
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


@given(st.text())
def test_printable_text_stays_on_its_line(text: str) -> None:
    assert output.printable(text).isprintable()


STDERR = ["data: digits", "dlnotes: note: a", "dlnotes: warning: b", "  | c", "  | d", "x: y"]
ERROR = "dlnotes: error: --x: is wrong; fix it"


@pytest.mark.parametrize(
    ("words", "expected"), [({"quiet": True}, []), ({}, STDERR[:-1]), ({"verbose": True}, STDERR)], ids=str
)
def test_every_line_on_stderr_has_a_label_and_quiet_leaves_only_errors(
    words: dict[str, bool], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    output.configure(**words)
    output.status("data", "digits")
    output.note("a")
    output.warn("b")
    output.sample("c\nd\n")
    output.detail("x", "y")
    output.error(InputError("--x", "is wrong", "fix it"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [*expected, ERROR]


TABLE = ("name", "count", "score"), [("x" * 90, 7, "0.5"), ("[bold]y[/bold]", 12, "-"), ("é", 0, "")]


@pytest.mark.parametrize("rows", [1, 400])  # the second is longer than what is styled
def test_a_table_in_a_pipe_is_plain_and_whole(
    rows: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output.table(TABLE[0], TABLE[1] * rows, numeric=("score",))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 * rows + 1 + (rows == 1)
    assert [re.split("  +", text) for text in lines[-3:]] == [["x" * 90, "7", "0.5"], ["[bold]y[/bold]", "12", "-"],
                                                              ["é", "0"]]  # fmt: skip
    assert len({text.index(cell) + len(cell) for text, cell in zip(lines[-3:], (" 7", " 12", " 0"), strict=True)}) == 1
    assert not any(text.endswith(" ") for text in lines)


def test_a_table_in_a_pipe_is_as_wide_as_columns_says(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    output.table(*TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 40
    assert "".join(lines).count("x") == 90


@contextmanager
def terminal() -> Iterator[Callable[[], str]]:
    """Stderr on a terminal; the value returns the text there, without the escape sequences of the display."""
    primary, secondary = pty.openpty()
    with os.fdopen(secondary, "w", encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "80")

        def shown() -> str:
            stream.close()
            content = b""
            with suppress(OSError):  # EIO: all was read, and no writer is left
                while chunk := os.read(primary, 1 << 16):
                    content += chunk
            return ESCAPES.sub("", content.decode())

        yield shown
    os.close(primary)


@pytest.mark.parametrize(
    "name", ["a{b}", "{task.__class__}", "[red]x", "[/red]", "%s", r"a\[b", "a\x1b]0;x\x07\x1b[2J"]
)
def test_names_are_neither_templates_nor_markup_nor_escape_codes(name: str) -> None:
    with terminal() as shown:
        with output.progress(f"stylize {name}") as progress:
            progress.update(0.5, lambda: f"loss {name}")
            output.note(f"note {name}")
        text = shown()
    plain = output.printable(name)
    assert f"stylize {plain} " in text
    assert f"  loss {plain}" in text
    assert f"note {plain}" in text


@pytest.mark.parametrize("width", [80, 40])
def test_the_bar_shows_percentage_time_left_and_the_whole_text(width: int) -> None:
    from rich.console import Console

    text = "epoch 112 of 1000  loss 0.1234  val accuracy 0.9876  123,456 samples/s"
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(output._bar("train", 0.25, "3 h 20 min left", text))
    first, second = captured.get().splitlines()
    assert max(len(first), len(second)) <= width
    if width == 80:
        assert re.fullmatch(r"train ━+\S* +25% 3 h 20 min left *", first)
        assert second.strip() == text


@pytest.mark.parametrize(
    ("seconds", "steps", "first", "last"),
    [
        (0.2, 1000, "train:  1[0-9]%  step 1..", "train: 100%  step 1000"),
        (10.0, 61, "train:   0%  step [56]", "train: .* left"),
    ],
)
def test_progress_without_a_terminal_is_a_line_an_eighth_or_a_minute(
    seconds: float, steps: int, first: str, last: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    total = 1000 if seconds < 1 else 10_000
    clock = iter(range(2 * total))
    monkeypatch.setattr(time, "monotonic", lambda: seconds * next(clock))
    with output.progress("train") as progress:
        for step in range(steps + 1):
            progress.update(step / total, lambda step=step: f"step {step}")  # type: ignore[misc]
    lines = capsys.readouterr().err.splitlines()
    assert 8 <= len(lines) <= 12
    assert re.match(first, lines[0])
    assert re.fullmatch(last, lines[-1])
