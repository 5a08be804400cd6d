"""Check what `python -m build` wrote to dist/, and run the wheel in an empty environment.

    python tools/check_dist.py

The wheel must hold the package alone, with its type marker and the weights; the source distribution must hold no caches
and nothing that version control ignores.
"""

import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

DIST = Path(__file__).parent.parent / "dist"
NEEDED = ("dlnotes_cli/py.typed", "dlnotes_cli/weights/small.safetensors", "dlnotes_cli/cli.py")
UNWANTED = re.compile(r"__pycache__|\.pyc$|(^|/)(\.git|\.venv|runs|build|dist)/|\.(mypy|ruff|pytest)_cache|\.DS_Store")
COMMANDS = (["--version"], ["conv-shape", "-W", "130", "-F", "3"])


def only(pattern: str) -> Path:
    """The one file in dist/ that matches a pattern."""
    (path,) = DIST.glob(pattern)
    return path


def check_wheel(names: list[str]) -> None:
    """Raise ValueError if a needed file is missing, or a file of another folder is in the wheel."""
    missing = set(NEEDED) - set(names)
    others = [name for name in names if not re.match(r"dlnotes_cli(-[\d.]+\.dist-info)?/", name)]
    if missing or others:
        raise ValueError(f"wheel: missing {sorted(missing)}, unexpected {others}")


def check_source(names: list[str]) -> None:
    """Raise ValueError if the source distribution lacks a needed file or holds an unwanted one."""
    below = {name.partition("/")[2] for name in names}  # the first folder is name and version
    missing = {*NEEDED, "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} - below
    unwanted = sorted(name for name in below if UNWANTED.search(name))
    if missing or unwanted:
        raise ValueError(f"source distribution: missing {sorted(missing)}, unexpected {unwanted}")


def run_wheel(wheel: Path) -> None:
    """Install the wheel with its dependencies into an empty environment and run two commands there."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        subprocess.run([f"{folder}/bin/pip", "install", "--quiet", wheel], check=True)
        for command in COMMANDS:
            subprocess.run([f"{folder}/bin/dlnotes", *command], check=True, cwd=folder)


def main() -> int:
    """Check both files; any failure ends with an error."""
    wheel = only("*.whl")
    check_wheel(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(only("*.tar.gz")) as archive:
        check_source([member.name for member in archive.getmembers() if member.isfile()])
    run_wheel(wheel)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes, installs and runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
