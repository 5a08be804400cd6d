"""Data sets: named sets, folders, tables and texts; decoding, splits, batches, augmentation."""
