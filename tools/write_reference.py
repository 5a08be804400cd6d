"""Write docs/commands.md and docs/python.md from the program itself.

    python tools/write_reference.py [--check]

With --check nothing is written, and the exit code is 1 where a page is not what the program says.
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from dlnotes_cli import api
from dlnotes_cli.cli import build
from dlnotes_cli.shell.option import Config

DOCS = Path(__file__).parent.parent / "docs"
WRITTEN = "Written by `make reference` from the program; do not edit."


def commands_page() -> str:
    """Every command with its help, examples and options."""
    parts = ["# The commands", WRITTEN]
    for name, command in commands(build()):
        text, examples = told(command)
        parts += [f"## dlnotes {name}", text, "```sh\n" + "\n".join(examples) + "\n```"]
        shown = [parameter for parameter in command.params if parameter.name != "help"]
        for group, parameters in groupby(shown, lambda parameter: parameter.rich_help_panel):
            parts.append("\n".join([f"| {group} | |", "|---|---|", *map(row, parameters)]))
    return "\n\n".join(parts) + "\n"


def commands(node: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Full name and Typer command of all below a group, in the order of the help."""
    for word, child in node.commands.items():
        if hasattr(child, "commands"):
            yield from commands(child, f"{before}{word} ")
        else:
            yield f"{before}{word}", child


def told(command: Any) -> tuple[str, list[str]]:
    """What a command's help says, and its examples."""
    text, *examples = re.split(r"\n\n\[bold\]\$ ", command.help)
    return text, [example.removesuffix("[/bold]") for example in examples]


def row(parameter: Any) -> str:
    """One option: how it is written, and what it does."""
    names = " ".join([*parameter.opts, *parameter.secondary_opts])
    written = parameter.metavar if parameter.param_type_name == "argument" else f"{names} {parameter.metavar}".strip()
    text = re.sub(r"\[/?dim\]", "", parameter.help).replace("\\[", "[")
    return f"| `{cell(written)}` | {cell(text)} |"


def cell(text: str) -> str:
    """Text that no column ends in."""
    return text.replace("|", "\\|")


def python_page() -> str:
    """The public names with their signatures and docstrings."""
    parts = ["# dlnotes from Python", WRITTEN, documentation(api)]
    public = [(name, getattr(api, name)) for name in api.__all__]
    configs = [name for name, found in public if inspect.isclass(found) and issubclass(found, Config)]
    parts += ["## Options", "Classes whose fields are the options of their command in [commands.md](commands.md):"]
    parts += [", ".join(f"`{name}`" for name in configs) + ".", "## Functions and classes"]
    parts.append("What `fields` and `as_json()` hold is in [scripting.md](scripting.md#json-fields).")
    parts += [described(name, found) for name, found in public if name not in configs]
    return "\n\n".join(parts) + "\n"


def described(name: str, found: Any) -> str:
    """A heading with the signature, the docstring below it, and the same of a class's public methods."""
    lines = [f"### `{name}{signature(found)}`", documentation(found)]
    if inspect.ismodule(found):
        told = {word: getattr(found, word) for word in ("configure", "line", "document")}
        lines += [f"`{name}.{word}{signature(member)}`: {documentation(member)}" for word, member in told.items()]
    if inspect.isclass(found) and not issubclass(found, Exception):
        for method, member in vars(found).items():
            if isinstance(member, property):
                lines.append(f"`{name}.{method}`: {documentation(member)}")
            elif inspect.isfunction(member) and method == "__iter__":
                lines.append(f"`for … in {name}(…)`: {documentation(member)}")
            elif inspect.isfunction(member) and not method.startswith("_"):
                lines.append(f"`{name}.{method}{signature(member)}`: {documentation(member)}")
    return "\n\n".join(lines)


def documentation(found: Any) -> str:
    """The docstring, its examples as blocks."""
    text = inspect.getdoc(found) or ""
    return re.sub(r"^>>> .+(?:\n.+)*", r"```pycon\n\g<0>\n```", text, flags=re.MULTILINE)


def signature(found: Any) -> str:
    """How it is called; types without their modules."""
    if inspect.ismodule(found) or (inspect.isclass(found) and issubclass(found, Exception)):
        return ""
    text = str(inspect.signature(found)).replace("(self, ", "(").replace("(self)", "()").removesuffix(" -> None")
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def main() -> int:
    """Write the pages, or hold them against what they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    pages = {DOCS / "commands.md": commands_page(), DOCS / "python.md": python_page()}
    if options.check:
        stale = [path.name for path, text in pages.items() if not path.exists() or path.read_text() != text]
        print(f"not what the program says, run make reference: {', '.join(stale)}" if stale else "the pages are true")
        return bool(stale)
    DOCS.mkdir(exist_ok=True)
    for path, text in pages.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
