"""Transfer learning: a pretrained backbone with a new head."""
