"""Printed models: their layers in order, compared with the model itself."""

import pytest
import torch
from torch import nn

from dlnotes_cli.shapes.parsing.layer_list import parse_list
from dlnotes_cli.shapes.report import analyze
from dlnotes_cli.shell.errors import InputError


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding="same", bias=False)
        self.block = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(8), nn.LeakyReLU(0.2)) for _ in range(3))
        self.pool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32, 6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x)
        for block in self.block:
            x = block(x)
        scores: torch.Tensor = self.classifier(self.pool(x).flatten(1))
        return scores


MODELS = {
    "repeated": (Net(), (3, 9, 9)),
    "up": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2, mode="bilinear"), nn.Flatten()), (3, 9, 9)),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.GroupNorm(2, 4), nn.Softmax(dim=1)), (3, 9, 9)),
    "pad": (nn.Sequential(nn.ZeroPad2d(1), nn.PReLU(), nn.PixelUnshuffle(2), nn.LayerNorm((12, 5, 5))), (3, 8, 8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_printed_model_has_the_output_and_parameters_of_the_model(name: str) -> None:
    model, shape = MODELS[name]
    report = analyze(str(model), shape)
    assert (1, *report.output) == tuple(model(torch.zeros(1, *shape)).shape)
    assert report.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert [layer.layer for layer in report.layers].count("Flatten()") == (name == "repeated")


def test_an_error_says_what_a_printed_model_leaves_out() -> None:
    text = "Net(\n  (conv): Conv2d(3, 4, kernel_size=(3, 3))\n  (down): Conv2d(3, 4, kernel_size=(1, 1))\n)"
    with pytest.raises(InputError, match=r"layer 2 \(line 3\).*expects 3 channels, got 4.*give the file of the class"):
        analyze(text, (3, 8, 8))
    assert len(parse_list(text).notes) == 1


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("  (x): lambda: 3", "line 3: .* is not a line of a printed model"),
        ("  (x): Conv2d(3, 4", "line 3: .* is not a line of a printed model"),
        ("  (0-9999): 9999 x ReLU()\n  (y): 9999 x ReLU()", "line 4: there are more than 10,000 layers"),  # not line 1
    ],
)
def test_other_lines_are_an_error(lines: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_list(f"Net(\n  (a): ReLU()\n{lines}\n)")
