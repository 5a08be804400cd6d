"""Sequences of tokens, and the batches of them that a network reads."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.batches import batch_bounds, epoch_order
from dlnotes_cli.data.texts.preprocessing import PADDING, SequencePreprocessing
from dlnotes_cli.data.texts.words import Corpus, lookup, normalized, positions_of, read_corpus
from dlnotes_cli.seeding import derived_seed
from dlnotes_cli.shell.errors import import_extra

UNKNOWN = 1  # the token of words outside the vocabulary
_POOL = 50  # batches whose texts are sorted by length together
_CHUNK = 1024  # texts that a tokenizer of byte pairs reads at a time
_SKIPPED = -1


@dataclass(frozen=True)
class TokenSequences:
    """Texts as tokens: text i is `tokens[offsets[i]:offsets[i + 1]]`."""

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]  # (N + 1,)
    cut: int  # texts that were longer than the network reads
    fixed_length: int = 0  # to which every text is padded on its left; 0: on its right, to the longest of a batch

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each text, (N,)."""
        return np.diff(self.offsets)

    @property
    def widths(self) -> NDArray[np.int64]:
        """The number of steps that a network takes for each text alone, (N,)."""
        return np.full(len(self), self.fixed_length) if self.fixed_length else np.maximum(self.lengths, 1)

    def take(self, indices: NDArray[np.int64]) -> "TokenSequences":
        """The texts at `indices`."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths[indices])])
        return TokenSequences(self.tokens[positions_of(self.offsets, indices)], offsets, 0, self.fixed_length)

    def batch(self, indices: NDArray[np.int64]) -> Tensor:
        """The texts at `indices` as int64 (n, T), padded."""
        lengths = self.lengths[indices]
        width = self.fixed_length or max(1, int(lengths.max(initial=0)))
        steps = np.arange(width)
        is_token = steps >= width - lengths[:, None] if self.fixed_length else steps < lengths[:, None]
        padded = np.full((len(indices), width), PADDING, np.int64)
        padded[is_token] = self.tokens[positions_of(self.offsets, indices)]
        return torch.from_numpy(padded)


def encode_texts(texts: Sequence[str], preprocessing: SequencePreprocessing) -> TokenSequences:
    """The texts as sequences of tokens, at most `max_length` of each."""
    if preprocessing.tokenization == "bpe":
        return _byte_pairs(texts, preprocessing)
    return encode_corpus(read_corpus(texts, preprocessing.punctuation), preprocessing)


def encode_corpus(corpus: Corpus, preprocessing: SequencePreprocessing) -> TokenSequences:
    """As `encode_texts`, for texts whose words are known."""
    absent = UNKNOWN if preprocessing.has_unknown else _SKIPPED
    token_of = lookup(corpus, preprocessing.words, absent, preprocessing.first_token).astype(np.int32)
    tokens = token_of[corpus.ids] if len(corpus.words) else np.empty(0, np.int32)
    is_kept = tokens != _SKIPPED
    offsets = np.concatenate([[0], np.cumsum(is_kept)])[corpus.offsets]
    return _cut(tokens[is_kept], offsets, preprocessing)


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


def _byte_pairs(texts: Sequence[str], preprocessing: SequencePreprocessing) -> TokenSequences:
    tokenizer, most = tokenizer_from_json(preprocessing.bpe), preprocessing.max_length
    pieces, lengths, cut = [np.empty(0, np.int32)], [], 0
    for start in range(0, len(texts), _CHUNK):
        for encoding in tokenizer.encode_batch([normalized(text) for text in texts[start : start + _CHUNK]]):
            cut += len(encoding.ids) > most
            pieces.append(np.array(encoding.ids[:most], np.int32) + preprocessing.first_token)
            lengths.append(len(pieces[-1]))
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
    fixed = most if preprocessing.fixed_length else 0
    return TokenSequences(np.concatenate(pieces), offsets, cut, fixed)


def _cut(tokens: NDArray[np.int32], offsets: NDArray[np.int64], preprocessing: SequencePreprocessing) -> TokenSequences:
    """The sequences with at most `max_length` tokens each: their first ones."""
    most = preprocessing.max_length
    fixed = most if preprocessing.fixed_length else 0
    lengths = np.diff(offsets)
    is_long = lengths > most
    if not is_long.any():
        return TokenSequences(tokens, offsets, 0, fixed)
    shorter = np.minimum(lengths, most)
    starts = offsets[:-1]
    ends = np.concatenate([[0], np.cumsum(shorter)])
    chosen = np.repeat(starts - ends[:-1], shorter) + np.arange(int(shorter.sum()))
    return TokenSequences(tokens[chosen], ends, int(is_long.sum()), fixed)
