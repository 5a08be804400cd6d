"""Text classifiers: train-text."""
