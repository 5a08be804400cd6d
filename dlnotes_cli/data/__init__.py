"""Named sets, folders, tables; decoding, splits, batches, augmentation."""
