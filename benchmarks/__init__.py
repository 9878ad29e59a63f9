"""What ``python -m benchmarks`` times: stages, their peers, the clock and the table."""
