"""One frozen dataclass per command: its options with default, range, help and group."""
