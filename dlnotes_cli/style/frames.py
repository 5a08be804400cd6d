"""The frames of `--animate`: images of the progress at regular steps, few enough for any number of steps."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.plots.figure import image_gif

MAX_SIDE = 400  # pixels of a frame's longer side
_MOST = 48  # frames; when there are more, every second one is dropped
_FRAME_S = 0.12
_TENSOR = "frames"  # in checkpoints


class AnimationFrames:
    """Images of one result, uint8 (H, W, 3): at step 0 and then every `interval` steps of all scales together."""

    TENSORS = frozenset({_TENSOR})

    def __init__(self) -> None:
        self._images: list[NDArray[np.uint8]] = []
        self._interval, self._step = 1, 0

    def add(self, draw: Callable[[], NDArray[np.uint8]]) -> None:
        """Count a step, and add the frame that `draw` returns if it is the turn of one."""
        if self._step % self._interval == 0:
            self._images.append(draw())
        if len(self._images) > _MOST:
            self._images = self._images[::2]
            self._interval *= 2
        self._step += 1

    def gif(self, result: NDArray[np.uint8]) -> bytes:
        """The animation, which ends with the result."""
        return image_gif([*self._images, result], _FRAME_S)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values from which `load_state` continues."""
        tensors = {_TENSOR: torch.from_numpy(np.stack(self._images))} if self._images else {}
        return tensors, {"interval": self._interval, "step": self._step}

    def load_state(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Continue from a `state`. Raises KeyError or ValueError for what is none."""
        images = tensors.get(_TENSOR, torch.empty((0, 1, 1, 3), dtype=torch.uint8))
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[3] != 3:  # noqa: PLR2004  # N, H, W, RGB
            raise ValueError(_TENSOR)
        self._images = list(images.numpy())
        self._interval, self._step = max(1, int(numbers["interval"])), int(numbers["step"])
