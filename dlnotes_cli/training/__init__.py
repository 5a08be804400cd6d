"""Training of networks, and what it reads and writes: recipes, metrics, model files, run folders."""
