"""Trained networks opened for inspection: named layers, captured activations, and images with their geometry."""
