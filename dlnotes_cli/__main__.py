"""The `dlnotes` command, also as `python -m dlnotes_cli`.

Until the program has loaded, and after it, SIGINT ends the process quietly, where Python would print a traceback.
"""

import _signal as signals  # type: ignore[import-not-found]  # built in: `signal` itself takes time to import
import sys

if signals.getsignal(signals.SIGINT) is signals.default_int_handler:  # of Python
    signals.signal(signals.SIGINT, signals.SIG_DFL)


def main() -> int:
    """Run the command of this process."""
    import os

    from dlnotes_cli import cli
    from dlnotes_cli.shell import startup

    code = cli.main()
    startup.skip_last_collection()
    if "RANK" in os.environ:  # torchrun's; PyTorch sometimes aborts such a process while it destroys global objects
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
