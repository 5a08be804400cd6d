"""One thin module per command: Config, task, output."""
