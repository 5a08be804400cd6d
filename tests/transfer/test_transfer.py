"""`transfer`: frozen backbones with cached features, and fine-tuning, on small images and a small network."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import Command, make_images, serving
from PIL import Image

from dlnotes_cli.cli import main
from dlnotes_cli.data.folder import FeatureExtractor, _FolderReader
from dlnotes_cli.networks import backbones
from dlnotes_cli.networks.backbones import (
    BackboneConfig,
    ExpectedImages,
    PublishedWeights,
    build_backbone,
    named_blocks,
)
from dlnotes_cli.plots.embedding import EmbeddedPoints, draw_embedding_map
from dlnotes_cli.training.model_file import load_classifier
from dlnotes_cli.training.task import Batch
from dlnotes_cli.training.tensor_file import read_tensors
from dlnotes_cli.transfer.fine_tuning import FineTuneTask
from dlnotes_cli.transfer.frozen_head import FrozenHeadTask

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = ("--backbone", "squeezenet1_1", "--weights", "none", "--size", "48", "--threads", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("transfer") / "images", count=14, size=(50, 60))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DLNOTES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of the images whose features were computed, not read from the cache."""
    computed: list[int] = []
    original = FeatureExtractor.__init__

    def recording(self: FeatureExtractor, name: str, width: int, batch: int, run: Any) -> None:
        def run_and_record(samples: Any, seeds: Any) -> Any:
            computed.extend(seeds)
            return run(samples, seeds)

        original(self, name, width, batch, run_and_record)

    monkeypatch.setattr(FeatureExtractor, "__init__", recording)
    return computed


