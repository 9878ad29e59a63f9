"""What ``e91 bench`` times: stages, their peers, the clock and the table."""
