"""Character-level language models: train, sample, score."""
