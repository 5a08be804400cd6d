"""The model file's own answers, computed by PyTorch as `predict` computes them: what exported files must equal."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.preprocessing import Preprocessing, TablePreprocessing
from dlnotes_cli.data.table_columns import standardize
from dlnotes_cli.device import Runtime
from dlnotes_cli.export.wrapper import Arrays
from dlnotes_cli.training.evaluation import predict_logits
from dlnotes_cli.training.metrics import inference_batch_size

Answer = Callable[[NDArray[Any]], NDArray[np.float32]]  # samples (N, ...) -> probabilities (N, classes)
StepFunction = Callable[..., Arrays]  # tokens (N,) and states -> logits (N, vocabulary) and states


def eager_answer(network: nn.Module, preprocessing: Preprocessing, precision: str = "fp32") -> Answer:
    """The probabilities of a network on the CPU for images (N, C, H, W), or for rows (N, F) that are not standardized.

    The number of threads is PyTorch's.
    """
    cpu = torch.device("cpu")
    normalizer, runtime = Normalizer(preprocessing, cpu), Runtime(cpu, precision, torch.get_num_threads())

    @torch.no_grad()
    def answer(samples: NDArray[Any]) -> NDArray[np.float32]:
        if isinstance(preprocessing, TablePreprocessing):
            samples = standardize(samples, preprocessing)
        batches = torch.from_numpy(samples).split(inference_batch_size(samples.shape[1:]))
        logits = [predict_logits(network, normalizer(batch), runtime) for batch in batches]
        probabilities: NDArray[np.float32] = torch.cat(logits).softmax(1).numpy()
        return probabilities

    return answer


def eager_step(network: nn.Module) -> StepFunction:
    """One step of a language model on the CPU, for arrays as its exported step takes them."""

    @torch.no_grad()
    def step(tokens: NDArray[np.int64], *states: NDArray[np.float32]) -> Arrays:
        logits, after = network(torch.from_numpy(tokens)[:, None], tuple(map(torch.from_numpy, states)))
        return (logits[:, 0].numpy(), *(state.numpy() for state in after))

    return step
