"""Calculators: shapes and cost of a stack of layers."""
