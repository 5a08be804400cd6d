"""What is trained: data, a network and an objective. `fit` does everything else.

A command that trains has one task. Its methods are called in the order in which they stand here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple

import torch
from torch import Tensor, nn

from dlnotes_cli import __version__
from dlnotes_cli.data.preprocessing import preprocessing_to_json
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.registry import count_parameters
from dlnotes_cli.plots.curves import draw_curves
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import to_json
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.metrics import Metrics
from dlnotes_cli.training.options import TrainingConfig
from dlnotes_cli.training.recipes import RunLength, with_recipe
from dlnotes_cli.training.results import HistoryEntry, ModelSummary, Result, RunProgress, Timing, TrainingResult
from dlnotes_cli.training.run_folder import MODEL, RunFolder

Poll = Callable[[], None]  # called between batches; raises StoppedError after a signal
_SPLITS = ("val_split", "test_split")  # options that decide which samples are held out
Model = Callable[..., Any]  # the network as a step calls it: compiled, or in several processes


class StepLoss(NamedTuple):
    """The loss of a part of a batch."""

    objective: Tensor  # the scalar to differentiate; those of all parts add up to the objective of the batch
    loss_sum: Tensor  # plain loss, summed over the samples
    correct: Tensor  # number of correctly classified samples


class Batch(NamedTuple):
    """A batch of a training step: the parts that this process computes one after the other."""

    parts: Sequence[Any]  # for `Task.loss`
    samples: int  # in all parts of all processes
    counts: bool = True  # whether the parts are of the batch; False: a sample for a process that has none of it


def own_rows(processes: Processes, samples: int) -> slice:
    """The rows of a batch of so many samples that this process computes.

    Where there are more processes than samples, the others compute the first row, with `Batch.counts` False.
    """
    return processes.rows if processes.rank < samples else slice(1)


class Evaluated(NamedTuple):
    """The test metrics of a trained network (None without a test split), and the plots that were drawn."""

    test: Metrics | None
    plots: Sequence[Path]


class RunDescription(ABC, Generic[Result]):
    """What a run records: the metadata of its model file and checkpoint, and its result."""

    model_name: str  # in the registry
    result_type: type[Result]

    def __init__(self, options: TrainingConfig) -> None:
        self.options = options

    # Set by `load`:
    data: Any  # a DataSummary
    network_config: Any
    preprocessing: Any
    # Set by `fit`:
    network: nn.Module
    runtime: Runtime
    stored: TrainingConfig  # the options with the values of the recipe, as config.json has them

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the data; empty if it has none."""
        return getattr(self.data, "classes", ())

    @property
    def model(self) -> ModelSummary:
        """The network of the run."""
        return ModelSummary(self.model_name, to_json(self.network_config), count_parameters(self.network))

    def metadata(self) -> dict[str, Any]:
        """The metadata that model file and checkpoint share: the network and its training data."""
        splits = {name: getattr(self.stored, name) for name in _SPLITS if hasattr(self.stored, name)}
        classes = {"classes": list(self.classes)} if self.classes else {}
        return classes | {
            "model": self.model_name,
            "configuration": to_json(self.network_config),
            "format": preprocessing_to_json(self.preprocessing),
            "data": {"name": self.data.name, "fingerprint": self.data.fingerprint, **splits},
            "seed": self.options.seed,
            "precision": self.runtime.precision,
            "versions": {"dlnotes": __version__, "torch": torch.__version__},
        }

    def model_metadata(self, entry: HistoryEntry) -> dict[str, Any]:
        """The metadata of the model file, for the weights of one entry of the history."""
        metrics = {"validation": to_json(entry.validation)}
        return self.metadata() | {"kind": "model", "epoch": entry.epoch, "metrics": metrics}

    def announce(self) -> None:
        """Print data of classes, network, device, precision and threads on standard error."""
        model, runtime, data = self.model, self.runtime, self.data
        if self.classes:
            counts = ", ".join(f"{count:,} {split}" for split, count in data.counts.items())
            output.status("data", f"{data.name}, {counts}; {output.counted(len(self.classes), 'class', 'classes')}")
        output.status("model", f"{model.configuration.get('backbone', model.name)}, {model.parameters:,} parameters")
        output.status("device", f"{runtime.device} in {runtime.precision}, {output.counted(runtime.threads, 'thread')}")

    @abstractmethod
    def finish(self, folder: RunFolder, progress: RunProgress, poll: Poll) -> Evaluated:
        """Test the network, which has the best weights, and draw it in the run folder."""

    def draw_curves(self, folder: RunFolder, progress: RunProgress, more: str = "", **settings: Any) -> Path:
        """Draw the history, with `more` in the title and the `settings` of `plots.curves.draw_curves`."""
        path, history = folder.file("curves.png"), to_json(progress.history)
        files.atomic_write(path, draw_curves(history, progress.best_index or 0, folder.name + more, **settings))
        return path

    def extra_fields(self, progress: RunProgress) -> dict[str, Any]:  # noqa: ARG002  # subclasses use it
        """The fields of the result that other training runs do not have, or have with other values."""
        return {}

    def write_result(
        self,
        folder: RunFolder,
        progress: RunProgress,
        evaluated: Evaluated,
        timing: Timing,
        *,
        is_compiled: bool,
    ) -> Result:
        """Write the result of a finished run to its folder, and return it."""
        best = progress.best
        common = TrainingResult(
            command=self.options.command, version=__version__, seed=self.options.seed, **vars(self.runtime.info),
            compiled=is_compiled, data=self.data, model=self.model, epochs=progress.history[-1].epoch,
            best_epoch=best.epoch, steps=progress.step, train=best.train, validation=best.validation,
            test=evaluated.test, timing=timing, out=str(folder.path), model_file=str(folder.file(MODEL)),
            plots=tuple(map(str, evaluated.plots)),
        )  # fmt: skip
        result = self.result_type(**vars(common) | self.extra_fields(progress))
        folder.write_result({"schema_version": output.SCHEMA_VERSION, **to_json(result)})
        return result


