"""Recipes of `train-text`: `best`, and `notes`, the course's."""

from dataclasses import dataclass

from dlnotes_cli.models.choices import GatedCell, TokenPooling
from dlnotes_cli.training.recipes import LengthDefaults, Recipe


@dataclass(frozen=True, kw_only=True)
class TextRecipe(Recipe):
    """Settings of `train-text`, which include those of the network and of its tokens."""

    val_split: float
    label_smoothing: float
    tokenizer: str
    vocab_size: int  # words or pairs of bytes; 0: every word of the training texts
    max_length: int
    cell: GatedCell
    layers: int
    hidden: int
    embed: int
    bidirectional: bool
    pooling: TokenPooling
    embed_dropout: float  # not an option of the command
    dropout: float
    head_dropout: float
    is_course: bool = False  # the notebook's words, padding and single output


BEST = TextRecipe(
    optimizer="adamw", lr=3e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, ema=0.0, grad_clip=1.0,
    val_split=0.1, label_smoothing=0.0, tokenizer="words", vocab_size=20_000, max_length=512, cell="lstm", layers=1,
    hidden=128, embed=128, bidirectional=True, pooling="max", embed_dropout=0.3, dropout=0.3, head_dropout=0.3,
    length=LengthDefaults(epochs=6, batch_size=64, min_steps=600, small_batch_size=32),
)  # fmt: skip
# The course's notebook on film reviews: 20,000 of 25,000 for training, 2,500 for validation, 2,500 for the test.
NOTES = TextRecipe(
    optimizer="adam", lr=1e-3, momentum=0.0, schedule="constant", weight_decay=0.0, ema=0.0, grad_clip=5.0,
    val_split=1 / 9, label_smoothing=0.0, tokenizer="words", vocab_size=0, max_length=200, cell="lstm", layers=2,
    hidden=256, embed=400, bidirectional=False, pooling="last", embed_dropout=0.0, dropout=0.5, head_dropout=0.3,
    is_course=True, length=LengthDefaults(epochs=4, batch_size=50, is_fixed=True),
)  # fmt: skip
