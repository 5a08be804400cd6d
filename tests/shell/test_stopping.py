"""SIGINT and SIGTERM at any moment: the exit code is that of the signal, and no file is left incomplete."""

import gc
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from builders import Command, make_images, small_training
from PIL import Image

import dlnotes_cli
from dlnotes_cli.shell.errors import StoppedError
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
    source = f"""import sys
sys.path.insert(0, {str(PACKAGE.parent)!r})
before = {{*sys.modules}}
import dlnotes_cli.__main__
print(*sorted({{*sys.modules}} - before), sys.modules["_signal"].getsignal({int(signal.SIGINT)}))"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == f"dlnotes_cli dlnotes_cli.__main__ {int(signal.SIG_DFL)}\n"


@pytest.mark.parametrize(
    "event", [1, 1500, *(pytest.param(at, marks=pytest.mark.slow) for at in range(300, 9000, 800))]
)
@pytest.mark.parametrize("number", dict(SIGNALS))
def test_a_signal_at_any_moment_leaves_no_incomplete_file(number: signal.Signals, event: int, tmp_path: Path) -> None:
    ended_by_signal([*small_training(tmp_path / "run"), "-q"], number, 3 * event)
    assert not list(tmp_path.rglob(".dlnotes-*.partial"))
    make_images(tmp_path / "images", count=30)
    is_ended = ended_by_signal(["filter", tmp_path / "images", "-r", "--out", tmp_path / "out/"], number, event)
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert is_ended or len(written) == 90
    for path in written:
        with Image.open(path) as image:
            image.load()


def raise_in_destructor(number: int, _: Path) -> None:
    class Noisy:
        def __del__(self) -> None:
            signal.raise_signal(number)

    noisy = Noisy()
    del noisy
    gc.collect()


def raise_in_import(number: int, folder: Path) -> None:
    source = f"import signal\ntry: signal.raise_signal({number})\nexcept BaseException as e: raise ImportError from e"
    (folder / f"module_with_signal_{number}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import_module(f"module_with_signal_{number}")


def raise_while_a_request_is_possible(number: int, _: Path) -> None:
    with StopRequest():  # which nothing polls
        signal.raise_signal(number)
        signal.raise_signal(number)  # as `timeout` does: to the process and to its group


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("send", [raise_in_destructor, raise_in_import, raise_while_a_request_is_possible])
def test_a_signal_where_python_drops_exceptions_is_delivered_again(
    send: Callable[[int, Path], None], number: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with EndedBySignals() as signals:
        send(int(number), tmp_path)
        signal.sigtimedwait([], 5)
        pytest.fail("the signal was not delivered")
    assert signals.exit_code == code
    assert signal.getsignal(number) is not signals._handle
    assert capsys.readouterr().err == ""


def test_a_request_that_was_polled_is_not_delivered_again() -> None:
    with EndedBySignals() as signals, StopRequest() as stop:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(StoppedError):
            stop.poll()
        assert stop is not None
    assert signals.exit_code is None


def drop_everything(number: int) -> None:
    try:
        signal.raise_signal(number)
    except BaseException as error:
        raise ImportError("numpy failed to import") from error


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("send", [signal.raise_signal, drop_everything])
def test_a_signal_ends_a_command_also_where_a_library_drops_it(
    send: Callable[[int], None], number: int, code: int, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlnotes_cli.manage.data.list_sets", lambda _: send(int(number)))
    outcome = dlnotes("data", "list")
    assert (outcome.code, outcome.err) == (code, "")


@pytest.mark.draws
def test_a_signal_while_the_plots_are_drawn(dlnotes: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlnotes_cli.plots.curves import draw_curves

    def curves_with_signal(*arguments: Any, **options: Any) -> bytes:
        signal.raise_signal(signal.SIGTERM)
        return draw_curves(*arguments, **options)

    monkeypatch.setattr("dlnotes_cli.training.task.draw_curves", curves_with_signal)
    assert dlnotes(*small_training(tmp_path / "run")).code == 143
    assert (tmp_path / "run" / "result.json").exists()
    assert "already trained" in dlnotes("train-mlp", "--resume", tmp_path / "run").err
