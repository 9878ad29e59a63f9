"""Rounds by the hundred million, drawn from exact outcome probabilities by keystreams."""
