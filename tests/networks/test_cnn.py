import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlnotes_cli.networks.cnn import CnnConfig, Residual, build_cnn, initialize_as_identity, initialize_cnn, whiten
from dlnotes_cli.networks.cnn_architectures import ARCHITECTURES, SCORE_SCALE, CnnSpec
from dlnotes_cli.networks.registry import count_parameters
from dlnotes_cli.shapes.report import analyze

CIFAR10 = CnnSpec(3, 32, 32, 10)


def config_of(name: str) -> CnnConfig:
    """The configuration of an architecture for CIFAR-10."""
    return CnnConfig(ARCHITECTURES[name].layers(CIFAR10), (3, 32, 32), 10)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_network_has_the_parameters_and_buffers_that_conv_shape_calculates(name: str) -> None:
    config = config_of(name)
    network = build_cnn(config)
    report = analyze(config.layers, (3, 32, 32))
    assert count_parameters(network) == report.parameters
    assert sum(buffer.numel() for buffer in network.buffers()) == report.buffers
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_the_network_is_a_sequence_of_torch_modules() -> None:
    text = (
        "nn.Conv2d(1, 2, 3, padding='same', device=None); nn.LeakyReLU(0.2); LazyConv2d(4, 3); Flatten(); LazyLinear(2)"
    )
    network = build_cnn(CnnConfig(text, (1, 5, 5), 2))
    plain = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding="same"), nn.LeakyReLU(0.2), nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(36, 2)
    )
    plain.load_state_dict(network.state_dict())
    x = torch.randn(3, 1, 5, 5)
    torch.testing.assert_close(network(x), plain(x), rtol=1e-4, atol=1e-5)


def test_residual_blocks_start_as_the_identity() -> None:
    network = build_cnn(config_of("resnet")).eval()
    initialize_cnn(network)
    blocks = [block for block in network if isinstance(block, Residual)]
    x = torch.randn(1, 32, 8, 8)
    assert len(blocks) == 6
    torch.testing.assert_close(blocks[0](x), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_whitening_leaves_out_directions_without_variance(seed: int) -> None:
    gray = torch.randn(40, 1, 9, 9, generator=torch.Generator().manual_seed(seed)).expand(-1, 3, -1, -1)
    convolution = nn.Conv2d(3, 32, 3, bias=False)
    before = convolution.weight.detach().clone()
    whiten(convolution, gray)
    assert convolution.weight.isfinite().all()
    assert convolution(gray).std() < 3
    assert torch.equal(convolution.weight[18:], before[18:])  # only 9 directions have variance
    whiten(convolution, torch.zeros(4, 3, 9, 9))
    assert convolution.weight.isfinite().all()


@pytest.mark.parametrize(("channels", "outputs", "count"), [(3, 32, 16), (1, 32, 9), (3, 5, 2)])
def test_the_outputs_of_a_whitened_convolution_are_uncorrelated_with_unit_variance(
    channels: int, outputs: int, count: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = nn.functional.avg_pool2d(torch.randn(200, channels, 20, 20, generator=generator), 3, stride=1) * 3
    convolution = nn.Conv2d(channels, outputs, 3, stride=2, bias=False)
    before = convolution.weight.detach().clone()
    whiten(convolution, smooth)
    out = convolution(smooth).detach().transpose(0, 1).flatten(1)[: 2 * count]
    moments = out[:count] @ out[:count].T / out.shape[1]
    torch.testing.assert_close(moments, torch.eye(count), atol=0.12, rtol=0)
    torch.testing.assert_close(out[count:], -out[:count], rtol=1e-4, atol=1e-5)
    assert torch.equal(convolution.weight[2 * count :], before[2 * count :])


def test_a_network_that_starts_as_the_identity_copies_channels() -> None:
    torch.manual_seed(0)
    layers = "Conv2d(3, 8, 3, padding=1); BatchNorm2d(8); Conv2d(8, 4, 3, padding=1); Flatten(); Linear(100, 2)"
    network = build_cnn(CnnConfig(layers, (3, 5, 5), 2))
    scores = network.get_parameter("4.weight").detach().clone()
    initialize_as_identity(network)
    x = torch.randn(6, 3, 5, 5)
    torch.testing.assert_close(network[:1](x)[:, :3], x, rtol=1e-4, atol=1e-5)
    assert network[:1](x)[:, 3:].std() > 0.1
    torch.testing.assert_close(network[2:3](network[:1](x))[:, :3], x, rtol=1e-4, atol=1e-5)
    named = network.named_parameters()
    assert [name for name, parameter in named if not parameter.requires_grad] == ["1.weight"]
    torch.testing.assert_close(network.get_parameter("4.weight"), scores * SCORE_SCALE)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_map_is_in_the_channels_last_format(channels: int) -> None:
    network = build_cnn(CnnConfig(ARCHITECTURES["fast"].layers(CnnSpec(channels, 16, 16, 4)), (channels, 16, 16), 4))
    maps: list[torch.Tensor] = []
    for layer in list(network)[1:]:
        layer.register_forward_hook(lambda _module, inputs, _output: maps.append(inputs[0]))
    network(torch.randn(2, channels, 16, 16))
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in maps if each.dim() == 4)


def test_the_course_network_has_the_parameters_of_the_course() -> None:
    architecture = ARCHITECTURES["notes-cnn"]
    spec = CIFAR10._replace(dropout=architecture.dropout, batch_norm=architecture.batch_norm)
    report = analyze(architecture.layers(spec), (3, 32, 32))
    assert (report.parameters, report.output) == (541_094, (10,))


@pytest.mark.parametrize("name", ARCHITECTURES)
@given(
    spec=st.builds(
        CnnSpec, st.sampled_from([1, 3]), st.integers(8, 100), st.integers(8, 100), st.integers(2, 100),
        st.sampled_from([0.0, 0.25]), st.booleans(), st.sampled_from([0.1, 1.0, 2.5]),
    )
)  # fmt: skip
def test_every_network_has_one_output_per_class(name: str, spec: CnnSpec) -> None:
    text = ARCHITECTURES[name].layers(spec)
    assert analyze(text, (spec.in_channels, spec.height, spec.width)).output == (spec.classes,)
    assert ("BatchNorm2d" in text) == spec.batch_norm
    assert ("Dropout" in text) == bool(spec.dropout)
