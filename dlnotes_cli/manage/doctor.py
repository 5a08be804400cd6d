"""What this machine has: versions, devices, precision, cores, cache, data sets."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dlnotes_cli import __version__, device
from dlnotes_cli.data.named import named_sets
from dlnotes_cli.manage.options_doctor import DoctorConfig

_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "matplotlib", "typer", "rich")


def examine(config: DoctorConfig) -> dict[str, Any]:
    """Everything that a bug report should hold."""
    cache = named.cache_folder()
    sets = {summary.name: summary.found_in for summary in named.summaries(config.data_root)}
    return {
        "dlnotes": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        **device.describe(),
        "cache": {"path": str(cache), "exists": cache.is_dir()},
        "data_sets": sets,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
