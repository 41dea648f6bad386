"""Readers of files from elsewhere, given millions of mutated inputs; run by `make fuzz`."""
