"""`conv-shape --compare`: parameters, MACs and memory of several networks, side by side."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.results import ConvShapeResult
from dlnotes_cli.lessons.conv_shape.stack import known_remarks, network_by_name, read_stack
from dlnotes_cli.shapes.choices import NetworkName
from dlnotes_cli.shapes.graph import Network
from dlnotes_cli.shapes.layer import Shape, format_shape, truncate
from dlnotes_cli.shapes.parsing.layer_files import is_file_name
from dlnotes_cli.shapes.report import NetworkReport, analyze
from dlnotes_cli.shapes.rules.layer_types import layer_types
from dlnotes_cli.shapes.table import byte_text
from dlnotes_cli.shell.codec import HIDDEN, in_json, to_json
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path

_NAME = re.compile(r"[\w./\\~-]+")  # of a network or a path; layers have arguments in parentheses
_NAME_WIDTH, _TEXT_COLUMNS = 48, 3


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

    def table(self) -> Iterator[str]:
        """Yield a row for each network; ratios are those to the first one."""
        rows = [("network", "input", "output", "parameters", "ratio", "MACs", "ratio", "inference", "training")]
        first = self.compared[0].report
        for name, report in self.compared:
            memory = report.memory
            rows.append((
                truncate(" ".join(name.split()), _NAME_WIDTH), format_shape(report.input), format_shape(report.output),
                f"{report.parameters:,}", _ratio(report.parameters, first.parameters),
                f"{report.macs:,}", _ratio(report.macs, first.macs),
                byte_text(memory.inference_bytes), byte_text(memory.training_bytes),
            ))  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            padded = zip(row, widths, strict=True)
            cells = [cell.rjust(w) if i >= _TEXT_COLUMNS else cell.ljust(w) for i, (cell, w) in enumerate(padded)]
            yield "  ".join(cells).rstrip()


def compare_networks(config: ConvShapeConfig) -> ComparisonResult:
    """Analyze each network; raises InputError where PyTorch would raise an error, naming the network."""
    compared, notes = [], []
    for text in config.layers:
        try:
            network, shape = _read(text, config)
            report = analyze(network, shape, batch=config.batch, dtype=config.dtype, optimizer=config.optimizer)
        except InputError as error:
            if error.where == "--compare":
                raise
            raise InputError(f"{truncate(text)}: {error.where}", error.what, error.fix) from error
        compared.append(ComparedNetwork(text, report))
        notes += [*(known_remarks(name) if (name := _known(text)) else ()), *network.notes]
    return ComparisonResult(tuple(compared), notes=tuple(dict.fromkeys(notes)))


def _read(text: str, config: ConvShapeConfig) -> tuple[Network, Shape]:
    """The network that an argument names or describes, and its input."""
    name = text.strip()
    if known := _known(text):
        return network_by_name(known, config)
    if name.endswith(".safetensors") or _is_folder(name):
        return read_stack(replace(config, compare=False, layers=(), model=Path(name)))
    if _NAME.fullmatch(name) and name not in layer_types() and not is_file_name(name):
        raise _unknown(name)
    return read_stack(replace(config, compare=False, layers=(text,)))


def _known(text: str) -> NetworkName | None:
    return next((name for name in get_args(NetworkName) if name == text.strip()), None)


def _unknown(name: str) -> InputError:
    names = get_args(NetworkName)
    see = f"choose from {', '.join(names)}, or give a run folder or layers"
    return unknown_choice("--compare", name, names, kind="network", see=see)


def _is_folder(name: str) -> bool:
    try:
        return user_path(name).is_dir()
    except (OSError, ValueError):  # layers are often too long for a name
        return False


def _ratio(value: int, first: int) -> str:
    return f"{value / first:.3g}" if first else "-"
