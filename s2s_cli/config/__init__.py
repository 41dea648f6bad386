"""Reads YAML into a validated config, or a list of everything that is wrong with it."""
