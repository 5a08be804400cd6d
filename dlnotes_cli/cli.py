"""The `dlnotes` program: the app, and main(), the one place where an error becomes a line and an exit code."""

import difflib
import errno
import gc
import io
import os
import re
import signal
import sys
import traceback
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer

from dlnotes_cli import __version__
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import DlnotesError, ExitCode, InputError, UnfinishedError, reason
from dlnotes_cli.shell.startup import PlainGroup

COMMANDS = {  # in the order of the help, each with its module
    "train-mlp": "classify.command_mlp",
    "train-cnn": "classify.command_cnn",
    "transfer": "transfer.commands",
    "char-rnn": "char_rnn.commands",
    "predict": "classify.command_predict",
    "evaluate": "classify.command_evaluate",
    "style-transfer": "style.commands",
    "filter": "filter.commands",
    "conv-shape": "calculate.commands",
    "data": "manage.command_data",
    "doctor": "manage.command_doctor",
}
_OBJECTS = 100_000  # between two searches for garbage: loading a command makes fewer, and no garbage
_STDOUT_FAILS = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # files have names, and told it
_OUT_OF_REACH = {errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG}  # of whatever the user named


def build(word: str | None = None) -> Any:
    """The program as Typer runs it: with all its commands, or with the one that `word` names, which loads faster."""
    app = typer.Typer(
        name="dlnotes",
        cls=PlainGroup,
        help="A deep-learning course as shell commands, on your own data.",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Exit codes: 0 done, 1 bug, 2 bad input, 3 could not finish, 4 gate not met, 130 Ctrl-C, 143 SIGTERM.",
    )
    app.callback()(_options)
    for name in [word] if word in COMMANDS else COMMANDS:
        import_module(f"dlnotes_cli.{COMMANDS[name]}").register(app)
    return typer.main.get_command(app)


def _show_version(asked: bool) -> None:  # the form that Typer calls
    if asked:
        output.line(f"dlnotes {__version__}")
        raise typer.Exit


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
    gc.set_threshold(_OBJECTS)
    signal.signal(signal.SIGTERM, _terminate)
    _settle_streams()
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except SystemExit as end:  # what Typer turns a broken pipe into
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = _lose_stdout(end.__context__)
    except OSError as error:
        code = _lose_stdout(error)
    return code


def _settle_streams() -> None:
    """Lead a standard stream that was closed (`>&-`) to nowhere; escape letters that stdout's encoding lacks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _lose_stdout(error: OSError) -> int:
    """End after stdout failed: quietly where nobody reads it any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
    if isinstance(error, BrokenPipeError):
        return ExitCode.DONE
    what = f"cannot be written ({reason(error)})"
    return _fail(UnfinishedError("stdout", what, "free space, or send it elsewhere"))


def _run(arguments: list[str]) -> int:
    command = build(arguments[0] if arguments else None)
    words, known = _command_words(command, arguments)
    if words == arguments and hasattr(known, "commands"):  # a group alone shows what is in it
        arguments = [*arguments, "--help"]
    try:
        return int(command(arguments, prog_name="dlnotes", standalone_mode=False) or 0)
    except DlnotesError as error:
        return _fail(error)
    except typer.TyperException as error:
        return _fail(_usage_error(error, words, known))
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except _TerminatedError:
        return ExitCode.TERMINATED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _STDOUT_FAILS and not error.filename:
            raise
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
    """End with what no part of the program foresaw: a bug, but for a few failures that can come from anywhere."""
    if isinstance(error, OSError) and error.errno in _OUT_OF_REACH and error.filename:
        return _fail(InputError(error.filename, reason(error), "check the path"))
    if _is_out_of_memory(error):
        fix = "use a smaller network (--hidden, --width), --batch-size, --size or --limit"
        return _fail(UnfinishedError("memory", "not enough for this work", fix))
    output.bug(traceback.format_exc())
    return ExitCode.BUG


def _usage_error(error: typer.TyperException, words: list[str], known: Any) -> InputError:
    """Turn Typer's sentence into our line: the option first, then what is wrong, then the way out."""
    text = error.format_message().replace("\n", " ").rstrip(".")
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


def _command_words(known: Any, arguments: list[str]) -> tuple[list[str], Any]:
    """The words that name a command or a group below `known`, and what they name."""
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
