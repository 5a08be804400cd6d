"""Sampling text from a character model, one character at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dlnotes_cli.char_rnn.incremental import IncrementalCharRnn, IncrementalModel, LayerStates
from dlnotes_cli.char_rnn.options import CharRnnSampleConfig
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import Tokenizer, decode_tokens, without_surrogates
from dlnotes_cli.device import Runtime, RuntimeInfo, choose_runtime
from dlnotes_cli.inference.onnx_file import OnnxLanguageModel, check_runtime_of_onnx, is_onnx, load_onnx_language_model
from dlnotes_cli.networks.char_rnn import CharRnn, bf16_pays
from dlnotes_cli.shell.codec import HIDDEN, INLINE, in_json, named, through
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import LanguageModel, check_finite, load_language_model

_RANDOM_BLOCK = 1024  # steps whose random numbers are drawn together
_LOWEST_TEMPERATURE = 1e-6  # lower ones count as 0


class ExportedCharRnn:
    """Runs an exported model token by token; its states are one tuple, of h and for an LSTM c, (layers, B, hidden)."""

    def __init__(self, model: OnnxLanguageModel) -> None:
        self._model = model

    def initial_states(self, batch_size: int) -> LayerStates:
        """The states before the first token: zeros."""
        return (tuple(map(torch.from_numpy, self._model.initial_states(batch_size))),)

    def repeat(self, states: LayerStates, count: int) -> LayerStates:
        """The states of one sample for `count` samples."""
        return tuple(tuple(tensor.expand(-1, count, -1) for tensor in state) for state in states)

    def __call__(self, tokens: Tensor, states: LayerStates) -> tuple[Tensor, LayerStates]:
        """Logits (B, vocabulary) for tokens (B,) and the states before them, and the states after them."""
        logits, after = self._model.step(tokens.numpy(), tuple(tensor.numpy() for tensor in states[0]))
        return torch.from_numpy(logits), (tuple(map(torch.from_numpy, after)),)


@dataclass(frozen=True)
class SamplingStrategy:
    """How the next token is sampled: temperature, top-k and top-p (nucleus sampling, arXiv:1904.09751)."""

    temperature: float = 1.0  # 0: always the most probable token
    top_k: int | None = None
    top_p: float | None = None

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities (B, vocabulary) from logits of that shape; every row sums to 1."""
        if self.temperature < _LOWEST_TEMPERATURE:
            return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
        probabilities = (logits if self.temperature == 1 else logits / self.temperature).softmax(1)
        if self.top_k is None and self.top_p is None:
            return probabilities
        ordered, tokens = probabilities.sort(stable=True, dim=1, descending=True)
        ordered = ordered[:, : self.top_k]
        if self.top_p is not None and self.top_p < 1:
            in_nucleus = ordered.cumsum(1) - ordered < self.top_p * ordered.sum(1, keepdim=True)
            in_nucleus[:, 0] = True
            ordered = ordered * in_nucleus
        probabilities = torch.zeros_like(probabilities).scatter_(1, tokens[:, : self.top_k], ordered)
        return probabilities / probabilities.sum(1, keepdim=True)


class TokenSampler:
    """Continues a prime (the text to start from) in parallel samples; the same seed gives the same samples."""

    def __init__(
        self,
        network: nn.Module | OnnxLanguageModel,
        preprocessing: TextPreprocessing,
        runtime: Runtime,
        *,
        seed: int = 0,
        strategy: SamplingStrategy | None = None,
    ) -> None:
        self._preprocessing, self._device = preprocessing, runtime.device
        self._network: IncrementalModel
        if isinstance(network, OnnxLanguageModel):
            self._network = ExportedCharRnn(network)
        elif isinstance(network, CharRnn):
            self._network = IncrementalCharRnn(network, runtime.half)
        else:
            raise TypeError(type(network).__name__)
        self._strategy = strategy or SamplingStrategy()
        self._generator = torch.Generator().manual_seed(seed)

    @torch.inference_mode()
    def read(self, prime: Tensor) -> tuple[Tensor, LayerStates]:
        """Logits (1, vocabulary) and states after the tokens of a prime (N,)."""
        states = self._network.initial_states(1)
        for token in prime.to(self._device)[:, None]:
            logits, states = self._network(token, states)
        return logits, states

    def tokens(self, prime: Tensor, count: int, length: int) -> Iterator[Tensor]:
        """The next token of each sample (count,), `length` times, after the tokens of a prime (N,)."""
        logits, states = self.read(prime)
        with torch.inference_mode():
            logits = logits.expand(count, -1)
            states = self._network.repeat(states, count)
        for start in range(0, length, _RANDOM_BLOCK):
            draws = torch.rand((min(_RANDOM_BLOCK, length - start), count, 1), generator=self._generator)
            for draw in draws.to(self._device):
                with torch.inference_mode():  # left before each yield, so that the caller's code is not in it
                    cumulative = self._strategy.probabilities(logits.float()).cumsum(1)
                    sampled = torch.searchsorted(cumulative, draw * cumulative[:, -1:], right=True).squeeze(1)
                    sampled = sampled.clamp_(max=self._preprocessing.vocabulary - 1)
                    logits, states = self._network(sampled, states)
                yield sampled

    def text(self, prime: str, length: int, poll: Callable[[], None]) -> str:
        """One sample without the prime; `poll` is called after each token and may raise to stop."""
        prime_tokens = torch.from_numpy(Tokenizer(self._preprocessing).encode(prime, "--prime", "error")).long()
        sampled = []
        for token in self.tokens(prime_tokens, 1, length):
            sampled.append(token)
            poll()
        return without_surrogates(decode_tokens(torch.cat(sampled).numpy(), self._preprocessing))


