"""`char-rnn`: training, sampling and scoring through the program, on texts that the tests write."""

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
from builders import Command, assert_same_run, stopped_after
from PIL import Image

from dlnotes_cli.char_rnn import train as char_rnn_train
from dlnotes_cli.char_rnn.options import CharRnnTrainConfig
from dlnotes_cli.char_rnn.sample import Choice, Sampler
from dlnotes_cli.char_rnn.train import LanguageJob, SampleReport
from dlnotes_cli.data.preprocessing import TextPreprocessing
from dlnotes_cli.data.text import find_sources, read_text
from dlnotes_cli.device import choose_runtime
from dlnotes_cli.models.char_rnn import CharRnnConfig, build_char_rnn
from dlnotes_cli.seeding import seed_everything

LINES = [f"{'abc'[i % 3] * (1 + i % 5)} {i % 7} brown foxes; the dog" for i in range(60)]
TEXT = "\n".join(LINES) + "\n"
SMALL = ["--hidden", 16, "--embed", 8, "--seq-len", 16, "--batch-size", 4, "--threads", 1, "--sample", 0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    (folder / "text.txt").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def trained(home: Path) -> Path:
    from dlnotes_cli.cli import main

    words = ["char-rnn", "train", home / "text.txt", *SMALL, "--epochs", 3, "--out", home / "run", "-q"]
    assert main([str(word) for word in words]) == 0
    return home / "run"


def train(home: Path, out: Path, *more: object) -> list[object]:
    return ["char-rnn", "train", home / "text.txt", *SMALL, "--epochs", 2, "--out", out, *more]


def test_a_small_network_learns_500_characters_by_heart(tmp_path: Path, dlnotes: Command) -> None:
    text = "".join(chr(97 + i * i % 23 + i % 3) for i in range(500)) + "#" * 56
    (tmp_path / "text.txt").write_text(text)
    words = ["--hidden", 96, "--layers", 1, "--seq-len", 50, "--batch-size", 8, "--max-steps", 250, "--lr", 0.01]
    run = dlnotes(
        "char-rnn", "train", tmp_path / "text.txt", "--out", tmp_path / "run", *words, "--json", "--sample", 0
    )
    fields = json.loads(run.out)
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["train"]["loss"] < 0.1
    assert history[-1]["train"]["accuracy"] > 0.98
    assert fields["data"]["counts"] == {"train": 500, "val": 56}
    assert fields["validation"]["samples"] == 55


def test_the_result_has_what_every_training_result_has(trained: Path) -> None:
    fields = json.loads((trained / "result.json").read_text())
    assert fields["command"] == "char-rnn train"
    assert fields["data"]["counts"] == {"train": int(len(TEXT) * 0.9), "val": len(TEXT) - int(len(TEXT) * 0.9)}
    assert fields["data"]["vocabulary"] == len(set(TEXT))
    validation = fields["validation"]
    assert validation["bits_per_char"] == pytest.approx(validation["loss"] / math.log(2))
    assert validation["perplexity"] == pytest.approx(math.exp(validation["loss"]))
    assert set(fields["timing"]) == {"data_s", "train_s", "eval_s", "total_s", "samples_per_s"}
    with Image.open(fields["plots"][0]) as image:
        assert image.size[0] > 300


def test_the_same_command_gives_the_same_bytes(home: Path, trained: Path, tmp_path: Path, dlnotes: Command) -> None:
    assert dlnotes(*train(home, tmp_path / "run", "--epochs", 3)).code == 0
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / name).read_bytes()


