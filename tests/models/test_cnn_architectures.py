import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.models.cnn_architectures import NETWORKS, Form
from dlnotes_cli.shapes import analyze

CIFAR = Form(3, 32, 32, 10)


def test_the_course_network_has_its_parameters() -> None:
    form = CIFAR._replace(dropout=0.25, batch_norm=False)
    report = analyze(NETWORKS["notes-cnn"](form), (3, 32, 32))
    assert (report.parameters, report.output) == (541_094, (10,))


@pytest.mark.parametrize("name", NETWORKS)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(8, 100),
    width=st.integers(8, 100),
    classes=st.integers(2, 100),
    dropout=st.sampled_from([0.0, 0.25]),
    batch_norm=st.booleans(),
    factor=st.sampled_from([0.1, 1.0, 2.5]),
)
def test_every_network_gives_a_score_for_each_class(
    name: str, channels: int, height: int, width: int, classes: int, dropout: float, batch_norm: bool, factor: float
) -> None:
    form = Form(channels, height, width, classes, dropout, batch_norm, factor)
    text = NETWORKS[name](form)
    assert analyze(text, (channels, height, width)).output == (classes,)
    assert ("BatchNorm2d" in text) == batch_norm
    assert ("Dropout" in text) == bool(dropout)


def test_width_scales_the_channels_in_eights() -> None:
    assert [CIFAR._replace(factor=f).scaled(32) for f in (0.1, 0.5, 1.0, 1.3, 2.0)] == [8, 16, 32, 40, 64]


@pytest.mark.parametrize("name", ["fast", "resnet"])
def test_no_convolution_before_a_batch_norm_has_a_bias(name: str) -> None:
    layers = NETWORKS[name](CIFAR)
    assert layers.count("Conv2d(") == layers.count("bias=False")


@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_the_fast_network_pools_few_positions_at_the_end(side: int) -> None:
    steps = analyze(NETWORKS["fast"](Form(3, side, side, 10)), (3, side, side)).steps
    last = next(step for step in steps if step.layer.name == "AdaptiveMaxPool2d")
    assert 3 <= last.input[1] < 6
