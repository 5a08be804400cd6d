"""`char-rnn` compared with plain loops: loss after a time budget, memory, throughput of training and of sampling.

    python benchmarks/char_rnn.py --text tinyshakespeare.txt [--budgets 60s,3m] [--cells gru,rnn] [--big] [--json FILE]

The first 90 % of the characters are for training and the last 10 % for validation, as in nanoGPT.
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
from training_loop import take_steps

from dlnotes_cli.char_rnn.options import BEST, CharRnnTrainConfig
from dlnotes_cli.char_rnn.sample import TokenSampler
from dlnotes_cli.char_rnn.train import CharRnnTask
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import read_and_build_vocabulary
from dlnotes_cli.data.texts.files import find_text_sources
from dlnotes_cli.device import Runtime, choose_runtime
from dlnotes_cli.networks.char_rnn import CharRnn, CharRnnConfig
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.parse import duration
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import OptimizerSettings

STEPS = 40
VOCABULARY, HIDDEN, LAYERS = 65, 384, 2  # of the plain loop and of the notebook's sampling
BATCH, SEQ_LEN = 16, 64  # of the plain loop
CHARACTERS = BEST.length.batch_size * BEST.seq_len  # of a step of dlnotes
BIG_TEXT_BYTES = 1 << 30


class PlainNet(nn.Module):
    """An embedding, two LSTM layers and a linear layer, in plain PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, LAYERS, batch_first=True)
        self.output = nn.Linear(HIDDEN, VOCABULARY)

    def forward(self, tokens: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        """Tokens (B, T) to logits (B, T, vocabulary) and the state after them."""
        hidden, state = self.lstm(self.embedding(tokens), state)
        return self.output(hidden), state


def train(text: Path, *arguments: object) -> tuple[Ended, dict[str, Any]]:
    """A whole process of `char-rnn train`, and its JSON result."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*DLNOTES, "char-rnn", "train", str(text), *map(str, arguments)]
        command += ["--out", f"{folder}/run", "--json", "-q"]
        ended = whole_process(command)
    return ended, json.loads(ended.out)


def plain_training(
    tokens: np.ndarray[Any, Any], precision: str, *, seconds: float, batch: int = BATCH, length: int = SEQ_LEN
) -> tuple[float, float]:
    """Characters per second and validation loss of a plain loop: AdamW at 3e-3, cosine schedule, random windows."""
    torch.manual_seed(0)
    data = torch.from_numpy(tokens.astype(np.int64))
    split = int(len(data) * 0.9)
    train_tokens, val_tokens = data[:split], data[split:]
    network = PlainNet()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    characters, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * (1 + np.cos(np.pi * elapsed / seconds)) / 2
        starts = torch.randint(len(train_tokens) - length, (batch,))
        windows = torch.stack([train_tokens[i : i + length + 1] for i in starts])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits, _ = network(windows[:, :-1])
        loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        characters += batch * length
    throughput = characters / (time.perf_counter() - started)
    with torch.no_grad():
        state, loss_sum = None, 0.0
        for start in range(0, len(val_tokens) - 1, 4096):
            window = val_tokens[start : start + 4097]
            logits, state = network(window[None, :-1], state)
            loss_sum += float(nn.functional.cross_entropy(logits[0], window[1:], reduction="sum"))
    return throughput, loss_sum / (len(val_tokens) - 1)


def recipe_config(vocabulary: int) -> CharRnnConfig:
    """The network of the recipe."""
    return CharRnnConfig(
        vocabulary, layers=BEST.layers, hidden=BEST.hidden, embed=BEST.embed, dropout=BEST.dropout,
        residual=BEST.residual,
    )  # fmt: skip


def dlnotes_steps(text: Path, runtime: Runtime) -> Callable[[], None]:
    """Steps of the loop of dlnotes, with its batches, state resets, metrics and checks."""
    options = CharRnnTrainConfig(texts=(str(text),))
    task = CharRnnTask(options, options.resolved())
    task.load()
    task.runtime = runtime

    def run() -> None:
        task.network = CharRnn(task.network_config)
        take_steps(task, BEST.length.batch_size, STEPS)

    return run


def bare_steps(runtime: Runtime) -> Callable[[], None]:
    """Forward pass, backward pass, clipping and optimizer step of the same network, repeated on one window."""
    network = CharRnn(recipe_config(VOCABULARY)).train()
    optimizer = make_optimizer(network, OptimizerSettings("adamw", 1e-3, 0.0, 0.05))
    tokens = torch.randint(VOCABULARY, (BEST.length.batch_size, BEST.seq_len + 1))

    def run() -> None:
        state = network.initial_state(BEST.length.batch_size)
        for _ in range(STEPS):
            with runtime.autocast():
                logits, next_state = network(tokens[:, :-1], state)
            state = tuple(tensor.detach() for tensor in next_state)
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten()).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return run


def plain_fp32_steps() -> Callable[[], None]:
    """The same steps in plain PyTorch, in fp32, without the sum around the second layer."""
    embedding, output = nn.Embedding(VOCABULARY, BEST.embed), nn.Linear(BEST.hidden, VOCABULARY)
    lstm = nn.LSTM(BEST.embed, BEST.hidden, BEST.layers, dropout=BEST.dropout, batch_first=True)
    parameters = [p for module in (embedding, lstm, output) for p in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    tokens = torch.randint(VOCABULARY, (BEST.length.batch_size, BEST.seq_len + 1))

    def run() -> None:
        for _ in range(STEPS):
            hidden, _ = lstm(embedding(tokens[:, :-1]))
            loss = nn.functional.cross_entropy(output(hidden).flatten(0, 1), tokens[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

    return run


def measure_training(report: Report, text: Path, repeats: int) -> None:
    """Throughput and overhead of the loop of dlnotes, and the speed-up compared with plain fp32."""
    runtime = choose_runtime("cpu", "auto", default_threads(), bf16_pays=True)
    sides = {
        "dlnotes": dlnotes_steps(text, runtime),
        "bare": bare_steps(runtime),
        "plain": plain_fp32_steps(),
    }
    alternating(sides, 1)  # warm up
    seconds = alternating(sides, repeats)
    report.add("training", STEPS * CHARACTERS / seconds["dlnotes"], "characters/s", n=repeats)
    speedup = seconds["plain"] / seconds["dlnotes"]
    report.add("training / the same network in plain fp32", speedup, "times", target=">= 1.25", n=repeats)
    overhead = (seconds["dlnotes"] - seconds["bare"]) / seconds["dlnotes"]
    report.add("loop: share outside forward, backward, step", overhead, "", target="< 0.05", n=repeats)


def measure_memory(report: Report, text: Path, *, with_big_text: bool) -> None:
    """Peak memory with the network of the notebook, and with a text of 1 GiB."""
    ended, _ = train(text, "--recipe", "notes", "--max-steps", 20)
    report.add("the notebook's network: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1000")
    if with_big_text:
        with tempfile.TemporaryDirectory() as folder:
            path, content = Path(folder, "big.txt"), text.read_bytes()
            with path.open("wb") as stream:
                for _ in range(BIG_TEXT_BYTES // len(content)):
                    stream.write(content)
            ended, result = train(path, "--max-steps", 20, "--val-split", 0.0001)
        report.add("a text of 1 GiB: peak memory", ended.peak_bytes / 1e6, "MB")
        report.add("a text of 1 GiB: time before training", result["timing"]["data_s"], "s")


def notebook_sampling(length: int) -> float:
    """Characters per second of the notebook: one-hot input, softmax, top 5, random choice by NumPy."""
    lstm, output = nn.LSTM(VOCABULARY, HIDDEN, LAYERS, batch_first=True), nn.Linear(HIDDEN, VOCABULARY)
    state, token = None, 0
    started = time.perf_counter()
    for _ in range(length):
        one_hot = np.zeros((1, 1, VOCABULARY), np.float32)
        one_hot[0, 0, token] = 1
        hidden, state = lstm(torch.from_numpy(one_hot), state)
        state = tuple(tensor.data for tensor in state)
        probabilities = torch.softmax(output(hidden.reshape(-1, HIDDEN)), 1).data
        probabilities, indices = probabilities.topk(5)
        p = probabilities.numpy().squeeze()
        token = int(np.random.default_rng(0).choice(indices.numpy().squeeze(), p=p / p.sum()))
    return length / (time.perf_counter() - started)


def dlnotes_sampling(batch: int, length: int) -> float:
    """Characters per second of `batch` samples drawn together."""
    network = CharRnn(CharRnnConfig(VOCABULARY, layers=LAYERS, hidden=HIDDEN, embed=BEST.embed)).eval()
    runtime = choose_runtime("cpu", "auto", default_threads(), bf16_pays=batch > 1)
    preprocessing = TextPreprocessing("chars", "".join(map(chr, range(32, 32 + VOCABULARY))))
    sampler = TokenSampler(network, preprocessing, runtime)
    started = time.perf_counter()
    for _ in sampler.tokens(torch.tensor([0]), batch, length):
        pass
    return batch * length / (time.perf_counter() - started)


def measure_sampling(report: Report, repeats: int) -> None:
    """One sample compared with the notebook's loop, and 64 samples together compared with one."""
    one = statistics.median(dlnotes_sampling(1, 1000) for _ in range(repeats))
    together = statistics.median(dlnotes_sampling(64, 300) for _ in range(repeats))
    notebook = statistics.median(notebook_sampling(1000) for _ in range(repeats))
    report.add("sampling, one sample", one, "characters/s", n=repeats)
    report.add("sampling, one sample / the notebook's loop", one / notebook, "times", target=">= 3", n=repeats)
    report.add("sampling, 64 samples / one", together / one, "times", target=">= 15", n=repeats)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--budgets", default="60s,3m")
    parser.add_argument("--cells", default="", help="other cells to train with the first budget")
    parser.add_argument("--big", action="store_true", help="also train on a text of 1 GiB")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = Report("char_rnn", default_threads())
    torch.set_num_threads(default_threads())
    text, _ = read_and_build_vocabulary(find_text_sources([str(options.text)]), TextPreprocessing("chars"), None)
    measure_sampling(report, options.repeats)
    measure_training(report, options.text, options.repeats)
    measure_memory(report, options.text, with_big_text=options.big)
    budgets = options.budgets.split(",")
    for budget in budgets:
        ended, result = train(options.text, "--time-budget", budget)
        report.add(f"--time-budget {budget}: validation loss", result["validation"]["loss"], "nats")
        report.add(f"--time-budget {budget}: peak memory", ended.peak_bytes / 1e6, "MB", target="< 1000")
        _, loss = plain_training(text.tokens, "bf16", seconds=duration(budget))
        report.add(f"a plain bf16 loop for {budget}: validation loss", loss, "nats")
    for cell in filter(None, options.cells.split(",")):
        _, result = train(options.text, "--time-budget", budgets[0], "--cell", cell)
        report.add(f"--cell {cell} --time-budget {budgets[0]}: validation loss", result["validation"]["loss"], "nats")
    report.close(options.json)


if __name__ == "__main__":
    main()
