"""The training loop and what stands around it: recipe, metrics, model file, run folder."""