@pytest.mark.parametrize(
    "words", ["--cell lstm", "--cell gru", "--cell rnn", "--optimizer rmsprop --precision bf16 --eval-every 7"]
)
@pytest.mark.parametrize("after", [1, 7, 23, 31])  # in the first epoch, at its end, in the second
def test_a_run_stopped_after_any_step_equals_the_whole(
    home: Path, tmp_path: Path, dlnotes: Command, words: str, after: int
) -> None:
    given = [*words.split(), "--dropout", 0.2, "--ema", 0.9]
    assert dlnotes(*train(home, tmp_path / "whole", *given)).code == 0
    with stopped_after(after):
        assert dlnotes(*train(home, tmp_path / "run", *given)).code == 143
    assert dlnotes("char-rnn", "train", "--resume", tmp_path / "run").code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_run_stopped_in_its_last_sample_goes_on_as_the_whole(
    home: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        LanguageJob, "rank", lambda _, scores: (scores["loss"],)
    )  # the first epoch is kept, not the last
    words = ["--epochs", 3, "--sample", 5]
    assert dlnotes(*train(home, tmp_path / "whole", *words)).code == 0
    assert (
        json.loads((tmp_path / "whole" / "result.json").read_text())["best_epoch"] < 3
    )  # its weights are not the last
    conclude = char_rnn_train._conclude

    def signalled(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return conclude(*given)

    with monkeypatch.context() as patch:
        patch.setattr(char_rnn_train, "_conclude", signalled)
        patch.setattr(SampleReport, "show", lambda *_: None)  # so that the last sample is made, and looks for a stop
        assert dlnotes(*train(home, tmp_path / "run", *words)).code == 143
    for name in ("run", "whole"):
        assert dlnotes("char-rnn", "train", "--resume", tmp_path / name, "--epochs", 5).code == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_state_is_carried_between_windows_and_begins_anew_with_each_text(tmp_path: Path) -> None:
    for name, content in (("a.txt", "abcabcabca" * 3), ("b.txt", "cbacbacba" * 3)):
        (tmp_path / name).write_text(content)
    text, form = read_text(find_sources([str(tmp_path)]), TextPreprocessing("chars"), None)
    config = CharRnnTrainConfig(recipe="notes", seq_len=10, batch_size=1, reset_state=0.0)
    network = build_char_rnn(CharRnnConfig(form.vocabulary, hidden=4, embed=3))
    runtime = choose_runtime("cpu", "fp32", 1, bf16_pays=False)
    job = LanguageJob(config, network, {"train": text, "val": text}, runtime)
    job.start_epoch(1)
    for index in range(job.steps_per_epoch):
        outcome = job.step(index)
        begins = (0, 3)[index >= 3]  # thirty characters of the first text are three windows
        window = text.tokens[(0, 30)[index >= 3] :][: 10 * (index - begins) + 10].astype(np.int64)
        logits, _ = network(torch.from_numpy(window)[None], network.first_state(1))
        read = outcome.samples
        start = 10 * (index - begins)
        targets = torch.from_numpy(text.tokens.astype(np.int64))[(0, 30)[index >= 3] + start + 1 :][:read]
        expected = torch.nn.functional.cross_entropy(logits[0, start : start + read], targets)
        assert outcome.objective.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    "words",
    [
        "--cell gru --layers 1", "--cell rnn", "--embed 0", "--tied", "--dropout 0.3", "--optimizer rmsprop",
        "--optimizer adam", "--recipe notes --hidden 8", "--vocab bytes", "--lower", "--schedule cosine",
        "--patience 1", "--time-budget 0.3s", "--precision bf16", "--ema 0.9", "--newline keep", "--val-split 0.3",
        "--reset-state 0.5", "--eval-every 4", "--grad-clip 0",
    ],
)  # fmt: skip
def test_every_option_trains(home: Path, tmp_path: Path, dlnotes: Command, words: str) -> None:
    given = words.split()
    small = [word for i in range(0, len(SMALL), 2) if SMALL[i] not in given for word in SMALL[i : i + 2]]
    run = dlnotes(
        "char-rnn", "train", home / "text.txt", *small, "--epochs", 1, "--out", tmp_path / "run", *given, "--json"
    )
    assert run.code == 0, run.err
    fields = json.loads(run.out)
    assert fields["validation"]["loss"] < math.log(256 if "bytes" in given else fields["data"]["vocabulary"])
    stored = json.loads((tmp_path / "run" / "config.json").read_text()) | fields["model"]["configuration"]
    for name, value in zip(given[::2], given[1::2], strict=False):
        told = stored[name.removeprefix("--").replace("-", "_")]
        assert str(told) in {value, f"{value.removesuffix('s')}"} or float(told) == float(value), name
    assert dlnotes("char-rnn", "sample", tmp_path / "run", "--length", 5, "--json").code == 0


