"""Time tags: simulated, read, correlated and matched to coincidences."""
