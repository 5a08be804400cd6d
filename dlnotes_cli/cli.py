"""The `dlnotes` program: the app, and main(), the one place where an error becomes a line and an exit code."""

import difflib
import os
import re
import signal
import sys
import traceback
from types import FrameType
from typing import Annotated, Any

import typer

from dlnotes_cli import __version__, output
from dlnotes_cli.commands import conv_shape, data, doctor, evaluate, predict, train_mlp
from dlnotes_cli.errors import DlnotesError, ExitCode, InputError, UnfinishedError

app = typer.Typer(
    name="dlnotes",
    help="A deep-learning course as shell commands, on your own data.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 bug, 2 bad input, 3 could not finish, 4 gate not met, 130 Ctrl-C, 143 SIGTERM.",
)
for module in (train_mlp, predict, evaluate, conv_shape, data, doctor):
    module.register(app)


def _show_version(asked: bool) -> None:  # the form that Typer calls
    if asked:
        output.line(f"dlnotes {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and end.", is_eager=True, metavar="", callback=_show_version),
    ] = False,
) -> None:
    del version  # its callback has answered


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; nothing but a bug in dlnotes ends with a traceback."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as end:  # Typer turns a broken pipe into SystemExit
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads what is still to be flushed
        return ExitCode.DONE
    return code


def _run(arguments: list[str]) -> int:
    try:
        words, known = _command_words(arguments)
        if words == arguments and hasattr(known, "commands"):  # a group alone shows what is in it
            arguments = [*arguments, "--help"]
        return int(app(arguments, prog_name="dlnotes", standalone_mode=False) or 0)
    except DlnotesError as error:
        return _fail(error)
    except typer.TyperException as error:
        return _fail(_usage_error(error, arguments))
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except _TerminatedError:
        return ExitCode.TERMINATED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the edge of the program: anything else is a bug
        return _crash(error)


class _TerminatedError(BaseException):
    """SIGTERM outside a training loop: as KeyboardInterrupt, it passes every handler but lets clean-up run."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _TerminatedError


def _fail(error: DlnotesError) -> int:
    if os.environ.get("DLNOTES_DEBUG") == "1":
        traceback.print_exc()
    output.error(error)
    return error.exit_code


def _crash(error: Exception) -> int:
    if _is_out_of_memory(error):
        fix = "use a smaller --batch-size, --size or --limit"
        return _fail(UnfinishedError("memory", "not enough for this work", fix))
    output.bug(traceback.format_exc())
    return ExitCode.BUG


def _usage_error(error: typer.TyperException, arguments: list[str]) -> InputError:
    """Turn Typer's sentence into our line: the option first, then what is wrong, then the way out."""
    text = error.format_message().replace("\n", " ").rstrip(".")
    words, known = _command_words(arguments)
    help_hint = f"see {' '.join(['dlnotes', *words])} --help"
    named = re.match(r"Invalid value for (?:argument )?'(?P<name>[^' ]+)[^']*': (?P<what>.*)", text)
    missing = re.match(r"No such (?P<kind>option|command):? '?(?P<name>[^' ]+)'?", text)
    if named:
        return InputError(named["name"], named["what"], help_hint)
    if missing:
        names = [name for parameter in known.params for name in parameter.opts] + list(getattr(known, "commands", {}))
        near = difflib.get_close_matches(missing["name"].rstrip("."), names, n=1, cutoff=0.5)
        fix = f"did you mean {near[0]}? {help_hint}" if near else help_hint
        return InputError(missing["name"].rstrip("."), f"no such {missing['kind']}", fix)
    return InputError("usage", text[0].lower() + text[1:], help_hint)


def _command_words(arguments: list[str]) -> tuple[list[str], Any]:
    """The words that name a command or a group, and what they name."""
    known: Any = typer.main.get_command(app)
    words: list[str] = []
    for word in arguments:
        below = getattr(known, "commands", {}).get(word)
        if below is None:
            break
        words.append(word)
        known = below
    return words, known


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error).lower()
    )