def default_prime(preprocessing: TextPreprocessing) -> str:
    """A newline, or a space, or the first character of the vocabulary: the first of them that the model knows."""
    if preprocessing.unit == "bytes" or "\n" in preprocessing.characters:
        return "\n"
    return " " if " " in preprocessing.characters else preprocessing.characters[0]


@dataclass(frozen=True)
class Sample:
    """One finished sample without the prime; bytes that are not UTF-8 are surrogates."""

    text: str = field(metadata=through(without_surrogates))
    is_stopped: bool = field(metadata=HIDDEN)  # by --stop, before the full length

    @property
    @in_json
    def ended(self) -> Literal["stop", "length"]:
        """What ended the sample: `--stop`, or `--length`."""
        return "stop" if self.is_stopped else "length"


@dataclass(frozen=True)
class SampleResult:
    """All samples of one run, and what they were sampled with; the bytes of `prime` are as in `Sample`."""

    model_path: Path = field(metadata=named("model_file"))
    prime: str = field(metadata=through(without_surrogates))
    seed: int
    runtime: RuntimeInfo = field(metadata=INLINE)
    samples: tuple[Sample, ...]


class CharRnnSampler:
    """Samples from a trained model; `prime` is the text in front of them, `stream` samples one and `sample` all.

    Raises InputError for an invalid model file or one of another kind, and for a prime with unknown characters.
    """

    def __init__(self, config: CharRnnSampleConfig) -> None:
        self._config = config
        network, self._runtime, model = _open(config)
        self._path, self._preprocessing = model.path, model.preprocessing
        prime = default_prime(self._preprocessing) if config.prime is None else config.prime
        tokenizer = Tokenizer(self._preprocessing)
        prime_tokens = tokenizer.encode(prime, "--prime", config.on_unknown)
        if not len(prime_tokens):
            raise InputError("--prime", "has no character in the model's vocabulary", "give another text")
        self.prime = decode_tokens(prime_tokens, self._preprocessing)
        self._prime_tokens = torch.from_numpy(prime_tokens).long()
        self._stop = [] if config.stop is None else _stop_tokens(tokenizer, config.stop)
        strategy = SamplingStrategy(config.temperature, config.top_k, config.top_p)
        self._sampler = TokenSampler(network, self._preprocessing, self._runtime, seed=config.seed, strategy=strategy)
        check_finite(self._path, self._sampler.read(self._prime_tokens[:1])[0])

    def stream(self) -> Iterator[str]:
        """One sample in pieces, as it is made; characters that may be the start of `--stop` are held back."""
        stop, pending = self._stop, list[int]()
        for sampled in self._sampler.tokens(self._prime_tokens, 1, self._config.length):
            pending.append(int(sampled))
            if stop and pending[-len(stop) :] == stop:
                yield self._text(pending[: -len(stop)])
                return
            ready = len(pending) - _overlap(pending, stop)
            yield self._text(pending[:ready])
            pending = pending[ready:]
        yield self._text(pending)

    def sample(self) -> SampleResult:
        """All samples, made in parallel."""
        count, stop = self._config.count, self._stop
        columns: list[Tensor] = []
        lengths: dict[int, int] = {}  # of the rows that are stopped, without the stop text
        for sampled in self._sampler.tokens(self._prime_tokens, count, self._config.length):
            columns.append(sampled)
            if stop and len(columns) >= len(stop):
                last = torch.stack(columns[-len(stop) :], 1)
                stopped = (last.cpu() == torch.tensor(stop)).all(1).nonzero().flatten().tolist()
                lengths |= {row: len(columns) - len(stop) for row in stopped if row not in lengths}
                if len(lengths) == count:
                    break
        rows = torch.stack(columns, 1).tolist()
        samples = tuple(
            Sample(self._text(row[: lengths.get(i)]), is_stopped=i in lengths) for i, row in enumerate(rows)
        )
        return SampleResult(self._path, self.prime, self._config.seed, self._runtime.info, samples)

    def _text(self, tokens: Sequence[int]) -> str:
        return decode_tokens(np.array(tokens, np.int64), self._preprocessing)


def _open(
    config: CharRnnSampleConfig,
) -> tuple[nn.Module | OnnxLanguageModel, Runtime, LanguageModel | OnnxLanguageModel]:
    """What samples, what it runs on, and the model that it is from. Raises InputError."""
    if is_onnx(config.model):
        exported = load_onnx_language_model(config.model, config.threads or default_threads())
        check_runtime_of_onnx(config, exported.metadata.get("dtype", "float32"))
        runtime = choose_runtime("cpu", "fp32", config.threads, bf16_pays=False)
        return exported, runtime, exported
    model = load_language_model(config.model)
    is_bf16_faster = isinstance(model.network, CharRnn) and bf16_pays(model.network.config, config.count)
    runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=is_bf16_faster)
    return model.network.to(runtime.device), runtime, model


def _stop_tokens(tokenizer: Tokenizer, stop: str) -> list[int]:
    try:
        return list(map(int, tokenizer.encode(stop, "--stop", "error")))
    except InputError as error:
        raise InputError(error.where, error.what, "remove them; the model cannot produce them") from error


def _overlap(tokens: Sequence[int], stop: Sequence[int]) -> int:
    """Length of the longest proper start of `stop` that `tokens` end with."""
    longest = min(len(stop) - 1, len(tokens))
    return next((n for n in range(longest, 0, -1) if list(tokens[-n:]) == list(stop[:n])), 0)