class Task(RunDescription[Result]):
    """A network that is trained in steps on batches."""

    memory_options: ClassVar[str]  # that reduce the memory of training
    metrics_type: type[Metrics] = Metrics  # of a validation
    eval_every: int | None = None  # steps between validations within an epoch; None: only at its end
    has_frozen_layers = False  # whether some layers are never trained
    has_early_steps = False  # whether the first steps cost less
    spent_s = 0.0  # of a time budget, before the first step
    is_early = False  # whether the next step may be such a one; `fit` sets it
    initial_seed: int  # of the initial weights and dropout

    # Set by `load`:
    training_samples: int
    validation_samples: int
    # Set by `prepare`:
    steps_per_epoch: int

    def __init__(self, options: TrainingConfig, recipe: Any, processes: Processes = ALONE) -> None:
        super().__init__(options)
        self.recipe: Any = recipe
        self.processes, self.initial_seed = processes, options.seed
        self.state: dict[str, Tensor] = {}  # recurrent state that a step passes to the next; checkpoints have it

    @abstractmethod
    def load(self) -> None:
        """Read the data, and set what describes it and the network. Raises InputError."""

    def adapt(self) -> None:
        """Choose what depends on the speed of this machine."""

    def fitting_batch_size(self) -> int | None:
        """The batch size that fits into the memory of the device; None where the options decide."""
        return None

    def bf16_pays(self, batch_size: int) -> bool:  # noqa: ARG002  # subclasses use it
        """Whether bf16 is faster for batches of this size."""
        return True

    def stored_options(self, length: RunLength) -> TrainingConfig:
        """The options with the values of the recipe and of the run's length, as config.json has them."""
        return with_recipe(with_recipe(self.options, self.recipe), length)

    def check_batches(self, batch_size: int) -> None:
        """Raise InputError for batches that the network cannot be trained on, as of fewer samples than processes."""
        self.processes.check_batch(min(batch_size, self.training_samples))

    @abstractmethod
    def sample_inputs(self, network: nn.Module) -> tuple[Any, ...]:
        """The inputs of a network on the meta device for one sample, from which its memory is calculated."""

    def initialize(self, network: nn.Module) -> None:
        """Replace PyTorch's initialization."""

    @abstractmethod
    def prepare(self, batch_size: int) -> None:
        """Bring the data to the device of `runtime`, for `network`, which is there; sets `steps_per_epoch`."""

    def lr_factors(self) -> dict[str, float]:
        """Factors on the learning rate by parameter name; 1 for parameters that are not in it."""
        return {}

    def begin(self, poll: Poll) -> None:
        """What a run does once it starts or continues, before its first step."""

    def start_epoch(self, epoch: int, epochs: int | None) -> None:
        """Prepare the batches of epoch `epoch`, counted from 1, of `epochs` (None: unknown)."""

    @abstractmethod
    def batch(self, index: int) -> Batch:
        """Batch `index` of the epoch, counted from 0, in as many parts as `--accumulate` asks for."""

    @abstractmethod
    def loss(self, model: Model, part: Any) -> StepLoss:
        """The loss of a part of a batch; `model` calls the network."""

    def keep_state(self, rows: slice, count: int, after: Sequence[Tensor]) -> None:
        """Keep the recurrent state (layers, n, width) of some of the `count` rows of a batch after a step."""
        for i, tensor in enumerate(after):
            zeros = tensor.new_zeros(len(tensor), count, tensor.shape[2])
            state = self.state[str(i)] = self.state.get(str(i), zeros).clone()
            state[:, rows] = tensor.detach()

    def complete_state(self) -> None:
        """Collect the recurrent state of all processes, each of which has its own rows; before a checkpoint is saved.

        Without a state, as before the first step, this does not wait for the other processes.
        """
        rows = self.processes.rows
        for name, state in self.state.items():
            own = torch.zeros_like(state)
            own[:, rows] = state[:, rows]
            self.state[name] = self.processes.sum(own)

    @abstractmethod
    def validate(self, poll: Poll) -> Metrics:
        """The metrics on the validation split."""

    def rank(self, metrics: Metrics) -> tuple[float, ...]:
        """A sort key of the metrics of a validation; the best validation has the largest."""
        return (-metrics.loss,)

    def report(self, entry: HistoryEntry, poll: Poll) -> None:
        """Print more about a validation."""
