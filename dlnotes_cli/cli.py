"""The `dlnotes` program: its commands, and main(), the only place where an error becomes one line and an exit code."""

import errno
import io
import os
import re
import sys
from importlib import import_module
from typing import Annotated, Any, TextIO

import typer

from dlnotes_cli import __version__
from dlnotes_cli.shell import output, startup
from dlnotes_cli.shell.binding import Command, add_command
from dlnotes_cli.shell.errors import (
    DlnotesError,
    ExitCode,
    InputError,
    SeveralProcessesError,
    UnfinishedError,
    nearest,
    reason,
)
from dlnotes_cli.shell.stopping import EndedBySignals

COMMANDS = {  # in the order of the help, each with its module and function
    "train-mlp": "classify.commands:train_mlp",
    "train-cnn": "classify.commands:train_cnn",
    "transfer": "transfer.commands:transfer",
    "train-text": "text.options:train_text",
    "char-rnn train": "char_rnn.commands:train",
    "char-rnn sample": "char_rnn.commands:sample",
    "char-rnn score": "char_rnn.commands:score",
    "series train": "series.options:train",
    "series forecast": "series.options:forecast",
    "series backtest": "series.options:backtest",
    "predict": "classify.commands:predict",
    "evaluate": "classify.commands:evaluate",
    "export": "export.options:export",
    "serve": "serve.commands:serve",
    "style-transfer": "style.commands:style_transfer",
    "filter": "filter.commands:filter_",
    "explain": "explain.options:explain",
    "visualize layers": "visualize.commands:layers",
    "visualize filters": "visualize.commands:filters",
    "visualize activations": "visualize.commands:activations",
    "visualize maximize": "visualize.commands:maximize",
    "visualize dream": "visualize.commands:dream",
    "visualize patches": "visualize.commands:patches",
    "visualize neighbors": "visualize.commands:neighbors",
    "visualize embedding": "visualize.commands:embedding",
    "conv-shape": "lessons.conv_shape.commands:conv_shape",
    "loss": "lessons.commands:loss",
    "trace": "lessons.commands:trace",
    "perceptron": "lessons.commands:perceptron",
    "descend": "lessons.commands:descend",
    "data list": "manage.commands:data_list",
    "data info": "manage.commands:data_info",
    "data preview": "manage.commands:data_preview",
    "data cache list": "manage.commands:cache_list",
    "data cache clear": "manage.commands:cache_clear",
    "runs list": "runs.commands:list_runs",
    "runs show": "runs.commands:show_run",
    "runs best": "runs.commands:best_run",
    "runs diff": "runs.commands:diff_runs",
    "runs compare": "runs.commands:compare_runs",
    "runs early-stopping": "runs.commands:early_stopping",
    "doctor": "manage.commands:doctor",
    "schema": "schema:schema",
}
GROUPS = {  # names in front of commands, each with its panel and help
    "char-rnn": ("Train", "Train, sample and score character-level language models."),
    "series": ("Train", "Forecast time series with a recurrent network, next to baselines."),
    "visualize": ("Understand", "See what a network has learned: filters, activations, top patches, DeepDream."),
    "data": ("Manage", "List, describe and preview data sets."),
    "runs": ("Manage", "List and compare training runs, and replay early stopping on them."),
    "data cache": ("Manage", "List or clear the cache of decoded images and features."),
}
_STDOUT_FAILURES = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # where no file is named
_TOO_MANY_FILES = (os.strerror(errno.EMFILE), os.strerror(errno.ENFILE))  # as libraries that load others report it
_OUT_OF_MEMORY = (  # as torch, CUDA, the system and the dynamic linker report it
    "can't allocate memory", "out of memory", os.strerror(errno.ENOMEM).lower(), "failed to map segment",
)  # fmt: skip
_PATH_FAILURES = {errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG}  # of a path that the user named


