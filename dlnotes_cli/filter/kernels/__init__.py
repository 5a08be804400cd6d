"""Kernels: the catalog of named kernels, parsing, and description from the weights."""
