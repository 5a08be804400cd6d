"""The linear text classifier: weights for TF-IDF features, in the precision in which scikit-learn fits them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_MAX_FEATURES, _MAX_CLASSES = 1 << 24, 1 << 16


@dataclass(frozen=True)
class TextLinearConfig:
    """The configuration of a linear text classifier."""

    features: int
    classes: int

    def __post_init__(self) -> None:
        """Validate the values, which may come from a file. Raises ValueError."""
        if not 1 <= self.features <= _MAX_FEATURES or not 2 <= self.classes <= _MAX_CLASSES:  # noqa: PLR2004
            raise ValueError("features or classes")

    @property
    def outputs(self) -> int:
        """Two classes have one output, the log-odds of the second, as in scikit-learn."""
        return 1 if self.classes == 2 else self.classes  # noqa: PLR2004


class TextLinear(nn.Module):
    """Weights (outputs, features), bias (outputs,) and inverse document frequencies (features,), all float64."""

    idf: Tensor

    def __init__(self, config: TextLinearConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.zeros(config.outputs, config.features, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(config.outputs, dtype=torch.float64))
        self.register_buffer("idf", torch.ones(config.features, dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, classes) of features (N, features); for two classes the first logit is 0."""
        logits = features @ self.weight.T + self.bias
        return nn.functional.pad(logits, (1, 0)) if len(self.bias) == 1 else logits


def build_text_linear(config: TextLinearConfig) -> TextLinear:
    """A classifier whose weights are zero."""
    return TextLinear(config)
