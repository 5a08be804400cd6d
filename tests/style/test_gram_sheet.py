"""The heat maps of Gram matrices: what is drawn depends on the matrices only."""

import pytest
import torch

from dlnotes_cli.plots import sheet as sheet_module
from dlnotes_cli.style.gram_sheet import draw_grams
from dlnotes_cli.style.losses import style_grams


def test_shuffled_pixels_give_the_same_heat_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randint(-9, 9, (1, 6, 5, 7), generator=generator).double()  # whose sums are exact
    shuffled = features.flatten(2)[..., torch.randperm(35, generator=generator)].view(1, 6, 5, 7)
    rolled = features.roll(1, dims=1)
    sheets = [
        draw_grams([("style", style_grams({"a": values}, ["a"], "relative"))], [])
        for values in (features, shuffled, rolled)
    ]
    assert sheets[0] == sheets[1] != sheets[2]


def test_a_sheet_has_a_row_per_layer_and_region_and_the_differences_from_the_style(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[sheet_module.Sheet] = []

    def png(sheet: sheet_module.Sheet) -> bytes:
        drawn.append(sheet)
        return b""

    monkeypatch.setattr(sheet_module.Sheet, "png", png)
    style = {"a": torch.tensor([[[3.0, 0.0], [0.0, 4.0]], [[1.0, -1.0], [-1.0, 1.0]]])}
    content = {"a": style["a"] * 1.5}
    draw_grams([("style", style), ("content", content)], ["region 1", "rest"])
    sections = drawn[0].sections
    assert [section.heading for section in sections] == ["a, region 1: 2 channels", "a, rest: 2 channels"]
    assert [[panel.note for panel in section.panels] for section in sections] == [["", "difference 50%"]] * 2
    bars = [section.bar for section in sections]
    assert all(bar is not None for bar in bars)
    assert [bar.low for bar in bars if bar] == [0.0, -1.5]
