"""Filter kernels: the named ones, a parser for one's own, and what can be said of any of them."""
