"""The training loop, the run in its folder, and the training of classifiers."""
