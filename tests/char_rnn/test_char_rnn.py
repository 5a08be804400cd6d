"""`char-rnn train`, `sample` and `score` on short texts, through the command line."""

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command, assert_same_run, assert_shares_add_up, at_first_epoch
from PIL import Image

from dlnotes_cli.char_rnn.options import BEST, BEST_LONG, NOTES, CharRnnSampleConfig, CharRnnTrainConfig
from dlnotes_cli.char_rnn.sample import CharRnnSampler, TokenSampler, token_probabilities
from dlnotes_cli.char_rnn.train import CharRnnTask
from dlnotes_cli.cli import main
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.texts.characters import Tokenizer
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.networks.char_rnn import CharRnn, CharRnnConfig
from dlnotes_cli.seeding import seed_everything
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.model_file import load_language_model
from dlnotes_cli.training.options import run_length
from dlnotes_cli.training.sequence_batches import initial_state
from dlnotes_cli.training.task import Evaluated

pytestmark = pytest.mark.usefixtures("blank_figures")

LINES = [f"{'abc'[i % 3] * (1 + i % 5)} {i % 7} brown foxes; the dog" for i in range(60)]
TEXT = "\n".join(LINES) + "\n"
SMALL = ["--hidden-size", 16, "--embed", 8, "--seq-len", 16, "--batch-size", 4, "--threads", 1, "--sample", 0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "text.txt").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def trained(home: Path) -> Path:
    arguments = ["char-rnn", "train", home / "text.txt", *SMALL, "--epochs", 3, "--out", home / "run", "-q"]
    assert main([str(argument) for argument in arguments]) == 0
    return home / "run"


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The exported model of `trained`."""
    assert main(["export", str(trained), "-q"]) == 0
    return trained / "model.onnx"


def train(home: Path, out: Path, *options: object) -> list[object]:
    """The arguments of a short training run."""
    return ["char-rnn", "train", home / "text.txt", *SMALL, "--epochs", 2, "--out", out, *options]


def small_options_without(arguments: list[str]) -> list[object]:
    """SMALL without the options that `arguments` set."""
    return [argument for i in range(0, len(SMALL), 2) if SMALL[i] not in arguments for argument in SMALL[i : i + 2]]


def test_a_small_network_memorizes_500_characters(tmp_path: Path, dlnotes: Command) -> None:
    text = "".join(chr(97 + i * i % 23 + i % 3) for i in range(500)) + "#" * 56
    (tmp_path / "text.txt").write_text(text)
    options = "--hidden-size 96 --num-layers 1 --seq-len 50 --batch-size 8 --max-steps 250 --lr 0.01 --sample 0 --json"
    run = dlnotes("char-rnn", "train", tmp_path / "text.txt", "--out", tmp_path / "run", *options.split())
    fields = json.loads(run.out)
    last = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert (last["train"]["loss"] < 0.1, last["train"]["accuracy"] > 0.98) == (True, True)
    assert fields["data"]["counts"] == {"train": 500, "val": 56}
    assert fields["validation"]["samples"] == 55


def test_a_run_has_the_metrics_of_the_text_and_the_same_command_gives_the_same_bytes(
    home: Path, trained: Path, tmp_path: Path, dlnotes: Command
) -> None:
    fields = json.loads((trained / "result.json").read_text())
    assert fields["data"]["counts"] == {"train": int(len(TEXT) * 0.9), "val": len(TEXT) - int(len(TEXT) * 0.9)}
    assert fields["data"]["vocabulary"] == len(set(TEXT))
    assert all(Path(path).is_file() for path in fields["plots"])
    assert dlnotes(*train(home, tmp_path / "run", "--epochs", 3)).code == 0
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / name).read_bytes()


def test_a_run_interrupted_during_its_last_sample_and_resumed_equals_an_uninterrupted_run(
    home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first epoch is the best one, so that the best weights are not the last ones.
    monkeypatch.setattr(CharRnnTask, "rank", lambda _, metrics: (metrics.loss,))
    options = ["--epochs", 3, "--sample", 5]
    assert dlnotes(*train(home, tmp_path / "uninterrupted", *options)).code == 0
    assert json.loads((tmp_path / "uninterrupted" / "result.json").read_text())["best_epoch"] < 3
    finish = CharRnnTask.finish

    def finish_after_signal(task: CharRnnTask, *arguments: Any) -> Evaluated:
        os.kill(os.getpid(), signal.SIGTERM)
        return finish(task, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(CharRnnTask, "finish", finish_after_signal)
        patch.setattr(CharRnnTask, "report", lambda *_: None)  # only the last sample is drawn, and polls
        assert dlnotes(*train(home, tmp_path / "run", *options)).code == 143
    for name in ("run", "uninterrupted"):
        assert dlnotes("char-rnn", "train", "--resume", tmp_path / name, "--epochs", 5).code == 0
    assert_same_run(tmp_path / "run", tmp_path / "uninterrupted")


def prepared(texts: Path, batch_size: int, processes: Processes = ALONE, **more: Any) -> CharRnnTask:
    """The task of a small network, at the start of its first epoch."""
    options = CharRnnTrainConfig(
        texts=(str(texts),), recipe="notes", hidden=4, embed=3, dropout=0.0, seq_len=10, val_split=0.05, **more
    )
    return at_first_epoch(CharRnnTask(options, options.resolved(), processes), batch_size)


def test_the_shares_of_all_processes_add_up_to_the_batch(home: Path) -> None:
    words: dict[str, Any] = {"texts": home / "text.txt", "batch_size": 5, "reset_state": 0.3}
    tasks = [prepared(**words, processes=Processes(rank, 2), accumulate=2) for rank in range(2)]
    assert [len(task.batch(0).parts) for task in tasks] == [2, 2]
    assert_shares_add_up(prepared(**words), tasks, steps=4)


def test_a_batch_of_fewer_rows_than_processes_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match="a batch of 2 is smaller than the number of processes, 3"):
        prepared(home / "text.txt", 2, Processes(0, 3))


def test_the_state_is_carried_between_chunks_and_reset_at_the_start_of_each_text(tmp_path: Path) -> None:
    for name, content in (("a.txt", "abcabcabca" * 3), ("b.txt", "cbacbacba" * 3)):
        (tmp_path / name).write_text(content)
    task = prepared(tmp_path, 1)
    network = task.network
    tokens = torch.from_numpy(task.texts.train.tokens.astype(np.int64))
    for index in range(task.steps_per_epoch):
        (share,), samples, _ = task.batch(index)
        text_start, chunk = (0, index) if index < 3 else (30, index - 3)  # the first text has 30 characters
        start = text_start + 10 * chunk
        logits, _ = network(tokens[None, text_start : start + 10], initial_state(network, 1))
        targets = tokens[start + 1 :][:samples]
        expected = torch.nn.functional.cross_entropy(logits[0, 10 * chunk :][:samples], targets)
        assert task.loss(network, share).objective.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        "--cell gru --num-layers 1 --dropout 0.3 --lower", "--cell rnn --embed 0 --newline keep --val-split 0.3",
        "--tied --optimizer adam --schedule cosine --grad-clip 0", "--recipe notes --hidden-size 8 --patience 1",
        "--vocab bytes --reset-state 0.5 --eval-every 4", "--time-budget 30.0s --precision bf16 --ema 0.9",
    ],
)  # fmt: skip
def test_every_option_trains_and_is_stored(home: Path, tmp_path: Path, dlnotes: Command, options: str) -> None:
    arguments = options.split()
    small = small_options_without(arguments)
    run = dlnotes(
        "char-rnn", "train", home / "text.txt", *small, "--epochs", 1, "--out", tmp_path / "run", *arguments, "--json"
    )
    assert run.code == 0, run.err
    fields = json.loads(run.out)
    assert fields["validation"]["loss"] < math.log(256 if "bytes" in arguments else fields["data"]["vocabulary"])
    stored = json.loads((tmp_path / "run" / "config.json").read_text()) | fields["model"]["configuration"]
    for name, text in re.findall(r"--(\S+) ([^-\s]\S*)", options):
        value = stored[{"num-layers": "layers", "hidden-size": "hidden"}.get(name, name.replace("-", "_"))]
        assert str(value) in {text, text.removesuffix("s")} or float(value) == float(text), name
    assert dlnotes("char-rnn", "sample", tmp_path / "run", "--length", 5, "--json").code == 0


def test_a_batch_size_of_one_trains_although_a_last_step_may_have_no_targets(
    home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    run = dlnotes(*train(home, tmp_path / "run", "--batch-size", 1, "--epochs", 4, "--json"))
    assert run.code == 0, run.err
    assert json.loads(run.out)["train"]["samples"] == int(len(TEXT) * 0.9) - 1


def test_a_long_time_budget_prints_which_defaults_it_changes(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    small = "--hidden-size 8 --num-layers 1 --embed 4 --sample 0 --max-steps 1 --time-budget 10m --json"
    run = dlnotes("char-rnn", "train", home / "text.txt", *small.split(), "--out", tmp_path / "run")
    assert "--dropout 0.3" in run.err
    assert json.loads(run.out)["model"]["configuration"]["dropout"] == 0.3


def test_the_notes_recipe_has_the_values_of_the_course() -> None:
    assert (NOTES.optimizer, NOTES.lr, NOTES.schedule, NOTES.grad_clip) == ("adam", 0.001, "constant", 5.0)
    assert (NOTES.hidden, NOTES.layers, NOTES.embed, NOTES.dropout, NOTES.residual) == (512, 2, 0, 0.5, False)
    length = run_length(CharRnnTrainConfig(recipe="notes"), NOTES.length, 1_000_000)
    assert (NOTES.seq_len, length.batch_size, length.epochs) == (100, 128, 20)


def test_a_long_time_budget_changes_the_defaults_of_the_best_recipe() -> None:
    assert CharRnnTrainConfig(time_budget=600.0).resolved() == BEST_LONG
    assert CharRnnTrainConfig(time_budget=599.0).resolved() == BEST
    assert CharRnnTrainConfig(time_budget=600.0, recipe="notes").resolved() == NOTES
    changed = {"--hidden-size": 384, "--dropout": 0.3, "--weight-decay": 0.1, "--seq-len": 64, "--batch-size": 16}
    assert CharRnnTrainConfig(time_budget=600.0).long_run_defaults() == changed
    del changed["--hidden-size"]
    assert CharRnnTrainConfig(time_budget=600.0, hidden=64).long_run_defaults() == changed
    assert CharRnnTrainConfig(time_budget=600.0, recipe="notes").long_run_defaults() == {}


def test_a_sample_is_printed_after_each_validation_and_a_lower_batch_size(
    home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    run = dlnotes(*train(home, tmp_path / "run", "--sample", 30, "--batch-size", 5000))
    assert run.err.count("  | ") >= 2
    assert re.search(r"epoch 1, step 1: validation loss [\d.]+, [\d.]+ bits per char, perplexity", run.err)
    assert re.search(r"note: the batch size is reduced to the \d+ sequences of --seq-len in the text", run.err)
    assert "  | " not in run.out


def test_the_prime_is_continued(trained: Path, dlnotes: Command) -> None:
    words = ["char-rnn", "sample", trained, "--length", 40]
    run = dlnotes(*words, "--prime", "the dog")
    assert (run.code, run.out[:7], len(run.out)) == (0, "the dog", len("the dog") + 40 + 1)
    assert set(run.out) <= set(TEXT)
    assert dlnotes(*words, "--prime", "the dog").out == run.out
    assert dlnotes(*words, "--prime", "the dog", "--seed", 1).out != run.out
    skipped = dlnotes(*words, "--prime", "QtheQ", "--on-unknown", "skip")
    assert skipped.out.startswith("the")
    assert "--prime: skipped 2 characters that are not in the model's vocabulary" in skipped.err


def test_several_samples_differ_and_each_ends_at_its_own_stop_text(trained: Path, dlnotes: Command) -> None:
    arguments = ["char-rnn", "sample", trained, "--count", 5, "--length", 60]
    fields = json.loads(dlnotes(*arguments, "--json").out)
    whole = [sample["text"] for sample in fields["samples"]]
    assert (fields["prime"], {len(text) for text in whole}) == ("\n", {60})
    assert len(set(whole)) > 1
    assert dlnotes(*arguments).out.count("---------------") == 5
    samples = json.loads(dlnotes(*arguments, "--stop", "o", "--json").out)["samples"]
    assert [sample["text"] for sample in samples] == [text.partition("o")[0] for text in whole]
    assert [sample["ended"] for sample in samples] == ["stop" if "o" in text else "length" for text in whole]


def test_greedy_sampling_does_not_depend_on_the_seed(trained: Path, dlnotes: Command) -> None:
    ways = ("--temperature 0 --seed 5", "--top-k 1", "--top-p 1e-9", "--temperature 1e-40", "--top-p 1e-50")
    assert len({dlnotes("char-rnn", "sample", trained, "--length", 30, *way.split()).out for way in ways}) == 1


@pytest.mark.parametrize(("text", "stop"), [("aaabc", "aab"), ("ababac", "abac"), ("abab", "abc"), ("abc", "abc")])
def test_no_start_of_a_stop_text_is_streamed(
    text: str, stop: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = CharRnnSampler(CharRnnSampleConfig(model=trained, stop=stop))
    tokens = Tokenizer(load_language_model(trained).preprocessing).encode(text, "TEXT", "error").astype(int)
    monkeypatch.setattr(TokenSampler, "tokens", lambda *_: iter(torch.tensor(tokens)[:, None]))
    assert "".join(sampler.stream()) == text.partition(stop)[0]


@pytest.mark.parametrize("way", ["--length 400 --seed 3", "--count 4 --json", "--top-k 5 --top-p 0.8 --stop e"])
def test_an_exported_model_samples_what_the_model_file_samples(
    way: str, trained: Path, exported: Path, dlnotes: Command
) -> None:
    model = trained / "model.safetensors"
    texts = [dlnotes("char-rnn", "sample", path, *way.split(), "--precision", "fp32") for path in (model, exported)]
    assert texts[0].out.replace(str(model), str(exported)) == texts[1].out
    assert (texts[1].code, bool(texts[1].out)) == (0, True)


def test_a_model_of_bytes_samples_and_scores_text(tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "text.txt").write_text("é" * 400)
    arguments = ["--vocab", "bytes", *SMALL, "--max-steps", 150, "--lr", 0.02, "--out", tmp_path / "run"]
    assert dlnotes("char-rnn", "train", tmp_path / "text.txt", *arguments).code == 0
    use = ["char-rnn", "sample", tmp_path / "run", "--prime", "é", "--length", 20, "--temperature", 0]
    sampled = json.loads(dlnotes(*use, "--json").out)
    assert (sampled["prime"], sampled["samples"][0]["text"], sampled["seed"]) == ("é", "é" * 10, 0)
    assert dlnotes(*use).out == "é" * 11 + "\n"
    stopped = json.loads(dlnotes(*use, "--stop", "éé", "--json").out)["samples"]
    assert stopped == [{"text": "", "ended": "stop"}]
    scored = dlnotes("char-rnn", "score", tmp_path / "run", tmp_path / "text.txt", "--json").out
    assert (json.loads(scored)["unit"], json.loads(scored)["total"]["characters"]) == ("bytes", 800)


def test_a_sample_is_printed_while_it_is_made_and_a_closed_pipe_ends_it_quietly(trained: Path) -> None:
    arguments = ["char-rnn", "sample", trained, "--length", "100000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dlnotes_cli", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(50)) == 50
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_gradients_can_be_computed_between_two_sampled_characters() -> None:
    network = CharRnn(CharRnnConfig(4, hidden=3, embed=2))
    runtime = choose_runtime("cpu", "fp32", 1, bf16_pays=False)
    sampled = TokenSampler(network, TextPreprocessing("chars", "abcd"), runtime).tokens(torch.tensor([0, 1]), 2, 5)
    next(sampled)
    logits, _ = network(torch.tensor([[0]]), network.initial_state(1))
    logits.sum().backward()
    assert len(list(sampled)) == 4


def test_temperature_top_k_and_top_p_change_the_probabilities() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 5.0]])
    softmax = logits.double().softmax(1).float()
    torch.testing.assert_close(token_probabilities(logits), softmax)
    torch.testing.assert_close(token_probabilities(logits, 2.0), (logits / 2).softmax(1))
    top_two = token_probabilities(logits, top_k=2)
    torch.testing.assert_close(top_two[0], torch.tensor([softmax[0, 0], softmax[0, 1], 0, 0]) / softmax[0, :2].sum())
    nucleus = token_probabilities(logits, top_p=0.7)
    assert (nucleus > 0).tolist() == [[True, True, False, False], [False, False, False, True]]
    torch.testing.assert_close(nucleus.sum(1), torch.ones(2))
    equal = token_probabilities(torch.zeros(1, 5), top_k=2)
    assert sorted(equal[0].tolist()) == [0, 0, 0, 0.5, 0.5]


def test_sampled_tokens_have_the_frequencies_of_the_probabilities() -> None:
    seed_everything(0)
    network = CharRnn(CharRnnConfig(4, hidden=3, embed=2)).eval()
    probabilities = torch.tensor([0.5, 0.25, 0.2, 0.05])
    with torch.no_grad():
        weight, bias = network.output_layer()
        weight.zero_()
        bias.copy_(probabilities.log())
    runtime = choose_runtime("cpu", "fp32", 1, bf16_pays=False)
    sampler = TokenSampler(network, TextPreprocessing("chars", "abcd"), runtime, seed=3)
    sampled = torch.cat(list(sampler.tokens(torch.tensor([0]), 50, 400)))
    frequencies = torch.bincount(sampled, minlength=4) / len(sampled)
    torch.testing.assert_close(frequencies, probabilities, atol=0.015, rtol=0)


def test_each_text_and_their_total_are_scored(home: Path, trained: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "other.txt").write_text(";;;axb")
    arguments = ["char-rnn", "score", trained, home / "text.txt", tmp_path / "other.txt"]
    fields = json.loads(dlnotes(*arguments, "--json").out)
    known, other = fields["texts"]
    assert known["predicted"] == len(TEXT) - 1
    assert known["bits_per_char"] < other["bits_per_char"]
    total = (known["loss"] * known["predicted"] + other["loss"] * other["predicted"]) / fields["total"]["predicted"]
    assert fields["total"]["loss"] == pytest.approx(total)
    assert "all" in dlnotes(*arguments).out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_validation_text_has_the_same_loss_in_score_as_in_training(
    precision: str, home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    (tmp_path / "val.txt").write_text(TEXT[int(len(TEXT) * 0.9) :])
    assert dlnotes(*train(home, tmp_path / "run", "--precision", precision, "--max-steps", 5)).code == 0
    arguments = ["score", tmp_path / "run", tmp_path / "val.txt", "--json", "--precision", precision]
    fields = json.loads(dlnotes("char-rnn", *arguments).out)
    expected = json.loads((tmp_path / "run" / "result.json").read_text())["validation"]["loss"]
    assert fields["total"]["loss"] == pytest.approx(expected, rel=1e-6)


def test_lines_are_scored_one_by_one(home: Path, trained: Path, dlnotes: Command) -> None:
    fields = json.loads(dlnotes("char-rnn", "score", trained, home / "text.txt", "--lines", "--json").out)
    assert len(fields["texts"]) == len(LINES)
    assert fields["texts"][1]["name"].endswith("text.txt:2")
    assert [entry["characters"] for entry in fields["texts"]] == [len(line) + 1 for line in LINES]


@pytest.mark.draws
def test_the_heat_map_is_written_once(home: Path, trained: Path, tmp_path: Path, dlnotes: Command) -> None:
    arguments = ["char-rnn", "score", trained, home / "text.txt", "--heat", tmp_path / "heat.png"]
    assert dlnotes(*arguments).code == 0
    with Image.open(tmp_path / "heat.png") as image:
        assert min(image.size) > 300
    assert dlnotes(*arguments).code == 2


@pytest.mark.parametrize("source", ["python-help", "stdin"])
def test_a_text_needs_no_file(source: str, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    words = ["--hidden-size", 8, "--embed", 4, "--max-steps", 2, "--sample", 0, "--json", "--val-split", 0.05]
    fields = json.loads(dlnotes("char-rnn", "train", *(["-"] if source == "stdin" else []), *words).out)
    assert (fields["data"]["name"], fields["out"]) == (source, "runs/char-rnn-train-1")


FAULTS = {
    "train {none}": r"none\.txt: no such file",
    "train {empty}": r"empty\.txt: is empty; give a text with content",
    "train {one}": r"one\.txt: has one distinct character, 'a'",
    "train {short}": r"has 8 characters for training, but --seq-len 16 needs 17 from one text; .*lower --seq-len",
    "train {edge}": r"edge\.txt: has 16 characters for training, but --seq-len 16 needs 17",
    "train {byte}": r"byte\.txt: line 1: byte 0x92 at offset 1,000 is not UTF-8; .*--encoding \(cp1252",
    "train {text} --vocab bytes --lower": r"--lower: has no effect with --vocab bytes",
    "train {text} --embed 0 --tied": r"--tied: needs an embedding",
    "train {text} --val-split 0.0005": r"--val-split: leaves 1 characters for validation",
    "train {text} {text}": r"text\.txt: is listed twice",
    "train {text} --val-split 0.999": r"has \d characters for training.*lower --seq-len or --val-split",
    "train {one} --vocab bytes": r"one\.txt: has one distinct character, 'a'",
    "train {parts} --seq-len 2": r"TEXT: has 5 characters for training, but --seq-len 2 needs 3 from one text",
    "train {text} --out {home} --overwrite": r"--out: .* contains the training text",
    "sample {run} --prime Q": r"--prime: has characters that are not in the model's vocabulary: 'Q' \(U\+0051\)",
    "sample {run} --prime Q --on-unknown skip": r"--prime: has no character in the model's vocabulary",
    "sample {run} --prime=": r"--prime: is empty",
    "sample {run} --stop Q": r"--stop: has characters that are not in the model's vocabulary: 'Q'",
    "sample {run}/last.safetensors": r"last\.safetensors: .*model\.safetensors",
    "sample {digits}": r"holds a model of kind mlp, but this command needs char_rnn",
    "sample {digits}/model.onnx": r"model\.onnx: no such file; check the path",
    "sample {onnx} --device cuda": r"--device: cuda has no effect on an ONNX file; use cpu, or the model file",
    "sample {onnx} --precision bf16": r"--precision: bf16 has no effect on an ONNX file with float32 weights; drop",
    "score {digits} {text}": r"holds a model of kind mlp, but this command needs char_rnn",
    "score {run} {unknown}": r"unknown\.txt: has characters that are not in .* vocabulary: 'Q' .*--on-unknown skip",
    "score {run} {text} --heat x.jpg": r"--heat: .*png",
    "score {run} {png} --heat {png} --overwrite": r"--heat: .*is an input of the command",
    "score {one_line} {edge} --lines --on-unknown skip": r"--lines: the model's vocabulary has no newline",
    "predict {run} {text}": r"holds a model of kind char_rnn, but this command needs mlp",
    "evaluate {run}": r"holds a model of kind char_rnn, but this command needs mlp",
}


@pytest.fixture(scope="module")
def places(home: Path, trained: Path, exported: Path, digits_run: Path) -> dict[str, Path]:
    """Texts and runs by the names that they have in FAULTS."""
    contents = {
        "edge": b"123456789" * 2, "empty": b"", "one": b"a" * 99, "short": b"123456789", "unknown": b"foQxes",
        "byte": b"ab" * 500 + b"\x92" + b"c" * 99, "png": TEXT.encode(),
    }  # fmt: skip
    paths = {name: home / ("text.png" if name == "png" else f"{name}.txt") for name in (*contents, "text", "none")}
    for name, content in contents.items():
        paths[name].write_bytes(content)
    (home / "parts").mkdir()
    for i, text in enumerate(("a", "b", "c", "d", "ab")):
        (home / "parts" / f"{i}.txt").write_text(text)
    words = ["char-rnn", "train", paths["edge"], *SMALL, "--seq-len", 4, "--max-steps", 1, "-q", "--out", home / "12"]
    assert main([str(word) for word in words]) == 0
    folders = {"home": home, "run": trained, "onnx": exported, "digits": digits_run, "one_line": home / "12"}
    return paths | folders | {"parts": home / "parts"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_on_stderr(fault: str, places: dict[str, Path], tmp_path: Path, dlnotes: Command) -> None:
    command, *arguments = (argument.format(**places) for argument in fault.split())
    words = [command] if command in {"predict", "evaluate"} else ["char-rnn", command]
    if command == "train":
        words += map(str, (*small_options_without(arguments), "--out", tmp_path / "run"))
    outcome = dlnotes(*words, *arguments)
    assert (outcome.code, outcome.out, len(outcome.err.splitlines())) == (2, "", 1), outcome.err
    assert re.search(FAULTS[fault], outcome.err), outcome.err
    assert not (tmp_path / "run").exists()


def test_a_diverging_loss_ends_the_run_with_an_error(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(*train(home, tmp_path / "run", "--lr", 1e9, "--grad-clip", 1e9))
    assert run.code == 3
    assert "--lr" in run.err
