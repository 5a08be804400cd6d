"""`conv-shape --model`: layers and totals of trained networks, compared with the networks that torch builds."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from builders import Command, write_model
from test_structure import loaded_by

from dlnotes_cli.data.preprocessing import ImagePreprocessing, TextPreprocessing
from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.stack import read_report
from dlnotes_cli.lessons.conv_shape.trained_network import trained_network
from dlnotes_cli.networks.backbones import BackboneConfig
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.networks.cnn import CnnConfig
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.networks.registry import build_on_meta
from dlnotes_cli.shell.codec import to_json

IMAGE = ImagePreprocessing(3, 8, 8, "squash", (0.0,) * 3, (1.0,) * 3)


def totals(path: Path) -> tuple[int, int, tuple[int, ...]]:
    report, _ = read_report(ConvShapeConfig(model=path))
    return report.parameters, report.buffers, report.output


def expected(name: str, config: object) -> tuple[int, int]:
    network = build_on_meta(name, config)
    return sum(p.numel() for p in network.parameters()), sum(b.numel() for b in network.buffers())


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("mlp", MlpConfig(192, 4, (16, 8), "leaky-relu", 0.2, batch_norm=True)),
        ("mlp", MlpConfig(192, 4, (), "relu")),
        ("cnn", CnnConfig("Conv2d(3, 6, 3); BatchNorm2d(6); Residual(Conv2d(6, 6, 1)); Flatten(); LazyLinear(4)",
                          (3, 8, 8), 4)),
    ],
)  # fmt: skip
def test_classifiers(name: str, config: object, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.safetensors", name, config, IMAGE, ("a", "b", "c", "d"))
    assert totals(model) == (*expected(name, config), (4,))
    assert totals(tmp_path) == totals(model)
    assert trained_network(model)[1] == (3, 8, 8)


@pytest.mark.parametrize(
    ("cell", "sizes", "tied"), [*product(("lstm", "gru", "rnn"), ((1, 6, 6), (3, 6, 4), (2, 6, 0)), (True, False))]
)
def test_language_models(cell: str, sizes: tuple[int, int, int], tied: bool, tmp_path: Path) -> None:
    layers, hidden, embed = sizes
    config = CharRnnConfig(5, cell, layers, hidden, embed, 0.1, tied=tied and embed > 0)  # type: ignore[arg-type]
    preprocessing = TextPreprocessing("chars", "abcde", lower=False, newline="keep")
    model = write_model(tmp_path / "model.safetensors", "char_rnn", config, preprocessing, ())
    assert totals(model) == (*expected("char_rnn", config), (1, 5))


@pytest.mark.parametrize("hidden", [(), (32, 16)])
@pytest.mark.parametrize("backbone", ["squeezenet1_0", "googlenet", "swin_t", "small"])
def test_transfer_models(backbone: str, hidden: tuple[int, ...], tmp_path: Path) -> None:
    config = BackboneConfig(backbone, 3, 64, hidden)
    model = header_only(tmp_path / "model.safetensors", {"model": "backbone", "configuration": to_json(config)})
    assert totals(model) == (*expected("backbone", config), (3,))


def header_only(path: Path, fields: dict[str, object]) -> Path:
    """The start of a model file: all that is read."""
    metadata = {"format_version": 1, **fields}
    header = json.dumps({"__metadata__": {"dlnotes": json.dumps(metadata)}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def test_a_trained_run(digits_run: Path, dlnotes: Command) -> None:
    result = json.loads((digits_run / "result.json").read_text())
    document = json.loads(dlnotes("conv-shape", "--model", digits_run, "--json").out)
    assert document["parameters"] == result["model"]["parameters"]
    assert (document["input"], document["output"]) == ([1, 8, 8], [10])


def test_nothing_heavy_is_loaded(digits_run: Path) -> None:
    loaded = loaded_by("conv-shape", "--model", str(digits_run), "--field", "parameters")
    assert not {"torch", "numpy", "safetensors", "matplotlib", "PIL"} & loaded


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "mlp", "configuration": {"inputs": 4}}, "its metadata is invalid (KeyError('hidden'))"),
        ({"model": "vae", "configuration": {}}, "its metadata is invalid (ValueError(\"unknown network 'vae'\"))"),
        ({"format_version": 9}, "has format version 9; this dlnotes reads version 1; upgrade dlnotes"),
        ({"model": "backbone", "configuration": {"backbone": "vit_b_16"}}, "its metadata is invalid"),
    ],
)  # fmt: skip
def test_what_a_file_lacks_is_named(
    fields: dict[str, object], message: str, tmp_path: Path, refused: Callable[[str, str], None]
) -> None:
    refused(f"conv-shape --model {header_only(tmp_path / 'model.safetensors', fields)}", message)
