"""`conv-shape`: shapes and cost of a stack of layers, or of one filter."""
