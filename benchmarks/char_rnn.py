"""`char-rnn`: loss after a time budget, speed against a plain loop, sampling against the notebook's.

    python benchmarks/char_rnn.py --text tinyshakespeare.txt [--budgets 60s,3m] [--json FILE]

The first 90 % of the characters train and the last 10 % validate, all of them, which is nanoGPT's split.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import DLNOTES, Ended, Report, whole_process
from torch import nn

from dlnotes_cli.configs.char_rnn import CharRnnTrainConfig
from dlnotes_cli.configs.parse import duration
from dlnotes_cli.configs.recipes import BEST_CHAR_RNN, filled
from dlnotes_cli.data.formats import TextFormat
from dlnotes_cli.data.text import find_sources, read_text
from dlnotes_cli.device import choose_machine, default_threads
from dlnotes_cli.models.char_rnn import CharRnnConfig, build_char_rnn
from dlnotes_cli.tasks.char_rnn_sample import Sampler
from dlnotes_cli.tasks.char_rnn_train import LanguageJob

STEPS = 40
VOCABULARY, HIDDEN, LAYERS = 65, 384, 2


class PlainNet(nn.Module):
    """An embedding, two LSTM layers and a linear one, as most would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, LAYERS, batch_first=True)
        self.output = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, tokens: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Tokens (B, T) to logits (B, T, vocabulary) and the state behind them."""
        found, state = self.lstm(self.embedding(tokens), state)
        return self.output(found), state


def train(text: Path, *words: object) -> tuple[Ended, dict[str, Any]]:
    """A whole process of `char-rnn train`, and its result."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*DLNOTES, "char-rnn", "train", str(text), "--out", f"{folder}/run", "--json", "-q", *map(str, words)]
        ended = whole_process(command)
    return ended, json.loads(ended.out)


def plain_training(
    tokens: np.ndarray[Any, Any], precision: str, *, seconds: float, rows: int = 64
) -> tuple[float, float]:
    """Characters a second, and the validation loss, of a plain loop with AdamW 3e-3 and a cosine, windows at random."""
    torch.manual_seed(0)
    data = torch.from_numpy(tokens.astype(np.int64))
    split = int(len(data) * 0.9)
    train_, val = data[:split], data[split:]
    network = PlainNet()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    length, seen, started = 128, 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 + np.cos(np.pi * spent / seconds)) / 2
        starts = torch.randint(len(train_) - length, (rows,))
        windows = torch.stack([train_[i : i + length + 1] for i in starts])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits, _ = network(windows[:, :-1])
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        seen += rows * length
    speed = seen / (time.perf_counter() - started)
    with torch.no_grad():
        state, sums = None, 0.0
        for start in range(0, len(val) - 1, 4096):
            piece = val[start : start + 4097]
            logits, state = network(piece[None, :-1], state)
            sums += float(nn.functional.cross_entropy(logits[0], piece[1:], reduction="sum"))
    return speed, sums / (len(val) - 1)


def our_step(tokens_path: Path, precision: str) -> tuple[float, float]:
    """Characters a second of our training step, and of it without what is not forward, backward and optimiser."""
    text, form = read_text(find_sources([str(tokens_path)]), TextFormat("chars"), None)
    config = filled(CharRnnTrainConfig(), BEST_CHAR_RNN)
    machine = choose_machine("cpu", precision, default_threads(), bf16_pays=True)
    network = build_char_rnn(CharRnnConfig(form.vocabulary, layers=LAYERS, hidden=HIDDEN, embed=64, dropout=0.1))
    job = LanguageJob(config, network, {"train": text, "val": text}, machine)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    job.start_epoch(1)
    samples, started = 0, time.perf_counter()
    for index in range(STEPS):
        outcome = job.step(index)
        optimizer.zero_grad()
        outcome.objective.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        samples += outcome.samples
    spent = time.perf_counter() - started
    started = time.perf_counter()
    for index in range(STEPS):
        job._streams.window(index)  # noqa: SLF001  # the part that is not the network's
    return samples / spent, (time.perf_counter() - started) / spent


