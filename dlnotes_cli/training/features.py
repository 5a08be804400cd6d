"""Features of images, computed in batches of one size and cached by the decode cache."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.folder_samples import FeatureExtractor
from dlnotes_cli.device import Runtime

_BATCH = 16  # always as many images, so that the features of one do not depend on the others in its batch


def cached_features(
    name: str, width: int, compute: Callable[[Tensor, Tensor], Tensor], runtime: Runtime, *, suffix: str = ""
) -> FeatureExtractor:
    """The computation of features (n, width) from pixels (n, C, H, W), for the cache.

    `compute` maps samples uint8 (16, C, H, W) and a seed for each, both on the device, to features (16, width). The
    name of the cache entry is `name` with precision, device and `suffix`.
    """

    def batch(pixels: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.float32]:
        filled = np.zeros((_BATCH, *pixels.shape[1:]), np.uint8)
        filled[: len(pixels)] = pixels
        image_seeds = torch.zeros(_BATCH, dtype=torch.int64)
        image_seeds[: len(seeds)] = torch.tensor(list(seeds))
        outputs = compute(torch.from_numpy(filled).to(runtime.device), image_seeds.to(runtime.device))
        return outputs[: len(pixels)].float().cpu().numpy()

    @torch.no_grad()
    def run(pixels: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.float32]:
        starts = range(0, len(pixels), _BATCH)
        return np.concatenate([batch(pixels[i : i + _BATCH], seeds[i : i + _BATCH]) for i in starts])

    device = "" if runtime.device.type == "cpu" else f"-{runtime.device.type}"
    return FeatureExtractor(f"features-{name}-{runtime.precision}{device}{suffix}", width, _BATCH, run)
