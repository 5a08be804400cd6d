"""The options of `dlnotes trace`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import check_png
from dlnotes_cli.shell.option import Config, option, option_group
from dlnotes_cli.shell.option_groups import OutputOptions, OverwriteOption, SeedOption
from dlnotes_cli.shell.parse import items

TraceLossName = Literal["sum", "mean", "mse", "mae", "huber", "bce", "cross-entropy"]
UseGate = Literal["pytorch", "notes"]
WITHOUT_TARGET = {"sum", "mean"}
ACTIVATIONS = {  # name to module of torch.nn
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "leaky-relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU",
    "silu": "SiLU", "softplus": "Softplus",
}  # fmt: skip


@option_group
class TracedNetworkOptions(Config):
    """The network and the numbers that go through it."""

    layers: tuple[str, ...] = option(
        (), "Layers in the notation of conv-shape, a file of them, or a char-rnn run folder (with --text).",
        panel="Model", is_argument=True, metavar="LAYERS|MODEL",
    )  # fmt: skip
    input: str | None = option(
        None, 'Numbers such as "1 2; 3 4": rows are samples, time steps or an image, with | between its channels; or a '
        "shape such as 1x3 to draw standard normal numbers.", panel="Data", metavar="NUMBERS|SHAPE",
    )  # fmt: skip
    target: str | None = option(
        None, "Numbers to compare the output with; one for each sample with --loss cross-entropy: its class.",
        panel="Data", metavar="NUMBERS",
    )  # fmt: skip
    text: str | None = option(
        None, "With a char-rnn run: text to feed through the network; draw its gates.", panel="Data"
    )
    weights: str = option(
        "init:0", "ones (biases 0), init:SEED (PyTorch's initialization), seed:SEED (standard normal, in the order of "
        "the course's notebook), a JSON file of names and numbers, or a run or model file of a classifier.",
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
        False,
        "LSTM: input, forget and output gate also read the previous cell state (peephole connections).",
        panel="Model",
    )
    use_gate: UseGate = option(
        "pytorch",
        "LSTM: formula of the hidden state (the use gate of the course): pytorch, o tanh(c), or notes, o tanh(W f "
        "c_old + b).",
        panel="Model",
    )
    activation: tuple[str, ...] = option(
        (), f"Without layers: draw these functions and their derivatives ({', '.join(ACTIVATIONS)}). With layers: "
        "replace the activations with each function in turn, and compare the gradients.", panel="Model", parse=items,
        metavar="NAME,NAME,…", complete=lambda: list(ACTIVATIONS),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TraceConfig(OutputOptions, OverwriteOption, SeedOption, TracedNetworkOptions):
    """Every option of `trace`."""

    command: ClassVar[str] = "trace"

    loss: TraceLossName | None = option(
        None, "Scalar to differentiate: sum or mean of the output, or a loss against --target: mse, mae, huber, bce "
        "(of scores, or of the output of a Sigmoid) or cross-entropy.", panel="Training",
        shown_default="sum; --target: mse",
    )  # fmt: skip
    mode: Literal["train", "eval"] = option(
        "eval", "Mode of dropout and batch normalization, train or eval.", panel="Training"
    )
    lr: float | None = option(
        None, "Update the weights by gradient descent with this learning rate.", panel="Training", within="(0, 1e6]"
    )
    steps: int | None = option(
        None, "With --lr: number of updates.", panel="Training", within="[1, 100000]", shown_default="1"
    )
    check: bool = option(False, "Compare the gradients with finite differences.", panel="Output")
    units: int = option(12, "With --text: units to show.", panel="Output", within="[1, 100]")
    plot: Path | None = option(
        None, "Draw the network with its numbers, the gates of a cell, and the norm of the gradient at each layer.",
        panel="Output", metavar="FILE.png",
    )  # fmt: skip

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line; a number of units needs a text."""
        config = super().from_options(values)
        if "units" in values and config.text is None:
            raise InputError("--units", "has no effect without --text", "drop it, or add --text")
        return config

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        for name in self.activation:
            if name not in ACTIVATIONS:
                raise unknown_choice("--activation", name, ACTIVATIONS)
        if not self.layers and not self.activation:
            raise InputError("LAYERS", "no layers", 'add layers such as "Linear(3, 2); Sigmoid()", or --activation')
        self._check_descent()
        if self.plot is not None:
            check_png("--plot", self.plot)

    def _check_descent(self) -> None:
        if self.steps is not None and self.lr is None:
            raise InputError("--steps", "needs --lr", "add --lr 0.1")
        if self.target is not None and self.loss in WITHOUT_TARGET:
            raise InputError("--target", f"has no effect with --loss {self.loss}", "drop it, or use --loss mse")
        if self.target is None and self.loss is not None and self.loss not in WITHOUT_TARGET:
            raise InputError("--target", f"missing: {self.loss} compares with it", "add --target")

    @property
    def chosen_loss(self) -> TraceLossName:
        """The loss, by default that of the target or the sum of the output."""
        return self.loss or ("sum" if self.target is None else "mse")
