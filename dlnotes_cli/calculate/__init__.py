"""Calculators: shapes and cost of layers, losses, and numbers through a network."""
