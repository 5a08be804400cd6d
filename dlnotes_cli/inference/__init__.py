"""Trained classifiers that are ready to use, whatever the file that they come from."""
