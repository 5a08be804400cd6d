"""The HTTP interface answers as `predict` does, and refuses what it cannot read with one sentence."""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from builders import Command
from PIL import Image
from starlette.testclient import TestClient

from dlnotes_cli.inference.opening import open_classifier
from dlnotes_cli.serve.app import LoggedApp, make_app
from dlnotes_cli.serve.options import ServeConfig
from dlnotes_cli.serve.service import PredictionService

LIMIT = 200_000
PNG = {"content-type": "image/png"}


def client_of(model: Path, **options: Any) -> TestClient:
    config = ServeConfig(model=model, **options)
    service = PredictionService(open_classifier(config), config.top, config.max_pixels)
    return TestClient(make_app(service, ThreadPoolExecutor(1), LIMIT))


@pytest.fixture(scope="module")
def images(images_run: Path) -> Iterator[TestClient]:
    with client_of(images_run) as client:
        yield client


@pytest.fixture(scope="module")
def rows(table_run: Path) -> Iterator[TestClient]:
    with client_of(table_run, top=1) as client:
        yield client


def png(size: tuple[int, int] = (4, 4)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "PNG")
    return stream.getvalue()


def test_uploads_get_the_predictions_of_predict(images: TestClient, images_run: Path, dlnotes: Command) -> None:
    paths = sorted((images_run.parent / "images").rglob("*.png"))[::9]
    expected = json.loads(dlnotes("predict", images_run, *paths, "--json").out)["predictions"]
    uploads = [("file", (str(path), path.read_bytes(), "image/png")) for path in paths]
    answer = images.post("/predict", files=uploads)
    assert answer.status_code == 200
    assert answer.json() == {"predictions": expected}


@pytest.mark.parametrize("content_type", ["image/png", "application/x-www-form-urlencoded", "application/json"])
def test_one_image_can_be_the_body(content_type: str, images: TestClient, images_run: Path, dlnotes: Command) -> None:
    """PNG and JPEG are known by their first bytes, whatever a client such as curl says."""
    path = next((images_run.parent / "images").rglob("*.png"))
    expected = json.loads(dlnotes("predict", images_run, path, "--json").out)["predictions"][0]
    answer = images.post("/predict", content=path.read_bytes(), headers={"content-type": content_type})
    assert answer.json()["predictions"] == [expected | {"item": "image"}]


def test_rows_get_the_predictions_of_predict(
    rows: TestClient, table_run: Path, tmp_path: Path, dlnotes: Command
) -> None:
    header, *lines = (table_run.parent / "rows.csv").read_text().splitlines()[:6]
    (tmp_path / "few.csv").write_text("\n".join([header, *lines]) + "\n")
    words = ("predict", table_run, tmp_path / "few.csv", "--top", 1, "--json")
    expected = json.loads(dlnotes(*words).out)["predictions"]
    sent = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    answer = rows.post("/predict", json={"rows": sent})
    assert [p["item"] for p in answer.json()["predictions"]] == [f"rows:{i}" for i in range(1, 6)]
    for ours, other in zip(answer.json()["predictions"], expected, strict=True):
        assert (ours["class"], ours["top"]) == (other["class"], other["top"])
    numbers = [
        {name: cell if name == "kind" else float(cell) for name, cell in row.items() if name != "label"} for row in sent
    ]
    assert rows.post("/predict", json={"rows": numbers}).json() == answer.json()


def test_the_health_and_the_interface_are_described(images: TestClient, images_run: Path) -> None:
    health = images.get("/health").json()
    assert images.head("/health").status_code == 200  # which load balancers send
    assert (health["status"], health["model_file"]) == ("ok", str(images_run / "model.safetensors"))
    assert health["classes"] == sorted(path.name for path in (images_run.parent / "images").iterdir())
    assert health["preprocessing"]["kind"] == "image"
    paths = images.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/health", "/predict"}
    assert set(paths["/predict"]["post"]["requestBody"]["content"]) == {
        "multipart/form-data", "application/octet-stream", "application/json",
    }  # fmt: skip
    assert images.get("/docs").status_code == 200
    assert images.get("/else").json() == {"error": "not found"}
    assert images.get("/predict").status_code == 405


BOMB = png((3000, 2000))
FORM = {"content-type": 'multipart/form-data; boundary="x"'}
CUT = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n' + png() + b"\r\n--x\r\n"
BAD_UPLOADS: dict[str, tuple[dict[str, Any], int, str]] = {
    "empty": ({"files": {"file": ("a.png", b"")}}, 400, "a.png: not an image"),
    "cut": ({"files": {"file": ("a.png", png((64, 64))[:60])}}, 400, "a.png: image is "),
    "second of two": ({"files": [("f", ("a.png", png())), ("f", ("b.png", b"?"))]}, 400, "b.png: not an image"),
    "bomb": ({"files": {"file": ("a.png", BOMB)}}, 400, "a.png: 3000x2000 = 6,000,000 pixels, over 1,000,000"),
    "terminal escape": ({"files": {"file": ("\x1b[31m.png", b"?")}}, 400, "not an image"),
    "huge": ({"files": {"file": ("a.png", b"0" * (LIMIT + 1))}}, 413, "the request is larger than 200.0 kB"),
    "huge, in pieces": (
        {"content": iter([b"0" * LIMIT, b"0"]), "headers": PNG},
        413,
        "larger",
    ),
    "field": ({"data": {"a": "b"}, "files": {"f": ("a.png", png())}}, 422, "the form field 'a' is not a file"),
    "no file": ({"content": b"--x--\r\n", "headers": FORM}, 422, "no image"),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    "form, cut short": ({"content": CUT, "headers": FORM}, 400, "body: is cut short: the form has no end"),
    "no type": ({"content": b"x"}, 415, "content type missing: send multipart/form-data"),
    "rows": ({"json": {"rows": [{"a": 1}]}}, 422, "the model reads images, not table rows"),
}


