"""Text from a character model, one character after the other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dlnotes_cli.char_rnn.options import CharRnnSampleConfig
from dlnotes_cli.char_rnn.stepper import Stepper
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.text import Encoder, decode_tokens, readable
from dlnotes_cli.device import Runtime, choose_runtime
from dlnotes_cli.models.char_rnn import CharRnn, bf16_pays
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.checkpoint import load_language_model

_DRAWS = 1024  # numbers drawn at once
_COLDEST = 1e-6  # temperatures below are 0


@dataclass(frozen=True)
class Choice:
    """How the next character is chosen among the probable ones."""

    temperature: float = 1.0  # 0: the most probable
    top_k: int | None = None
    top_p: float | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities (B, vocabulary) from logits of that shape; every row sums to 1."""
        if self.temperature < _COLDEST:
            return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
        found = (logits if self.temperature == 1 else logits / self.temperature).softmax(1)
        if self.top_k is None and self.top_p is None:
            return found
        ordered, places = found.sort(stable=True, dim=1, descending=True)
        ordered = ordered[:, : self.top_k]
        if self.top_p is not None and self.top_p < 1:
            kept = ordered.cumsum(1) - ordered < self.top_p * ordered.sum(1, keepdim=True)
            kept[:, 0] = True
            ordered = ordered * kept
        found = torch.zeros_like(found).scatter_(1, places[:, : self.top_k], ordered)
        return found / found.sum(1, keepdim=True)


class Sampler:
    """Continues texts, several side by side; all that is drawn is a function of the seed."""

    def __init__(
        self,
        network: nn.Module,
        form: TextPreprocessing,
        runtime: Runtime,
        *,
        seed: int = 0,
        choice: Choice | None = None,
    ) -> None:
        if not isinstance(network, CharRnn):
            raise TypeError(type(network).__name__)
        self._form, self._device = form, runtime.device
        self._step = Stepper(network, torch.bfloat16 if runtime.precision == "bf16" else None)
        self._choice = choice or Choice()
        self._generator = torch.Generator().manual_seed(seed)

    def tokens(self, prime: Tensor, rows: int, length: int) -> Iterator[Tensor]:
        """Tokens (rows,), `length` times, after a prime (N,)."""
        with torch.inference_mode():
            states = self._step.first_states(1)
            for token in prime.to(self._device)[:, None]:
                logits, states = self._step(token, states)
            logits = logits.expand(rows, -1)
            states = tuple(tuple(part.expand(rows, -1) for part in state) for state in states)
        for start in range(0, length, _DRAWS):
            draws = torch.rand((min(_DRAWS, length - start), rows, 1), generator=self._generator)
            for draw in draws.to(self._device):
                with torch.inference_mode():  # not while a caller has the turn
                    sums = self._choice.probabilities(logits.float()).cumsum(1)
                    chosen = torch.searchsorted(sums, draw * sums[:, -1:], right=True).squeeze(1)
                    chosen = chosen.clamp_(max=self._form.vocabulary - 1)
                    logits, states = self._step(chosen, states)
                yield chosen

    def text(self, prime: str, length: int, poll: Callable[[], None]) -> str:
        """One sample; `poll` is called after each character and may raise to stop."""
        encoded = torch.from_numpy(Encoder(self._form).encode(prime, "--prime", "error")).long()
        found = []
        for chosen in self.tokens(encoded, 1, length):
            found.append(chosen)
            poll()
        return readable(decode_tokens(torch.cat(found).numpy(), self._form))


def default_prime(form: TextPreprocessing) -> str:
    """What a sample goes on from where nothing is said: the end of a line, a space, or the first character there is."""
    if form.unit == "bytes" or "\n" in form.characters:
        return "\n"
    return " " if " " in form.characters else form.characters[0]


@dataclass(frozen=True)
class Sample:
    """One finished sample; of bytes, those that are not ASCII stand as surrogates."""

    text: str
    is_stopped: bool  # by --stop

    def as_json(self) -> dict[str, Any]:
        """The fields that `--json` shows."""
        return {"text": readable(self.text), "ended": "stop" if self.is_stopped else "length"}


class CharRnnSampler:
    """What `char-rnn sample` does: `prime` first, then `stream` for one sample or `samples` for all.

    Raises InputError for a model file that is not right or of another kind, and for a prime with unknown characters.
    """

    def __init__(self, config: CharRnnSampleConfig) -> None:
        self._config = config
        model = load_language_model(config.model)
        self.path, self.form = model.path, model.preprocessing
        pays = isinstance(model.network, CharRnn) and bf16_pays(model.network.config, config.count)
        self.runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=pays)
        prime = default_prime(self.form) if config.prime is None else config.prime
        encoder = Encoder(self.form)
        encoded = encoder.encode(prime, "--prime", config.on_unknown)
        if not len(encoded):
            raise InputError("--prime", "has no character that the model knows", "give another")
        self.prime = decode_tokens(encoded, self.form)
        self._encoded = torch.from_numpy(encoded).long()
        self._stop = [] if config.stop is None else _stop_tokens(encoder, config.stop)
        choice = Choice(config.temperature, config.top_k, config.top_p)
        network = model.network.to(self.runtime.device)
        self._sampler = Sampler(network, self.form, self.runtime, seed=config.seed, choice=choice)

    def stream(self) -> Iterator[str]:
        """One sample as it comes, held back where it may be the beginning of `--stop`."""
        stop, held = self._stop, list[int]()
        for chosen in self._sampler.tokens(self._encoded, 1, self._config.length):
            held.append(int(chosen))
            if stop and held[-len(stop) :] == stop:
                yield self._text(held[: -len(stop)])
                return
            ready = len(held) - _overlap(held, stop)
            yield self._text(held[:ready])
            held = held[ready:]
        yield self._text(held)

    def samples(self) -> list[Sample]:
        """All samples, drawn side by side."""
        count, stop = self._config.count, self._stop
        columns: list[Tensor] = []
        ends: dict[int, int] = {}  # row to its length without the stop
        for chosen in self._sampler.tokens(self._encoded, count, self._config.length):
            columns.append(chosen)
            if stop and len(columns) >= len(stop):
                last = torch.stack(columns[-len(stop) :], 1)
                stopped = (last.cpu() == torch.tensor(stop)).all(1).nonzero().flatten().tolist()
                ends |= {row: len(columns) - len(stop) for row in stopped if row not in ends}
                if len(ends) == count:
                    break
        rows = torch.stack(columns, 1).tolist()
        return [Sample(self._text(row[: ends.get(i)]), is_stopped=i in ends) for i, row in enumerate(rows)]

    def _text(self, tokens: Sequence[int]) -> str:
        return decode_tokens(np.array(tokens, np.int64), self.form)


def _stop_tokens(encoder: Encoder, stop: str) -> list[int]:
    try:
        return list(map(int, encoder.encode(stop, "--stop", "error")))
    except InputError as error:
        raise InputError(error.where, error.what, "take them out, for it could never come") from error


def _overlap(tokens: Sequence[int], stop: Sequence[int]) -> int:
    """Tokens at the end with which `stop` begins."""
    longest = min(len(stop) - 1, len(tokens))
    return next((n for n in range(longest, 0, -1) if list(tokens[-n:]) == list(stop[:n])), 0)
