"""What each command does, callable from Python: frozen Config in, Result out."""
