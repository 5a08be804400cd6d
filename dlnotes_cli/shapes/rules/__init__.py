"""Shape rules: one file for each family of layers."""
