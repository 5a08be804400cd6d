"""Texts as words and as sequences of tokens, and the batches of them that a network reads."""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from dlnotes_cli.data.batches import batch_bounds, epoch_order
from dlnotes_cli.data.texts.preprocessing import PADDING, UNKNOWN, Punctuation, SequencePreprocessing
from dlnotes_cli.seeding import derived_seed
from dlnotes_cli.shell.errors import import_extra

_ASCII = re.compile(r"\w+(?:'\w+)*|[^\w\s]", re.ASCII)  # as `_pattern`, faster
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_FIRST_MARK, _LAST_MARK = 0x300, 0xFFFF  # between which combining marks of writing systems are
_POOL = 50  # batches whose texts are sorted by length together
_CHUNK = 1024  # texts that a tokenizer of byte pairs reads at a time


def normalized(text: str) -> str:
    r"""The text in Unicode's composed form (NFC) and in lower case.

    >>> normalized("Cafe\u0301") == "caf\xe9"
    True
    """
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower()


def words_of(text: str, punctuation: Punctuation = "keep") -> list[str]:
    """The words of a text, normalized.

    With `keep` every other mark is a word of its own, and an apostrophe inside a word belongs to it; with `drop` ASCII
    punctuation is deleted and words end at white space, as in the course's notebook.

    >>> words_of("Don't miss it!"), words_of("Don't miss it!", "drop")
    (["don't", 'miss', 'it', '!'], ['dont', 'miss', 'it'])
    """
    text = normalized(text)
    if punctuation == "drop":
        return text.translate(_NO_PUNCTUATION).split()
    return (_ASCII if text.isascii() else _pattern()).findall(text)


@cache
def _pattern() -> re.Pattern[str]:
    """Words with the combining marks of their letters, or single other characters."""
    marks = "".join(chr(c) for c in range(_FIRST_MARK, _LAST_MARK) if unicodedata.category(chr(c))[0] == "M")
    return re.compile(rf"[\w{marks}]+(?:['\u2019][\w{marks}]+)*|[^\w\s{marks}]")


def choose_vocabulary(texts: Iterable[Sequence[str]], limit: int | None, least: int = 1) -> tuple[str, ...]:
    """The most frequent words of texts, at most `limit`, that occur `least` times or more.

    They are sorted by falling frequency, and equally frequent ones by name.
    """
    uses = Counter(chain.from_iterable(texts))
    ordered = sorted((word for word in uses if uses[word] >= least), key=lambda word: (-uses[word], word))
    return tuple(ordered[:limit])


@dataclass(frozen=True)
class TokenSequences:
    """Texts as tokens: int64 (T,), one of padding for a text without any, and padded on the left to a fixed length."""

    tokens: Sequence[Tensor]
    cut: int = 0  # texts that were longer than the network reads

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each text without padding, (N,)."""
        return np.array([int(tokens.count_nonzero()) for tokens in self.tokens])

    @property
    def widths(self) -> NDArray[np.int64]:
        """The number of steps that a network takes for each text alone, (N,)."""
        return np.array([len(tokens) for tokens in self.tokens], np.int64)

    def take(self, indices: NDArray[np.int64]) -> "TokenSequences":
        """The texts at `indices`."""
        return TokenSequences([self.tokens[i] for i in indices.tolist()])

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """The texts at `indices` as int64 (n, T), padded on their right to the longest."""
        return pad_sequence([self.tokens[i] for i in indices.tolist()], batch_first=True, padding_value=PADDING)


def encode_texts(texts: Sequence[str], preprocessing: SequencePreprocessing) -> TokenSequences:
    """The texts as sequences of tokens, at most `max_length` of each."""
    most, cut, sequences = preprocessing.max_length, 0, []
    encode = _words if preprocessing.tokenization == "words" else _byte_pairs
    for tokens in encode(texts, preprocessing):
        cut += len(tokens) > most
        sequence = torch.tensor(tokens[:most] or [PADDING])
        sequences.append(pad(sequence, (most - len(sequence), 0)) if preprocessing.fixed_length else sequence)
    return TokenSequences(sequences, cut)


def _words(texts: Sequence[str], preprocessing: SequencePreprocessing) -> Iterator[list[int]]:
    tokens = {word: i for i, word in enumerate(preprocessing.words, preprocessing.first_token)}
    for text in texts:
        words = words_of(text, preprocessing.punctuation)
        if preprocessing.has_unknown:
            yield [tokens.get(word, UNKNOWN) for word in words]
        else:
            yield [tokens[word] for word in words if word in tokens]


def _byte_pairs(texts: Sequence[str], preprocessing: SequencePreprocessing) -> Iterator[list[int]]:
    tokenizer, first = tokenizer_from_json(preprocessing.bpe), preprocessing.first_token
    for start in range(0, len(texts), _CHUNK):
        for encoding in tokenizer.encode_batch([normalized(text) for text in texts[start : start + _CHUNK]]):
            yield [first + token for token in encoding.ids]


def tokenizer_from_json(text: str) -> Any:
    """The tokenizer of byte pairs that a model file stores. Raises ValueError for a text that is none."""
    tokenizers = import_extra("tokenizers", "text", "--tokenizer bpe")
    try:
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing more specific
        raise ValueError("tokenizer") from error


def train_byte_pairs(texts: Sequence[str], size: int) -> tuple[str, int]:
    """A tokenizer of byte pairs with at most `size` tokens, fitted to texts, as JSON; and the number of its tokens."""
    tokenizers = import_extra("tokenizers", "text", "--tokenizer bpe")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(map(normalized, texts), trainer)
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False), int(tokenizer.get_vocab_size())


def bucketed_batches(
    lengths: NDArray[np.int64], indices: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """The batches of an epoch, each of texts of similar length: a function of seed and epoch.

    The texts are shuffled; those of every 50 batches are sorted by length and cut into batches, and all batches are
    shuffled. So each epoch combines other texts, and few steps read padding.
    """
    order = epoch_order(torch.from_numpy(indices), seed, epoch).numpy()
    bounds = batch_bounds(len(order), batch_size)
    for first in range(0, len(bounds), _POOL):
        pool = slice(bounds[first][0], bounds[min(first + _POOL, len(bounds)) - 1][1])
        order[pool] = order[pool][np.argsort(lengths[order[pool]], kind="stable")]
    generator = torch.Generator().manual_seed(derived_seed(seed, epoch, 1))
    shuffled = torch.randperm(len(bounds), generator=generator).tolist()
    return [order[slice(*bounds[i])] for i in shuffled]


def batches_by_length(lengths: NDArray[np.int64], batch_size: int, most_tokens: int) -> Iterator[NDArray[np.int64]]:
    """The indices of all texts in batches of similar length, with at most `most_tokens` tokens unless of one text."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < min(len(order), start + batch_size) and (stop - start + 1) * lengths[order[stop]] <= most_tokens:
            stop += 1
        yield order[start:stop]
        start = stop
