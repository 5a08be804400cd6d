"""The decode cache: pixels and features of a folder's images in memory-mapped files."""
