"""Preprocessing of texts that a model file stores: tokens of a network, n-grams of a linear model."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Punctuation = Literal["keep", "drop"]
Tokenization = Literal["words", "bpe"]
PADDING = 0  # the token that fills a batch; no text has it
UNKNOWN = 1  # the token of words outside the vocabulary
LONGEST = 1 << 20  # tokens of a text that a network may read


@dataclass(frozen=True)
class SequencePreprocessing:
    """How texts become sequences of tokens for a network.

    Token 0 is padding. With `has_unknown`, token 1 stands for every word outside the vocabulary; otherwise such words
    are left out. The vocabulary follows. With `fixed_length` every sequence is padded on its left to `max_length`.
    """

    kind: ClassVar[str] = "tokens"

    text_column: str
    target: str
    tokenization: Tokenization
    words: tuple[str, ...] = ()  # the vocabulary, by token
    bpe: str = ""  # the JSON of a tokenizer of byte pairs
    bpe_size: int = 0  # of its vocabulary
    punctuation: Punctuation = "keep"
    has_unknown: bool = True
    max_length: int = 512
    fixed_length: bool = False
    encoding: str | None = None  # of the training texts

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        if not 1 <= self.max_length <= LONGEST or (self.tokenization == "bpe") != (self.bpe_size > 0):
            raise ValueError("max_length or bpe_size")
        _check_terms(self.words)

    @property
    def first_token(self) -> int:
        """The token of the first entry of the vocabulary."""
        return UNKNOWN + 1 if self.has_unknown else PADDING + 1

    @property
    def vocabulary(self) -> int:
        """Number of distinct tokens, with that of padding."""
        return self.first_token + (self.bpe_size if self.tokenization == "bpe" else len(self.words))


@dataclass(frozen=True)
class TfidfPreprocessing:
    """The n-grams of words and of characters that a linear model weighs, each sorted by column."""

    kind: ClassVar[str] = "tfidf"

    text_column: str
    target: str
    words: tuple[str, ...]  # one or two words, separated by a space
    characters: tuple[str, ...]
    encoding: str | None = None  # of the training texts

    def __post_init__(self) -> None:
        """Raise ValueError for values that no training run writes."""
        _check_terms(self.words)
        _check_terms(self.characters)

    @property
    def features(self) -> int:
        """The number of columns."""
        return len(self.words) + len(self.characters)


DocumentPreprocessing = SequencePreprocessing | TfidfPreprocessing


def _check_terms(terms: tuple[str, ...]) -> None:
    if "" in terms or len(set(terms)) < len(terms):
        raise ValueError("vocabulary")
