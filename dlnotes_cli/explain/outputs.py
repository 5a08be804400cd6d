"""The files that `explain` writes: an image with its heat and a map for every image and class."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.data.images.image_io import FORMATS
from dlnotes_cli.data.paths import InputFile, check_not_input
from dlnotes_cli.explain.options import ExplainConfig
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError

_LONGEST_CLASS = 60  # characters of a class in a file name


@dataclass(frozen=True)
class OutputFiles:
    """Where the results of an image and class are written."""

    out: Path | None
    map: Path | None


class OutputPlan:
    """The paths of all results, checked before the first image is read; folders are created when they are needed."""

    def __init__(self, config: ExplainConfig, inputs: Sequence[InputFile]) -> None:
        """Raise InputError for a path that exists, cannot be written, is an input, or belongs to two results."""
        self._config = config
        is_file = config.out is not None and config.out.suffix.lower() in FORMATS and not config.out.is_dir()
        self._file = config.out if is_file else None
        self._inputs = {file.path: file for file in inputs}
        if self._file is not None:
            self._check_single(len(self._inputs))
        every = [(file, self.files(file.path, name)) for file in self._inputs.values() for name in config.classes]
        for option, root, paths in (
            ("--out", config.out, [planned.out for _, planned in every]),
            ("--maps", config.maps, [planned.map for _, planned in every]),
            ("--sheet", None, [config.sheet_file]),
        ):
            self._check(option, None if root == self._file else root, [path for path in paths if path is not None])

    def files(self, path: Path, class_option: str) -> OutputFiles:
        """The files of an image for one value of `--class`."""
        stem = self._inputs[path].subfolder / path.stem
        if len(self._config.classes) > 1:
            safe = re.sub(r"[^\w.-]+", "_", class_option).strip("_.")[:_LONGEST_CLASS] or "class"
            stem = stem.with_name(f"{stem.name}-{safe}")
        out, maps = self._config.out, self._config.maps
        if out is not None:
            out = self._file or out / stem.with_name(f"{stem.name}.png")
        return OutputFiles(out, None if maps is None else maps / stem.with_name(f"{stem.name}.npy"))

    def make_folder_of(self, option: str, path: Path) -> None:
        """Create the folder of an output file inside the one that an option names."""
        if path != self._file:
            files.make_folder(option, path.parent)

    def _check_single(self, images: int) -> None:
        count = images * len(self._config.classes)
        if count > 1:
            raise InputError("--out", f"{self._config.out} is one file for {count} maps", "give a folder")
        if self._config.out is not None and self._config.out.suffix.lower() == ".npy":
            raise InputError("--out", "writes images", "use --maps FOLDER for the values of a map")

    def _check(self, option: str, root: Path | None, paths: Sequence[Path]) -> None:
        seen: set[Path] = set()
        if root is not None and root.exists() and not root.is_dir():
            raise InputError(option, f"{root} is a file", f"give a folder, or an image file ({', '.join(FORMATS)})")
        for path in paths:
            if path in seen:
                raise InputError(option, f"two results have the path {path}", "explain these images one at a time")
            seen.add(path)
            if root is None or path.exists():
                files.check_output_file(option, path, overwrite=self._config.overwrite)
            check_not_input(option, path, self._inputs)
        if root is not None:
            existing = next(parent for parent in (root, *root.absolute().parents) if parent.exists())
            files.check_writable_folder(option, existing)
