import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.networks.cnn_architectures import ARCHITECTURES, CnnSpec
from dlnotes_cli.shapes.report import analyze

CIFAR10 = CnnSpec(3, 32, 32, 10)


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
