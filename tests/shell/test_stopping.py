"""SIGINT and SIGTERM at any moment: the exit code is that of the signal, and no file is left incomplete."""

import gc
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest
from builders import Command, make_images, small_training
from PIL import Image

import dlnotes_cli
from dlnotes_cli.classify import train_mlp
from dlnotes_cli.shell.errors import ExitCode, StoppedError
from dlnotes_cli.shell.stopping import EndedBySignals, StopRequest

pytestmark = pytest.mark.usefixtures("blank_figures")

PACKAGE = Path(dlnotes_cli.__file__).parent
SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
START = """
import os, sys
from dlnotes_cli.__main__ import main
left, number = int(sys.argv.pop(1)), int(sys.argv.pop(1))
def count(event, _):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), number)
sys.addaudithook(count)
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _interrupts_are_not_ignored() -> Iterator[None]:
    """As in a foreground job; a shell script starts jobs in the background with SIGINT ignored."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


def ended_by_signal(words: Sequence[object], number: signal.Signals, event: int) -> bool:
    """Whether a command ends by a signal that it gets at one of its audit events (imports, files); else it is done."""
    command = [sys.executable, "-c", START, str(event), str(int(number)), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    code = 128 - done.returncode if done.returncode < 0 else done.returncode
    assert code in {0, dict(SIGNALS)[number]}, done.stderr
    assert not re.search(r"Traceback|Exception ignored|bug", done.stderr)
    return code != 0


def test_interrupts_have_no_traceback_before_any_other_module_is_imported() -> None:
    source = f"""
        import sys
        sys.path.insert(0, {str(PACKAGE.parent)!r})
        before = {{*sys.modules}}
        import dlnotes_cli.__main__
        print(*sorted({{*sys.modules}} - before), sys.modules["_signal"].getsignal({int(signal.SIGINT)}))
    """
    words = [sys.executable, "-I", "-S", "-c", "\n".join(line[8:] for line in source.splitlines())]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"dlnotes_cli dlnotes_cli.__main__ {int(signal.SIG_DFL)}\n"


@pytest.mark.parametrize("event", [1, 300, 1500, 4000])
@pytest.mark.parametrize("number", dict(SIGNALS))
def test_a_signal_while_a_command_starts(number: signal.Signals, event: int, tmp_path: Path) -> None:
    assert ended_by_signal(["train-mlp", "--out", tmp_path / "run", "-q"], number, event)
    assert not list(tmp_path.rglob(".dlnotes-*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("event", range(6000, 30_000, 4000))
@pytest.mark.parametrize("number", dict(SIGNALS))
def test_a_signal_at_any_moment_of_a_training_run(number: signal.Signals, event: int, tmp_path: Path) -> None:
    ended_by_signal([*small_training(tmp_path / "run"), "-q"], number, event)
    assert not list(tmp_path.rglob(".dlnotes-*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("event", range(1000, 9000, 2000))
@pytest.mark.parametrize("number", dict(SIGNALS))
def test_a_signal_at_any_moment_of_filtering(number: signal.Signals, event: int, tmp_path: Path) -> None:
    make_images(tmp_path / "images", count=30)
    is_ended = ended_by_signal(["filter", tmp_path / "images", "-r", "--out", tmp_path / "out/"], number, event)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert is_ended or len(files) == 90
    for path in files:
        with Image.open(path) as image:
            image.load()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_during_an_import_is_delivered_after_it(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"""
        import signal
        try:
            signal.raise_signal({int(number)})
        except BaseException as error:
            raise ImportError from error
    """
    (tmp_path / f"module_with_signal_{int(number)}.py").write_text("\n".join(line[8:] for line in source.splitlines()))
    monkeypatch.syspath_prepend(tmp_path)
    with EndedBySignals() as signals:
        import_module(f"module_with_signal_{int(number)}")
        signal.sigtimedwait([], 5)
        pytest.fail("the signal was not delivered")
    assert signals.exit_code == code
    assert signal.getsignal(number) is not signals._handle


def test_a_signal_in_a_destructor_is_delivered_again(capsys: pytest.CaptureFixture[str]) -> None:
    class Noisy:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with EndedBySignals() as signals:
        noisy = Noisy()
        del noisy
        gc.collect()
        signal.sigtimedwait([], 5)
        pytest.fail("the signal was not delivered")
    assert signals.exit_code == ExitCode.TERMINATED
    assert capsys.readouterr().err == ""


def test_a_signal_that_a_library_drops_sets_the_exit_code_all_the_same(
    dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drops_everything(_: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise ImportError("numpy failed to import") from error

    monkeypatch.setattr(train_mlp, "train_mlp", drops_everything)
    outcome = dlnotes(*small_training(tmp_path / "run"))
    assert (outcome.code, outcome.err) == (143, "")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_request_that_nothing_polls_is_not_lost(number: int, code: int) -> None:
    with EndedBySignals() as signals:
        with StopRequest():
            signal.raise_signal(number)
            signal.raise_signal(number)  # as `timeout` does: to the process and to its group
        pytest.fail("the signal was lost")
    assert signals.exit_code == code


def test_a_request_that_was_polled_is_not_delivered_again() -> None:
    with EndedBySignals() as signals, StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StoppedError):
            stop.poll()
        assert stop is not None
    assert signals.exit_code is None


@pytest.mark.draws
def test_a_signal_while_the_plots_are_drawn(dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlnotes_cli.plots.curves import draw_curves

    def curves_with_signal(*arguments: object) -> bytes:
        signal.raise_signal(signal.SIGTERM)
        return draw_curves(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("dlnotes_cli.training.task.draw_curves", curves_with_signal)
    outcome = dlnotes(*small_training(tmp_path / "run"))
    assert outcome.code == 143
    assert (tmp_path / "run" / "result.json").exists()
    assert "already trained" in dlnotes("train-mlp", "--resume", tmp_path / "run").err
