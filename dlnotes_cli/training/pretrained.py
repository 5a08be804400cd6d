"""The initial weights of a backbone: published by torchvision, bundled, from a file, or random."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dlnotes_cli.data.download import fetch
from dlnotes_cli.data.options import Resize
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.networks import backbones, embedded
from dlnotes_cli.networks.backbones import ExpectedImages, PublishedWeights
from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import user_path
from dlnotes_cli.training.foreign_weights import check_format, file_sha256, read_weights
from dlnotes_cli.training.model_file import EMBEDDED_MODEL
from dlnotes_cli.training.tensor_file import read_tensors

MEBIBYTE = 1 << 20  # in which torchvision states file sizes
_DIGEST_DIGITS = 12  # of a SHA-256: enough to tell weights apart in the cache
_NOT_PUBLISHED = "is damaged: its SHA-256 is not the published one"


@dataclass(frozen=True)
class PretrainedWeights:
    """The initial weights of a backbone, and the images that they expect."""

    name: str  # torchvision's name, a path, "small", or "none"
    expected: ExpectedImages
    file: Path | None  # None: random weights
    digest: str  # differs between weights

    def preprocessing(self, size: int, resize: Resize) -> ImagePreprocessing:
        """How images are preprocessed for these weights, at `size` pixels per side."""
        expected = self.expected
        crop_pct = expected.crop_pct if resize == "crop" else 1.0
        return ImagePreprocessing(3, size, size, resize, expected.mean, expected.std, crop_pct, expected.interpolation)

    def read(self) -> dict[str, Tensor] | None:
        """The state dict; None for random weights."""
        if self.file == EMBEDDED_MODEL:  # which is stored in half precision, with its own checksum
            return {name: tensor.float() for name, tensor in read_tensors(EMBEDDED_MODEL)[0].items()}
        return None if self.file is None else read_weights(self.file)


def find_weights(backbone: str, weights: str, *, offline: bool, seed: int) -> PretrainedWeights:
    """The weights that `--weights` names, downloaded where they are published and not on this machine.

    Raises InputError naming an unknown name, a missing or damaged file, or a failed download.
    """
    if backbone == embedded.EMBEDDED_NAME:
        return _embedded_weights(weights, seed)
    published = backbones.published_weights(backbone)
    if weights == "none":
        return PretrainedWeights("none", published[0].expected, None, f"seed{seed}")
    by_name = {"default": published[0]} | {entry.name: entry for entry in published}
    if weights in by_name:
        pretrained = _fetch(by_name[weights], offline=offline)
        output.detail("weights", str(pretrained.file))
        return pretrained
    path = user_path(weights)
    if path.is_dir():
        raise InputError("--weights", f"{path} is a folder", "use a file")
    if not path.exists():
        if any(mark in weights for mark in "/\\."):
            raise InputError(path, "no such file", "check the path")
        raise unknown_choice("--weights", weights, (*by_name, "none"), kind="weights name (and no such file)")
    return _weights_of_file(path, published)


def local_file(weights: PublishedWeights) -> Path:
    """Where torch stores published weights on this machine, whether or not they are downloaded."""
    return Path(torch.hub.get_dir()) / "checkpoints" / weights.file


def is_downloaded(weights: PublishedWeights) -> bool:
    """Whether published weights are on this machine, undamaged."""
    path = local_file(weights)
    return path.is_file() and file_sha256(path).startswith(weights.sha256)


def _embedded_weights(weights: str, seed: int) -> PretrainedWeights:
    """The weights of the bundled network, which `default` names, or random ones."""
    expected = ExpectedImages(embedded.TRANSFER_SIDE, 1.0, "bilinear", embedded.MEAN, embedded.STD)
    if weights == "none":
        return PretrainedWeights("none", expected, None, f"seed{seed}")
    if weights != "default":
        name = embedded.EMBEDDED_NAME
        raise InputError("--weights", f"{name} has its own weights", "drop it, or choose another --backbone")
    return PretrainedWeights(
        embedded.EMBEDDED_NAME, expected, EMBEDDED_MODEL, file_sha256(EMBEDDED_MODEL)[:_DIGEST_DIGITS]
    )


def _weights_of_file(path: Path, published: tuple[PublishedWeights, ...]) -> PretrainedWeights:
    """The weights in a file, with the preprocessing of the published ones that it is a copy of, or of the default."""
    check_format(path)
    digest = file_sha256(path)  # of what may be gigabytes
    same = next((entry for entry in published if digest.startswith(entry.sha256)), None)
    if same is None and any(entry.file == path.name for entry in published):
        raise InputError(path, _NOT_PUBLISHED, "download it again, or rename it")
    return PretrainedWeights(str(path), (same or published[0]).expected, path, digest[:_DIGEST_DIGITS])


def _fetch(weights: PublishedWeights, *, offline: bool) -> PretrainedWeights:
    """Published weights from torch's folder, downloaded if they are missing or damaged there."""
    path = local_file(weights)
    digest = file_sha256(path) if path.is_file() else ""
    if not digest.startswith(weights.sha256) or not digest:
        if digest and offline:
            raise InputError(path, _NOT_PUBLISHED, "run once without --offline, which downloads it again")
        if digest:
            output.warn(f"{path} {_NOT_PUBLISHED}; downloading it again")
        fetch(
            [weights.url], path, sha256=weights.sha256, size=None, approximate_size=int(weights.mebibytes * MEBIBYTE),
            offline=offline, folder_variable="$TORCH_HOME",
        )  # fmt: skip
        digest = file_sha256(path)
    return PretrainedWeights(weights.name, weights.expected, path, digest[:_DIGEST_DIGITS])
