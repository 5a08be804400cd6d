"""The options of `dlnotes trace`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.option import Config, option
from dlnotes_cli.shell.parse import items

TraceLossName = Literal["sum", "mean", "mse", "mae", "huber", "bce", "cross-entropy"]
UseGate = Literal["pytorch", "notes"]
ACTIVATIONS = {  # name to module of torch.nn
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "leaky-relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU",
    "silu": "SiLU", "softplus": "Softplus",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TraceConfig(Config):
    """Every option of `trace`."""

    command: ClassVar[str] = "trace"

    layers: tuple[str, ...] = option(
        (), "Layers in the notation of conv-shape, a file of them, or a char-rnn run folder (with --text).",
        panel="Model", is_argument=True, metavar="LAYERS|MODEL",
    )  # fmt: skip
    input: str | None = option(
        None, 'Numbers such as "1 2; 3 4" (rows are samples, steps or an image), or a shape such as 1x3 to draw.',
        panel="Data", metavar="NUMBERS|SHAPE",
    )  # fmt: skip
    target: str | None = option(
        None, "Numbers to compare the output with; one for each sample with --loss cross-entropy: its class.",
        panel="Data", metavar="NUMBERS", unused_with=("loss=sum|mean",),
    )  # fmt: skip
    text: str | None = option(
        None, "With a char-rnn run: text to feed through the network; draw its gates.", panel="Data"
    )
    weights: str = option(
        "init:0", "ones, init:SEED (PyTorch's), seed:SEED (normal, as the notebook), a JSON file, or a run.",
        panel="Model", metavar="WEIGHTS",
    )  # fmt: skip
    state: str | None = option(
        None, "Hidden state (short-term memory) before the first step.", panel="Model", metavar="NUMBERS",
        shown_default="zeros",
    )  # fmt: skip
    memory: str | None = option(
        None, "LSTM: cell state (long-term memory) before the first step.", panel="Model", metavar="NUMBERS",
        shown_default="zeros",
    )  # fmt: skip
    peephole: bool = option(
        False, "LSTM: the gates i, f and o also read the previous cell state (peephole connections).", panel="Model"
    )
    use_gate: UseGate = option(
        "pytorch", "LSTM: the hidden state is o tanh(c) (pytorch) or o tanh(W f c_old + b) (notes, the use gate).",
        panel="Model",
    )  # fmt: skip
    activation: tuple[str, ...] = option(
        (), "Without layers: functions to draw with their derivatives; with layers: to replace theirs by.",
        panel="Model", parse=items, metavar="NAME,NAME,…", choices=tuple(ACTIVATIONS),
    )  # fmt: skip
    loss: TraceLossName | None = option(
        None, "What to differentiate: sum or mean of the output, or mse, mae, huber, bce or cross-entropy.",
        panel="Training", shown_default="sum; --target: mse",
    )  # fmt: skip
    mode: Literal["train", "eval"] = option(
        "eval", "Mode of dropout and batch normalization, train or eval.", panel="Training"
    )
    lr: float | None = option(
        None, "Update the weights by gradient descent with this learning rate.", panel="Training", within="(0, 1e6]"
    )
    steps: int | None = option(
        None, "With --lr: number of updates.", panel="Training", within="[1, 100000]", shown_default="1", needs=("lr",)
    )
    check: bool = option(False, "Compare the gradients with finite differences.", panel="Output")
    units: int | None = option(
        None, "With --text: units to show.", panel="Output", within="[1, 100]", shown_default="12", needs=("text",)
    )
    plot: Path | None = option(
        None, "Draw the network with its numbers, the gates of a cell, and the norm of the gradient at each layer.",
        panel="Output", metavar="FILE.png", ends_in=".png",
    )  # fmt: skip
    overwrite: bool = common.OVERWRITE
    json: bool = common.JSON
    quiet: bool = common.QUIET
    verbose: bool = common.VERBOSE
    seed: int = common.SEED

    def __post_init__(self) -> None:
        """Validate each option, then that there are layers, and a target for a loss that compares with it."""
        super().__post_init__()
        if not self.layers and not self.activation:
            raise InputError("LAYERS", "no layers", 'add layers such as "Linear(3, 2); Sigmoid()", or --activation')
        if self.target is None and self.loss not in {None, "sum", "mean"}:
            raise InputError("--target", f"missing: {self.loss} compares with it", "add --target")

    @property
    def chosen_loss(self) -> TraceLossName:
        """The loss, by default that of the target or the sum of the output."""
        return self.loss or ("sum" if self.target is None else "mse")
