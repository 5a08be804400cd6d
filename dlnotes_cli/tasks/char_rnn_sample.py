"""Text from a character model, one character after the other."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dlnotes_cli.configs.char_rnn import CharRnnSampleConfig
from dlnotes_cli.data.formats import TextFormat
from dlnotes_cli.data.text import Encoder
from dlnotes_cli.device import Machine, choose_machine
from dlnotes_cli.errors import InputError
from dlnotes_cli.models.char_rnn import CharRnn, State
from dlnotes_cli.models.char_rnn_stepper import Stepper
from dlnotes_cli.models.registry import LANGUAGE_MODELS
from dlnotes_cli.training.checkpoint import load_language_model

_DRAWS = 1024  # numbers drawn at once
_SEVERAL = 8  # streams from which products in bf16 are faster


@dataclass(frozen=True)
class Choice:
    """How the next character is chosen among the probable ones."""

    temperature: float = 1.0  # 0: the most probable
    top_k: int | None = None
    top_p: float | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities (B, vocabulary) from logits of that shape; every row sums to 1."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
        found = (logits if self.temperature == 1 else logits / self.temperature).softmax(1)
        if self.top_k is None and self.top_p is None:
            return found
        if self.top_k is not None and self.top_k < found.shape[1]:
            found = found * (found >= found.topk(self.top_k).values[:, -1:])
        if self.top_p is not None and self.top_p < 1:
            ordered, places = found.sort(stable=True, dim=1, descending=True)
            kept = ordered.cumsum(1) - ordered < self.top_p * ordered.sum(1, keepdim=True)
            found = torch.zeros_like(found).scatter_(1, places, ordered * kept)
        return found / found.sum(1, keepdim=True)


class Sampler:
    """Continues texts, several side by side; all that is drawn is a function of the seed."""

    def __init__(
        self, network: nn.Module, form: TextFormat, machine: Machine, *, seed: int = 0, choice: Choice | None = None
    ) -> None:
        if not isinstance(network, CharRnn):
            raise TypeError(type(network).__name__)
        self._network, self._form, self._device = network, form, machine.device
        self._step = Stepper(network, torch.bfloat16 if machine.precision == "bf16" else torch.float32)
        self._choice = choice or Choice()
        self._generator = torch.Generator().manual_seed(seed)

    def tokens(self, prime: Tensor, rows: int, length: int) -> Iterator[Tensor]:
        """Tokens (rows,), `length` times, after a prime (N,)."""
        state: State = self._network.first_state(rows)
        with torch.inference_mode():
            for token in prime.to(self._device):
                logits, state = self._step(token.expand(rows), state)
            for start in range(0, length, _DRAWS):
                draws = torch.rand((min(_DRAWS, length - start), rows, 1), generator=self._generator)
                for draw in draws.to(self._device):
                    sums = self._choice.probabilities(logits.float()).cumsum(1)
                    chosen = torch.searchsorted(sums, draw * sums[:, -1:], right=True).squeeze(1)
                    chosen = chosen.clamp_(max=self._form.vocabulary - 1)
                    yield chosen
                    logits, state = self._step(chosen, state)

    def text(self, prime: str, length: int, rows: int = 1) -> Iterator[str]:
        """The characters of one sample as they come; of bytes, each as its own surrogate where it is not ASCII."""
        encoded = torch.from_numpy(Encoder(self._form).encode(prime, "--prime", "error")).long()
        for chosen in self.tokens(encoded, rows, length):
            yield decoded(chosen[:1], self._form)


def default_prime(form: TextFormat) -> str:
    """What a sample goes on from where nothing is said: the end of a line, a space, or the first character there is."""
    if form.unit == "bytes" or "\n" in form.characters:
        return "\n"
    return " " if " " in form.characters else form.characters[0]


def decoded(tokens: Tensor, form: TextFormat) -> str:
    """The characters of tokens (N,); bytes that are not ASCII stand as surrogates, as in the names of files."""
    if form.unit == "bytes":
        return os.fsdecode(bytes(tokens.tolist()))
    return "".join(form.characters[token] for token in tokens.tolist())


@dataclass(frozen=True)
class Sample:
    """One finished sample."""

    text: str
    is_stopped: bool  # by --stop

    def as_json(self) -> dict[str, Any]:
        """The fields that `--json` shows."""
        return {"text": self.text, "ended": "stop" if self.is_stopped else "length"}


class CharRnnSampler:
    """What `char-rnn sample` does: `prime` first, then `stream` for one sample or `samples` for all.

    Raises InputError for a model file that is not right or of another kind, and for a prime with unknown characters.
    """

    def __init__(self, config: CharRnnSampleConfig) -> None:
        self._config = config
        pays = config.count >= _SEVERAL
        machine = choose_machine(config.device, config.precision, config.threads, bf16_pays=pays)
        model = load_language_model(config.model, needs=LANGUAGE_MODELS)
        self.path, self.form, self.machine = model.path, model.format, machine
        self.prime = default_prime(self.form) if config.prime is None else config.prime
        encoded = Encoder(self.form).encode(self.prime, "--prime", config.on_unknown)
        if not len(encoded):
            raise InputError("--prime", "has no character that the model knows", "give another")
        self.prime = decoded(torch.from_numpy(encoded), self.form)
        self._encoded = torch.from_numpy(encoded).long()
        choice = Choice(config.temperature, config.top_k, config.top_p)
        network = model.network.to(machine.device)
        self._sampler = Sampler(network, self.form, machine, seed=config.seed, choice=choice)

    def stream(self) -> Iterator[str]:
        """One sample as it comes, held back where it may be the beginning of `--stop`."""
        stop, held = self._config.stop, ""
        for chosen in self._sampler.tokens(self._encoded, 1, self._config.length):
            held += decoded(chosen, self.form)
            if stop is not None and held.endswith(stop):
                yield held.removesuffix(stop)
                return
            ready = len(held) - (_overlap(held, stop) if stop else 0)
            yield held[:ready]
            held = held[ready:]
        yield held

    def samples(self) -> list[Sample]:
        """All samples, drawn side by side."""
        config, stop = self._config, self._config.stop
        texts = [""] * config.count
        running = set(range(config.count))
        columns: list[Tensor] = []
        for chosen in self._sampler.tokens(self._encoded, config.count, config.length):
            if stop is None:
                columns.append(chosen)
                continue
            for i, character in enumerate(self._characters(chosen)):
                if i in running:
                    texts[i] += character
                    if texts[i].endswith(stop):
                        running.discard(i)
            if not running:
                break
        if stop is None:
            texts = [decoded(row, self.form) for row in torch.stack(columns, 1)]
            return [Sample(text, is_stopped=False) for text in texts]
        return [
            Sample(text if i in running else text.removesuffix(stop), is_stopped=i not in running)
            for i, text in enumerate(texts)
        ]

    def _characters(self, chosen: Tensor) -> list[str]:
        return [decoded(token[None], self.form) for token in chosen]


def _overlap(text: str, stop: str) -> int:
    """Characters at the end of `text` with which `stop` begins."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
