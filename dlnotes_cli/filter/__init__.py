"""Convolution kernels applied to images."""
