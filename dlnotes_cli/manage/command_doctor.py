"""`dlnotes doctor`."""

import typer

from dlnotes_cli.manage.options_doctor import DoctorConfig
from dlnotes_cli.shell import output
from dlnotes_cli.shell.binding import add_command

EXAMPLES = ("dlnotes doctor", "dlnotes doctor --json")


def doctor(config: DoctorConfig) -> None:
    """Examine this machine: versions, devices, bf16, cores, cache, data sets."""
    from dlnotes_cli.manage.doctor import examine

    report = examine(config)
    if config.json:
        output.document(config.command, report.as_json())
        return
    rows = [(name.replace("_", " "), _told(value)) for name, value in report.as_rows().items()]
    output.table(("what", "found"), rows)


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not here" if value is None else str(value)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    add_command(app, doctor, panel="Inspect", examples=EXAMPLES)
