"""Sampling text from a character model, one character at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dlnotes_cli.char_rnn.incremental import IncrementalCharRnn
from dlnotes_cli.char_rnn.options import CharRnnSampleConfig
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import Tokenizer, decode_tokens, without_surrogates
from dlnotes_cli.device import Runtime, RuntimeInfo, choose_runtime
from dlnotes_cli.inference.onnx_file import OnnxLanguageModel, check_runtime_of_onnx, is_onnx, load_onnx_language_model
from dlnotes_cli.networks.char_rnn import CharRnn, RecurrentState, bf16_pays
from dlnotes_cli.shell.codec import INLINE, named, through
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import LanguageModel, check_finite, load_language_model

Step = Callable[[Tensor, RecurrentState], tuple[Tensor, RecurrentState]]
_RANDOM_BLOCK = 1024  # steps whose random numbers are drawn together
_LOWEST_TEMPERATURE = 1e-6  # lower ones count as 0


def token_probabilities(
    logits: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Tensor:
    """Probabilities (B, vocabulary) of the next token, of which each row sums to 1, from logits of that shape.

    With temperature 0 the most probable token has probability 1. Top-p is nucleus sampling (arXiv:1904.09751).
    """
    if temperature < _LOWEST_TEMPERATURE:
        return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
    probabilities = (logits if temperature == 1 else logits / temperature).softmax(1)
    if top_k is None and top_p is None:
        return probabilities
    ordered, tokens = probabilities.sort(stable=True, dim=1, descending=True)
    ordered = ordered[:, :top_k]
    if top_p is not None and top_p < 1:
        in_nucleus = ordered.cumsum(1) - ordered < top_p * ordered.sum(1, keepdim=True)
        in_nucleus[:, 0] = True
        ordered = ordered * in_nucleus
    probabilities = torch.zeros_like(probabilities).scatter_(1, tokens[:, :top_k], ordered)
    return probabilities / probabilities.sum(1, keepdim=True)


class TokenSampler:
    """Continues a prime (the text to start from) in parallel samples; the same seed gives the same samples."""

    def __init__(
        self, network: nn.Module | OnnxLanguageModel, preprocessing: TextPreprocessing, runtime: Runtime, *,
        seed: int = 0, probabilities: Callable[[Tensor], Tensor] = token_probabilities,
    ) -> None:  # fmt: skip
        self._preprocessing, self._device, self._probabilities = preprocessing, runtime.device, probabilities
        self._generator = torch.Generator().manual_seed(seed)
        self._step: Step
        if isinstance(network, CharRnn):
            self._step, self._start = IncrementalCharRnn(network, runtime.half), network.initial_state(1)
        elif isinstance(network, OnnxLanguageModel):
            self._step = partial(_exported_step, network)
            self._start = tuple(map(torch.from_numpy, network.initial_states(1)))
        else:
            raise TypeError(type(network).__name__)

    @torch.inference_mode()
    def read(self, prime: Tensor) -> tuple[Tensor, RecurrentState]:
        """Logits (1, vocabulary) and state after the tokens of a prime (N,)."""
        state = self._start
        for token in prime.to(self._device)[:, None]:
            logits, state = self._step(token, state)
        return logits, state

    def tokens(self, prime: Tensor, count: int, length: int) -> Iterator[Tensor]:
        """The next token of each sample (count,), `length` times, after the tokens of a prime (N,)."""
        logits, state = self.read(prime)
        with torch.inference_mode():
            logits, state = logits.expand(count, -1), tuple(tensor.expand(-1, count, -1) for tensor in state)
        for start in range(0, length, _RANDOM_BLOCK):
            draws = torch.rand((min(_RANDOM_BLOCK, length - start), count, 1), generator=self._generator)
            for draw in draws.to(self._device):
                with torch.inference_mode():  # left before each yield, so that the caller's code is not in it
                    cumulative = self._probabilities(logits.float()).cumsum(1)
                    sampled = torch.searchsorted(cumulative, draw * cumulative[:, -1:], right=True).squeeze(1)
                    sampled = sampled.clamp_(max=cumulative.shape[1] - 1)
                    logits, state = self._step(sampled, state)
                yield sampled

    def text(self, prime: str, length: int, poll: Callable[[], None]) -> str:
        """One sample without the prime; `poll` is called after each token and may raise to stop."""
        prime_tokens = torch.from_numpy(Tokenizer(self._preprocessing).encode(prime, "--prime")).long()
        sampled = []
        for token in self.tokens(prime_tokens, 1, length):
            sampled.append(int(token))
            poll()
        return without_surrogates(decode_tokens(np.array(sampled), self._preprocessing))


def _exported_step(model: OnnxLanguageModel, tokens: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
    """Logits (B, vocabulary) for tokens (B,) and the state before them, and the state after them."""
    logits, after = model.step(tokens.numpy(), tuple(tensor.numpy() for tensor in state))
    return torch.from_numpy(logits), tuple(map(torch.from_numpy, after))


def default_prime(preprocessing: TextPreprocessing) -> str:
    """A newline, or a space, or the first character of the vocabulary: the first of them that the model knows."""
    characters = preprocessing.characters or "\n"
    return next((character for character in "\n " if character in characters), characters[0])


@dataclass(frozen=True)
class Sample:
    """One finished sample without the prime; bytes that are not UTF-8 are surrogates."""

    text: str = field(metadata=through(without_surrogates))
    ended: Literal["stop", "length"]  # by which option


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
        fix = "remove them; the model cannot produce them"
        self._stop = [] if config.stop is None else tokenizer.encode(config.stop, "--stop", fix=fix).tolist()
        probabilities = partial(
            token_probabilities, temperature=config.temperature, top_k=config.top_k, top_p=config.top_p
        )
        self._sampler = TokenSampler(
            network, self._preprocessing, self._runtime, seed=config.seed, probabilities=probabilities
        )
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
        stop, is_stopped = self._stop, [False] * self._config.count
        rows: list[list[int]] = [[] for _ in is_stopped]
        for sampled in self._sampler.tokens(self._prime_tokens, len(rows), self._config.length):
            for i, token in enumerate(sampled.tolist()):
                if not is_stopped[i]:
                    rows[i].append(token)
                    if stop and rows[i][-len(stop) :] == stop:
                        del rows[i][-len(stop) :]
                        is_stopped[i] = True
            if all(is_stopped):
                break
        ends: list[Literal["stop", "length"]] = ["stop" if stopped else "length" for stopped in is_stopped]
        samples = tuple(map(Sample, map(self._text, rows), ends))
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
        return exported, choose_runtime("cpu", "fp32", config.threads, bf16_pays=False), exported
    model = load_language_model(config.model)
    is_bf16_faster = isinstance(model.network, CharRnn) and bf16_pays(model.network.config, config.count)
    runtime = choose_runtime(config.device, config.precision, config.threads, bf16_pays=is_bf16_faster)
    return model.network.to(runtime.device), runtime, model


def _overlap(tokens: Sequence[int], stop: Sequence[int]) -> int:
    """Length of the longest proper start of `stop` that `tokens` end with."""
    longest = min(len(stop) - 1, len(tokens))
    return next((n for n in range(longest, 0, -1) if list(tokens[-n:]) == list(stop[:n])), 0)