@pytest.mark.parametrize("case", BAD_UPLOADS)
def test_a_bad_upload_is_refused_in_one_sentence(case: str, images_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    request, status, sentence = BAD_UPLOADS[case]
    with client_of(images_run, max_pixels=1_000_000) as client:
        answer = client.post("/predict", **request)
        assert answer.status_code == status, answer.text
        assert list(answer.json()) == ["error"]
        assert sentence in answer.json()["error"]
        assert "\x1b" not in answer.json()["error"]
        assert not answer.json()["error"].endswith(".")
        assert [record for record in caplog.records if record.name.startswith("python_multipart")] == []
        assert client.get("/health").status_code == 200


BAD_ROWS: dict[str, tuple[bytes, str]] = {
    "not JSON": (b"{", "is not valid JSON"),
    "deep": (b"[" * 100_000, "is not valid JSON"),
    "no rows": (b'{"rows": []}', "is not a list of rows"),
    "row is text": (b'{"rows": ["a"]}', "is not a list of rows"),
    "missing column": (b'{"rows": [{}]}', "rows: line 1: column 'length' is missing"),
    "nested cell": (b'{"rows": [{"COLUMN": [1]}]}', "is neither text nor a number"),
    "half a character": (
        b'{"rows": [{"length": "\\ud800", "width": 1, "kind": "a"}]}',
        "rows: line 1: column 'length': '\\xd800' is not a number",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused_in_one_sentence(case: str, rows: TestClient, table_run: Path) -> None:
    content, sentence = BAD_ROWS[case]
    column = (table_run.parent / "rows.csv").read_text().partition(",")[0]
    body = content.replace(b"COLUMN", column.encode())
    answer = rows.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert sentence in answer.json()["error"]


def test_each_request_is_one_line_on_stderr(images: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    images.post("/predict", content=png(), headers=PNG)
    images.get("/%1b[31m" + "x" * 200)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("POST /predict: 200, ")
    assert first.endswith(" ms")
    assert "\x1b" not in second
    assert len(second) < 130


def run_app(client: TestClient, messages: list[dict[str, Any]], *, cancel: bool = False) -> int:
    """The status of the answer to a request whose body comes as these messages, and then nothing more."""
    app, sent = cast("LoggedApp", client.app), list[Any]()
    headers = [(b"content-type", b"image/png")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers, "query_string": b""}

    waiting = asyncio.Event()

    async def receive() -> Any:
        if not messages:
            waiting.set()
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        task = asyncio.create_task(app(scope, receive, send))
        if cancel:
            await waiting.wait()
            task.cancel()
        await task

    asyncio.run(run())
    return int(sent[0]["status"])


def test_a_body_that_does_not_end_is_answered_when_the_client_leaves_or_the_server_stops(
    images_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = {"type": "http.request", "body": b"\x89PNG", "more_body": True}
    client = client_of(images_run)
    assert run_app(client, [begun, {"type": "http.disconnect"}]) == 400
    assert re.fullmatch(r"POST /predict: 400, [\d.]+ ms\n", capsys.readouterr().err)
    assert run_app(client, [begun], cancel=True) == 503
    assert cast("LoggedApp", client.app).unanswered == 1


def test_a_model_of_another_kind_is_named(rows: TestClient) -> None:
    answer = rows.post("/predict", files={"file": ("a.png", png())})
    assert (answer.status_code, answer.json()["error"]) == (422, "body: the model reads table rows, not images")


def test_a_bug_is_one_sentence_for_the_client_and_a_traceback_for_the_log(
    images_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(PredictionService, "predict_images", fail)
    with TestClient(client_of(images_run).app, raise_server_exceptions=False) as client:
        answer = client.post("/predict", content=png(), headers=PNG)
    assert (answer.status_code, answer.json()) == (500, {"error": "the server failed, as its log says"})
    log = capsys.readouterr().err
    assert "ZeroDivisionError: secret" in log
    assert "this is a bug in dlnotes" in log
    assert "POST /predict: 500, " in log


def test_outputs_that_are_not_finite_are_an_error(images_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlnotes_cli.inference import torch_classifier

    monkeypatch.setattr(torch_classifier, "predict_logits", lambda *_: torch.full((1, 3), np.nan))
    with client_of(images_run) as client:
        answer = client.post("/predict", content=png(), headers=PNG)
    assert answer.status_code == 400
    assert "its outputs are not finite" in answer.json()["error"]
