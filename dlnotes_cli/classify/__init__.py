"""Image and table classifiers: train-mlp, train-cnn, evaluate, predict."""
