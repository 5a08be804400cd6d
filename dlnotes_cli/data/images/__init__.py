"""Image files: decode, write, augment."""
