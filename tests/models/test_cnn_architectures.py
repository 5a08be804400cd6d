import json
from pathlib import Path

import pytest
from builders import Command
from hypothesis import given
from hypothesis import strategies as st

from dlnotes_cli.classify.options import TrainCnnConfig
from dlnotes_cli.models.cnn_architectures import ARCHITECTURES, CnnArchitecture, CnnSpec
from dlnotes_cli.shapes import analyze
from dlnotes_cli.shell.option import choices_of

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


def test_a_new_entry_in_the_table_is_offered_printed_and_trained(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tiny(spec: CnnSpec) -> str:
        return (
            f"Conv2d({spec.in_channels}, 4, 3); ReLU(); Flatten(); Dropout({spec.dropout}); LazyLinear({spec.classes})"
        )

    entry = CnnArchitecture("a tiny network", tiny, dropout=0.5, batch_norm=False, start="whitened")
    monkeypatch.setitem(ARCHITECTURES, "tiny", entry)
    assert "tiny" in choices_of(TrainCnnConfig, "arch")
    unknown = dlnotes("train-cnn", "--arch", "tinny")
    assert "did you mean 'tiny'?" in unknown.err
    printed = dlnotes("train-cnn", "--arch", "tiny", "--print")
    assert printed.code == 0, printed.err
    assert "Dropout(0.5)" in printed.out
    run = dlnotes("train-cnn", "--arch", "tiny", "--max-steps", 2, "--threads", 1, "--out", tmp_path / "run", "--json")
    assert run.code == 0, run.err
    assert json.loads(run.out)["model"]["configuration"]["layers"] == tiny(CnnSpec(1, 8, 8, 10, dropout=0.5))
