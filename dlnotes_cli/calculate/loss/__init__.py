"""`loss`: what a loss says of given numbers, without torch."""