def build(first_argument: str | None = None) -> Any:
    """The program as Typer runs it: with all commands, or only with those that `first_argument` names."""
    program = typer.Typer(
        name="dlnotes",
        cls=startup.PlainGroup,
        help="Train, evaluate, visualize and explain neural networks from the shell.",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": list(startup.HELP_FLAGS)},
        epilog="Exit codes: 0 done, 1 bug, 2 bad input, 3 could not finish, 4 gate not met, 130 Ctrl-C, 143 SIGTERM.",
    )
    program.callback()(_program_options)
    groups = {"": program}
    for name in startup.needed(COMMANDS, first_argument):
        group, _, last = name.rpartition(" ")
        is_only_listed = first_argument in startup.HELP_FLAGS
        add_command(_group(groups, group), last, load_command(name), is_only_listed=is_only_listed)
    return typer.main.get_command(program)


def load_command(name: str) -> Command:
    """Import the command with this name."""
    module, _, function = COMMANDS[name].partition(":")
    command: Command = getattr(import_module(f"dlnotes_cli.{module}"), function)
    return command


def _group(groups: dict[str, typer.Typer], name: str) -> typer.Typer:
    """The group with this name, added to `groups` and to the group above it if it is new."""
    if name not in groups:
        above, _, last = name.rpartition(" ")
        panel, text = GROUPS[name]
        groups[name] = typer.Typer(cls=startup.PlainGroup, help=text, no_args_is_help=False)
        _group(groups, above).add_typer(groups[name], name=last, rich_help_panel=panel)
    return groups[name]


def _print_version(is_requested: bool) -> None:  # the parameters that Typer passes
    if is_requested:
        output.line(f"dlnotes {__version__}")
        raise typer.Exit


