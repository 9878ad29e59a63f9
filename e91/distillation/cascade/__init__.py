"""Cascade: reconciliation by parities of blocks and binary search."""
