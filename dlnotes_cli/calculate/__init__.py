"""Calculators: what shape and cost a stack of layers has."""
