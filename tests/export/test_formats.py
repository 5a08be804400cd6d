"""The formats of PyTorch, and one step of language models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from builders import Command, write_model

from dlnotes_cli.data.preprocessing import ImagePreprocessing, TextPreprocessing
from dlnotes_cli.inference.onnx_file import load_onnx_language_model
from dlnotes_cli.networks.char_rnn import CharRnnConfig
from dlnotes_cli.networks.choices import CellType
from dlnotes_cli.networks.cnn import CnnConfig
from dlnotes_cli.networks.mlp import MlpConfig
from dlnotes_cli.training.model_file import load_classifier, load_language_model

GRAY = ImagePreprocessing(1, 4, 4, "crop", (0.3,), (0.4,))


def mlp(folder: Path) -> Path:
    config = MlpConfig(16, 2, (5,), "gelu", dropout=0.2, batch_norm=True)
    return write_model(folder / "model.safetensors", "mlp", config, GRAY, ("no", "yes"))


def language_model(folder: Path, cell: CellType, **changes: Any) -> Path:
    config = CharRnnConfig(4, cell, **{"layers": 2, "hidden": 6, "embed": 3, "dropout": 0.1} | changes)
    return write_model(folder / f"{cell}.safetensors", "char_rnn", config, TextPreprocessing("chars", "abcd"), ())


def test_a_program_of_torch_export_answers_the_same_for_batches_of_any_size(tmp_path: Path, dlnotes: Command) -> None:
    outcome = dlnotes("export", mlp(tmp_path), "--format", "pt2")
    assert outcome.code == 0, outcome.err
    assert "note: torch.export.load unpickles parts of a .pt2 file: load only files that you trust" in outcome.err
    assert "input    images uint8 (N, 1, 4, 4)\noutput   probabilities float32 (N, 2)\n" in outcome.out
    path, stored = tmp_path / "model.pt2", {"dlnotes.json": ""}
    program = torch.export.load(path, extra_files=stored).module()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 1, 4, 4), np.uint8))
    with torch.no_grad():
        network = load_classifier(tmp_path / "model.safetensors").network
        expected = network((images / 255 - 0.3) / 0.4).softmax(1)
        for count in (1, 3):
            assert torch.allclose(program(images[:count]), expected[:count], atol=1e-6)
    assert json.loads(stored["dlnotes.json"])["classes"] == ["no", "yes"]


def test_a_state_dict_loads_into_plain_pytorch_with_the_printed_code(tmp_path: Path, dlnotes: Command) -> None:
    layers = "Conv2d(1, 2, 3); ReLU(); Flatten(); Dropout(0.5); Linear(8, 2)"
    models = {
        "mlp": mlp(tmp_path),
        "cnn": write_model(tmp_path / "cnn.safetensors", "cnn", CnnConfig(layers, (1, 4, 4), 2), GRAY, ("no", "yes")),
    }
    x = torch.rand(3, 1, 4, 4)
    for name, model in models.items():
        out = tmp_path / f"{name}-weights.safetensors"
        outcome = dlnotes("export", model, "--format", "state-dict", "--out", out)
        assert outcome.code == 0, outcome.err
        code = outcome.out.partition("To load it:\n")[2].rpartition("\n\n")[0]
        names: dict[str, Any] = {}
        exec("\n".join(line.removeprefix("    ") for line in code.splitlines()), names)  # noqa: S102  # as printed
        with torch.no_grad():
            assert torch.allclose(names["model"](x), load_classifier(model).network(x), atol=1e-6)


def test_a_network_with_layers_of_its_own_has_no_code(tmp_path: Path, dlnotes: Command) -> None:
    result = json.loads(dlnotes("export", language_model(tmp_path, "gru"), "--format", "state-dict", "--json").out)
    assert (result["load_with"], result["nodes"], result["inputs"]) == (None, None, [])
    assert result["parity"]["largest_difference"] < 1e-6


@pytest.mark.parametrize(
    ("cell", "changes"),
    [
        ("lstm", {}),
        ("gru", {"embed": 0, "layers": 1}),
        ("rnn", {"tied": True}),
        ("lstm", {"tied": True, "embed": 6, "layers": 3, "residual": True}),
    ],
)
def test_a_step_of_a_language_model_equals_the_network(
    cell: CellType, changes: dict[str, Any], tmp_path: Path, dlnotes: Command
) -> None:
    model = language_model(tmp_path, cell, **changes)
    outcome = dlnotes("export", model, "--out", tmp_path / "step.onnx", "--samples", "30", "--json", "-q")
    assert outcome.code == 0, outcome.err
    names = [tensor["name"] for tensor in json.loads(outcome.out)["inputs"]]
    assert names == ["token", "h", "c"][: 3 if cell == "lstm" else 2]
    exported = load_onnx_language_model(tmp_path / "step.onnx", 1)
    network: Any = load_language_model(model).network
    tokens = torch.tensor([[0, 3, 1, 2], [2, 2, 0, 1], [1, 0, 3, 3]])
    with torch.no_grad():
        expected, _ = network(tokens, network.initial_state(3))
    states = exported.initial_states(3)
    for position in range(4):
        logits, states = exported.step(tokens[:, position].numpy(), states)
        assert logits == pytest.approx(expected[:, position].numpy(), abs=1e-5)


def test_a_step_in_half_precision_keeps_float32_states(tmp_path: Path, dlnotes: Command) -> None:
    """ONNX Runtime's own LSTM crashes in float16, so that the graph must not have one."""
    model = language_model(tmp_path, "lstm")
    outcome = dlnotes("export", model, "--dtype", "float16", "--out", tmp_path / "step.onnx", "-q")
    assert outcome.code == 0, outcome.err
    graph = onnx.load(tmp_path / "step.onnx").graph
    assert "LSTM" not in {node.op_type for node in graph.node}
    logits, states = (exported := load_onnx_language_model(tmp_path / "step.onnx", 1)).step(
        np.zeros(2, np.int64), exported.initial_states(2)
    )
    assert {array.dtype for array in (logits, *states)} == {np.dtype(np.float32)}


def test_options_without_effect_on_a_language_model(tmp_path: Path, dlnotes: Command) -> None:
    model = language_model(tmp_path, "gru")
    for words in (("--no-dynamic",), ("--time",), ("--data", "digits")):
        outcome = dlnotes("export", model, *words, "-q")
        assert outcome.code == 2
        assert outcome.err.startswith(f"dlnotes: error: {words[0]}: has no effect on a language model, which ")
