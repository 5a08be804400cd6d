"""Training text classifiers: a recurrent network and a linear baseline on the same splits."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dlnotes_cli.data.splits import SplitRule
from dlnotes_cli.data.texts.labeled import TextDataSet, load_training_texts
from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing
from dlnotes_cli.data.texts.sequences import UNKNOWN, TokenSequences, encode_corpus, encode_texts, train_byte_pairs
from dlnotes_cli.data.texts.words import Corpus, choose_vocabulary, read_corpus
from dlnotes_cli.device import Runtime, check_device, choose_runtime
from dlnotes_cli.models.registry import build, build_on_meta
from dlnotes_cli.models.text_rnn import TextRnn, TextRnnConfig
from dlnotes_cli.plots.curves import draw_curves
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.stopping import StopRequest
from dlnotes_cli.text.job import TextJob
from dlnotes_cli.text.linear import FittedLinear, fit_linear
from dlnotes_cli.text.options import TrainTextConfig
from dlnotes_cli.text.recipes import TextRecipe
from dlnotes_cli.text.record import ScoredModel, TextRecord
from dlnotes_cli.text.results import TextResult
from dlnotes_cli.training import run_folder
from dlnotes_cli.training.engine.loop import Trainer
from dlnotes_cli.training.engine.memory import TrainingMemory
from dlnotes_cli.training.engine.run import TrainingRun, make_trainer
from dlnotes_cli.training.evaluation_plots import draw_evaluation
from dlnotes_cli.training.gate import require_test_split
from dlnotes_cli.training.history import HistoryEntry, history_to_json
from dlnotes_cli.training.optimizers import make_optimizer
from dlnotes_cli.training.recipes import with_recipe
from dlnotes_cli.training.record import ModelSummary, Outcome, measure_timing
from dlnotes_cli.training.run_folder import LINEAR, NETWORK, RunFolder
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

_LEAST_USES = 2  # of a word in the training texts; rarer ones train the token of all other words
_RNN, _LINEAR = "text_rnn", "text_linear"  # in the registry


def train_text(options: TrainTextConfig) -> TextResult:
    """Train text classifiers, test them and write the run folder, with the one that is kept as its model.

    Raises InputError before anything is written where options, folder or data are invalid; UnfinishedError on
    divergence or a full disk; StoppedError after a signal, with the run saved.
    """
    started = time.monotonic()
    folder = RunFolder(options)
    check_device(options.device)
    recipe = options.resolved()
    rule = SplitRule(recipe.val_split, options.held_out, options.seed, options.limit)
    dataset = load_training_texts(options.data, options.text_column, options.target, rule)
    require_test_split(options.min_accuracy, dataset.name, has_test_split="test" in dataset.splits)
    stored = replace(options, val_split=recipe.val_split, test_split=options.held_out)
    corpus = read_corpus(dataset.texts)
    if options.model == "linear":
        return _train_linear(stored, folder, dataset, corpus, started)
    return _train_network(with_recipe(stored, recipe), recipe, folder, dataset, corpus, started)


def _train_network(
    options: TrainTextConfig, recipe: TextRecipe, folder: RunFolder, dataset: TextDataSet, corpus: Corpus,
    started: float,
) -> TextResult:  # fmt: skip
    preprocessing, sequences = _tokens(recipe, dataset, corpus)
    data_s = time.monotonic() - started
    length = options.run_length(recipe.length, dataset.counts["train"])
    options = with_recipe(options, length)
    config = _network_config(recipe, preprocessing, len(dataset.classes))
    runtime = choose_runtime(options.device, options.precision, options.threads, bf16_pays=False)
    _check_memory(config, recipe, int(sequences.widths.max()), -(-length.batch_size // options.accumulate), runtime)
    seed_everything(options.seed)
    network = _network(config, preprocessing).to(runtime.device)
    job = TextJob(network, dataset, sequences, runtime, options, recipe, length.batch_size)
    record = TextRecord(options, ModelSummary.of(_RNN, config, network), dataset, preprocessing, runtime, sequences.cut)
    record.announce()
    _note_tokens(preprocessing, sequences, dataset)
    with StopRequest() as stop, folder:
        trainer = make_trainer(recipe, length, job, make_optimizer(network, recipe), stop)
        run = TrainingRun(options, folder, record, trainer, stop)
        finished = run.resume_or_start()
        if finished is not None:
            return finished
        with run.saved_on_stop():
            output.status("baseline", "logistic regression of TF-IDF features")
            linear = fit_linear(dataset, corpus, is_balanced=options.class_weights == "balanced")
            stop.poll()
            run.train()
            network_model = _scored_network(record, preprocessing, trainer, job, stop)
            record.scored = [network_model, _scored_linear(linear, dataset)]
            _write_models(folder, record, trainer, linear, _linear_record(options, linear, dataset))
            plots = _draw_plots(folder, record.kept, dataset, trainer)
            return run.finish(record.kept.test, plots, data_s, started)


def _train_linear(
    options: TrainTextConfig, folder: RunFolder, dataset: TextDataSet, corpus: Corpus, started: float
) -> TextResult:
    """Fit the linear model alone; a run that is resumed is fitted again."""
    data_s = time.monotonic() - started
    with StopRequest() as stop, folder:
        model_file = folder.file(run_folder.MODEL)
        if folder.is_resumed and model_file.exists():
            metadata = read_tensors(model_file)[1]
            folder.check_same_data(run_folder.MODEL, metadata, dataset.name, dataset.fingerprint)
        linear = fit_linear(dataset, corpus, is_balanced=options.class_weights == "balanced")
        stop.poll()
        evaluated = time.monotonic()
        record = _linear_record(options, linear, dataset)
        record.announce()
        record.scored = [_scored_linear(linear, dataset)]
        training = linear.evaluate(dataset, "train").metrics
        history = [
            HistoryEntry(epoch=1, step=linear.iterations, train=training, validation=record.kept.scores.validation)
        ]
        folder.start(options, record.runtime.threads)
        write_tensors(model_file, linear.network.state_dict(), record.model_metadata(history[0]))
        folder.clear_results()
        folder.write_history(history)
        plots = _draw_plots(folder, record.kept, dataset)
        eval_s = time.monotonic() - evaluated
        timing = measure_timing(data_s, linear.seconds, eval_s, dataset.counts["train"], started)
        return record.finish(folder, Outcome(history, 0, linear.iterations, record.kept.test, plots, timing))


def _tokens(recipe: TextRecipe, dataset: TextDataSet, corpus: Corpus) -> tuple[SequencePreprocessing, TokenSequences]:
    """How the network reads texts, fitted to the training split, and the tokens of all texts."""
    train = dataset.splits["train"]
    common: dict[str, Any] = {
        "text_column": dataset.text_column, "target": dataset.target, "max_length": recipe.max_length,
    }  # fmt: skip
    if recipe.tokenizer == "bpe":
        stored, size = train_byte_pairs([dataset.texts[i] for i in train], recipe.vocab_size)
        preprocessing = SequencePreprocessing(
            **common, tokenization="bpe", bpe=stored, bpe_size=size, has_unknown=False
        )
        return preprocessing, encode_texts(dataset.texts, preprocessing)
    if recipe.is_course:
        corpus = read_corpus(dataset.texts, "drop")
        common |= {"punctuation": "drop", "has_unknown": False, "fixed_length": True}
    least = _LEAST_USES if recipe.vocab_size and not recipe.is_course else 1
    words = choose_vocabulary(corpus, train, recipe.vocab_size or None, least)
    preprocessing = SequencePreprocessing(**common, tokenization="words", words=words)
    return preprocessing, encode_corpus(corpus, preprocessing)


def _network_config(recipe: TextRecipe, preprocessing: SequencePreprocessing, classes: int) -> TextRnnConfig:
    return TextRnnConfig(
        vocabulary=preprocessing.vocabulary, classes=classes, cell=recipe.cell, layers=recipe.layers,
        hidden=recipe.hidden, embed=recipe.embed, bidirectional=recipe.bidirectional, pooling=recipe.pooling,
        embed_dropout=recipe.embed_dropout, dropout=recipe.dropout, head_dropout=recipe.head_dropout,
        single_output=recipe.is_course and classes == 2, reads_padding=preprocessing.fixed_length,  # noqa: PLR2004
    )  # fmt: skip


def _network(config: TextRnnConfig, preprocessing: SequencePreprocessing) -> torch.nn.Module:
    """A network for which an unknown word means nothing until training texts have one."""
    network = build(_RNN, config)
    if preprocessing.has_unknown and isinstance(network, TextRnn):
        torch.nn.init.zeros_(network.embedding.weight[UNKNOWN])
    return network


def _check_memory(config: TextRnnConfig, recipe: TextRecipe, width: int, batch_size: int, runtime: Runtime) -> None:
    """Refuse a network and a batch of the longest texts that cannot fit into memory. Raises UnfinishedError."""
    sample = torch.ones(1, width, dtype=torch.int64, device="meta")
    forecast = TrainingMemory.of(build_on_meta(_RNN, config), (sample,), batch_size, recipe, runtime.precision)
    forecast.check(runtime, "--hidden-size, --vocab-size, --batch-size or --max-length")


def _note_tokens(preprocessing: SequencePreprocessing, sequences: TokenSequences, dataset: TextDataSet) -> None:
    kind = "words" if preprocessing.tokenization == "words" else "byte pairs"
    mean = float(sequences.lengths.mean())
    output.status("tokens", f"{preprocessing.vocabulary:,} {kind}, {mean:.0f} per text on average")
    if sequences.cut:
        texts = f"{sequences.cut:,} of {output.counted(len(dataset.texts), 'text')}"
        output.note(f"{texts} cut to the first {preprocessing.max_length:,} tokens (--max-length)")


def _scored_network(
    record: TextRecord, preprocessing: SequencePreprocessing, trainer: Trainer, job: TextJob, stop: StopRequest
) -> ScoredModel:
    validation = job.evaluate("val", stop.poll)
    has_test = "test" in record.data.counts
    test = job.evaluate("test", stop.poll, keep_predictions=True) if has_test else None
    return ScoredModel("rnn", record.model, preprocessing, validation, test, trainer.state.elapsed_s)


def _scored_linear(linear: FittedLinear, dataset: TextDataSet) -> ScoredModel:
    test = linear.evaluate(dataset, "test", keep_predictions=True) if "test" in dataset.splits else None
    summary = ModelSummary.of(_LINEAR, linear.network.config, linear.network)
    return ScoredModel("linear", summary, linear.preprocessing, linear.evaluate(dataset, "val"), test, linear.seconds)


def _linear_record(options: TrainTextConfig, linear: FittedLinear, dataset: TextDataSet) -> TextRecord:
    runtime = choose_runtime("cpu", "fp32", options.threads, bf16_pays=False)
    summary = ModelSummary.of(_LINEAR, linear.network.config, linear.network)
    return TextRecord(options, summary, dataset, linear.preprocessing, runtime)


def _write_models(
    folder: RunFolder, record: TextRecord, trainer: Trainer, linear: FittedLinear, linear_record: TextRecord
) -> None:
    """Write both models, and the one that is kept as the model of the run; the network is that already."""
    best = trainer.state.history[trainer.state.best_index or 0]
    validation = next(model for model in record.scored if model.name == "linear").scores.validation
    metadata = linear_record.model_metadata(replace(best, validation=validation))
    weights = linear.network.state_dict()
    if record.kept.name == "rnn":
        write_tensors(folder.file(LINEAR), weights, metadata)
        files.remove(folder.file(NETWORK))
        return
    write_tensors(folder.file(NETWORK), trainer.best_weights, record.model_metadata(best))
    write_tensors(folder.file(run_folder.MODEL), weights, metadata)
    files.remove(folder.file(LINEAR))


def _draw_plots(
    folder: RunFolder, kept: ScoredModel, dataset: TextDataSet, trainer: Trainer | None = None
) -> list[Path]:
    """Write the learning curves of the network and the confusion matrix of the model that is kept."""
    paths = []
    if trainer is not None:
        history = history_to_json(trainer.state.history)
        paths.append(folder.file("curves.png"))
        files.atomic_write(paths[0], draw_curves(history, trainer.state.best_index, folder.name))
    return [*paths, *draw_evaluation(folder.path, kept.test or kept.validation, dataset.classes, None)]
