"""--init-from of a character model: weights are matched by character, and other architectures refused."""

from pathlib import Path

import pytest
import torch
from builders import Command

from dlnotes_cli.cli import main
from dlnotes_cli.training.tensor_file import read_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")
SMALL = ("--hidden-size", 6, "--num-layers", 2, "--seq-len", 8, "--sample", 0, "--threads", 1, "--max-steps", 1)
STILL = ("--lr", 1e-30, "--weight-decay", 0)  # trained, but not changed


def train(dlnotes: Command, text: Path, out: Path, *more: object) -> str:
    outcome = dlnotes("char-rnn", "train", text, *SMALL, *STILL, *more, "--out", out)
    assert outcome.code == 0, outcome.err
    return outcome.err


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a text of its own, `old.txt` next to it."""
    home = tmp_path_factory.mktemp("old")
    (home / "old.txt").write_text("abcd" * 60)
    words = ("char-rnn", "train", home / "old.txt", *SMALL, "-q", "--embed", 4, "--out", home / "old")
    assert main([str(word) for word in words]) == 0
    return home / "old"


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read_tensors(run / "model.safetensors")[0]


@pytest.mark.parametrize("more", [("--embed", 4), ("--embed", 0), ("--embed", 4, "--tied")], ids=str)
def test_weights_are_matched_by_character(more: tuple[object, ...], tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "old.txt").write_text("abcd" * 60)  # the tokens of a, b, c, d are 0, 1, 2, 3
    (tmp_path / "new.txt").write_text("bXdb" * 60)  # those of X, b, d are 0, 1, 2
    train(dlnotes, tmp_path / "old.txt", tmp_path / "old", *more)
    train(dlnotes, tmp_path / "new.txt", tmp_path / "fresh", *more)
    noted = train(dlnotes, tmp_path / "new.txt", tmp_path / "new", *more, "--init-from", tmp_path / "old")
    assert "2 of 3 characters known; new: 'X'; left out: 'a', 'c'" in noted
    old, fresh, new = (weights(tmp_path / name) for name in ("old", "fresh", "new"))
    matched = {"embedding.weight", "output.weight", "output.bias"}
    for name, tensor in new.items():
        before, own = old[name], fresh[name]
        if name == "layers.0.weight_ih_l0" and "embedding.weight" not in new:
            tensor, before, own = tensor.T, before.T, own.T  # noqa: PLW2901  # characters are columns here
        elif name not in matched:
            assert tensor.allclose(before, rtol=0, atol=1e-20), name
            continue
        assert tensor[1:].allclose(before[[1, 3]], rtol=0, atol=1e-20), name
        assert tensor[0].allclose(own[0], rtol=0, atol=1e-20), name


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--hidden-size", 7), "has --hidden-size 6, and this network 7; use the options of that network, or drop"),
        (("--cell", "gru"), "has --cell lstm, and this network gru; use"),
        (("--tied",), "has --tied off, and this network on; use"),
        (("--no-residual",), "has --residual on, and this network off; use"),
        (("--num-layers", 1, "--no-residual"), "has --num-layers 2, and this network 1; use"),
        (("--vocab", "bytes"), "predicts chars, and this network bytes; use --vocab chars"),
    ],
)
def test_other_architectures_are_refused(
    more: tuple[object, ...], message: str, old: Path, tmp_path: Path, dlnotes: Command
) -> None:
    words = ("char-rnn", "train", old.parent / "old.txt", *SMALL, "-q", "--embed", 4, *more, "--init-from", old)
    outcome = dlnotes(*words, "--out", tmp_path / "run")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"--init-from: {old} {message}" in outcome.err
    assert not (tmp_path / "run").exists()


def test_one_layer_has_no_residual_sums_that_could_differ(tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "text.txt").write_text("abcd" * 60)
    train(dlnotes, tmp_path / "text.txt", tmp_path / "old", "--num-layers", 1, "--no-residual")
    train(dlnotes, tmp_path / "text.txt", tmp_path / "new", "--num-layers", 1, "--init-from", tmp_path / "old")
