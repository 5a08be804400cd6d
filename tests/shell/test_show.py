"""How a result is shown: as tables and lines, as JSON, as CSV."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.codec import HIDDEN
from dlnotes_cli.shell.errors import GateError, InputError
from dlnotes_cli.shell.option import Config, option
from dlnotes_cli.shell.show import Detail, Table, check_outputs, show


@dataclass(frozen=True, kw_only=True)
class ShownConfig(Config, command="shown"):
    plot: Path | None = option(None, "Plot.", panel="Output", ends_in=".png")
    csv: str | None = common.CSV
    overwrite: bool = common.OVERWRITE


@dataclass(frozen=True)
class Result:
    name: str = "a"
    notes: tuple[str, ...] = field(default=("take care",), metadata=HIDDEN)
    paths: tuple[Path, ...] = field(default=(Path("plot.png"),), metadata=HIDDEN)
    next_command: str = field(default="dlnotes more", metadata=HIDDEN)

    def table(self) -> Iterator[Table | str]:
        yield Table(("name", "value"), [("a", 1)])
        yield Detail("a detail")
        yield "one row"
        yield Table(("kept",), [("b",)], is_result=True, is_in_csv=True)

    def csv(self) -> str:
        return "name,value\na,1\n"

    def check(self, _: Config) -> None:
        raise GateError("--least", "not reached")


LAST, NEXT = ["", "kept", "────", "b", ""], "next: dlnotes more\n"


@pytest.mark.parametrize(
    ("options", "printed", "following"),
    [
        ({}, ["name   value", "────────────", "a          1", "", "a detail", "one row", *LAST, "plot.png"], NEXT),
        ({"quiet": True}, ["one row", *LAST, "plot.png"], NEXT),
        ({"csv": "-"}, ["name,value", "a,1"], NEXT),
        ({"csv": "a.csv"}, ["one row", "a.csv", "plot.png"], NEXT),
        ({"json": True}, ["{", '  "schema_version": 1,', '  "command": "shown",', '  "name": "a"', "}"], ""),
    ],
    ids=str,
)
def test_each_way_to_show_a_result(
    options: dict[str, Any], printed: list[str], following: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GateError):
        show(Result(), ShownConfig(**options))
    shown = capsys.readouterr()
    assert shown.out.splitlines() == printed
    assert shown.err == "dlnotes: note: take care\n" + following
    assert [path.read_text() for path in tmp_path.iterdir()] == [Result().csv()] * (options.get("csv") == "a.csv")


@pytest.mark.parametrize("name", ["csv", "plot"])
def test_a_file_that_exists_is_not_replaced_without_being_asked(name: str, tmp_path: Path) -> None:
    values: dict[str, Any] = {name: str(tmp_path / "a.png")}
    (tmp_path / "a.png").touch()
    check_outputs(ShownConfig(csv="-"))
    check_outputs(ShownConfig(**values, overwrite=True))
    with pytest.raises(InputError, match=f"--{name}: .* exists; pass --overwrite"):
        check_outputs(ShownConfig(**values))
