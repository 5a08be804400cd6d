"""Kernels: the named ones, parsing of written ones, and what the weights of a kernel do."""
