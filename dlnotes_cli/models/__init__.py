"""Networks, and the closed table from a registry name to its builder."""
