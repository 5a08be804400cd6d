"""A process that `--devices` started: it calls the task of its parent with the same options, and prints nothing."""

import json
import os
import signal
import sys
import threading
from importlib import import_module
from typing import Any

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import DlnotesError, ExitCode
from dlnotes_cli.training.engine.distributed import LostProcessError


def run() -> None:
    """Read the order on standard input, do it, and end the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; until training has begun, one decides
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    output.mute()
    try:
        options = _imported(order["config"]).from_json(order["options"])
        _imported(order["task"])(options)
    except LostProcessError:  # which the parent has noticed, too
        _end(ExitCode.UNFINISHED)
    except DlnotesError as error:
        output.reply({"error": [error.where, error.what, error.fix]})
        _end(error.exit_code)
    except Exception:  # noqa: BLE001  # the traceback of a bug
        import traceback

        output.bug(traceback.format_exc())
        _end(ExitCode.BUG)
    _end(ExitCode.DONE)


def _end_with_parent() -> None:
    """Wait for the end of the parent, which closes the pipe, and end with it."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(ExitCode.UNFINISHED)


def _end(code: ExitCode) -> None:
    """End the process at once: nothing is left to write, and the libraries take long to unload."""
    output.flush()
    os._exit(code)


def _imported(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
