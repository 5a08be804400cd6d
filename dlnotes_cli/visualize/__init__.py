"""`visualize`: layers, filters, activations, feature maximization, DeepDream, top patches, neighbors, embedding."""
