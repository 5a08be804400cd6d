"""Arithmetic of the course that can be followed by hand: shapes, losses, gates, the perceptron and gradient descent."""
