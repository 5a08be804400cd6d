"""The options of `dlnotes serve`."""

from dataclasses import dataclass
from typing import ClassVar

from dlnotes_cli.inference.options import ClassifierOptions, TopOption
from dlnotes_cli.shell.option import Config, option, option_group, option_like
from dlnotes_cli.shell.option_groups import OutputOptions, ReadImagesOptions

_MEGABYTE = 1_000_000


@option_group
class ServeOptions(Config):
    """Where the server listens, and what it accepts."""

    host: str = option(
        "127.0.0.1", "Address to listen on; with 0.0.0.0 every machine in the network can send requests.",
        panel="Runtime", metavar="ADDRESS",
    )  # fmt: skip
    port: int = option(8000, "Port to listen on; 0 is a free one.", panel="Runtime", within="[0, 65535]")
    max_upload: int = option(
        32, "Refuse requests of more than this many megabytes.", panel="Data", within="[1, 4096]", metavar="MB"
    )
    max_pixels: int = option_like(ReadImagesOptions, "max_pixels")


@dataclass(frozen=True, kw_only=True)
class ServeConfig(OutputOptions, ServeOptions, TopOption, ClassifierOptions):
    """Every option of `serve`."""

    command: ClassVar[str] = "serve"

    @property
    def max_upload_bytes(self) -> int:
        """The size from which a request is refused."""
        return self.max_upload * _MEGABYTE
