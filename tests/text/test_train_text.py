"""`train-text`: runs, models that are kept, resume, and what `evaluate` and `predict` do with them."""

import html
import json
import re
import sys
from collections import Counter
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from builders import Command, assert_shares_add_up, at_first_epoch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from dlnotes_cli.cli import main
from dlnotes_cli.data.dataset import SplitRule
from dlnotes_cli.data.texts.labeled import load_training_texts
from dlnotes_cli.data.texts.preprocessing import SequencePreprocessing
from dlnotes_cli.data.texts.sequences import words_of
from dlnotes_cli.inference.text_explanation import gradient_times_embedding
from dlnotes_cli.networks.text_rnn import TextRnn
from dlnotes_cli.text.options import TrainTextConfig
from dlnotes_cli.text.train_text import TextTask
from dlnotes_cli.training.distributed import ALONE, Processes
from dlnotes_cli.training.model_file import load_text_model
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = ("--limit", "200", "--hidden-size", "6", "--embed", "5", "--batch-size", "32", "--threads", "1")


@pytest.fixture(scope="module")
def rnn_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("text") / "rnn"
    assert main(["train-text", "--model", "rnn", *SMALL, "--epochs", "2", "--out", str(out), "-q"]) == 0
    return out


@pytest.fixture(scope="module")
def linear_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("text") / "linear"
    assert main(["train-text", "--model", "linear", "--limit", "200", "--out", str(out), "-q"]) == 0
    return out


