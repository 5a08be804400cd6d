"""The catalog of kernels and the text that describes one."""
