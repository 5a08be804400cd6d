"""A training run in its folder, whatever is trained: begun or taken up, saved, stopped and finished."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.errors import InputError, StoppedError, UnfinishedError
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.training import run_folder
from dlnotes_cli.training.checkpoint import BYTES_SPARE, read_tensors, write_tensors
from dlnotes_cli.training.engine.loop import Job, LoopOptions, Trainer
from dlnotes_cli.training.engine.step_budget import Horizon
from dlnotes_cli.training.engine.trainer_state import restore_state, save_state
from dlnotes_cli.training.options import TrainingRunOptions
from dlnotes_cli.training.recipes import given
from dlnotes_cli.training.record import RunRecord, timing_fields
from dlnotes_cli.training.run_folder import RunFolder
from dlnotes_cli.training.schedule import make_schedule

Conclusion = tuple[dict[str, Any], list[Path]]  # the result's own fields, and the images


class TrainingRun:
    """One run; `execute` does all of it."""

    def __init__(
        self,
        config: TrainingRunOptions,
        folder: RunFolder,
        job: Job,
        record: RunRecord,
        stop: StopRequest,
        optimizer: torch.optim.Optimizer,
        after_validation: Callable[[dict[str, Any]], None] = lambda _: None,
        eval_every: int | None = None,
    ) -> None:
        self.config, self.folder, self.poll = config, folder, stop.poll
        self._record = record
        schedule = make_schedule(given(config.schedule), job.steps_per_epoch)
        limits = [config.max_steps, config.epochs and config.epochs * job.steps_per_epoch]
        limit = min((n for n in limits if n is not None), default=None)
        options = LoopOptions(
            given(config.lr), config.grad_clip or None, config.patience, given(config.ema), eval_every
        )
        horizon = Horizon(schedule, limit, config.time_budget)
        self.trainer = Trainer(
            job,
            optimizer,
            schedule,
            horizon,
            options,
            save=self._save,
            poll=stop.poll,
            after_validation=after_validation,
        )
        self._saved_best: int | None = None
        self._is_trained = False  # and saved so; its network has the best weights then, no longer the last ones

    def execute(self, data_s: float, started: float, conclude: Callable[[], Conclusion]) -> dict[str, Any]:
        """Train to the end, `conclude` with the best weights, and write the result; a finished run gives what it has.

        `data_s` seconds went into the data, of those since `started` on the monotonic clock. Raises UnfinishedError on
        divergence or a full disk; StoppedError after a signal, with the run saved.
        """
        stored = self._take_up()
        if stored is not None:
            return stored
        try:
            self.trainer.run()
            return self._finish(data_s, started, conclude)
        except StoppedError as request:
            raise self._stopped(request) from request
        except UnfinishedError:
            with suppress(UnfinishedError):  # the first failure is the one to tell
                self._save_best()
            raise

    def _take_up(self) -> dict[str, Any] | None:
        """Start afresh, or go on where the run stands; the stored result where there is nothing left to train."""
        files.check_room(self.folder.path, 2 * self._state_bytes())
        if not self.folder.is_resumed:
            self._save_state()
            self.folder.write_options(self.config)
            self.folder.clear_results()
            return None
        path, device = self.folder.file(run_folder.LAST), self._record.runtime.device
        restore_state(path, self.trainer, device, self._check_same_data)
        if self.trainer.is_finished and self._is_complete():
            epochs = self.trainer.position.epoch - 1
            more = "--patience ended it" if self.trainer.is_out_of_patience else "raise --epochs to go on"
            output.note(f"{self.folder.path} is already trained for {epochs} epochs; {more}")
            return self.folder.result()
        self.folder.write_options(self.config)
        return None

    def _check_same_data(self, metadata: dict[str, Any]) -> None:
        self.folder.check_same_data(metadata, self._record.data_name, self._record.fingerprint)

    def _save(self, trainer: Trainer) -> None:
        """Write the best model, if it is a new one, then where the run stands."""
        self._save_best()
        self._save_state()
        self.folder.write_history(trainer.position.history)

    def _finish(self, data_s: float, started: float, conclude: Callable[[], Conclusion]) -> dict[str, Any]:
        trainer = self.trainer
        if not trainer.best_weights:
            raise UnfinishedError("validation", "no epoch gave a finite loss", "give a lower --lr")
        self._save(trainer)
        self._is_trained = True
        if not trainer.is_annealed:
            what = "the time budget ended before the schedule did, so --max-steps cannot repeat this run"
            output.warn(f"the machine slowed down: {what}")
        tested = time.monotonic()
        trainer.job.network.load_state_dict(trainer.best_weights)
        fields, images = conclude()
        timing = {"data_s": data_s, "train_s": trainer.position.elapsed_s, "eval_s": time.monotonic() - tested}
        fields = fields | {
            "timing": timing_fields(timing, trainer.position.samples_seen, started),
            "out": str(self.folder.path),
            "model_file": str(self.folder.file(run_folder.MODEL)),
            "plots": [str(path) for path in images],
        }
        fields = dict(output.finite({"schema_version": output.SCHEMA_VERSION, "command": self.config.command} | fields))
        files.write_json(self.folder.file(run_folder.RESULT), fields)
        return fields

    def _stopped(self, request: StoppedError) -> StoppedError:
        """Save after a signal and say how to go on."""
        if not self._is_trained:
            self._save(self.trainer)
        position = self.trainer.position
        what = f"saved at epoch {position.epoch}, step {position.step_in_epoch} of {self.trainer.job.steps_per_epoch}"
        return StoppedError(request.exit_code, what, f"continue with --resume {self.folder.path}")

    def _save_best(self) -> None:
        """Write the best model so far, if it is not written yet."""
        best = self.trainer.position.best_entry
        if best is not None and best != self._saved_best:
            metadata = self._record.metadata(self.trainer.position.history[best - 1])
            write_tensors(self.folder.file(run_folder.MODEL), self.trainer.best_weights, metadata)
            self._saved_best = best

    def _is_complete(self) -> bool:
        """Whether a finished run left its result and a sound model."""
        try:
            read_tensors(self.folder.file(run_folder.MODEL))
        except InputError:
            return False
        return self.folder.result() is not None

    def _save_state(self) -> None:
        save_state(
            self.folder.file(run_folder.LAST), self.trainer, self._record.runtime.device, self._record.identity()
        )

    def _state_bytes(self) -> int:
        weights = sum(t.nbytes for t in self.trainer.job.network.state_dict().values())
        copies = 6 if self.trainer.average else 5  # weights, two moments, the best so far, the model file, an average
        return copies * int(weights) + BYTES_SPARE


def tell_longer(chosen: dict[str, Any]) -> None:
    """Say which defaults a long time budget has changed, so that the run can be repeated in steps."""
    if chosen:
        words = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in chosen.items())
        output.note(f"note   for so long a time budget the defaults are {words}; repeat the run with these too")