OF_TOPICS = ("--text-column", "body", "--target", "topic")


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of three classes, each with words of its own, in which one class is rare."""
    path = tmp_path_factory.mktemp("topics") / "topics.csv"
    generator = np.random.default_rng(0)
    words = {"sport": "ball goal team", "food": "soup bread salt", "space": "star moon orbit"}
    lines = ["id,body,topic"]
    for i in range(90):
        topic = ("sport", "food", "sport", "food", "space")[i % 5]
        text = " ".join(generator.choice([*words[topic].split(), "the", "a"], 6))
        lines.append(f'{i},"{text}, {i}",{topic}')
    path.write_text("\n".join(lines) + "\n")
    return path


def result_of(run: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run / "result.json").read_text())
    return result


@pytest.mark.parametrize("fixture", ["rnn_run", "linear_run"])
def test_evaluate_repeats_the_metrics_of_the_training(
    fixture: str, request: pytest.FixtureRequest, dlnotes: Command
) -> None:
    run = request.getfixturevalue(fixture)
    result = result_of(run)
    assert result["kept"] == fixture.removesuffix("_run")
    assert result["test"] == result["models"][0]["test"]
    for split in ("test", "val"):
        measured = json.loads(dlnotes("evaluate", run, "--split", split, "--json").out)
        expected = result["test" if split == "test" else "validation"]
        assert {name: measured[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    exported = dlnotes("export", run, "--format", "state-dict", "--out", run / "e.safetensors", "--json")
    assert json.loads(exported.out)["parity"]["same_class"] == 1
    assert (run / "linear.safetensors").exists() == (fixture == "rnn_run")


def test_evaluations_do_not_count_as_training_time_of_the_linear_model(linear_run: Path) -> None:
    result = result_of(linear_run)
    assert result["timing"]["train_s"] == result["models"][0]["train_s"]
    assert result["timing"]["eval_s"] > 0


def test_the_linear_model_is_scikit_learns_pipeline(linear_run: Path, dlnotes: Command) -> None:
    dataset = load_training_texts("remarks", None, None, SplitRule(0.1, 0.2, 0, 200))
    model = load_text_model(linear_run)
    stored: Any = model.preprocessing
    oracle = Pipeline([
        ("features", FeatureUnion([
            ("words", TfidfVectorizer(
                tokenizer=words_of, token_pattern=None, lowercase=False, ngram_range=(1, 2), sublinear_tf=True,
                vocabulary=stored.words,
            )),
            ("characters", TfidfVectorizer(
                analyzer="char_wb", preprocessor=lambda text: " ".join(words_of(text)), ngram_range=(3, 5),
                sublinear_tf=True, vocabulary=stored.characters,
            )),
        ])),
        ("regression", LogisticRegression(C=4.0, max_iter=1000)),
    ])  # fmt: skip
    train, test = (dataset.splits[name] for name in ("train", "test"))
    oracle.fit([dataset.texts[i] for i in train], dataset.labels[train])
    texts = [dataset.texts[i] for i in test[:20]]
    out = json.loads(dlnotes("predict", linear_run, *texts, "--json").out)
    mine = [{entry["class"]: entry["probability"] for entry in p["top"]} for p in out["predictions"]]
    expected = oracle.predict_proba(texts)
    for row, probabilities in zip(mine, expected, strict=True):
        assert [row["negative"], row["positive"]] == pytest.approx(probabilities.tolist(), abs=1e-9)


def test_the_model_that_validates_better_is_kept_beside_the_other(
    tmp_path: Path, topics: Path, dlnotes: Command, figures: "list[Figure]"
) -> None:
    words = ("train-text", "--data", topics, *OF_TOPICS, "--class-weights", "balanced")
    outcome = dlnotes(*words, "--max-steps", 1, "--hidden-size", 2, "--out", tmp_path / "run", "--min-accuracy", 0.9)
    assert outcome.code == 0, outcome.err
    result = result_of(tmp_path / "run")
    assert result["data"]["classes"] == ["food", "space", "sport"]
    assert [model["name"] for model in result["models"]] == ["rnn", "linear"]
    assert (result["kept"], result["model"]["name"]) == ("linear", "text_linear")
    assert "the linear model is kept: validation accuracy 1.0000, the recurrent network 0." in outcome.out
    predicted = json.loads(dlnotes("predict", tmp_path / "run", "the moon and a star in orbit", "--json").out)
    assert predicted["predictions"][0]["class"] == "space"
    assert load_text_model(tmp_path / "run").metadata["model"] == "text_linear"
    assert load_text_model(tmp_path / "run" / "network.safetensors").metadata["model"] == "text_rnn"
    curves, confusion = figures  # which say whose numbers they show
    assert curves.get_suptitle() == "run: the linear model is kept"
    legend = [text.get_text() for text in curves.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]
    assert {"linear model (kept) validation"} < {re.sub(r" [\d.]+$", "", label) for label in legend}
    assert legend[0].startswith("network train")
    assert confusion.axes[0].get_title(loc="left").startswith("linear model:")
    table = dlnotes("predict", tmp_path / "run", topics, "--csv", "-").out.splitlines()
    assert len(table) == 91
    assert table[1].startswith(f"{topics}:2,sport,")


def prepared(processes: Processes = ALONE, **options: Any) -> TextTask:
    """The task of a small network without dropout, at the start of its first epoch."""
    small: dict[str, Any] = {"limit": 40, "hidden": 6, "embed": 5, "class_weights": "balanced", "label_smoothing": 0.1}
    config = TrainTextConfig(**small | options)
    recipe = replace(config.resolved(), embed_dropout=0.0, dropout=0.0, head_dropout=0.0)
    return at_first_epoch(TextTask(config, recipe, processes), batch_size=6)


@pytest.mark.parametrize("recipe", ["best", "notes"])
def test_the_shares_of_all_processes_add_up_to_the_batch(recipe: str) -> None:
    alone = prepared(recipe=recipe)
    tasks = [prepared(Processes(rank, 5), recipe=recipe, accumulate=2) for rank in range(5)]
    assert_shares_add_up(alone, tasks, alone.steps_per_epoch)
    batches = [tasks[4].batch(index) for index in range(alone.steps_per_epoch)]
    assert {(batch.samples, batch.counts) for batch in batches} == {(6, True), (4, False)}


def test_the_network_knows_the_words_of_the_training_texts_only() -> None:
    task = prepared()
    uses = Counter(word for i in task.dataset.splits["train"] for word in words_of(task.dataset.texts[i]))
    assert set(task.preprocessing.words) == {word for word, count in uses.items() if count > 1}


def test_the_courses_recipe_reads_words_as_the_notebook(tmp_path: Path, dlnotes: Command) -> None:
    small = ("--limit", "60", "--hidden-size", "4", "--embed", "3", "--max-steps", "2", "--max-length", "12")
    outcome = dlnotes("train-text", "--recipe", "notes", "--model", "rnn", *small, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    model = load_text_model(tmp_path / "run")
    assert isinstance(model.preprocessing, SequencePreprocessing)
    assert model.preprocessing.fixed_length
    assert not any("." in word for word in model.preprocessing.words)
    assert model.metadata["configuration"]["vocabulary"] == len(model.preprocessing.words) + 1
    assert model.network.output.out_features == 1  # type: ignore[union-attr]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["grad_clip"], config["lr"], config["batch_size"], config["optimizer"]) == (5.0, 0.001, 50, "adam")
    course = TrainTextConfig(recipe="notes").resolved()
    assert (course.embed, course.hidden, course.layers, course.max_length) == (400, 256, 2, 200)
    words = json.loads(dlnotes("predict", tmp_path / "run", "not great zzz", "--explain", "--json").out)
    contributions = words["predictions"][0]["explanation"]["words"]
    assert [entry["word"] for entry in contributions] == ["not", "great", "zzz"]
    assert contributions[2]["contribution"] == 0


def test_an_unknown_word_means_nothing_until_training_texts_have_one(tmp_path: Path, dlnotes: Command) -> None:
    table = tmp_path / "plain.csv"
    table.write_text("text,label\n" + "so good,yes\nso bad,no\n" * 20)
    small = ("--model", "rnn", "--hidden-size", "4", "--embed", "3", "--max-steps", "2")
    assert dlnotes("train-text", "--data", table, "--target", "label", *small, "--out", tmp_path / "plain").code == 0
    words = json.loads(dlnotes("predict", tmp_path / "plain", "so good zzz", "--explain", "--json").out)
    contributions = [entry["contribution"] for entry in words["predictions"][0]["explanation"]["words"]]
    assert contributions[2] == 0 != contributions[1]


def test_byte_pairs(tmp_path: Path, dlnotes: Command) -> None:
    pytest.importorskip("tokenizers")
    words = ("--tokenizer", "bpe", "--vocab-size", "300", "--model", "rnn", *SMALL, "--max-steps", "3")
    outcome = dlnotes("train-text", *words, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    measured = json.loads(dlnotes("evaluate", tmp_path / "run", "--json").out)
    assert measured["loss"] == pytest.approx(result_of(tmp_path / "run")["test"]["loss"], abs=1e-9)
    shown = json.loads(dlnotes("predict", tmp_path / "run", "The ending is not bad.", "--explain", "--json").out)
    pieces = [entry["word"] for entry in shown["predictions"][0]["explanation"]["words"]]
    assert "".join(pieces) == "theendingisnotbad."


def test_byte_pairs_name_the_command_that_installs_them(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    outcome = dlnotes("train-text", "--tokenizer", "bpe", "--out", tmp_path / "run")
    assert outcome.code == 2
    line = "dlnotes: error: --tokenizer bpe: needs the package tokenizers; run pip install 'dlnotes-cli[text]'"
    assert line in outcome.err


def test_contributions_of_the_linear_model_and_the_bias_add_up_to_the_logit(
    linear_run: Path, topics: Path, tmp_path: Path, dlnotes: Command
) -> None:
    words = ("--model", "linear", "--data", topics, *OF_TOPICS)
    assert dlnotes("train-text", *words, "--out", tmp_path / "run").code == 0
    for run, text in ((linear_run, "Not bad, not bad at all: great ending!"), (tmp_path / "run", "A star, a ball")):
        out = json.loads(dlnotes("predict", run, text, "--explain", "--top", "3", "--json").out)["predictions"][0]
        explanation = out["explanation"]
        total = sum(entry["contribution"] for entry in explanation["words"]) + explanation["bias"]
        assert total == pytest.approx(explanation["logit"], abs=1e-9)
        model = load_text_model(run)
        if len(model.classes) == 2:
            assert explanation["logit"] == pytest.approx(np.log(out["probability"] / (1 - out["probability"])))


def test_gradient_times_embedding_is_a_derivative(rnn_run: Path) -> None:
    network = load_text_model(rnn_run).network
    assert isinstance(network, TextRnn)
    network = network.double()
    tokens = torch.tensor([[5, 9, 3]])
    values, logit = gradient_times_embedding(network, tokens, 1)
    embedded, step = network.embedding(tokens).detach(), 1e-6
    for i in range(3):
        changed = embedded.clone()
        changed[0, i] *= 1 + step
        with torch.no_grad():
            logits = network.scores(changed, network.lengths(tokens))[0]
        assert (float(logits[1] - logits[0]) - logit) / step == pytest.approx(values[i], abs=1e-4)


def test_explanations_are_printed_without_colors_and_escaped_in_html(
    rnn_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    page = tmp_path / "words.html"
    outcome = dlnotes("predict", rnn_run, "<b>great</b> & good", "--explain", "--explain-html", page)
    assert outcome.code == 0, outcome.err
    assert "\x1b" not in outcome.out
    assert "< b > great < / b > & good" in outcome.out
    assert re.search(r"^  for +\S", outcome.out, re.MULTILINE)
    content = page.read_text()
    assert "<b>" not in content
    shown = re.sub(r"<[^>]+>", "", content)
    assert "< b > great < / b > & good" in html.unescape(shown)


def test_texts_from_files_folders_tables_and_standard_input(
    rnn_run: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("a good film\nwith two lines\n")
    (tmp_path / "list").write_text(f"{tmp_path / 'texts' / 'one.txt'}\n")
    (tmp_path / "rows.csv").write_text("text\nbad\ngood\n")
    (tmp_path / "review").write_text("a dull film")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(b"first\n\nsecond\n")))
    texts, rows = ["great", "unlike review.txt"], [f"{tmp_path / 'rows.csv'}:{line}" for line in (2, 3)]
    words = (*texts, "review", tmp_path / "texts", tmp_path / "rows.csv", "-", "--files-from", tmp_path / "list")
    lines = dlnotes("predict", rnn_run, *words, "--jsonl").out.splitlines()
    file = str(tmp_path / "texts" / "one.txt")
    assert [json.loads(line)["item"] for line in lines] == [*texts, "review", file, *rows, "stdin:1", "stdin:3", file]
    named = ("--text", "review", "--text", "rows.csv")  # which are files, too
    predictions = json.loads(dlnotes("predict", rnn_run, *named, "--json").out)["predictions"]
    assert [one["item"] for one in predictions] == ["review", "rows.csv"]
    (answer,) = json.loads(dlnotes("predict", rnn_run, "a good film with two lines", "--json").out)["predictions"]
    assert json.loads(lines[3])["probability"] == pytest.approx(answer["probability"], abs=1e-6)  # one text


def test_a_text_may_be_skipped(rnn_run: Path, tmp_path: Path, dlnotes: Command) -> None:
    (tmp_path / "rows.csv").write_text('text,more\n"",x\ngood,y\n')
    refused = dlnotes("predict", rnn_run, tmp_path / "rows.csv")
    assert (refused.code, "rows.csv:2: the text is empty" in refused.err) == (2, True), refused.err
    outcome = dlnotes("predict", rnn_run, tmp_path / "rows.csv", "--skip-bad", "--json")
    assert outcome.code == 0, outcome.err
    predictions = json.loads(outcome.out)["predictions"]
    assert "error" in predictions[0]
    assert predictions[1]["class"] in {"negative", "positive"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", "{rnn}"), "PATH: no input given"),
        *((("predict", "{rnn}", name), f"{name}: no such file") for name in ("missing.txt", "in/here", "none.csv")),
        (("predict", "{rnn}", " "), "TEXT: the text is empty"),
        (("predict", "{rnn}", "{rows}"), "--text-column: unknown column 'text'; did you mean 'texts"),
        (("predict", "{rnn}", "a b", "--tta"), "--tta: the model reads texts"),
        (("predict", "{rnn}", "a b", "--sheet", "x.png"), "--sheet: the model reads texts"),
        (("predict", "{digits}", "{digits}/curves.png", "--explain"), "--explain: .* reads no texts"),
        (("predict", "{digits}", "--text", "a"), "--text: .* reads no texts; drop it"),
        (("evaluate", "{rnn}", "--data", "{topics}"), "--target: unknown column 'label'; choose from id, body, topic"),
        (
            ("evaluate", "{rnn}", "--data", "{topics}", "--target", "topic", "--text-column", "body"),
            "not have the class",
        ),
        (("evaluate", "{rnn}", "--target", "topic"), "--target: has no effect on remarks"),
        (("evaluate", "{digits}", "--target", "topic"), "--target: .* reads no texts"),
        (
            ("evaluate", "{rnn}", "--data", "digits"),
            "--data: 'digits' is neither a named data set nor a folder; choose from remarks",
        ),
        (("explain", "{rnn}"), "holds a model of kind text_rnn"),
        (("export", "{rnn}", "--format", "pt2"), "--format pt2: .* classifies texts"),
        (("train-text", "--model", "linear", "--lr", "1"), "--lr: has no effect with --model linear"),
        (("train-text", "--tokenizer", "bpe", "--recipe", "notes"), "--recipe: cannot be combined with --tokenizer"),
        (("train-text", "--tokenizer", "bpe", "--vocab-size", "9"), "--vocab-size: 9 is less than the 256 bytes"),
        (("train-text", "--limit", "1"), "--limit: no training sample of class (negative|positive); raise it"),
    ],
)
def test_errors(
    words: tuple[str, ...], message: str, rnn_run: Path, topics: Path, digits_run: Path, tmp_path: Path,
    dlnotes: Command,
) -> None:  # fmt: skip
    rows = tmp_path / "rows.csv"
    rows.write_text("texts,more\ngood,1\n")
    filled = [word.format(rnn=rnn_run, topics=topics, digits=digits_run, rows=rows) for word in words]
    outcome = dlnotes(*filled)
    assert outcome.code == 2
    assert re.search(message, outcome.err.splitlines()[-1]), outcome.err


@pytest.mark.parametrize(
    "change", [{"words": ["a"]}, {"words": 5}, {"fixed_length": True}, {"kind": "tfidf"}, {"tokenization": "bpe"}]
)
def test_a_file_with_another_vocabulary_is_refused(
    change: dict[str, Any], rnn_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    tensors, metadata = read_tensors(rnn_run / "model.safetensors")
    metadata["format"] |= change
    path = tmp_path / "changed.safetensors"
    write_tensors(path, tensors, {key: value for key, value in metadata.items() if key != "sha256"})
    outcome = dlnotes("predict", path, "a text")
    assert outcome.code == 2
    assert "its metadata is invalid" in outcome.err


def test_the_folder_of_the_texts_keeps_out_the_run(tmp_path: Path, dlnotes: Command) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        for i in range(12):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} {i}")
    refused = dlnotes("train-text", "--data", tmp_path, "--model", "linear", "--out", tmp_path / "good" / "run")
    assert refused.code == 2
    assert "--out" in refused.err
