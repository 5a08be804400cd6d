"""Plots: drawn with matplotlib without a display and returned as PNG bytes, reproducible for equal values."""
