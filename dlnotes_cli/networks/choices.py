"""The names of what models are built from, and the limits of their configurations; importing them loads no torch."""

import math
from dataclasses import dataclass
from typing import Literal

from dlnotes_cli.shell.errors import InputError

Activation = Literal["relu", "sigmoid", "tanh", "leaky-relu", "gelu"]
CellType = Literal["lstm", "gru", "rnn"]
GatedCell = Literal["lstm", "gru"]
TokenPooling = Literal["last", "mean", "max", "attention"]
INITIALIZATIONS = ("default", "zeros", "ones", "uniform", "normal", "constant", "xavier", "he")
_LARGEST = 1e6  # of the numbers of an initialization
_NUMBERS = {  # how many each initialization may have, and which
    "uniform": ((0, 2), "two numbers, the lower first, as in uniform:-0.5,0.5, or none"),
    "normal": ((0, 1), "a standard deviation above 0, as in normal:0.1, or none"),
    "constant": ((1,), "a number, as in constant:0.5"),
}
MAX_UNITS = 1 << 28  # of a layer: the size in bytes of a matrix between two such layers fits into 64 bits
_MAX_HIDDEN_LAYERS = 1000


@dataclass(frozen=True)
class WeightInit:
    """How weights are initialized: a name of `INITIALIZATIONS` and its numbers.

    >>> parse_init("uniform:-0.5,0.5"), parse_init("he"), str(parse_init("normal: 0.10"))
    (WeightInit(name='uniform', numbers=(-0.5, 0.5)), WeightInit(name='he', numbers=()), 'normal:0.1')
    """

    name: str
    numbers: tuple[float, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}:{','.join(f'{number:.12g}' for number in self.numbers)}" if self.numbers else self.name

    @property
    def constant(self) -> float:
        """The weight of all units, of `zeros`, `ones` and `constant`."""
        return self.numbers[0] if self.numbers else float(self.name == "ones")


class InvalidNetworkError(InputError, ValueError):
    """A configuration that no network has.

    It is an InputError because the values may be those of an option, and a ValueError because they may be those of a
    model file.
    """


class TooLargeNetworkError(InputError, ValueError):
    """A configuration whose activations for one sample exceed what a machine can hold."""


def check_hidden(hidden: tuple[int, ...]) -> None:
    """Validate the units of hidden layers. Raises InvalidNetworkError."""
    if len(hidden) > _MAX_HIDDEN_LAYERS:
        what = f"{len(hidden):,} hidden layers"
        raise InvalidNetworkError("--hidden", what, f"give at most {_MAX_HIDDEN_LAYERS:,}")
    if not all(1 <= units <= MAX_UNITS for units in hidden):
        raise InvalidNetworkError("--hidden", "units of a layer out of range", f"give 1 to {MAX_UNITS:,}")


def parse_init(text: str) -> WeightInit:
    """The initialization that `--init` names. Raises ValueError with what is wrong and how to write it."""
    name, _, digits = (part.strip() for part in text.partition(":"))
    if name not in INITIALIZATIONS:
        raise ValueError(f"'{name}' is none of {', '.join(INITIALIZATIONS)}")
    if digits and name not in _NUMBERS:
        raise ValueError(f"'{name}' has no number, but '{text}' gives one")
    counts, needed = _NUMBERS.get(name, ((0,), ""))
    try:
        numbers = tuple(float(item) for item in digits.split(",")) if digits else ()
    except ValueError:
        numbers = (math.nan,)
    is_valid = len(numbers) in counts and all(abs(number) <= _LARGEST for number in numbers)  # nan is not
    is_falling = name == "uniform" and list(numbers) != sorted(set(numbers))
    if not is_valid or is_falling or (name == "normal" and min(numbers, default=1) <= 0):
        raise ValueError(f"'{text}' needs {needed}")
    return WeightInit(name, numbers)


def init_text(text: str) -> str:
    """A value of `--init`, validated, as it is stored. Raises ValueError."""
    return str(parse_init(text))


# Torchvision's classification networks, listed here so that completion and a misspelled name need not load it.
_BACKBONE_NAMES = """
alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf
regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf
regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34
resnet50 resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn
vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2
wide_resnet50_2
"""
BACKBONES = tuple(_BACKBONE_NAMES.split())
