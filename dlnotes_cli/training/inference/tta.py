"""Test-time augmentation (TTA): predictions averaged over shifted and mirrored copies of each image."""

import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from torch import Tensor, nn


class TtaNetwork(nn.Module):
    """A network whose logits are a weighted mean over an image and two shifted copies, as in airbench.

    (Jordan 2024, arXiv:2404.00498.) The image has weight 1/2; the image shifted by one pixel up and left and the one
    shifted down and right have 1/4 each. With `mirror`, each of them is averaged with its horizontal mirror image.
    Logits are averaged, not probabilities: a confident copy then counts for more.
    """

    def __init__(self, network: nn.Module, *, mirror: bool) -> None:
        super().__init__()
        self._network, self._mirror = network, mirror

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K), float32, of images (N, C, H, W)."""
        height, width = x.shape[2:]
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        shifted = self._mirrored_mean(padded[..., :height, :width]) + self._mirrored_mean(padded[..., 2:, 2:])
        return 0.5 * self._mirrored_mean(x) + 0.25 * shifted

    def _mirrored_mean(self, x: Tensor) -> Tensor:
        logits: Tensor = self._network(x).float()
        return (logits + self._network(x.flip(3)).float()) / 2 if self._mirror else logits
