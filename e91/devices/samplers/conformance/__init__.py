"""A conformance suite for samplers: named checks with exact statistics."""
