"""Preprocessing of texts that a model file stores: tokens of a network, n-grams of a linear model."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

Punctuation = Literal["keep", "drop"]
Tokenization = Literal["words", "bpe"]
PADDING = 0  # the token that fills a batch; no text has it
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
        _check_names(self.text_column, self.target, self.encoding or "")
        if self.tokenization not in get_args(Tokenization) or self.punctuation not in get_args(Punctuation):
            raise ValueError("tokenization or punctuation")
        if type(self.has_unknown) is not bool or type(self.fixed_length) is not bool:
            raise ValueError("has_unknown or fixed_length")
        if type(self.max_length) is not int or not 1 <= self.max_length <= LONGEST:
            raise ValueError("max_length")
        _check_terms(self.words)
        is_bpe = self.tokenization == "bpe"
        if not isinstance(self.bpe, str) or type(self.bpe_size) is not int or is_bpe != (self.bpe_size > 0):
            raise ValueError("bpe")

    @property
    def first_token(self) -> int:
        """The token of the first entry of the vocabulary."""
        return 2 if self.has_unknown else 1

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
        _check_names(self.text_column, self.target, self.encoding or "")
        _check_terms(self.words)
        _check_terms(self.characters)

    @property
    def features(self) -> int:
        """The number of columns."""
        return len(self.words) + len(self.characters)


DocumentPreprocessing = SequencePreprocessing | TfidfPreprocessing


def document_preprocessing_to_json(preprocessing: DocumentPreprocessing) -> dict[str, Any]:
    """The preprocessing as JSON values, for a model file."""
    return {"kind": preprocessing.kind, **asdict(preprocessing)}


def document_preprocessing_from_json(stored: dict[str, Any]) -> DocumentPreprocessing:
    """Rebuild preprocessing from JSON values; raises KeyError, TypeError or ValueError if they are invalid."""
    fields = dict(stored)
    kind = fields.pop("kind")
    if kind == SequencePreprocessing.kind:
        return SequencePreprocessing(**fields | {"words": _terms(fields["words"])})
    if kind == TfidfPreprocessing.kind:
        return TfidfPreprocessing(**fields | {name: _terms(fields[name]) for name in ("words", "characters")})
    raise ValueError(f"unknown preprocessing {kind}")


def _terms(stored: Any) -> tuple[str, ...]:
    if not isinstance(stored, list):
        raise TypeError("vocabulary")
    return tuple(stored)


def _check_names(*names: str) -> None:
    if not all(isinstance(name, str) for name in names):
        raise ValueError("names of columns")


def _check_terms(terms: tuple[str, ...]) -> None:
    if not all(isinstance(term, str) and term for term in terms) or len(set(terms)) < len(terms):
        raise ValueError("vocabulary")
