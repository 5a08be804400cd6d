"""How a result is shown."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.codec import HIDDEN
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, option
from dlnotes_cli.shell.show import Detail, Table, check_outputs, show


@dataclass(frozen=True, kw_only=True)
class ShownConfig(Config):
    command: ClassVar[str] = "shown"
    plot: Path | None = option(None, "Plot.", panel="Output", ends_in=".png")
    csv: str | None = common.CSV
    overwrite: bool = common.OVERWRITE
    json: bool = common.JSON
    quiet: bool = common.QUIET


@dataclass(frozen=True)
class Two:
    name: str = "a"
    notes: tuple[str, ...] = field(default=("take care",), metadata=HIDDEN)
    paths: tuple[Path, ...] = field(default=(Path("plot.png"),), metadata=HIDDEN)

    def table(self) -> Iterator[Table | str]:
        yield Table(("name", "value"), [("a", 1)])
        yield Detail("a detail")
        yield "one row"

    def csv(self) -> str:
        return "name,value\na,1\n"


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ({"quiet": True}, ["one row", "plot.png"]),
        ({"csv": "-"}, ["name,value", "a,1"]),
        ({}, ["name   value", "────────────", "a          1", "", "a detail", "one row", "plot.png"]),
    ],
)
def test_tables_lines_and_paths(
    options: dict[str, object], printed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    show(Two(), ShownConfig(**options))  # type: ignore[arg-type]  # values of several types
    shown = capsys.readouterr()
    assert [line.rstrip() for line in shown.out.splitlines()] == printed
    assert shown.err == "dlnotes: note: take care\n"


def test_json_has_the_fields_and_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    show(Two(), ShownConfig(json=True), plot=Path("b"))
    document = json.loads(capsys.readouterr().out)
    assert document == {"schema_version": 1, "command": "shown", "name": "a", "plot": "b"}


def test_csv_is_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(Two(), ShownConfig(csv=str(tmp_path / "a.csv")))
    assert (tmp_path / "a.csv").read_text() == "name,value\na,1\n"
    assert capsys.readouterr().out.splitlines() == ["one row", str(tmp_path / "a.csv"), "plot.png"]


@pytest.mark.parametrize("name", ["csv", "plot"])
def test_a_file_that_exists_is_not_replaced_without_being_asked(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    check_outputs(ShownConfig(csv="-"))
    check_outputs(ShownConfig(**{name: str(path)}, overwrite=True))  # type: ignore[arg-type]  # as above
    with pytest.raises(InputError, match=f"--{name}: .* exists; pass --overwrite"):
        check_outputs(ShownConfig(**{name: str(path)}))  # type: ignore[arg-type]  # as above
