"""`char-rnn`: loss after a time budget, memory, speed of training and of sampling, against plain loops.

    python benchmarks/char_rnn.py --text tinyshakespeare.txt [--budgets 60s,3m] [--cells gru,rnn] [--big] [--json FILE]

The first 90 % of the characters train and the last 10 % validate, all of them, which is nanoGPT's split.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import DLNOTES, Ended, Report, alternating, whole_process
from torch import nn

from dlnotes_cli.char_rnn.recipes import BEST
from dlnotes_cli.char_rnn.sample import TokenSampler
from dlnotes_cli.char_rnn.train import LanguageModelJob
from dlnotes_cli.char_rnn.training_text import TrainingText
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.text import Text, read_and_build_vocabulary
from dlnotes_cli.data.text_files import find_text_sources
from dlnotes_cli.device import Runtime, choose_runtime, default_threads
from dlnotes_cli.models.char_rnn import CharRnnConfig, build_char_rnn
from dlnotes_cli.shell.parse import duration
from dlnotes_cli.training.engine.loop import LoopOptions, Trainer
from dlnotes_cli.training.engine.step_budget import Horizon
from dlnotes_cli.training.optimizers import OptimizerOptions, make_optimizer
from dlnotes_cli.training.schedule import Schedule

STEPS = 40
VOCABULARY, HIDDEN, LAYERS, EMBED, DROPOUT = 65, 384, 2, 64, 0.1
ROWS, SEQ_LEN = 16, 64
BIG = 1 << 30  # bytes


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
    tokens: np.ndarray[Any, Any], precision: str, *, seconds: float, rows: int = ROWS, length: int = SEQ_LEN
) -> tuple[float, float]:
    """Characters a second, and the validation loss, of a plain loop with AdamW 3e-3 and a cosine, windows at random."""
    torch.manual_seed(0)
    data = torch.from_numpy(tokens.astype(np.int64))
    split = int(len(data) * 0.9)
    train_, val = data[:split], data[split:]
    network = PlainNet()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    seen, started = 0, time.perf_counter()
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


def our_loop(text: Text, form: TextPreprocessing, runtime: Runtime) -> Callable[[], None]:
    """Steps of our loop, with all that it cuts, resets, counts and checks."""
    texts = TrainingText(text, form, text, text)

    class WithoutValidation(LanguageModelJob):
        def validate(self, poll: Callable[[], None]) -> dict[str, float]:
            poll()
            return {"loss": 0.0, "accuracy": 0.0}

    def run() -> None:
        network = build_char_rnn(CharRnnConfig(form.vocabulary, "lstm", LAYERS, HIDDEN, EMBED, DROPOUT))
        job = WithoutValidation(network, texts, BEST, runtime, seed=0)
        schedule = Schedule("constant", 1)
        optimizer = make_optimizer(network, OptimizerOptions("adamw", 1e-3, 0.0, 0.05))
        loop, horizon = LoopOptions(1e-3, grad_clip=1.0), Horizon(schedule, STEPS, None)
        Trainer(job, optimizer, schedule, horizon, loop, save=lambda _: None, poll=lambda: None).run()

    return run


def bare_steps(runtime: Runtime) -> Callable[[], None]:
    """Forward, backward, clipping and step of the same network on one window, again and again."""
    network = build_char_rnn(CharRnnConfig(VOCABULARY, "lstm", LAYERS, HIDDEN, EMBED, DROPOUT)).train()
    optimizer = make_optimizer(network, OptimizerOptions("adamw", 1e-3, 0.0, 0.05))
    tokens = torch.randint(VOCABULARY, (ROWS, SEQ_LEN + 1))

    def run() -> None:
        state = network.initial_state(ROWS)
        for _ in range(STEPS):
            with runtime.autocast():
                logits, behind = network(tokens[:, :-1], state)
            state = tuple(part.detach() for part in behind)
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten()).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return run


def plain_fp32_steps() -> Callable[[], None]:
    """The same in plain fp32 PyTorch."""
    embedding, output = nn.Embedding(VOCABULARY, EMBED), nn.Linear(HIDDEN, VOCABULARY)
    lstm = nn.LSTM(EMBED, HIDDEN, LAYERS, dropout=DROPOUT, batch_first=True)
    parameters = [p for module in (embedding, lstm, output) for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    tokens = torch.randint(VOCABULARY, (ROWS, SEQ_LEN + 1))

    def run() -> None:
        for _ in range(STEPS):
            found, _ = lstm(embedding(tokens[:, :-1]))
            loss = nn.functional.cross_entropy(output(found).flatten(0, 1), tokens[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

    return run


def measure_training(report: Report, text: Text, form: TextPreprocessing, repeats: int) -> None:
    """Characters a second of our loop, its own share, and what bf16 gains."""
    runtime = choose_runtime("cpu", "auto", default_threads(), bf16_pays=True)
    sides = {"ours": our_loop(text, form, runtime), "bare": bare_steps(runtime), "plain": plain_fp32_steps()}
    alternating(sides, 1)  # warm up
    seconds = alternating(sides, repeats)
    report.add("training", STEPS * ROWS * SEQ_LEN / seconds["ours"], "characters/s", n=repeats)
    gain = seconds["plain"] / seconds["ours"]
    report.add("training / the same network in plain fp32", gain, "times", target=">= 1.25", n=repeats)
    share = (seconds["ours"] - seconds["bare"]) / seconds["ours"]
    report.add("loop: share beside forward, backward, step", share, "", target="< 0.05", n=repeats)


def measure_memory(report: Report, text: Path, *, with_big: bool) -> None:
    """Peak memory with the notebook's network, and with a text of a gigabyte."""
    ended, _ = train(text, "--recipe", "notes", "--max-steps", 20)
    report.add("the notebook's network: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1000")
    if with_big:
        with tempfile.TemporaryDirectory() as folder:
            path, content = Path(folder, "big.txt"), text.read_bytes()
            with path.open("wb") as stream:
                for _ in range(BIG // len(content)):
                    stream.write(content)
            ended, fields = train(path, "--max-steps", 20, "--val-split", 0.0001)
        report.add("a text of 1 GiB: peak memory", ended.peak_bytes / 1e6, "MB")
        report.add("a text of 1 GiB: until training begins", fields["timing"]["data_s"], "s")


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
    runtime = choose_runtime("cpu", "auto", default_threads(), bf16_pays=rows > 1)
    form = TextPreprocessing("chars", "".join(map(chr, range(32, 32 + VOCABULARY))))
    sampler = TokenSampler(network, form, runtime)
    started = time.perf_counter()
    for _ in sampler.tokens(torch.tensor([0]), rows, length):
        pass
    return rows * length / (time.perf_counter() - started)


def measure_sampling(report: Report, repeats: int) -> None:
    """One stream against the notebook's loop, and many streams against one."""
    alone = statistics.median(our_sampling(1, 1000) for _ in range(repeats))
    many = statistics.median(our_sampling(64, 300) for _ in range(repeats))
    notebook = statistics.median(notebook_sampling(1000) for _ in range(repeats))
    report.add("sampling, one stream", alone, "characters/s", n=repeats)
    report.add("sampling, one stream / the notebook's loop", alone / notebook, "times", target=">= 3", n=repeats)
    report.add("sampling, 64 streams / one", many / alone, "times", target=">= 15", n=repeats)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--budgets", default="60s,3m")
    parser.add_argument("--cells", default="", help="other cells to train for the first budget")
    parser.add_argument("--big", action="store_true", help="also read a text of 1 GiB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("char_rnn", default_threads())
    torch.set_num_threads(default_threads())
    text, form = read_and_build_vocabulary(find_text_sources([str(options.text)]), TextPreprocessing("chars"), None)
    measure_sampling(report, options.repeats)
    measure_training(report, text, form, options.repeats)
    measure_memory(report, options.text, with_big=options.big)
    budgets = options.budgets.split(",")
    for budget in budgets:
        ended, fields = train(options.text, "--time-budget", budget)
        report.add(f"--time-budget {budget}: validation loss", fields["validation"]["loss"], "nats")
        report.add(f"--time-budget {budget}: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1000")
        _, loss = plain_training(text.tokens, "bf16", seconds=duration(budget))
        report.add(f"a plain bf16 loop for {budget}: validation loss", loss, "nats")
    for cell in filter(None, options.cells.split(",")):
        _, fields = train(options.text, "--time-budget", budgets[0], "--cell", cell)
        report.add(f"--cell {cell} --time-budget {budgets[0]}: validation loss", fields["validation"]["loss"], "nats")
    report.close(options.json)


if __name__ == "__main__":
    main()