def pixels_of(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def words(data: Path, out: Path, *more: object) -> list[str]:
    return [str(word) for word in ("transfer", "--data", data, "--out", out, *SMALL, "-q", *more)]


@pytest.mark.parametrize("more", [(), ("--epochs", 1)])
def test_fine_tune_without_a_value_means_the_last_three_blocks(
    more: tuple[object, ...], dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr("dlnotes_cli.transfer.transfer.transfer", lambda config: seen.append(config.fine_tune))
    dlnotes("transfer", "--fine-tune", *more)
    dlnotes("transfer", *more, "--fine-tune")
    dlnotes("transfer", "--fine-tune", "all", *more)
    assert seen == ["last-3", "last-3", "all"]


@pytest.mark.draws
def test_a_head_learns_colors_from_random_features_and_its_model_file_predicts(
    images: Path, tmp_path: Path, dlnotes: Command
) -> None:
    run = dlnotes(*words(images, tmp_path / "run", "--json"))
    assert run.code == 0, run.err
    result = json.loads(run.out)
    assert result["test"]["accuracy"] >= 0.75
    assert result["data"]["counts"] == {"train": 27, "val": 7, "test": 8}
    assert result["epochs"] == result["steps"] >= result["best_epoch"] > 0
    assert result["layers"][-1] == {"name": "head", "parameters": 1539, "trains": True, "lr_factor": 1.0}
    assert not any(layer["trains"] for layer in result["layers"][:-1])
    assert result["model"]["parameters"] == sum(layer["parameters"] for layer in result["layers"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = min(lines, key=lambda line: line["validation"]["loss"])
    assert (result["weight_decay"], result["best_epoch"]) == (best["weight_decay"], best["epoch"])
    for name in ("curves.png", "confusion.png", "predictions.png"):
        assert pixels_of(tmp_path / "run" / name).shape[1] > 300
    shutil.move(tmp_path / "run" / "model.safetensors", tmp_path / "alone.safetensors")
    evaluated = dlnotes("evaluate", tmp_path / "alone.safetensors", "--json", "--threads", 1)
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["accuracy"] == result["test"]["accuracy"]
    assert json.loads(evaluated.out)["loss"] == pytest.approx(result["test"]["loss"], rel=2e-2, abs=1e-3)
    predicted = json.loads(dlnotes("predict", tmp_path / "alone.safetensors", images / "red", "--json").out)
    assert [entry["class"] for entry in predicted["predictions"]].count("red") >= 11


def test_features_are_cached_and_computed_again_only_for_changed_files(
    tmp_path: Path, dlnotes: Command, cache: Path, extracted: list[int]
) -> None:
    data = make_images(tmp_path / "images", count=10)
    first = dlnotes(*words(data, tmp_path / "a"))
    assert first.code == 0, first.err
    assert len(extracted) == 30
    extracted.clear()
    assert dlnotes(*words(data, tmp_path / "b")).code == 0
    assert not extracted
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert [f["preprocessing"] for f in json.loads(dlnotes("data", "cache", "list", "--json").out)["folders"]] == [
        entry.name for entry in cache.glob("decoded/*/*")
    ]
    Image.new("RGB", (9, 9), "red").save(data / "red" / "3.png")
    Image.new("RGB", (9, 9), "blue").save(data / "blue" / "new.png")
    (data / "green" / "0.png").unlink()
    assert dlnotes(*words(data, tmp_path / "c")).code == 0
    assert len(extracted) == 2
    for more in (("--size", 40), ("--resize", "squash"), ("--backbone", "squeezenet1_0")):
        extracted.clear()
        assert dlnotes(*words(data, tmp_path / more[0].strip("-"), *more)).code == 0
        assert len(extracted) == 30, more
    shutil.rmtree(cache)
    assert dlnotes(*words(data, tmp_path / "d")).code == 0
    assert (tmp_path / "c" / "model.safetensors").read_bytes() == (tmp_path / "d" / "model.safetensors").read_bytes()


def test_views_augment_only_the_training_split(
    images: Path, tmp_path: Path, dlnotes: Command, cache: Path, extracted: list[int]
) -> None:
    run = dlnotes(*words(images, tmp_path / "run", "--views", 3, "--json"))
    assert run.code == 0, run.err
    assert json.loads(run.out)["data"]["counts"]["train"] == 27
    assert len(extracted) == 42 + 2 * 27
    extracted.clear()
    assert dlnotes(*words(images, tmp_path / "again", "--views", 3)).code == 0
    assert not extracted
    names = sorted(entry.name for entry in cache.glob("decoded/*/*"))
    assert len(names) == 3
    assert [("view" in name) for name in names] == [False, True, True]


@pytest.mark.draws
def test_features_are_exported_and_drawn_and_folds_choose_the_weight_decay(
    images: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps: list[EmbeddedPoints] = []

    def draw(embedded: EmbeddedPoints, classes: tuple[str, ...], axes: tuple[str, str]) -> bytes:
        maps.append(embedded)
        return draw_embedding_map(embedded, classes, axes)

    monkeypatch.setattr("dlnotes_cli.transfer.features.draw_embedding_map", draw)
    outputs = ("--export-features", tmp_path / "f.npz", "--map", tmp_path / "map.png", "--map-method", "tsne")
    run = dlnotes(*words(images, tmp_path / "run", *outputs, "--hidden", 8, "--folds", 4, "--json"))
    assert run.code == 0, run.err
    result = json.loads(run.out)
    folds, accuracy = result["folds"], result["test"]["accuracy"]
    assert (result["validation"]["samples"], len(folds["accuracies"])) == (27 + 7, 4)
    assert folds["mean"] == pytest.approx(np.mean(folds["accuracies"]))
    assert folds["std"] == pytest.approx(np.std(folds["accuracies"], ddof=1))
    with np.load(tmp_path / "f.npz") as stored:
        exported = dict(stored)
    assert exported["features"].shape == (42, 512)
    for name, label, split in zip(exported["names"], exported["labels"], exported["splits"], strict=True):
        assert Path(str(name)).parent.name == exported["classes"][label]
        assert split in {"train", "val", "test"}
    head: Any = load_classifier(tmp_path / "run").network.head
    is_test = exported["splits"] == "test"
    logits = head(torch.from_numpy(exported["features"][is_test]))
    assert (logits.argmax(1).numpy() == exported["labels"][is_test]).mean() == accuracy
    (embedded,) = maps
    assert embedded.is_evaluated.sum() == result["test"]["samples"]
    assert 1 - embedded.is_wrong.sum() / result["test"]["samples"] == pytest.approx(accuracy)
    assert not (embedded.is_wrong & ~embedded.is_evaluated).any()
    drawn = pixels_of(tmp_path / "map.png").astype(int)
    for color in ((63, 144, 218), (255, 169, 14), (189, 31, 1)):  # of the first three classes
        assert (np.abs(drawn - color).sum(2) < 70).sum() > 20


def test_a_named_set_of_gray_images_is_learned(tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(
        "transfer", *SMALL[:4], "--size", 32, "--limit", 60, "--views", 2, "--out", tmp_path / "run", "--json", "-q"
    )
    assert run.code == 0, run.err
    result = json.loads(run.out)
    assert result["test"]["accuracy"] > 0.3
    evaluated = json.loads(dlnotes("evaluate", tmp_path / "run", "--json", "--threads", 1).out)
    assert evaluated["accuracy"] == pytest.approx(result["test"]["accuracy"], abs=0.01)


# --- weights -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a state dict with torchvision's names."""
    from torchvision import models

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "own.pth"
    torch.save(models.squeezenet1_1(weights=None).state_dict(), path)
    return path


def test_weights_from_a_file_are_loaded_unchanged(
    weights: Path, images: Path, tmp_path: Path, dlnotes: Command
) -> None:
    run = dlnotes(*words(images, tmp_path / "run", "--weights", weights))
    assert re.search(r"^head +[\d,]+ +L-BFGS$", run.out, re.MULTILINE), run.err
    assert json.loads((tmp_path / "run" / "result.json").read_text())["weights"] == str(weights)
    stored, (tensors, _) = torch.load(weights), read_tensors(tmp_path / "run" / "model.safetensors")
    assert torch.equal(tensors["backbone.features.0.weight"], stored["features.0.weight"])
    assert not any(name.startswith("backbone.classifier.1") for name in tensors)


@pytest.fixture
def site(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of `weights` on a server, to which the default weights' URL points; torch's folder is empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    served = tmp_path / "served"
    served.mkdir()
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]
    shutil.copy(weights, served / f"squeezenet1_1-{digest}.pth")
    expected = ExpectedImages(224, 0.875, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    with serving(served) as address:
        url = f"{address}/squeezenet1_1-{digest}.pth"
        entry = PublishedWeights("IMAGENET1K_V1", expected, url, 4.8, 1_235_496, 0.58)
        monkeypatch.setattr(backbones, "published_weights", lambda _: (entry,))
        yield served / f"squeezenet1_1-{digest}.pth"


def default(data: Path, out: Path, *more: object) -> list[str]:
    return words(data, out, "--weights", "default", *more)


def test_weights_are_downloaded_once_and_checked(site: Path, images: Path, tmp_path: Path, dlnotes: Command) -> None:
    local, content = tmp_path / "torch" / "hub" / "checkpoints" / site.name, site.read_bytes()
    refused = dlnotes(*default(images, tmp_path / "run", "--offline"))
    where = rf"put {site.name} from http://127\S+ into {local.parent}"
    assert re.fullmatch(rf"dlnotes: error: {site.name}: not on this machine, .*; {where}\n", refused.err)
    for damaged in (content[: len(content) // 2], content[::-1]):
        site.write_bytes(damaged)
        run = dlnotes(*default(images, tmp_path / "run"))
        assert (run.code, run.err.count("\n"), "its SHA-256 is not the published one" in run.err) == (2, 1, True)
        assert not [*local.parent.iterdir(), *tmp_path.glob("run")]
    site.write_bytes(content)
    assert dlnotes(*default(images, tmp_path / "a")).code == 0
    assert local.read_bytes() == content
    site.unlink()
    assert dlnotes(*default(images, tmp_path / "b", "--offline")).code == 0
    local.write_bytes(content[:-1])
    missing = dlnotes(*default(images, tmp_path / "c"))
    assert (missing.code, "warning" in missing.err) == (2, False)  # -q
    assert re.search(rf"error: {site.name}: cannot be downloaded \(http://127\S+: 404 ", missing.err)
    site.write_bytes(content)
    assert dlnotes(*default(images, tmp_path / "d")).code == 0
    assert local.read_bytes() == content


def test_offline_the_bundled_network_replaces_a_default_backbone_that_is_missing(
    site: Path, images: Path, tmp_path: Path, dlnotes: Command
) -> None:
    command = ("transfer", "--data", images, "--threads", 1, "--offline")
    run = dlnotes(*command, "--out", tmp_path / "run", "--json")
    assert run.code == 0, run.err
    assert run.err.startswith(f"dlnotes: note: {site.name} is not on this machine; using --backbone small")
    assert json.loads(run.out)["backbone"] == "small"
    assert json.loads((tmp_path / "run" / "config.json").read_text())["backbone"] == "small"
    for more in (("--backbone", "resnet18"), ("--recipe", "notes")):
        refused = dlnotes(*command, *more, "--out", tmp_path / "refused")
        assert (refused.code, "--offline forbids downloading it" in refused.err) == (2, True)


def test_the_bundled_network_needs_no_download(
    images: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    small = ("transfer", "--data", images, "--backbone", "small", "--threads", 1, "-q")
    run = dlnotes(*small, "--offline", "--out", tmp_path / "run", "--json")
    assert run.code == 0, run.err
    result = json.loads(run.out)
    assert (result["backbone"], result["weights"], result["pretrained"]) == ("small", "small", True)
    assert result["test"]["accuracy"] == 1.0  # of three colors
    predicted = json.loads(dlnotes("predict", tmp_path / "run", images / "red", "--json").out)
    assert {item["class"] for item in predicted["predictions"]} == {"red"}
    tuned = dlnotes(*small, "--fine-tune", "last-1", "--max-steps", 1, "--out", tmp_path / "tuned", "--json")
    assert [layer["trains"] for layer in json.loads(tuned.out)["layers"]] == [False] * 7 + [True] * 2
    other = dlnotes(*small, "--weights", "IMAGENET1K_V1", "--out", tmp_path / "other")
    assert (other.code, other.err) == (
        2, "dlnotes: error: --weights: small has its own weights; drop it, or choose another --backbone\n"
    )  # fmt: skip


def test_the_list_has_every_network_of_torchvision(dlnotes: Command) -> None:
    rows = json.loads(dlnotes("transfer", "--list", "--json").out)["backbones"]
    assert [row["backbone"] for row in rows] == ["small", *sorted(backbones.backbone_names())]
    tensors, _ = read_tensors(Path(rows[0]["path"]))
    assert rows[0]["parameters"] == sum(tensor.numel() for tensor in tensors.values())
    assert (rows[0]["accuracy"], rows[0]["url"], rows[0]["available"]) == (None, None, True)
    printed = dlnotes("transfer", "--list").out
    assert re.search(r"resnet18 +11,689,512 +44\.7 +224 +0\.698 +(yes|no)", printed)
    assert re.search(r"small +740,250 +1\.4 +64 +- +included", printed)


# --- fine-tuning --------------------------------------------------------------------------------------------------

TUNED = ("--fine-tune", "last-2", "--epochs", "3", "--batch-size", "8", "--lr", "0.01")


def test_fine_tuning_changes_only_the_last_blocks(images: Path, tmp_path: Path, dlnotes: Command) -> None:
    run = dlnotes(*words(images, tmp_path / "run", *TUNED, "--json"))
    assert run.code == 0, run.err
    result = json.loads(run.out)
    trained = {layer["name"]: layer["lr_factor"] for layer in result["layers"] if layer["trains"]}
    assert trained == {"features.11": pytest.approx(0.075, rel=0.01), "features.12": 0.1, "head": 1.0}
    torch.manual_seed(0)
    fresh = build_backbone(BackboneConfig("squeezenet1_1", 3, 48)).state_dict()
    last, _ = read_tensors(tmp_path / "run" / "last.safetensors")
    changed = {name for name in fresh if not torch.equal(fresh[name], last[f"network.{name}"])}
    assert {name.rpartition(".")[0].split(".")[1] for name in changed if name.startswith("backbone")} == {"features"}
    assert {name.split(".")[2] for name in changed if name.startswith("backbone")} == {"11", "12"}
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["validation"]["accuracy"] >= 0.5  # it starts with the fitted head


def test_fine_tuning_starts_with_the_head_of_the_frozen_run(images: Path, tmp_path: Path, dlnotes: Command) -> None:
    more = ("--label-smoothing", 0, "--augment", "none", "--lr", 1e-9, "--epochs", 1, "--fine-tune", "last-1")
    frozen = json.loads(dlnotes(*words(images, tmp_path / "frozen", "--json")).out)
    tuned = json.loads(dlnotes(*words(images, tmp_path / "tuned", "--json", *more)).out)
    assert tuned["validation"]["accuracy"] == frozen["validation"]["accuracy"]
    assert tuned["validation"]["loss"] == pytest.approx(frozen["validation"]["loss"], rel=2e-2, abs=1e-3)


def test_fine_tuning_that_validates_worse_warns(images: Path, tmp_path: Path, dlnotes: Command) -> None:
    command = words(images, tmp_path / "run", "--fine-tune", "all", "--epochs", 1, "--lr", 1)
    run = dlnotes(*(word for word in command if word != "-q"))
    assert re.search(r"warning: fine-tuning validates worse than the frozen backbone \(loss [\d.]+, before", run.err)
    assert re.search(r"^head +[\d,]+ +1 x --lr$", run.out, re.MULTILINE)


def test_the_number_of_passes_of_a_time_budget_repeats_its_run(images: Path, tmp_path: Path, dlnotes: Command) -> None:
    timed = json.loads(dlnotes(*words(images, tmp_path / "a", "--time-budget", "0.01s", "--json")).out)
    assert 0 < timed["steps"] < 200
    counted = json.loads(dlnotes(*words(images, tmp_path / "b", "--max-steps", timed["steps"], "--json")).out)
    assert counted["steps"] == timed["steps"]
    one, other = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in "ab")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_locks_its_folder_before_features_are_computed(
    images: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    exit_codes: list[int] = []
    load = FrozenHeadTask.load

    def start_another_and_load(*arguments: Any) -> None:
        monkeypatch.setattr(FrozenHeadTask, "load", load)
        exit_codes.append(main(words(images, tmp_path / "run", "--hidden", "8")))
        load(*arguments)

    monkeypatch.setattr(FrozenHeadTask, "load", start_another_and_load)
    run = dlnotes(*words(images, tmp_path / "run"))
    assert (exit_codes, run.code) == ([2], 0)
    assert "is in use by another run" in run.err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["hidden"] == []


def test_blocks_unfreeze_from_the_last_to_the_first(
    images: Path, tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfrozen: list[int] = []
    batch = FineTuneTask.batch

    def count_and_batch(task: FineTuneTask, index: int) -> Batch:
        blocks = named_blocks(task.network.backbone)
        unfrozen.append(sum(all(p.requires_grad for p in block.parameters()) for _, block in blocks))
        return batch(task, index)

    monkeypatch.setattr(FineTuneTask, "batch", count_and_batch)
    run = dlnotes(*words(images, tmp_path / "run", "--fine-tune", "all", "--epochs", "5", "--batch-size", "27"))
    assert run.code == 0, run.err
    assert unfrozen == [5, 9, 9, 9, 9]


def test_a_head_with_dropout_trains_and_its_file_has_the_usual_names(
    images: Path, tmp_path: Path, dlnotes: Command
) -> None:
    """The head of the course's notebook: linear, ReLU, dropout, linear; all classes weigh the same without training."""
    more = ("--recipe", "notes", "--hidden", 8, "--max-steps", 1, "--val-split", 0, "--json")
    plain, dropped = (
        json.loads(dlnotes(*words(images, tmp_path / str(dropout), *more, "--dropout", dropout)).out)
        for dropout in (0, 0.5)
    )
    assert (plain["validation"]["samples"], plain["test"]["samples"]) == (0, 8)
    assert not any(layer["trains"] for layer in plain["layers"][:-1])
    options = json.loads((tmp_path / "0" / "config.json").read_text())
    assert (options["optimizer"], options["lr"], options["batch_size"]) == ("sgd", 0.001, 20)
    one, other = (read_tensors(Path(result["model_file"]))[0] for result in (plain, dropped))
    assert one.keys() == other.keys()
    assert not one["head.0.weight"].equal(other["head.0.weight"])  # the dropped units had no gradient
    head = load_classifier(tmp_path / "0.5").network.get_submodule("head")
    assert [type(layer).__name__ for layer in head.children()] == ["Linear", "ReLU", "Dropout", "Linear"]


# --- stops and resumes -------------------------------------------------------------------------------------------


def test_a_run_stopped_by_a_signal_keeps_the_features_computed_so_far(
    tmp_path: Path, dlnotes: Command, cache: Path, extracted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_images(tmp_path / "images", count=40)
    chunk_samples = _FolderReader._samples

    def then_signal(*arguments: Any) -> Any:
        rows = chunk_samples(*arguments)
        if len(extracted) == 48:
            os.kill(os.getpid(), signal.SIGINT)
        return rows

    monkeypatch.setattr(_FolderReader, "_samples", then_signal)
    stopped = dlnotes(*words(data, tmp_path / "run"))
    assert stopped.code == 130
    what = f"the features computed so far are cached; continue with --resume {tmp_path / 'run'}"
    assert stopped.err == f"dlnotes: error: interrupted: {what}\n"
    monkeypatch.setattr(_FolderReader, "_samples", chunk_samples)
    resumed = dlnotes("transfer", "--resume", tmp_path / "run", "-q")
    assert resumed.code == 0, resumed.err
    assert len(extracted) == 120
    assert dlnotes(*words(data, tmp_path / "uninterrupted")).code == 0
    assert cache.is_dir()
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "uninterrupted"))
    assert one == other


def test_a_finished_run_that_is_resumed_is_fitted_again(images: Path, tmp_path: Path, dlnotes: Command) -> None:
    first = dlnotes(*words(images, tmp_path / "run", "--json"))
    again = dlnotes("transfer", "--resume", tmp_path / "run", "--json")
    assert again.code == 0, again.err
    one, other = (json.loads(run.out) | {"timing": None} for run in (first, again))
    assert one == other
    fewer = json.loads(dlnotes("transfer", "--resume", tmp_path / "run", "--json", "-q", "--epochs", 3).out)
    assert fewer["steps"] < one["steps"]


# --- bad input ---------------------------------------------------------------------------------------------------

FAULTS = {
    "--backbone resnt18": r"--backbone: unknown network 'resnt18'; did you mean 'resnet18'\? see dlnotes",
    "--weights nowhere.pth": r"nowhere.pth: no such file; check the path",
    "--weights defalt": r"--weights: unknown weights name \(and no such file\) 'defalt'; did you mean 'default'\?",
    "--weights evil.pth": r"evil.pth: is not a plain state dict; no code in it was run; use a state dict",
    "--weights other.pth": r"tensor features.0.weight is missing; use",
    "--weights wider.pth": r"tensor features.0.weight: shape \(96, 3, 7, 7\) in the file, \(64, 3, 3, 3\) in",
    "--weights squeezenet1_1-b8a52dc0.pth": r"squeezenet1_1-b8a52dc0.pth: is damaged: its SHA-256 is not the published",
    "--weights images": r"--weights: images is a folder; use a file",
    "--size 8": r"--size: squeezenet1_1 does not accept 8x8 \(.*\); use 224",
    "--backbone vit_b_32 --size 64": r"--size: vit_b_32 does not accept 64x64 \(.*\); use 224",
    "--lr 0.1": r"--lr: has no effect without --fine-tune or --recipe notes; add it, or drop --lr",
    "--fine-tune last-2 --views 2": r"--views: has no effect with --fine-tune; drop --views",
    "--fine-tune last-0": r"--fine-tune: 'last-0' is neither all nor last-N, such as last-2",
    "--views 2 --augment none": r"--views: --augment none leaves every view the same; use another",
    "--dropout 0.2 --fine-tune": r"--dropout: has no effect on a head without hidden layers; add --hidden 256",
    "--val-split 0": r"--val-split: 0 leaves no sample to choose the head's weight decay by; raise it, or use --recipe",
    "--folds 90": r"--folds: 90 folds of 34 samples; give at most 34",
    "--augment flip": r"--augment: has no effect on a frozen backbone without --views; add --views",
    "--folds 3 --time-budget 9s": r"--folds: cannot be combined with --time-budget",
    "--weights whole.pth": r"tensor features.0.weight: int64 in the file, float32 in the network",
    "--data presplit --min-accuracy 0.5": r"--min-accuracy: presplit has no test split; add one, or drop the option",
    "--map m.jpg": r"--map: m.jpg does not end in .png; give the name of a .png file",
    "--export-features there.npz": r"--export-features: there.npz exists; pass --overwrite",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data sets and files of weights, valid and invalid."""
    from torchvision import models

    home = tmp_path_factory.mktemp("home")
    make_images(home / "images", count=14)
    (home / "evil.pth").write_bytes(b"cposix\nsystem\n(S'touch MARKER'\ntR.")
    torch.save(models.alexnet(weights=None, num_classes=2).features.state_dict(), home / "other.pth")
    torch.save(models.squeezenet1_0(weights=None).state_dict(), home / "wider.pth")
    (home / "squeezenet1_1-b8a52dc0.pth").write_bytes((home / "wider.pth").read_bytes()[:100_000])
    (home / "there.npz").write_bytes(b"")
    state = models.squeezenet1_1(weights=None).state_dict()
    torch.save(state | {"features.0.weight": state["features.0.weight"].long()}, home / "whole.pth")
    for split in ("train", "val"):
        make_images(home / "presplit" / split, count=6)
    return home


@pytest.mark.parametrize("line", FAULTS)
def test_bad_input_is_reported_in_one_line_and_changes_no_file(
    line: str, home: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    before = sorted(home.rglob("*"))
    valid = ["--data", "images", *SMALL, "--out", "run"]
    outcome = dlnotes("transfer", *valid, *shlex.split(line), "-q")
    assert (outcome.code, outcome.out) == (2, ""), outcome.err
    assert re.fullmatch(rf"dlnotes: error: .*{FAULTS[line]}.*\n", outcome.err), outcome.err
    assert sorted(home.rglob("*")) == before


def test_a_warning_names_classes_with_few_images(tmp_path: Path, dlnotes: Command) -> None:
    data = make_images(tmp_path / "images", count=10)
    for i in range(1, 10):
        (data / "red" / f"{i}.png").unlink()
    run = dlnotes("transfer", "--data", data, *SMALL, "--out", tmp_path / "run")
    assert run.code == 0, run.err
    assert "warning: fewer than 5 images for training and validation: red (1); add more images" in run.err
