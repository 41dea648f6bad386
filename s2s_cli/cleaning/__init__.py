"""Writes the pairs of a corpus that are fit to train on, and the others with the reason."""
