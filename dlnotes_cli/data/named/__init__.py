"""Named data sets: where they are found, and how their files are read."""
