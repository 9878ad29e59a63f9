"""LDPC reconciliation: one syndrome from Alice, decoded by Bob."""
