"""What `filter` reads and what it writes: from words to inputs, and from `--out` to a file for every result."""

import glob
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlnotes_cli.data.images.image_io import FORMATS
from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.data.walk import EXTENSIONS, find_images
from dlnotes_cli.filter.options import FilterConfig
from dlnotes_cli.shell import files
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.files import user_path

_USUAL_PATTERN = "{name}-{kernel}"
_MOST_BYTES = 2**31  # of an image on stdin


@dataclass(frozen=True)
class Item:
    """An image to read: its file, and the folder below the one that was named in which it lies."""

    path: Path
    below: Path = Path()
    content: bytes | None = None  # what stdin gave


@dataclass(frozen=True)
class Target:
    """A file to write: which results stand in it, side by side. Without a path it is stdout."""

    path: Path | None
    format: str  # as FORMATS name it
    branches: tuple[int, ...]


def find_items(config: FilterConfig) -> list[Item]:
    """The images that are named, in order. Raises InputError where a word gives none."""
    if not config.paths:
        return [Item(sample_image("china.jpg", "PATH"))]
    if config.paths.count("-") > 1:
        raise InputError("PATH", "- is stdin, which can be read once", "give it once")
    found = [item for word in config.paths for item in _expand(word, config)]
    return list(dict.fromkeys(found))


def plan_targets(config: FilterConfig, items: Sequence[Item], names: Sequence[str]) -> list[list[Target]]:
    """For each item the files of its results, `names` being those of the kernels.

    Everything is checked, nothing made: raises InputError for an ending that cannot be written, for a file that exists
    without `--overwrite`, and where two results would have one name.
    """
    if config.out == "-":
        if len(items) > 1:
            raise InputError("--out", f"- takes one image, got {len(items)}", "give a folder or a pattern")
        return [[Target(None, FORMATS[f".{config.format or 'png'}"], tuple(range(len(names))))]]
    if config.out is None and config.sheet is not None:
        return [[] for _ in items]
    plan = [list(_targets(config, item, i, len(items), names)) for i, item in enumerate(items, 1)]
    paths = [target.path for targets in plan for target in targets if target.path]
    _check_files(paths, overwrite=config.overwrite)
    is_folder = config.out is not None and "{" not in config.out and _is_folder(config.out)
    _check_folders(paths, user_path(str(config.out)) if is_folder else None)
    return plan


def make_folders(config: FilterConfig, plan: Sequence[Sequence[Target]]) -> None:
    """Make the folder that `--out` names, and those below it."""
    root = user_path(str(config.out))
    for folder in dict.fromkeys(target.path.parent for targets in plan for target in targets if target.path):
        for missing in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
            if missing == root or root in missing.parents:
                files.make_folder("--out", missing)


def _expand(word: str, config: FilterConfig) -> Iterator[Item]:
    if word == "-":
        yield Item(Path("stdin"), content=_stdin())
        return
    path = user_path(word)
    if path.is_dir():
        yield from _below(path, is_recursive=config.recursive)
    elif path.exists() or not glob.has_magic(word):
        yield Item(path)
    else:
        matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  # patterns may be absolute
        images = [Path(match) for match in matches if Path(match).is_file()]
        if not images:
            raise InputError(word, "the pattern matches no file", "check it")
        yield from map(Item, images)


def _below(folder: Path, *, is_recursive: bool) -> Iterator[Item]:
    if is_recursive:
        found = list(find_images(folder))
    else:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        found = [entry for entry in entries if entry.suffix.lower() in EXTENSIONS and entry.is_file()]
    if not found:
        raise InputError(folder, "a folder without images", "give another" if is_recursive else "add --recursive")
    yield from (Item(path, path.parent.relative_to(folder)) for path in found)


def _stdin() -> bytes:
    content = sys.stdin.buffer.read(_MOST_BYTES) if sys.stdin else b""  # None where it is closed
    if not content:
        raise InputError("stdin", "is empty", "send an image, as in `dlnotes filter - < photo.jpg`")
    return content


def _targets(config: FilterConfig, item: Item, index: int, count: int, names: Sequence[str]) -> Iterator[Target]:
    out = config.out
    ending = f".{config.format}" if config.format else None
    if out is None:
        out = f"{_USUAL_PATTERN}{ending or '.png'}"
    if "{" in out:
        yield from _by_pattern(out, item, f"{index:0{len(str(count))}}", names, config.format)
        return
    path = user_path(out)
    if _is_folder(out):
        own = item.path.suffix if item.path.suffix.lower() in FORMATS else ".png"
        for i, name in enumerate(names):
            stem = item.path.stem if len(names) == 1 else f"{item.path.stem}-{name}"
            file = path / item.below / f"{stem}{ending or own}"
            yield Target(file, _format(file), (i,))
    elif count > 1:
        raise InputError("--out", f"{out} is one file for {count} images", "give a folder, or a pattern with {name}")
    else:
        yield Target(path, _format(path, config.format), tuple(range(len(names))))


def _by_pattern(pattern: str, item: Item, index: str, names: Sequence[str], wanted: str | None) -> Iterator[Target]:
    together = tuple(range(len(names)))
    for branches in [(i,) for i in together] if "{kernel}" in pattern else [together]:
        words = {"name": item.path.stem, "index": index, "kernel": names[branches[0]]}
        unknown = set(re.findall(r"\{([^{}]*)\}", pattern)) - set(words)
        if unknown:
            raise InputError("--out", f"unknown word {{{min(unknown)}}}", "use {name}, {kernel} and {index}")
        text = "".join(words.get(part, part) for part in re.split(r"\{(name|index|kernel)\}", pattern))
        yield Target(user_path(text), _format(user_path(text), wanted), branches)


def _format(path: Path, wanted: str | None = None) -> str:
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise InputError("--out", f"'{path.suffix}' cannot be written", f"use {', '.join(FORMATS)}, or a folder")
    if wanted is not None and FORMATS[f".{wanted}"] != found:
        raise InputError("--format", f"{wanted} is not what the ending of {path} says", "leave one of them out")
    return found


def _is_folder(out: str) -> bool:
    path = user_path(out)
    return path.is_dir() or out.endswith("/") or not path.suffix


def _check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise InputError("--out", f"two results would be {path}", "use a pattern with {name}, {kernel} and {index}")
        seen.add(path)
        if path.exists():
            files.check_output_file("--out", path, overwrite=overwrite)


def _check_folders(paths: Sequence[Path], root: Path | None) -> None:
    """Every folder can be written to; `root` and what is below it may still have to be made."""
    for folder in dict.fromkeys(path.parent for path in paths):
        parts = () if root is None else (folder, *folder.parents)
        present = next((part for part in parts if part.exists() or part == root.parent), folder)  # type: ignore[union-attr]
        files.check_writable_folder("--out", present)
