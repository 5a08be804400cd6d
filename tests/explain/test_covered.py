"""Covered windows against complete forward passes of covered images."""

from collections.abc import Callable

import pytest
import torch
from explain.toy_networks import CLASSES, images, linear, opened
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dlnotes_cli.explain import covered
from dlnotes_cli.explain.covered import CoveredWindows, window_starts
from dlnotes_cli.training.inspection.network import InspectedNetwork

SIZE = (28, 33)


class Branches(nn.Module):
    """Two convolutions that read the same maps, joined by channels or by a sum, next to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, channels, 1)
        self.wide = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.relu(self.narrow(x)), x + self.wide(x)], 1)


class Gated(nn.Module):
    """Maps multiplied with values that depend on the whole of them."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


class Decides(nn.Module):
    """Python code that depends on values, which no graph represents."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if float(x.sum()) > 0 else x


LAYERS: dict[str, Callable[[], nn.Module]] = {  # from 4 channels to 4
    "convolution": lambda: nn.Conv2d(4, 4, 3, padding=1),
    "stride": lambda: nn.Conv2d(4, 4, 3, stride=2, padding=1),
    "stride without padding": lambda: nn.Conv2d(4, 4, 4, stride=3),
    "gaps": lambda: nn.Conv2d(4, 4, 1, stride=2),
    "dilation": lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2),
    "one side": lambda: nn.Conv2d(4, 4, (5, 1), padding=(0, 1)),
    "even": lambda: nn.Conv2d(4, 4, 2, padding=1),
    "ceil": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "padded pooling": lambda: nn.MaxPool2d(3, 2, padding=1),
    "average": lambda: nn.AvgPool2d(2, padding=1),
    "branches": lambda: nn.Sequential(Branches(4), nn.Conv2d(8, 4, 1)),
    "norm": lambda: nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()),
    "group norm": lambda: nn.GroupNorm(2, 4),
    "instance norm": lambda: nn.InstanceNorm2d(4),
    "circular": lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    "adaptive": lambda: nn.AdaptiveAvgPool2d(7),
    "gate": Gated,
    "code": Decides,
}


def network_of(names: list[str]) -> InspectedNetwork:
    torch.manual_seed(0)
    layers = [LAYERS[name]() for name in names]
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(36, len(CLASSES)))
    return opened(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *layers, *head), size=SIZE)


def plain(network: InspectedNetwork, image: Tensor, window: int, stride: int) -> Tensor:
    """Logits (P, classes), one complete forward pass for each window."""
    rows = []
    for top in window_starts(SIZE[0], window, stride):
        for left in window_starts(SIZE[1], window, stride):
            hidden = image.clone()
            hidden[:, top : top + window, left : left + window] = 0
            rows.append(network(hidden[None]))
    return torch.cat(rows)


def check(network: InspectedNetwork, window: int, stride: int, size: int = 7) -> CoveredWindows:
    image = images(network, 1)[0]
    found = CoveredWindows(network, window, stride)
    logits = torch.cat([part for _, part in found.logits(image, size)])
    torch.testing.assert_close(logits, plain(network, image, window, stride), atol=1e-5, rtol=1e-4)
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_scores_are_those_of_complete_forward_passes(name: str) -> None:
    check(network_of([name, "convolution"]), 6, 5)


@settings(max_examples=30)
@given(
    names=st.lists(st.sampled_from(sorted(LAYERS)), max_size=3), window=st.integers(1, 30), share=st.floats(0.4, 1),
    size=st.integers(1, 30),
)  # fmt: skip
def test_any_layers_in_any_order_give_these_scores(names: list[str], window: int, share: float, size: int) -> None:
    try:
        network = network_of(names)
        network(images(network, 1))
    except RuntimeError:  # a kernel larger than its input
        return
    check(network, window, max(4, round(share * window)), size)


def crops(found: CoveredWindows) -> list[list[int]]:
    return [[crop.length for crop in step.crops] for step in found._steps]


def test_only_what_a_window_reaches_is_computed_again() -> None:
    """4 pixels reach 6 outputs of a 3x3 convolution, which read 8 inputs; these 6 reach 8 of the next, and so on.

    Crops start and end with an output of pooling: 5 of its outputs read 11 rows, of which 28 rows allow 12.
    """
    found = check(network_of(["convolution", "ceil", "convolution"]), 4, 4)
    assert crops(found) == [[8, 8], [10, 10], [12, 11], [9, 9], [14, 16]]


@pytest.mark.parametrize("name", ["group norm", "instance norm", "circular", "adaptive", "gate"])
def test_the_rest_begins_where_an_output_depends_on_more_than_its_neighbors(name: str) -> None:
    assert crops(check(network_of([name, "convolution"]), 4, 4)) == [[8, 8], [28, 33]]


@pytest.mark.parametrize("module", [network_of(["code"]).network, linear()], ids=["code", "mlp"])
def test_a_network_without_maps_or_a_graph_is_run_as_a_whole(module: nn.Module) -> None:
    size = (9, 9) if isinstance(module[1], nn.Linear) else SIZE  # type: ignore[index]
    found = CoveredWindows(opened(module, size=size), 3, 3)
    assert crops(found) == [list(size)]


def test_a_low_limit_of_crops_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(["stride", "branches"])
    monkeypatch.setattr(covered, "_MOST_OF_A_MAP", 0.0)
    assert crops(check(network, 5, 3)) == [list(SIZE)]
