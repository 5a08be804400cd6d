"""The weights of a pretrained network: published by torchvision, from a file, or none."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dlnotes_cli.data.download import fetch
from dlnotes_cli.models import backbones
from dlnotes_cli.models.backbones import Published
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.foreign_weights import file_sha256, read_weights

_MEBIBYTE = 1 << 20  # in which torchvision states sizes
_DIGITS = 12  # of a digest that tells weights apart in the cache


@dataclass(frozen=True)
class PretrainedWeights:
    """First weights of a network, and the published ones whose form of images they follow."""

    name: str  # of torchvision's, a path, or "none"
    published: Published
    file: Path | None  # None: drawn at random
    digest: str  # tells them from others

    def read(self) -> dict[str, Tensor] | None:
        """The tensors, or None for random ones."""
        return None if self.file is None else read_weights(self.file)


def find_weights(backbone: str, word: str, *, offline: bool, seed: int) -> PretrainedWeights:
    """What `--weights` names; torchvision's are downloaded where they are not on this machine.

    Raises InputError naming what is not there, or is damaged.
    """
    known = backbones.published(backbone)
    if word == "none":
        return PretrainedWeights("none", known[0], None, f"seed{seed}")
    by_name = {"default": known[0]} | {weights.name: weights for weights in known}
    if word in by_name:
        found = _published(by_name[word], offline=offline)
        output.detail(f"weights  {found.file}")
        return found
    path = user_path(word)
    if path.is_dir():
        raise InputError("--weights", f"{path} is a folder", "give the file")
    if not path.exists():
        if any(mark in word for mark in "/\\."):
            raise InputError("--weights", f"no such file: {path}", "check the path")
        raise unknown_choice("--weights", word, (*by_name, "none"), kind="word (and no such file)")
    digest = file_sha256(path)
    same = next((weights for weights in known if digest.startswith(weights.sha256)), None)
    if same is None and any(weights.file == path.name for weights in known):
        raise InputError(path, "is damaged: its SHA-256 is not the published one", "fetch it again, or rename it")
    return PretrainedWeights(str(path), same or known[0], path, digest[:_DIGITS])


def local_file(weights: Published) -> Path:
    """Where torch keeps published weights on this machine; they need not be there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights.file


def is_downloaded(weights: Published) -> bool:
    """Whether published weights are on this machine, and whole."""
    path = local_file(weights)
    return path.is_file() and file_sha256(path).startswith(weights.sha256)


def _published(weights: Published, *, offline: bool) -> PretrainedWeights:
    path = local_file(weights)
    digest = file_sha256(path) if path.is_file() else ""
    if not digest.startswith(weights.sha256) or not digest:
        if digest and offline:
            fix = "run once without --offline, which downloads it again"
            raise InputError(path, "is damaged: its SHA-256 is not the published one", fix)
        if digest:
            output.warn(f"{path} is damaged: its SHA-256 is not the published one; downloading it again")
        fetch(
            [weights.url], path, sha256=weights.sha256, size=None, approximate_size=int(weights.mebibytes * _MEBIBYTE),
            offline=offline, folder_variable="$TORCH_HOME",
        )  # fmt: skip
        digest = file_sha256(path)
    return PretrainedWeights(weights.name, weights, path, digest[:_DIGITS])
