"""Run folders that were replaced, killed at a bad moment, edited or damaged."""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from builders import Command, folder_digest, small_training, stopped_after
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlnotes_cli.cli import main
from dlnotes_cli.shell import files
from dlnotes_cli.training.tensor_file import read_tensors, write_tensors

pytestmark = pytest.mark.usefixtures("blank_figures")

VALUES: list[Any] = [None, True, -1, 0, 3, 2.5, 10**400, "", "x", [], [None], ["x"], {}, {"x": 1}]


class KilledError(BaseException):
    """Ends the program as a kill does: nothing catches it."""


@contextlib.contextmanager
def killed_at(name: str, *, before: bool) -> Iterator[None]:
    """Kill the program when it writes the file `name`: before it does, or after."""
    original = files.atomic_stream

    @contextlib.contextmanager
    def stream(path: Path, *details: Any) -> Iterator[IO[bytes]]:
        if path.name == name and before:
            (path.parent / ".dlnotes-cut.partial").touch()
            raise KilledError
        with original(path, *details) as opened:
            yield opened
        if path.name == name:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "atomic_stream", stream)
        yield


def kill_at(name: str, words: list[str], *, before: bool) -> None:
    folder = Path(words[words.index("--out") + 1])
    with killed_at(name, before=before), pytest.raises(KilledError):
        main([*words, "-q"])
    (folder / ".lock").write_text("pid 1 on nowhere")


def test_a_run_that_is_stopped_keeps_earlier_results_until_it_has_its_own(tmp_path: Path, dlnotes: Command) -> None:
    folder = tmp_path / "run"
    assert dlnotes(*small_training(folder)).code == 0
    names = ("model.safetensors", "result.json", "metrics.jsonl", "curves.png")
    before = {name: (folder / name).read_bytes() for name in names}
    with stopped_after(1):
        assert dlnotes(*small_training(folder, "--overwrite", "--lr", "0.01")).code == 143
    assert {name: (folder / name).read_bytes() for name in names} == before
    with stopped_after(5):
        assert dlnotes("train-mlp", "--resume", folder).code == 143
    assert (folder / "model.safetensors").read_bytes() != before["model.safetensors"]
    assert not (folder / "result.json").exists()
    assert dlnotes("train-mlp", "--resume", folder).code == 0
    assert dlnotes(*small_training(tmp_path / "other", "--lr", "0.01")).code == 0
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("name", ["config.json", "last.safetensors"])
def test_a_replaced_run_that_is_killed_never_mixes_two_runs(
    name: str, before: bool, tmp_path: Path, dlnotes: Command
) -> None:
    folder, words = tmp_path / "run", ["--lr", "0.01", "--epochs", "3"]
    assert dlnotes(*small_training(folder)).code == 0
    model = (folder / "model.safetensors").read_bytes()
    kill_at(name, small_training(folder, *words, "--overwrite"), before=before)
    assert (folder / "model.safetensors").read_bytes() == model
    resumed = dlnotes("train-mlp", "--resume", folder, "-q")
    if name == "last.safetensors" and not before:
        assert resumed.code == 0
    else:
        assert (resumed.code, resumed.err.count("\n")) == (2, 1)
        assert "last.safetensors: is missing" in resumed.err
        assert dlnotes(*small_training(folder, *words, "--overwrite")).code == 0
    assert dlnotes(*small_training(tmp_path / "other", *words)).code == 0
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (folder / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


def test_a_run_resumes_with_the_threads_that_it_ran_with(
    tmp_path: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    words = small_training(folder)
    position = words.index("--threads")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with stopped_after(1):
        assert dlnotes(*words[:position], *words[position + 2 :]).code == 143
    assert json.loads((folder / "config.json").read_text())["threads"] == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with stopped_after(2):
        resumed = dlnotes("train-mlp", "--resume", folder)
    assert "2 threads" in resumed.err
    assert "warning" not in resumed.err
    changed = dlnotes("train-mlp", "--resume", folder, "--threads", 1, "--json")
    assert re.search(r"--threads: the run had 2 threads and continues with 1; its weights", changed.err)
    assert json.loads(changed.out)["threads"] == 1
    assert json.loads((folder / "config.json").read_text())["threads"] == 1


def places(value: object, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places in a JSON document, each as the keys that lead to it."""
    yield at
    if isinstance(value, dict):
        for key, below in value.items():
            yield from places(below, (*at, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from places(below, (*at, index))


def edited(document: Any, place: tuple[Any, ...], value: object) -> Any:
    """A document with another value in one place; `...` deletes it."""
    if not place:
        return None if value is ... else value
    copy = json.loads(json.dumps(document))
    parent = copy
    for key in place[:-1]:
        parent = parent[key]
    if value is ...:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return copy


@pytest.fixture(scope="module", params=["finished", "stopped"])
def stored_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, finished or stopped, to copy."""
    folder = tmp_path_factory.mktemp("stored") / "run"
    with stopped_after(5 if request.param == "stopped" else 10**9):
        main(small_training(folder, "-q", "--hidden", "4", "--ema", "0.9"))
    return folder


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_edited_run_is_resumed_or_refused_by_the_name_of_the_file(
    stored_run: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([name for name in ("config.json", "result.json") if (stored_run / name).exists()]))
    folder = tmp_path_factory.mktemp("edited") / "run"
    shutil.copytree(stored_run, folder)
    document = json.loads((folder / name).read_text())
    place = data.draw(st.sampled_from([place for place in places(document) if place != ("compile",)]))  # slow
    changed = edited(document, place, data.draw(st.sampled_from([..., *VALUES])))
    (folder / name).write_text(json.dumps(changed))
    capsys.readouterr()
    code = main(["train-mlp", "--resume", str(folder), "--threads", "1", "-q"])
    err = capsys.readouterr().err
    assert code in {0, 2}, (name, place, changed, err)
    if code == 2:
        assert err.count("\n") == 1
        option = f"--{str(place[0]).replace('_', '-')}" if place else str(folder)
        assert str(folder) in err or "--data" in err or option in err, (name, place)
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"weight_decay": 0.5}}, "--resume: weight_decay is 0.05, but 0.5 in the run; use the options"),
        ({"checkpoint_version": 1}, "last.safetensors: is a checkpoint of format version 1; this dlnotes reads"),
        ({"position": {}}, "last.safetensors: is not a checkpoint of this run"),
        ({"data": {}}, "last.safetensors: its metadata is invalid (data)"),
    ],
)
def test_a_checkpoint_of_another_version_or_run_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path, dlnotes: Command
) -> None:
    folder = tmp_path / "run"
    with stopped_after(3):
        assert dlnotes(*small_training(folder)).code == 143
    path = folder / "last.safetensors"
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, metadata | change)
    before = folder_digest(folder)
    outcome = dlnotes("train-mlp", "--resume", folder, "-q")
    assert (outcome.code, outcome.err.count("\n"), folder_digest(folder)) == (2, 1, before)
    assert message in outcome.err
