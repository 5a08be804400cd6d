"""The server process: its socket, the threads that run the model, and how it stops."""

import contextlib
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from dlnotes_cli.inference.opening import open_classifier
from dlnotes_cli.serve.options import ServeConfig
from dlnotes_cli.serve.service import PredictionService
from dlnotes_cli.shell import output
from dlnotes_cli.shell.cores import default_threads
from dlnotes_cli.shell.errors import InputError, import_extra
from dlnotes_cli.shell.stopping import StopRequest

_FINISH_S = 8  # for requests that run when the server is stopped; `docker stop` kills after 10
_PACKAGES = ("fastapi", "uvicorn", "python_multipart")
_BACKLOG = 128  # connections that wait to be accepted
_MEGABYTE = 1_000_000
_LOOPBACK = ("127.", "localhost", "::1")


@dataclass(frozen=True)
class Listening:
    """Where a server listens, and the model that answers there."""

    url: str
    model_file: Path

    def table(self) -> tuple[str, ...]:
        """The address."""
        return (self.url,)


class Server:
    """A classifier that listens on a socket from construction on; `run` answers until a signal stops it."""

    def __init__(self, config: ServeConfig) -> None:
        """Load the model and listen.

        Raises InputError for a model that cannot be used, an address that cannot be listened on, and missing packages.
        """
        for package in _PACKAGES:
            import_extra(package, "serve", "serve")
        self._config = config
        # Several requests at once on a thread each are faster than one request on several threads.
        self.classifier = open_classifier(replace(config, threads=1))
        self._workers = ThreadPoolExecutor(config.threads or default_threads(), "worker")
        self._socket = _listen(config.host, config.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._workers.shutdown()

    @property
    def url(self) -> str:
        """The address of the server."""
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        return f"http://{host}:{self._socket.getsockname()[1]}"

    def run(self) -> None:
        """Answer requests until a signal, which ends the command after the running requests are answered."""
        import uvicorn

        from dlnotes_cli.serve.app import make_app

        if not self._config.host.startswith(_LOOPBACK):
            output.note(f"every machine that reaches {self._config.host} can send requests")
        service = PredictionService(self.classifier, self._config.top, self._config.max_pixels)
        app = make_app(service, self._workers, self._config.max_upload * _MEGABYTE)
        settings = uvicorn.Config(
            app, lifespan="off", log_config=None, log_level="critical", access_log=False,
            timeout_graceful_shutdown=_FINISH_S,
        )  # fmt: skip
        with StopRequest() as stop:

            class StoppableServer(uvicorn.Server):
                """Stops when a signal has arrived."""

                @contextlib.contextmanager
                def capture_signals(self) -> Iterator[None]:
                    yield  # StopRequest handles them, and delivers the signal again at its end

                async def on_tick(self, counter: int) -> bool:
                    return bool(await super().on_tick(counter)) or stop.requested is not None

            StoppableServer(settings).run(sockets=[self._socket])
            if app.unanswered:
                requests = output.counted(app.unanswered, "request")
                output.warn(f"stopped; {requests} that took more than {_FINISH_S} s to finish got the status 503")
            else:
                output.note("stopped; every request that was running is answered")


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError for an address that is unknown or in use."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        is_ipv6 = family is socket.AF_INET6
        return socket.create_server(address, family=family, backlog=_BACKLOG, dualstack_ipv6=is_ipv6)
    except socket.gaierror as error:
        raise InputError("--host", f"{host} is unknown", "use 127.0.0.1, or an address of this machine") from error
    except OSError as error:
        what = f"{host}:{port}: {os.strerror(error.errno or 0).lower()}"
        raise InputError("--port", what, "use another --port, or 0") from error
