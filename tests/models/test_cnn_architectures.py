import json
import subprocess
import sys
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


def test_the_width_multiplier_gives_multiples_of_8_channels() -> None:
    assert [CIFAR10._replace(width_multiplier=w).scaled(32) for w in (0.1, 0.5, 1.0, 1.3, 2.0)] == [8, 16, 32, 40, 64]


@pytest.mark.parametrize("name", ["fast", "resnet"])
def test_convolutions_in_front_of_batch_norm_have_no_bias(name: str) -> None:
    layers = ARCHITECTURES[name].layers(CIFAR10)
    assert layers.count("Conv2d(") == layers.count("bias=False")


@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_the_global_pooling_of_the_fast_network_is_over_3_to_5_positions_on_a_side(side: int) -> None:
    layers = ARCHITECTURES["fast"].layers(CnnSpec(3, side, side, 10))
    traced = analyze(layers, (3, side, side)).traced
    pooling = next(layer for layer in traced if layer.layer.name == "AdaptiveMaxPool2d")
    assert 3 <= pooling.input[1] < 6


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


def test_the_help_has_the_summary_of_every_architecture(dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    text = dlnotes("train-cnn", "--help").out
    for name, architecture in ARCHITECTURES.items():
        assert f"{name}: {architecture.summary}" in text


def test_the_table_is_loaded_without_torch() -> None:
    script = "import sys, dlnotes_cli.models.cnn_architectures; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
