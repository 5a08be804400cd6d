"""`explain`: which parts of an image a classifier's answer depends on, and whether the map is to be believed."""
