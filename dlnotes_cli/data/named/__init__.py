"""Named data sets: the table of published files, their lookup and download, and the formats they are stored in."""
