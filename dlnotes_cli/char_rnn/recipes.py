"""Recipes of `char-rnn train`: hyperparameters that work together."""

from dataclasses import dataclass, replace

from dlnotes_cli.training.recipes import LengthDefaults, Recipe


@dataclass(frozen=True, kw_only=True)
class CharRnnRecipe(Recipe):
    """What training a character model decides as well."""

    layers: int
    hidden: int
    embed: int  # embedding size; 0: one-hot
    residual: bool
    dropout: float
    seq_len: int
    reset_state: float  # probability that a row starts a chunk with a zero state
    random_offset: bool  # cut the text at different positions in each epoch; not an option of the command


# Short chunks and a narrow network give a short run the many steps it needs: a processor core runs 32 rows of 32
# characters faster than 16 rows of 64, and its cache holds the weights of 320 units. Samples are chunks.
BEST = CharRnnRecipe(
    optimizer="adamw", lr=6e-3, momentum=0.9, schedule="one-cycle", weight_decay=0.05, ema=0.0, grad_clip=1.0,
    layers=2, hidden=320, embed=64, residual=True, dropout=0.15, seq_len=32, reset_state=0.02, random_offset=True,
    length=LengthDefaults(epochs=5, batch_size=32, min_steps=1000),
)  # fmt: skip
# A long run has the time for longer sequences, from which a network learns more. It reads the text so often that it
# needs more dropout and weight decay against overfitting.
BEST_LONG = replace(
    BEST, hidden=384, dropout=0.3, weight_decay=0.1, seq_len=64, length=replace(BEST.length, batch_size=16)
)
# The course's notebook on Anna Karenina.
NOTES = CharRnnRecipe(
    optimizer="adam", lr=1e-3, momentum=0.0, schedule="constant", weight_decay=0.0, ema=0.0, grad_clip=5.0,
    layers=2, hidden=512, embed=0, residual=False, dropout=0.5, seq_len=100, reset_state=0.0, random_offset=False,
    length=LengthDefaults(epochs=20, batch_size=128, is_fixed=True),
)  # fmt: skip
