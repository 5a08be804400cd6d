"""The frames of an animation: few, at regular steps, and the same after a resumed run."""

import io
import json

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.style.frames import AnimationFrames


def frame(value: int) -> NDArray[np.uint8]:
    return np.full((6, 8, 3), value, np.uint8)


def shown(frames: AnimationFrames) -> list[int]:
    tensors, _ = frames.state()
    return tensors["frames"][:, 0, 0, 0].tolist() if tensors else []


def test_every_second_frame_is_dropped_when_there_are_too_many() -> None:
    frames = AnimationFrames()
    for step in range(200):
        frames.add(lambda step=step: frame(step))  # type: ignore[misc]
        assert len(shown(frames)) <= 48
    assert shown(frames) == list(range(0, 200, 8))


def test_a_resumed_animation_equals_an_uninterrupted_one() -> None:
    whole, interrupted, resumed = AnimationFrames(), AnimationFrames(), AnimationFrames()
    for step in range(120):
        whole.add(lambda step=step: frame(step))  # type: ignore[misc]
    for step in range(70):
        interrupted.add(lambda step=step: frame(step))  # type: ignore[misc]
    tensors, numbers = interrupted.state()
    resumed.load_state(tensors, json.loads(json.dumps(numbers)))
    for step in range(70, 120):
        resumed.add(lambda step=step: frame(step))  # type: ignore[misc]
    assert shown(resumed) == shown(whole)
    assert resumed.gif(frame(9)) == whole.gif(frame(9))


def test_the_animation_ends_with_the_result_which_stays_longer() -> None:
    frames = AnimationFrames()
    for value in (0, 120):
        frames.add(lambda value=value: frame(value))  # type: ignore[misc]
    with Image.open(io.BytesIO(frames.gif(frame(255)))) as gif:
        found = []
        for index in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(index)
            found.append((round(float(np.asarray(gif.convert("RGB")).mean())), gif.info["duration"]))
    assert [value for value, _ in found] == [0, 120, 255] or found[1][0] in range(110, 130)
    assert found[-1][1] > found[0][1]
