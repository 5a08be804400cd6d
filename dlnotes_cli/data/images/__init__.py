"""Image files: decoding, writing, augmentation."""
