"""The options of `dlnotes loss`, `trace`, `perceptron` and `descend`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.errors import require, unknown_choice
from dlnotes_cli.shell.option import JSON, Config, option
from dlnotes_cli.shell.output import counted
from dlnotes_cli.shell.parse import items, numbers

if TYPE_CHECKING:
    from dlnotes_cli.lessons.surfaces import Surface

LossName = Literal["cross-entropy", "nll", "bce", "mse", "mae", "huber", "hinge"]
Reduction = Literal["mean", "sum", "none"]
TraceLossName = Literal["sum", "mean", "mse", "mae", "huber", "bce", "cross-entropy"]
UseGate = Literal["pytorch", "notes"]
ACTIVATIONS = {  # name to module of torch.nn
    "sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU", "leaky-relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU",
    "silu": "SiLU", "softplus": "Softplus",
}  # fmt: skip
Gate = Literal["and", "or", "not", "xor", "nand", "nor"]
PredictionRule = Literal["step", "sigmoid"]
RacingOptimizer = Literal["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"]
OPTIMIZERS: tuple[str, ...] = get_args(RacingOptimizer)
_SOURCE = "ROWS|CSV|-"
_LARGEST = "[-1e6, 1e6]"
_DEFAULT_LR: dict[PredictionRule, float] = {"step": 0.1, "sigmoid": 0.01}
_XOR_PROOF = (
    "no line separates it: (0,1) and (1,0) need w2 + b >= 0 and w1 + b >= 0, so w1 + w2 + 2b >= 0; but (0,0) and (1,1) "
    "need b < 0 and w1 + w2 + b < 0, so w1 + w2 + 2b < 0"
)
_XOR_FIX = (
    "a hidden layer learns it: write the four rows 25 times each into xor.csv with the header x1,x2,y, then dlnotes "
    "train-mlp --data xor.csv --target y --hidden 16 --lr 0.05"
)


def weights(text: str) -> tuple[float, ...]:
    """Initial weights and bias: numbers separated by commas; the words `zeros` and `random` are (0) and ().

    >>> weights("1,-2,0.5"), weights("zeros"), weights("random")
    ((1.0, -2.0, 0.5), (0.0,), ())
    """
    words: dict[str, tuple[float, ...]] = {"zeros": (0.0,), "random": ()}
    return words[text.strip()] if text.strip() in words else numbers(text)


EXPLAIN = option(False, "Print remarks, such as where the course is imprecise.", panel="Output")
PLOT = common.png_option("Plot the result to this PNG file.")
ANIMATE = option(None, "Animate the training as a GIF.", panel="Output", metavar="FILE.gif", ends_in=".gif")


@dataclass(frozen=True, kw_only=True)
class LossConfig(Config, command="loss"):
    """Every option of `loss`."""

    scores: str | None = option(
        None, 'Scores (logits) or predictions, a row for each sample: "2 1 0; 0 3 1", a CSV file, or -.',
        panel="Data", metavar=_SOURCE,
    )  # fmt: skip
    probabilities: str | None = option(
        None, "Probabilities in place of --scores; without --true, those of the observed outcomes.",
        panel="Data", metavar=_SOURCE, conflicts=("scores",),
    )  # fmt: skip
    true: str | None = option(
        None, "Targets: the class of each row, from 0, one target for each score, or a column of the CSV file.",
        panel="Data", metavar="ROWS|COLUMN",
    )  # fmt: skip
    loss: LossName | None = option(
        None, "cross-entropy, nll (of log-probabilities), bce (binary), mse, mae, huber (delta 1) or hinge.",
        panel="Model", needs=("true",), shown_default="cross-entropy; bce for one target per probability",
    )  # fmt: skip
    temperature: float | None = option(
        None, "Divide the scores by X before softmax or sigmoid.", panel="Model", within="[1e-6, 1e6]",
        shown_default="1",
    )  # fmt: skip
    reduction: Reduction = option("mean", "Reduce the losses to their mean, sum, or none", panel="Model")
    label_smoothing: float | None = option(
        None, "Cross-entropy: share of the target spread evenly over the classes.", panel="Training", within="[0, 1]",
        shown_default="0",
    )  # fmt: skip
    class_weights: tuple[float, ...] | None = option(
        None, "Cross-entropy and nll: weight of each class.", panel="Training", parse=numbers, within="[0, 1e9]",
        metavar="X,X,…",
    )  # fmt: skip
    explain: bool = option(False, "Print each formula with its numbers, for the first row.", panel="Output")
    plot: Path | None = common.png_option("Draw scores, probabilities and gradients of the first rows as bars.")
    overwrite: bool = common.OVERWRITE

    def __post_init__(self) -> None:
        """Validate each option, then that there are numbers."""
        super().__post_init__()
        has_numbers = self.scores is not None or self.probabilities is not None
        require(has_numbers, "--scores", "no numbers", 'add --scores "2 1 0" or --probabilities ".8 .7 .1"')


@dataclass(frozen=True, kw_only=True)
class TraceConfig(Config, command="trace"):
    """Every option of `trace`."""

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
    explain: bool = EXPLAIN
    plot: Path | None = common.png_option(
        "Draw the network with its numbers, the gates of a cell, and the norm of the gradient at each layer."
    )
    overwrite: bool = common.OVERWRITE
    seed: int = common.SEED

    def __post_init__(self) -> None:
        """Validate each option, then that there are layers, and a target for a loss that compares with it."""
        super().__post_init__()
        fix = 'add layers such as "Linear(3, 2); Sigmoid()", or --activation'
        require(self.layers or self.activation, "LAYERS", "no layers", fix)
        has_target = self.target is not None or self.loss in {None, "sum", "mean"}
        require(has_target, "--target", f"missing: {self.loss} compares with it", "add --target")

    @property
    def chosen_loss(self) -> TraceLossName:
        """The loss, by default that of the target or the sum of the output."""
        return self.loss or ("sum" if self.target is None else "mse")


@dataclass(frozen=True, kw_only=True)
class PerceptronConfig(Config, command="perceptron"):
    """Every option of `perceptron`."""

    csv: str | None = option(
        None, "CSV file of numeric columns and two classes, or - for standard input.", panel="Data", is_argument=True,
        metavar="CSV|-",
    )  # fmt: skip
    target: str | None = option(
        None, "Column of the classes.", panel="Data", metavar="COLUMN", shown_default="the last column", needs=("csv",)
    )
    header: bool | None = option(
        None, "Whether the first line of the CSV has the names of the columns; without it, they are 1, 2, 3.",
        panel="Data", shown_default="unless it has numbers only", needs=("csv",),
    )  # fmt: skip
    gate: Gate | None = option(
        None, "Points of a logical gate; not negates the second input", panel="Data", conflicts=("csv",)
    )
    line: tuple[float, ...] | None = option(
        None, "Weights and bias of a line, for one --point: 3,4,-10 is 3 x1 + 4 x2 - 10 = 0.", panel="Data",
        parse=numbers, within=_LARGEST, metavar="W,W,B", conflicts=("csv", "gate"),
    )  # fmt: skip
    point: tuple[float, ...] | None = option(
        None, "With --line: the coordinates of the point.", panel="Data", parse=numbers, within=_LARGEST, metavar="X,X",
        needs=("line",),
    )  # fmt: skip
    label: int | None = option(
        None, "With --line: the class of the point, 0 or 1.", panel="Data", within="[0, 1]", needs=("line",)
    )
    rule: PredictionRule = option(
        "step", "step moves the line for misclassified points; sigmoid takes a gradient step for each point.",
        panel="Training",
    )  # fmt: skip
    lr: float | None = option(
        None, "Learning rate.", panel="Training", within="(0, 1e6]", shown_default="0.1; --rule sigmoid: 0.01"
    )
    epochs: int | None = option(
        None, "Passes over the points; step ends when all are classified correctly.", panel="Training",
        within="[1, 1e5]", shown_default="100", unused_with=("line",),
    )  # fmt: skip
    steps: int | None = option(
        None, "With --line: number of updates.", panel="Training", within="[1, 1e5]",
        shown_default="until the point is classified correctly", needs=("line",),
    )  # fmt: skip
    init: tuple[float, ...] | None = option(
        None, "Initial weights and bias: W,W,B, zeros, or random (normal, deviation 1/sqrt(inputs), bias 0).",
        panel="Training", parse=weights, within=_LARGEST, metavar="W,W,B", shown_default="random; --gate: zeros",
        unused_with=("line",),
    )  # fmt: skip
    explain: bool = EXPLAIN
    plot: Path | None = PLOT
    animate: Path | None = ANIMATE
    overwrite: bool = common.OVERWRITE
    json: bool = replace(JSON, conflicts=())  # here, the CSV file - is standard input
    seed: int = common.SEED

    def __post_init__(self) -> None:
        """Validate each option, then that there are points that a line can separate, or all of a single one."""
        super().__post_init__()
        has_points = self.csv is not None or self.gate is not None or self.line is not None
        require(has_points, "CSV", "no points", "give a CSV file, --gate and, or --line with --point and --label")
        require(self.gate != "xor", "--gate", f"xor: {_XOR_PROOF}", _XOR_FIX)
        if self.line is None:
            return
        for name, given in (("--point", self.point), ("--label", self.label)):
            require(given is not None, name, "missing", "--line needs --point and --label")
        count, inputs = len(self.line), len(self.point or ())
        what = f"{counted(count, 'number')} for a point of {counted(inputs, 'coordinate')}"
        require(count == inputs + 1, "--line", what, "give a weight for each coordinate, and the bias last")

    @property
    def learning_rate(self) -> float:
        """The learning rate, by default that of the rule."""
        return self.lr if self.lr is not None else _DEFAULT_LR[self.rule]


@dataclass(frozen=True, kw_only=True)
class DescendConfig(Config, command="descend"):
    """Every option of `descend`."""

    surface: str = option(
        "himmelblau", "bowl, ravine, saddle, hills, rosenbrock, beale, himmelblau, or a formula of x, or of x and y.",
        panel="Data", metavar="NAME|FORMULA",
        complete=lambda: ["bowl", "ravine", "saddle", "hills", "rosenbrock", "beale", "himmelblau"],
    )  # fmt: skip
    start: tuple[float, ...] | None = option(
        None, "Starting point, one number for each variable.", panel="Data", parse=numbers, within=_LARGEST,
        metavar="X,Y", shown_default="set by --surface",
    )  # fmt: skip
    restarts: int | None = option(
        None, "Start from N random points of the drawn region instead of --start.", panel="Training",
        within="[1, 1000]", conflicts=("start",),
    )  # fmt: skip
    optimizer: tuple[str, ...] = option(
        ("sgd", "momentum", "adam"), "Side by side: sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw.",
        panel="Training", parse=items, metavar="NAME,NAME,…", choices=OPTIMIZERS,
    )  # fmt: skip
    lr: tuple[float, ...] | None = option(
        None, "Learning rate of all optimizers, or one for each.", panel="Training", parse=numbers, within="(0, 1e6]",
        metavar="X,X,…", shown_default="set by --surface and --optimizer",
    )  # fmt: skip
    momentum: float | None = option(
        None, "Momentum coefficient of the optimizers momentum and nesterov.", panel="Training", within="[0, 1)",
        shown_default="0.9", needs=("optimizer=momentum|nesterov",),
    )  # fmt: skip
    decay: float = option(
        1.0, "Factor by which every learning rate is multiplied after each step.", panel="Training", within="(0, 1]"
    )
    steps: int = option(200, "Steps of each optimizer.", panel="Training", within="[1, 1e5]")
    plot: Path | None = PLOT
    animate: Path | None = ANIMATE
    overwrite: bool = common.OVERWRITE
    seed: int = common.SEED

    def __post_init__(self) -> None:
        """Validate each option, then the numbers of learning rates and coordinates."""
        super().__post_init__()
        count, rates = len(self.optimizer), self.lr or (0.0,)
        require(count, "--optimizer", "is empty", f"choose from {', '.join(OPTIMIZERS)}")
        what = f"{counted(len(rates), 'learning rate')} for {counted(count, 'optimizer')}"
        require(len(rates) in {1, count}, "--lr", what, "give one for all, or one for each")
        runs = list(zip(self.optimizer, rates * (count // len(rates)), strict=True))
        for i, run in enumerate(runs):
            require(run not in runs[:i], "--optimizer", f"{run[0]} runs twice", "drop one, or give each its own --lr")
        variables, start = self.chosen_surface.formula.variables, self.start or ()
        what = f"{counted(len(start), 'number')} for a surface of {counted(len(variables), 'variable')}"
        fits = self.start is None or len(start) == len(variables)
        require(fits, "--start", what, f"give {' and '.join(variables)}")

    @property
    def chosen_surface(self) -> "Surface":
        """The named surface, or the one of the formula. Raises InputError for a formula that is not valid."""
        from dlnotes_cli.lessons.surfaces import SURFACES, custom_surface, parse_formula  # other commands do not parse

        if self.surface in SURFACES:
            return SURFACES[self.surface].around(self.start)
        if self.surface.isidentifier() and self.surface not in {"x", "y"}:
            raise unknown_choice("--surface", self.surface, SURFACES, kind="surface")
        return custom_surface(parse_formula(self.surface, "--surface")).around(self.start)
