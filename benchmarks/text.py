"""`train-text` compared with a plain PyTorch loop on padded batches, and the time that tokens take.

The texts are generated: words drawn from Zipf's law, lengths from a log-normal distribution with a mean of 230 words
and a longest text of 2,500, as film reviews have. Both sides train the same network, with the same number of texts in
a step, on one thread. The plain loop shuffles the texts and pads each batch to its longest text; with `--packed`,
another one packs the batches as well. The sides alternate over epochs of some of the texts; the median of the ratios is
reported.

    python benchmarks/text.py [--texts 25000] [--epoch 1500] [--repeats 3] [--hidden 64] [--packed] [--json FILE]
"""

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from measure import Report
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from training_loop import take_steps

from dlnotes_cli.data.texts.labeled import TextDataSet
from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing
from dlnotes_cli.data.texts.sequences import choose_vocabulary, encode_texts, words_of
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.registry import build
from dlnotes_cli.text.options import TrainTextConfig
from dlnotes_cli.text.train_text import TextTask

if TYPE_CHECKING:
    from collections.abc import Callable

MEAN, SPREAD, LONGEST, VOCABULARY = 230, 0.75, 2500, 20_000
BATCH_SIZE, EMBEDDING = 50, 128


def review_lengths(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Words of each text: log-normal with a mean of about 230, at least 10 and at most 2,500."""
    lengths = generator.lognormal(np.log(MEAN) - SPREAD**2 / 2, SPREAD, count)
    return np.clip(lengths, 10, LONGEST).astype(np.int64)


def make_texts(count: int) -> list[str]:
    """Texts of words that are as frequent as Zipf's law has it, with a period now and then."""
    generator = np.random.default_rng(0)
    names = np.array([f"w{i:x}" for i in range(60_000)], object)
    weights = 1 / np.arange(1, len(names) + 1)
    cumulative = np.cumsum(weights / weights.sum())
    texts = []
    for length in review_lengths(count, generator):
        words = names[np.searchsorted(cumulative, generator.random(length)).clip(max=len(names) - 1)]
        words[9::10] += "."
        texts.append(" ".join(words))
    return texts


class PlainNetwork(nn.Module):
    """The same network written plainly: a bidirectional LSTM and the maximum over the tokens."""

    def __init__(self, vocabulary: int, hidden: int, *, is_packed: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, EMBEDDING, padding_idx=0)
        self.lstm = nn.LSTM(EMBEDDING, hidden, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * hidden, 2)
        self._is_packed = is_packed

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, 2)."""
        x = self.embedding(tokens)
        if self._is_packed:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            x = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]
        else:
            x = self.lstm(x)[0]
        is_padding = torch.arange(x.shape[1]) >= lengths[:, None]
        logits: Tensor = self.output(x.masked_fill(is_padding[:, :, None], -torch.inf).amax(1))
        return logits


def plain_epoch(texts: list[Tensor], labels: Tensor, vocabulary: int, hidden: int, *, is_packed: bool) -> None:
    """An epoch as PyTorch's tutorials have it: a DataLoader whose batches are padded to their longest text."""
    torch.manual_seed(0)
    network = PlainNetwork(vocabulary, hidden, is_packed=is_packed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
        sequences, targets = zip(*items, strict=True)
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        return pad_sequence(list(sequences), batch_first=True), lengths, torch.stack(targets)

    pairs: Any = list(zip(texts, labels, strict=True))
    loader = torch.utils.data.DataLoader(pairs, BATCH_SIZE, shuffle=True, collate_fn=collate)
    for tokens, lengths, targets in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(tokens, lengths), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()


class GeneratedTexts(TextTask):
    """`train-text` on texts that are generated, without dropout, as the plain loop has none."""

    def __init__(self, dataset: TextDataSet, hidden: int) -> None:
        options = TrainTextConfig(hidden=hidden, embed=EMBEDDING, batch_size=BATCH_SIZE, max_length=2 * LONGEST)
        recipe = replace(options.resolved(), embed_dropout=0.0, dropout=0.0, head_dropout=0.0)
        super().__init__(options, recipe)
        self._generated, self.runtime = dataset, Runtime(torch.device("cpu"), "fp32", 1)
        self.load()

    def read_texts(self) -> TextDataSet:
        """The texts that were generated."""
        return self._generated


def our_epoch(task: TextTask) -> None:
    """An epoch of `train-text` with its own loop, without the validation."""
    torch.manual_seed(0)
    task.network = build(task.model_name, task.network_config)
    take_steps(task, BATCH_SIZE, -(-task.training_samples // BATCH_SIZE))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("--texts", 25_000), ("--epoch", 1500), ("--repeats", 3), ("--hidden", 64)):
        parser.add_argument(name, type=int, default=value)
    parser.add_argument("--packed", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = Report("text", threads=1)
    texts = make_texts(options.texts)
    words = sum(map(len, map(str.split, texts)))
    started, cpu_started = time.perf_counter(), time.process_time()
    vocabulary = choose_vocabulary(map(words_of, texts), VOCABULARY)
    preprocessing = SequencePreprocessing("text", "label", "words", vocabulary, max_length=LONGEST * 2)
    encode_texts(texts, preprocessing)
    report.add(f"tokens of {len(texts):,} texts", time.perf_counter() - started, "s", target="10 s")
    report.add(f"tokens of {len(texts):,} texts, processor time", time.process_time() - cpu_started, "s")
    report.add("words per text, mean", words / len(texts), "words")
    count = min(options.epoch, len(texts))
    labels = np.random.default_rng(1).integers(0, 2, len(texts))
    dataset = TextDataSet(
        "generated", tuple(texts), labels, ("a", "b"), {"train": np.arange(count), "val": np.arange(1)}, ""
    )
    task = GeneratedTexts(dataset, options.hidden)
    own, size = list(encode_texts(texts[:count], task.preprocessing).tokens), task.preprocessing.vocabulary
    targets = torch.from_numpy(labels[:count])
    sides: dict[str, Callable[[], None]] = {
        "train-text": lambda: our_epoch(task),
        "plain, padded": lambda: plain_epoch(own, targets, size, options.hidden, is_packed=False),
    }
    if options.packed:
        sides["plain, packed"] = lambda: plain_epoch(own, targets, size, options.hidden, is_packed=True)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.repeats):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    for name, values in seconds.items():
        report.add(f"epoch of {count:,} texts, {name}", statistics.median(values), "s", n=options.repeats)
    for name in list(sides)[1:]:
        ratios = [theirs / ours for theirs, ours in zip(seconds[name], seconds["train-text"], strict=True)]
        target = "2" if "padded" in name else ""
        report.add(f"{name} / train-text", statistics.median(ratios), "x", target=target, n=options.repeats)
    report.close(options.json)


if __name__ == "__main__":
    main()
