"""`conv-shape --model`: layers and totals of trained networks, compared with the networks that torch builds."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from builders import Command
from test_structure import loaded_by

from dlnotes_cli.lessons.conv_shape.options import ConvShapeConfig
from dlnotes_cli.lessons.conv_shape.stack import read_report
from dlnotes_cli.networks.backbones import BackboneConfig
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.networks.cnn import CnnConfig
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.networks.registry import build_on_meta
from dlnotes_cli.shell.codec import to_json

CNN = "Conv2d(3, 6, 3); BatchNorm2d(6); Residual(Conv2d(6, 6, 1)); Flatten(); LazyLinear(4)"
SIZES = ((1, 6, 6), (3, 6, 4), (2, 6, 0))  # layers, hidden units, embedding
CONFIGS: list[tuple[str, Any]] = [
    ("mlp", MlpConfig(192, 4, (16, 8), "leaky-relu", 0.2, batch_norm=True)),
    ("mlp", MlpConfig(192, 4, (), "relu")),
    ("cnn", CnnConfig(CNN, (3, 8, 8), 4)),
    *(
        ("char_rnn", CharRnnConfig(4, cell, *sizes, 0.1, tied=tied and sizes[2] > 0))  # type: ignore[arg-type]
        for cell, sizes, tied in product(("lstm", "gru", "rnn"), SIZES, (True, False))
    ),
    *(
        ("backbone", BackboneConfig(name, 4, 64, hidden))
        for name, hidden in product(("squeezenet1_0", "googlenet", "swin_t", "small"), ((), (32, 16)))
    ),
]


def header_only(path: Path, fields: dict[str, object]) -> Path:
    """The start of a model file: all that is read."""
    metadata = {"format_version": 1, "format": {"channels": 3, "height": 8, "width": 8}, **fields}
    header = json.dumps({"__metadata__": {"dlnotes": json.dumps(metadata)}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


@pytest.mark.parametrize(("name", "config"), CONFIGS, ids=[f"{name}{i}" for i, (name, _) in enumerate(CONFIGS)])
def test_parameters_and_buffers_are_those_of_the_network(name: str, config: object, tmp_path: Path) -> None:
    model = header_only(tmp_path / "model.safetensors", {"model": name, "configuration": to_json(config)})
    report, _ = read_report(ConvShapeConfig(model=model))
    network = build_on_meta(name, config)
    assert report.parameters == sum(p.numel() for p in network.parameters())
    assert report.buffers == sum(b.numel() for b in network.buffers())
    assert report.output[-1] == 4
    assert name == "char_rnn" or report.input == ((3, 64, 64) if name == "backbone" else (3, 8, 8))


def test_a_trained_run(digits_run: Path, dlnotes: Command) -> None:
    result = json.loads((digits_run / "result.json").read_text())
    document = json.loads(dlnotes("conv-shape", "--model", digits_run, "--json").out)
    assert document["parameters"] == result["model"]["parameters"]
    assert (document["input"], document["output"]) == ([1, 8, 8], [10])
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
