"""Data sets, caches and the installation: data, doctor."""
