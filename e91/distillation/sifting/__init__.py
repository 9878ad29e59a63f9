"""Sifting: by messages between two parties, and by the block."""
