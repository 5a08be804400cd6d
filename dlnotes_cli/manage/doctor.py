"""Report versions, devices, precision, cores, caches and data sets of this machine."""

import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dlnotes_cli import __version__
from dlnotes_cli.data.named.named_sets import list_named
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.device import GpuReport, Hardware, describe_hardware, report_gpu
from dlnotes_cli.manage.device_timing import BackboneTiming, time_backbone
from dlnotes_cli.manage.options import DoctorConfig
from dlnotes_cli.shell.codec import INLINE, to_json
from dlnotes_cli.shell.show import Table

_PACKAGES = (
    "torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "matplotlib", "pandas", "typer", "rich",
    "onnx", "onnxscript", "onnxruntime",
)  # fmt: skip


@dataclass(frozen=True)
class CacheLocation:
    """The cache folder, and whether it exists."""

    path: str
    exists: bool


@dataclass(frozen=True)
class DoctorReport:
    """What a bug report should contain."""

    dlnotes: str  # version
    python: str  # version
    system: str
    packages: dict[str, str | None]  # versions; None if not installed
    hardware: Hardware = field(metadata=INLINE)
    gpu: GpuReport
    cache: CacheLocation
    data_sets: dict[str, str | None]  # where each named set was found; None if it would have to be downloaded
    timing: BackboneTiming | None = None  # of `--time`

    def table(self) -> Iterator[Table | str]:
        """A row for each field, or the timing."""
        if self.timing is not None:
            yield from self.timing.table()
            return
        fields = to_json(self) | {"gpu": str(self.gpu)}
        del fields["timing"]
        rows = [(name.replace("_", " "), _as_text(value)) for name, value in fields.items()]
        yield Table(("what", "found"), rows, is_result=True)

    @property
    def notes(self) -> Iterable[str]:
        """What a reader of the timing may not expect."""
        return () if self.timing is None else self.timing.notes


def examine(config: DoctorConfig, root: Path = Path("/")) -> DoctorReport:
    """Examine this machine; `root` is the file system in which GPU drivers are detected."""
    cache = cache_folder()
    return DoctorReport(
        dlnotes=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        packages={name: _version(name) for name in _PACKAGES},
        hardware=describe_hardware(),
        gpu=report_gpu(root),
        cache=CacheLocation(str(cache), cache.is_dir()),
        data_sets={one.name: one.found for one in list_named(config.data_root)},
        timing=None if config.time is None else time_backbone(config),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _as_text(value: object) -> str:
    """A value of a JSON document for people."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "missing" if value is None else str(value)
