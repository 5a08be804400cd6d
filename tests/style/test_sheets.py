"""The drawings of style transfer: frames are few and the same after a resumed run, heat maps depend on the matrices."""

import io
import json

import numpy as np
import pytest
import torch
from drawn import has_white_margin, pixels
from PIL import Image

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.plots import sheet as sheet_module
from dlnotes_cli.style.images import InputImage, Pixels
from dlnotes_cli.style.objective import gram
from dlnotes_cli.style.sheets import AnimationFrames, draw_grams, draw_results


def frame(value: int) -> Pixels:
    return np.full((6, 8, 3), value, np.uint8)


def add(frames: AnimationFrames, steps: range) -> AnimationFrames:
    for step in steps:
        frames.add(lambda step=step: frame(step))  # type: ignore[misc]
        assert len(frames.state()[0]) <= 48
    return frames


def test_every_second_frame_is_dropped_when_there_are_too_many() -> None:
    frames, _ = add(AnimationFrames(), range(200)).state()
    assert frames[:, 0, 0, 0].tolist() == list(range(0, 200, 8))


def test_a_resumed_animation_equals_an_uninterrupted_one() -> None:
    whole, resumed = add(AnimationFrames(), range(120)), AnimationFrames()
    images, numbers = add(AnimationFrames(), range(70)).state()
    resumed.load_state(images, json.loads(json.dumps(numbers)))
    assert add(resumed, range(70, 120)).gif(frame(9)) == whole.gif(frame(9))


def test_the_animation_ends_with_the_result_which_stays_longer() -> None:
    with Image.open(io.BytesIO(add(AnimationFrames(), range(0, 240, 120)).gif(frame(255)))) as gif:
        durations = []
        for index in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(index)
            durations.append(gif.info["duration"])
        assert np.asarray(gif.convert("RGB")).min() > 250
    assert (len(durations), durations[-1] > max(durations[:-1])) == (3, True)


def test_results_keep_their_shape() -> None:
    wide, tall = np.zeros((90, 160, 3), np.uint8), np.full((40, 20, 3), 255, np.uint8)
    png = draw_results([[("wide", wide), ("tall", tall)]], [InputImage("white", LoadedImage(tall))])
    assert has_white_margin(png)
    rows, columns = np.nonzero((pixels(png)[100:] == 0).all(2))  # below the title
    assert (np.ptp(columns) + 1) / (np.ptp(rows[columns == columns.min()]) + 1) == pytest.approx(160 / 90, rel=0.02)


def test_shuffled_pixels_give_the_same_heat_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randint(-9, 9, (1, 6, 5, 7), generator=generator).double()  # whose sums are exact
    shuffled = features.flatten(2)[..., torch.randperm(35, generator=generator)].view(1, 6, 5, 7)
    rolled = features.roll(1, dims=1)
    sheets = [draw_grams([("style", {"a": gram(values)})], []) for values in (features, shuffled, rolled)]
    assert sheets[0] == sheets[1] != sheets[2]


def test_a_sheet_has_a_row_per_layer_and_region_and_the_differences_from_the_style(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[sheet_module.Sheet] = []

    def keep(sheet: sheet_module.Sheet) -> None:
        drawn.append(sheet)

    monkeypatch.setattr(sheet_module.Sheet, "png", keep)
    style = {"a": torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[1.0, -1.0], [-1.0, 1.0]]])}
    draw_grams([("style", style), ("content", {"a": style["a"] * 1.5})], ["region 1", "rest"])
    sections = drawn[0].sections
    assert [section.heading for section in sections] == ["a, region 1: 2 channels", "a, rest: 2 channels"]
    assert [[panel.note for panel in section.panels] for section in sections] == [["", "difference 50%"]] * 2
    assert [section.bar.low for section in sections if section.bar] == [0.0, -1.5]
