"""The machine that a trained model is used on."""

from collections.abc import Mapping
from typing import Any

from dlnotes_cli.device import Runtime, choose_runtime
from dlnotes_cli.shell.option_groups import DeviceOptions


def runtime_for_model(metadata: Mapping[str, Any], options: DeviceOptions) -> Runtime:
    """Where a trained model runs: in the precision of its training, so that the same samples give the same answers."""
    return choose_runtime(
        options.device, options.precision, options.threads, bf16_pays=metadata.get("precision") == "bf16"
    )
