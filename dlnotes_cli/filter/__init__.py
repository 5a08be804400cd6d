"""`filter`: convolution kernels applied to images."""
