"""The `dlnotes` command, also as `python -m dlnotes_cli`."""

import signal
import sys


def main() -> int:
    """Run the command of this process; before the program has loaded, and after it, signals have no handler."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # of Python, which prints a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dlnotes_cli import cli
    from dlnotes_cli.shell import startup

    code = cli.main()
    startup.skip_last_collection()
    return code


if __name__ == "__main__":
    sys.exit(main())
