"""The server process: many connections, a graceful stop, and what keeps it from starting."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import Command

CONNECTIONS = 8


@contextmanager
def served(*words: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server process and its port."""
    command = [sys.executable, "-m", "dlnotes_cli", "serve", *map(str, words), "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", line), process.stderr and process.stderr.read()
        yield process, int(line.rpartition(":")[2])
    finally:
        process.kill()
        process.communicate()


def ask(port: int, contents: list[bytes]) -> list[bytes]:
    """The answers to several images, sent one after the other over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    answers = []
    for content in contents:
        connection.request("POST", "/predict", content, {"content-type": "image/png"})
        answers.append(connection.getresponse().read())
    connection.close()
    return answers


@pytest.mark.parametrize("count", [80, pytest.param(1000, marks=pytest.mark.slow)])
def test_no_request_is_lost_also_one_that_runs_at_the_signal(count: int, images_run: Path, dlnotes: Command) -> None:
    paths = sorted((images_run.parent / "images").rglob("*.png"))
    expected = json.loads(dlnotes("predict", images_run, *paths, "--json").out)["predictions"]
    sent = [list(range(first, count, CONNECTIONS)) for first in range(CONNECTIONS)]
    with served(images_run) as (process, port), ThreadPoolExecutor(CONNECTIONS) as pool:
        contents = [[paths[i % len(paths)].read_bytes() for i in share] for share in sent]
        answers = list(pool.map(lambda share: ask(port, share), contents))
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            content = contents[0][0]
            head = f"Host: x\r\nContent-Type: image/png\r\nContent-Length: {len(content)}\r\nExpect: 100-continue\r\n"
            connection.sendall(f"POST /predict HTTP/1.1\r\n{head}\r\n".encode() + content[:10])
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 100")  # the server waits for the rest
            process.send_signal(signal.SIGTERM)
            connection.sendall(content[10:])
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, "")
    *lines, last = err.splitlines()
    assert len(lines) == count + 1
    assert last == "dlnotes: note: stopped; every request that was running is answered"
    for share, found in zip(sent, answers, strict=True):
        for i, answer in zip(share, found, strict=True):
            (prediction,) = json.loads(answer)["predictions"]
            assert prediction["class"] == expected[i % len(paths)]["class"]
            assert prediction["probability"] == pytest.approx(expected[i % len(paths)]["probability"], abs=1e-6)


def test_what_keeps_the_server_from_starting(
    images_run: Path, dlnotes: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = dlnotes("serve", images_run, "--port", port)
        assert (outcome.code, outcome.out) == (2, "")
        assert f"--port: 127.0.0.1:{port}: address already in use; use another --port, or 0" in outcome.err
    outcome = dlnotes("serve", images_run, "--host", "no.such.host.invalid")
    assert (outcome.code, "--host: no.such.host.invalid is unknown" in outcome.err) == (2, True)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    outcome = dlnotes("serve", images_run)
    assert outcome.err.endswith("serve: needs the package uvicorn; run pip install 'dlnotes-cli[serve]'\n")
