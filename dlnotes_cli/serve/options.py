"""The options of `dlnotes serve`."""

from dataclasses import dataclass
from typing import Literal

from dlnotes_cli.inference import options as inference_options
from dlnotes_cli.shell import option_groups as common
from dlnotes_cli.shell.option import option


@dataclass(frozen=True, kw_only=True)
class ServeConfig(inference_options.OpensClassifier, command="serve"):
    """Every option of `serve`."""

    # Data
    max_upload: int = option(
        32, "Refuse requests of more than this many megabytes.", panel="Data", within="[1, 4096]", metavar="MB"
    )
    max_pixels: int = common.MAX_PIXELS_OPTION
    # Output
    top: int = inference_options.TOP
    # Runtime
    host: str = option(
        "127.0.0.1", "Address to listen on; with 0.0.0.0 every machine in the network can send requests.",
        panel="Runtime", metavar="ADDRESS",
    )  # fmt: skip
    port: int = option(8000, "Port to listen on; 0 is a free one.", panel="Runtime", within="[0, 65535]")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = inference_options.PRECISION
