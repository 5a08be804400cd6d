"""Networks, and the closed registry from which they are built by name."""
