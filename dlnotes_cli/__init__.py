"""dlnotes: a deep-learning course as shell commands."""

__version__ = "0.1.0"
