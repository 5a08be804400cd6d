"""`conv-shape --compare`: parameters, MACs and memory of several networks, side by side."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from dlnotes_cli.lessons.conv_shape.options import NETWORKS, ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
from dlnotes_cli.lessons.conv_shape.stack import read_report
from dlnotes_cli.shapes.choices import NetworkName
from dlnotes_cli.shapes.layer import format_shape, truncate
from dlnotes_cli.shapes.parsing.layer_list import is_file_name
from dlnotes_cli.shapes.report import NetworkReport
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shapes.table import byte_text
from dlnotes_cli.shell.codec import HIDDEN, in_json, to_json
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.shell.show import Table

_NAME = re.compile(r"[\w./\\~-]+")  # of a network or a path; layers have arguments in parentheses
_NAME_WIDTH = 48


class ComparedNetwork(NamedTuple):
    """A network as the user named it, and its report."""

    name: str
    report: NetworkReport


@dataclass(frozen=True)
class ComparisonResult(ConvShapeResult):
    """Several networks."""

    compared: tuple[ComparedNetwork, ...] = field(metadata=HIDDEN)

    @property
    @in_json
    def networks(self) -> list[dict[str, Any]]:
        """The totals of each network."""
        totals = [{"network": name, **to_json(report)} for name, report in self.compared]
        return [{name: value for name, value in one.items() if name != "layers"} for one in totals]

    def table(self) -> Iterator[Table]:
        """Yield a row for each network; ratios are those to the first one."""
        columns = ("network", "input", "output", "parameters", "ratio", "MACs", "ratio", "inference", "training")
        rows = []
        first = self.compared[0].report
        for name, report in self.compared:
            memory = report.memory
            rows.append((
                truncate(" ".join(name.split()), _NAME_WIDTH), format_shape(report.input), format_shape(report.output),
                f"{report.parameters:,}", _ratio(report.parameters, first.parameters),
                f"{report.macs:,}", _ratio(report.macs, first.macs),
                byte_text(memory.inference_bytes), byte_text(memory.training_bytes),
            ))  # fmt: skip
        yield Table(columns, rows, columns[3:], is_result=True, is_plain=True)


def compare_networks(config: ConvShapeConfig) -> ComparisonResult:
    """Analyze each network; raises InputError where PyTorch would raise an error, naming the network."""
    compared: list[ComparedNetwork] = []
    notes: list[str] = []
    for text in config.layers:
        try:
            report, more = read_report(_config_of(text, config))
        except InputError as error:
            if error.where == "--compare":
                raise
            raise InputError(f"{truncate(text)}: {error.where}", error.what, error.fix) from error
        compared.append(ComparedNetwork(text, report))
        notes += more
    return ComparisonResult(tuple(compared), notes=tuple(dict.fromkeys(notes)))


def _config_of(text: str, config: ConvShapeConfig) -> ConvShapeConfig:
    """The options that name the network which an argument names or describes."""
    name = text.strip()
    if name in NETWORKS:
        return replace(config, compare=False, layers=(), network=name)
    if name.endswith(".safetensors") or os.path.isdir(user_path(name)):  # noqa: PTH112  # Path raises for long layers
        return replace(config, compare=False, layers=(), model=Path(name))
    if _NAME.fullmatch(name) and name not in layer_types() and not is_file_name(name):
        see = (
            f"choose from {', '.join(get_args(NetworkName))}, those of transfer --list, or give a run folder or layers"
        )
        raise unknown_choice("--compare", name, NETWORKS, kind="network", see=see)
    return replace(config, compare=False, layers=(text,))


def _ratio(value: int, first: int) -> str:
    return f"{value / first:.3g}" if first else "-"
