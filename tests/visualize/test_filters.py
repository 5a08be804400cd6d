"""`visualize filters` and `layers`: weights against those in the network, shapes against a forward pass."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Command
from PIL import Image

from dlnotes_cli.inference.inspected_network import NamedLayer
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.visualize.filters import _weights, show_filters
from dlnotes_cli.visualize.layers import list_layers
from dlnotes_cli.visualize.options import FiltersConfig, LayersConfig


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        return image.size


def test_the_layers_of_the_embedded_network_have_the_receptive_fields_of_conv_shape() -> None:
    result = list_layers(LayersConfig())
    fields = {layer.name: layer.receptive_field for layer in result.layers}
    assert [fields[f"conv{i}"] for i in range(1, 6)] == [(3, 3), (8, 8), (12, 12), (22, 22), (30, 30)]
    document = to_json(result)
    assert document["last_maps"] == "relu5"
    assert document["output_layer"] == "linear1"
    assert document["layers"][0]["output"] == [24, 32, 32]


def average_pool(
    x: torch.Tensor, size: int, stride: int, padding: int, *_dilation: int, **options: bool
) -> torch.Tensor:
    """In place of max pooling, which passes the gradient to one position of its window only."""
    return torch.nn.functional.avg_pool2d(x, size, stride, padding, ceil_mode=options["ceil_mode"])


def test_the_receptive_fields_of_branches_are_those_of_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant network of positive weights has a gradient wherever its units look."""
    from dlnotes_cli.inference.inspected_network import receptive_fields

    network = open_network(LayersConfig(model="squeezenet1_1", weights="none", quiet=True))
    fields = receptive_fields(network)
    for name in ("features.3", "features.4.expand3x3", "features.7"):
        layer = network.layer(name)
        for parameter in network.network.parameters():
            parameter.fill_(1.0 if parameter.ndim > 1 else 0.0)
        x = torch.zeros(1, *network.input_shape, requires_grad=True)
        jitter = 1e-3 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
        row, column = (side // 2 for side in layer.shape[1:])
        monkeypatch.setattr(torch.nn.functional, "max_pool2d", average_pool)
        output = network.activations(x + jitter, [layer])[name]
        (gradient,) = torch.autograd.grad(output[0, :, row, column].sum(), x)
        seen = gradient[0].abs().sum(0).nonzero()
        top, left = seen.min(dim=0).values.tolist()
        bottom, right = seen.max(dim=0).values.tolist()
        axes = fields[name].axes
        assert axes is not None
        assert (axes[0].at(row), axes[1].at(column)) == ((top, bottom), (left, right)), name


def test_the_first_kernels_are_sorted_by_norm_and_have_their_range(tmp_path: Path) -> None:
    sheet = tmp_path / "filters.png"
    result = show_filters(FiltersConfig(sheet=sheet))
    layer = open_network(FiltersConfig(sheet=sheet)).layer("conv1")
    weights = layer.module.get_parameter("weight").numpy()
    norms = [np.linalg.norm(weights[info.unit]) for info in result.filters]
    assert norms == sorted(norms, reverse=True)
    assert len(result.filters) == 24
    assert result.kernel == (3, 3, 3)
    first = result.filters[0]
    assert (first.min, first.max) == (weights[first.unit].min(), weights[first.unit].max())
    assert size_of(sheet)[0] > 8 * 144
    deeper = show_filters(FiltersConfig(layer="conv2", top=3, sheet=tmp_path / "conv2.png"))
    assert (deeper.kernel, len(deeper.filters)) == ((24, 3, 3), 3)


def test_the_input_weights_of_an_mlp_are_images(digits_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes("visualize", "filters", digits_run, "--sheet", tmp_path / "mlp.png", "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert (document["layer"], document["kernel"], document["units"]) == ("linear1", [1, 8, 8], 16)
    assert Path(document["sheet"]).is_file()


def test_the_units_of_a_transposed_convolution_are_its_output_channels() -> None:
    convolution = torch.nn.ConvTranspose2d(2, 5, 3)
    weights = _weights(open_network(LayersConfig()), NamedLayer("up", convolution, (5, 6, 6)))
    assert weights.shape == (5, 2, 3, 3)
    assert torch.equal(weights[3, 1], convolution.weight[1, 3])