def test_a_single_stream_trains_though_a_last_step_may_be_empty(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(*train(home, tmp_path / "run", "--batch-size", 1, "--epochs", 4, "--json"))
    assert run.code == 0, run.err
    assert json.loads(run.out)["train"]["samples"] == int(len(TEXT) * 0.9) - 1


def test_long_time_budgets_say_which_defaults_they_change(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    words = [home / "text.txt", "--time-budget", "10m", "--max-steps", 1, "--layers", 1, "--embed", 4, "--sample", 0]
    run = dlnotes("char-rnn", "train", *words, "--hidden", 8, "--out", tmp_path / "run", "--json")
    assert "the defaults are --dropout 0.3; repeat the run with these too" in run.err
    assert json.loads(run.out)["model"]["configuration"]["dropout"] == 0.3


def test_a_batch_that_the_text_does_not_fill_is_told(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(*train(home, tmp_path / "run", "--batch-size", 5000, "--max-steps", 1))
    assert re.search(r"note   the batch shrinks to the \d+ windows that the text has", run.err)


def test_a_sample_is_shown_after_each_validation(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(*train(home, tmp_path / "run", "--sample", 30))
    assert run.err.count("  | ") >= 2
    assert re.search(r"epoch 1, step 23: validation loss [\d.]+, [\d.]+ bits per char, perplexity", run.err)
    assert "  | " not in run.out


def test_a_prime_is_continued(trained: Path, dlnotes: Command) -> None:
    run = dlnotes("char-rnn", "sample", trained, "--prime", "the dog", "--length", 40)
    assert run.code == 0
    assert run.out.startswith("the dog")
    assert len(run.out) == len("the dog") + 40 + 1
    assert set(run.out) <= set(TEXT)
    assert dlnotes("char-rnn", "sample", trained, "--prime", "the dog", "--length", 40).out == run.out
    assert dlnotes("char-rnn", "sample", trained, "--prime", "the dog", "--length", 40, "--seed", 1).out != run.out


def test_several_samples_are_told_apart(trained: Path, dlnotes: Command) -> None:
    words = ["char-rnn", "sample", trained, "--count", 3, "--length", 12]
    fields = json.loads(dlnotes(*words, "--json").out)
    assert fields["prime"] == "\n"
    assert [len(sample["text"]) for sample in fields["samples"]] == [12, 12, 12]
    assert len({sample["text"] for sample in fields["samples"]}) > 1
    assert dlnotes(*words).out.count("---------------") == 3


def test_the_most_probable_is_one_and_needs_no_seed(trained: Path, dlnotes: Command) -> None:
    greedy = [
        dlnotes("char-rnn", "sample", trained, "--length", 30, *words).out
        for words in (
            ["--temperature", 0],
            ["--temperature", 0, "--seed", 5],
            ["--top-k", 1],
            ["--top-p", 1e-9],
            ["--temperature", 1e-40],
            ["--top-p", 1e-50],
        )
    ]
    assert len(set(greedy)) == 1


def test_a_sample_ends_before_the_stop(trained: Path, dlnotes: Command) -> None:
    words = ["char-rnn", "sample", trained, "--prime", "the ", "--length", 400, "--temperature", 0.7]
    whole = dlnotes(*words).out.removeprefix("the ").removesuffix("\n")
    stop = whole[10:12]
    end = whole.index(stop)
    assert dlnotes(*words, "--stop", stop).out == "the " + whole[:end] + "\n"
    found = json.loads(dlnotes(*words, "--stop", stop, "--json").out)["samples"]
    assert found == [{"text": whole[:end], "ended": "stop"}]


def test_several_samples_end_where_each_meets_the_stop(trained: Path, dlnotes: Command) -> None:
    words = ["char-rnn", "sample", trained, "--count", 5, "--length", 60, "--json"]
    whole = [sample["text"] for sample in json.loads(dlnotes(*words).out)["samples"]]
    found = json.loads(dlnotes(*words, "--stop", "o").out)["samples"]
    assert [sample["text"] for sample in found] == [text.partition("o")[0] for text in whole]
    assert [sample["ended"] for sample in found] == ["stop" if "o" in text else "length" for text in whole]


def test_a_model_of_bytes_gives_text(tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "text.txt").write_text("é" * 400)
    words = ["--vocab", "bytes", *SMALL, "--max-steps", 150, "--lr", 0.02, "--out", tmp_path / "run"]
    assert dlnotes("char-rnn", "train", tmp_path / "text.txt", *words).code == 0
    use = ["char-rnn", "sample", tmp_path / "run", "--prime", "é", "--length", 20, "--temperature", 0]
    sampled = json.loads(dlnotes(*use, "--json").out)
    assert (sampled["prime"], sampled["samples"][0]["text"], sampled["seed"]) == ("é", "é" * 10, 0)
    assert dlnotes(*use).out == "é" * 11 + "\n"
    stopped = json.loads(dlnotes(*use, "--stop", "éé", "--json").out)["samples"]
    assert stopped == [{"text": "", "ended": "stop"}]
    scored = dlnotes("char-rnn", "score", tmp_path / "run", tmp_path / "text.txt", "--json").out
    assert (json.loads(scored)["unit"], json.loads(scored)["total"]["characters"]) == ("bytes", 800)


def test_a_sample_comes_as_it_is_made_and_ends_quietly_with_its_reader(trained: Path) -> None:
    words = ["char-rnn", "sample", trained, "--length", "100000000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dlnotes_cli", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert len(process.stdout.read(50)) == 50
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_training_goes_on_between_two_characters_of_a_sample() -> None:
    network = build_char_rnn(CharRnnConfig(4, hidden=3, embed=2))
    sampler = Sampler(network, TextPreprocessing("chars", "abcd"), choose_runtime("cpu", "fp32", 1, bf16_pays=False))
    stream = sampler.tokens(torch.tensor([0, 1]), 2, 5)
    next(stream)
    logits, _ = network(torch.tensor([[0]]), network.first_state(1))
    logits.sum().backward()
    assert len(list(stream)) == 4


def test_probabilities_of_a_choice() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 5.0]])
    plain = logits.double().softmax(1).float()
    torch.testing.assert_close(Choice().probabilities(logits), plain)
    torch.testing.assert_close(Choice(2.0).probabilities(logits), (logits / 2).softmax(1))
    two = Choice(top_k=2).probabilities(logits)
    torch.testing.assert_close(two[0], torch.tensor([plain[0, 0], plain[0, 1], 0, 0]) / plain[0, :2].sum())
    most = Choice(top_p=0.7).probabilities(logits)
    assert (most[0] > 0).tolist() == [True, True, False, False]
    assert (most[1] > 0).tolist() == [False, False, False, True]
    torch.testing.assert_close(most.sum(1), torch.ones(2))
    level = Choice(top_k=2).probabilities(torch.zeros(1, 5))
    assert sorted(level[0].tolist()) == [0, 0, 0, 0.5, 0.5]


def test_samples_follow_the_probabilities() -> None:
    seed_everything(0)
    network = build_char_rnn(CharRnnConfig(4, hidden=3, embed=2)).eval()
    with torch.no_grad():
        weight, bias = network.output_layer()
        weight.zero_()
        bias.copy_(torch.tensor([0.5, 0.25, 0.2, 0.05]).log())
    runtime = choose_runtime("cpu", "fp32", 1, bf16_pays=False)
    sampler = Sampler(network, TextPreprocessing("chars", "abcd"), runtime, seed=3)
    drawn = torch.cat(list(sampler.tokens(torch.tensor([0]), 50, 400)))
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.2, 0.05]), atol=0.015, rtol=0)


