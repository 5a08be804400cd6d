"""The progress display: a live bar on a terminal, plain lines elsewhere."""

import os
import pty
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from builders import Command, make_images

from dlnotes_cli.shell import output

ESCAPES = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


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


@pytest.mark.parametrize("name", ["a{b}.png", "{task.__class__}", "[red]x", "[/red]", "{}", "%s", r"a\[b"])
def test_names_are_neither_templates_nor_markup(name: str) -> None:
    with terminal() as shown:
        with output.progress(f"stylize {name}") as progress:
            progress.update(0.5, lambda: f"loss {name}")
            output.note(f"note {name}")
        text = shown()
    assert f"stylize {name} " in text
    assert f"  loss {name}" in text
    assert f"note {name}" in text


def test_control_characters_do_not_reach_the_terminal() -> None:
    with terminal() as shown:
        with output.progress("a\x1b]0;title\x07") as progress:
            progress.update(0.5, lambda: "b\x1b[2J\r")
        text = shown()
    assert r"a\x1b]0;title\x07" in text
    assert r"b\x1b[2J\x0d" in text


def test_a_command_shows_a_file_name_with_braces(tmp_path: Path, dlnotes: Command) -> None:
    image = make_images(tmp_path / "images", count=1, size=(32, 32)) / "red" / "0.png"
    out = tmp_path / "a{b}[red].png"
    options = ["--size", 32, "--steps", 4, "--scales", 1, "--threads", 1, "--out", out]
    with terminal() as shown:
        outcome = dlnotes("style-transfer", "--content", image, "--style", image, *options)
        text = shown()
    assert outcome.code == 0
    assert out.exists()
    assert "stylize a{b}[red].png" in text


def test_the_bar_shows_percentage_time_left_and_the_whole_text_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    clock = iter([0.0, 0.0, 4000.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    bar = output._LiveBar("train")
    progress = output.Progress("train", bar)
    text = "epoch 112 of 1000  loss 0.1234  val accuracy 0.9876  123,456 samples/s"
    progress.update(0.0, lambda: text)
    progress.update(0.25, lambda: text)
    console = Console(width=80, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(bar)
    first, second = captured.get().splitlines()
    assert re.fullmatch(r"train ━+\S* +25% 3 h 20 min left *", first)
    assert second.strip() == text
    console = Console(width=40, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(bar)
    assert max(map(len, captured.get().splitlines())) <= 40
    assert len(captured.get().splitlines()) == 2


def test_a_slow_run_prints_a_line_a_minute(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with output.progress("train") as progress:
        for step in range(61):
            progress.update(step / 10_000, lambda step=step: f"step {step}")  # type: ignore[misc]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("train:   0%  step ")
    assert lines[-1].endswith(" left")
