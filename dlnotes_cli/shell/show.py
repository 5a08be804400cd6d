"""How a command shows its result: as a table, as JSON, as CSV, or as nothing but paths."""

import csv
import io
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.shell.option import flag, options_of


class Table(NamedTuple):
    """Rows below columns; those in `numeric`, and those whose cells are all numbers, are aligned to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    numeric: Collection[str] = ()
    is_result: bool = False  # and printed with `-q`, too
    is_in_csv: bool = False  # and not printed where `--csv` writes it to a file
    is_plain: bool = False  # and printed without rich, whose import takes a fifth of a quick calculation


class Detail(str):
    """A line that `-q` leaves out, as it does tables."""

    __slots__ = ()


class Shown(Protocol):
    """What `show` asks of a result.

    It may also have `csv() -> str`, `paths`, which it wrote, `notes`, `next_command`, which a person may type then, and
    `check(config)`, which raises GateError.
    """

    def table(self) -> Iterable[Table | str]:
        """Tables, of which `-q` prints results only, and lines, of which it leaves out each `Detail`."""


def show(result: Shown, config: Any) -> None:
    """Print the result of a command as its options ask for.

    The document has what `to_json` makes of the result. `--csv` writes or prints `result.csv()`. Otherwise lines and
    tables are printed, and then the paths of written files. Notes go to standard error, as does the next command, which
    JSON has not. At last the result is checked against the gates of the command.
    """
    as_csv: Callable[[], str] | None = getattr(result, "csv", None)
    csv_path, paths = getattr(config, "csv", None) if as_csv else None, list(getattr(result, "paths", ()))
    if as_csv and csv_path not in (None, "-"):
        files.write_text(files.user_path(csv_path), as_csv())
        paths.insert(0, Path(csv_path))
    if config.json:
        output.document(config.command, to_json(result))
    elif as_csv and csv_path == "-":
        output.raw(as_csv())
    else:
        shown = [part for part in result.table() if csv_path is None or not getattr(part, "is_in_csv", False)]
        _print(chain(shown, map(str, paths)), is_short=config.quiet or csv_path is not None)
    for note in getattr(result, "notes", ()):
        output.note(note)
    if not config.json and hasattr(result, "next_command"):
        output.status("next", result.next_command)
    if hasattr(result, "check"):
        result.check(config)


def check_outputs(config: Any) -> None:
    """Raise InputError, before any work, where a file that `--csv` or an option with `ends_in` names cannot be made."""
    for name, described in options_of(type(config)).items():
        path = getattr(config, name)
        is_csv = name == "csv" and not described.is_argument and path != "-" and hasattr(config, "overwrite")
        if path is not None and (described.ends_in or is_csv):
            files.check_output_file(flag(name, described), files.user_path(path), overwrite=config.overwrite)


def csv_file(config: Any) -> Path | None:
    """The file of `--csv`; None without one, and for standard output."""
    return None if config.csv in (None, "-") else files.user_path(config.csv)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV table."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()


def _print(parts: Iterable[Table | str], *, is_short: bool) -> None:
    """Print lines, and tables with an empty line between them and other parts; if `is_short`, of tables only results.

    Two empty lines become one.
    """
    is_below_table, has_space = False, True
    for part in parts:
        if is_short and (isinstance(part, Detail) or (isinstance(part, Table) and not part.is_result)):
            continue
        if is_below_table or (isinstance(part, Table) and not has_space):
            output.line()
            has_space = True
        is_below_table = isinstance(part, Table)
        if isinstance(part, Table):
            output.table(part.columns, part.rows, part.numeric, is_plain=part.is_plain)
            has_space = False
        else:
            if part or not has_space:
                output.line(part)
            has_space = not part