def test_texts_are_scored_each_and_all(home: Path, trained: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "other.txt").write_text("zzz;;;"[3:] + "axb")
    words = ["char-rnn", "score", trained, home / "text.txt", tmp_path / "other.txt"]
    fields = json.loads(dlnotes(*words, "--json").out)
    known, other = fields["texts"]
    assert known["predicted"] == len(TEXT) - 1
    assert known["bits_per_char"] < other["bits_per_char"]
    total = (known["loss"] * known["predicted"] + other["loss"] * other["predicted"]) / fields["total"]["predicted"]
    assert fields["total"]["loss"] == pytest.approx(total)
    assert "all" in dlnotes(*words).out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_validation_part_scores_as_in_training(
    precision: str, home: Path, tmp_path: Path, dlnotes: Command
) -> None:
    (tmp_path / "val.txt").write_text(TEXT[int(len(TEXT) * 0.9) :])
    assert dlnotes(*train(home, tmp_path / "run", "--precision", precision, "--max-steps", 5)).code == 0
    words = ["score", tmp_path / "run", tmp_path / "val.txt", "--json", "--precision", precision]
    fields = json.loads(dlnotes("char-rnn", *words).out)
    expected = json.loads((tmp_path / "run" / "result.json").read_text())["validation"]["loss"]
    assert fields["total"]["loss"] == pytest.approx(expected, rel=1e-6)


def test_lines_are_scored_by_themselves(home: Path, trained: Path, dlnotes: Command) -> None:
    fields = json.loads(dlnotes("char-rnn", "score", trained, home / "text.txt", "--lines", "--json").out)
    assert len(fields["texts"]) == len(LINES)
    assert fields["texts"][1]["name"].endswith("text.txt:2")
    assert [entry["characters"] for entry in fields["texts"]] == [len(line) + 1 for line in LINES]


