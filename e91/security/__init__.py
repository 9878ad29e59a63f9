"""How many secret bits the statistics allow.  One theorem, one function."""
