"""The options of `dlnotes perceptron` and `dlnotes descend`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from dlnotes_cli.lessons.expressions import parse_formula
from dlnotes_cli.lessons.surfaces import SURFACES, Surface, custom_surface
from dlnotes_cli.shell.errors import InputError, unknown_choice
from dlnotes_cli.shell.files import check_gif, check_png
from dlnotes_cli.shell.option import Config, check_at_most_one, option, option_group
from dlnotes_cli.shell.option_groups import OutputOptions, OverwriteOption, SeedOption
from dlnotes_cli.shell.output import counted
from dlnotes_cli.shell.parse import items, numbers

Gate = Literal["and", "or", "not", "xor", "nand", "nor"]
PredictionRule = Literal["step", "sigmoid"]
RacingOptimizer = Literal["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw"]
OPTIMIZERS: tuple[str, ...] = get_args(RacingOptimizer)
_MOMENTUM_OPTIMIZERS = {"momentum", "nesterov"}
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


@option_group
class DrawingOptions(OverwriteOption):
    """What is drawn."""

    plot: Path | None = option(None, "Plot the result to this PNG file.", panel="Output", metavar="FILE.png")
    animate: Path | None = option(None, "Animate the training as a GIF.", panel="Output", metavar="FILE.gif")

    def check_drawings(self) -> None:
        """Raise InputError for names of files that do not end as their format."""
        if self.plot is not None:
            check_png("--plot", self.plot)
        if self.animate is not None:
            check_gif("--animate", self.animate)


@option_group
class PointOptions(Config):
    """The points to separate, or one point and a line to move."""

    csv: str | None = option(
        None, "CSV file of numeric columns and two classes, or - for standard input.", panel="Data", is_argument=True,
        metavar="CSV|-",
    )  # fmt: skip
    target: str | None = option(
        None, "Column of the classes.", panel="Data", metavar="COLUMN", shown_default="the last column"
    )
    header: bool | None = option(
        None, "Whether the first line of the CSV has the names of the columns; without it, they are 1, 2, 3.",
        panel="Data", shown_default="unless it has numbers only",
    )  # fmt: skip
    gate: Gate | None = option(None, "Points of a logical gate; not negates the second input", panel="Data")
    line: tuple[float, ...] | None = option(
        None, "Weights and bias of a line, for one --point: 3,4,-10 is 3 x1 + 4 x2 - 10 = 0.", panel="Data",
        parse=numbers, within=_LARGEST, metavar="W,W,B",
    )  # fmt: skip
    point: tuple[float, ...] | None = option(
        None, "With --line: the coordinates of the point.", panel="Data", parse=numbers, within=_LARGEST, metavar="X,X"
    )
    label: int | None = option(None, "With --line: the class of the point, 0 or 1.", panel="Data", within="[0, 1]")


@dataclass(frozen=True, kw_only=True)
class PerceptronConfig(OutputOptions, DrawingOptions, SeedOption, PointOptions):
    """Every option of `perceptron`."""

    command: ClassVar[str] = "perceptron"

    rule: PredictionRule = option(
        "step", "Update rule: step moves the line for misclassified points only; sigmoid takes a step of gradient "
        "descent on the log-loss for each point.", panel="Training",
    )  # fmt: skip
    lr: float | None = option(
        None, "Learning rate.", panel="Training", within="(0, 1e6]", shown_default="0.1; --rule sigmoid: 0.01"
    )
    epochs: int = option(
        100, "Passes over the points; step ends when all are classified correctly.", panel="Training", within="[1, 1e5]"
    )
    steps: int | None = option(
        None,
        "With --line: number of updates.",
        panel="Training",
        within="[1, 1e5]",
        shown_default="until the point is classified correctly",
    )
    init: tuple[float, ...] | None = option(
        None, "Initial weights and bias: W,W,B, zeros, or random (normal with standard deviation 1/sqrt(inputs), bias "
        "0).", panel="Training", parse=weights, within=_LARGEST, metavar="W,W,B", shown_default="random; --gate: zeros",
    )  # fmt: skip

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line, each of which must have an effect on its points."""
        config = super().from_options(values)
        if config.line is not None and "epochs" in values:
            raise InputError("--epochs", "has no effect with --line", "use --steps, the number of updates")
        if config.line is not None and config.init is not None:
            raise InputError("--init", "has no effect with --line, which is where the line starts", "drop it")
        for name in ("target", "header"):
            if config.csv is None and name in values:
                raise InputError(f"--{name}", "has no effect without a CSV file", "drop it, or give a CSV file")
        return config

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        sources = {"CSV": self.csv is not None, "--gate": self.gate is not None, "--line": self.line is not None}
        check_at_most_one(sources)
        if not any(sources.values()):
            raise InputError("CSV", "no points", "give a CSV file, --gate and, or --line with --point and --label")
        self._check_line()
        if self.gate == "xor":
            raise InputError("--gate", f"xor: {_XOR_PROOF}", _XOR_FIX)
        self.check_drawings()

    def _check_line(self) -> None:
        of_line = {"--point": self.point, "--label": self.label}
        for name, value in of_line.items():
            if (value is None) != (self.line is None):
                if value is None:
                    raise InputError(name, "missing", "--line needs --point and --label")
                raise InputError(name, "needs --line", "give --line, --point and --label")
        if self.steps is not None and self.line is None:
            raise InputError("--steps", "needs --line", "use --epochs")
        if self.line is not None and self.point is not None and len(self.line) != len(self.point) + 1:
            what = f"{counted(len(self.line), 'number')} for a point of {counted(len(self.point), 'coordinate')}"
            raise InputError("--line", what, "give a weight for each coordinate, and the bias last")

    @property
    def learning_rate(self) -> float:
        """The learning rate, by default that of the rule."""
        return self.lr if self.lr is not None else _DEFAULT_LR[self.rule]