def _program_options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, metavar="", callback=_print_version),
    ] = False,
) -> None:
    del version  # handled by its callback


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; only a bug in dlnotes prints a traceback."""
    startup.collect_garbage_rarely()
    _prepare_streams()
    with EndedBySignals() as signals:
        code = _main(sys.argv[1:] if arguments is None else arguments, signals)
    _discard_unwritable(sys.stderr)
    return signals.exit_code or code


def _main(arguments: list[str], signals: EndedBySignals) -> int:
    try:
        code = _run(arguments, signals)
        sys.stdout.flush()
    except SystemExit as end:  # which Typer raises for a broken pipe
        if not isinstance(end.__context__, BrokenPipeError):
            raise
        code = _stdout_failed(end.__context__)
    except OSError as error:
        code = _stdout_failed(error)
    return code


def _prepare_streams() -> None:
    """Open closed standard streams (`>&-`) on the null device; escape characters that stdout's encoding lacks.

    With PYTHONUNBUFFERED stdout is unbuffered, and writes to it may be cut short: a buffer writes all or fails.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            null_device = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(null_device, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
        if sys.stdout is sys.__stdout__ and isinstance(sys.stdout.buffer, io.RawIOBase):
            buffered = open(sys.stdout.fileno(), "wb", closefd=False)  # noqa: SIM115  # open until the program ends
            sys.stdout = io.TextIOWrapper(buffered, sys.stdout.encoding, "backslashreplace", line_buffering=True)


def _discard_unwritable(stream: TextIO) -> None:
    """Discard what cannot be written to a stream, so that Python does not fail on it when it ends."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _stdout_failed(error: OSError) -> int:
    """The exit code after a failure to write to stdout, with an error line unless the reader closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discards what is still buffered
    if isinstance(error, BrokenPipeError):
        return ExitCode.DONE
    what = f"cannot be written ({reason(error)})"
    return _fail(UnfinishedError("stdout", what, "free space, or redirect it elsewhere"))


def _run(arguments: list[str], signals: EndedBySignals) -> int:
    names: list[str] = []
    named: Any = None
    try:
        command = build(arguments[0] if arguments else None)
        names, named = _resolve(command, arguments)
        if names == arguments and hasattr(named, "commands"):  # a group without a command shows its help
            arguments = [*arguments, "--help"]
        return int(command(arguments, prog_name="dlnotes", standalone_mode=False) or 0)
    except SeveralProcessesError as needed:
        from dlnotes_cli.training.distributed import run_processes

        return run_processes(arguments, needed.count)
    except (DlnotesError, typer.TyperException) as error:
        return _fail(error if isinstance(error, DlnotesError) else _usage_error(error, names, named))
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:
        if signals.exit_code:  # a library made another exception of it
            return signals.exit_code
        if isinstance(error, OSError) and error.errno in _STDOUT_FAILURES and not error.filename:
            raise
        return _crash(error, arguments)


def _not_installed(error: Exception) -> InputError:
    """The error for a shell configuration that cannot be read or written."""
    why = f"{error.filename}: {reason(error)}" if isinstance(error, OSError) else str(error)
    fix = "set HOME to a writable folder, or add the output of --show-completion to the shell's configuration"
    return InputError("--install-completion", f"cannot install the completion ({why})", fix)


def _fail(error: DlnotesError, *, is_of_process: bool = False) -> int:
    if os.environ.get("DLNOTES_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    output.error(error, is_of_process=is_of_process)
    return error.exit_code


def _crash(error: Exception, arguments: list[str]) -> int:
    """The exit code of an unexpected error: a bug, except for a few failures that can happen anywhere."""
    if arguments[:1] == ["--install-completion"]:
        return _fail(_not_installed(error))
    if isinstance(error, OSError) and error.errno in _PATH_FAILURES and error.filename:
        return _fail(InputError(error.filename, reason(error), "check the path"))
    if any(text in str(error) for text in _TOO_MANY_FILES):
        fix = "raise the limit (ulimit -n), or use fewer --threads"
        return _fail(UnfinishedError("open files", "the process may not open more", fix), is_of_process=True)
    if _is_out_of_memory(error):
        fix = (
            "train with --accumulate 4, also after --resume, or start again with a smaller network (--hidden, "
            "--width), --batch-size, --size or --limit"
        )
        return _fail(UnfinishedError("memory", "not enough for this command", fix), is_of_process=True)
    import traceback

    output.bug(traceback.format_exc())
    return ExitCode.BUG


def _usage_error(error: typer.TyperException, names: list[str], named: Any) -> InputError:
    """Rewrite Typer's message as a line of ours: the option, what is wrong, how to fix it."""
    text = error.format_message().replace("\n", " ").rstrip(".")
    help_hint = f"see {' '.join(['dlnotes', *names])} --help"
    invalid = re.match(r"Invalid value for (?:argument )?'(?P<name>[^' ]+)[^']*': (?P<what>.*)", text)
    missing = re.match(r"No such (?P<kind>option|command):? '?(?P<name>[^' ]+)'?", text)
    if invalid:
        return InputError(invalid["name"], invalid["what"], help_hint)
    if missing:
        kind, name = missing["kind"], missing["name"].rstrip(".")
        options = [option for parameter in named.params for option in parameter.opts if option.startswith("--")]
        near = nearest(name, options if kind == "option" else getattr(named, "commands", {}))
        return InputError(name, f"no such {kind}", f"did you mean {near}? {help_hint}" if near else help_hint)
    absent = re.match(r"Missing (?:argument|option) '(?P<name>[^']+)'", text)
    if absent:
        return InputError(absent["name"], "missing", help_hint)
    return InputError("usage", text[0].lower() + text[1:], help_hint)


def _resolve(program: Any, arguments: list[str]) -> tuple[list[str], Any]:
    """The leading arguments that name a group or command, and that group or command; `program` if there are none."""
    names: list[str] = []
    named = program
    for argument in arguments:
        below = getattr(named, "commands", {}).get(argument)
        if below is None:
            break
        names.append(argument)
        named = below
    return names, named


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in _OUT_OF_MEMORY)