def test_heat_is_drawn(home: Path, trained: Path, tmp_path: Path, dlnotes: Command) -> None:
    words = ["char-rnn", "score", trained, home / "text.txt", "--heat", tmp_path / "heat.png"]
    assert dlnotes(*words).code == 0
    with Image.open(tmp_path / "heat.png") as image:
        assert min(image.size) > 300
    assert dlnotes(*words).code == 2  # it exists


def test_the_default_text_needs_no_file(tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--hidden", 8, "--embed", 4, "--max-steps", 2, "--sample", 0]
    fields = json.loads(dlnotes("char-rnn", "train", *words, "--json", "--val-split", 0.01).out)
    assert (fields["data"]["name"], fields["out"]) == ("python-help", "runs/char-rnn-train-1")


def test_a_text_comes_through_a_pipe(tmp_path: Path) -> None:
    words = ["char-rnn", "train", "-", *SMALL, "--epochs", "1", "--out", tmp_path / "run", "--json", "-q"]
    command = [sys.executable, "-m", "dlnotes_cli", *map(str, words)]
    done = subprocess.run(command, input=TEXT.encode(), capture_output=True, check=True)
    assert json.loads(done.stdout)["data"]["name"] == "stdin"


FAULTS = {
    "{none}": r"none\.txt: cannot be read \(no such file",
    "{empty}": r"empty\.txt: is empty; give a text",
    "{one}": r"one\.txt: has one distinct character, 'a'",
    "{short}": r"short\.txt: has 8 characters to train on, --seq-len 16 needs 17 of one text; .*lower --seq-len",
    "{byte}": r"byte\.txt: byte 0x92 at offset 1,000 is not utf-8; .*--encoding \(cp1252",
    "{folder}": r"folder: is a folder without text files",
    "{text} --encoding nonsense": r"--encoding: unknown encoding 'nonsense'",
    "{text} --vocab bytes --lower": r"--lower: is for characters",
    "{text} --embed 0 --tied": r"--tied: needs an embedding",
    "{text} --val-split 0.0005": r"--val-split: leaves 1 characters for validation",
    "{text} --layers 0": r"--layers: 0 is out of range",
    "{text} --cell lstn": r"--cell: unknown value 'lstn'; did you mean lstm\?|did you mean 'lstm'",
    "{text} {text}": r"text\.txt: is given twice",
    "{half} --encoding unicode_escape": r"half\.txt: has U\+D83D, half of a surrogate pair",
    "{text} --val-split 0.999": r"has \d characters to train on.*lower --seq-len or --val-split",
    "{one} --vocab bytes": r"one\.txt: has one distinct character, 'a'",
    "{one_each} --seq-len 2": r"TEXT: has 5 characters to train on, --seq-len 2 needs 3 of one text",
    "{text} --lr nan": r"--lr: nan is out of range",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_training_is_told_in_one_line(fault: str, tmp_path: Path, dlnotes: Command) -> None:
    contents = {
        "text": TEXT.encode(), "empty": b"", "one": b"a" * 99, "short": b"123456789",
        "byte": b"ab" * 500 + b"\x92" + b"c" * 99, "half": rb"smile \ud83d\ude00 " * 30,
    }  # fmt: skip
    names = {name: tmp_path / f"{name}.txt" for name in contents}
    for name, content in contents.items():
        names[name].write_bytes(content)
    for name in ("folder", "one_each"):
        (tmp_path / name).mkdir()
        names[name] = tmp_path / name
    for letter in "abcd":
        (tmp_path / "one_each" / f"{letter}.txt").write_text(letter)
    (tmp_path / "one_each" / "e.txt").write_text("ab")
    names |= {"none": tmp_path / "none.txt"}
    words = [word.format(**names) for word in fault.split()]
    small = [word for i in range(0, len(SMALL), 2) if SMALL[i] not in words for word in SMALL[i : i + 2]]
    run = dlnotes("char-rnn", "train", *small, "--out", tmp_path / "run", *words)
    assert run.code == 2
    assert run.out == ""
    assert len(run.err.splitlines()) == 1
    assert re.search(FAULTS[fault], run.err), run.err
    assert not (tmp_path / "run").exists()


USE_FAULTS = {
    "sample {model} --prime Q": r"--prime: has characters outside the model's vocabulary: 'Q' \(U\+0051\)",
    "sample {model} --prime Q --on-unknown skip": r"--prime: has no character that the model knows",
    "sample {model} --prime=": r"--prime: is empty",
    "sample {model} --stop Q": r"--stop: has characters outside the model's vocabulary: 'Q'",
    "sample {model} --temperature -1": r"--temperature: -1\.0 is out of range",
    "sample {model} --length 0": r"--length: 0 is out of range",
    "sample {model} --top-p 0": r"--top-p: 0\.0 is out of range",
    "sample {classifier}": r"holds a model of kind mlp, this command needs char_rnn",
    "score {classifier} {text}": r"holds a model of kind mlp, this command needs char_rnn",
    "score {model}": r"TEXT: no text given",
    "score {model} {unknown}": r"unknown\.txt: has characters outside the model's vocabulary: 'Q' .*--on-unknown skip",
    "score {model} {text} --heat x.jpg": r"--heat: .*png",
    "score {model} {text} --heat {image} --overwrite": r"--heat: .*is what is read",
    "sample {model}/last.safetensors": r"is where a run stands, not its model; use .*model\.safetensors",
    "predict {model} {text}": r"holds a model of kind char_rnn, this command needs mlp",
    "evaluate {model}": r"holds a model of kind char_rnn, this command needs mlp",
}


@pytest.mark.parametrize("fault", USE_FAULTS)
def test_a_fault_in_use_is_told_in_one_line(
    fault: str, home: Path, trained: Path, digits_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    (tmp_path / "unknown.txt").write_text("foQxes")
    names = {"model": trained, "classifier": digits_run, "text": home / "text.txt", "unknown": tmp_path / "unknown.txt"}
    names["image"] = tmp_path / "text.png"
    names["image"].write_text(TEXT)
    names["text"] = names["image"] if "image" in fault else names["text"]
    words = [word.format(**names) for word in fault.split()]
    run = dlnotes(*(words if words[0] in {"predict", "evaluate"} else ["char-rnn", *words]))
    assert run.code == 2
    assert run.out == ""
    assert len(run.err.splitlines()) == 1
    assert re.search(USE_FAULTS[fault], run.err), run.err


def test_skipping_unknown_characters_leaves_the_others(trained: Path, dlnotes: Command) -> None:
    run = dlnotes("char-rnn", "sample", trained, "--prime", "QtheQ", "--on-unknown", "skip", "--length", 3)
    assert run.out.startswith("the")
    assert "--prime: skipped 2 characters outside the model's vocabulary" in run.err


def test_a_text_that_the_run_would_replace_is_refused(tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text(TEXT)
    words = ["train", tmp_path / "run" / "metrics.jsonl", *SMALL, "--out", tmp_path / "run", "--overwrite"]
    run = dlnotes("char-rnn", *words)
    assert (run.code, (tmp_path / "run" / "metrics.jsonl").read_text()) == (2, TEXT)
    assert "which is trained on; give another" in run.err


def test_ends_of_lines_in_a_prime_are_those_of_the_texts(trained: Path, dlnotes: Command) -> None:
    words = ["char-rnn", "sample", trained, "--length", 9]
    assert dlnotes(*words, "--prime", "dog\r\nthe").out == dlnotes(*words, "--prime", "dog\nthe").out


def test_lines_of_a_model_without_line_ends_are_refused(tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "text.txt").write_text("abcabd" * 50)
    assert (
        dlnotes("char-rnn", "train", tmp_path / "text.txt", *SMALL, "--max-steps", 1, "--out", tmp_path / "r").code == 0
    )
    (tmp_path / "lines.txt").write_text("abc\nabd\n")
    words = ["score", tmp_path / "r", tmp_path / "lines.txt", "--lines", "--on-unknown", "skip"]
    assert "--lines: the model knows no end of line" in dlnotes("char-rnn", *words).err


def test_a_text_that_changed_is_not_resumed(tmp_path: Path, dlnotes: Command) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    words = [path, *SMALL, "--out", tmp_path / "run"]
    assert dlnotes("char-rnn", "train", *words, "--epochs", 1).code == 0
    path.write_text(TEXT.replace("brown", "green"))
    run = dlnotes("char-rnn", "train", "--resume", tmp_path / "run", "--epochs", 2)
    assert run.code == 2
    assert "has changed since" in run.err


def test_a_loss_without_end_is_told(home: Path, tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(*train(home, tmp_path / "run", "--lr", 1e9, "--grad-clip", 1e9))
    assert run.code == 3
    assert "--lr" in run.err
