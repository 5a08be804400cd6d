"""`python -m dlnotes_cli` is the `dlnotes` command."""

import sys

from dlnotes_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
