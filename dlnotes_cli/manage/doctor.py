"""Report versions, devices, precision, cores, caches and data sets of this machine."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlnotes_cli import __version__
from dlnotes_cli.data.named.named_sets import summaries
from dlnotes_cli.data.paths import cache_folder
from dlnotes_cli.device import GpuReport, Hardware, describe_hardware, report_gpu
from dlnotes_cli.manage.options import DoctorConfig

if TYPE_CHECKING:
    from dlnotes_cli.manage.device_timing import BackboneTiming

_PACKAGES = (
    "torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "matplotlib", "typer", "rich", "onnx",
    "onnxscript", "onnxruntime",
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
    hardware: Hardware
    gpu: GpuReport
    cache: CacheLocation
    data_sets: dict[str, str | None]  # where each named set was found; None if it would have to be downloaded
    timing: "BackboneTiming | None" = None  # of `--time`

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values, those of the hardware at the top level."""
        return {
            "dlnotes": self.dlnotes,
            "python": self.python,
            "system": self.system,
            "packages": self.packages,
            **self.hardware.as_json(),
            "gpu": self.gpu.as_json(),
            "cache": asdict(self.cache),
            "data_sets": self.data_sets,
            "timing": None if self.timing is None else self.timing.as_json(),
        }

    def as_rows(self) -> dict[str, Any]:
        """The fields of `as_json` for a table, the GPU as one sentence, without the timing."""
        rows = self.as_json() | {"gpu": str(self.gpu)}
        del rows["timing"]
        return rows


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
        data_sets={summary.name: summary.found_in for summary in summaries(config.data_root)},
        timing=_timing(config),
    )


def _timing(config: DoctorConfig) -> "BackboneTiming | None":
    if config.time is None:
        return None
    from dlnotes_cli.manage.device_timing import time_backbone  # only timing needs torchvision

    return time_backbone(config)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
