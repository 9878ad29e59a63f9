"""Bell tests: the CHSH value, how well it is known, and what it refutes."""
