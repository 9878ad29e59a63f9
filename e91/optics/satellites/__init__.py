"""Satellites: orbits, and passes over ground stations."""
