"""The machine that a trained model is used on."""

from collections.abc import Mapping
from typing import Any

from dlnotes_cli.device import Machine, choose_machine
from dlnotes_cli.shell.option_groups import DeviceOptions


def machine_for(card: Mapping[str, Any], options: DeviceOptions) -> Machine:
    """Where a trained model runs: in the precision of its training, so that the same samples give the same answers."""
    return choose_machine(options.device, options.precision, options.threads, bf16_pays=card.get("precision") == "bf16")
