"""From text to layers."""