@dataclass(frozen=True, kw_only=True)
class DescendConfig(OutputOptions, DrawingOptions, SeedOption):
    """Every option of `descend`."""

    command: ClassVar[str] = "descend"

    surface: str = option(
        "himmelblau", f"Surface: {', '.join(SURFACES)}, or a formula of x, or of x and y: numbers, pi, e, + - * / **, "
        "sin, cos, exp, log, sqrt, abs.", panel="Data", metavar="NAME|FORMULA", complete=lambda: list(SURFACES),
    )  # fmt: skip
    start: tuple[float, ...] | None = option(
        None, "Starting point, one number for each variable.", panel="Data", parse=numbers, within=_LARGEST,
        metavar="X,Y", shown_default="set by --surface",
    )  # fmt: skip
    restarts: int | None = option(
        None, "Start from N random points of the drawn region instead of --start.", panel="Training", within="[1, 1000]"
    )
    optimizer: tuple[str, ...] = option(
        ("sgd", "momentum", "adam"), f"Optimizers of torch.optim, side by side: {', '.join(OPTIMIZERS)}.",
        panel="Training", parse=items, metavar="NAME,NAME,…", complete=lambda: list(OPTIMIZERS),
    )  # fmt: skip
    lr: tuple[float, ...] | None = option(
        None, "Learning rate of all optimizers, or one for each.", panel="Training", parse=numbers, within="(0, 1e6]",
        metavar="X,X,…", shown_default="set by --surface and --optimizer",
    )  # fmt: skip
    momentum: float = option(
        0.9, "Momentum coefficient of the optimizers momentum and nesterov.", panel="Training", within="[0, 1)"
    )
    decay: float = option(
        1.0, "Factor by which every learning rate is multiplied after each step.", panel="Training", within="(0, 1]"
    )
    steps: int = option(200, "Steps of each optimizer.", panel="Training", within="[1, 1e5]")

    @classmethod
    def from_options(cls, values: Mapping[str, Any]) -> Self:
        """Create a config from the options of a command line; a momentum needs an optimizer that has one."""
        config = super().from_options(values)
        if "momentum" in values and _MOMENTUM_OPTIMIZERS.isdisjoint(config.optimizer):
            what = f"has no effect with --optimizer {','.join(config.optimizer)}"
            raise InputError("--momentum", what, "drop it, or add momentum or nesterov")
        return config

    def __post_init__(self) -> None:
        """Validate each option, then their combination."""
        super().__post_init__()
        if not self.optimizer:
            raise InputError("--optimizer", "is empty", f"choose from {', '.join(OPTIMIZERS)}")
        for name in self.optimizer:
            if name not in OPTIMIZERS:
                raise unknown_choice("--optimizer", name, OPTIMIZERS)
        if self.lr is not None and len(self.lr) not in {1, len(self.optimizer)}:
            what = f"{counted(len(self.lr), 'learning rate')} for {counted(len(self.optimizer), 'optimizer')}"
            raise InputError("--lr", what, "give one for all, or one for each")
        self._check_repetition()
        check_at_most_one({"--start": self.start is not None, "--restarts": self.restarts is not None})
        count = len(self.chosen_surface.formula.variables)
        if self.start is not None and len(self.start) != count:
            what = f"{counted(len(self.start), 'number')} for a surface of {counted(count, 'variable')}"
            raise InputError("--start", what, f"give {' and '.join(self.chosen_surface.formula.variables)}")
        self.check_drawings()

    def _check_repetition(self) -> None:
        """Refuse an optimizer that would run twice with the same learning rate."""
        rates = self.lr if self.lr is not None and len(self.lr) > 1 else (None,) * len(self.optimizer)
        runs = list(zip(self.optimizer, rates, strict=True))
        for i, run in enumerate(runs):
            if run in runs[:i]:
                raise InputError("--optimizer", f"{run[0]} runs twice", "drop one, or give each its own --lr")

    @property
    def chosen_surface(self) -> Surface:
        """The named surface, or the one of the formula. Raises InputError for a formula that is not valid."""
        if self.surface in SURFACES:
            return SURFACES[self.surface].around(self.start)
        if self.surface.isidentifier() and self.surface not in {"x", "y"}:
            raise unknown_choice("--surface", self.surface, SURFACES, kind="surface")
        return custom_surface(parse_formula(self.surface, "--surface")).around(self.start)
