"""What all commands share: options, start-up, printing, files and errors; standard library, Typer and rich only."""
