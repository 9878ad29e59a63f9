"""Two free-running clocks: find their offset and drift, and follow them."""