def plain_fp32_step() -> float:
    """Characters a second of the same network's step in plain fp32."""
    network = nn.ModuleDict(
        {
            "e": nn.Embedding(VOCABULARY, 64),
            "l": nn.LSTM(64, HIDDEN, LAYERS, dropout=0.1, batch_first=True),
            "o": nn.Linear(HIDDEN, VOCABULARY),
        }
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    tokens = torch.randint(VOCABULARY, (16, 65))
    started = time.perf_counter()
    for _ in range(STEPS):
        found, _ = network["l"](network["e"](tokens[:, :-1]))
        loss = nn.functional.cross_entropy(network["o"](found).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return STEPS * 16 * 64 / (time.perf_counter() - started)


def notebook_sampling(length: int) -> float:
    """Characters a second of the notebook's way: one-hot in, softmax, the five most probable, numpy's choice."""
    lstm, output = nn.LSTM(VOCABULARY, HIDDEN, LAYERS, batch_first=True), nn.Linear(HIDDEN, VOCABULARY)
    state, token = None, 0
    started = time.perf_counter()
    for _ in range(length):
        one_hot = np.zeros((1, 1, VOCABULARY), np.float32)
        one_hot[0, 0, token] = 1
        found, state = lstm(torch.from_numpy(one_hot), state)
        state = tuple(part.data for part in state)
        shares = torch.softmax(output(found.reshape(-1, HIDDEN)), 1).data
        shares, places = shares.topk(5)
        values = shares.numpy().squeeze()
        token = int(np.random.default_rng(0).choice(places.numpy().squeeze(), p=values / values.sum()))
    return length / (time.perf_counter() - started)


def our_sampling(rows: int, length: int) -> float:
    """Characters a second of so many streams side by side."""
    network = build_char_rnn(CharRnnConfig(VOCABULARY, layers=LAYERS, hidden=HIDDEN, embed=64)).eval()
    machine = choose_machine("cpu", "auto", default_threads(), bf16_pays=rows > 1)
    form = TextFormat("chars", "".join(map(chr, range(32, 32 + VOCABULARY))))
    sampler = Sampler(network, form, machine)
    started = time.perf_counter()
    for _ in sampler.tokens(torch.tensor([0]), rows, length):
        pass
    return rows * length / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--budgets", default="60s,3m")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("char_rnn", default_threads())
    torch.set_num_threads(default_threads())
    alone = statistics.median(our_sampling(1, 1000) for _ in range(3))
    many = statistics.median(our_sampling(64, 300) for _ in range(3))
    notebook = statistics.median(notebook_sampling(1000) for _ in range(3))
    report.add("sampling, one stream", alone, "characters/s", n=3)
    report.add("sampling, one stream / the notebook's loop", alone / notebook, "times", target=">= 3", n=3)
    report.add("sampling, 64 streams / one", many / alone, "times", target=">= 15", n=3)
    ours = [our_step(options.text, "bf16") for _ in range(3)]
    plain = statistics.median(plain_fp32_step() for _ in range(3))
    speed = statistics.median(step for step, _ in ours)
    report.add("training, characters a second", speed, "characters/s", n=3)
    report.add("training / the same network in plain fp32", speed / plain, "times", target=">= 1.25", n=3)
    report.add("reading windows, part of a step", statistics.median(part for _, part in ours), "", target="< 0.05", n=3)
    text, _ = read_text(find_sources([str(options.text)]), TextFormat("chars"), None)
    for budget in options.budgets.split(","):
        ended, fields = train(options.text, "--time-budget", budget)
        report.add(f"--time-budget {budget}: validation loss", fields["validation"]["loss"], "nats")
        report.add(f"--time-budget {budget}: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1000")
        _, loss = plain_training(text.tokens, "bf16", seconds=duration(budget))
        report.add(f"a plain bf16 loop for {budget}: validation loss", loss, "nats")
    report.close(options.json)


if __name__ == "__main__":
    main()
