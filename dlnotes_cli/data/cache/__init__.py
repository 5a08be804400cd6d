"""The decode cache: decoded images and features, memory-mapped."""
