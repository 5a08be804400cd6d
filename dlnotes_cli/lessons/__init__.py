"""Algorithms of the course on numbers that can be followed by hand: the perceptron and gradient descent."""
