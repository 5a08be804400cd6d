"""`loss`: losses, softmax and gradients of given numbers, without torch."""
