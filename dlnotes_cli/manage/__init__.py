"""Inspect data sets, caches and the installation: `data`, `doctor`."""
