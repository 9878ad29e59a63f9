"""The two ends of a link in two processes: each has its own bits, and they agree on places."""
